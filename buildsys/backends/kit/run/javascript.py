"""Runs models in Node.js: a process that is handed tensors and hands tensors back.

The environment's own Node.js is run, by its link `bin/node`. A message is four bytes with the length of
a header, the header in JSON, and the tensors' bytes one after another; see `frames.mjs`.
"""

from __future__ import annotations

import json
import os
import signal
import struct
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ..protocol.request import StepError
from .measurement import peak_rss

FOLDER = Path(sys.prefix)
"""Where `bin/node` and `node_modules` are."""


def packages() -> Path:
    """The environment's packages of npm."""
    return FOLDER / "node_modules"


def version(package: str) -> str:
    """The version of an installed package of npm."""
    told = json.loads((packages() / package / "package.json").read_text())
    return str(told["version"])


class Node:
    """A script that has loaded a model and runs it. Unclosed, it ends with this process: its input does.

    Attributes:
        said: What the script told when it was ready.
    """

    def __init__(self, what: str, script: Path, arguments: Sequence[str]) -> None:
        """Starts a script and waits until it is ready.

        Args:
            what: What runs the model, for errors: `onnxruntime-web 1.30.0`.
            script: A module that calls `serve` of `frames.mjs`.
            arguments: Its arguments, as it sees them after its own descriptor's number.

        Raises:
            StepError: The script says that the model does not load.
        """
        self._what = what
        read, write = os.pipe()
        # Answers go through a pipe of their own: libraries write to standard output as they like.
        self._process = subprocess.Popen(
            [str(FOLDER / "bin" / "node"), str(script), str(write), *arguments],
            stdin=subprocess.PIPE,
            stdout=sys.stderr,
            pass_fds=(write,),
        )
        os.close(write)
        self._answers: BinaryIO = os.fdopen(read, "rb")
        try:
            self.said: dict[str, Any] = self._receive("load the model")
        except StepError:
            self.close()
            raise

    def run(self, feed: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Runs once, by the names in the model.

        Raises:
            StepError: The script says that it fails.
        """
        header = [
            {"name": name, "dtype": array.dtype.name, "shape": array.shape, "bytes": array.nbytes}
            for name, array in feed.items()
        ]
        text = json.dumps({"tensors": header}).encode()
        pipe = self._process.stdin
        assert pipe is not None
        try:
            pipe.write(struct.pack("<I", len(text)) + text)
            for array in feed.values():
                pipe.write(np.ascontiguousarray(array).tobytes())
            pipe.flush()
        except BrokenPipeError:
            pass  # It has ended; the answer that is missing says so.
        told = self._receive("run the model")
        return {
            tensor["name"]: np.frombuffer(self._read(tensor["bytes"]), tensor["dtype"]).reshape(
                tensor["shape"]
            )
            for tensor in told["tensors"]
        }

    def peak_rss(self) -> int:
        """The process's peak resident memory in bytes."""
        return peak_rss(self._process.pid)

    def close(self) -> None:
        """Ends the process."""
        self._process.kill()
        self._process.wait()
        self._answers.close()

    def _receive(self, task: str) -> dict[str, Any]:
        try:
            (length,) = struct.unpack("<I", self._read(4))
            told: dict[str, Any] = json.loads(self._read(length))
        except EOFError:
            raise StepError(f"{self._what} does not {task}: Node.js {self._ending()}") from None
        if "error" in told:
            raise StepError(f"{self._what} does not {task}: {told['error']}")
        return told

    def _read(self, count: int) -> bytes:
        found = self._answers.read(count)
        if len(found) < count:
            raise EOFError
        return found

    def _ending(self) -> str:
        status = self._process.wait()
        if status < 0:
            return f"was ended by {signal.Signals(-status).name}"
        return f"ended with status {status}; see the log"
