"""Writes `docs/coreml.md` from what `benchmarks.evaluator` found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

HEAD = """\
# Core ML packages, evaluated on Linux

Nothing but Apple's hardware runs Core ML. Elsewhere a package is opened as it was saved and its program is
executed operation by operation, each result rounded to the type that the file declares. A deployable whose
bounds hold is then `checked`: conversion, weights and declared precision are right; Core ML's own kernels
were not run. On a Mac Core ML runs it, and it is `verified`. What is and what is not shown by that stands
in the [backend's README](../buildsys/backends/coreml/README.md). How the evaluator does in Apple's own tests
of operators stands in [coreml-operators.md](coreml-operators.md).

Written by `python -m benchmarks.evaluator`, which builds the architectures of
[`benchmarks/zoo/`](../benchmarks/zoo) with the default bounds: float32 packages within 10 times of what
float32 itself costs the model in torch (against float64), float16 ones within 2 times of what the model
costs in torch's float16, everything finite, weights compared with the model's as weights. `error` is the
worst output's `signal_error`, `floor` its multiple of that cost; operations are compared between the two
packages, casts aside; `w8` is the package with weights of 8 bits, and `=` says that coremltools' own
decompression of it evaluates to the same bits.
"""


def document(found: Mapping[str, Any]) -> str:
    """The whole of `docs/coreml.md`."""
    return "\n".join([HEAD, _shares(found), _table(found), _missing(found)])


def _shares(found: Mapping[str, Any]) -> str:
    times = found["summary"]
    lines = [
        f"- {found['evaluated']} of {found['packages']} packages are evaluated.",
        f"- {_same(found)} of {len(found['ratios'])} pairs have the same operations in the same order.",
        "- Processor time against torch's own, one thread, median over graphs without a loop: "
        + ", ".join(f"{name} {each['static_median']}" for name, each in times.items())
        + "; the largest with one: "
        + ", ".join(f"{name} {each['recurrent_largest']}" for name, each in times.items())
        + ".",
    ]
    return "\n".join(lines) + "\n"


def _same(found: Mapping[str, Any]) -> int:
    return sum(row["operations_differ"] is None for row in found["ratios"].values())


def _table(found: Mapping[str, Any]) -> str:
    lines = [
        "| architecture | float32 | error | floor | float16 | error | floor | operations | w8 | error | | "
        "time, float32 | float16 |",
        "|---" * 13 + "|",
    ]
    for name, row in found["ratios"].items():
        cells = [name]
        for suffix in ("", "-half"):
            each = found["verdicts"].get(f"server/{name}.coreml{suffix}", {})
            cells += [
                each.get("status", ""),
                _number(each.get("signal_error")),
                _number(each.get("floor_ratio")),
            ]
        differ = row["operations_differ"]
        cells.append("same" if differ is None else _counts(differ))
        small = found["verdicts"].get(f"server/{name}.coreml-w8", {})
        cells += [small.get("status", "–"), _number(small.get("signal_error"))]
        cells.append({True: "=", False: "**differs**", None: ""}[row["decoded_equal"]])
        cells += [str(row["float32"]), str(row["float16"])]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _counts(differ: Mapping[str, int]) -> str:
    return ", ".join(f"{count:+d} {name}" for name, count in differ.items()) or "another order"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2g}"


def _missing(found: Mapping[str, Any]) -> str:
    lines = [f"- `{label}` could not be made." for label in found["not_made"]]
    lines += [
        f"- `{label}` is not evaluated: {reason}"
        for label, reason in found["not_evaluated"].items()
    ]
    lines += [
        f"- `{label}` is rejected: {each['reason']}."
        for label, each in found["verdicts"].items()
        if each["status"] == "rejected"
    ]
    return "\n".join(["## What is not well", "", *(lines or ["Nothing."])]) + "\n"
