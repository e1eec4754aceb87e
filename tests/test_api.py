"""The Python API does what the command does, with the user's settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

import buildsys
from buildsys.engine import session
from buildsys.engine.run import Settings
from buildsys.recipe import Recipe
from buildsys.report import record
from buildsys.search import building
from buildsys.settings import DEFAULT_MAX_SIZE, SettingsError


class Told:
    """Stands for a session, and keeps what a build is told."""

    size: int | None = None
    settings: Settings | None = None

    def __init__(self, recipe: object, *, max_size: int | None = None) -> None:
        Told.size = max_size

    def __enter__(self) -> Told:
        return self

    def __exit__(self, *_: object) -> None:
        pass


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    def build(session: object, selectors: object, **options: Any) -> None:
        Told.settings = options["settings"]

    monkeypatch.setattr(session, "Session", Told)
    monkeypatch.setattr(building, "build", build)
    monkeypatch.setattr(record, "write_report", lambda result: None)
    path = tmp_path / "config.toml"
    monkeypatch.setenv("MODELBUILD_CONFIG", str(path))
    return path


RECIPE = cast(Recipe, None)


def test_a_build_reads_config_toml(config: Path) -> None:
    config.write_text(
        '[cache]\nmax-size = "1GiB"\n'
        '[build]\njobs = 3\nmemory = "2GiB"\ntimeout = 77\nretry = 2\n[resources]\nmacos = 1\n'
    )
    buildsys.build(RECIPE)
    assert Told.size == 1024**3
    assert Told.settings == Settings(
        jobs=3, timeout=77.0, retries=2, memory=2 * 1024**3, resources={"macos": 1}
    )


def test_settings_that_are_given_win(config: Path) -> None:
    config.write_text("[build]\njobs = 3\n")
    given = Settings(jobs=1, max_failures=None)
    buildsys.build(RECIPE, settings=given)
    assert Told.settings is given
    assert Told.size == DEFAULT_MAX_SIZE


def test_a_wrong_config_toml_is_an_error(config: Path) -> None:
    config.write_text("[build]\njobs = 0\n")
    with pytest.raises(SettingsError, match=r"build\.jobs"):
        buildsys.build(RECIPE)
