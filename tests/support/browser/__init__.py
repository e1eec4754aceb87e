"""A page in headless Chromium, served on loopback; what it posts is the answer.

Chromium comes from npm, by the lock beside this module, and asks the machine for nothing but glibc.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache, partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.support import toolchain

HERE = Path(__file__).parent
PACKED_FOR = ("linux", "x86_64")
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
"""Looked for where the package has no Chromium for the machine."""
UNPACK = """
const { readFileSync, writeFileSync } = require("node:fs");
const { brotliDecompressSync } = require("node:zlib");
const [packed, target] = process.argv.slice(1);
writeFileSync(target, brotliDecompressSync(readFileSync(packed)));
"""
SECONDS = 120
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # Nothing but the test's own server has a name.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)


@cache
def chromium() -> tuple[str, Path]:
    """Chromium, and the folder of its libraries; both are removed with the tests' own store."""
    folder = Path(os.environ["MODELBUILD_CACHE"]) / "chromium"
    folder.mkdir()
    if (sys.platform, platform.machine()) != PACKED_FOR:
        found = next(filter(None, map(shutil.which, NAMES)), None)
        if found is None:
            pytest.skip(f"npm has Chromium for {PACKED_FOR} only, and none of {NAMES} is on PATH")
        return found, folder
    environment = toolchain.of_tests("browser-tests", HERE).parents[1]
    packed = environment / "node_modules" / "@sparticuz" / "chromium" / "bin"
    for name in ("chromium", "al2023.tar"):
        node = environment / "bin" / "node"
        files = (packed / f"{name}.br", folder / name)
        subprocess.run([node, "-e", UNPACK, *files], check=True)
    with tarfile.open(folder / "al2023.tar") as libraries:
        libraries.extractall(folder, filter="data")
    (folder / "chromium").chmod(0o755)
    return str(folder / "chromium"), folder / "lib"


class _Answer:
    """What the page posts, once it does."""

    def __init__(self) -> None:
        self.arrived = threading.Event()
        self.value: Any = None
        self.requested: list[str] = []


class _Handler(SimpleHTTPRequestHandler):
    def __init__(
        self, *args: Any, more: Mapping[str, bytes], answer: _Answer, **kwargs: Any
    ) -> None:
        self._more, self._answer = more, answer
        super().__init__(*args, **kwargs)

    def do_GET(self) -> None:
        name = self.path.removeprefix("/")
        self._answer.requested.append(name)
        if name not in self._more:
            super().do_GET()
            return
        self.send_response(200)
        self.send_header("Content-Type", self.guess_type(name))
        self.end_headers()
        self.wfile.write(self._more[name])

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self._answer.value = json.loads(body)
        self.send_response(204)
        self.end_headers()
        self._answer.arrived.set()

    def log_message(self, *args: Any) -> None:
        """Says nothing."""


@contextmanager
def _served(folder: Path, more: Mapping[str, bytes], answer: _Answer) -> Iterator[int]:
    handler = partial(_Handler, directory=str(folder), more=more, answer=answer)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def visit(folder: Path, page: str, more: Mapping[str, bytes]) -> tuple[Any, list[str]]:
    """Opens a page in Chromium and waits for what it posts.

    Args:
        folder: What is served.
        page: The page to open.
        more: Further files of the test's own, by name.

    Returns:
        What the page posted, and the names of the files that were asked for.
    """
    (program, libraries), answer = chromium(), _Answer()
    with (
        _served(folder, more, answer) as port,
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home,
    ):
        address = f"http://127.0.0.1:{port}/{page}"
        browser = subprocess.Popen(
            [program, *FLAGS, f"--user-data-dir={home}/data", address],
            env={"HOME": home, "TMPDIR": home, "LD_LIBRARY_PATH": str(libraries)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
        # Its log is read all the while: a full pipe would hold it up.
        said: list[str] = []
        assert browser.stderr is not None
        reader = threading.Thread(target=said.extend, args=(browser.stderr,))
        reader.start()
        try:
            arrived = answer.arrived.wait(SECONDS)
        finally:
            browser.terminate()
            browser.wait(SECONDS)
            reader.join(SECONDS)
            browser.stderr.close()
        assert arrived, "".join(said[-20:])
    return answer.value, answer.requested
