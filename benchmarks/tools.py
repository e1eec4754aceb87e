"""The build tools that are compared: how each is installed, prepared and called."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks import shape

REPOSITORY = Path(__file__).parent.parent


@dataclass(frozen=True)
class Tool:
    """A build tool.

    Attributes:
        name: What it is called here.
        install: What pip installs into an environment of its own; nothing for a system's program.
        build: The command that builds, the program first.
        setup: Commands that make a folder a project of the tool.
        version: The command that tells the version.
        prime: Brings a project into the state after a first build, by hand.
        prime_from: So many actions and more are primed: a first build takes more than 15 minutes.
    """

    name: str
    install: tuple[str, ...]
    build: str
    setup: tuple[str, ...] = ()
    version: str = ""
    prime: Callable[[int, Path], None] | None = None
    prime_from: int = sys.maxsize

    def primed(self, actions: int) -> bool:
        """Whether the first build is not waited for."""
        return self.prime is not None and actions >= self.prime_from


def prime_snakemake(actions: int, folder: Path) -> None:
    """Does all actions in order, so that all times agree.

    Jobs have no record of metadata then, which spares Snakemake work.
    """
    shape.perform(actions, folder)


def prime_dvc(actions: int, folder: Path) -> None:
    """Does all actions, and writes `dvc.lock` and the cache."""
    shape.perform(actions, folder)
    known: dict[str, str] = {}

    def entry(path: str) -> str:
        if path not in known:
            content = (folder / path).read_bytes()
            digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
            if path.startswith("out/"):
                cached = folder / ".dvc/cache/files/md5" / digest[:2] / digest[2:]
                cached.parent.mkdir(parents=True, exist_ok=True)
                if not cached.exists():
                    cached.write_bytes(content)
                    cached.chmod(0o444)
            known[path] = (
                f"    - path: {path}\n      hash: md5\n      md5: {digest}\n"
                f"      size: {len(content)}\n"
            )
        return known[path]

    with (folder / "dvc.lock").open("w") as lock:
        lock.write("schema: '2.0'\nstages:\n")
        for name, inputs, output in shape.steps(actions):
            lock.write(f"  {name}:\n    cmd: cat {' '.join(inputs)} > {output}\n    deps:\n")
            lock.write("".join(entry(path) for path in sorted(inputs)))
            lock.write("    outs:\n" + entry(output))


TOOLS = {
    tool.name: tool
    for tool in (
        Tool("make", (), "make -rRs -j2", version="make --version"),
        Tool("ninja", ("ninja",), "ninja -j2 --quiet", version="ninja --version"),
        Tool("doit", ("doit",), "doit run -v0", version="doit --version"),
        Tool(
            "modelbuild",
            (str(REPOSITORY), str(REPOSITORY / "benchmarks" / "copying")),
            "modelbuild build -q -j2 -f deploy.yaml",
            version="modelbuild --version",
        ),
        Tool("scons", ("scons",), "scons -s -j2", version="scons --version"),
        Tool(
            "snakemake",
            ("snakemake",),
            "snakemake -c2 -q all",
            version="snakemake --version",
            prime=prime_snakemake,
            prime_from=10_000,
        ),
        Tool(
            "dvc",
            ("dvc",),
            "dvc repro -q",
            setup=(
                "dvc init -q --no-scm",
                "dvc config core.analytics false",
                "dvc config core.check_update false",
            ),
            version="dvc --version",
            prime=prime_dvc,
            prime_from=1_000,
        ),
        Tool(
            "redun",
            ("redun",),
            "redun run workflow.py main",
            setup=("redun init",),
            version="redun --version",
        ),
    )
}


class Installed:
    """A tool in an environment of its own.

    Args:
        tool: Which.
        root: The folder of all tools' environments; one that is there already is used as it is.
    """

    def __init__(self, tool: Tool, root: Path) -> None:
        self.tool = tool
        self._bin = root / tool.name / "bin" if tool.install else None
        if self._bin is not None and not self._bin.exists():
            subprocess.run([sys.executable, "-m", "venv", root / tool.name], check=True)
            python = str(self._bin / "python")
            command = [python, "-m", "pip", "install", "--quiet", *tool.install]
            subprocess.run(command, check=True)

    def command(self, line: str) -> list[str]:
        """A command line with the path of the tool's own program."""
        program, *rest = line.split()
        return [str(self._bin / program) if self._bin is not None else program, *rest]

    def environment(self, folder: Path) -> Mapping[str, str]:
        """The variables that the tool runs with: its state stays in the project's folder."""
        path = os.environ["PATH"]
        if self._bin is not None:
            path = f"{self._bin}{os.pathsep}{path}"
        return os.environ | {
            "PATH": path,
            "HOME": str(folder),
            "MODELBUILD_CACHE": str(folder / "cache"),
            "PYTHONPATH": "",
        }

    def prepare(self, folder: Path) -> None:
        """Makes a folder a project of the tool."""
        for line in self.tool.setup:
            subprocess.run(
                self.command(line),
                cwd=folder,
                env=self.environment(folder),
                check=True,
                stdout=subprocess.DEVNULL,
            )

    def version(self) -> str:
        """The first number with points in what the tool says of itself."""
        done = subprocess.run(
            self.command(self.tool.version), capture_output=True, text=True, check=True
        )
        found = re.search(r"\d+(\.\d+){1,2}", done.stdout)
        return found.group() if found else "unknown"
