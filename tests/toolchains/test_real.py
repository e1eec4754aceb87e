"""The smallest toolchain, really made: by uv and by pip, killed, twice at once, without an index."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import buildsys.backends
from buildsys.backends.toolchain import Toolchain
from buildsys.toolchains import Provisioner, ToolchainError
from buildsys.toolchains.environments.installers import find_uv
from buildsys.toolchains.environments.verification import Digests
from buildsys.toolchains.health import State

pytestmark = pytest.mark.toolchain

DATA = Path(buildsys.backends.__file__).parent / "data"
TOOLCHAINS = {"data": Toolchain("data", DATA / "lock.txt", DATA / "lock.in")}
UV = pytest.param("uv", marks=pytest.mark.skipif(find_uv(os.environ) is None, reason="no uv here"))
PIP = pytest.param(
    "pip",
    marks=pytest.mark.skipif(importlib.util.find_spec("pip") is None, reason="no pip beside us"),
)

# With `kill`: ends itself without warning while the installer runs.
CHILD = """
import os, signal, subprocess, sys, time
from pathlib import Path
from buildsys.toolchains.processes import LocalProcesses
from tests.toolchains.test_real import TOOLCHAINS
from buildsys.toolchains import Provisioner

class Killed(LocalProcesses):
    def run(self, command, *, cwd, environ, log, hold=None):
        if "venv" in command:
            return super().run(command, cwd=cwd, environ=environ, log=log, hold=hold)
        with log.open("ab") as output:
            subprocess.Popen(command, cwd=cwd, env=environ, stdout=output, stderr=output,
                             pass_fds=(hold,))
        time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGKILL)

processes = Killed() if sys.argv[2] == "kill" else None
provisioner = Provisioner(Path(sys.argv[1]), TOOLCHAINS, processes=processes)
print(provisioner.ensure("data", lambda line: print(line, flush=True)).digest)
"""


def child(root: Path, how: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, str(root), how],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    )


def provisioner(root: Path, **environ: str) -> Provisioner:
    return Provisioner(root, TOOLCHAINS, environ={**os.environ, **environ})


@pytest.fixture(scope="module")
def digest(tmp_path_factory: pytest.TempPathFactory) -> str:
    return provisioner(tmp_path_factory.mktemp("first")).ensure("data").digest


@pytest.mark.parametrize("installer", [UV, PIP])
def test_it_works_and_is_the_same_whoever_made_it(
    tmp_path: Path, digest: str, installer: str
) -> None:
    source = provisioner(tmp_path, MODELBUILD_INSTALLER=installer)
    made = source.ensure("data")
    assert made.digest == digest
    assert source.installed("data") == made
    subprocess.run([source.python("data"), "-I", "-c", "import numpy, PIL.Image"], check=True)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {source.folder("data").name, "locks", "logs"}


def test_killed_in_the_middle(tmp_path: Path, digest: str) -> None:
    process = child(tmp_path, "kill")
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    source, heard = provisioner(tmp_path), list[str]()
    assert source.folder("data").exists()
    assert source.installed("data") is None
    assert source.ensure("data", heard.append).digest == digest
    assert "making a virtual environment" in heard


def test_two_at_once_make_it_once(tmp_path: Path, digest: str) -> None:
    both = [child(tmp_path, "-") for _ in range(2)]
    said = [process.communicate()[0].splitlines() for process in both]
    assert [lines[-1] for lines in said] == [digest, digest]
    assert sum(lines.count("making a virtual environment") for lines in said) == 1


@pytest.mark.parametrize("installer", [UV, PIP])
def test_no_index(tmp_path: Path, installer: str) -> None:
    environ = {
        "MODELBUILD_INSTALLER": installer,
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
        "PIP_NO_CACHE_DIR": "1",
        "PIP_RETRIES": "0",
        "UV_CACHE_DIR": str(tmp_path / "cache"),
    }
    source = Provisioner(tmp_path / "root", TOOLCHAINS, environ=environ)
    with pytest.raises(ToolchainError, match="the package index cannot be reached") as caught:
        source.ensure("data")
    assert caught.value.toolchain == "data"
    assert source.installed("data") is None


def test_requirements(tmp_path: Path) -> None:
    file = tmp_path / "requirements.txt"
    file.write_text("packaging>=23\n")
    source = provisioner(tmp_path / "root")
    made = source.ensure_requirements(file)
    assert [each.partition("==")[0] for each in made.installed] == ["packaging"]
    python = source.python_requirements(file)
    subprocess.run([python, "-I", "-c", "import packaging"], check=True)


@pytest.mark.parametrize("installer", [UV, PIP])
def test_a_package_that_was_taken_out_comes_back(
    tmp_path: Path, digest: str, installer: str
) -> None:
    source = provisioner(tmp_path, MODELBUILD_INSTALLER=installer)
    source.ensure("data")
    assert source.check("data", Digests()).state is State.READY
    remove = ["uninstall", "pillow"]
    commands: dict[str, list[object]] = {
        "uv": [find_uv(os.environ), "pip", *remove, "--python", str(source.python("data"))],
        "pip": [sys.executable, "-m", "pip", "--python", str(source.python("data")), *remove, "-y"],
    }
    site = source.folder("data") / "lib" / "python3.11" / "site-packages"
    for folder in [site, *(each for each in site.rglob("*") if each.is_dir())]:
        folder.chmod(0o755)  # As if by the superuser.
    subprocess.run([str(each) for each in commands[installer]], check=True)
    assert [said.partition(" ")[0] for said in source.look("data").altered] == ["pillow"]
    assert source.check("data", Digests()).state is State.ALTERED
    assert source.ensure("data").digest == digest
    assert source.check("data", Digests()).state is State.READY
