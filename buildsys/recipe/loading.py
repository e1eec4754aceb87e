"""`deploy.yaml` to a recipe."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from pydantic import ValidationError

from buildsys.recipe.checks import consistency, faults, references
from buildsys.recipe.diagnostic import Diagnostic, RecipeError
from buildsys.recipe.finding import absolute, is_file
from buildsys.recipe.recipe import Recipe
from buildsys.recipe.schema.spec import Spec
from buildsys.recipe.text import includes
from buildsys.recipe.text.document import Node, select
from buildsys.recipe.text.parsing import Composer, RefusedError
from buildsys.recipe.text.position import Position, Source
from buildsys.recipe.text.syntax import decode, encoding_diagnostic
from buildsys.small_files import read_bytes

Check = Callable[[Recipe], list[Diagnostic]]


def load(
    path: Path,
    *,
    environ: Mapping[str, str],
    checks: Sequence[Check] = (),
    texts: Mapping[Path, str] = MappingProxyType({}),
) -> Recipe:
    """Reads and validates a recipe.

    Args:
        path: The file.
        environ: What `${VAR}` takes its values from.
        checks: More checks, of things that this package knows nothing of (formats, options). They
            are called when the recipe fits the schema and every name in it is defined.
        texts: What to take for the text of some files (absolute), whatever is in them.

    Raises:
        RecipeError: Something is wrong; it carries everything that could be found.
    """
    reader = _Reader(absolute(path), environ, texts)
    root = reader.read()
    found = reader.diagnostics
    if root is None:
        raise RecipeError(_ordered(found, reader.files))
    spec = None
    try:
        data = {key: value for key, value in root.data.items() if not key.startswith("x-")}
        spec = Spec.model_validate(data)
    except ValidationError as error:
        found += faults.diagnostics(error, root)
    pointed_at = {each.position for each in found}
    unknown = references.unknown_names(root)
    files = references.missing_files(root, reader.folder)
    found += [each for each in unknown + files if each.position not in pointed_at]
    recipe = None
    if spec is not None:
        recipe = Recipe(
            path=reader.path,
            folder=reader.folder,
            spec=spec,
            files=tuple(reader.files),
            environment=MappingProxyType(dict(sorted(reader.used.items()))),
            root=root,
        )
        if not unknown and not references.unread_names(root):
            for check in (consistency.disagreements, *checks):
                found += check(recipe)
    found = _ordered(found, reader.files)
    if recipe is None or any(each.severity == "error" for each in found):
        raise RecipeError(found)
    return replace(recipe, warnings=tuple(found))


class _Reader:
    """Reads a recipe's files.

    Attributes:
        path: The recipe.
        folder: Its folder.
        files: What was read, in order.
        used: The environment variables that were put in.
        diagnostics: What is wrong so far.
    """

    def __init__(self, path: Path, environ: Mapping[str, str], texts: Mapping[Path, str]) -> None:
        self.path = path
        self.folder = path.parent
        self.files: list[Path] = []
        self.used: dict[str, str] = {}
        self.diagnostics: list[Diagnostic] = []
        self._environ = environ
        self._texts = texts

    def read(self) -> Node | None:
        """The recipe's document with its fragments; `None` when a file cannot be read at all."""
        root = self._document(self.path, None)
        if root is None:
            return None
        fragments = []
        complete = True
        for _, found in select(root, ("include", "*")):
            if not isinstance(found.node.data, str) or found.node.broken:
                continue
            place = found.value_position()
            fragment = self._fragment(found.node.data, place)
            if fragment is None:
                complete = False
            else:
                fragments.append(includes.Fragment(fragment, place))
        if not complete:
            # Without it, every name that it defines would be said to be unknown.
            return None
        joined, diagnostics = includes.join(root, fragments)
        self.diagnostics += diagnostics
        return joined

    def _fragment(self, written: str, place: Position) -> Node | None:
        path = absolute(self.folder / written)
        if path in self.files:
            message = f"`{written}` is included already"
            self.diagnostics.append(Diagnostic(message, place, "delete it"))
            return None
        if not is_file(path):
            message, hint = references.absent(written, self.folder, "file")
            self.diagnostics.append(Diagnostic(message, place, hint))
            return None
        return self._document(path, place)

    def _document(self, path: Path, place: Position | None) -> Node | None:
        self.files.append(path)
        try:
            content = b"" if path in self._texts else read_bytes(path)
        except OSError as error:
            message = f"`{path}` cannot be read: {error.strerror}"
            self.diagnostics.append(Diagnostic(message, place, "name a recipe with `--file`"))
            return None
        text = self._texts.get(path, decode(content))
        if isinstance(text, int):
            self.diagnostics.append(encoding_diagnostic(Source(path, ""), content, text))
            return None
        composer = Composer(Source(path, text), self._environ)
        try:
            root = composer.compose()
        except RefusedError as error:
            self.diagnostics += [*composer.diagnostics, error.diagnostic]
            return None
        self.diagnostics += composer.diagnostics
        self.used.update(composer.used)
        return root


def _ordered(found: Iterable[Diagnostic], files: list[Path]) -> list[Diagnostic]:
    """Findings in the order of files and lines, each once.

    What is wrong with a value that several aliases bring in is one finding with several places.
    """
    merged: dict[tuple[str, Position | None], Diagnostic] = {}
    for each in found:
        first = merged.get((each.message, each.position))
        if first is not None:
            places = (*first.also, *(place for place in each.also if place not in first.also))
            each = replace(first, also=places)
        merged[each.message, each.position] = each

    def order(diagnostic: Diagnostic) -> tuple[int, int, int]:
        place = diagnostic.position
        if place is None:
            return (-1, 0, 0)
        index = files.index(place.file) if place.file in files else len(files)
        return (index, place.line, place.column)

    return sorted(merged.values(), key=order)
