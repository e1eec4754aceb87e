"""What both kinds of Core ML model have in common: the converter, its errors, the description."""

from __future__ import annotations

import logging
import re
import traceback
from collections.abc import Collection
from pathlib import Path
from typing import Any

from ...kit.export.modules import module_of
from ...kit.protocol.archive import kind_of
from ...kit.protocol.contract import Contract
from ...kit.protocol.request import Request, StepError
from ..libraries import ct, torch
from . import operators  # noqa: F401  # Mends the converter.

_LOCATED = re.compile(r"converting '(?P<op>[^']+)' op \(located at: '(?P<scope>[^']*)'\)")
_UNSUPPORTED = re.compile(r"for op '(?P<op>[^']+)' not implemented|kind (?P<kind>[\w.]+)$")


def converted(model: Any, **arguments: Any) -> Any:
    """What coremltools makes of a captured model, as `load` gives it.

    Raises:
        StepError: An operator has no Core ML counterpart.
    """
    log = _ErrorLog()
    logging.getLogger("coremltools").addHandler(log)
    try:
        return ct.convert(model, **arguments)
    except Exception as error:
        # Whatever coremltools raises is about this model; the log keeps the whole trace.
        traceback.print_exc()
        raise _explain(error, log.text, model if is_exported(model) else None) from error
    finally:
        logging.getLogger("coremltools").removeHandler(log)


def load(source: Path) -> Any:
    """A captured model as coremltools takes it."""
    if kind_of(source) == "exported":
        # coremltools takes programs of the ATen dialect only, which no decomposition but the
        # compulsory ones gives.
        with source.open("rb") as stream:  # torch wants the suffix `.pt2` on paths.
            return torch.export.load(stream).run_decompositions({})
    return torch.jit.load(str(source), map_location="cpu").eval()


def is_exported(model: Any) -> bool:
    """Whether a captured model is an exported program, not TorchScript."""
    return isinstance(model, torch.export.ExportedProgram)


def describe_model(
    model: Any, request: Request, contract: Contract, described_ports: Collection[str]
) -> None:
    """Writes names, versions and the form of ports, for people and for Xcode.

    Args:
        model: The converted model.
        request: The step.
        contract: Its ports.
        described_ports: Names in the model of the ports to describe.
    """
    metadata = request.options["metadata"]
    options = request.options["format"]
    about = f"{metadata['project']}: {metadata['model']}"
    model.short_description = options["description"] or about
    model.version = str(metadata.get("version") or "")
    if options["author"]:
        model.author = options["author"]
    if options["license"]:
        model.license = options["license"]
    model.user_defined_metadata.update(
        {
            "source": "modelbuild",
            "modelbuild.project": str(metadata["project"]),
            "modelbuild.model": str(metadata["model"]),
        }
    )
    if "compute_units" in options:
        model.user_defined_metadata["modelbuild.compute_units"] = options["compute_units"]
    for ports, described in (
        (contract.inputs, model.input_description),
        (contract.outputs, model.output_description),
    ):
        for port in ports:
            shape = " x ".join(str(size) for size in port.shape)
            layout = f", {port.layout}" if port.layout else ""
            name = port.artifact_name or port.name
            if name in described_ports:
                described[name] = f"{port.dtype} {shape}{layout}"


class _ErrorLog(logging.Handler):
    """Collects what coremltools logs about an operator before it raises."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Adds one message."""
        self.text += record.getMessage() + "\n"


def _explain(error: Exception, log: str, program: Any) -> StepError:
    """What coremltools could not do, and where; `program` is the exported one, if it is that."""
    reason = " ".join(str(error).split())[:400] or type(error).__name__
    located = _LOCATED.search(log)
    unsupported = _UNSUPPORTED.search(reason)
    hint = "take `capture: trace`, whose operators coremltools knows best" if program else None
    if located is None and unsupported is None:
        return StepError(f"coremltools cannot convert this model: {reason}", hint)
    groups = (located or unsupported).groupdict()  # type: ignore[union-attr]
    op = groups.get("op") or groups.get("kind")
    # The last part of a scope is the number of the operator's output, not a module.
    scope = ".".join(groups.get("scope", "").split("/")[:-1]) if located else ""
    if program and not scope and op:
        scope = module_of(program, op) or ""
    place = f" in `{scope}`" if scope else ""
    if unsupported:
        return StepError(
            f"Core ML has no operator for `{op}`{place}",
            hint or "write it with other operators in the model, or leave this target out",
        )
    return StepError(f"coremltools cannot convert `{op}`{place}: {reason}", hint)
