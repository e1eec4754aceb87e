"""Known silent disasters, by the command itself: caught, located, explained, and cured where a line can."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import buildsys
from tests.e2e.project import Project
from tests.support.scripts import script

pytestmark = pytest.mark.toolchain

READER, LISTENER = "ios/reader.coreml-fp16", "ios/listener.coreml"
RECOMMENDER = "ios/recommender.coreml-pruned"
DEFECTIVE = """def _pruned(model: Any, sparsity: float, kept: Sequence[str]) -> Any:
    config = ct.optimize.coreml.OpMagnitudePrunerConfig(
        target_sparsity=sparsity, weight_threshold=WEIGHT_THRESHOLD
    )
    return ct.optimize.coreml.prune_weights(model, _but(config, kept))


"""
"""Pruning as coremltools' documents show it."""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, dict[str, str]]:
    """All deployables, built once, with their statuses."""
    root = tmp_path_factory.mktemp("disasters")
    ignored = shutil.ignore_patterns("__pycache__", "artifacts")
    shutil.copytree(Path(__file__).with_name("disasters"), root / "project", ignore=ignored)
    project = Project(root / "project", root / "store")
    done = project.build()
    assert done.code == 3, done.stderr
    return project, done.statuses()


def test_a_mask_that_becomes_infinite_is_rejected_located_explained_and_cured(
    built: tuple[Project, dict[str, str]],
) -> None:
    project, statuses = built
    assert statuses[READER] == "rejected"
    assert "NaN" in project.report()[READER]["reason"]
    before = (project.folder / "deploy.yaml").read_text()

    asked = project.run("verify", "--locate", READER, "--fix", "--json")
    assert asked.code == 0, asked.stderr
    found = json.loads(asked.stdout)
    assert (found["kind"], found["module"], found["source"]["file"]) == (
        "overflow",
        "masking",
        "model.py",
    )
    assert "torch.finfo(torch.float32).min" in found["source"]["text"]
    assert found["defect"] == "float16-mask"
    assert found["fix"]["cured"]
    # A sentence without any word, one of the edges, is not a number still: softmax sees infinities
    # only. That is located in turn, and kept as well.
    tried = [each["keep_float"] for each in found["fix"]["attempts"]]
    assert tried == [["masking"], ["masking", "attention"]]
    kept = "scheme: float16, keep_float: [masking, attention]}"
    assert f"+  fp16: {{{kept}  # what the Neural Engine takes\n" in found["fix"]["diff"]
    after = (project.folder / "deploy.yaml").read_text()
    assert after == before.replace("scheme: float16}", kept)
    # What is written is what was proven: nothing is left to do, and it ships.
    assert project.report()[READER]["status"] == "checked"
    assert (project.folder / "artifacts" / "ios" / "reader-fp16.mlpackage").is_dir()
    again = project.build(READER)
    assert (again.code, again.ran().total()) == (0, 0)


def test_a_spread_without_its_correction_is_rejected_located_and_explained(
    built: tuple[Project, dict[str, str]],
) -> None:
    project, statuses = built
    assert statuses[LISTENER] == "rejected"
    before = (project.folder / "deploy.yaml").read_bytes()
    asked = project.run("verify", "--locate", LISTENER, "--fix", "--json")
    assert asked.code == 3, asked.stderr
    found = json.loads(asked.stdout)
    assert (found["module"], found["defect"]) == ("scaling", "coreml-bessel")
    assert "window.std()" in found["source"]["text"]
    assert found["fix"]["reason"] == "no line of the recipe cures it"
    line = found["source"]["line"]
    assert found["fix"]["hint"].startswith(f"in `model.py:{line}` write `.std(correction=1)`")
    assert (project.folder / "deploy.yaml").read_bytes() == before

    # The way out that it tells is one.
    project.edit("model.py", "window.std()", "window.std(correction=1)")
    assert project.build(LISTENER).statuses() == {LISTENER: "checked"}


def test_a_package_is_pruned_as_asked_for(built: tuple[Project, dict[str, str]]) -> None:
    project, statuses = built
    assert statuses[RECOMMENDER] == "checked"
    assert project.build(RECOMMENDER).code == 0
    deployable = project.report()[RECOMMENDER]
    assert any("weights are pruned, 50.0% of them zero" in note for note in deployable["notes"])
    assert zeros(project.folder / deployable["path"]) == {"65280": 0.5, "65792": 0.5}


def test_pruning_that_prunes_nothing_is_refused_and_explained(
    built: tuple[Project, dict[str, str]], tmp_path: Path
) -> None:
    project = built[0].fork(tmp_path)
    code = defective(tmp_path / "code")
    done = project.run("build", RECOMMENDER, environment={"PYTHONPATH": str(code)})
    assert done.code == 1
    deployable = project.report()[RECOMMENDER]
    assert (deployable["status"], deployable["path"]) == ("failed", None)
    reason = deployable["reason"]
    assert reason.startswith(
        "coreml.quantize: `sparsity: 0.5` was asked for, but `wide_weight_to_fp16` has "
    )
    # The weight below the limit is pruned.
    assert "narrow" not in reason
    assert reason.endswith(
        " zeros among 65,792; coremltools leaves weights of more than 65,536 float16 numbers as they "
        "are and says nothing: numpy 2 gives their percentiles as NaN"
    )
    line = (project.folder / "deploy.yaml").read_text().splitlines().index(PROFILE) + 1
    assert f"deploy.yaml:{line}:" in done.stdout
    assert PROFILE in done.stdout
    assert "hint: name them in `keep_float` to ship them as they are" in done.stdout
    # What the build before it shipped is no longer said to be this recipe's.
    assert not (project.folder / "artifacts" / "ios" / "recommender-pruned.mlpackage").exists()

    # The way out that it tells is one.
    project.edit("deploy.yaml", "sparsity: 0.5", "sparsity: 0.5, keep_float: [wide_weight*]")
    again = project.build(RECOMMENDER, environment={"PYTHONPATH": str(code)})
    assert (again.code, again.statuses()) == (0, {RECOMMENDER: "checked"})
    package = project.folder / project.report()[RECOMMENDER]["path"]
    assert zeros(package) == pytest.approx({"65280": 0.5, "65792": 0.0}, abs=1e-3)


PROFILE = "  pruned: {scheme: weight-only, sparsity: 0.5}"


def zeros(package: Path) -> dict[str, float]:
    """The part of each matrix that is zero, by its size."""
    printed = script("coreml", Path(__file__).with_name("show_zeros.py"), str(package))
    found: dict[str, float] = json.loads(printed.splitlines()[-1])
    return {size: round(part, 4) for size, part in found.items()}


def defective(root: Path) -> Path:
    """A copy of the code that prunes float16 packages by coremltools' own pruning."""
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(Path(buildsys.__file__).parent, root / "buildsys", ignore=ignored)
    folder = root / "buildsys" / "backends" / "coreml"
    text = (folder / "quantize" / "compression.py").read_text()
    start, end = text.index("def _pruned("), text.index("def _threshold(")
    (folder / "quantize" / "compression.py").write_text(text[:start] + DEFECTIVE + text[end:])
    text = (folder / "worker.py").read_text()
    half = 'half = request.options["scheme"] == "float16"'
    assert half in text
    (folder / "worker.py").write_text(text.replace(half, "half = True"))
    return root
