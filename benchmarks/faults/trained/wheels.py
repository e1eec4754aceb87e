"""Brings pinned wheels of trained networks here, unpacked, and checks their digests."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

PINS = Path(__file__).parent / "wheels.txt"
"""One wheel a line, with the digest that it must have; pip's own form."""
PLATFORM = "x86_64-manylinux_2_28"
"""Whose wheels are taken on every machine: the digests are theirs, and nothing of them is run."""
CACHE = Path(__file__).parents[3] / ".cache" / "wheels"


def pins() -> dict[str, str]:
    """Lines of `PINS` by the name of the package."""
    lines = PINS.read_text().splitlines()
    return {line.partition("==")[0]: line for line in lines}


def unpacked(package: str, cache: Path = CACHE) -> Path:
    """The folder that holds what a wheel holds; brought here once.

    uv fetches it, from wherever the user's settings say that packages come from, and checks its digest.

    Args:
        package: A name of `pins`.
        cache: Where unpacked wheels are kept.

    Raises:
        RuntimeError: It cannot be had, or its digest is another.
    """
    pin = pins()[package]
    version = pin.partition("==")[2].partition(" ")[0]
    folder = cache / f"{package}-{version}"
    if folder.is_dir():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix="new-") as work:
        target = Path(work) / "wheel"
        command = [sys.executable, "-m", "uv", "pip", "install", "--target", str(target)]
        command += ["--no-deps", "--no-build", "--require-hashes", "--python-platform", PLATFORM]
        done = subprocess.run(
            [*command, "-r", "-"], input=pin, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"the wheel of {package} {version} cannot be had:\n{done.stderr}")
        # Renamed when it is whole: a folder that is there was checked.
        target.rename(folder)
    return folder
