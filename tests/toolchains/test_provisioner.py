from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from buildsys.backends.toolchain import Toolchain
from buildsys.toolchains import Provisioner, ToolchainError
from buildsys.toolchains.environments import installers, interpreters
from buildsys.toolchains.environments.environment import MARKER
from buildsys.toolchains.environments.fingerprint import Interpreter
from tests.toolchains.fake import FakeProcesses

LOCK = """\
numpy==2.4.6 \\
    --hash=sha256:aa
pillow==13.0.0 \\
    --hash=sha256:bb
torch==2.13.0
"""
ENVIRON = {"PATH": "", "PIP_CONFIG_FILE": "/dev/null", "PYTHONPATH": "/mine", "HOME": "/nowhere"}
Make = Callable[..., Provisioner]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """A provisioner of one toolchain, `small`, on any Python that runs the tests."""
    own = Interpreter("3.11.7", "CPython", "Linux", "x86_64")
    monkeypatch.setattr(Interpreter, "host", staticmethod(lambda: own))
    monkeypatch.setattr(installers, "find_uv", lambda environ: "/bin/uv")
    lock = tmp_path / "lock.txt"
    lock.write_text(LOCK)
    small = Toolchain("small", lock, tmp_path / "lock.in")

    def provisioner(
        processes: FakeProcesses, environ: dict[str, str] | None = None, **overrides: Path
    ) -> Provisioner:
        return Provisioner(
            tmp_path / "root",
            {"small": small},
            overrides,
            {**ENVIRON, **(environ or {})},
            processes,
        )

    return provisioner


def test_ensure_makes_it_once_and_says_what_it_does(make: Make) -> None:
    processes, heard = FakeProcesses(local={"torch": "+cpu"}), list[str]()
    provisioner = make(processes)
    assert provisioner.installed("small") is None
    made = provisioner.ensure("small", heard.append)
    assert made.installed == ("numpy==2.4.6", "pillow==13.0.0", "torch==2.13.0+cpu")
    assert heard == [
        "making a virtual environment",
        "installing 2 packages",
        "installing torch==2.13.0",
    ]
    started = len(processes.ran)
    assert provisioner.ensure("small", heard.append) == made == provisioner.installed("small")
    assert len(processes.ran) == started
    assert processes.asked == []
    assert provisioner.python("small") == provisioner.folder("small") / "bin" / "python"


def test_hashed_packages_are_checked_and_torch_is_apart(make: Make) -> None:
    processes = FakeProcesses()
    make(processes).ensure("small")
    hashed, free = processes.installs()
    assert "--require-hashes" in hashed
    assert "--require-hashes" not in free
    assert all("--no-deps" in command for command in (hashed, free))
    assert all("PYTHONPATH" not in environ for environ in processes.environs)


def test_pip_where_it_is_asked_for(make: Make) -> None:
    pytest.importorskip("pip")
    processes = FakeProcesses()
    made = make(processes, {"MODELBUILD_INSTALLER": "pip"}).ensure("small")
    assert all(command[1:4] == ("-I", "-m", "pip") for command in processes.installs())
    shutil.rmtree(make(processes).folder("small"))
    assert make(processes).ensure("small") == made


def test_a_cuda_build_gets_what_it_does_not_start_without(make: Make) -> None:
    asks = ['cuda-toolkit[cublas]==13.0.3; platform_system == "Linux"', "filelock"]
    processes, heard = FakeProcesses(requires={"torch": asks}), list[str]()
    made = make(processes).ensure("small", heard.append)
    assert processes.installs()[-1][-1] == asks[0]
    assert "cuda-toolkit==13.0.3" in made.installed
    assert "CUDA" in heard[-1]


def test_another_lock_is_another_folder(make: Make, tmp_path: Path) -> None:
    provisioner = make(FakeProcesses())
    before = provisioner.folder("small")
    (tmp_path / "lock.txt").write_text("numpy==2.4.5\n")
    assert provisioner.folder("small") != before
    (tmp_path / "lock.txt").write_text(LOCK)
    assert provisioner.folder("small") == before
    assert before.name == f"small-{provisioner.lock_digest('small')[:12]}"


def test_a_recipe_puts_a_lock_in_place_of_ours(make: Make, tmp_path: Path) -> None:
    (tmp_path / "own.txt").write_text("numpy==1.0\n")
    made = make(FakeProcesses(), small=tmp_path / "own.txt").ensure("small")
    assert made.installed == ("numpy==1.0",)


@pytest.mark.parametrize(
    "harm",
    [
        lambda folder: (folder / MARKER).unlink(),
        lambda folder: (folder / MARKER).write_text("{"),
        lambda folder: (folder / MARKER).write_text("[]"),
        lambda folder: (folder / "bin" / "python").unlink(),
        lambda folder: alter(folder, key="0" * 64),
        lambda folder: alter(folder, version=0),
    ],
    ids=["no marker", "cut short", "not ours", "no python", "another lock", "another version"],
)
def test_a_folder_that_is_not_whole_is_made_anew(
    make: Make, harm: Callable[[Path], object]
) -> None:
    processes = FakeProcesses()
    provisioner = make(processes)
    made = provisioner.ensure("small")
    (provisioner.folder("small") / "half-installed").write_text("")
    harm(provisioner.folder("small"))
    assert provisioner.installed("small") is None
    assert provisioner.ensure("small") == made
    assert not (provisioner.folder("small") / "half-installed").exists()


def alter(folder: Path, **change: object) -> None:
    marker = json.loads((folder / MARKER).read_text())
    (folder / MARKER).write_text(json.dumps({**marker, **change}))


def test_the_folder_of_toolchains_is_the_users_own(make: Make, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        make(FakeProcesses()).ensure("small")
        assert (tmp_path / "root").stat().st_mode & 0o777 == 0o700
        (tmp_path / "root").chmod(0o755)  # One that is there may be shared on purpose.
        make(FakeProcesses()).ensure("small", force=False)
        assert (tmp_path / "root").stat().st_mode & 0o777 == 0o755
    finally:
        os.umask(before)


def test_a_failed_install_leaves_nothing_but_its_log(make: Make) -> None:
    def fail(command: tuple[str, ...]) -> str | None:
        return "error: Failed to fetch\ncause: Connection refused\n" if "-r" in command else None

    provisioner = make(FakeProcesses(fail=fail))
    with pytest.raises(ToolchainError) as caught:
        provisioner.ensure("small")
    error = caught.value
    assert error.toolchain == "small"
    assert error.message.startswith("the package index cannot be reached\n")
    assert "Connection refused" in error.message
    assert error.hint is not None
    assert error.log is not None
    assert "Failed to fetch" in error.log.read_text()
    assert provisioner.installed("small") is None
    assert not provisioner.folder("small").exists()


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("x: No space left on device (os error 28)", "the disk is full"),
        ("error: Hash mismatch for `numpy==2.4.6`", "a package is not the one"),
        ("ERROR: No matching distribution found for numpy", "the package index has no file"),
        ("ERROR: numpy==2.4.6 (from versions: none)", "cannot be reached, or has nothing"),
        ("something else", "the installer failed"),
    ],
)
def test_what_an_installer_says_is_explained(make: Make, said: str, message: str) -> None:
    processes = FakeProcesses(fail=lambda command: said)
    with pytest.raises(ToolchainError, match=message):
        make(processes).ensure("small")


def test_no_python(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    other = Interpreter("3.9.1", "CPython", "Linux", "x86_64")
    monkeypatch.setattr(Interpreter, "host", staticmethod(lambda: other))
    monkeypatch.setattr(interpreters, "find_uv", lambda environ: None)
    with pytest.raises(ToolchainError, match=r"needs Python 3\.11") as caught:
        make(FakeProcesses()).ensure("small")
    assert caught.value.hint is not None
    assert "uv python install 3.11" in caught.value.hint


def test_a_root_that_cannot_be_written(make: Make, tmp_path: Path) -> None:
    (tmp_path / "root").write_text("a file")
    with pytest.raises(ToolchainError, match="cannot be written"):
        make(FakeProcesses()).ensure("small")


@pytest.mark.parametrize(
    ("text", "message"), [(None, "cannot be read"), ("numpy>=1\n", "not an exact pin")]
)
def test_a_lock_that_is_of_no_use(
    make: Make, tmp_path: Path, text: str | None, message: str
) -> None:
    lock = tmp_path / "lock.txt"
    lock.unlink()
    if text is not None:
        lock.write_text(text)
    with pytest.raises(ToolchainError, match=message):
        make(FakeProcesses()).ensure("small")


def test_an_unknown_toolchain_and_an_unknown_installer(make: Make) -> None:
    with pytest.raises(ToolchainError, match="no backend declares it"):
        make(FakeProcesses()).installed("smal")
    with pytest.raises(ToolchainError, match="MODELBUILD_INSTALLER is `conda`"):
        make(FakeProcesses(), {"MODELBUILD_INSTALLER": "conda"}).ensure("small")


def test_broken_pip_settings(make: Make, tmp_path: Path) -> None:
    (tmp_path / "pip.conf").write_text("index-url = x\n")
    with pytest.raises(ToolchainError, match="pip's settings cannot be read"):
        make(FakeProcesses(), {"PIP_CONFIG_FILE": str(tmp_path / "pip.conf")}).ensure("small")


def test_requirements_are_resolved_and_followed(make: Make, tmp_path: Path) -> None:
    file, nested = tmp_path / "requirements.txt", tmp_path / "base.txt"
    nested.write_text("")
    file.write_text("timm==1.0\n")
    processes = FakeProcesses()
    provisioner = make(processes)
    assert provisioner.installed_requirements(file) is None
    made = provisioner.ensure_requirements(file)
    assert made.installed == ("timm==1.0",)
    assert "--no-deps" not in processes.installs()[0]
    assert provisioner.installed_requirements(file) == made
    folder = provisioner.python_requirements(file).parent.parent
    assert folder.name.startswith("requirements-")
    file.write_text("-r base.txt\n")
    assert provisioner.installed_requirements(file) is None
    before = provisioner.python_requirements(file)
    nested.write_text("numpy==1\n")
    assert provisioner.python_requirements(file) != before


def test_missing_requirements(make: Make, tmp_path: Path) -> None:
    with pytest.raises(ToolchainError, match="requirements file cannot be read"):
        make(FakeProcesses()).ensure_requirements(tmp_path / "none.txt")


@pytest.mark.parametrize(
    ("installer", "option", "kept"),
    [
        ("", "--offline", "uv's cache does not"),
        ("pip", "--no-index", "`find-links` folders do not"),
    ],
)
def test_offline_uses_only_what_the_installer_has_kept(
    make: Make, tmp_path: Path, installer: str, option: str, kept: str
) -> None:
    if installer:
        pytest.importorskip("pip")
    declared = make(FakeProcesses()).toolchains
    environ = {**ENVIRON, "MODELBUILD_INSTALLER": installer}
    processes = FakeProcesses()
    Provisioner(tmp_path / "root", declared, {}, environ, processes, offline=True).ensure("small")
    assert all(option in command for command in processes.installs())
    shutil.rmtree(tmp_path / "root")
    processes = FakeProcesses(fail=lambda c: None if "venv" in c else "no network\nsorry\n")
    with pytest.raises(ToolchainError) as caught:
        Provisioner(tmp_path / "root", declared, {}, environ, processes, offline=True).ensure(
            "small"
        )
    assert "it is not installed, and with `--offline`" in caught.value.message
    assert kept in caught.value.message
    assert "sorry" in caught.value.message
    assert "without `--offline` once" in (caught.value.hint or "")


def test_a_full_disk_is_a_full_disk_offline_too(make: Make, tmp_path: Path) -> None:
    full = FakeProcesses(fail=lambda c: None if "venv" in c else "No space left on device\n")
    provisioner = Provisioner(
        tmp_path / "root", make(full).toolchains, {}, ENVIRON, full, offline=True
    )
    with pytest.raises(ToolchainError, match="the disk is full"):
        provisioner.ensure("small")


def test_online_says_nothing_of_offline(make: Make) -> None:
    processes = FakeProcesses(fail=lambda c: None if "venv" in c else "error\n")
    with pytest.raises(ToolchainError) as caught:
        make(processes).ensure("small")
    assert "offline" not in caught.value.message
    assert not any("--offline" in command for command in processes.ran)


@pytest.mark.parametrize("step", [1, 2, 3])
def test_a_maker_that_is_killed_leaves_nothing_that_counts(make: Make, step: int) -> None:
    class Killed(BaseException):
        """Nobody cleans up after this, as after SIGKILL."""

    def die(command: tuple[str, ...]) -> str | None:
        if len(dying.ran) == step:
            raise Killed
        return None

    dying = FakeProcesses(fail=die)
    with pytest.raises(Killed):
        make(dying).ensure("small")
    again = make(FakeProcesses())
    assert again.installed("small") is None
    assert again.ensure("small").installed == ("numpy==2.4.6", "pillow==13.0.0", "torch==2.13.0")
