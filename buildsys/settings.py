"""The user's own settings: how large the cache may grow, how to build, what this machine has.

They are read at the start of every build, so this module imports next to nothing.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from buildsys.small_files import read_bytes

CONFIG_VARIABLE = "MODELBUILD_CONFIG"
MAX_SIZE_VARIABLE = "MODELBUILD_CACHE_MAX_SIZE"
UNLIMITED = "unlimited"
DEFAULT_MAX_SIZE = 20 * 1024**3
LONGEST_SECONDS = 31_536_000.0

UNITS = {
    "": 1,
    "b": 1,
    **{f"{letter}b": 1000**n for n, letter in enumerate("kmgt", 1)},
    **{f"{letter}ib": 1024**n for n, letter in enumerate("kmgt", 1)},
}
SIZE = re.compile(r"(\d+(?:\.\d+)?|\.\d+)\s*([a-z]*)", re.IGNORECASE)
RESOURCE = re.compile(r"[a-z][a-z0-9_-]*")


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong with the settings.

    Attributes:
        message: What is wrong.
        hint: What would be right.
        file: Where it is written; `None` for an environment variable.
        line: From 1; 0 where it is not known.
    """

    message: str
    hint: str
    file: Path | None = None
    line: int = 0

    def render(self) -> str:
        """The fault as text, in the shape of all errors."""
        place = f"\n  --> {self.file}{f':{self.line}' if self.line else ''}" if self.file else ""
        return f"error: {self.message}{place}\nhint: {self.hint}"


class SettingsError(Exception):
    """The settings cannot be used. Exit status 2.

    Attributes:
        faults: All that is wrong, in the order of the file.
    """

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__("\n\n".join(fault.render() for fault in faults))
        self.faults = tuple(faults)


@dataclass(frozen=True)
class UserSettings:
    """What the user set; `None` where nothing was said, and the command decides.

    Attributes:
        max_size: How many bytes the stored files may take; `None` for no limit.
        jobs: How many actions may run at a time.
        memory: How many bytes the running actions may take together.
        timeout: Seconds after which an action is killed.
        retries: How often an action is tried again after a failure of the environment.
        resources: What this machine has, by name: how many actions may hold one at a time.
    """

    max_size: int | None = DEFAULT_MAX_SIZE
    jobs: int | None = None
    memory: int | None = None
    timeout: float | None = None
    retries: int | None = None
    resources: Mapping[str, int] = field(default_factory=dict)


def parse_size(text: str) -> int:
    """Bytes from `500MB` (1000), `20GiB` (1024) or a plain number of bytes.

    Raises:
        ValueError: It is not a size; the message says what is wrong, and what would be right.
    """
    written = text.strip()
    found = SIZE.fullmatch(written)
    if found is None:
        raise ValueError(f"`{text}` is not a size: write `20GiB`, `500MB` or a number of bytes")
    number, unit = found[1], found[2].lower()
    if unit not in UNITS:
        if f"{unit}ib" in UNITS:
            big = unit.upper()
            told = f"write `{number}{big}iB` (1024) or `{number}{big}B` (1000)"
        else:
            told = "units are B, kB, MB, GB, TB and KiB, MiB, GiB, TiB"
        raise ValueError(f"`{text}` has no known unit: {told}")
    return int(float(number) * UNITS[unit]) if "." in number else int(number) * UNITS[unit]


def parse_limit(text: str) -> int | None:
    """As `parse_size`; `None` for `unlimited`."""
    return None if text.strip().lower() == UNLIMITED else parse_size(text)


def config_file(environ: Mapping[str, str] = os.environ) -> Path:
    """Where the settings are: `MODELBUILD_CONFIG`, or the platform's folder for them."""
    given = environ.get(CONFIG_VARIABLE)
    if given:
        return Path(given)
    import platformdirs

    return platformdirs.user_config_path("modelbuild") / "config.toml"


def read(environ: Mapping[str, str] = os.environ) -> UserSettings:
    """The settings: of the file, and of the environment variables, which win.

    Raises:
        SettingsError: Something in them is wrong; the error lists every fault.
    """
    file = config_file(environ)
    faults: list[Fault] = []
    found: dict[str, Any] = {}
    text = _text(file, bool(environ.get(CONFIG_VARIABLE)), faults)
    if text.strip():
        found = _parsed(file, text, faults)
    limit = environ.get(MAX_SIZE_VARIABLE)
    if limit:
        try:
            found["max_size"] = parse_limit(limit)
        except ValueError as error:
            hint = f"set it to a size (`20GiB`) or to `{UNLIMITED}`, or unset it"
            faults.append(Fault(f"{MAX_SIZE_VARIABLE}: {error}", hint))
    if faults:
        raise SettingsError(faults)
    return UserSettings(**found)


def _text(file: Path, named: bool, faults: list[Fault]) -> str:
    try:
        return read_bytes(file).decode()
    except (FileNotFoundError, NotADirectoryError):
        if named:
            hint = f"correct {CONFIG_VARIABLE}, or unset it"
            faults.append(Fault(f"there is no file {file}", hint))
    except OSError as error:
        faults.append(Fault(f"the settings cannot be read: {error.strerror}", "correct it", file))
    except UnicodeDecodeError:
        faults.append(Fault("the settings are not UTF-8 text", "save the file as UTF-8", file))
    return ""


def _parsed(file: Path, text: str, faults: list[Fault]) -> dict[str, Any]:
    import tomllib

    try:
        record = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"at line (\d+)", str(error))
        message = f"the settings are not TOML: {error}"
        hint = 'see https://toml.io; for example `max-size = "20GiB"` below `[cache]`'
        last = len(text.splitlines())
        faults.append(Fault(message, hint, file, int(line[1]) if line else last))
        return {}
    found: dict[str, Any] = {}

    def fault(message: str, hint: str, *keys: str) -> None:
        faults.append(Fault(message, hint, file, _line(text, *keys)))

    for section, content in record.items():
        if section not in SECTIONS:
            fault(f"unknown section `{section}`", _hint(section, SECTIONS, "[{}]"), section)
        elif not isinstance(content, dict):
            fault(f"`{section}` is a section", f"write `[{section}]` on a line of its own", section)
        else:
            _section(section, content, found, fault)
    return found


def _section(
    section: str, content: Mapping[str, Any], found: dict[str, Any], fault: Callable[..., None]
) -> None:
    if section == "resources":
        found["resources"] = {}
    check: Callable[[Any], Any]
    for key, value in content.items():
        if section == "resources":
            if RESOURCE.fullmatch(key) is None:
                fault(f"`{key}` is not a name", "names are like `macos` or `gpu-2`", section, key)
                continue
            name, check = key, _some
        elif key not in SECTIONS[section]:
            fault(f"unknown key `{section}.{key}`", _hint(key, SECTIONS[section]), section, key)
            continue
        else:
            name, check = SECTIONS[section][key]
        try:
            checked = check(value)
        except ValueError as error:
            fault(f"`{section}.{key}`: {error}", EXAMPLES.get(key, f"`{key} = 1`"), section, key)
            continue
        (found["resources"] if section == "resources" else found)[name] = checked


def _whole(value: Any, least: int = 0) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"`{_shown(value)}` is not a whole number from {least} on")
    return value


def _shown(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _at_least_one(value: Any) -> int:
    return _whole(value, 1)


def _some(value: Any) -> int:
    return _whole(value)


def _bytes(value: Any) -> int:
    return parse_size(value) if isinstance(value, str) else _whole(value)


def _some_bytes(value: Any) -> int:
    found = _bytes(value)
    if not found:
        raise ValueError("nothing can run in no memory")
    return found


def _limit(value: Any) -> int | None:
    return parse_limit(value) if isinstance(value, str) else _whole(value)


def _seconds(value: Any) -> float:
    good = isinstance(value, int | float) and not isinstance(value, bool)
    if not good or not math.isfinite(value) or not 0 < value <= LONGEST_SECONDS:
        raise ValueError(f"`{_shown(value)}` is not a time in seconds, up to a year")
    return float(value)


SECTIONS: dict[str, dict[str, tuple[str, Callable[[Any], Any]]]] = {
    "cache": {"max-size": ("max_size", _limit)},
    "build": {
        "jobs": ("jobs", _at_least_one),
        "memory": ("memory", _some_bytes),
        "timeout": ("timeout", _seconds),
        "retry": ("retries", _some),
    },
    "resources": {},
}
EXAMPLES = {
    "max-size": f'`max-size = "20GiB"`, or `"{UNLIMITED}"`',
    "jobs": "`jobs = 4`",
    "memory": '`memory = "8GiB"`',
    "timeout": "`timeout = 3600`",
    "retry": "`retry = 1`",
}


def _hint(word: str, known: Mapping[str, Any], form: str = "{}") -> str:
    near = get_close_matches(word.replace("_", "-").lower(), known, n=1)
    if near:
        return f"did you mean `{form.format(near[0])}`?"
    return f"known here: {', '.join(f'`{form.format(name)}`' for name in known)}"


def _line(text: str, section: str, key: str | None = None) -> int:
    """The line of a section or of a key in it, as far as it is written in the usual way."""
    inside, at = False, 0
    for number, line in enumerate(text.splitlines(), 1):
        head = re.match(r"\s*\[\s*[\"']?([^\]\"']+?)[\"']?\s*\]", line)
        if head is not None:
            inside = head[1] == section
            if inside and not at:
                at = number
        elif key is not None and inside and re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*=", line):
            return number
        elif not at and re.match(rf"\s*{re.escape(section)}\s*[.=]", line):
            at = number
    return at
