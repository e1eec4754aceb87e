"""The locks in the repository, as they are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import buildsys.backends
from buildsys.toolchains.locks.lockfile import UNHASHED, parse, tidy

BACKENDS = Path(buildsys.backends.__file__).parent
LOCKS = sorted(BACKENDS.glob("*/lock*.txt"))


def identity(lock: Path) -> str:
    return f"{lock.parent.name}/{lock.name}"


def test_there_are_some() -> None:
    assert len(LOCKS) >= 8


@pytest.mark.parametrize("lock", LOCKS, ids=identity)
def test_everything_is_hashed_but_torch_and_tensorrt(lock: Path) -> None:
    for pin in parse(lock.read_text()):
        assert bool(pin.hashes) != (pin.name in UNHASHED), pin.requirement


@pytest.mark.parametrize("lock", LOCKS, ids=identity)
def test_it_is_tidy_and_of_its_requirements(lock: Path) -> None:
    text = lock.read_text()
    pins = parse(text)
    assert tidy(text, "3.11") == pins
    requirements = lock.with_suffix(".in").read_text()
    wanted = set(re.findall(r"^[a-z][\w.-]*==[^\s;]+", requirements, re.MULTILINE))
    assert wanted
    assert wanted <= {pin.requirement.partition(" ")[0] for pin in pins}


@pytest.mark.parametrize("lock", LOCKS, ids=identity)
def test_it_brings_no_cuda(lock: Path) -> None:
    if lock.parent.name == "tensorrt":
        return  # It is for GPUs.
    names = {pin.name for pin in parse(lock.read_text())}
    # `tritonclient` is a server's client, and no compiler for GPUs.
    assert not [n for n in names if n.startswith(("nvidia-", "cuda-")) or n == "triton"]
