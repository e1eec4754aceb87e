"""Lock files as text: exact pins, one after another, most of them with hashes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

# Their builds differ by platform and by index (`+cpu`, CUDA, macOS), under one version number and
# with no hash in common: they are pinned by version, and what was installed is recorded instead.
# TensorRT's lie in NVIDIA's own index, and what others have of them fetches them from there.
UNHASHED = frozenset(
    {"torch", "torchvision", "torchaudio"}
    | {"tensorrt-cu12", "tensorrt-cu12-bindings", "tensorrt-cu12-libs"}
    | {"tensorrt", "tensorrt-cu13", "tensorrt-cu13-bindings", "tensorrt-cu13-libs"}
)

# Directives of a `.in` file: packages that dependencies ask for and the toolchain does without;
# a requirement that stands in for what dependencies say of a package.
WITHOUT = "#: without "
OVERRIDE = "#: override "

_PIN = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^\s;]+)(?P<marker>\s*;[^\\]*)?")
_LATER_PYTHON = re.compile(r"^\s*;\s*python_full_version >= '(?P<minor>\d+\.\d+)'\s*$")


@dataclass(frozen=True)
class Pin:
    """One package of a lock.

    Attributes:
        name: The package's name, normalised as indexes do.
        requirement: `name==version`, with its marker if it has one; no hashes.
        hashes: `sha256:…`, of any file that may be installed for it. Empty: not checked.
    """

    name: str
    requirement: str
    hashes: tuple[str, ...] = ()

    def lines(self) -> str:
        """The pin as requirements files write it."""
        return " \\\n".join([self.requirement, *(f"    --hash={h}" for h in self.hashes)]) + "\n"


def normalise(name: str) -> str:
    """A package's name as indexes compare it: `Foo.Bar_baz` is `foo-bar-baz`."""
    return re.sub(r"[-_.]+", "-", name).lower()


def parse(text: str) -> tuple[Pin, ...]:
    """Reads a lock.

    Raises:
        ValueError: A line is not an exact pin.
    """
    pins = []
    for line in _logical_lines(text):
        match = _PIN.match(line)
        if match is None:
            raise ValueError(f"`{line}` is not an exact pin")
        marker = (match["marker"] or "").split("--hash")[0].strip()
        requirement = f"{match['name']}=={match['version']}"
        pins.append(
            Pin(
                name=normalise(match["name"]),
                requirement=f"{requirement} {marker}" if marker else requirement,
                hashes=tuple(re.findall(r"--hash=(\S+)", line)),
            )
        )
    return tuple(pins)


def render(pins: Iterable[Pin], header: str = "") -> str:
    """A lock's text; `header` is put before it, as comments."""
    comments = "".join(f"# {line}\n" for line in header.splitlines())
    return comments + "".join(pin.lines() for pin in pins)


def tidy(resolved: str, python: str) -> tuple[Pin, ...]:
    """What a lock keeps of a resolver's output.

    Packages of `UNHASHED` lose hashes, local version and marker, and are merged: a resolver that
    saw one platform's build forks over the others. Forks for later Pythons are dropped.

    Args:
        resolved: The resolver's output.
        python: The minor version that the lock is for, for example `3.11`.
    """
    kept: dict[str, Pin] = {}
    for pin in parse(resolved):
        requirement, _, marker = pin.requirement.partition(" ")
        later = _LATER_PYTHON.match(marker)
        if later and _minor(later["minor"]) > _minor(python):
            continue
        if pin.name in UNHASHED:
            public = requirement.partition("+")[0]
            kept[public] = Pin(pin.name, public)
        else:
            sooner = f"; python_full_version < '{_next(python)}'"
            requirement = requirement if marker == sooner else pin.requirement
            kept[requirement] = Pin(pin.name, requirement, pin.hashes)
    return tuple(kept.values())


def without(requirements: str) -> tuple[str, ...]:
    """The packages that the `#: without` lines of a `.in` file name."""
    said = _directives(requirements, WITHOUT)
    return tuple(normalise(name) for line in said for name in line.split())


def overrides(requirements: str) -> tuple[str, ...]:
    """The requirements that the `#: override` lines of a `.in` file hold, one a line."""
    return _directives(requirements, OVERRIDE)


def _directives(requirements: str, word: str) -> tuple[str, ...]:
    lines = (line.strip() for line in requirements.splitlines())
    return tuple(line.removeprefix(word).strip() for line in lines if line.startswith(word))


def _logical_lines(text: str) -> list[str]:
    joined = re.sub(r"\\\n\s*", " ", text)
    lines = (re.sub(r"(^|\s)#.*$", "", line).strip() for line in joined.splitlines())
    return [line for line in lines if line]


def _minor(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _next(python: str) -> str:
    major, minor = _minor(python)
    return f"{major}.{minor + 1}"
