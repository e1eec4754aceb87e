"""A build backend (PEP 517) for a project of one folder, with the standard library alone."""

from __future__ import annotations

import tomllib
import zipfile
from pathlib import Path
from typing import Any


def build_wheel(
    wheel_directory: str, config_settings: Any = None, metadata_directory: str | None = None
) -> str:
    """Writes a wheel of the folder that is named as the project is; gives its file name."""
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    package = project["name"].replace("-", "_")
    stem = f"{package}-{project['version']}"
    information = f"{stem}.dist-info"
    files = {file.as_posix(): file.read_bytes() for file in sorted(Path(package).glob("*.*"))}
    points = [
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in found.items())
        for group, found in project["entry-points"].items()
    ]
    requires = "".join(f"Requires-Dist: {name}\n" for name in project["dependencies"])
    files[f"{information}/METADATA"] = (
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n{requires}"
    ).encode()
    files[f"{information}/WHEEL"] = (
        b"Wheel-Version: 1.0\nGenerator: wheel_of_one_folder\n"
        b"Root-Is-Purelib: true\nTag: py3-none-any\n"
    )
    files[f"{information}/entry_points.txt"] = "\n".join(points).encode()
    record = "".join(f"{name},,\n" for name in (*files, f"{information}/RECORD"))
    files[f"{information}/RECORD"] = record.encode()
    wheel = f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(Path(wheel_directory) / wheel, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return wheel
