"""`modelbuild toolchain install`: one that cannot be made does not stop the others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from buildsys.backends.toolchain import Toolchain
from buildsys.cli import toolchain
from buildsys.cli.main import run
from buildsys.toolchains import Provisioner
from buildsys.toolchains.environments import installers
from buildsys.toolchains.environments.fingerprint import Interpreter
from tests.toolchains.fake import FakeProcesses
from tests.toolchains.test_provisioner import ENVIRON, LOCK

NAMES = ("bad", "good", "worse")


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Provisioner:
    """Three toolchains, of which two cannot be installed."""

    def fail(command: tuple[str, ...]) -> str | None:
        names = [name for name in ("bad", "worse") if f"{name}-" in " ".join(command)]
        return f"no wheel of {names[0]}\n" if names and "venv" not in command else None

    own = Interpreter("3.11.7", "CPython", "Linux", "x86_64")
    monkeypatch.setattr(Interpreter, "host", staticmethod(lambda: own))
    monkeypatch.setattr(installers, "find_uv", lambda environ: "/bin/uv")
    lock = tmp_path / "lock.txt"
    lock.write_text(LOCK)
    declared = {name: Toolchain(name, lock, tmp_path / "lock.in") for name in NAMES}
    made = Provisioner(
        tmp_path / "root", declared, environ=ENVIRON, processes=FakeProcesses(fail=fail)
    )
    monkeypatch.setattr(toolchain, "provisioner", lambda file: made)
    return made


def test_all_are_tried_and_the_failures_said_at_the_end(
    source: Provisioner, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["toolchain", "install"]) == 5
    said = capsys.readouterr().err
    assert [name for name in NAMES if source.installed(name)] == ["good"]
    end = said[said.index("error: ") :]
    assert "good: ready, 3 packages" in said.partition("error: ")[0]
    assert "error: toolchain bad: " in end
    assert "error: toolchain worse: " in end
    assert "no wheel of bad" in end
    assert end.count("log: ") == 2
    assert end.endswith("2 of 3 toolchains failed: bad, worse\n")


def test_json_has_an_object_for_each(
    source: Provisioner, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["toolchain", "install", "--json"]) == 5
    text, rows, decoder = capsys.readouterr().out, [], json.JSONDecoder()
    while text.strip():
        row, end = decoder.raw_decode(text)
        rows.append(row)
        text = text[end:].lstrip()
    assert [(row["name"], "fingerprint" in row, "error" in row) for row in rows] == [
        ("bad", False, True),
        ("good", True, False),
        ("worse", False, True),
    ]


def test_those_that_can_be_made_end_well(source: Provisioner) -> None:
    assert run(["toolchain", "install", "good"]) == 0
