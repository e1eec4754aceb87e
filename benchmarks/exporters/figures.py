"""Looks into the files of both exporters and runs them in turns; runs in the toolchain `onnx`.

    python -m benchmarks.exporters.figures < GIVEN

GIVEN is `{MODEL: {"files": {ROUTE: PATH}, "original": PATH}}`; after each model a line
`{MODEL: {ROUTE: {"error_ratio", "nodes", "operators", "foreign", "opset", "cpu_ms"}}}` is printed, with
`error` in place of the others where ONNX Runtime refuses a file. `cpu_ms` is the processor's time of a run in
milliseconds, by one thread: the median of `TURNS`, which the files take one after the other. Time on the wall
would measure what else the machine does.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
import onnxruntime

TURNS = 40
WARM = 3
ERRORS_ONLY = 3


def counted(path: str) -> dict[str, Any]:
    """What a file consists of."""
    model = onnx.load(path)
    found = Counter((node.domain, node.op_type) for node in _nodes(model.graph))
    own = ("", "ai.onnx")
    return {
        "nodes": sum(found.values()),
        "operators": len(found),
        "foreign": sorted({domain for domain, _ in found if domain not in own}),
        "opset": next(each.version for each in model.opset_import if each.domain in own),
    }


def _nodes(graph: Any) -> Iterator[Any]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _nodes(attribute.g)


def looked_at(paths: dict[str, str], original: str) -> dict[str, dict[str, Any]]:
    """The figures of one model's files."""
    found: dict[str, dict[str, Any]] = {}
    sessions = {}
    kept = np.load(original)
    for route, path in paths.items():
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = ERRORS_ONLY
        try:
            session = onnxruntime.InferenceSession(
                path, options, providers=["CPUExecutionProvider"]
            )
            error = max(_error(session, kept, number) for number in (0, 1))
        except Exception as refused:  # What it does not load or run is a result.
            found[route] = {"error": str(refused).strip().splitlines()[0][:200]}
            continue
        sessions[route] = session
        found[route] = {"error_ratio": float(f"{error:.1e}")} | counted(path)
    for route, taken in _timed(sessions, _part(kept, 0, "in")).items():
        found[route]["cpu_ms"] = round(taken, 4)
    return found


def _part(kept: Any, number: int, which: str) -> dict[str, Any]:
    start = f"{number}.{which}."
    return {name.removeprefix(start): kept[name] for name in kept.files if name.startswith(start)}


def _error(session: Any, kept: Any, number: int) -> float:
    """‖out − original‖ / ‖original‖, of the worst output."""
    wanted = _part(kept, number, "out")
    got = dict(zip(wanted, session.run(list(wanted), _part(kept, number, "in")), strict=True))
    return max(
        float(np.linalg.norm(got[name] - wanted[name]) / np.linalg.norm(wanted[name]))
        for name in wanted
    )


def _timed(sessions: dict[str, Any], fed: dict[str, Any]) -> dict[str, float]:
    """The processor's milliseconds of a run, of each file."""
    taken: dict[str, list[float]] = {route: [] for route in sessions}
    for turn in range(WARM + TURNS):
        for route, session in sessions.items():
            begun = time.process_time()
            session.run(None, fed)
            if turn >= WARM:
                taken[route].append(time.process_time() - begun)
    return {route: statistics.median(each) * 1000 for route, each in taken.items()}


def main() -> None:
    """Prints the figures of the models on stdin."""
    for model, given in json.load(sys.stdin).items():
        found = looked_at(given["files"], given["original"]) if given["files"] else {}
        print(json.dumps({model: found}), flush=True)


if __name__ == "__main__":
    main()
