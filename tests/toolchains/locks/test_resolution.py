from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from buildsys.backends.toolchain import Toolchain
from buildsys.toolchains import ToolchainError
from buildsys.toolchains.environments import installers
from buildsys.toolchains.locks.resolution import lock


@dataclass
class Resolver:
    """Stands in for `uv pip compile`."""

    output: str
    fails: bool = False
    command: tuple[str, ...] = ()
    excluded: str = ""
    overridden: str = ""

    def stop(self) -> None:
        """Nothing runs."""

    def run(
        self,
        command: Sequence[str],
        *,
        cwd: Path,
        environ: Mapping[str, str],
        log: Path,
        hold: int | None = None,
    ) -> int:
        self.command = tuple(command)
        self.excluded = (cwd / "without.txt").read_text()
        self.overridden = (cwd / "overrides.txt").read_text()
        log.write_text("$ uv\nerror: No solution found\n")
        (cwd / "lock.txt").write_text(self.output)
        return int(self.fails)

    def ask(self, command: Sequence[str], *, environ: Mapping[str, str]) -> str | None:
        raise AssertionError("nothing is asked")


@pytest.fixture
def toolchain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Toolchain:
    monkeypatch.setattr(installers, "find_uv", lambda environ: "/bin/uv")
    requirements = tmp_path / "lock.in"
    requirements.write_text("#: without triton\n#: override numpy==1\ntorch==2.13.0\n")
    return Toolchain("small", tmp_path / "lock.txt", requirements)


def quiet(line: str) -> None:
    pass


ENVIRON = {"PIP_CONFIG_FILE": "/dev/null"}
RESOLVED = "torch==2.13.0+cpu \\\n    --hash=sha256:aa\nnumpy==1 \\\n    --hash=sha256:bb\n"


def test_it_writes_the_lock_and_shows_the_change(toolchain: Toolchain) -> None:
    resolver = Resolver(RESOLVED)
    difference = lock(toolchain, quiet, ENVIRON, resolver)
    assert "+torch==2.13.0\n" in difference
    text = toolchain.lock.read_text()
    assert text.startswith("# Resolved from lock.in by `modelbuild toolchain lock small`")
    assert text.endswith("torch==2.13.0\nnumpy==1 \\\n    --hash=sha256:bb\n")
    assert resolver.excluded == "triton\n"
    assert resolver.overridden == "numpy==1\n"
    assert "--generate-hashes" in resolver.command


def test_no_change_touches_nothing(toolchain: Toolchain) -> None:
    lock(toolchain, quiet, ENVIRON, Resolver(RESOLVED))
    before = toolchain.lock.stat().st_mtime_ns
    assert lock(toolchain, quiet, ENVIRON, Resolver(RESOLVED)) == ""
    assert toolchain.lock.stat().st_mtime_ns == before


def test_what_cannot_be_resolved_leaves_the_lock(toolchain: Toolchain) -> None:
    toolchain.lock.write_text("numpy==1\n")
    with pytest.raises(ToolchainError, match="No solution found"):
        lock(toolchain, quiet, ENVIRON, Resolver("", fails=True))
    assert toolchain.lock.read_text() == "numpy==1\n"


def test_no_requirements_and_no_uv(toolchain: Toolchain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installers, "find_uv", lambda environ: None)
    with pytest.raises(ToolchainError, match="resolved by uv"):
        lock(toolchain, quiet, ENVIRON, Resolver(""))
    toolchain.requirements.unlink()
    with pytest.raises(ToolchainError, match=r"lock\.in: No such file"):
        lock(toolchain, quiet, ENVIRON, Resolver(""))
