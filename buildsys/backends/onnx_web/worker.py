"""Packs an ONNX model with what runs it in a browser."""

from __future__ import annotations

import json
import shutil
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..kit.protocol import ports
from ..kit.protocol.contract import Contract, Port
from ..kit.protocol.request import Request, StepError
from ..kit.run import javascript
from . import runtime

PAGE = Path(__file__).with_name("page")
# Under `.js`, whatever their modules are called in their sources: many servers do not know that an
# `.mjs` is JavaScript, and a browser then refuses it.
PAGES = {"index.html": "index.html", "model.mjs": "model.js", "page.mjs": "page.js"}
RUNTIME = {
    "dist/ort.wasm.bundle.min.mjs": "ort.js",
    "dist/ort-wasm-simd-threaded.wasm": "ort-wasm-simd-threaded.wasm",
}
LICENSE = """\
onnxruntime-web {version} is part of ONNX Runtime, https://github.com/microsoft/onnxruntime

MIT License

Copyright (c) Microsoft Corporation

Permission is hereby granted, free of charge, to any person obtaining a copy
of this software and associated documentation files (the "Software"), to deal
in the Software without restriction, including without limitation the rights
to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all
copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
SOFTWARE.
"""


def pack(request: Request) -> None:
    """Makes a folder that any web server can serve: `index.html` runs the model, `model.js` is its API.

    Inputs: `artifact` (ONNX), `io`. Options: `ports`.

    Raises:
        StepError: onnxruntime-web does not load the model, or has other names.
    """
    contract = Contract.read(request.inputs["io"])
    folder = request.outputs["artifact"]
    (folder / "onnxruntime").mkdir(parents=True)
    for source, name in PAGES.items():
        shutil.copyfile(PAGE / source, folder / name)
    package = javascript.packages() / runtime.PACKAGE
    for source, name in RUNTIME.items():
        shutil.copyfile(package / source, folder / "onnxruntime" / name)
    license_text = LICENSE.format(version=javascript.version(runtime.PACKAGE))
    (folder / "onnxruntime" / "LICENSE").write_text(license_text)
    shutil.copyfile(request.inputs["artifact"], folder / "model.onnx")
    # Node.js takes a `.js` for a module only where this says so.
    (folder / "package.json").write_text('{"private": true, "type": "module"}\n')
    (folder / "io.js").write_text(_io(contract, request.options["ports"]))
    with closing(runtime.load(folder, contract, request.threads)) as session:
        _check_names("inputs", session.names["inputs"], contract.inputs)
        _check_names("outputs", session.names["outputs"], contract.outputs)
    contract.write(request.outputs["io"])


def _io(contract: Contract, specs: list[dict[str, Any]]) -> str:
    """The io contract as a module; inputs have an `example` shape besides."""
    sizes = ports.example_sizes(specs)
    inputs = [
        {**asdict(port), "example": ports.concrete(port.shape, sizes)} for port in contract.inputs
    ]
    outputs = [asdict(port) for port in contract.outputs]
    return (
        "// Names, shapes (a string is a dynamic size) and dtypes, in the model's order.\n\n"
        f"export const inputs = {json.dumps(inputs, indent=2, sort_keys=True)};\n\n"
        f"export const outputs = {json.dumps(outputs, indent=2, sort_keys=True)};\n"
    )


def _check_names(what: str, found: list[str], wanted: list[Port]) -> None:
    names = [port.artifact_name or port.name for port in wanted]
    if sorted(found) != sorted(names):
        raise StepError(
            f"onnxruntime-web finds the {what} {', '.join(found)}; "
            f"{', '.join(names)} were expected",
            field=what,
        )
