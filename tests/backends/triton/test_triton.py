"""Model repositories, and the check of them by Triton's own protobuf."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from buildsys.backends.kit.protocol.contract import Contract, Port
from buildsys.backends.triton.rules import TritonOptions
from tests.profile import some
from tests.support.harness import Result, run_worker
from tests.support.models import small_onnx as small
from tests.support.models import small_torch

pytestmark = pytest.mark.toolchain

CONFIG = """\
name: "net"
backend: "onnxruntime"
platform: "onnxruntime_onnx"
default_model_filename: "model.onnx"
max_batch_size: 64
input {
  name: "x"
  data_type: TYPE_FP32
  dims: [ 3 ]
}
input {
  name: "ids"
  data_type: TYPE_INT64
  dims: [ -1 ]
}
output {
  name: "y"
  data_type: TYPE_FP32
  dims: [ 4 ]
}
output {
  name: "positive"
  data_type: TYPE_BOOL
  dims: [ 4 ]
}
instance_group {
  count: 1
  kind: KIND_AUTO
}
"""


def make(
    inputs: dict[str, Path],
    takes: str = "onnx",
    seed: str = "0",
    ports: list[dict[str, Any]] | None = None,
    **given: Any,
) -> Result:
    torchscript = takes == "torchscript"
    return run_worker(
        "torch" if torchscript else "triton",
        "triton",
        ("torchscript_worker" if torchscript else "worker") + f":make_{takes}",
        inputs=inputs,
        options={
            "ports": ports or small.PORTS,
            "outputs": small.OUTPUTS,
            "scheme": None,
            "format": TritonOptions(**given).model_dump(mode="json"),
            "metadata": small.METADATA,
        },
        hash_seed=seed,
    )


def check(made: Result, contained: Path, ports: list[dict[str, Any]] | None = None) -> Result:
    return run_worker(
        "triton",
        "triton",
        "check:check",
        inputs={"artifact": made.artifact, "io": made.outputs["io"], "contained": contained},
        outputs={"check": "check.json"},
        options={"ports": ports or small.PORTS},
    )


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return small.write(tmp_path_factory.mktemp("onnx"))


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Path]]:
    return small_torch.write(tmp_path_factory.mktemp("torch"))


@pytest.fixture(scope="module")
def made(inputs: dict[str, Path]) -> Result:
    return make(inputs)


def config(made: Result) -> str:
    return (made.artifact / "net" / "config.pbtxt").read_text()


def test_a_repository_around_onnx(made: Result, inputs: dict[str, Path]) -> None:
    assert config(made) == CONFIG
    files = sorted(
        str(p.relative_to(made.artifact)) for p in made.artifact.rglob("*") if p.is_file()
    )
    assert files == ["net/1/model.onnx", "net/config.pbtxt"]
    assert (made.artifact / files[0]).read_bytes() == inputs["artifact"].read_bytes()
    assert made.io == small.CONTRACT
    assert made.notes == []
    reason = check(made, inputs["artifact"]).json("check")["reason"]
    assert reason.startswith("Triton itself was not run. Its own protobuf (2.73.0) reads")
    assert "(2 inputs, 2 outputs: names, dtypes, sizes, batch; read from its file)" in reason


def test_equal_bytes_in_another_folder_and_hash_seed(made: Result, inputs: dict[str, Path]) -> None:
    assert config(make(inputs, seed="7")) == config(made)


def test_options_are_in_the_configuration(inputs: dict[str, Path]) -> None:
    got = make(
        inputs,
        max_batch_size=8,
        instance_count=2,
        kind="gpu",
        dynamic_batching=True,
        preferred_batch_sizes=(4, 8),
        max_queue_delay_us=500,
    )
    text = config(got)
    assert "max_batch_size: 8\n" in text
    assert "instance_group {\n  count: 2\n  kind: KIND_GPU\n}" in text
    assert "  preferred_batch_size: [ 4, 8 ]\n  max_queue_delay_microseconds: 500\n" in text
    assert check(got, inputs["artifact"]).error is None


def test_without_batching_the_batch_is_an_axis_like_others(inputs: dict[str, Path]) -> None:
    got = make(inputs, max_batch_size=0)
    assert "max_batch_size: 0\n" in config(got)
    assert "dims: [ -1, 3 ]" in config(got)
    assert "dims: [ -1, -1 ]" in config(got)
    assert check(got, inputs["artifact"]).error is None


def test_torchscript_tensors_are_known_by_place(scripts: dict[str, dict[str, Path]]) -> None:
    got = make(scripts["two"], "torchscript")
    assert 'backend: "pytorch"\nplatform: "pytorch_libtorch"' in config(got)
    assert [p.artifact_name for p in (*got.io.inputs, *got.io.outputs)] == [
        "INPUT__0",
        "INPUT__1",
        "OUTPUT__0",
        "OUTPUT__1",
    ]
    assert got.notes == [
        "Triton knows a TorchScript's tensors by their places: `INPUT__0` is `x`, `INPUT__1` is `ids`, "
        "`OUTPUT__0` is `y`, `OUTPUT__1` is `positive`"
    ]
    assert (got.artifact / "net/1/model.pt").read_bytes() == scripts["two"]["artifact"].read_bytes()
    reason = check(got, scripts["two"]["artifact"]).json("check")["reason"]
    assert "names, dtypes, sizes, batch; by the contract that it was run by)" in reason


def test_a_torchscript_that_returns_a_dict_is_refused(scripts: dict[str, dict[str, Path]]) -> None:
    refused = make(scripts["named"], "torchscript")
    assert "the model returns Dict[str, Tensor]" in refused.message
    assert refused.hint == "use `route: onnx`, where outputs have names"
    assert refused.field == "route"


def test_an_openvino_ir_has_two_files(tmp_path: Path) -> None:
    folder = tmp_path / "model.openvino"
    folder.mkdir()
    ports = "".join(f'<port names="{name}"/>' for name in ("x", "ids", "y", "positive"))
    (folder / "m.xml").write_text(f"<net>{ports}</net>")
    (folder / "m.bin").write_bytes(b"weights")
    small.CONTRACT.write(tmp_path / "io.json")
    inputs = {"artifact": folder, "io": tmp_path / "io.json"}
    got = make(inputs, "openvino", kind="cpu")
    assert {p.name for p in (got.artifact / "net/1").iterdir()} == {"model.xml", "model.bin"}
    assert 'backend: "openvino"\ndefault_model_filename: "model.xml"' in config(got)
    assert check(got, folder).error is None
    (folder / "m.xml").write_text(f"<net>{ports.replace('ids', 'other')}</net>")
    assert "the model has no such tensor" in check(make(inputs, "openvino"), folder).message
    assert make(inputs, "openvino", kind="gpu").field == "options.kind"


def test_a_scalar_gets_an_axis_and_a_note(tmp_path: Path) -> None:
    plan = tmp_path / "engine.plan"
    plan.write_bytes(b"engine")
    Contract([Port("x", ["N", 3], "float32")], [Port("score", ["N"], "float32")]).write(
        tmp_path / "io.json"
    )
    ports = small.PORTS[:1]
    got = make({"artifact": plan, "io": tmp_path / "io.json"}, "tensorrt", ports=ports, kind="gpu")
    assert "  dims: [ 1 ]\n  reshape { shape: [ ] }" in config(got)
    assert got.notes == [
        "Triton knows no scalars: `score` has an axis of size 1 more than the model's"
    ]
    assert got.io.outputs[0].shape == ["N", 1]
    assert check(got, plan, ports).error is None
    assert make({"artifact": plan, "io": tmp_path / "io.json"}, "tensorrt", kind="cpu").field == (
        "options.kind"
    )


@pytest.mark.parametrize(
    ("given", "message", "field"),
    [
        ({"max_batch_size": 65}, "`max_batch_size: 65` does not go with this model: `N` is 64 at most",
         "options.max_batch_size"),
        ({"max_batch_size": 0, "dynamic_batching": True}, "`dynamic_batching` needs a batch",
         "options.dynamic_batching"),
        ({"max_batch_size": 8, "dynamic_batching": True, "preferred_batch_sizes": (9,)},
         "a preferred batch of 9 is not within 1..8", "options.preferred_batch_sizes"),
    ],
)  # fmt: skip
def test_what_does_not_go_with_the_model(
    inputs: dict[str, Path], given: dict[str, Any], message: str, field: str
) -> None:
    refused = make(inputs, **given)
    assert refused.message.startswith(message)
    assert refused.field == field


def test_what_only_dynamic_batching_reads_needs_it() -> None:
    for given in ({"max_queue_delay_us": 5}, {"preferred_batch_sizes": (2,)}):
        with pytest.raises(ValidationError, match="it means nothing without"):
            TritonOptions.model_validate(given)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    some(
        [
            ("TYPE_FP32", "TYPE_FP23", "Triton's protobuf does not read it: 8:"),
            ("data_type: TYPE_INT64", "data_type: TYPE_INT32", "`input ids` is TYPE_INT32"),
            ("dims: [ 3 ]", "dims: [ 4 ]", "`input x` is [4]: the model has [3]"),
            ("  dims: [ -1 ]\n", "", "`input ids` is without dims"),
            ("max_batch_size: 64", "max_batch_size: 65", "`max_batch_size` is 65"),
            ("max_batch_size: 64", "max_batch_size: 0", "`input x` is [3]: the model has [-1, 3]"),
            ('name: "ids"', 'name: "ID"', "`input` is ['x', 'ID']: the model has ['x', 'ids']"),
            ('name: "net"', 'name: "other"', "`name` is other: the folder is net"),
            ('"onnxruntime_onnx"', '"tensorrt_plan"', "`backend` is onnxruntime"),
            ('"model.onnx"', '"model.plan"', "`default_model_filename` is model.plan"),
        ]
    ),
)
def test_a_wrong_configuration_is_found(
    made: Result, inputs: dict[str, Path], tmp_path: Path, old: str, new: str, message: str
) -> None:
    copy = tmp_path / "repository"
    shutil.copytree(made.artifact, copy)
    path = copy / "net" / "config.pbtxt"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    broken = Result({**made.outputs, "artifact": copy}, [], None, "", 0.0)
    assert message in check(broken, inputs["artifact"]).message


def test_another_model_within_is_found(made: Result, tmp_path: Path) -> None:
    other = tmp_path / "other.onnx"
    other.write_bytes(b"other")
    assert "not the onnx artifact" in check(made, other).message
