"""What docs/accuracy.md shows is right, and its recipe plans."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from buildsys.backends.kit.tasks.direction import DIRECTIONS
from buildsys.figures.json_form import read
from buildsys.figures.measurement import Metric
from buildsys.planner.catalog import Catalog
from buildsys.planner.planning import make_graph
from buildsys.planner.validation import check
from buildsys.recipe import load
from buildsys.recipe.schema.benchmark import Benchmark
from buildsys.recipe.schema.model import Evaluate
from buildsys.verify.judgment.defaults import default_bounds
from buildsys.verify.outputs.task_metric import RESAMPLES, record
from buildsys.verify.wording import drop

TEXT = (Path(__file__).parents[1] / "docs" / "accuracy.md").read_text()


def block(language: str) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)```", TEXT, flags=re.S)
    return str(found)


def test_the_recipe_plans_what_is_told(tmp_path: Path) -> None:
    (tmp_path / "deploy.yaml").write_text(block("yaml"))
    for name in ("data", "model", "metrics"):
        (tmp_path / f"{name}.py").write_text("")
    catalog = Catalog.load()
    recipe = load(tmp_path / "deploy.yaml", environ={}, checks=[check(catalog)])
    graph = make_graph(recipe, catalog)
    (scored,) = {a.options["resamples"] for a in graph.actions.values() if a.rule == "data.metric"}
    assert scored == 100
    (drawn,) = [a for a in graph.actions.values() if a.options.get("role") == "evaluation"]
    assert drawn.options["labels"] == ["boxes", "classes"]
    timed = [a for a in graph.actions.values() if a.rule == "tflite.benchmark"]
    assert ["float_artifact" in a.inputs for a in timed] == [False, True]
    function = ast.parse(block("python")).body[0]
    assert isinstance(function, ast.FunctionDef)
    assert function.name == recipe.spec.models["detector"].evaluate.python.partition(":")[2]  # type: ignore[union-attr]


def test_every_metric_is_told() -> None:
    table = TEXT.partition("| `metric` |")[2].partition("\n\n")[0]
    told = {
        name: row.rpartition("| ")[2].rstrip(" |")
        for row in table.splitlines()[2:]
        for name in re.findall(r"`(\w+)`", row.split("|")[1])
    }
    assert told == dict(DIRECTIONS)


def test_the_settings_are_those_of_the_schema() -> None:
    table = TEXT.partition("| setting |")[2].partition("\n\n")[0]
    told = dict(re.findall(r"^\| `(\w+)` \| (\d+) \|", table, flags=re.M))
    assert told == {name: str(value) for name, value in Benchmark().model_dump().items()}
    assert f"{RESAMPLES:,} times" in TEXT
    assert f"`resamples` times ({Evaluate.model_fields['resamples'].default})" in TEXT


def test_the_defaults_are_those_that_hold() -> None:
    for shown, scheme, coarse in (
        ("| float32 | 1e-3 |", None, False),
        ("| 8 bits | 0.15 |", "static", False),
        ("and mixtures with them | 0.5; with `evaluate` 0.9 |", "weight-only", True),
    ):
        assert shown in TEXT
        limits = [
            default_bounds(scheme, coarse=coarse, metric=metric)["signal_error"]
            for metric in (False, True)
        ]
        told = [float(n) for n in re.findall(r"\d[\d.e-]*", shown.partition("| ")[2])][
            -len(set(limits)) :
        ]
        assert told == sorted(set(limits))


def test_the_line_is_what_one_lost_picture_gives() -> None:
    from buildsys.backends.kit.tasks import paired

    interval = paired.of_outcomes(lost=1, gained=0, count=360)
    said = drop(
        read(Metric, record("top1", (357 / 360, 358 / 360), 360, interval, paired.BINOMIAL))
    )
    assert str(said) in TEXT
