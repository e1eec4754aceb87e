"""Known silent disasters, by the command itself: caught, located, explained, and cured where a line can."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.e2e.project import Project

pytestmark = pytest.mark.toolchain

READER, LISTENER = "ios/reader.coreml-fp16", "ios/listener.coreml"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, dict[str, str]]:
    """Both deployables, built once, with their statuses."""
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
