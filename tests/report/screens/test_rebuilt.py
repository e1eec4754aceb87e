"""What making each step again showed."""

from __future__ import annotations

from typing import Any

from buildsys.report.screens.rebuilt import print_rebuilt
from tests.report.screens.capture import lines


def step(name: str, held: str, *outputs: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "id": name,
        "held": held,
        "reason": None,
        "outputs": outputs,
        "other_inputs": [],
        **more,
    }


def output(name: str, held: str, reason: str | None = None) -> dict[str, Any]:
    return {"filename": name, "held": held, "reason": reason, "before": "aa", "now": "bb"}


STEPS = [
    step("n#export", "bytes", output("model.onnx", "bytes")),
    step("n#run", "differs", output("out.npz", "differs", "at byte 7")),
    step("n#judge", "inputs", other_inputs=["outputs"]),
    step("n#pack", "skipped", reason="nothing made its input"),
]
SUMMARY = {"bytes": 1, "differs": 1, "inputs": 1, "skipped": 1, "failed": 0}


def shown(steps: list[dict[str, Any]], summary: dict[str, int], *, verbose: bool) -> list[str]:
    record = {"steps": steps, "summary": summary}
    return lines(lambda console: print_rebuilt(console, record, verbose=verbose))


def test_a_line_a_step_then_what_differs_then_the_counts() -> None:
    found = shown(STEPS, SUMMARY, verbose=False)
    assert [line.split("  ")[-1].strip() for line in found[1:5]] == [
        "same bytes",
        "DIFFERS",
        "other inputs",
        "not made",
    ]
    assert found[6:] == [
        "n#run: out.npz: DIFFERS (at byte 7)",
        "  it was given others: outputs",
        "n#pack: nothing made its input",
        "",
        "4 steps made again: 1 same bytes, 1 differs, 1 other inputs, 1 not made",
        "hint: what differs depends on something that its key does not hold; a shared cache would hand "
        "it out all the same",
    ]


def test_verbose_names_equal_outputs_and_both_digests() -> None:
    found = shown(STEPS[:2], {"bytes": 1, "differs": 1}, verbose=True)
    assert "n#export: model.onnx: same bytes" in found
    assert "  aa → bb" in found


def test_nothing_that_differs_needs_no_hint() -> None:
    found = shown(STEPS[:1], {"bytes": 1, "differs": 0}, verbose=False)
    assert found[-1] == "1 step made again: 1 same bytes"
