from __future__ import annotations

import platform
import sys
from pathlib import Path

import pytest

from buildsys.toolchains.environments import interpreters
from tests.toolchains.fake import FakeProcesses, probe

OWN = ".".join(platform.python_version_tuple()[:2])


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the path with a `python3.9`, and no uv anywhere."""
    monkeypatch.setattr(interpreters, "find_uv", lambda environ: None)
    program = tmp_path / "python3.9"
    program.write_text("")
    program.chmod(0o755)
    return tmp_path


def test_this_programs_own_where_it_serves() -> None:
    processes = FakeProcesses()
    found = interpreters.find(OWN, {}, processes)
    assert found is not None
    assert found.program == Path(sys.executable)
    assert processes.asked == []


def test_minor_prefers_the_own_then_the_path_then_the_first(path: Path) -> None:
    environ = {"PATH": str(path)}
    assert interpreters.minor_for(["3.9", OWN], environ) == OWN
    assert interpreters.minor_for(["3.8", "3.9"], environ) == "3.9"
    assert interpreters.minor_for(["3.8", "3.9"], {"PATH": ""}) == "3.8"


def test_one_on_the_path(path: Path) -> None:
    processes = FakeProcesses(says={"python3.9": probe("3.9.18")})
    found = interpreters.find("3.9", {"PATH": str(path)}, processes)
    assert found is not None
    assert found.program == Path("/opt/python3.9.18")
    assert found.interpreter.version == "3.9.18"


@pytest.mark.parametrize(
    "said", [None, "no such version", probe("3.8.1"), probe("3.9.1", "PyPy")], ids=str
)
def test_one_that_does_not_run_as_it_should_is_passed_over(path: Path, said: str | None) -> None:
    processes = FakeProcesses(says={} if said is None else {"python3.9": said})
    assert interpreters.find("3.9", {"PATH": str(path)}, processes) is None


def test_one_that_uv_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interpreters, "find_uv", lambda environ: "/bin/uv")
    processes = FakeProcesses(says={"uv": "/u/py39\n", "py39": probe("3.9.2")})
    found = interpreters.find("3.9", {"PATH": ""}, processes)
    assert found is not None
    assert found.interpreter.version == "3.9.2"
