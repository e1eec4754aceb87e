"""The user's settings: strict, with the place of every fault."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from buildsys import settings
from buildsys.settings import SettingsError, UserSettings, parse_limit, parse_size, read

GIB = 1024**3


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("0", 0),
        ("123456789012345678", 123456789012345678),
        ("500MB", 500_000_000),
        ("20GiB", 20 * GIB),
        (" 1.5 gib ", GIB * 3 // 2),
        (".5kB", 500),
        ("7B", 7),
        ("2TiB", 2 * 1024 * GIB),
    ],
)
def test_sizes(text: str, count: int) -> None:
    assert parse_size(text) == count


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("20G", "write `20GiB` (1024) or `20GB` (1000)"),
        ("20 parsecs", "units are B, kB"),
        ("-1", "is not a size"),
        ("", "is not a size"),
        ("1e9", "is not a size"),
        ("GiB", "is not a size"),
        ("nan", "is not a size"),
    ],
)
def test_what_is_no_size_says_what_would_be_one(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        parse_size(text)
    assert says in str(caught.value)
    assert f"`{text}`" in str(caught.value)


def test_a_limit_may_be_none() -> None:
    assert parse_limit("Unlimited") is None
    assert parse_limit("1KiB") == 1024


def written(tmp_path: Path, text: str, **variables: str) -> UserSettings:
    file = tmp_path / "config.toml"
    file.write_text(text)
    return read({"MODELBUILD_CONFIG": str(file), **variables})


def faults(tmp_path: Path, text: str, **variables: str) -> list[settings.Fault]:
    with pytest.raises(SettingsError) as caught:
        written(tmp_path, text, **variables)
    return list(caught.value.faults)


def test_nothing_set_is_the_defaults(tmp_path: Path) -> None:
    assert written(tmp_path, "") == UserSettings()
    assert read({"XDG_CONFIG_HOME": str(tmp_path), "MODELBUILD_CONFIG": "/dev/null"}).jobs is None
    assert UserSettings().max_size == 20 * GIB


def test_everything_that_can_be_set(tmp_path: Path) -> None:
    found = written(
        tmp_path,
        '[cache]\nmax-size = "3GiB"\n'
        '[build]\njobs = 3\nmemory = "2GB"\ntimeout = 60\nretry = 2\n'
        "[resources]\nmacos = 1\ngpu-small = 2\n",
    )
    assert found == UserSettings(3 * GIB, 3, 2_000_000_000, 60.0, 2, {"macos": 1, "gpu-small": 2})


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    text = '[cache]\nmax-size = "3GiB"\n'
    assert written(tmp_path, text, MODELBUILD_CACHE_MAX_SIZE="5MB").max_size == 5_000_000
    assert written(tmp_path, text, MODELBUILD_CACHE_MAX_SIZE="unlimited").max_size is None
    assert written(tmp_path, text, MODELBUILD_CACHE_MAX_SIZE="").max_size == 3 * GIB


def test_every_fault_is_told_with_its_line(tmp_path: Path) -> None:
    text = (
        '# mine\n[cache]\nmax_size = "1GiB"\n\n[build]\njobs = 0\ntimeout = nan\nmemory = "8G"\n'
        "retry = true\n[biuld]\n[resources]\nMac = 1\ngpu = -1\n"
    )
    told = [(f.line, f.message, f.hint) for f in faults(tmp_path, text)]
    assert told == [
        (3, "unknown key `cache.max_size`", "did you mean `max-size`?"),
        (6, "`build.jobs`: `0` is not a whole number from 1 on", "`jobs = 4`"),
        (7, "`build.timeout`: `nan` is not a time in seconds, up to a year", "`timeout = 3600`"),
        (
            8,
            "`build.memory`: `8G` has no known unit: write `8GiB` (1024) or `8GB` (1000)",
            '`memory = "8GiB"`',
        ),
        (9, "`build.retry`: `true` is not a whole number from 0 on", "`retry = 1`"),
        (10, "unknown section `biuld`", "did you mean `[build]`?"),
        (12, "`Mac` is not a name", "names are like `macos` or `gpu-2`"),
        (13, "`resources.gpu`: `-1` is not a whole number from 0 on", "`gpu = 1`"),
    ]


def test_a_fault_is_shown_with_its_file(tmp_path: Path) -> None:
    (fault,) = faults(tmp_path, "[cache]\nmax-siz = 1\n")
    assert fault.render() == (
        "error: unknown key `cache.max-siz`\n"
        f"  --> {tmp_path / 'config.toml'}:2\n"
        "hint: did you mean `max-size`?"
    )


@pytest.mark.parametrize("text", ["[cache\n", "cache = 1\n", 'x = """', "[cache]\nmax-size ="])
def test_what_is_no_settings_file_is_a_fault_with_a_hint(tmp_path: Path, text: str) -> None:
    (fault,) = faults(tmp_path, text)
    assert fault.line >= 1
    assert fault.hint


def test_no_bytes_whatever_make_a_traceback(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    for data in (b"\xff\xfe\x00", b"\x00", b"[[cache]]\n", b"[cache.max-size]\n", b'""=1'):
        file.write_bytes(data)
        with pytest.raises(SettingsError):
            read({"MODELBUILD_CONFIG": str(file)})
    with pytest.raises(SettingsError, match="cannot be read"):
        read({"MODELBUILD_CONFIG": str(tmp_path)})


def test_a_file_that_is_named_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="there is no file"):
        read({"MODELBUILD_CONFIG": str(tmp_path / "gone.toml")})


def test_a_variable_that_is_no_size_is_a_fault(tmp_path: Path) -> None:
    (fault,) = faults(tmp_path, "", MODELBUILD_CACHE_MAX_SIZE="lots")
    assert fault.message.startswith("MODELBUILD_CACHE_MAX_SIZE: `lots` is not a size")


def test_reading_imports_next_to_nothing(tmp_path: Path) -> None:
    code = (
        "import sys, buildsys.settings as s; s.read({'MODELBUILD_CONFIG': '/dev/null'})\n"
        "print({'pydantic', 'yaml', 'rich', 'click', 'tomllib'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
