"""Writes `docs/formats.md` from what the backends declare.

python docs/formats.py
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from buildsys.backends.base import Backend, Format, Options, Scheme
from buildsys.planner.catalog import BUILT_IN, Catalog, load_built_in

FILE = Path(__file__).parent / "formats.md"
HEAD = """\
# Formats

What a target may ask for: `{format: NAME, options: {…}, quantization: PROFILE}`. Written by
`python docs/formats.py` from the backends' declarations; `modelbuild doctor` says which of them this
machine can make and run.

"""


def main() -> None:
    """Writes the file."""
    FILE.write_text(document(Catalog.load(load_built_in())))


def document(catalog: Catalog) -> str:
    """All formats, by name."""
    names = catalog.deployable_formats()
    lines = ["| format | file | made from | run by | schemes |", "|---" * 5 + "|"]
    lines += [_row(catalog, catalog.formats[name]) for name in names]
    parts = [_section(catalog.backend_of(name), catalog.formats[name], catalog) for name in names]
    return HEAD + "\n".join(lines) + "\n\n" + "\n".join(parts)


def _row(catalog: Catalog, declared: Format) -> str:
    schemes = ", ".join(scheme.name for scheme in declared.schemes) or "–"
    cells = (
        f"[`{declared.name}`](#{declared.name})",
        f"`{declared.suffix}`{', a folder' if declared.kind == 'tree' else ''}",
        ", ".join(_sources(catalog, declared)),
        _run_by(declared),
        schemes,
    )
    return "| " + " | ".join(cells) + " |"


def _run_by(declared: Format) -> str:
    if declared.check is not None:
        return f"checked by toolchain `{declared.check.toolchain}`; what is in it is run"
    if declared.runtime is None and declared.evaluator is not None:
        return f"evaluated by toolchain `{declared.evaluator.toolchain}`"
    if declared.runtime is None:
        return "nothing here"
    return f"toolchain `{declared.runtime.toolchain}`"


def _sources(catalog: Catalog, declared: Format) -> list[str]:
    """What a format is made from, in words."""
    taken = [
        (name, rule.route)
        for _, rule in catalog.rules
        if rule.gives == declared.name and rule.makes
        for name in rule.takes
    ]
    words = {"source:factory": "the model"}
    found = {
        (words.get(name) or name.replace("source:", "a file of yours: ")): route
        for name, route in taken
    }
    return [f"{name} (`route: {way}`)" if way else name for name, way in found.items()]


def _section(backend: Backend, declared: Format, catalog: Catalog) -> str:
    lines = [f"## {declared.name}", ""]
    lines += [f"{_about(declared)} {_more(backend)}", ""]
    options = list(_options(declared.options))
    if options:
        lines += ["| option | takes | default | |", "|---|---|---|---|", *options, ""]
    if declared.schemes:
        lines += ["| scheme | bits | calibrated | what becomes of weights and arithmetic |"]
        lines += ["|---|---|---|---|", *map(_scheme, declared.schemes), ""]
    return "\n".join(lines)


def _more(backend: Backend) -> str:
    """Where a backend says more: ours in their folders, others where they are published."""
    if not backend.folder.is_relative_to(BUILT_IN):
        return f"By the backend `{backend.name}`, which another package brings."
    place = Path("..") / backend.folder.relative_to(BUILT_IN.parents[1])
    return f"See [its README]({place.as_posix()}/README.md)."


def _about(declared: Format) -> str:
    run = (
        f"Evaluated here against the original model, not run: {declared.unverified}."
        if declared.runtime is None and declared.evaluator is not None
        else f"Not run here: {declared.unverified}."
        if declared.runtime is None and declared.check is None
        else "Checked here, not run; what is in it is run against the original model."
        if declared.check is not None
        else "Run here against the original model."
    )
    sizes = "Dynamic sizes are kept." if declared.dynamic else "Sizes are fixed at the example."
    legacy = f" Legacy: {declared.legacy}." if declared.legacy else ""
    return f"{run} {sizes}{legacy}"


def _scheme(scheme: Scheme) -> str:
    bits = ", ".join(map(str, scheme.bits)) or "–"
    return (
        f"| `{scheme.name}` | {bits} | {'yes' if scheme.calibrated else 'no'} "
        f"| {scheme.exact_types} |"
    )


def _options(model: type[Options]) -> Iterator[str]:
    """A row an option: its schema tells what it takes, the docstring what it is for."""
    told = _attributes(inspect.getdoc(model) or "")
    for name, schema in model.model_json_schema().get("properties", {}).items():
        default = schema.get("default")
        text = default if isinstance(default, str) else json.dumps(default)
        shown = "–" if default is None else f"`{text}`"
        yield f"| `{name}` | {_takes(schema)} | {shown} | {told[name]} |"


def _takes(schema: dict[str, Any]) -> str:
    for word in ("anyOf", "oneOf"):
        if word in schema:
            choices = [each for each in schema[word] if each.get("type") != "null"]
            return " or ".join(dict.fromkeys(map(_takes, choices)))
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    if schema.get("type") == "array":
        return f"a list of {_takes(schema['items'])}"
    words = {"boolean": "`true`, `false`", "integer": "a whole number", "number": "a number"}
    words["object"] = "a mapping"
    said = words.get(schema.get("type", ""), "text")
    if "minimum" in schema and "maximum" in schema:
        said += f" from {schema['minimum']} to {schema['maximum']}"
    return said


def _attributes(text: str) -> dict[str, str]:
    """The entries of a docstring's `Attributes:`, each on one line."""
    body = text.partition("Attributes:\n")[2]
    entries = re.findall(r"^    (\w+): (.*(?:\n {8,}.*)*)", body, re.MULTILINE)
    return {name: " ".join(said.split()) for name, said in entries}


if __name__ == "__main__":
    main()
