"""The folder of an action: empty at the start, whatever the one before has left in it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from buildsys.engine.executors.folder import ActionFolder, ActionFolders
from buildsys.engine.executors.job import Job
from buildsys.planner.graph import Action, Worker
from buildsys.store import Store

EMPTY = ["in", "out", "scratch"]


def job(key: str) -> Job:
    action = Action("m:x", "x", Worker("", "", None, ()), None, {}, {}, ())
    return Job.of(action, key * 32, {}, Path(), None, 1, 60.0)


def listed(folder: ActionFolder) -> list[str]:
    return sorted(p.relative_to(folder.path).as_posix() for p in folder.path.rglob("*"))


@pytest.fixture
def folders(tmp_path: Path) -> ActionFolders:
    return ActionFolders(Store(tmp_path / "store"))


def inode(folder: ActionFolder) -> int:
    return folder.path.stat().st_ino


def test_a_folder_is_emptied_and_used_again(folders: ActionFolders, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "file").write_text("mine")
    first = folders.make(job("ab").spec)
    assert listed(first) == EMPTY
    first.write_request()
    (first.path / "scratch/a/b").mkdir(parents=True)
    (first.path / "scratch/a/b/c").write_text("left")
    (first.path / "scratch/cache").symlink_to(theirs)
    (first.path / "in/x").write_text("copied")
    (first.path / "in/x").chmod(0o444)
    (first.path / "more").mkdir()
    known = inode(first)
    folders.give_back(first)
    second = folders.make(job("cd").spec)
    assert (inode(second), listed(second)) == (known, EMPTY)
    assert second.path.name.startswith("cd" * 8)
    assert not first.path.exists()
    assert (theirs / "file").read_text() == "mine"
    folders.give_back(second)
    folders.close()
    assert list((tmp_path / "store/work").iterdir()) == []


def _is_a_link(folder: Path, theirs: Path) -> None:
    (folder / "scratch").rmdir()
    (folder / "scratch").symlink_to(theirs)


def _is_gone(folder: Path, theirs: Path) -> None:
    (folder / "out").rmdir()


def _is_closed(folder: Path, theirs: Path) -> None:
    (folder / "in").chmod(0o500)


def _is_a_file(folder: Path, theirs: Path) -> None:
    (folder / "in").rmdir()
    (folder / "in").write_text("")


@pytest.mark.parametrize("change", [_is_a_link, _is_gone, _is_closed, _is_a_file])
def test_a_folder_that_a_step_has_changed_is_not_used_again(
    folders: ActionFolders, tmp_path: Path, change: Callable[[Path, Path], None]
) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "file").write_text("mine")
    first = folders.make(job("ab").spec)
    change(first.path, theirs)
    folders.give_back(first)
    assert not first.path.exists()
    assert listed(folders.make(job("cd").spec)) == EMPTY
    assert (theirs / "file").read_text() == "mine"


def test_a_spare_folder_that_was_taken_away_is_made_anew(folders: ActionFolders) -> None:
    first = folders.make(job("ab").spec)
    folders.give_back(first)
    os.rename(first.path, first.path.with_name("elsewhere"))
    assert listed(folders.make(job("cd").spec)) == EMPTY
