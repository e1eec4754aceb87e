"""Writes the tables of `docs/quantization.md`: what the backends declare, and what was measured.

python docs/quantization.py
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

from benchmarks.quantization import document as measured
from buildsys.backends.base import Format, Scheme
from buildsys.planner.catalog import Catalog, load_built_in
from buildsys.quantization import METHODS, SCHEME_NAMES, SCHEMES

FILE = Path(__file__).parent / "quantization.md"
PART = re.compile(
    r"(<!-- (names|schemes|choices|methods|compared): .*? -->\n).*?(<!-- end -->)", re.DOTALL
)


def main() -> None:
    """Writes the file."""
    text = FILE.read_text(encoding="utf-8")
    FILE.write_text(document(text, Catalog.load(load_built_in())), encoding="utf-8")


def document(text: str, catalog: Catalog) -> str:
    """The document with its tables as the backends are now; all else stays."""
    formats = [catalog.formats[name] for name in catalog.deployable_formats()]
    formats = [each for each in formats if each.schemes]
    record = json.loads(measured.RESULTS.read_text(encoding="utf-8"))
    tables = {
        "names": _names(),
        "schemes": _table(formats),
        "choices": _choices(formats),
        "methods": _methods(),
        "compared": f"{measured.table(record)}\n{measured.notes(record)}",
    }
    return PART.sub(lambda found: found[1] + tables[found[2]] + found[3], text)


def _names() -> str:
    lines = ["| scheme | what it makes | needs |", "|---|---|---|"]
    for each in SCHEMES:
        needs = "calibration data" if each.calibrated else "nothing"
        needs = needs if each.searched else "what its profiles need"
        lines.append(f"| `{each.name}` | {each.description} | {needs} |")
    return "\n".join(lines) + "\n"


def _methods() -> str:
    lines = ["| method | range |", "|---|---|"]
    lines += [f"| `{each.name}` | {each.description} |" for each in METHODS]
    return "\n".join(lines) + "\n"


def _table(formats: list[Format]) -> str:
    lines = [
        "| format | scheme | library | what becomes of weights and arithmetic |",
        "|---|---|---|---|",
    ]
    for declared, scheme in _each(formats):
        library = scheme.library or "the converter itself"
        lines.append(
            f"| [`{declared.name}`](formats.md#{declared.name}) | `{scheme.name}` | {library} "
            f"| {scheme.exact_types or '–'} |"
        )
    return "\n".join(lines) + "\n"


def _choices(formats: list[Format]) -> str:
    titles = (
        "format",
        "scheme",
        "bits",
        "per_channel",
        "symmetric",
        "activations",
        "method",
        "reads, mixes",
    )
    lines = ["| " + " | ".join(titles) + " |", "|---" * len(titles) + "|"]
    for declared, scheme in _each(formats):
        integers = bool(scheme.bits)
        bits = _words(scheme.bits)
        if scheme.palettes:
            bits += f"; palettes {_words(scheme.palettes)}"
        more = ", ".join(f"`{name}`" for name in (*scheme.reads, *scheme.mixes)) or "–"
        cells = (
            f"`{declared.name}`",
            f"`{scheme.name}`",
            bits,
            _words(scheme.per_channel) if integers else "–",
            _words(scheme.symmetric),
            _words(scheme.activations),
            _words(scheme.methods),
            more,
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _each(formats: list[Format]) -> Iterator[tuple[Format, Scheme]]:
    for declared in formats:
        for scheme in sorted(declared.schemes, key=lambda each: SCHEME_NAMES.index(each.name)):
            yield declared, scheme


def _words(values: tuple[object, ...]) -> str:
    return ", ".join(str(v).lower() for v in values) or "–"


if __name__ == "__main__":
    main()
