from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from buildsys.toolchains.environments.fingerprint import (
    Fingerprint,
    Interpreter,
    host_fingerprint,
    installed_in,
    missing,
)

PYTHON = Interpreter("3.11.7", "CPython", "Linux", "x86_64")


def package(site: Path, name: str, version: str, requires: tuple[str, ...] = ()) -> None:
    info = site / f"{name}-{version}.dist-info"
    info.mkdir(parents=True)
    asks = "".join(f"Requires-Dist: {each}\n" for each in requires)
    (info / "METADATA").write_text(f"Name: {name}\nVersion: {version}\n{asks}")


def test_it_does_not_depend_on_order() -> None:
    assert Fingerprint.of(PYTHON, ["b==1", "a==2"]) == Fingerprint.of(PYTHON, ["a==2", "b==1"])


def test_it_depends_on_each_part() -> None:
    digests = {
        Fingerprint.of(PYTHON, ["a==1"]).digest,
        Fingerprint.of(PYTHON, ["a==1+cpu"]).digest,
        Fingerprint.of(replace(PYTHON, version="3.11.8"), ["a==1"]).digest,
        Fingerprint.of(replace(PYTHON, implementation="PyPy"), ["a==1"]).digest,
        Fingerprint.of(replace(PYTHON, system="Darwin"), ["a==1"]).digest,
        Fingerprint.of(replace(PYTHON, machine="arm64"), ["a==1"]).digest,
    }
    assert len(digests) == 6


def test_installed_keeps_local_versions_and_the_first_of_a_path(tmp_path: Path) -> None:
    package(tmp_path / "one", "Torch_Thing", "2.0+cpu")
    package(tmp_path / "two", "torch-thing", "1.0")
    (tmp_path / "two" / "left-over.dist-info").mkdir()
    paths = [str(tmp_path / "one"), str(tmp_path / "two")]
    assert installed_in(paths) == ("torch-thing==2.0+cpu",)


def test_missing_names_what_is_asked_for_and_not_there(tmp_path: Path) -> None:
    asks = (
        "filelock",
        'cuda-toolkit[cublas,nvtx]==13.0.3; platform_system == "Linux"',
        "nvidia-nccl-cu13==2.29.7",
        "nvidia-cudnn-cu13==9",
        'nvidia-extra==1; extra == "all"',
    )
    package(tmp_path, "torch", "2.13.0", asks)
    package(tmp_path, "nvidia_cudnn_cu13", "9")
    assert missing(tmp_path, "torch", ("cuda-", "nvidia-")) == (asks[1], asks[2])
    assert missing(tmp_path, "numpy", ("cuda-",)) == ()


def test_host_is_stable_and_holds_this_tests_packages() -> None:
    assert host_fingerprint() == host_fingerprint()
    assert any(each.startswith("pytest==") for each in host_fingerprint().installed)
