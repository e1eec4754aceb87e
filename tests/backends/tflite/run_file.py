"""Runs a file by the backend's own runtime module, in its toolchain: ARTIFACT IO SAMPLES TARGET.

Beside TARGET: `plain.npz`, the first sample without delegates, and `kinds.json`, which operators LiteRT
runs by default and then.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
from pathlib import Path

import numpy as np

backends = Path(__file__).parents[3] / "buildsys" / "backends"
host = importlib.util.spec_from_file_location(
    "program", backends.parent / "toolchains" / "inside" / "program.py"
)
assert host is not None
assert host.loader is not None
module = importlib.util.module_from_spec(host)
host.loader.exec_module(module)
module.expose(str(backends))

artifact, io, samples, target = map(Path, sys.argv[1:])
contract = importlib.import_module("modelbuild_backends.kit.protocol.contract").Contract.read(io)
runtime = importlib.import_module("modelbuild_backends.tflite.runtime")
session = runtime.load(artifact, contract, 2)
data = np.load(samples)
count = len(next(iter(data.values())))
rows = [
    session.run({port.name: data[f"in.{port.name}"][i : i + 1] for port in contract.inputs})
    for i in range(count)
]
arrays = importlib.import_module("modelbuild_backends.kit.protocol.arrays")
arrays.save(target, {name: np.concatenate([row[name] for row in rows]) for name in rows[0]})
plain = session.plain({port.name: data[f"in.{port.name}"][:1] for port in contract.inputs})
arrays.save(target.with_name("plain.npz"), plain)
kinds = [
    sorted({each["op_name"] for each in signature._interpreter._get_ops_details()})
    for signature in (session._signature, session._plain)
]
target.with_name("kinds.json").write_text(json.dumps(kinds))
print(session.runtime)
