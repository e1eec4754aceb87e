"""A step tells which packages it imported, and is held to what its key says is installed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import buildsys.toolchains
from buildsys.engine.environments import Environments
from buildsys.engine.staleness.imported import differences
from buildsys.toolchains.environments.fingerprint import host_fingerprint, worker_path
from buildsys.toolchains.inside.imported import Imported
from tests.space import Space

PROGRAM = Path(buildsys.toolchains.__file__).parent / "inside" / "program.py"


def package(site: Path, name: str, version: str, module: str, **extra: str) -> None:
    """Installs a package of one module."""
    (site / module).mkdir(parents=True, exist_ok=True)
    (site / module / "__init__.py").write_text("")
    info = site / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Name: {name}\nVersion: {version}\n\nName: not this\n")
    record = f"{module}/__init__.py,,\n{info.name}/METADATA,,\n{info.name}/RECORD,,\n"
    (info / "RECORD").write_text(record)
    for file, text in extra.items():
        (info / file).write_text(text)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of packages on the path."""
    folder = tmp_path / "site-packages"
    package(folder, "small", "1.0", "small")
    package(folder, "Other-Name", "2.0+cpu", "module_of_other")
    package(folder, "never-imported", "3.0", "never_imported")
    monkeypatch.syspath_prepend(str(folder))
    before = set(sys.modules)
    yield folder
    for name in set(sys.modules) - before:
        del sys.modules[name]


def told(imported: Imported) -> list[list[str]]:
    return [row for row in imported.report() if row[0] != "python"]


def test_what_was_imported_is_told_and_nothing_else(site: Path) -> None:
    imported = Imported([str(site)])
    assert told(imported) == []
    __import__("small")
    imported.warm()
    __import__("module_of_other")
    assert told(imported) == [["other-name", "2.0+cpu"], ["small", "1.0"]]
    assert ["python", sys.version.split()[0]] in imported.report()


def test_a_package_that_was_replaced_meanwhile_is_told_with_both_versions(site: Path) -> None:
    imported = Imported([str(site)])
    __import__("small")
    imported.warm()
    (site / "small-1.0.dist-info").rename(site / "gone")
    package(site, "small", "1.1", "small")
    assert told(imported) == [["small", "1.0"], ["small", "1.1"]]


def test_one_that_was_replaced_before_anybody_asked(site: Path) -> None:
    """Its metadata are gone by then; the name of their folder told the version."""
    imported = Imported([str(site)])
    __import__("module_of_other")
    (site / "Other_Name-2.0+cpu.dist-info").rename(site / "gone")
    package(site, "other-name", "2.1", "module_of_other")
    assert ["other-name", "2.1"] in told(imported)


def test_differences_in_words() -> None:
    installed = {"python": "3.11.7", "numpy": "2.0", "torch": "2.13.0+cpu"}
    same = [("numpy", "2.0"), ("python", "3.11.7")]
    assert differences(same, installed) is None
    assert differences([], installed) is None
    assert differences([("numpy", "1.0")], {}) is None  # Nothing is known of it.
    assert differences([*same, ("numpy", "1.9")], installed) == "numpy 1.9 in place of 2.0"
    assert differences([("six", "1.0")], installed) == "six 1.0, which was not there"
    many = [(name, "1") for name in "abcde"]
    assert (
        differences(many, installed)
        == ", ".join(f"{name} 1, which was not there" for name in "abc") + " and 2 more"
    )


def test_the_host_and_its_workers_see_the_same_packages() -> None:
    """Else each step in this environment would fail."""
    code = "import json, sys; print(json.dumps(sys.path))"
    said = subprocess.check_output([sys.executable, "-s", "-P", "-c", code], text=True, env={})
    assert [e for e in worker_path() if "-packages" in e] == [
        e for e in json.loads(said) if "-packages" in e
    ]


def test_packages_that_only_the_caller_sees_are_not_the_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package(tmp_path, "mine", "1.0", "mine")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert "mine==1.0" in host_fingerprint().installed
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert "mine==1.0" not in host_fingerprint().installed


@pytest.mark.parametrize("warm", [True, False], ids=["in a host", "in a process of its own"])
def test_a_step_that_imports_another_version_than_its_key_says_is_not_kept(
    space: Space, monkeypatch: pytest.MonkeyPatch, warm: bool
) -> None:
    """As where an installer runs between the look at an environment and the step."""
    versions = Environments.versions
    monkeypatch.setattr(
        Environments,
        "versions",
        lambda self, environment: {**versions(self, environment), "numpy": "1.0"},
    )
    if not warm:
        monkeypatch.setattr("buildsys.engine.executors.local.FORKS", False)
    space.write("model.py", "import numpy\n" + (space.project / "model.py").read_text())
    build = space.build("ios/m.onnx", jobs=1)
    assert build.exit == 1
    (failed,) = build.run.failures.values()
    import numpy as np

    assert failed.message == (
        f"it imported numpy {np.__version__} in place of 1.0: the host's own environment changed "
        "while the build ran; what the step gave is not kept"
    )
    monkeypatch.setattr(Environments, "versions", versions)
    again = space.build("ios/m.onnx")
    assert set(build.run.failures) <= set(again.run.executed)
    assert again.exit == 0
