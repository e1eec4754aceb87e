"""No hint names a way that the same build saw fail."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from buildsys.engine.executors import Failed
from buildsys.engine.outcome import ways_out
from buildsys.planner.graph import ActionGraph, OutputRef, Route

TRACE = "`capture: script` keeps control flow, `capture: export` refuses what it cannot keep"
ONNX = "take `route: onnx` for this deployable, which converts by other means"
BOTH = "set `opset: 18`, or use `capture: trace` and `route: torchscript`"


@dataclass
class Step:
    """As much of an action as is looked at."""

    id: str
    rule: str
    above: list[str] = field(default_factory=list)
    way: str | None = None
    method: str | None = None
    instead: tuple[str, ...] = ()
    labels: list[str] = field(default_factory=lambda: ["server/m.x"])

    @property
    def options(self) -> dict[str, Any]:
        return {"method": self.method} if self.method else {}

    def upstream(self) -> list[str]:
        return self.above


@dataclass
class Wanted:
    """As much of a deployable."""

    label: str
    model: str
    format: str
    artifact: OutputRef
    route: Route


class Graph:
    """As much of a graph."""

    def __init__(self, *steps: Step, left: tuple[str, ...] = ()) -> None:
        self.actions = {step.id: step for step in steps}
        artifact, route = OutputRef(steps[-1].id, "artifact"), Route((), True, left)
        self.deployables = [Wanted("server/m.x", "m", "onnx", artifact, route)]

    def below(self, ref: OutputRef) -> list[str]:
        return [ref.action]


def told(graph: Graph, name: str, **hints: str | None) -> tuple[str | None, tuple[str, ...]]:
    failures = {step: Failed("no", hint) for step, hint in hints.items()}
    return ways_out.of_failure(cast("ActionGraph", graph), failures, name)


CAPTURE = Step("capture", "torch.capture", method="trace")
EXPORT = Step("export", "torch.export")


def test_what_nothing_contradicts_stays() -> None:
    assert told(Graph(CAPTURE), "capture", capture=TRACE) == (TRACE, ())
    assert told(Graph(CAPTURE), "capture", capture=None) == (None, ())


def test_one_of_two_ways_is_left() -> None:
    hint, _ = told(Graph(CAPTURE, EXPORT), "capture", capture=TRACE, export="other")
    assert hint == "`capture: script` keeps control flow"


@pytest.mark.parametrize(
    ("hint", "other"),
    [
        (ONNX, Step("other", "tflite.convert", way="onnx")),
        ("`route: exported`", Step("other", "onnx.export", ["export"], way="exported")),
        ("take `capture: export`, which knows it", Step("other", "onnx.export", ["export"])),
    ],
)
def test_the_only_way_that_is_named_failed_too(hint: str, other: Step) -> None:
    here = Step("here", other.rule, ["capture"], way="direct")
    said, _ = told(Graph(CAPTURE, EXPORT, other, here), "here", here=hint, other="no")
    assert said is not None
    assert said.endswith(f"fails in this build too: {ways_out.ANOTHER}")


def test_a_failure_of_another_step_or_model_says_nothing() -> None:
    here = Step("here", "tflite.convert", way="direct")
    other = Step("other", "onnx.export", way="onnx")
    assert told(Graph(other, here), "here", here=ONNX, other="no")[0] == ONNX
    stranger = Step("other", "tflite.convert", way="onnx", labels=["server/n.x"])
    assert told(Graph(stranger, here), "here", here=ONNX, other="no")[0] == ONNX


def test_a_route_that_the_recipe_names_before_is_not_recommended() -> None:
    here = Step("here", "onnx.export", way="torchscript")
    hint, _ = told(Graph(here, left=("exported",)), "here", here="`route: exported`")
    assert hint is not None
    assert hint.startswith("`route: exported` fails in this build too")


def test_formats_that_failed_are_not_offered() -> None:
    here = Step(
        "here",
        "tflite.convert",
        instead=("onnx", "coreml", "onnx by `route: exported`"),
        way="direct",
    )
    other = Step("other", "onnx.export", ["export"], way="torchscript")
    _, instead = told(Graph(here, EXPORT, other), "here", here="no", other="no", export="no")
    assert instead == ("coreml",)


def test_a_format_that_another_route_gave_is_still_offered() -> None:
    here = Step("here", "coreml.convert", instead=("onnx",))
    other = Step("other", "onnx.export", way="torchscript")
    graph = Graph(here, other)
    assert told(graph, "here", here="no", other="no")[1] == ()
    artifact, route = OutputRef("export", "artifact"), Route((), True)
    graph.deployables.append(Wanted("server/m.y", "m", "onnx", artifact, route))
    assert told(graph, "here", here="no", other="no")[1] == ("onnx",)


def test_the_part_before_the_ways_stays() -> None:
    here = Step("here", "onnx.export", way="exported")
    other = Step("other", "onnx.export", way="torchscript")
    hint, _ = told(Graph(other, here), "here", here=BOTH, other="no")
    assert hint is not None
    assert "`route: torchscript` fail" in hint
