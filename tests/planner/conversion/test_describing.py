"""What an app does before and after a model: told last, so that it converts and runs nothing again."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from buildsys.backends.base import MetadataWriter
from buildsys.engine.results import Build
from buildsys.engine.staleness.positions import failure_position
from buildsys.planner.catalog import Catalog
from tests.fakes.numeric.rules import backend
from tests.space import Space

LABELS_AT = (11, 27)
"""Line and column in the recipe of the tests."""
LABELS = ("outputs: {y: {}}", "outputs: {y: {labels: [cat, dog]}}")


def carrying(*names: str) -> Catalog:
    """The fakes; some formats have a metadata_writer."""
    metadata_writer = MetadataWriter("host", "worker:carry")
    formats = tuple(
        replace(f, metadata_writer=metadata_writer) if f.name in names else f
        for f in backend.formats
    )
    return Catalog.load([replace(backend, formats=formats)])


def outputs_of(build: Build, label: str) -> Any:
    (found,) = (v for v in build.verdicts if v.deployable.label == label)
    assert found.io is not None
    return found.io["outputs"]


def test_nothing_given_is_no_step(space: Space) -> None:
    build = space.build()
    assert not [a for a in build.graph.actions if "describe" in a]
    assert outputs_of(build, "ios/m.onnx")[0]["labels"] is None


def test_labels_are_in_every_contract_and_run_nothing_again(space: Space) -> None:
    before = space.build()
    bytes_before = space.artifacts()
    space.edit("deploy.yaml", *LABELS)
    build = space.build()
    # Both TFLite files have one contract: what is made of it once serves for both.
    assert space.ran(build) == Counter(
        {"onnx.describe": 1, "coreml.describe": 1, "tflite.describe": 1}
    )
    for verdict in build.verdicts:
        assert verdict.io is not None
        assert verdict.io["outputs"][0]["labels"] == ["cat", "dog"], verdict.deployable.label
    assert [v.status for v in build.verdicts] == [v.status for v in before.verdicts]
    after = space.artifacts()
    changed = {n for n in after if after[n] != bytes_before[n]}
    assert changed <= {"report.json", ".modelbuild.json"}
    assert build.graph.deployables[0].route.rules[-1] == "onnx.describe"


def test_a_carrier_writes_into_the_artifact_and_that_is_run(space: Space) -> None:
    space.catalog = carrying("onnx")
    space.build()
    space.edit("deploy.yaml", *LABELS)
    build = space.build()
    assert set(space.ran(build)) == {
        *("onnx.describe", "onnx.run", "verify.measure"),  # What ships is what is measured.
        *("coreml.describe", "tflite.describe"),
    }
    assert b"cat" in space.artifacts()["ios/m.plain"]
    assert space.build().run.executed == []


def test_a_file_of_labels(space: Space) -> None:
    space.write("names.txt", "\ufeffbig cat\r\ndog\r\n")
    space.edit("deploy.yaml", LABELS[0], "outputs: {y: {labels: names.txt}}")
    build = space.build("ios/m.onnx")
    assert outputs_of(build, "ios/m.onnx")[0]["labels"] == ["big cat", "dog"]
    space.write("names.txt", "cat\ndog\n")
    assert set(space.ran(space.build("ios/m.onnx"))) == {"onnx.describe"}
    # Other bytes of the same names stop where they are read.
    space.write("names.txt", "cat\ndog")
    assert set(space.ran(space.build("ios/m.onnx"))) == {"onnx.describe"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\nb\nc\n", "3 labels are given for output `y`, whose last axis has 2"),
        ("a\n\nb\n", "line 2 of the file of labels is empty"),
        ("", "line 1 of the file of labels is empty"),
    ],
)
def test_labels_that_do_not_fit(space: Space, text: str, message: str) -> None:
    space.write("names.txt", text)
    space.edit("deploy.yaml", LABELS[0], "outputs: {y: {labels: names.txt}}")
    build = space.build("ios/m.onnx")
    assert build.exit == 1
    (failed,) = build.run.failures.items()
    action, fault = failed
    assert fault.message == message
    place = failure_position(build.recipe, build.graph.actions[action], fault.field)
    assert place is not None
    assert (place.line, place.column) == LABELS_AT


def test_a_changed_label_is_explained_where_it_is_written(space: Space) -> None:
    space.edit("deploy.yaml", *LABELS)
    space.build()
    space.edit("deploy.yaml", "[cat, dog]", "[cat, hog]")
    (reasons,) = space.plan("ios/m.coreml").reasons.values()
    (reason,) = reasons
    assert reason.place is not None
    assert reason.change is not None
    assert (reason.place.line, reason.place.column) == LABELS_AT
