"""What a build costs that has nothing to do: counted, not timed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from buildsys.engine.session import Session, open_recipe
from buildsys.engine.staleness.walk import Standing, Walk
from buildsys.planner.graph import Action
from tests.space import RECIPE, Space

STATEMENTS = 10


def test_a_no_op_hashes_nothing_starts_nothing_and_asks_little_whatever_its_size(
    tmp_path: Path,
) -> None:
    counts = []
    for models in (1, 4):
        space = Space(tmp_path / f"project{models}", tmp_path / f"store{models}")
        space.create()
        space.write("deploy.yaml", with_models(models))
        assert space.build().exit == 0
        with space.session() as session:
            before = session.engine.index.statements
            build = session.build()
            assert build.summary()["ran"] == 0
            assert build.processes == 0
            assert session.engine.memo.hashed_bytes == 0
            counts.append((len(build.graph.actions), session.engine.index.statements - before))
    (few, asked_of_few), (many, asked_of_many) = counts
    assert many > 3 * few  # The data is sampled once for all models.
    assert asked_of_few == asked_of_many <= STATEMENTS


def with_models(count: int) -> str:
    """The toy recipe with so many models, each with a checkpoint argument of its own."""
    head, rest = RECIPE.split("models:\n")
    model, tail = rest.split("quantization:\n")
    models = "".join(
        model.replace("  m:", f"  m{n}:").replace("scale: 1.0", f"scale: {n}.0")
        for n in range(1, count + 1)
    )
    return f"{head}models:\n{models}quantization:\n{tail}"


def test_each_action_is_looked_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    space = Space(tmp_path / "project", tmp_path / "store")
    space.create()
    space.build()
    looks: list[str] = []
    standing = Walk.standing

    def counted(self: Walk, action: Action, above: Mapping[str, Standing]) -> Standing:
        looks.append(action.id)
        return standing(self, action, above)

    monkeypatch.setattr(Walk, "standing", counted)
    build = space.build()
    assert sorted(looks) == sorted(build.graph.actions)


def test_an_intermediate_that_was_collected_is_made_again_only_when_it_is_needed(
    tmp_path: Path,
) -> None:
    space = Space(tmp_path / "project", tmp_path / "store")
    space.create()
    first = space.build()
    clean = space.artifacts()
    trace = first.run.trace("m:samples#data.sample")
    assert trace is not None
    recipe = open_recipe(space.project / "deploy.yaml", space.catalog, os.environ)
    with Session(recipe, space.catalog, root=space.store) as session:
        for stored in trace.outputs.values():
            session.engine.store.discard(stored.digest)
    assert not space.plan().has_work
    assert space.build().run.executed == []
    new = "    - {format: onnx, name: again, options: {gain: 2.0}}"
    space.edit("deploy.yaml", "    - {format: coreml}", f"    - {{format: coreml}}\n{new}")
    ran = space.ran(space.build())
    assert ran["data.sample"] == 1  # The new deployable is run on the very samples.
    assert ran["onnx.export"] == ran["onnx.run"] == 1
    assert ran["torch.capture"] == ran["tflite.convert"] == ran["tflite.run"] == 0
    after = space.artifacts()
    names = [name for name in clean if name != "report.json" and not name.startswith(".")]
    assert {name: after[name] for name in names} == {name: clean[name] for name in names}
