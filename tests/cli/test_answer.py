"""The answer that is kept: given again while nothing has changed, and never when something has."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from buildsys import validity
from buildsys.cli.answer import question, recalling
from buildsys.cli.answer import secret as answer_secret
from buildsys.store.memo import FINE_NS
from tests.cli.inside import Inside
from tests.profile import some
from tests.space import Space


def aged() -> None:
    """Lets files that were just written grow older than the clock's grain."""
    time.sleep(2 * FINE_NS / 1e9)


@pytest.fixture
def built(modelbuild: Inside) -> Inside:
    """A project that was built, and whose answer was kept."""
    modelbuild.until_answered("build")
    return modelbuild


def test_it_is_what_the_usual_path_prints(built: Inside) -> None:
    given = recalling.recall(["build"])
    usual = built("build")
    assert given is not None
    assert [line for line in given.splitlines() if "Actions:" not in line] == [
        line for line in usual.out.splitlines() if "Actions:" not in line
    ]
    assert "Actions: 0 ran, 16 up to date. 0." in usual.out
    assert "Actions: 0 ran, 16 up to date. 0.0 s" in given


def test_a_plan_is_answered_as_well_and_only_where_nothing_is_to_run(built: Inside) -> None:
    assert recalling.recall(["plan"]) is None
    usual = built("plan")
    assert recalling.recall(["plan"]) == usual.out
    built.space.weights([[1.0, 2.0], [3.0, 4.0], [0.5, 0.5]])
    aged()
    assert recalling.recall(["plan"]) is None
    assert "weights.safetensors changed" in built("plan").out
    assert recalling.recall(["plan"]) is None


@pytest.mark.parametrize(
    "asked",
    [["build", "ios"], ["build", "--strict"], ["plan"], ["build", "-q"], ["toolchain", "list"], []],
    ids=" ".join,
)
def test_another_question_has_no_answer(built: Inside, asked: list[str]) -> None:
    assert recalling.recall(asked) is None


def rewrite(name: str) -> Callable[[Space], None]:
    """The same text in another file."""

    def change(space: Space) -> None:
        path = space.project / name
        text = path.read_bytes()
        path.unlink()
        path.write_bytes(text)

    return change


def append(name: str) -> Callable[[Space], None]:
    def change(space: Space) -> None:
        with (space.project / name).open("a") as stream:
            stream.write("\n")

    return change


def shadow(space: Space) -> None:
    (space.project / "helper").mkdir()
    (space.project / "helper" / "__init__.py").write_text("def base(): return [[1, 2]] * 3")


def stored(space: Space) -> None:
    """A figure that a verdict is made of."""
    import json
    import sqlite3

    connection = sqlite3.connect(space.store / "index.sqlite")
    (text,) = connection.execute(
        "select outputs from trace where rule = 'verify.measure'"
    ).fetchone()
    connection.close()
    ((digest, _),) = json.loads(text).values()
    hexadecimal = digest.partition(":")[2]
    (space.store / "files" / hexadecimal[:2] / hexadecimal).unlink()


def artifact(space: Space) -> Path:
    return next((space.project / "artifacts" / "ios").glob("*.plain"))


def reject(space: Space) -> None:
    left = space.project / "artifacts" / ".rejected" / "ios" / artifact(space).name
    left.parent.mkdir(parents=True)
    left.write_text("of another build")


def overwrite(path: Path) -> None:
    path.write_text("[]")


def into_package(space: Space) -> None:
    (next((space.project / "artifacts" / "ios").glob("*.package")) / "more").write_text("x")


CHANGES: dict[str, Callable[[Space], None]] = {
    "the recipe": append("deploy.yaml"),
    "the weights": append("weights.safetensors"),
    "the weights, written anew": rewrite("weights.safetensors"),
    "the model's code": append("model.py"),
    "what it imports": append("helper.py"),
    "a dataset": append("val.npz"),
    "a module that shadows another": shadow,
    "an artifact": lambda space: overwrite(artifact(space)),
    "an artifact, gone": lambda space: artifact(space).unlink(),
    "a file more in an artifact": into_package,
    "the report": append("artifacts/report.json"),
    "the record of what was placed": append("artifacts/.placed.json"),
    "a stored figure": stored,
    "the index": lambda space: (space.store / "index.sqlite").unlink(),
    "a rejected artifact of old": reject,
}


@pytest.mark.parametrize("name", some(CHANGES))
def test_whatever_changes_the_usual_path_is_taken(built: Inside, name: str) -> None:
    CHANGES[name](built.space)
    assert recalling.recall(["build"]) is None


def test_a_file_that_means_nothing_changes_nothing(built: Inside) -> None:
    (built.space.project / "notes.txt").write_text("for myself")
    assert recalling.recall(["build"]) is not None


def test_a_variable_of_the_recipe_counts(
    modelbuild: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    modelbuild.space.edit("deploy.yaml", "project: toy", "project: ${NAME:-toy}")
    aged()
    assert recalling.recall(["build"]) is None
    assert modelbuild("build").code == 0
    assert recalling.recall(["build"]) is not None
    monkeypatch.setenv("NAME", "other")
    assert recalling.recall(["build"]) is None
    monkeypatch.delenv("NAME")
    assert recalling.recall(["build"]) is not None


def test_values_of_variables_are_not_kept(
    modelbuild: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NAME", value := "correct-horse-battery")
    modelbuild.space.edit("deploy.yaml", "project: toy", "project: ${NAME:-toy}")
    shelf = modelbuild.space.store / question.FOLDER
    shelf.mkdir(parents=True, exist_ok=True)
    old = shelf / "00000000"
    old.write_text(f'of an earlier version: {{"environ": {{"NAME": "{value}"}}}}')
    aged()
    assert recalling.recall(["build"]) is None
    assert modelbuild("build").code == 0
    assert recalling.recall(["build"]) is not None
    assert not old.exists()
    kept = [path.read_bytes() for path in shelf.iterdir()]
    assert len(kept) == 1
    assert b'"environ": {"NAME": "' in kept[0]
    assert value.encode() not in kept[0]
    secret = modelbuild.space.store / answer_secret.KEY_FILE
    assert secret.stat().st_mode & 0o777 == 0o600
    assert len(secret.read_bytes()) == answer_secret.SECRET_BYTES
    secret.write_bytes(b"damaged")
    assert recalling.recall(["build"]) is None
    assert modelbuild("build").code == 0
    assert recalling.recall(["build"]) is not None


def test_a_nearer_recipe_counts(built: Inside, monkeypatch: pytest.MonkeyPatch) -> None:
    below = built.space.project / "below"
    below.mkdir()
    monkeypatch.chdir(below)
    aged()
    assert recalling.recall(["build"]) is None
    assert built("build").code == 0
    assert recalling.recall(["build"]) is not None
    (below / "deploy.yaml").write_text("version: 1\n")
    assert recalling.recall(["build"]) is None


def test_what_is_written_while_the_command_runs_keeps_no_answer(modelbuild: Inside) -> None:
    aged()
    assert recalling.recall(["build"]) is None
    modelbuild.space.edit("deploy.yaml", "count: 8", "count: 8 ")  # After the command has begun.
    assert modelbuild("build").code == 0
    assert recalling.recall(["build"]) is None


def test_what_is_rejected_keeps_no_answer(modelbuild: Inside) -> None:
    modelbuild.space.edit("deploy.yaml", "signal_error: 1.0e-3", "signal_error: 1.0e-12")
    aged()
    assert recalling.recall(["build"]) is None
    assert modelbuild("build").code == 3
    assert recalling.recall(["build"]) is None


def test_once_a_day_the_usual_path_is_taken(built: Inside, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + validity.DAY)
    assert recalling.recall(["build"]) is None


def test_every_truncation_and_many_flips_of_an_answer_are_no_answer(built: Inside) -> None:
    (file,) = (built.space.store / question.FOLDER).iterdir()
    whole = file.read_bytes()
    for length in range(0, len(whole), 97):
        file.write_bytes(whole[:length])
        assert recalling.recall(["build"]) is None
    for place in range(0, len(whole), 101):
        data = bytearray(whole)
        data[place] ^= 1
        file.write_bytes(data)
        assert recalling.recall(["build"]) is None
    file.write_bytes(whole)
    assert recalling.recall(["build"]) is not None


def test_an_answer_imports_next_to_nothing(built: Inside) -> None:
    import subprocess

    code = (
        "import sys\nfrom buildsys.cli.answer import recalling\n"
        "before = recalling.asked\n"
        f"recalling.asked = lambda a: before(a)[:3] + [{sys.executable!r}] + before(a)[4:]\n"
        "print(len(recalling.recall(['build']) or ''))\n"
        "print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=dict(os.environ),
    )
    length, modules = done.stdout.splitlines()
    assert int(length) > 0
    heavy = {
        "click",
        "networkx",
        "rich",
        "pydantic",
        "yaml",
        "sqlite3",
        "numpy",
        "typing",
        "pathlib",
    }
    assert heavy & set(modules.split()) == set()


@pytest.mark.parametrize("where", ["artifacts are the project", "the store is above it"])
def test_a_recipe_saved_while_we_build_keeps_no_answer_wherever_things_lie(
    modelbuild: Inside, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    arguments = ["build"]
    if where == "artifacts are the project":
        arguments += ["--out", "."]
    else:
        monkeypatch.setenv("MODELBUILD_CACHE", str(modelbuild.space.project.parent))
    aged()
    assert recalling.recall(arguments) is None
    modelbuild.space.edit("deploy.yaml", "count: 8", "count: 8 ")
    assert modelbuild(*arguments).code == 0
    assert recalling.recall(arguments) is None
