"""Models that are made of other models: what they inherit, which actions they need, what is refused."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from buildsys.planner.catalog import Catalog
from buildsys.planner.graph import Action, ActionGraph, OutputRef
from buildsys.planner.planning import make_graph
from buildsys.planner.validation import check
from buildsys.recipe import RecipeError, load

RECIPE = """\
version: 1
project: p
datasets:
  train: {source: train.npz, inputs: {x: x}, labels: y}
  val: {source: train.npz, inputs: {x: x}, labels: y}
models:
  big:
    source: {factory: "model:build", checkpoint: w.safetensors}
    inputs: {x: {shape: [N, 4]}}
    outputs: {y: {}}
    evaluate: {dataset: val, metric: top1}
  file:
    source: {onnx: m.onnx}
    inputs: {x: {shape: [N, 4]}}
    outputs: {y: {}}
  slim:
    source: {model: big}
    transforms:
      - prune: {amount: 0.3, steps: 2, floor: 0.1, train: {python: "t:f", dataset: train}}
      - finetune: {train: {python: "t:f", dataset: train, args: {epochs: 3}}}
  small:
    source: {model: slim}
    transforms:
      - distill: {teacher: big, train: {python: "t:d", dataset: train}}
      - qat: {bits: 4, train: {python: "t:f", dataset: train}}
targets:
  server: [{format: onnx, models: [small, big]}]
"""


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return Catalog.load()


def planned(
    catalog: Catalog, folder: Path, *edits: tuple[str, str], text: str = RECIPE
) -> ActionGraph:
    for old, new in edits:
        assert old in text, old
        text = text.replace(old, new, 1)
    (folder / "deploy.yaml").write_text(text)
    for name in ("w.safetensors", "train.npz", "m.onnx"):
        (folder / name).write_text("")
    return make_graph(load(folder / "deploy.yaml", environ={}, checks=[check(catalog)]), catalog)


def transforms(graph: ActionGraph) -> list[Action]:
    kinds = ("torch.prune", "torch.finetune", "torch.distill", "torch.qat")
    return [a for a in graph.actions.values() if a.rule in kinds]


def test_transforms_are_a_chain_that_everything_below_stands_on(
    catalog: Catalog, tmp_path: Path
) -> None:
    graph = planned(catalog, tmp_path)
    chain = transforms(graph)
    assert [a.id for a in chain] == [
        "slim:1#torch.prune",
        "slim:2#torch.finetune",
        "small:1#torch.distill",
        "small:2#torch.qat",
    ]
    for before, after in pairwise(chain):
        assert after.inputs["weights"] == OutputRef(before.id, "weights")
        assert after.inputs["structure"] == OutputRef(before.id, "structure")
    assert all(a.user_code and a.resumes and a.environment == "torch" for a in chain)
    # The teacher is the model as it is below `teacher`; what it is called decides nothing.
    assert "teacher.checkpoint" in chain[2].inputs
    assert "teacher" not in chain[2].options["settings"]
    # Without a floor nothing of the evaluation is an input.
    assert ["evaluation" in a.inputs for a in chain] == [True, False, False, False]
    last = OutputRef(chain[-1].id, "weights")
    for rule in ("torch.export", "torch.reference", "torch.floor", "torch.weights"):
        users = [a for a in graph.actions.values() if a.rule == rule]
        assert any(a.inputs.get("weights") == last for a in users), rule


def test_the_metric_is_told_of_the_model_before_and_after(catalog: Catalog, tmp_path: Path) -> None:
    graph = planned(catalog, tmp_path)
    small, big = (
        graph.actions[d.evidence.measurement.action]
        for d in sorted(graph.deployables, key=lambda d: d.model, reverse=True)
        if d.evidence.measurement is not None
    )
    before = small.inputs["reference_evaluation"]
    after = small.inputs["transformed_evaluation"]
    # The model before is the one that `big` is: its reference is one action for both.
    assert before == big.inputs["reference_evaluation"]
    assert before != after
    assert isinstance(after, OutputRef)
    # Artifacts themselves are compared with what the transforms have left.
    assert small.inputs["reference"] == OutputRef(after.action, "samples")
    assert "transformed_evaluation" not in big.inputs


def test_without_weights_there_is_nothing_before_the_first_training(
    catalog: Catalog, tmp_path: Path
) -> None:
    edits = ((", checkpoint: w.safetensors", ""), ("[small, big]", "[small, slim, big]"))
    graph = planned(catalog, tmp_path, *edits)
    small = next(d for d in graph.deployables if d.model == "small")
    assert small.evidence.measurement is not None
    before = graph.actions[small.evidence.measurement.action].inputs["reference_evaluation"]
    assert isinstance(before, OutputRef)
    # The first transform has made the weights that later ones may lose something of.
    first = graph.actions[before.action].inputs["weights"]
    assert first == OutputRef("slim:1#torch.prune", "weights")
    alone = planned(
        catalog,
        tmp_path,
        *edits,
        ('      - finetune: {train: {python: "t:f", dataset: train, args: {epochs: 3}}}\n', ""),
    )
    slim = next(d for d in alone.deployables if d.model == "slim")
    assert slim.evidence.measurement is not None
    assert "transformed_evaluation" not in alone.actions[slim.evidence.measurement.action].inputs


def test_what_is_edited_is_an_option_of_that_step_alone(catalog: Catalog, tmp_path: Path) -> None:
    before = transforms(planned(catalog, tmp_path))
    after = transforms(planned(catalog, tmp_path, ("args: {epochs: 3}", "args: {epochs: 4}")))
    assert [a.options == b.options for a, b in zip(before, after, strict=True)] == [
        True,
        False,
        True,
        True,
    ]


@pytest.mark.parametrize(
    ("old", "new", "line", "message", "hint"),
    [
        ("source: {model: big}", "source: {model: bog}", 17, "unknown model `bog`",
         "did you mean `big`?"),
        ("teacher: big", "teacher: bug", 24, "unknown model `bug`", "did you mean `big`?"),
        ("dataset: train, args", "dataset: trian, args", 20, "unknown dataset `trian`",
         "did you mean `train`?"),
        ("source: {model: big}", "source: {model: small}", 22,
         "models are made of each other: `slim` → `small` → `slim`",
         "one of them needs a source of its own"),
        ("teacher: big", "teacher: file", 24,
         "the teacher `file` is a file, which a training function cannot call",
         "name a model with a `factory`"),
        ("teacher: big", "teacher: small", 24, "the teacher `small` is made of its own pupil `small`",
         "name a model that is there before"),
        ("source: {model: big}", "source: {model: file}", 18,
         "`slim` is a file, which nothing can be trained or pruned in",
         "transforms need a `factory` under `source`"),
        ("    evaluate: {dataset: val, metric: top1}\n", "", 18,
         "`floor` bounds the metric of `slim`, which has no `evaluate`",
         "add `evaluate: {dataset: NAME, metric: top1}` to `models.slim`"),
        ("metric: top1", "metric: iou", 19, "`floor` cannot watch over the metric `iou`",
         "it can over `top1`, `top5`, `mse`, `mae` and `python`"),
        ("source: {model: big}", "source: {model: big, args: {a: 1}}", 17,
         "`args` needs a `factory`", "`model` brings its own: delete `args`"),
        ("source: {model: big}\n", "source: {model: big}\n    inputs: {labels: {shape: [N, 4]}}\n", 20,
         "an input may not be called `labels`: that is what `data` has the labels under",
         "rename the input"),
        (", floor: 0.1, train: {python: \"t:f\", dataset: train}", "", 19,
         "`steps` needs a `train` in between, or a `floor` that it may stop at",
         "delete it: all at once is the same"),
        ("- qat: {", "- finetune: {train: {python: \"t:f\"}}\n        qat: {", 26,
         "`finetune` and `qat` exclude each other",
         "keep one of `prune`, `finetune`, `distill` or `qat`"),
        ("amount: 0.3", "amount: 1", 19,
         "`models.slim.transforms[0].prune.amount` must be below 1, not the number 1", None),
        ("dataset: train, args: {epochs: 3}", "count: 5", 20, "`count` needs a `dataset`", "delete it"),
        ("inputs: {x: {shape: [N, 4]}}\n    outputs: {y: {}}\n  slim", "outputs: {y: {}}\n  slim", 12,
         "`models.file` has no `inputs`", None),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_told_at_its_place(
    catalog: Catalog, tmp_path: Path, old: str, new: str, line: int, message: str, hint: str | None
) -> None:
    with pytest.raises(RecipeError) as caught:
        planned(catalog, tmp_path, (old, new))
    found = [
        (d.position.line if d.position else None, d.message, d.hint)
        for d in caught.value.diagnostics
    ]
    assert (line, message, hint) in found


def test_nothing_comes_after_qat(catalog: Catalog, tmp_path: Path) -> None:
    later = '      - finetune: {train: {python: "t:f", dataset: train}}\ntargets:'
    with pytest.raises(RecipeError) as caught:
        planned(catalog, tmp_path, ("targets:", later))
    (told,) = caught.value.diagnostics
    assert (told.message, told.hint) == (
        "`finetune` after `qat` undoes what that has learnt",
        "`qat` comes last",
    )
    assert [p and p.line for p in (told.position, *told.also)] == [26, 25]
