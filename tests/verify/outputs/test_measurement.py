"""The step that measures: what it reads, what it writes, what it refuses."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from buildsys.backends.kit.protocol import arrays
from buildsys.backends.kit.protocol.arrays import LABELS
from buildsys.backends.kit.protocol.request import Request, StepError
from buildsys.figures.measurement import Measurement
from buildsys.verify.judgment.gates import judge
from buildsys.verify.outputs.measurement import measure

RUN = {
    "runtime": "someruntime 1.2",
    "latency_ms": {"p50": 0.1, "p95": 0.2, "runs": 50},
    "peak_rss_bytes": 1000,
    "threads": 1,
    "batch_sizes": [1, 4],
}
REFERENCE = np.array([[2.0, 1.0], [1.0, 2.0], [3.0, 1.0]], dtype=np.float32)
Outputs = dict[str, NDArray[Any]]


class Step:
    """A request that is put together piece by piece, and its result."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.request = Request(
            inputs={},
            outputs={"measurement": folder / "measurement.json"},
            options={"outputs": ["logits"], "metric": None},
            scratch=folder,
        )
        self.give("got", logits=REFERENCE)
        self.give("reference", logits=REFERENCE)
        self.give_json("run", RUN)

    def give(self, name: str, **outputs: NDArray[Any]) -> None:
        path = self._folder / f"{name}.npz"
        arrays.save(path, outputs)
        self.request.inputs[name] = path

    def give_json(self, name: str, record: dict[str, Any]) -> None:
        path = self._folder / f"{name}.json"
        path.write_text(json.dumps(record))
        self.request.inputs[name] = path

    def give_evaluation(self, got: NDArray[Any], reference: NDArray[Any], **data: Any) -> None:
        self.give("got_evaluation", logits=got)
        self.give("reference_evaluation", logits=reference)
        self.give("evaluation", image=np.zeros((len(got), 1)), **data)

    def run(self) -> dict[str, Any]:
        measure(self.request)
        text = self.request.outputs["measurement"].read_text()

        def refuse(word: str) -> None:
            raise AssertionError(f"{word} is no JSON")

        record: dict[str, Any] = json.loads(text, parse_constant=refuse)
        return record


@pytest.fixture
def step(tmp_path: Path) -> Step:
    return Step(tmp_path)


def test_figures_run_and_samples(step: Step) -> None:
    record = step.run()
    assert record["outputs"]["logits"]["signal_error"] == 0
    assert record["outputs"]["logits"]["shape"] == [3, 2]
    assert record["metric"] is None
    assert record["samples"] == 3
    assert {name: record[name] for name in RUN} == RUN


def test_equal_inputs_give_equal_bytes(step: Step) -> None:
    step.run()
    first = step.request.outputs["measurement"].read_bytes()
    step.run()
    assert step.request.outputs["measurement"].read_bytes() == first


def test_outputs_keep_the_models_order(step: Step) -> None:
    both = {"scores": REFERENCE, "boxes": REFERENCE}
    step.give("got", **both)
    step.give("reference", **both)
    step.request.options["outputs"] = ["scores", "boxes"]
    assert list(step.run()["outputs"]) == ["scores", "boxes"]


def test_a_metric_that_is_built_in(step: Step) -> None:
    step.request.options["metric"] = "top1"
    wrong = REFERENCE.copy()
    wrong[0] = [0, 1]
    step.give_evaluation(wrong, REFERENCE, **{LABELS: np.array([0, 1, 1])})
    assert step.run()["metric"] == {
        "name": "top1",
        "value": pytest.approx(1 / 3),
        "reference": pytest.approx(2 / 3),
        "count": 3,
        "drop": pytest.approx(1 / 3),
        # One of three was lost: (2 - 1) / 5, and 1.96 times the root of (3 / 5 - 1 / 25) / 5.
        "low": pytest.approx(0.2 - 1.95996 * math.sqrt(0.56 / 5), rel=1e-5),
        "high": pytest.approx(0.2 + 1.95996 * math.sqrt(0.56 / 5), rel=1e-5),
        "method": "bonett-price",
        "distinguishable": False,
    }


def test_the_metric_reads_the_first_output(step: Step) -> None:
    step.request.options |= {"metric": "top1", "outputs": ["logits", "other"]}
    step.give("got", logits=REFERENCE, other=REFERENCE)
    step.give("reference", logits=REFERENCE, other=REFERENCE)
    step.give_evaluation(REFERENCE, REFERENCE, **{LABELS: np.array([0, 1, 0])})
    assert step.run()["metric"]["value"] == 1


def test_a_metric_of_the_projects_own(step: Step) -> None:
    step.give_evaluation(REFERENCE, REFERENCE)
    figures = {"value": 0.5, "reference": 0.75, "count": 3, "interval": [0.125, 0.5]}
    step.give_json("metric", figures)
    assert step.run()["metric"] == {
        "name": "python",
        "value": 0.5,
        "reference": 0.75,
        "count": 3,
        "drop": 0.25,
        "low": 0.125,
        "high": 0.5,
        "method": "bootstrap",
        "distinguishable": True,
    }
    step.give_json("metric", figures | {"interval": None})
    assert "low" not in step.run()["metric"]


def test_nan_becomes_null_and_fails(step: Step) -> None:
    broken = REFERENCE.copy()
    broken[1, 1] = math.nan
    step.give("got", logits=broken)
    step.request.options["metric"] = "mse"
    step.give_evaluation(broken, REFERENCE, **{LABELS: REFERENCE})
    record = step.run()
    assert record["outputs"]["logits"]["nan_count"] == 1
    assert record["outputs"]["logits"]["signal_error"] is None
    assert record["metric"]["value"] is None
    judged = judge(
        Measurement.of(record),
        {"signal_error": 1e9, "metric_drop": 1e9},
        bytes=1,
        baseline_bytes=None,
        latency_ratio=None,
    )
    assert [gate.bound for gate in judged if gate.passed] == ["shape", "dtype"]


def test_a_metric_of_the_projects_own_that_is_nan(step: Step) -> None:
    step.give_evaluation(REFERENCE, REFERENCE)
    step.give_json("metric", {"value": math.nan, "reference": 0.75, "count": 3, "interval": None})
    assert step.run()["metric"]["value"] is None


def test_a_reference_that_does_not_vary(step: Step) -> None:
    step.give("reference", logits=np.ones((3, 2), dtype=np.float32))
    with pytest.raises(StepError, match="does not vary") as caught:
        step.run()
    assert "samples" in str(caught.value.hint)
    assert caught.value.field == "samples"
    assert not step.request.outputs["measurement"].exists()


@pytest.mark.parametrize(("side", "owner"), [("got", "artifact"), ("reference", "original")])
def test_an_output_that_is_missing(step: Step, side: str, owner: str) -> None:
    step.give(side, output_0=REFERENCE)
    with pytest.raises(StepError, match=f"{owner}.*`logits`") as caught:
        step.run()
    assert "`output_0`" in str(caught.value.hint)


def test_labels_that_are_missing(step: Step) -> None:
    step.request.options["metric"] = "top1"
    step.give_evaluation(REFERENCE, REFERENCE)
    with pytest.raises(StepError, match="needs labels") as caught:
        step.run()
    assert caught.value.field == "evaluate.dataset"


def test_labels_that_do_not_fit(step: Step) -> None:
    step.request.options["metric"] = "top1"
    step.give_evaluation(REFERENCE, REFERENCE, **{LABELS: np.array([1, 2, 1])})
    with pytest.raises(StepError, match="go from 1 to 2") as caught:
        step.run()
    assert caught.value.field == "evaluate.dataset"


def test_figures_at_other_sizes(step: Step) -> None:
    """Two inputs that give the same tell nothing of the signal: the samples do."""
    same = np.full((2, 4), 2.0, dtype=np.float32)
    step.give("reference_extremes", **{"N=2/logits": same, "N=9/logits": REFERENCE})
    step.give("got_extremes", **{"N=2/logits": same + 0.5})
    record = step.run()
    (extreme,) = record["extremes"]  # The artifact was not run at the other one.
    assert extreme["at"] == {"N": 2}
    figures = extreme["outputs"]["logits"]
    assert figures["max_abs"] == 0.5
    # The samples deviate from their mean by 2/3, sqrt(2/9): an rms of sqrt(4/9).
    assert figures["signal_error"] == pytest.approx(0.5 / (2 / 3))
    (gate,) = [
        gate
        for gate in judge(
            Measurement.of(record), {"max_abs": 0.4}, bytes=1, baseline_bytes=1, latency_ratio=None
        )
        if gate.bound == "max_abs"
    ]
    assert (gate.value, gate.at, gate.passed) == (0.5, {"N": 2}, False)


def test_outputs_without_elements_at_a_size(step: Step) -> None:
    empty = np.zeros((2, 0), dtype=np.float32)
    step.give("reference_extremes", **{"N=1/logits": empty})
    step.give("got_extremes", **{"N=1/logits": empty})
    assert step.run()["extremes"] == [{"at": {"N": 1}, "outputs": {}}]
    step.give("got_extremes", **{"N=1/logits": np.zeros((2, 1), dtype=np.float32)})
    figures = step.run()["extremes"][0]["outputs"]["logits"]
    assert (figures["shape_match"], figures["max_abs"]) == (False, None)


@pytest.mark.parametrize("unrounded", [False, True])
def test_a_run_that_rounds_weights_alone_is_measured(step: Step, unrounded: bool) -> None:
    off = REFERENCE * np.float32(1.001)
    for name in ("graph_got", "graph_reference"):
        step.give(name, logits=off)
    for name in ("graph_got_edges", "graph_reference_edges"):
        step.give(name)
    step.give_json("graph_told", {"reason": None, "numbers": []})
    told = {"reason": "no weight of the model explains `w`", "numbers": []}
    weights = {"held": told, "missing": [], "unexplained": [], "altered": [], "traced": 1.0}
    step.give_json("weights", weights)
    step.request.options["unrounded"] = unrounded
    graph = step.run()["graph"]
    assert graph["reason"] == told["reason"]
    if not unrounded:
        assert set(graph) == {"reason"}
        return
    expected = np.linalg.norm(off - REFERENCE) / np.linalg.norm(REFERENCE - REFERENCE.mean(0))
    assert graph["unrounded"]["logits"]["signal_error"] == pytest.approx(expected, rel=1e-5)


def test_a_run_without_fast_kernels_is_measured_beside_the_shipped_one(step: Step) -> None:
    """Both for the samples that the former has: what is off for another is not said to be the kernels'."""
    step.request.options["fast_kernels"] = "the fast ones"
    off = REFERENCE.copy()
    off[2] *= np.float32(1.01)
    step.give("got", logits=off)
    step.give("plain", logits=REFERENCE[:2])
    plain = {"logits": {"signal_error": 0.0, "shipped": 0.0}}
    assert step.run()["plain"] == {"without": "the fast ones", "outputs": plain}
    step.give("plain", logits=REFERENCE)
    (figures,) = step.run()["plain"]["outputs"].values()
    assert figures["signal_error"] == 0.0
    assert figures["shipped"] > 1e-3


def test_an_artifact_that_fast_kernels_alone_run_has_no_other_run(step: Step) -> None:
    step.request.options["fast_kernels"] = "the fast ones"
    step.give("plain")
    assert "plain" not in step.run()
