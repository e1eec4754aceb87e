"""What a model's own code reads counts, however it reads it, and wherever the project lies."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.space import Space

HEAD = "import os\nfrom pathlib import Path\n\nHERE = Path(__file__).parent\n"


@pytest.fixture
def code(space: Space) -> Space:
    """A project whose own code decides the bytes."""
    space.edit("deploy.yaml", ", checkpoint: weights.safetensors", "")
    return space


def scaled_by(space: Space, lines: str) -> None:
    """A factory that takes its scale from `lines`."""
    body = "".join(f"    {line}\n" for line in lines.splitlines())
    space.write("model.py", f"{HEAD}\n\ndef build(scale):\n{body}    return [[scale, 1.5]] * 3\n")


def captured(space: Space) -> int:
    """Builds; how often the model was captured."""
    return space.ran(space.build("ios/m.onnx"))["torch.capture"]


def test_a_link_that_leads_elsewhere(code: Space) -> None:
    scaled_by(code, "scale = float((HERE / 'best.txt').read_text())")
    code.write("v1.txt", "1")
    code.write("v2.txt", "2")
    link = code.project / "best.txt"
    link.symlink_to("v1.txt")
    assert captured(code) == 1
    assert captured(code) == 0
    link.unlink()
    link.symlink_to("v2.txt")
    assert captured(code) == 1


def test_a_file_that_was_looked_for_in_vain(code: Space) -> None:
    scaled_by(
        code,
        "try:\n    scale = float((HERE / 'scale.txt').read_text())\n"
        "except FileNotFoundError:\n    scale = 1",
    )
    assert captured(code) == 1
    assert captured(code) == 0
    code.write("scale.txt", "3")
    assert captured(code) == 1


@pytest.mark.parametrize("name", ["override.py", "helper/__init__.py"])
def test_a_module_that_would_be_found_first(code: Space, name: str) -> None:
    code.edit(
        "model.py",
        "from helper import base",
        "try:\n    from override import base\nexcept ImportError:\n    from helper import base",
    )
    assert captured(code) == 1
    assert captured(code) == 0
    path = code.project / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("def base():\n    return [[9.0, 1.0], [1.0, 9.0], [2.0, 2.0]]\n")
    assert captured(code) == 1


def test_two_checkouts_with_other_files_beside_them(code: Space, tmp_path: Path) -> None:
    """A store is shared; a file outside of the project is another one for each checkout."""
    code.write(
        "model.py",
        f"{HEAD}import sys\nsys.path.insert(0, str(HERE.parent / 'shared'))\n"
        "from common import SCALE\n\n\ndef build(scale):\n    return [[SCALE, 1.5]] * 3\n",
    )
    results = []
    for name, value in (("a", 2), ("b", 5)):
        root = tmp_path / name
        (root / "shared").mkdir(parents=True)
        (root / "shared" / "common.py").write_text(f"SCALE = {value}\n")
        shutil.copytree(code.project, root / "project")
        other = Space(root / "project", code.store)
        other.build("ios/m.onnx")
        results.append(other.artifacts()["ios/m.plain"])
    assert results[0] != results[1]


def test_a_project_that_lists_its_own_folder_settles(code: Space) -> None:
    scaled_by(code, "scale = len(list(HERE.glob('*.part')))")
    code.write("one.part", "")
    assert captured(code) == 1
    assert captured(code) == 0
    code.write("two.part", "")
    assert captured(code) == 1


def test_a_file_that_was_replaced_while_it_was_read(code: Space) -> None:
    """By one with an old time of modification, as `mv` does it."""
    code.write("next.py", "def base():\n    return [[7.0, 1.0], [1.0, 7.0], [2.0, 2.0]]\n")
    os.utime(code.project / "next.py", (1, 1))
    code.edit(
        "model.py",
        "def build(scale):\n",
        "def build(scale):\n    import os, pathlib\n    here = pathlib.Path(__file__).parent\n"
        "    if (here / 'next.py').exists():\n        os.rename(here / 'next.py', here / 'helper.py')\n",
    )
    code.build("ios/m.onnx", jobs=1)
    assert b"7.0" in code.artifacts()["ios/m.plain"]
    assert captured(code) == 0


def test_an_environment_inside_the_project_does_not_hide_it(code: Space) -> None:
    """Packages below `.venv` are imported as elsewhere, extension modules included."""
    import sys

    import numpy

    inner = code.project / ".venv"
    inner.mkdir()
    site = inner / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    shutil.copytree(Path(numpy.__file__).parent, site / "numpy")
    (inner / "pyvenv.cfg").write_text(f"home = {Path(sys._base_executable).parent}\n")  # type: ignore[attr-defined]
    (inner / "bin").mkdir()
    (inner / "bin" / "python").symlink_to(os.path.realpath(sys.executable))
    for library in Path(numpy.__file__).parent.parent.glob("numpy.libs"):
        shutil.copytree(library, site / library.name)
    from buildsys.engine import environments

    patch = pytest.MonkeyPatch()
    patch.setattr(environments.sys, "executable", str(inner / "bin" / "python"))  # type: ignore[attr-defined]
    try:
        assert captured(code) == 1
        code.edit("helper.py", "1.1, 2.3", "1.5, 2.3")
        assert captured(code) == 1
    finally:
        patch.undo()


def test_a_file_that_changed_and_changed_back_is_not_trusted(code: Space) -> None:
    """Its digest is what it was; what was read of it in between is not."""
    code.write("scale.txt", "1")
    scaled_by(
        code,
        "path = HERE / 'scale.txt'\npath.read_text()\npath.write_text('5')\n"
        "scale = float(path.read_text())\npath.write_text('1')",
    )
    build = code.build("ios/m.onnx", jobs=1)
    assert build.exit == 1
    messages = [failed.message for failed in build.run.failures.values()]
    assert any("scale.txt changed while torch.capture ran" in m for m in messages), messages


def test_looking_for_installed_packages_lists_nothing(code: Space) -> None:
    """Libraries ask for versions while they are imported: every folder of `sys.path` is searched."""
    code.edit(
        "model.py",
        "from helper import base",
        "import importlib.metadata\nfrom helper import base\n\n"
        "list(importlib.metadata.distributions())\n",
    )
    assert captured(code) == 1
    code.write("notes.txt", "a file that no code reads")
    assert captured(code) == 0
