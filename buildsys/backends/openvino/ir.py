"""OpenVINO's intermediate representation: a folder with `model.xml` and `model.bin`."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import openvino as ov

from ..kit.contract import Contract, Port
from ..kit.request import Request, StepError

XML, BIN = "model.xml", "model.bin"
NAME = "model"

_LAYER = re.compile(r'(<layer id="\d+" name=")([^"]*)(" type=")([^"]*)')
# OpenVINO names what it makes after its type and a counter of the process: `Reshape_17`.
_COUNTED = re.compile(r"(?:^|(?<=/))[A-Z]\w*_\d+(?=$|/|_compressed)")
_BETWEEN = re.compile(r">\s+<")


def read(folder: Path) -> Any:
    """Reads a model; nothing is compiled."""
    return ov.Core().read_model(folder / XML)


def names(model: Any) -> list[str]:
    """Names of all operations, in the order in which they run."""
    return [operation.get_friendly_name() for operation in model.get_ordered_ops()]


def write(model: Any, folder: Path, known: Collection[str]) -> None:
    """Writes a model with equal bytes for equal models.

    Args:
        model: What to write. Its precisions stay.
        folder: Is made.
        known: Names of operations that come from outside, and are kept.
    """
    model.set_friendly_name(NAME)
    folder.mkdir()
    xml = folder / XML
    ov.save_model(model, xml, compress_to_fp16=False)
    text = _numbered(xml.read_text(), frozenset(known))
    # Indentation is a sixth of the text, which outweighs the weights of a small model in int8.
    xml.write_text(_BETWEEN.sub("><", text).strip() + "\n")


def _numbered(text: str, known: frozenset[str]) -> str:
    """Gives layers that a counter named a name that follows from their place."""

    def counted(name: str) -> bool:
        return not any(each in known for each in _prefixes(name)) and bool(_COUNTED.search(name))

    taken = {found[2] for found in _LAYER.finditer(text) if not counted(found[2])}
    counts: dict[str, int] = {}

    def named(found: re.Match[str]) -> str:
        head, name, between, kind = found.groups()
        if counted(name):
            while True:
                counts[kind] = counts.get(kind, 0) + 1
                name = f"{kind}.{counts[kind]}"
                if name not in taken:
                    break
        return f"{head}{name}{between}{kind}"

    return _LAYER.sub(named, text)


def _prefixes(name: str) -> Iterator[str]:
    """`a`, `a/b` and `a/b/c` of `a/b/c`: what OpenVINO adds to a name stands behind a stroke."""
    yield name
    for found in re.finditer("/", name):
        yield name[: found.start()]


def fit(model: Any, contract: Contract, request: Request) -> None:
    """Sees that a model's inputs and outputs are the contract's, under its names, in its order.

    A dtype that is another one is written into the contract, and said.

    Raises:
        StepError: There are more or fewer, or in another order.
    """
    for what, own, ports in (
        ("input", model.inputs, contract.inputs),
        ("output", model.outputs, contract.outputs),
    ):
        if len(own) != len(ports):
            raise StepError(
                f"the file has {len(own)} {what}s: {_listed(own)}; the recipe names "
                f"{len(ports)}: {', '.join(f'`{p.name}`' for p in ports)}",
                "an input that nothing uses, or an output given twice, is dropped by converters",
                f"{what}s",
            )
        for tensor, port in zip(own, ports, strict=True):
            _fit_port(what, tensor, port, own, request)


def _fit_port(what: str, tensor: Any, port: Port, all_of_them: Any, request: Request) -> None:
    name = port.artifact_name or port.name
    if name not in tensor.get_names():
        if any(name in other.get_names() for other in all_of_them):
            raise StepError(f"the {what}s came out in another order: {_listed(all_of_them)}")
        tensor.get_tensor().add_names({name})
    dtype = tensor.get_element_type().to_dtype().name
    if dtype != port.dtype:
        request.note(f"{what} `{port.name}` is {dtype} in the OpenVINO file, not {port.dtype}")
        port.dtype = dtype


def _listed(tensors: Any) -> str:
    return ", ".join("`" + "` = `".join(sorted(t.get_names())) + "`" for t in tensors) or "none"
