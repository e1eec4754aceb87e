"""An environment that is no longer what was put into it is seen, told of, and made anew."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from buildsys.backends.toolchain import Toolchain
from buildsys.engine.environments import Environments
from buildsys.toolchains import Provisioner, ToolchainError
from buildsys.toolchains.environments import contents, installers
from buildsys.toolchains.environments.environment import LOOK, MARKER
from buildsys.toolchains.environments.fingerprint import Interpreter
from buildsys.toolchains.environments.verification import Digests
from buildsys.toolchains.health import State
from tests.toolchains.fake import FakeProcesses, probe

ENVIRON = {"PATH": "", "PIP_CONFIG_FILE": "/dev/null", "HOME": "/nowhere"}


class Filling(FakeProcesses):
    """Installs packages of one module, each with its RECORD."""

    def _install(self, command: tuple[str, ...]) -> None:
        super()._install(command)
        site = (
            Path(command[command.index("--python") + 1]).parents[1] / "lib/python3.11/site-packages"
        )
        for info in site.glob("*.dist-info"):
            fill(info)


def fill(info: Path, text: str = "") -> None:
    """Writes the module of a package, and its RECORD."""
    name = info.name.partition("-")[0]
    module = info.parent / name / "__init__.py"
    module.parent.mkdir(exist_ok=True)
    module.write_text(text or f"# {info.name}\n")
    digest = base64.urlsafe_b64encode(hashlib.sha256(module.read_bytes()).digest()).rstrip(b"=")
    row = f"{name}/__init__.py,sha256={digest.decode()},{module.stat().st_size}\n"
    (info / "RECORD").write_text(f"{row}{info.name}/METADATA,,\n{info.name}/RECORD,,\n")


@pytest.fixture
def processes() -> Filling:
    return Filling(says={"python": probe("3.11.7")})


@pytest.fixture
def source(tmp_path: Path, processes: Filling, monkeypatch: pytest.MonkeyPatch) -> Provisioner:
    own = Interpreter("3.11.7", "CPython", "Linux", "x86_64")
    monkeypatch.setattr(Interpreter, "host", staticmethod(lambda: own))
    monkeypatch.setattr(installers, "find_uv", lambda environ: "/bin/uv")
    lock = tmp_path / "lock.txt"
    lock.write_text(
        "numpy==2.4.6 \\\n    --hash=sha256:aa\npillow==13.0.0 \\\n    --hash=sha256:bb\n"
    )
    small = Toolchain("small", lock, tmp_path / "lock.in")
    return Provisioner(tmp_path / "root", {"small": small}, {}, ENVIRON, processes)


def site_of(source: Provisioner) -> Path:
    """Where a toolchain's packages are, open for writing: a user may be the superuser."""
    site = source.folder("small") / "lib/python3.11/site-packages"
    for root, _, _ in os.walk(site):
        Path(root).chmod(0o755)
    return site


def other_version(site: Path) -> None:
    """As `uv pip install numpy==2.4.5` does it."""
    shutil.rmtree(site / "numpy-2.4.6.dist-info")
    info = site / "numpy-2.4.5.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: numpy\nVersion: 2.4.5\n")
    fill(info)


def again(site: Path) -> None:
    """The same version, built elsewhere."""
    other = site / "numpy-2.4.6.dist-info.new"
    shutil.copytree(site / "numpy-2.4.6.dist-info", other)
    shutil.rmtree(site / "numpy-2.4.6.dist-info")
    other.rename(site / "numpy-2.4.6.dist-info")
    fill(site / "numpy-2.4.6.dist-info", "# patched\n")


def added(site: Path) -> None:
    info = site / "scipy-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: scipy\nVersion: 1.0\n")


ALTERATIONS: dict[str, tuple[Callable[[Path], object], str]] = {
    "another version": (other_version, "numpy 2.4.5 in place of 2.4.6"),
    "the same version again": (again, "numpy 2.4.6 is not the one that was installed"),
    "one more": (added, "scipy 1.0 was added"),
    "one less": (lambda site: shutil.rmtree(site / "numpy-2.4.6.dist-info"), "numpy 2.4.6 is gone"),
    "a path": (lambda site: (site / "x.pth").write_text("/x"), "x.pth was added to site-packages"),
    "a module": (
        lambda site: (site / "sitecustomize.py").write_text(""),
        "sitecustomize.py was added to site-packages",
    ),
    "all of it": (shutil.rmtree, "numpy 2.4.6 is gone; pillow 13.0.0 is gone"),
}


@pytest.mark.parametrize("what", ALTERATIONS)
def test_what_an_installer_changes_is_seen_and_mended(
    source: Provisioner, processes: Filling, what: str
) -> None:
    alter, said = ALTERATIONS[what]
    made = source.ensure("small")
    alter(site_of(source))
    assert source.installed("small") is None
    assert "; ".join(source.look("small").altered) == said
    health = source.check("small")
    assert health.state is State.ALTERED
    assert said in (health.reason or "")
    environments = Environments(source)
    assert environments.fingerprint("small") is None
    assert environments.altered("small") == said
    heard = list[str]()
    environments.ensure("small", heard.append)
    assert heard[0] == f"it was altered ({said}); reinstalling it"
    assert environments.fingerprint("small") == made.digest
    assert environments.altered("small") is None
    assert source.look("small").altered == ()


def test_what_changes_nothing_is_looked_at_once(
    source: Provisioner, processes: Filling, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy of an environment has other inodes; byte code and touched folders have other times."""
    made = source.ensure("small")
    looks = list[Path]()
    whole = contents.contents

    def counted(folder: Path, minor: str, *, node: bool) -> contents.Contents:
        looks.append(folder)
        return whole(folder, minor, node=node)

    monkeypatch.setattr(contents, "contents", counted)
    assert source.installed("small") == made
    assert looks == []
    (site_of(source) / "__pycache__").mkdir()
    os.utime(site_of(source), ns=(1, 1))
    assert [source.installed("small") for _ in range(3)] == [made] * 3
    assert len(looks) == 1
    folder = source.folder("small")
    shutil.copytree(folder, folder.with_name("copy"))
    shutil.rmtree(folder)
    folder.with_name("copy").rename(folder)
    assert [source.installed("small") for _ in range(3)] == [made] * 3
    assert len(looks) == 2


def test_one_that_an_earlier_version_made_is_taken_over(source: Provisioner) -> None:
    made = source.ensure("small")
    folder = source.folder("small")
    marker = json.loads((folder / MARKER).read_text())
    del marker["contents"]
    (folder / MARKER).write_text(json.dumps(marker))
    (folder / LOOK).unlink()
    assert source.installed("small") == made
    again(site_of(source))
    assert source.look("small").altered == ("numpy 2.4.6 is not the one that was installed",)


def test_another_python_below_it(source: Provisioner, processes: Filling) -> None:
    source.ensure("small")
    (source.folder("small") / "bin").chmod(0o755)
    python = source.python("small")
    python.chmod(0o755)
    python.write_text("another")
    os.utime(python, ns=(1, 1))
    assert source.installed("small") is not None  # The same version, built again.
    os.utime(python, ns=(2, 2))
    processes.says["python"] = probe("3.11.9")
    assert source.look("small").altered == ("it runs on Python 3.11.9 in place of 3.11.7",)


def test_others_may_look_until_it_is_taken_away(source: Provisioner) -> None:
    """A build goes on with other steps while an environment is made anew."""
    made = source.ensure("small")
    other_version(site_of(source))
    environments = Environments(source)

    def meanwhile(line: str) -> None:
        environments.altered("small")

    environments.ensure("small", meanwhile)
    assert environments.fingerprint("small") == made.digest


def test_a_damaged_note_is_no_evidence(source: Provisioner) -> None:
    made = source.ensure("small")
    note = source.folder("small") / LOOK
    for text in ("", "[]", '{"stamps": {}}', '{"stamps": 3, "contents": null}'):
        note.write_text(text)
        assert source.installed("small") == made
    assert json.loads(note.read_text())["stamps"]


def test_folders_are_read_only_but_for_byte_code(source: Provisioner) -> None:
    source.ensure("small")
    site = source.folder("small") / "lib/python3.11/site-packages"
    for path in (site, site / "numpy", site / "numpy-2.4.6.dist-info", site / "numpy/__init__.py"):
        assert not stat.S_IMODE(path.stat().st_mode) & 0o222, path
    assert (site / "numpy/__pycache__").stat().st_mode & 0o200


def test_a_file_with_other_names_keeps_its_mode(
    source: Provisioner, processes: Filling, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """uv links to its cache, and the user's own environments link there too."""
    kept = tmp_path / "cache.py"
    install = processes._install

    def linking(command: tuple[str, ...]) -> None:
        install(command)
        site = (
            Path(command[command.index("--python") + 1]).parents[1] / "lib/python3.11/site-packages"
        )
        os.link(site / "numpy/__init__.py", kept)

    monkeypatch.setattr(processes, "_install", linking)
    source.ensure("small")
    assert kept.stat().st_mode & 0o200


def test_every_file_is_read(source: Provisioner) -> None:
    source.ensure("small")
    site = site_of(source)
    module = site / "numpy/__init__.py"
    module.chmod(0o644)
    module.write_text("# altered  \n")
    (site / "pillow/__init__.py").unlink()
    (site / "pillow/more.py").write_text("")
    assert source.installed("small") is not None  # No stamp tells of these.
    assert source.check("small").state is not State.ALTERED
    health = source.check("small", Digests())
    assert health.state is State.ALTERED
    assert [each.to_json() for each in health.damage] == [
        {"package": package, "altered": [], "missing": [], "foreign": [], what: [file]}
        for package, what, file in (
            ("numpy==2.4.6", "altered", "lib/python3.11/site-packages/numpy/__init__.py"),
            ("pillow==13.0.0", "missing", "lib/python3.11/site-packages/pillow/__init__.py"),
            ("(no package)", "foreign", "lib/python3.11/site-packages/pillow/more.py"),
        )
    ]
    assert "numpy==2.4.6: 1 altered" in (health.reason or "")
    assert health.hint == "run `modelbuild toolchain install --force small`"
    source.ensure("small", force=True)
    assert source.check("small", Digests()).damage == ()


def test_an_installers_cache_that_links_to_what_was_altered(
    source: Provisioner, processes: Filling, monkeypatch: pytest.MonkeyPatch
) -> None:
    install = processes._install

    def damaged(command: tuple[str, ...]) -> None:
        install(command)
        folder = Path(command[command.index("--python") + 1]).parents[1]
        (folder / "lib/python3.11/site-packages/numpy/__init__.py").write_text("# altered\n")

    monkeypatch.setattr(processes, "_install", damaged)
    with pytest.raises(ToolchainError, match="still holds altered files of numpy") as caught:
        source.ensure("small", force=True)
    assert "uv cache clean numpy" in (caught.value.hint or "")
