"""Nobody else reads a store, whatever the umask; names that ignore case are told apart in the recipe."""

from __future__ import annotations

import os

import pytest

from tests.cli.inside import Inside
from tests.space import Space

OTHER = """\
  M:
    source: {factory: model:build, args: {scale: 1.0}, checkpoint: weights.safetensors}
    inputs: {x: {shape: [4, 3]}}
    outputs: {y: {}}
    samples: {dataset: val, count: 8}
    environment: host
"""


@pytest.fixture
def modelbuild(
    space: Space, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Inside:
    return Inside(space, monkeypatch, capsys)


def test_the_store_is_the_users_own(modelbuild: Inside) -> None:
    store = modelbuild.space.store
    before = os.umask(0)
    try:
        assert modelbuild("plan").code == 0
        assert store.stat().st_mode & 0o777 == 0o700
        store.chmod(0o755)
        assert modelbuild("plan").code == 0
        assert store.stat().st_mode & 0o777 == 0o700
    finally:
        os.umask(before)


def test_names_that_differ_in_case_are_one_file(modelbuild: Inside) -> None:
    modelbuild.space.edit(
        "deploy.yaml",
        "    - {format: coreml}\n",
        "    - {format: coreml, name: Big}\n    - {format: coreml, name: big}\n",
    )
    said = modelbuild("plan")
    assert said.code == 2
    assert "`ios/m.coreml-big` and `ios/m.coreml-Big` would be one file" in said.err
    assert "where case is ignored" in said.err
    assert "--> deploy.yaml:24:7" in said.err


def test_models_of_one_target_that_differ_in_case_are_refused(modelbuild: Inside) -> None:
    modelbuild.space.edit("deploy.yaml", "quantization:\n  half", f"{OTHER}quantization:\n  half")
    answer = modelbuild("plan")
    assert answer.code == 2
    assert "`m` and `M` are one name in the target `ios`, where case is ignored" in answer.err
    assert "--> deploy.yaml:15:3" in answer.err


def test_models_that_differ_in_case_may_go_to_different_targets(modelbuild: Inside) -> None:
    modelbuild.space.edit(
        "deploy.yaml",
        "quantization:\n  half",
        f"{OTHER}quantization:\n  half",
    )
    for format_name in ("onnx", "coreml", "tflite"):
        model = "M" if format_name == "tflite" else "m"
        text = (modelbuild.space.project / "deploy.yaml").read_text()
        edited = text.replace(f"format: {format_name}", f"format: {format_name}, models: [{model}]")
        modelbuild.space.write("deploy.yaml", edited)
    assert modelbuild("plan").code == 0
