"""The step against a stand-in for TensorRT and CUDA: what it asks of them, and what it says."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import pytest

from buildsys.backends import tensorrt as package
from buildsys.backends.kit.protocol.contract import Contract, Port
from buildsys.backends.kit.protocol.request import Request, StepError
from buildsys.backends.tensorrt.failures import described

DIMS = {"N": {"min": 1, "max": 64, "example": 4}}
PORT = {"name": "x", "shape": ["N", 3], "dtype": "float32", "dims": DIMS, "range": None}
MACHINE = {"gpu": "NVIDIA L4", "compute_capability": "8.9", "driver": "580.65.06"}
WRITTEN = "buildsys.backends.tensorrt."


class Rig:
    """TensorRT and CUDA as mocks, and the step's modules that imported them."""

    def __init__(self) -> None:
        self.trt: Any = mock.MagicMock(name="tensorrt", __version__="10.13.0.35")
        self.trt.ILogger = type(
            "ILogger",
            (),
            {"Severity": SimpleNamespace(INTERNAL_ERROR=0, ERROR=1, VERBOSE=4)},
        )
        self.builder = self.trt.Builder.return_value
        self.config = self.builder.create_builder_config.return_value
        self.profile = self.builder.create_optimization_profile.return_value
        self.builder.build_serialized_network.return_value = b"engine"
        self.config.add_optimization_profile.return_value = 0
        network = self.builder.create_network.return_value
        network.num_inputs = network.num_outputs = 1
        network.get_input.return_value = SimpleNamespace(
            name="x", shape=(-1, 3), is_shape_tensor=False
        )
        network.get_output.return_value = SimpleNamespace(name="y")
        self.parser = self.trt.OnnxParser.return_value
        self.context = (
            self.trt.Runtime.return_value.deserialize_cuda_engine.return_value
        ).create_execution_context.return_value
        self.context.get_tensor_shape.return_value = (4, 2)
        self.trt.nptype.return_value = np.float32
        self.cuda: Any = mock.MagicMock(name="cuda")
        done = self.cuda.cudaError_t.cudaSuccess
        found = SimpleNamespace(major=8, minor=9, name=b"NVIDIA L4")
        self.cuda.cudaGetDeviceProperties.return_value = (done, found)
        self.cuda.cudaStreamCreate.return_value = (done, 7)
        self.cuda.cudaMalloc.side_effect = lambda size: (done, 4096 + size)
        for name in ("cudaFree", "cudaMemcpyAsync", "cudaStreamSynchronize"):
            getattr(self.cuda, name).return_value = (done,)

    def build(self, folder: Path, **options: Any) -> Request:
        """Runs the step."""
        io = folder / "io.json"
        Contract([Port("x", ["N", 3], "float32")], [Port("y", ["N", 2], "float32")]).write(io)
        given = {
            "precision": "fp32",
            "optimize_for": {},
            "workspace_mib": 2,
            "builder_optimization_level": 5,
            **options,
        }
        request = Request(
            inputs={"artifact": folder / "model.onnx", "io": io},
            outputs={"artifact": folder / "out.engine", "io": folder / "out.json"},
            options={"ports": [PORT], "outputs": ["y"], "format": given, "machine": MACHINE},
            scratch=folder,
        )
        importlib.import_module(f"{WRITTEN}worker").build(request)
        return request


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    made = Rig()
    bindings = ModuleType("cuda.bindings")
    bindings.runtime = made.cuda  # type: ignore[attr-defined]
    for name, module in {
        "tensorrt": made.trt,
        "cuda": ModuleType("cuda"),
        "cuda.bindings": bindings,
        "cuda.bindings.runtime": made.cuda,
    }.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "")
    yield made
    for part in ("worker", "runtime", "device", "log"):
        sys.modules.pop(WRITTEN + part, None)
        vars(package).pop(part, None)  # Where `from . import device` looks first.


def test_an_engine_is_built_loaded_and_run(rig: Rig, tmp_path: Path) -> None:
    done = rig.build(tmp_path, optimize_for={"N": 16})
    assert (tmp_path / "out.engine").read_bytes() == b"engine"
    rig.profile.set_shape.assert_called_once_with("x", (1, 3), (16, 3), (64, 3))
    rig.config.add_optimization_profile.assert_called_once_with(rig.profile)
    rig.config.set_memory_pool_limit.assert_called_once_with(
        rig.trt.MemoryPoolType.WORKSPACE, 2 * 2**20
    )
    assert rig.config.builder_optimization_level == 5
    rig.context.set_input_shape.assert_called_once_with("x", (4, 3))
    rig.context.execute_async_v3.assert_called_once_with(7)
    assert {c.args for c in rig.context.set_tensor_address.call_args_list} == {
        ("x", 4096 + 48),
        ("y", 4096 + 32),
    }
    assert done.notes == [
        "the engine runs on NVIDIA L4 (compute capability 8.9) with TensorRT 10.13.0.35 alone"
    ]


@pytest.mark.parametrize("precision", ["fp32", "tf32", "fp16"])
def test_float32_is_float32(rig: Rig, tmp_path: Path, precision: str) -> None:
    notes = rig.build(tmp_path, precision=precision).notes
    cleared, put = rig.config.clear_flag, rig.config.set_flag
    flags = rig.trt.BuilderFlag
    assert cleared.call_args_list == ([mock.call(flags.TF32)] if precision == "fp32" else [])
    assert put.call_args_list == ([mock.call(flags.FP16)] if precision == "fp16" else [])
    assert len(notes) == (1 if precision == "fp32" else 2)


def test_an_operator_that_it_does_not_take_is_named(rig: Rig, tmp_path: Path) -> None:
    rig.parser.parse_from_file.return_value = False
    rig.parser.num_errors = 1
    error = rig.parser.get_error.return_value
    error.node_operator.return_value = "StringNormalizer"
    error.node_name.return_value = "/block/1/StringNormalizer"
    error.desc.return_value = "no importer\nregistered"
    with pytest.raises(StepError) as caught:
        rig.build(tmp_path)
    assert caught.value.message == (
        "TensorRT 10.13.0.35 does not take the model: "
        "`StringNormalizer` (in `block.1`): no importer registered"
    )
    assert "`onnx`" in (caught.value.hint or "")
    assert described("", "", "bad file") == "bad file"


def test_what_it_does_not_build_is_told_from_its_log(rig: Rig, tmp_path: Path) -> None:
    def refuse(*_: Any) -> None:
        rig.trt.Builder.call_args.args[0].log(1, "out of memory")

    rig.builder.build_serialized_network.side_effect = refuse
    with pytest.raises(StepError, match="builds no engine: out of memory") as caught:
        rig.build(tmp_path)
    assert "workspace_mib" in (caught.value.hint or "")


def test_another_gpu_than_the_key_s_is_refused(rig: Rig, tmp_path: Path) -> None:
    found = SimpleNamespace(major=7, minor=5, name=b"NVIDIA T4")
    rig.cuda.cudaGetDeviceProperties.return_value = (rig.cuda.cudaError_t.cudaSuccess, found)
    with pytest.raises(StepError, match=r"`NVIDIA T4` of compute capability 7\.5"):
        rig.build(tmp_path)


def test_what_cuda_says_is_told(rig: Rig, tmp_path: Path) -> None:
    rig.cuda.cudaGetDeviceProperties.return_value = (35, None)
    rig.cuda.cudaGetErrorString.return_value = (0, b"driver is too old")
    with pytest.raises(StepError, match="CUDA says: driver is too old"):
        rig.build(tmp_path)
