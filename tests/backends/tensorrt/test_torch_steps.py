"""The step in torch against stand-ins for torch and Torch-TensorRT.

Names and arguments of what is called are those in the source of torch_tensorrt 2.13.0:
`dynamo/_compiler.py`, `_compile.py`, `_Input.py`.
"""

from __future__ import annotations

import importlib
import operator
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import pytest

from buildsys.backends import tensorrt as package
from buildsys.backends.kit.protocol.contract import Contract, Port
from buildsys.backends.kit.protocol.request import Request, StepError

DIMS = {"N": {"min": 1, "max": 64, "example": 4}}
PORT = {"name": "x", "shape": ["N", 3], "dtype": "float32", "dims": DIMS, "range": None}
MASK: dict[str, Any] = {"name": "m", "shape": [1, 3], "dtype": "int64", "dims": {}, "range": None}
MACHINE = {"gpu": "NVIDIA L4", "compute_capability": "8.9", "driver": "580.65.06"}
WRITTEN = "buildsys.backends.tensorrt."
ENGINE, REST = "_run_on_acc_0", "_run_on_gpu_1"


class Graph:
    """A `torch.fx.GraphModule`: parts by name, and what it calls itself."""

    def __init__(self, *targets: Any, **parts: Any) -> None:
        nodes = [SimpleNamespace(op="call_function", target=target) for target in targets]
        self.graph = SimpleNamespace(nodes=[SimpleNamespace(op="output", target="output"), *nodes])
        self._parts = parts

    def named_children(self) -> Any:
        """As modules have it."""
        return self._parts.items()


class Rig:
    """torch and Torch-TensorRT as mocks, and the step's modules that imported them."""

    def __init__(self) -> None:
        self.torch: Any = mock.MagicMock(name="torch", __version__="2.13.0")
        self.torch.fx.GraphModule = Graph
        self.found = SimpleNamespace(major=8, minor=9, name="NVIDIA L4")
        self.torch.cuda.get_device_properties.side_effect = lambda index: self.found
        self.torch.export.Dim.side_effect = lambda name, min, max: (name, min, max)
        self.module = self.torch.export.load.return_value.module.return_value
        self.module.return_value.cpu.return_value.numpy.return_value = np.ones((4, 2), "float32")
        self.passes: Any = mock.MagicMock(name="torch.export.passes")
        self.trt: Any = mock.MagicMock(name="torch_tensorrt", __version__="2.13.0")
        self.trt.Input.side_effect = lambda **given: given
        self.compile = self.trt.dynamo.compile
        self.compile.return_value = Graph(operator.getitem, **{ENGINE: object()})

    @property
    def settings(self) -> dict[str, Any]:
        """The keywords of the compilation."""
        found: dict[str, Any] = self.compile.call_args.kwargs
        return found

    def build(self, folder: Path, ports: list[Any] | None = None, **options: Any) -> Request:
        """Runs the step."""
        (folder / "model.pt2").write_bytes(b"")
        out, io = folder / "out.trt.pt2", folder / "io.json"
        self.trt.save.side_effect = lambda *_, **__: out.write_bytes(b"program")
        ports = [PORT, MASK] if ports is None else ports
        inputs = [Port(p["name"], p["shape"], p["dtype"]) for p in ports]
        Contract(inputs, [Port("y", ["N", 2], "float32")]).write(io)
        given = {
            "precision": "fp32",
            "optimize_for": {},
            "workspace_mib": 2,
            "builder_optimization_level": 5,
            **options,
        }
        request = Request(
            inputs={"artifact": folder / "model.pt2", "io": io},
            outputs={"artifact": out, "io": folder / "out.json"},
            options={"ports": ports, "outputs": ["y"], "format": given, "machine": MACHINE},
            scratch=folder,
        )
        importlib.import_module(f"{WRITTEN}torch_worker").build(request)
        return request


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    made = Rig()
    for name, module in {
        "torch": made.torch,
        "torch.export": made.torch.export,
        "torch.export.passes": made.passes,
        "torch_tensorrt": made.trt,
    }.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "")
    yield made
    for part in ("torch_worker", "torch_runtime", "identity"):
        sys.modules.pop(WRITTEN + part, None)
        vars(package).pop(part, None)  # Where `from . import identity` looks first.


def test_a_program_is_compiled_saved_loaded_and_run(rig: Rig, tmp_path: Path) -> None:
    done = rig.build(tmp_path, optimize_for={"N": 16})
    exported = rig.torch.export.export
    assert exported.call_args.args[0] is rig.module
    assert exported.call_args.kwargs == {"dynamic_shapes": ({0: ("N", 1, 64)}, {})}
    # Profiles follow from the sizes that it is exported at.
    shapes = [call.args[0].shape for call in rig.torch.from_numpy.call_args_list]
    assert shapes == [(16, 3), (1, 3), (4, 3), (1, 3)]
    rig.passes.move_to_device_pass.assert_called_once_with(exported.return_value, "cuda:0")
    (program,) = rig.compile.call_args.args
    assert program is rig.passes.move_to_device_pass.return_value
    assert rig.settings == {
        "arg_inputs": [
            {
                "min_shape": (1, 3),
                "opt_shape": (16, 3),
                "max_shape": (64, 3),
                "dtype": rig.torch.float32,
            },
            {"shape": (1, 3), "dtype": rig.torch.int64},
        ],
        "device": rig.torch.device.return_value,
        "disable_tf32": True,
        "enable_autocast": False,
        "autocast_low_precision_type": None,
        "workspace_size": 2 * 2**20,
        "optimization_level": 5,
        "min_block_size": 1,
        "timing_cache_path": str(tmp_path / "timing" / "cache.bin"),
    }
    module, path = rig.trt.save.call_args.args
    assert (module, path) == (rig.compile.return_value, str(tmp_path / "out.trt.pt2"))
    said = rig.trt.save.call_args.kwargs
    assert said.keys() == {"output_format", "arg_inputs", "dynamic_shapes"}
    assert said["output_format"] == "exported_program"
    assert said["dynamic_shapes"] == ({0: ("N", 1, 64)}, {})
    assert [len(said["arg_inputs"]), type(said["arg_inputs"])] == [2, tuple]
    assert rig.torch.export.load.call_args.args[0].name == str(tmp_path / "out.trt.pt2")
    rig.module.assert_called_once()
    assert done.notes == [
        "the program runs on NVIDIA L4 (compute capability 8.9) with torch 2.13.0 and "
        "Torch-TensorRT 2.13.0 alone"
    ]
    assert Contract.read(tmp_path / "out.json").outputs[0].name == "y"


def test_fixed_sizes_are_not_exported_anew(rig: Rig, tmp_path: Path) -> None:
    rig.build(tmp_path, [MASK])
    rig.torch.export.export.assert_not_called()
    assert rig.trt.save.call_args.kwargs["dynamic_shapes"] is None


@pytest.mark.parametrize("precision", ["fp32", "tf32", "fp16"])
def test_float32_is_float32(rig: Rig, tmp_path: Path, precision: str) -> None:
    notes = rig.build(tmp_path, precision=precision).notes
    half = precision == "fp16"
    assert rig.settings["disable_tf32"] == (precision != "tf32")
    assert rig.settings["enable_autocast"] == half
    assert rig.settings["autocast_low_precision_type"] is (rig.torch.float16 if half else None)
    assert len(notes) == (1 if precision == "fp32" else 2)


def test_what_stays_in_torch_is_told(rig: Rig, tmp_path: Path) -> None:
    rest = Graph("aten.bessel_j0", "aten.add.Tensor", "aten.add.Tensor", operator.getitem)
    rig.compile.return_value = Graph(**{ENGINE: object(), REST: rest})
    assert rig.build(tmp_path).notes[1] == (
        "these operators stay in torch, on the GPU: `aten.add.Tensor` (2), `aten.bessel_j0` (1)"
    )


def test_where_all_of_it_stays_it_is_no_program_of_engines(rig: Rig, tmp_path: Path) -> None:
    rig.compile.return_value = Graph("aten.bessel_j0")
    with pytest.raises(StepError, match=r"takes no operator of the model: `aten\.bessel_j0` \(1\)"):
        rig.build(tmp_path)
    rig.trt.save.assert_not_called()


def test_a_size_of_one_is_told_not_to_be_had(rig: Rig, tmp_path: Path) -> None:
    notes = rig.build(tmp_path, optimize_for={"N": 1}).notes
    assert notes[0] == (
        "engines are fastest at a size of 2 of `N`, not of 1: torch takes smaller sizes for constants"
    )
    assert rig.settings["arg_inputs"][0]["opt_shape"] == (2, 3)


def test_what_it_does_not_compile_is_told(rig: Rig, tmp_path: Path) -> None:
    rig.compile.side_effect = RuntimeError("no\nconverter")
    with pytest.raises(StepError, match=r"2\.13\.0 does not compile the program: no converter"):
        rig.build(tmp_path)


def test_another_gpu_than_the_key_s_is_refused(rig: Rig, tmp_path: Path) -> None:
    rig.found = SimpleNamespace(major=7, minor=5, name="NVIDIA T4")
    with pytest.raises(StepError, match=r"`NVIDIA T4` of compute capability 7\.5"):
        rig.build(tmp_path)


def test_a_torch_for_cpus_is_refused(rig: Rig, tmp_path: Path) -> None:
    rig.torch.cuda.is_available.return_value = False
    with pytest.raises(StepError, match=r"torch 2\.13\.0 finds no GPU") as caught:
        rig.build(tmp_path)
    assert "CUDA 13" in (caught.value.hint or "")


def test_sizes_that_it_does_not_take_are_told(rig: Rig, tmp_path: Path) -> None:
    rig.module.side_effect = RuntimeError("Guard failed")
    with pytest.raises(
        StepError, match=r"does not run on `x` \[4, 3\], `m` \[1, 3\]: Guard failed"
    ):
        rig.build(tmp_path)
