"""Puts a service together: its source files, the model, its settings and its pins."""

from __future__ import annotations

import importlib.metadata
import re
import shutil
from pathlib import Path
from typing import Any

from ..kit.protocol.contract import Contract
from ..kit.protocol.ports import model_shape
from ..kit.protocol.request import Request, StepError
from ..kit.serve.interface import interface, text

HERE = Path(__file__).parent
INTERFACE = "io.json"
WIRE = HERE.parent / "kit" / "serve" / "wire.py"
TEMPLATES = ("Dockerfile", "README.md")
"""By name, since only what `Rule.ships` lists is in the key."""
PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", re.MULTILINE)


def make(request: Request) -> None:
    """Writes the service's folder.

    Inputs: `artifact` (ONNX), `io`. Options: `ports`, `metadata`, `format`.

    Raises:
        StepError: `max_batch` does not go with the model's sizes, or the toolchain is not what the
            service's requirements would install.
    """
    options = request.options["format"]
    contract = Contract.read(request.inputs["io"])
    data = request.inputs["artifact"].read_bytes()
    record = interface(contract, request.options["ports"], request.options["metadata"], data)
    if options["max_batch"] is not None:
        limit(record["inputs"], options["max_batch"])
    folder = request.outputs["artifact"]
    _copy_app(folder / "app")
    (folder / "model").mkdir()
    (folder / "model" / "model.onnx").write_bytes(data)
    (folder / "requirements.txt").write_text(_requirements())
    settings = {
        "port": options["port"],
        "workers": options["workers"],
        "threads": options["threads"],
        "max_body": options["max_body_mib"] * 2**20,
        "request_timeout": options["request_timeout_s"],
        "nonfinite": options["nonfinite_inputs"],
    }
    (folder / "service.json").write_text(text(settings), encoding="utf-8")
    (folder / INTERFACE).write_text(text(record), encoding="utf-8")
    _write_texts(folder, settings, record)
    for port in (*contract.inputs, *contract.outputs):
        # The service undoes what the file does; who asks it sees the model.
        port.shape = model_shape(port)
        port.permutation = port.artifact_name = None
    contract.write(request.outputs["io"])


def limit(inputs: list[dict[str, Any]], max_batch: int) -> None:
    """Gives the batch another greatest size.

    Raises:
        StepError: The model's batch does not vary, or not so far.
    """
    leading = {port["shape"][0] if port["shape"] else None for port in inputs}
    symbol = leading.pop() if len(leading) == 1 else None
    if not isinstance(symbol, str):
        raise StepError(
            "`max_batch` needs a batch that varies, and not all inputs begin with one symbol",
            "leave it out, or write the batch as a symbol in the inputs' shapes",
            "options.max_batch",
        )
    for port in inputs:
        dim = port["dims"].setdefault(symbol, {"min": 1, "max": max_batch})
        if not dim["min"] <= max_batch <= dim["max"]:
            raise StepError(
                f"`max_batch` is {max_batch}, and `{symbol}` goes from {dim['min']} to {dim['max']}",
                "give one within, or another `max` to the dim",
                "options.max_batch",
            )
        dim["max"] = max_batch


def _copy_app(folder: Path) -> None:
    """Copies the source files; the check of requests is the kit's, and lies beside them."""
    folder.mkdir(parents=True)
    for source in sorted((HERE / "app").glob("*.py")):
        own = source.read_text(encoding="utf-8").replace("from ...kit.serve.wire", "from .wire")
        (folder / source.name).write_text(own, encoding="utf-8")
    shutil.copyfile(WIRE, folder / WIRE.name)


def _requirements() -> str:
    """The lock that this toolchain was made from: what is shipped is what is verified.

    Raises:
        StepError: It was made from another one.
    """
    lock = (HERE / "lock.txt").read_text(encoding="utf-8")
    for name, version in PIN.findall(lock):
        try:
            found = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found = "none"
        if found != version:
            raise StepError(
                f"the service would be shipped with {name} {version}, the toolchain holds {found}",
                "take `service` out of the recipe's `toolchains`",
                "options",
            )
    return lock


def _write_texts(folder: Path, settings: dict[str, Any], record: dict[str, Any]) -> None:
    model = record["model"]
    nonfinite = (
        "may hold them as such strings too" if settings["nonfinite"] else "with them are refused"
    )
    values = {
        **{
            name: str(settings[name])
            for name in ("port", "workers", "threads", "max_body", "request_timeout")
        },
        "name": model["name"],
        "release": f"release {model['release']}" if model["release"] else "without a release",
        "sha256": model["sha256"],
        "nonfinite": nonfinite,
        "ports": _table(record["inputs"], record["outputs"]),
    }
    for file in TEMPLATES:
        written = (HERE / "template" / file).read_text(encoding="utf-8")
        for name, value in values.items():
            written = written.replace("{" + name + "}", value)
        (folder / file).write_text(written, encoding="utf-8")
    (folder / ".dockerignore").write_text("Dockerfile\n**/__pycache__\nvenv\n")


def _table(inputs: list[dict[str, Any]], outputs: list[dict[str, Any]]) -> str:
    lines = ["| tensor | | dtype | shape | sizes |", "|---|---|---|---|---|"]
    for kind, ports in (("input", inputs), ("output", outputs)):
        for port in ports:
            sizes = [f"{s} {d['min']}..{d['max']}" for s, d in port.get("dims", {}).items()]
            if port.get("range") is not None:
                sizes.append("values {}..{}".format(*port["range"]))
            shape = ", ".join(map(str, port["shape"]))
            lines.append(
                f"| `{port['name']}` | {kind} | {port['dtype']} | [{shape}] | {', '.join(sizes)} |"
            )
    return "\n".join(lines)
