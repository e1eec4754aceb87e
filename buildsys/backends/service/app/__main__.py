"""Starts the service: `python -m app`, from the folder that holds it."""

from __future__ import annotations

import argparse
import os
import socket
import sys
import tempfile

import uvicorn

from . import model_file
from .settings import Interface, Settings, Unusable

# One process's counts are as good as lost where several answer; prometheus_client shares them by files.
SHARED_COUNTS = "PROMETHEUS_MULTIPROC_DIR"


def listener(host: str, port: int) -> socket.socket:
    """A bound socket that says it is TCP.

    uvicorn's own does not, asyncio then leaves Nagle's algorithm on, and each answer takes 40 ms.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind((host, port))
    bound.set_inheritable(True)
    return bound


def main() -> None:
    """Listens until it is ended; says where on its first line."""
    try:
        settings = Settings.read()
        # Before the socket is bound: a supervisor would start processes that cannot load it again and again.
        model_file.read(Interface.read())
    except Unusable as error:
        sys.exit(f"error: {error}")
    parser = argparse.ArgumentParser(prog="python -m app", description=__doc__)
    parser.add_argument("--host", default=os.environ.get("HOST", "127.0.0.1"))
    parser.add_argument("--port", type=int, default=int(os.environ.get("PORT", settings.port)))
    given = parser.parse_args()
    config = uvicorn.Config(
        "app.main:create",
        factory=True,
        http="app.connection:Connection",
        workers=settings.workers,
        access_log=False,
        server_header=False,
    )
    bound = listener(given.host, given.port)
    print(f"listening on http://{given.host}:{bound.getsockname()[1]}", flush=True)
    if settings.workers == 1:
        uvicorn.Server(config).run(sockets=[bound])
        return
    with tempfile.TemporaryDirectory(prefix="metrics-") as folder:
        os.environ.setdefault(SHARED_COUNTS, folder)
        uvicorn.supervisors.Multiprocess(config, sockets=[bound]).run()


if __name__ == "__main__":
    main()
