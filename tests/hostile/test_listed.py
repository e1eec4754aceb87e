"""Hostile input, case by case: the message, its place, and the exit status."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from buildsys.store.content import hash_file
from tests.cli.inside import Inside
from tests.space import Space

Harm = Callable[[Path], object]
LONG = "x" * 300


@pytest.fixture
def modelbuild(
    space: Space, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Inside:
    return Inside(space, monkeypatch, capsys)


def edit(before: str, after: str) -> Harm:
    def harm(folder: Path) -> None:
        path = folder / "deploy.yaml"
        text = path.read_text()
        assert before in text
        path.write_text(text.replace(before, after, 1))

    return harm


def endless(name: str) -> Harm:
    return lambda folder: (folder / name).symlink_to("/dev/zero")


def pipe(name: str) -> Harm:
    def harm(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        os.mkfifo(folder / name)

    return harm


def searched(then: Harm) -> Harm:
    def harm(folder: Path) -> None:
        search = "  best: {search: {schemes: [half], minimize: size, subject_to: close}}\n"
        edit("quantization:\n", f"quantization:\n{search}")(folder)
        edit("quantization: half, accept: close", "quantization: best")(folder)
        then(folder)

    return harm


def obstructed(folder: Path) -> None:
    (folder / "artifacts").mkdir()
    (folder / "artifacts" / "ios").write_text("mine")


RECIPES: dict[str, tuple[Harm, int, tuple[str, ...]]] = {
    "a tag on a name that is nowhere": (
        edit("accept: close", "accept: !foo bar"),
        2,
        ("the tag `!foo` is not allowed", "--> deploy.yaml:22:30"),
    ),
    "a tag on a dataset": (
        edit("dataset: val", "dataset: !foo bar"),
        2,
        ("the tag `!foo` is not allowed", "--> deploy.yaml:12:24"),
    ),
    "a tag on a profile": (
        edit("quantization: half", "quantization: !foo bar"),
        2,
        ("the tag `!foo` is not allowed", "--> deploy.yaml:26:38"),
    ),
    "a long path of a checkpoint": (
        edit("weights.safetensors", f"{LONG}.safetensors"),
        2,
        ("File name too long", "--> deploy.yaml:8:"),
    ),
    "a long path of a dataset": (
        edit("source: val.npz", f"source: {LONG}.npz"),
        2,
        ("File name too long", "--> deploy.yaml:4:"),
    ),
    "a long path to include": (
        edit("version: 1\n", f"version: 1\ninclude: [{LONG}.yaml]\n"),
        2,
        (f"no file `{LONG}.yaml`", "--> deploy.yaml:2:11"),
    ),
    "a path with a zero byte": (
        edit("source: val.npz", r'source: "a\0b.npz"'),
        2,
        ("--> deploy.yaml:4:",),
    ),
    "a pipe to include": (
        lambda f: (edit("version: 1\n", "version: 1\ninclude: [p.yaml]\n")(f), pipe("p.yaml")(f)),
        2,
        ("no file `p.yaml`", "--> deploy.yaml:2:11"),
    ),
    "an endless file to include": (
        lambda f: (
            edit("version: 1\n", "version: 1\ninclude: [p.yaml]\n")(f),
            endless("p.yaml")(f),
        ),
        2,
        ("no file `p.yaml`",),
    ),
    "a pipe for a checkpoint": (
        pipe("weights.safetensors"),
        2,
        ("the checkpoint `weights.safetensors` is not a regular file", "--> deploy.yaml:8:"),
    ),
    "an endless lock": (
        searched(endless("deploy.lock.yaml")),
        2,
        ("deploy.lock.yaml` cannot be read: it is not a regular file", "restore it, or delete it"),
    ),
    "a pipe for a lock": (
        searched(pipe("deploy.lock.yaml")),
        2,
        ("deploy.lock.yaml` cannot be read: it is not a regular file",),
    ),
    "a binary lock": (
        searched(lambda f: (f / "deploy.lock.yaml").write_bytes(bytes(range(256)))),
        2,
        ("the file is not UTF-8 text", "--> deploy.lock.yaml:"),
    ),
    "a huge lock": (
        searched(lambda f: (f / "deploy.lock.yaml").write_bytes(b"#" * ((16 << 20) + 1))),
        2,
        ("deploy.lock.yaml` cannot be read: it is larger than 16 MiB",),
    ),
    "a file where a target's folder should be": (
        obstructed,
        5,
        ("artifacts/ios is not a folder, and artifacts go there", "hint: move it away"),
    ),
    "a link to nowhere where the artifacts should be": (
        lambda f: (f / "artifacts").symlink_to("nowhere"),
        5,
        ("artifacts is not a folder, and artifacts go there",),
    ),
}


@pytest.mark.parametrize("command", ["plan", "build"])
@pytest.mark.parametrize("name", RECIPES)
def test_a_project(modelbuild: Inside, name: str, command: str) -> None:
    harm, status, texts = RECIPES[name]
    harm(modelbuild.space.project)
    said = modelbuild(command)
    assert said.code == status, said.err
    for text in texts:
        assert text in said.err
    assert "Traceback" not in said.err
    assert said.out == ""


def test_a_deleted_working_directory(modelbuild: Inside, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    modelbuild.patch.chdir(gone)
    gone.rmdir()
    for command in ("plan", "build", "doctor", "bundle", "cache"):
        said = modelbuild(command)
        assert said.code == 2, command
        assert "the folder that you are in does not exist any more" in said.err
    assert modelbuild("--help").code == 0


@pytest.mark.parametrize("kind", ["endless", "pipe"])
def test_settings_that_never_end(modelbuild: Inside, tmp_path: Path, kind: str) -> None:
    (endless if kind == "endless" else pipe)("config.toml")(tmp_path)
    modelbuild.patch.setenv("MODELBUILD_CONFIG", str(tmp_path / "config.toml"))
    said = modelbuild("cache", "status")
    assert said.code == 2
    assert "the settings cannot be read: it is not a regular file" in said.err


def test_a_report_that_never_ends(modelbuild: Inside) -> None:
    (modelbuild.space.project / "artifacts").mkdir()
    pipe("artifacts/report.json")(modelbuild.space.project)
    said = modelbuild("report")
    assert said.code == 1
    assert "report.json: it is not a regular file" in said.err


def test_what_has_no_end_is_not_hashed(tmp_path: Path) -> None:
    for name, harm in {"zero": endless, "pipe": pipe}.items():
        harm(name)(tmp_path)
        with pytest.raises(OSError, match="not a regular file"):
            hash_file(tmp_path / name)
