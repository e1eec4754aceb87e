"""What became of ONNX's own backend models, and why some are no verified artifact.

`python -m tests.backends.onnx.corpus.model_outcomes RECORD` writes docs/onnx-models.md; see `models_sweep`.
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests import sweeps
from tests.backends.onnx.corpus import models_sweep

DOCUMENT = sweeps.REPOSITORY / "docs" / "onnx-models.md"
SAME = 1e-3
"""What OpenVINO alone may be apart from the reference evaluator, as a share of the largest number."""
NOTHING_TO_JUDGE = (
    (
        r"does not vary over the samples|has no elements",
        "Its outputs are the same for all inputs (a shape, a size, a clip whose limits cross): no "
        "measurement tells a right artifact from a wrong one.",
    ),
    (
        r"has another shape for each sample",
        "Values of its input decide the size of its output.",
    ),
    (
        r"neither ONNX Runtime nor the reference evaluator of onnx \S+ runs the file",
        "Neither ONNX Runtime nor ONNX's reference evaluator runs it.",
    ),
)
"""Why a model is no verified `onnx`: what is said, and in words."""
REFUSALS = (
    (r"has no counterpart for the ONNX operator `(\w+)`", "OpenVINO has no counterpart for `{}`."),
    (r"Failed operations detailed log: -- (\w+)-\d+ with", "OpenVINO refuses this `{}`."),
    (r"does not convert the model", "OpenVINO refuses the file."),
    (
        r"does not load the model|cannot run|does not run",
        "OpenVINO does not run what it converted.",
    ),
)
HEAD = """\
# ONNX's own backend models as sources

The wheel of onnx carries models for tests of backends. Those whose inputs are all floats are sources of a
recipe here, as `onnx` and as `openvino`; their samples are what they come with, and variations of it. `make
test` builds a few of them. `make test-nightly` builds all, and fails where this document says something else.
`python -m tests.backends.onnx.corpus.models_sweep`, which goes on where it was stopped, and then `python -m
tests.backends.onnx.corpus.model_outcomes RECORD` write it. What is no verified `openvino` was run by OpenVINO
alone as well, without this project, and held against ONNX's reference evaluator.

"""
Record = Mapping[str, Any]


def why_not(record: Record) -> str | None:
    """Why a model is no verified `onnx`; `None` where nothing explains it."""
    reason = record["onnx"]["reason"] or ""
    return next((why for said, why in NOTHING_TO_JUDGE if re.search(said, reason)), None)


def refusal(record: Record) -> str | None:
    """Why a model is no `openvino`; `None` where it is nobody's fault but this project's.

    A rejection is OpenVINO's where it alone gives other outputs than the reference evaluator; a failure
    where it says so itself, and does no better alone.
    """
    found = record["openvino"]
    alone = found["alone"]
    if isinstance(alone, float) and alone < SAME:
        return None
    if found["status"] == "rejected":
        wrong = isinstance(alone, float)
        return "OpenVINO alone gives other outputs, too." if wrong else None
    for said, why in REFUSALS:
        match = re.search(said, found["reason"] or "")
        if match:
            return why.format(*match.groups())
    return None


def ships(record: Record, form: str = "onnx") -> bool:
    """Whether a model is a verified artifact of a format."""
    return bool(record[form]["status"] == "verified")


def strays(records: Sequence[Record]) -> dict[str, str]:
    """Models that do not ship, and that nothing explains, with the reason of the build."""
    found = {}
    for each in records:
        if not ships(each):
            if why_not(each) is None:
                found[f"{each['model']}.onnx"] = each["onnx"]["reason"]
        elif not ships(each, "openvino") and refusal(each) is None:
            told = f"{each['openvino']['reason']}; alone: {each['openvino']['alone']}"
            found[f"{each['model']}.openvino"] = told
    return found


def document(records: Sequence[Record], known: Mapping[str, str | None]) -> str:
    """docs/onnx-models.md.

    Args:
        records: Of the models that were built, all or some.
        known: Why each model is no source, as `models_sweep.names` tells.
    """
    omitted = [why for why in known.values() if why is not None]
    sources = len(known) - len(omitted)
    shipped = [each for each in records if ships(each)]
    noted = Counter(kind for each in shipped for kind in _notes(each))
    pruned = sum(bool(each["pruned"]) for each in shipped)
    found = Counter(each["openvino"]["status"] for each in shipped)
    partly = "" if len(records) >= sources else f" {len(records)} were built so far, in strides."
    lines = [
        f"- {sources + len(omitted):,} models; {sources} of them have inputs that are floats, and outputs "
        f"that numpy holds.{partly}",
        f"- {len(shipped)} of {len(records)} ship as `onnx`: each was run by ONNX Runtime as shipped, and "
        "held against the original.",
        f"- {noted['upgraded']} of these are of operator sets that ONNX Runtime does not run, and were "
        f"upgraded; of {noted['evaluated']} the original was run by ONNX's reference evaluator.",
        f"- {pruned} ship without an output that is the same for all samples.",
        f"- Of the {len(shipped)}, {found['verified']} ship as `openvino`, {found['rejected']} are "
        f"rejected, and {found['failed']} are not converted.",
        "",
        *_table(
            "why they do not ship as `onnx`",
            [(why_not(e) or "not explained", e["model"]) for e in records if not ships(e)],
        ),
        *_table(
            "why they do not ship as `openvino`",
            [
                (refusal(e) or "not explained", e["model"])
                for e in shipped
                if not ships(e, "openvino")
            ],
        ),
        *_table(
            "why they are no sources",
            [
                (re.sub(r"^`[^`]*` is an? ", "an input or output is not a tensor: ", w), "")
                for w in omitted
            ],
        ),
    ]
    return HEAD + "\n".join(lines).rstrip() + "\n"


def _notes(record: Record) -> list[str]:
    said = " ".join(record["onnx"]["notes"])
    kinds = {
        "upgraded": "onnx.version_converter",
        "evaluated": "was run by the reference evaluator",
    }
    return [kind for kind, words in kinds.items() if words in said]


def _table(title: str, rows: Sequence[tuple[str, str]]) -> list[str]:
    """A row a reason: how many models, and the names of few."""
    named: dict[str, list[str]] = {}
    for why, name in rows:
        named.setdefault(why, []).append(name)
    lines = [f"| models | {title} |", "|---|---|"]
    for why, models in sorted(named.items(), key=lambda row: (-len(row[1]), row[0])):
        names = ", ".join(f"`{each}`" for each in sorted(models) if each)
        lines.append(f"| {len(models)} | {why}{' ' + names if names else ''} |")
    return [*lines, ""]


if __name__ == "__main__":
    found = sweeps.read(Path(sys.argv[1]))
    DOCUMENT.write_text(document(found, models_sweep.names()), encoding="utf-8")
    print(json.dumps(strays(found), indent=1))
