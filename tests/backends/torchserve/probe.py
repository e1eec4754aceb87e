"""Runs inside the toolchain: serves an archive, measures it, sends bad requests, ends it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from buildsys.backends.kit.protocol.contract import Contract
from buildsys.backends.kit.protocol.request import Request
from buildsys.backends.kit.run import measurement
from buildsys.backends.kit.serve.server import alive, family
from buildsys.backends.torchserve import runtime


def main() -> None:
    """Reads what to do from stdin, and writes `probe.json` into the folder that it is given."""
    given: dict[str, Any] = json.load(sys.stdin)
    folder = Path(sys.argv[1])
    contract = Contract.read(Path(given["io"]))
    session = runtime.load(Path(given["artifact"]), contract, 1)
    try:
        request = Request(
            inputs={"samples": Path(given["samples"])},
            outputs={"samples": folder / "out.npz", "run": folder / "run.json"},
            options=given["options"],
            scratch=folder,
        )
        measurement.record(session, request, contract)
        answers = []
        for body, kind in given["bodies"]:
            status, answer = session.ask(body.encode(), kind)
            answers.append([status, answer.decode()])
        pids = family(session._server.pid)
    finally:
        session.close()
    left = [pid for pid in pids if alive(pid)]
    found = {"answers": answers, "started": len(pids), "left": left}
    found["scratch"] = session._scratch.exists()
    (folder / "probe.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main()
