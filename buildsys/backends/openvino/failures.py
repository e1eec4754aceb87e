"""OpenVINO's errors, as what a user can act on: the operator, where it stands, the way out."""

from __future__ import annotations

import re
import sys
import traceback
from collections.abc import Iterable, Sequence
from typing import Any

import openvino as ov
from numpy.typing import NDArray

from ..kit.export import onnx_branches
from ..kit.protocol.request import StepError

WAY_OUT = (
    "write it with other operators, or ship this model as `onnx`, from which OpenVINO is made here"
)
_MISSING = re.compile(r"No conversion rule found for operations: (.+)")
_NODE = re.compile(r"(?:While validating|[Nn]ode with name|node) (?:node )?'([^']+)'")
_NOISE = re.compile(r"^(Exception from \S+:\d+:|FrontEnd API failed.*|Summary:)$")


def of_conversion(error: Exception, nodes: Iterable[Any]) -> StepError:
    """The error for an ONNX model that OpenVINO does not convert.

    Args:
        error: What it raised.
        nodes: The nodes of the ONNX model, to look operators up in.
    """
    _log()
    missing = _MISSING.search(str(error))
    if missing is None:
        return StepError(f"OpenVINO does not convert the model: {_told(error)}", WAY_OUT, "format")
    kinds = [_bare(name) for name in missing.group(1).split(",")]
    told = []
    for kind in dict.fromkeys(kinds):
        place = next((module_of(n.name) for n in nodes if n.op_type == kind and n.name), None)
        told.append(f"`{kind}`" + (f" (in `{place}`)" if place else ""))
    return StepError(
        f"OpenVINO {ov.__version__.partition('-')[0]} has no counterpart for the ONNX "
        f"operator{'s' * (len(told) > 1)} {', '.join(told)}",
        WAY_OUT,
        "format",
    )


def of_choice(error: Exception, inputs: Sequence[str]) -> StepError:
    """The error for a model whose `If` nodes OpenVINO does not convert.

    Args:
        error: What it raised.
        inputs: The inputs that decide which branch is taken.
    """
    _log()
    shown = ", ".join(f"`{name}`" for name in inputs)
    return StepError(
        f"OpenVINO does not convert the model, whose operator `If` takes its branch by {shown}: "
        f"{_told(error)}",
        onnx_branches.ONE_VALUE.format(name=inputs[0]),
        "inputs",
    )


def of_load(error: Exception) -> StepError:
    """The error for a file that OpenVINO does not load."""
    _log()
    version = ov.__version__.partition("-")[0]
    return StepError(
        f"openvino {version} does not load the file: {_told(error)}", WAY_OUT, "format"
    )


def of_run(error: Exception, fed: Sequence[NDArray[Any]]) -> StepError:
    """The error for a model that does not run on some inputs."""
    _log()
    shapes = ", ".join(str(list(array.shape)) for array in fed)
    return StepError(f"the OpenVINO model does not run on inputs of shape {shapes}: {_told(error)}")


def module_of(name: str) -> str:
    """The module that exporters put into a node's name: `/body/0/Conv` stands in `body.0`."""
    path = name.strip("/").rpartition("/")[0]
    return path.replace("/", ".") or name


def _bare(operator: str) -> str:
    """`StringNormalizer-17` and `ai.onnx.training.Gradient` without opset and domain."""
    return operator.strip().partition("-")[0].rpartition(".")[2]


def _told(error: Exception) -> str:
    text = str(error)
    lines = [line.strip() for line in text.splitlines()]
    kept = " ".join(line for line in lines if line and not _NOISE.match(line))[:400]
    # The sources of OpenVINO do not help its users.
    kept = re.sub(r" ?failed at \S+:\d+:", " failed:", kept)
    node = _NODE.search(text)
    return f"at `{node.group(1)}`: {kept}" if node and node.group(1) not in kept else kept


def _log() -> None:
    traceback.print_exc(file=sys.stderr)
