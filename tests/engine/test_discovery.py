"""What a model's own code reads counts, however it reads it, and wherever the project lies."""

from __future__ import annotations

import os
import shutil
import sqlite3
import sysconfig
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.profile import some
from tests.space import Space
from tests.support.compiler import shared_library

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


def discovered(space: Space) -> dict[str, str]:
    """What the capture read, as of a build that has nothing to do."""
    build = space.build("ios/m.onnx")
    assert space.ran(build)["torch.capture"] == 0
    [capture] = [n for n, a in build.graph.actions.items() if a.rule == "torch.capture"]
    found: dict[str, str] = build.run.standings[capture].manifest["discovered"]
    return found


LOOKS = [
    "(HERE / 'it').exists()",
    "(HERE / 'it').is_file() or (HERE / 'it').is_dir()",
    "os.path.lexists('it')",
    "os.access(HERE / 'it', os.R_OK)",
    "bool(list(HERE.glob('it')))",
    "os.stat in os.supports_dir_fd and os.access('it', os.F_OK, dir_fd=os.open(HERE, os.O_RDONLY))",
]


@pytest.mark.parametrize("folder", [False, True])
@pytest.mark.parametrize("look", some(LOOKS))
def test_a_file_that_comes_and_goes_and_is_only_asked_for(
    code: Space, look: str, folder: bool
) -> None:
    scaled_by(code, f"scale = 3 if {look} else 1")
    it = code.project / "it"
    assert captured(code) == 1
    assert captured(code) == 0
    it.mkdir() if folder else it.write_text("")
    assert captured(code) == 1
    assert captured(code) == 0
    if not folder:
        it.write_text("what is in it does not count")
        assert captured(code) == 0
    it.rmdir() if folder else it.unlink()
    assert captured(code) == 0  # As the first time.
    it.mkdir() if not folder else it.write_text("")
    assert captured(code) == 1


def test_a_link_that_is_resolved_first(code: Space) -> None:
    scaled_by(code, "scale = float((HERE / 'best.txt').resolve().read_text())")
    code.write("v1.txt", "1")
    code.write("v2.txt", "2")
    link = code.project / "best.txt"
    link.symlink_to("v1.txt")
    assert captured(code) == 1
    link.unlink()
    link.symlink_to("v2.txt")
    assert captured(code) == 1


def test_what_is_read_is_not_recorded_as_there_as_well(code: Space) -> None:
    scaled_by(
        code,
        "path = HERE.resolve() / 'data' / 'scale.txt'\n"
        "scale = float(path.read_text()) if path.parent.is_dir() and path.resolve().exists() else 1",
    )
    (code.project / "data").mkdir()
    code.write("data/scale.txt", "3")
    assert captured(code) == 1
    assert set(discovered(code)) == {"./*.py", "model.py", "data/scale.txt"}


def test_what_a_build_or_a_library_looks_for_does_not_count(code: Space) -> None:
    """Artifacts, byte code, the sources of frames; and what a package asks for when it is imported."""
    scaled_by(
        code,
        "import importlib, inspect, linecache, sys, traceback\n"
        "[(HERE / n).exists() for n in ('artifacts', 'artifacts/ios', '.git/HEAD', '__pycache__')]\n"
        "inspect.getsource(build)\n"
        "eval(compile('traceback.format_stack()', '<generated>', 'eval'))\n"
        "importlib.import_module('curious')\n"
        "scale = 1",
    )
    code.write("curious.py", "import os\nos.path.exists('ours')\n")
    assert captured(code) == 1
    assert set(discovered(code)) == {"./*.py", "model.py", "curious.py", "ours//"}
    assert captured(code) == 0


def test_a_package_that_looks_around_while_it_is_imported(tmp_path: Path) -> None:
    """A warm host has imported it before there was a project: a cold one must not tell more."""
    from buildsys.toolchains.inside import program

    site, project = tmp_path / "site", tmp_path / "project"
    for folder in (site, project):
        folder.mkdir()
    (site / "curious_package.py").write_text(
        "import os\nos.path.exists('rc')\n\n\ndef look(path):\n    return os.path.exists(path)\n"
    )
    patch = pytest.MonkeyPatch()
    patch.syspath_prepend(site)
    patch.chdir(project)
    discovery = program.Discovery(project, [site])
    discovery.start()
    try:
        import curious_package  # type: ignore[import-not-found]

        curious_package.look("asked")
    finally:
        discovery.stop()
        patch.undo()
    assert discovery.report() == [{"path": "asked//", "digest": "absent"}]
    assert os.stat.__module__ == "posix"


def test_what_the_code_itself_makes_tells_nothing(code: Space) -> None:
    """A folder with another name each time, which is looked at and removed."""
    scaled_by(
        code,
        "import shutil, tempfile\n"
        "folder = Path(tempfile.mkdtemp(dir=HERE))\n"
        "(folder / 'inner').mkdir()\n"
        "(folder / 'new').write_text('1')\n"
        "(folder / 'new').rename(folder / 'old')\n"
        "assert (folder / 'old').exists() and os.listdir(folder)\n"
        "shutil.rmtree(folder)\n"
        "scale = 1",
    )
    assert captured(code) == 1
    assert set(discovered(code)) == {"./*.py", "model.py"}


def test_a_link_before_two_dots(code: Space) -> None:
    outside = code.project.parent / "data"
    (outside / "assets").mkdir(parents=True)
    (outside / "gain.txt").write_text("1")
    (code.project / "assets").symlink_to(outside / "assets")
    scaled_by(code, "scale = float(open(HERE / 'assets' / '..' / 'gain.txt').read())")
    assert captured(code) == 1
    assert captured(code) == 0
    (outside / "gain.txt").write_text("2")
    assert captured(code) == 1
    assert "../data/gain.txt" in discovered(code)


def test_a_project_behind_a_link(code: Space) -> None:
    """The current directory has another name then."""
    real = code.project.rename(code.project.parent / "deep-project")
    (code.project.parent / "deep").mkdir()
    real = real.rename(code.project.parent / "deep" / "real")
    code.project.symlink_to(real)
    (real.parent / "shared.txt").write_text("1")
    scaled_by(
        code,
        "scale = float(open('../shared.txt').read()) + os.path.exists('it')\n"
        "scale += float(open('own.txt').read())",
    )
    code.write("own.txt", "1")
    assert captured(code) == 1
    assert set(discovered(code)) == {"./*.py", "model.py", "it//", "own.txt", "../shared.txt"}
    (real.parent / "shared.txt").write_text("2")
    assert captured(code) == 1
    code.write("it", "")
    assert captured(code) == 1


EXTENSION = """\
#include <Python.h>
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "ops", 0, -1, 0};
PyMODINIT_FUNC PyInit_ops(void) {
    PyObject *module = PyModule_Create(&definition);
    PyModule_AddIntConstant(module, "GAIN", VALUE);
    return module;
}
"""


def test_an_extension_module_of_the_projects(code: Space, tmp_path: Path) -> None:
    include = sysconfig.get_paths()["include"]
    if not Path(include, "Python.h").exists():
        pytest.skip("no headers of Python")
    (tmp_path / "ops.c").write_text(EXTENSION)
    target = code.project / f"ops{sysconfig.get_config_var('EXT_SUFFIX')}"
    scaled_by(code, "import ops\nscale = ops.GAIN")
    for value in (1, 2):
        shared_library(tmp_path / "ops.c", target, f"-I{include}", f"-DVALUE={value}")
        assert captured(code) == 1
        assert captured(code) == 0
    assert target.name in discovered(code)


def test_a_library_that_is_loaded_by_its_path(code: Space, tmp_path: Path) -> None:
    (tmp_path / "ops.c").write_text("int gain(void) { return VALUE; }\n")
    scaled_by(code, "import ctypes\nscale = ctypes.CDLL(str(HERE / 'ops.so')).gain()")
    for value in (1, 2):
        shared_library(tmp_path / "ops.c", code.project / "ops.so", f"-DVALUE={value}")
        assert captured(code) == 1
        assert captured(code) == 0


@pytest.mark.parametrize(
    "how", ["'a.db'", "HERE / 'a.db'", "f'file:{HERE}/a.db?mode=ro', uri=True"]
)
def test_a_database(code: Space, how: str) -> None:
    scaled_by(
        code,
        f"import sqlite3\n[[scale]] = sqlite3.connect({how}).execute('select gain from gains')",
    )
    for value in (1, 2):
        (code.project / "a.db").unlink(missing_ok=True)
        with sqlite3.connect(code.project / "a.db") as database:
            database.execute(f"create table gains as select {value} as gain")
        database.close()
        assert captured(code) == 1
        assert captured(code) == 0


def in_folder(space: Space) -> Callable[[str], object]:
    """Writes the only file of a folder."""
    (space.project / "d").mkdir()
    return (space.project / "d" / "f.txt").write_text


def test_a_file_relative_to_an_open_folder(code: Space) -> None:
    scaled_by(
        code,
        "folder = os.open(HERE / 'd', os.O_RDONLY)\n"
        "scale = float(os.read(os.open('f.txt', os.O_RDONLY, dir_fd=folder), 9))",
    )
    write = in_folder(code)
    for text in ("1", "2"):
        write(text)
        assert captured(code) == 1
        assert captured(code) == 0
    assert set(discovered(code)) == {"./*.py", "model.py", "d/f.txt"}


def test_the_listing_of_an_open_folder(code: Space) -> None:
    scaled_by(code, "scale = len(os.listdir(os.open(HERE / 'd', os.O_RDONLY)))")
    in_folder(code)("")
    assert captured(code) == 1
    assert captured(code) == 0
    (code.project / "d" / "g.txt").write_text("")
    assert captured(code) == 1


def test_a_file_that_is_opened_to_be_changed_too(code: Space) -> None:
    scaled_by(code, "import numpy\nscale = float(numpy.memmap('x.bin', numpy.float32)[0])")
    for value in (1, 2):
        (code.project / "x.bin").write_bytes(np.float32(value).tobytes())
        assert captured(code) == 1
        assert captured(code) == 0


def test_the_same_is_asked_for_warm_and_cold(
    code: Space, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scaled_by(
        code,
        "import numpy.lib.format, tempfile, zipfile\n"
        "scale = 1 + (HERE / 'a').exists() + os.path.isfile('b') + (HERE / 'helper.py').exists()\n"
        "zipfile.is_zipfile(HERE / 'val.npz')",
    )
    assert captured(code) == 1
    warm = discovered(code)
    monkeypatch.setattr("buildsys.engine.executors.local.FORKS", False)
    other = Space(code.project, tmp_path / "other")
    assert captured(other) == 1
    assert discovered(other) == warm
    assert {n: d for n, d in warm.items() if n.endswith("//")} == {
        "a//": "absent",
        "b//": "absent",
        "helper.py//": "file",
    }
