"""Names that must be defined, and files that must be there."""

from __future__ import annotations

import glob
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from buildsys.quantization import SEARCHED
from buildsys.recipe.diagnostic import Diagnostic
from buildsys.recipe.hints import did_you_mean, nearest
from buildsys.recipe.schema.quantization import FLOAT
from buildsys.recipe.text.document import Found, Key, Node, follow, select

_NAMES: tuple[tuple[tuple[Key, ...], str, str], ...] = (
    (("models", "*", "source", "model"), "models", "model"),
    (("models", "*", "transforms", "*", "distill", "teacher"), "models", "model"),
    (("models", "*", "transforms", "*", "*", "train", "dataset"), "datasets", "dataset"),
    (("models", "*", "samples", "dataset"), "datasets", "dataset"),
    (("models", "*", "evaluate", "dataset"), "datasets", "dataset"),
    (("quantization", "*", "calibration", "dataset"), "datasets", "dataset"),
    (("quantization", "*", "default"), "quantization", "quantization profile"),
    (("quantization", "*", "layers", "*"), "quantization", "quantization profile"),
    (("quantization", "*", "search", "subject_to"), "acceptance", "acceptance"),
    (("quantization", "*", "search", "calibration", "dataset"), "datasets", "dataset"),
    (("targets", "*", "*", "quantization"), "quantization", "quantization profile"),
    (("targets", "*", "*", "accept"), "acceptance", "acceptance"),
    (("targets", "*", "*", "models", "*"), "models", "model"),
)


@dataclass(frozen=True)
class _FileField:
    """A place in a recipe that names a file."""

    pattern: tuple[Key, ...]
    what: str
    suffixes: tuple[str, ...] = ()
    advice: str = ""
    folder: bool = False


_FILES = (
    _FileField(
        ("models", "*", "source", "checkpoint"),
        "checkpoint",
        (".safetensors", ".pt", ".pth", ".bin"),
        "save the weights as `.safetensors`",
    ),
    _FileField(("models", "*", "source", "torchscript"), "TorchScript file"),
    _FileField(("models", "*", "source", "exported"), "ExportedProgram"),
    _FileField(("models", "*", "source", "onnx"), "ONNX file"),
    _FileField(("models", "*", "outputs", "*", "labels"), "file of labels"),
    _FileField(("models", "*", "environment", "requirements"), "requirements file"),
    _FileField(
        ("datasets", "*", "source"),
        "dataset",
        (".npz", ".npy"),
        'load it with a function of your own: `source: {python: "module:callable"}`',
        folder=True,
    ),
    _FileField(("toolchains", "*", "lock"), "lock file"),
)
_GLOBS = (
    ("models", "*", "source", "files", "*"),
    ("datasets", "*", "source", "files", "*"),
)


def unknown_names(root: Node) -> list[Diagnostic]:
    """References to datasets, profiles, acceptances and models that the recipe does not define.

    Works on the document, so that it finds them also where the schema refuses something else.
    """
    found = []
    for pattern, section, noun in _NAMES:
        defined = follow(root, (section,))
        if defined.depth and not isinstance(defined.node.data, dict):
            continue  # the schema says that it is not a mapping
        known = dict.fromkeys(map(str, defined.node.children)) if defined.depth else {}
        for value, place in _texts(root, pattern):
            if value not in known and not (pattern[0] == "quantization" and value == FLOAT):
                none = f"define it under `{section}`"
                hint = did_you_mean(value, known, none, "defined are:")
                found.append(
                    Diagnostic(f"unknown {noun} `{value}`", place.value_position(), hint, place.via)
                )
    return found + list(_unknown_candidates(root))


def unread_names(root: Node) -> bool:
    """Whether a reference could not be read, as with a tag that is not allowed: no check may follow it."""
    patterns = [pattern for pattern, _, _ in _NAMES]
    patterns.append(("quantization", "*", "search", "schemes", "*"))
    return any(place.node.broken for each in patterns for _, place in select(root, each))


def _unknown_candidates(root: Node) -> Iterator[Diagnostic]:
    """What a search names that is neither a profile nor a scheme."""
    defined = follow(root, ("quantization",)).node.data
    profiles = [str(name) for name in defined] if isinstance(defined, dict) else []
    for value, place in _texts(root, ("quantization", "*", "search", "schemes", "*")):
        if value not in (*profiles, *SEARCHED):
            hint = did_you_mean(value, (*profiles, *SEARCHED), "", "profiles and schemes:")
            if value == "mixed" or value == FLOAT:
                hint = "give the search a profile of the recipe"
            yield Diagnostic(
                f"unknown profile or scheme `{value}`", place.value_position(), hint, place.via
            )


def missing_files(root: Node, folder: Path) -> list[Diagnostic]:
    """Files that the recipe names and that are not there, or are of a kind that cannot be used.

    Args:
        root: The document.
        folder: The recipe's folder, which paths are relative to.
    """
    found = []
    for field in _FILES:
        for value, place in _texts(root, field.pattern):
            problem = _problem(field, value, folder)
            if problem is not None:
                message, hint = problem
                found.append(Diagnostic(message, place.value_position(), hint, place.via))
    for pattern in _GLOBS:
        for value, place in _texts(root, pattern):
            if not any(glob.iglob(value, root_dir=folder, recursive=True, include_hidden=True)):
                hint = "globs are relative to the folder of the recipe"
                message = f"no file matches `{value}`"
                found.append(Diagnostic(message, place.value_position(), hint, place.via))
    return found


def named_files(root: Node, folder: Path) -> tuple[dict[Path, bool], list[str]]:
    """The files that a recipe names, and whether each is a folder; and the globs that must match something.

    Of a recipe without errors: all of them are there.
    """
    named = {
        folder / value: is_folder(folder / value)
        for field in _FILES
        for value, _ in _texts(root, field.pattern)
    }
    return named, [value for pattern in _GLOBS for value, _ in _texts(root, pattern)]


def is_folder(path: Path) -> bool:
    """Whether a folder is there; a path that no folder can have leads to none."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def absent(written: str, folder: Path, noun: str) -> tuple[str, str]:
    """Message and hint for a path that leads to nothing."""
    base, rest = folder, Path(written)
    done = Path(rest.anchor)
    for part in rest.relative_to(rest.anchor).parts:
        if not _exists(base / done / part):
            names = _listing(base / done)
            best = nearest(part, names)
            if best is not None:
                return f"no {noun} `{written}`", f"did you mean `{(done / best).as_posix()}`?"
            where = f"`{done.as_posix()}`" if done.parts else "the folder of the recipe"
            hint = did_you_mean(part, names, f"{where} is empty", f"{where} holds")
            return f"no {noun} `{written}`", hint
        done /= part
    return f"no {noun} `{written}`", "paths are relative to the folder of the recipe"


def _texts(root: Node, pattern: tuple[Key, ...]) -> Iterator[tuple[str, Found]]:
    """The texts at a pattern; of other values the schema says that they are none."""
    for _, place in select(root, pattern):
        if isinstance(place.node.data, str) and place.node.data.strip() and not place.node.broken:
            yield place.node.data, place


def _problem(field: _FileField, written: str, folder: Path) -> tuple[str, str] | None:
    path = folder / written
    try:
        if not path.exists():
            return absent(written, folder, field.what)
        if path.is_dir():
            if field.folder:
                return None
            return f"the {field.what} `{written}` is a folder", "name a file in it"
        if not path.is_file():
            return f"the {field.what} `{written}` is not a regular file", "name a file"
    except (OSError, ValueError) as error:
        return f"`{written}` cannot be looked at: {error}", "name a file"
    if field.suffixes and path.suffix.lower() not in field.suffixes:
        known = ", ".join(f"`{suffix}`" for suffix in field.suffixes)
        kind = f"`{path.suffix}` files" if path.suffix else "files without a suffix"
        return f"a {field.what} cannot be read from {kind}", f"known are {known}; {field.advice}"
    return None


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def _listing(folder: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in folder.iterdir() if entry.name[0] != ".")
    except OSError:
        return []
