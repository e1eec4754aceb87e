"""The user's modules are imported from their sources, wherever they lie, and get no byte code beside them."""

from __future__ import annotations

import json
import os
import py_compile
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import buildsys.toolchains
from buildsys.backends import BUILT_IN
from buildsys.toolchains.inside import source_imports
from tests.space import Space

PROGRAM = Path(buildsys.toolchains.__file__).parent / "inside" / "program.py"
PLAIN = "import helper\nfound = helper.VALUE\n"
BY_PATH = "import sys\nsys.path.insert(0, {shared!r})\n" + PLAIN
WAYS = {
    "a folder that the code adds to sys.path": BY_PATH,
    "a file that the code loads by its path": (
        "import importlib.util\n"
        "spec = importlib.util.spec_from_file_location('helper', {shared!r} + '/helper.py')\n"
        "module = importlib.util.module_from_spec(spec)\n"
        "spec.loader.exec_module(module)\n"
        "found = module.VALUE\n"
    ),
    "a loader that the code makes": (
        "from importlib.machinery import SourceFileLoader\n"
        "found = SourceFileLoader('helper', {shared!r} + '/helper.py').load_module().VALUE\n"
    ),
    "a Python child": (
        "import os, subprocess, sys\n"
        "found = subprocess.check_output([sys.executable, '-c', 'import helper; print(helper.VALUE)'],"
        " env=dict(os.environ, PYTHONPATH={shared!r}), text=True).strip()\n"
    ),
    "a process that multiprocessing spawns": (
        "import multiprocessing, sys\n"
        "sys.path.insert(0, {shared!r})\n"
        "import helper\n"
        "with multiprocessing.get_context('spawn').Pool(1) as pool:\n"
        "    found = pool.apply(helper.value)\n"
    ),
    "a .pth file of the environment": PLAIN,
    "the finder of an editable install": PLAIN,
    "a link in site-packages": PLAIN,
}


def step(folder: Path, python: str, code: str) -> str:
    """Runs a step whose worker runs `code` as a model's; what it found."""
    backend, project = folder / "probe", folder / "project"
    shutil.rmtree(folder / "action", ignore_errors=True)  # Each step has a folder of its own.
    for each in (backend, project, folder / "action" / "scratch" / "tmp"):
        each.mkdir(parents=True, exist_ok=True)
    (backend / "worker.py").write_text(
        f"def run(request):\n    space = {{}}\n    exec({code!r}, space)\n"
        "    request.outputs['found'].write_text(space['found'])\n"
    )
    spec = {
        "action": str(folder / "action"),
        "backends": str(BUILT_IN),
        "backend": "probe",
        "folder": str(backend),
        "worker": "worker:run",
        "options": {},
        "inputs": {},
        "outputs": {"found": str(folder / "action" / "found")},
        "scratch": str(folder / "action" / "scratch"),
        "project": str(project),
        "threads": 1,
        "resume": None,
    }
    request = folder / "action" / "request.json"
    request.write_text(json.dumps(spec))
    command = [python, "-s", "-P", str(PROGRAM), str(request)]
    environ = {"PATH": "/usr/bin:/bin", "HOME": str(folder)}
    subprocess.run(command, check=True, cwd=str(folder / "action" / "scratch"), env=environ)
    result = json.loads((folder / "action" / "result.json").read_text())
    assert result.get("ok"), result
    return (folder / "action" / "found").read_text()


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment that holds nothing."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    return folder


def editable(environment: Path, shared: Path, way: str) -> None:
    """Makes `helper` a module that the environment finds elsewhere."""
    minor = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    site = environment / "lib" / minor / "site-packages"
    for name in ("shared.pth", "finder.py", "helper", "helper.py"):
        (site / name).unlink(missing_ok=True)
    if "pth" in way:
        (site / "shared.pth").write_text(f"{shared}\n")
    elif "finder" in way:
        (site / "finder.py").write_text(
            "import sys\nfrom importlib.util import spec_from_file_location\n\n\nclass Finder:\n"
            "    @classmethod\n    def find_spec(cls, name, path=None, target=None):\n"
            f"        file = {str(shared)!r} + '/helper.py'\n"
            "        return spec_from_file_location(name, file) if name == 'helper' else None\n\n\n"
            "sys.meta_path.append(Finder)\n"
        )
        (site / "shared.pth").write_text("import finder\n")
    elif "link" in way:
        (site / "helper.py").symlink_to(shared / "helper.py")


@pytest.mark.parametrize("way", WAYS)
def test_stale_byte_code_is_not_believed_and_none_is_written(
    tmp_path: Path, environment: Path, way: str
) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    editable(environment, shared, way)
    helper = shared / "helper.py"
    text = "VALUE = {!r}\n\n\ndef value():\n    return VALUE\n"
    python, code = (
        str(environment / "bin" / "python"),
        WAYS[way].replace("{shared!r}", repr(str(shared))),
    )
    helper.write_text(text.format("before"))
    assert step(tmp_path, python, code) == "before"
    assert list(shared.iterdir()) == [helper]
    # The user's own interpreter has left some.
    compiled = py_compile.compile(str(helper))
    assert compiled is not None
    bytes_before, times = Path(compiled).read_bytes(), helper.stat()
    helper.write_text(text.format("after!"))
    os.utime(helper, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert step(tmp_path, python, code) == "after!"
    assert Path(compiled).read_bytes() == bytes_before


def test_what_is_installed_keeps_its_byte_code(tmp_path: Path, environment: Path) -> None:
    """Compiling all of torch for each step would take longer than most steps."""
    editable(environment, tmp_path, "")
    minor = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    package = environment / "lib" / minor / "site-packages" / "installed_one"
    package.mkdir()
    (package / "__init__.py").write_text("VALUE = 'installed'\n")
    python = str(environment / "bin" / "python")
    assert (
        step(tmp_path, python, "import installed_one\nfound = installed_one.VALUE\n") == "installed"
    )
    assert [path.suffix for path in (package / "__pycache__").iterdir()] == [".pyc"]


def test_a_helper_outside_of_the_project_with_its_times_restored(space: Space) -> None:
    """In a warm worker: the build that detects the edit must run on it."""
    shared = space.project.parent / "shared"
    shared.mkdir()
    (space.project / "helper.py").rename(shared / "helper.py")
    space.edit("deploy.yaml", ", checkpoint: weights.safetensors", "")
    space.edit(
        "model.py", "from helper", f"import sys\nsys.path.insert(0, {str(shared)!r})\nfrom helper"
    )
    helper = shared / "helper.py"
    space.build()
    first = space.artifacts()
    assert list(shared.iterdir()) == [helper]
    py_compile.compile(str(helper))
    times = helper.stat()
    helper.write_text(helper.read_text().replace("1.1, 2.3", "1.5, 2.3"))
    os.utime(helper, ns=(times.st_atime_ns, times.st_mtime_ns))
    build = space.build()
    assert space.ran(build)["torch.capture"] == 1
    assert space.artifacts()["ios/m.plain"] != first["ios/m.plain"]


def test_entries_of_the_path_that_installers_fill(tmp_path: Path) -> None:
    site, source = tmp_path / "venv" / "site-packages", tmp_path / "source"
    other = tmp_path / "system" / "dist-packages"
    library = sysconfig.get_paths()["stdlib"]
    entries = ["", str(site), str(source), str(other), library, f"{library}/lib-dynload"]
    found = source_imports.installed_path(entries, [str(site), library])
    assert found == [str(site), str(other), library, f"{library}/lib-dynload"]
