"""`modelbuild doctor`: what this machine can make and run, and what would mend the rest."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from buildsys.cli.main import run
from buildsys.engine.checkup import abilities
from buildsys.planner.catalog import Catalog
from buildsys.toolchains import Provisioner
from buildsys.toolchains.environments.environment import MARKER, VERSION
from buildsys.toolchains.health import Health, State

RECIPES = Path(__file__).parents[2] / "recipes"


Rows = dict[str, dict[str, Any]]


class Doctor:
    """Calls it where no toolchain is made."""

    def __init__(
        self, folder: Path, patch: pytest.MonkeyPatch, capture: pytest.CaptureFixture[str]
    ) -> None:
        self.toolchains = folder / "toolchains"
        self._capture = capture
        patch.chdir(folder)
        patch.setenv("MODELBUILD_CACHE", str(folder / "store"))
        patch.setenv("MODELBUILD_TOOLCHAINS", str(self.toolchains))
        patch.setenv("COLUMNS", "140")

    def __call__(self, *arguments: str) -> tuple[int, str]:
        code = run(["doctor", *arguments])
        return code, self._capture.readouterr().out

    def record(self, *arguments: str) -> tuple[int, Rows, Rows]:
        """The exit status, and toolchains and formats of `--json` by name."""
        code, text = self("--json", *arguments)
        record = json.loads(text)
        assert record["version"] == 1
        rows = {row["name"]: row for row in record["toolchains"]}
        return code, rows, {row["format"]: row for row in record["formats"]}


@pytest.fixture
def doctor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Doctor:
    return Doctor(tmp_path, monkeypatch, capsys)


def environment(doctor: Doctor, name: str, program: str) -> Path:
    """A toolchain that is made, by its marker, with a program in its interpreter's place."""
    provisioner = Provisioner(doctor.toolchains, Catalog.load().toolchains)
    folder = provisioner.folder(name)
    (folder / "bin").mkdir(parents=True)
    (folder / "bin/python").write_text(f"#!/bin/sh\n{program}\n")
    (folder / "bin/python").chmod(0o755)
    interpreter = {
        "version": "3.11.7",
        "implementation": "CPython",
        "system": "Linux",
        "machine": "x86_64",
    }
    marker = {
        "version": VERSION,
        "key": provisioner.lock_digest(name),
        "interpreter": interpreter,
        "installed": ["a==1", "b==2"],
    }
    (folder / MARKER).write_text(json.dumps(marker))
    for package in ("a-1", "b-2"):
        info = folder / f"lib/python{interpreter['version'][:4]}/site-packages/{package}.dist-info"
        info.mkdir(parents=True)
        name, _, version = package.partition("-")
        (info / "METADATA").write_text(f"Name: {name}\nVersion: {version}\n")
        (info / "RECORD").write_text(f"{info.name}/METADATA,,\n{info.name}/RECORD,,\n")
    return folder


def test_what_is_missing_is_made_when_it_is_needed(doctor: Doctor, tmp_path: Path) -> None:
    code, text = doctor()
    assert code == 0
    rows = [line.split() for line in text.splitlines()]
    assert ["torch", "not", "made", "yet"] in [row[:4] for row in rows]
    assert ["onnx", "yes", "yes"] in rows
    assert list(tmp_path.iterdir()) == []  # It looks, and leaves nothing.


def test_a_toolchain_that_starts_and_one_that_does_not(doctor: Doctor) -> None:
    said = '["/usr/bin/python3.11", "3.11.7", "CPython", "Linux", "x86_64"]'
    environment(doctor, "torch", f"echo '{said}'")
    broken = environment(doctor, "onnx", "exit 1")
    _, rows, _ = doctor.record()
    assert (rows["torch"]["state"], rows["torch"]["packages"]) == ("ready", 2)
    assert rows["tflite"]["state"] == "not made yet"
    code, text = doctor()
    assert code == 0  # No recipe asks for anything.
    (line,) = [line for line in text.splitlines() if " broken " in line]
    assert line.startswith("onnx ")
    assert "its Python 3.11 does not start: run `modelbuild toolchain install --force onnx`" in line
    assert "no: toolchain `onnx`: its Python 3.11 does not start" in text
    assert broken.exists()


def test_a_recipe_that_asks_for_what_cannot_be_made(
    doctor: Doctor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELBUILD_INSTALLER", "conda")
    code, rows, formats = doctor.record()
    assert code == 0
    assert formats["onnx"]["cannot_make"] == (
        "toolchain `onnx-export`: MODELBUILD_INSTALLER is `conda`"
    )
    assert rows["coreml"]["state"] == "cannot be made"
    assert rows["coreml"]["hint"] == "set it to `uv` or to `pip`"
    recipe = str(RECIPES / "digits" / "deploy.yaml")
    code, _, formats = doctor.record("-f", recipe)
    assert code == 5
    assert [n for n, row in formats.items() if row["wanted"]] == ["coreml", "onnx", "tflite"]


def test_a_store_that_cannot_be_written(
    doctor: Doctor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MODELBUILD_CACHE", str(tmp_path / "file" / "store"))
    code, text = doctor()
    assert code == 5
    assert f"{tmp_path / 'file'} cannot be written: Not a directory" in text


def test_what_stands_in_the_way_of_a_format() -> None:
    catalog = Catalog.load()
    well = {name: Health(name, State.READY, Path()) for name in catalog.toolchains}
    # Nothing but a GPU is missing on a machine that has all toolchains.
    assert [a.format for a in abilities(catalog, well) if a.cannot_make is not None] in (
        [],
        ["tensorrt", "torch_tensorrt"],
    )
    ill = replace(well["onnx-export"], state=State.IMPOSSIBLE, reason="no Python")
    found = {a.format: a for a in abilities(catalog, {**well, "onnx-export": ill})}
    assert found["tflite"].cannot_make is None  # The direct route needs no ONNX.
    # A user's own ONNX file still comes in.
    assert found["onnx"].cannot_make is None
    ill = replace(well["coreml"], state=State.BROKEN, reason="it does not start")
    found = {a.format: a for a in abilities(catalog, {**well, "coreml": ill})}
    assert found["coreml"].cannot_make == "toolchain `coreml`: it does not start"
    assert found["coreml"].cannot_run is not None


def test_a_toolchain_with_an_altered_file(doctor: Doctor) -> None:
    """A look at times does not find it; `doctor` reads every file."""
    said = '["/usr/bin/python3.11", "3.11.7", "CPython", "Linux", "x86_64"]'
    folder = environment(doctor, "torch", f"echo '{said}'")
    site = folder / "lib/python3.11/site-packages"
    (site / "b-2.dist-info/extra.py").write_text("")
    code, rows, _ = doctor.record()
    assert code == 5
    assert rows["torch"]["state"] == "altered"
    file = "lib/python3.11/site-packages/b-2.dist-info/extra.py"
    damage = {"package": "(no package)", "altered": [], "missing": [], "foreign": [file]}
    assert rows["torch"]["damage"] == [damage]
    assert rows["torch"]["hint"] == "run `modelbuild toolchain install --force torch`"
    code, text = doctor()
    assert code == 5
    assert "it is not what was installed: (no package): 1 foreign" in " ".join(text.split())


def test_toolchain_verify_and_list_tell_of_it(
    doctor: Doctor, capsys: pytest.CaptureFixture[str]
) -> None:
    said = '["/usr/bin/python3.11", "3.11.7", "CPython", "Linux", "x86_64"]'
    folder = environment(doctor, "torch", f"echo '{said}'")
    assert run(["toolchain", "verify"]) == 0
    assert "torch: ready, 2 packages" in capsys.readouterr().out
    site = folder / "lib/python3.11/site-packages"
    (site / "b-2.dist-info").rename(site / "b-3.dist-info")
    (site / "b-3.dist-info/METADATA").write_text("Name: b\nVersion: 3\n")
    assert run(["toolchain", "verify", "torch"]) == 5
    out = capsys.readouterr().out
    assert "torch: altered" in out
    assert "  b 3 in place of 2\n" in out
    assert "hint: run `modelbuild toolchain install --force torch`" in out
    assert run(["toolchain", "verify", "torch", "--json"]) == 5
    (row,) = json.loads(capsys.readouterr().out)["toolchains"]
    assert (row["state"], row["altered"]) == ("altered", ["b 3 in place of 2"])
    assert run(["toolchain", "list"]) == 0
    out = capsys.readouterr().out
    assert "torch is not what was installed: b 3 in place of 2" in out
    assert "hint: the next build that needs it reinstalls it" in out
    assert run(["toolchain", "verify", "nonesuch"]) == 2
