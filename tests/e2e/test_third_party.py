"""A backend in a package of its own, installed as packages are, adds a format and edits nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest
import uv

from tests.e2e.project import Project

PACKAGE = Path(__file__).parents[1] / "thirdparty"
REPOSITORY = Path(__file__).parents[2]
LABEL = "android/classifier.textproto"


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment that sees modelbuild, and has the package installed; the network is not used."""
    folder = tmp_path_factory.mktemp("third-party") / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    made = folder / "bin" / "python"
    site = folder / "lib" / f"python{sysconfig.get_python_version()}" / "site-packages"
    lines = [str(REPOSITORY)]
    lines += [f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})"]
    (site / "modelbuild.pth").write_text("\n".join(lines) + "\n")
    command: list[str | Path] = [uv.find_uv_bin(), "pip", "install", "--quiet", "--python", made]
    command += ["--offline", "--no-index", "--no-config", "--no-deps", PACKAGE]
    done = subprocess.run(
        command,
        env={**os.environ, "UV_CACHE_DIR": str(folder.parent / "uv")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return made


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, python: Path) -> Project:
    """`digits` with a deployable of the package's format."""
    made = Project.copy_of("digits", tmp_path_factory.mktemp("digits"), python=python)
    made.edit(
        "deploy.yaml",
        "  android:\n",
        "  android:\n    - {format: textproto, accept: close, options: {title: For review}}\n",
    )
    return made


def doctor(project: Project) -> dict[str, Any]:
    """What it says of formats, where no toolchain is there: it reads every file of those that are."""
    none = {"MODELBUILD_TOOLCHAINS": str(project.store.parent / "no-toolchains")}
    record: dict[str, Any] = json.loads(project.run("doctor", "--json", environment=none).stdout)
    return {row["format"]: row for row in record["formats"]}


@pytest.mark.toolchain
def test_it_is_built_and_verified(project: Project) -> None:
    result = project.build(LABEL)
    assert result.code == 0, result.stdout + result.stderr
    assert result.statuses() == {LABEL: "verified"}
    assert result.ran()["textproto.write"] == result.ran()["textproto.run"] == 1
    deployable = project.report()[LABEL]
    assert deployable["route"] == ["torch.export", "onnx.export", "textproto.write"]
    assert deployable["measurement"]["runtime"].startswith("text by onnxruntime ")
    assert deployable["measurement"]["extremes"][0]["at"] == {"N": 64}
    text = (project.folder / "artifacts/android/classifier.textproto").read_text()
    assert 'doc_string: "For review"' in text
    assert 'op_type: "Conv"' in text
    assert project.build(LABEL).started() == 0
    project.edit("deploy.yaml", "For review", "For a review")
    assert set(project.build(LABEL).ran()) == {
        "textproto.write",
        "textproto.run",
        "verify.measure",
    }
    project.edit("deploy.yaml", "For a review", "For review")


def test_the_doctor_knows_it(project: Project) -> None:
    row = doctor(project)["textproto"]
    assert (row["wanted"], row["cannot_make"]) == (True, None)
    assert "cannot_run" in row


def test_its_options_are_checked_at_their_place(project: Project, tmp_path: Path) -> None:
    broken = project.copied(tmp_path)
    broken.edit("deploy.yaml", "{title: For", "{titel: For")
    said = broken.run("plan")
    assert said.code == 2
    assert "textproto has no option `titel`" in said.stderr
    assert "hint: did you mean `title`?" in said.stderr
    broken.edit("deploy.yaml", "{titel: For review}", '{title: "Two\\nlines"}')
    said = broken.run("plan")
    assert said.code == 2
    assert "textproto of `classifier`: `title` has more than one line" in said.stderr
    assert "hint: make it one line" in said.stderr


def test_its_options_are_documented(python: Path) -> None:
    program = (
        "import sys; sys.path.insert(0, 'docs'); import formats; "
        "from buildsys.planner.catalog import Catalog; print(formats.document(Catalog.load()))"
    )
    done = subprocess.run(
        [python, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert (
        "| [`textproto`](#textproto) | `.textproto` | onnx | toolchain `onnx` | – |" in done.stdout
    )
    assert "| `title` | text | – | Written to the model's `doc_string`. |" in done.stdout


def test_without_the_package_there_is_no_such_format(project: Project, tmp_path: Path) -> None:
    alone = project.copied(tmp_path)
    alone.python = Path(sys.executable)
    said = alone.run("plan")
    assert said.code == 2
    assert "unknown format `textproto`" in said.stderr
