"""Runs programs of engines by torch, on the first GPU. Never run on one by its authors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch_tensorrt  # It tells torch of the operator that runs an engine.
from numpy.typing import NDArray

from ..kit.protocol.contract import Contract
from ..kit.protocol.ports import to_artifact, to_model
from ..kit.protocol.request import StepError
from . import identity

DEVICE = f"cuda:{identity.FIRST}"


class Session:
    """A loaded program; see `kit.run.measurement.Session`."""

    def __init__(self, module: Any, contract: Contract) -> None:
        self.runtime = f"torch {torch.__version__}, torch_tensorrt {torch_tensorrt.__version__}"
        self._module = module
        self._contract = contract

    def run(self, feed: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Runs once, with the time that copies to and from the GPU take.

        Raises:
            StepError: The program does not take the inputs, or gives another number of outputs.
        """
        inputs, outputs = self._contract.inputs, self._contract.outputs
        fed = [torch.from_numpy(to_artifact(p, feed[p.name]).copy()).to(DEVICE) for p in inputs]
        try:
            with torch.no_grad():
                returned = self._module(*fed)
        except Exception as error:
            shapes = ", ".join(f"`{p.name}` {list(feed[p.name].shape)}" for p in inputs)
            said = " ".join(str(error).split())[:400]
            raise StepError(
                f"the program does not run on {shapes}: {said}",
                "programs take the sizes of `dims` alone",
            ) from error
        found = returned if isinstance(returned, tuple | list) else (returned,)
        if len(found) != len(outputs):
            raise StepError(
                f"the program gives {len(found)} outputs, the recipe names {len(outputs)}",
                field="outputs",
            )
        return {p.name: to_model(p, t.cpu().numpy()) for p, t in zip(outputs, found, strict=True)}


def check_gpu() -> None:
    """Sees that torch can use a GPU.

    Raises:
        StepError: It cannot: most likely it is a build for CPUs.
    """
    if not torch.cuda.is_available():
        raise StepError(
            f"torch {torch.__version__} finds no GPU",
            "let pip's index give a build of torch for CUDA 13, then run "
            "`modelbuild toolchain install torch-tensorrt` again",
        )


def load(path: Path, contract: Contract, threads: int) -> Session:
    """Loads a program; `threads` are those of what stays in torch.

    Raises:
        StepError: There is no GPU, or the program was built for another one or by other versions.
    """
    check_gpu()
    torch.set_num_threads(threads)
    torch.backends.cudnn.allow_tf32 = False  # As it is for products; engines say it by themselves.
    try:
        with path.open("rb") as stream:
            return Session(torch.export.load(stream).module(), contract)
    except Exception as error:
        said = " ".join(str(error).split())[:400] or type(error).__name__
        raise StepError(
            f"Torch-TensorRT {torch_tensorrt.__version__} does not load the program: {said}",
            "programs run on the GPU model, torch and TensorRT that they were built with",
        ) from error
