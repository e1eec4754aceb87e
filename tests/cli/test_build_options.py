"""The options of `build`: what they set, what they refuse, and when."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from buildsys.cli.options import spelled_out
from buildsys.engine.events import ActionName, Collected, Waiting
from buildsys.engine.run import Settings
from buildsys.engine.session import Session
from buildsys.report.progress import Progress
from tests.cli.inside import Inside


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (["-k", "ios"], ["--keep-going=unlimited", "ios"]),
        (["-k3", "ios"], ["--keep-going=3", "ios"]),
        (["-qk"], ["-q", "--keep-going=unlimited"]),
        (["--keep-going", "--strict"], ["--keep-going=unlimited", "--strict"]),
        (["--keep-going=2"], ["--keep-going=2"]),
        (["--", "-k"], ["--", "-k"]),
        (["-j", "2"], ["-j", "2"]),
    ],
)
def test_a_bare_k_takes_nothing_that_follows(given: list[str], meant: list[str]) -> None:
    assert spelled_out(given) == meant


@pytest.fixture
def settings(modelbuild: Inside) -> list[Settings]:
    """The settings that builds were started with; nothing is built."""
    seen: list[Settings] = []

    def build(self: Session, *_: Any, settings: Settings, **__: Any) -> None:
        seen.append(settings)
        raise KeyboardInterrupt

    modelbuild.patch.setattr(Session, "build", build)
    return seen


def test_the_command_line_wins_over_the_users_settings(
    modelbuild: Inside, settings: list[Settings], tmp_path: Path
) -> None:
    config = tmp_path / "config.toml"
    config.write_text(
        '[build]\njobs = 3\nmemory = "1GiB"\ntimeout = 60\nretry = 2\n[resources]\nmacos = 1\n'
    )
    modelbuild("build")
    modelbuild.patch.setenv("MODELBUILD_CONFIG", str(config))
    modelbuild("build", "-k")
    line = ("-k7", "-j", "1", "--memory", "2GB", "--timeout", "5.5", "--retry", "0")
    assert modelbuild("build", *line).code == 130
    plain, user, told = settings
    assert (plain.max_failures, plain.retries, plain.timeout, plain.memory) == (1, 0, 3600.0, None)
    assert user == Settings(3, None, 60.0, 2, 1 << 30, {"macos": 1})
    assert told == Settings(1, 7, 5.5, 0, 2_000_000_000, {"macos": 1})


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("-k0",), "`0` is not a number from 1 on"),
        (("--keep-going=x",), "`x` is not a number from 1 on"),
        (("--timeout", "nan"), "is not a time in seconds"),
        (("--timeout", "1e99"), "is not a time in seconds"),
        (("--memory", "8G"), "write `8GiB` (1024) or `8GB` (1000)"),
        (("--memory", "0"), "no memory"),
        (("--retry", "-1"), "--retry"),
        (("-j", "0"), "--jobs"),
        (("--trace", "/nowhere/trace.json"), "there is no folder /nowhere"),
        (("--trace", "."), ". is a folder"),
        (("--events", "/nowhere/events"), "there is no folder /nowhere"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_runs(
    modelbuild: Inside, arguments: tuple[str, ...], says: str
) -> None:
    said = modelbuild("build", *arguments)
    assert said.code == 2
    assert says in said.err
    assert said.out == ""
    assert not modelbuild.space.store.exists()
    assert not (modelbuild.space.project / "artifacts").exists()


def test_wrong_settings_stop_a_build_with_their_place(modelbuild: Inside, tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text("[build]\njob = 3\n")
    modelbuild.patch.setenv("MODELBUILD_CONFIG", str(config))
    said = modelbuild("build")
    assert said.code == 2
    assert said.err == (
        f"error: unknown key `build.job`\n  --> {config}:2\nhint: did you mean `jobs`?\n"
    )


def test_events_go_to_a_file_and_the_trace_to_another(modelbuild: Inside) -> None:
    said = modelbuild("build", "ios", "--events", "e.jsonl", "--trace", "t.json")
    assert said.code == 0, said.err
    assert "2 deployables" in said.out
    folder = modelbuild.space.project
    events = [json.loads(line) for line in (folder / "e.jsonl").read_text().splitlines()]
    assert events[0] == {"event": "version", "version": 1}
    assert events[-1]["event"] == "finished"
    ran = {e["id"] for e in events if e["event"] == "action_finished" and not e["cached"]}
    trace = json.loads((folder / "t.json").read_text())["traceEvents"]
    assert {e["args"]["id"] for e in trace if e.get("cat") == "action"} == ran
    again = modelbuild("build", "ios", "--json", "--events", "e.jsonl")
    assert (folder / "e.jsonl").read_text() == again.out


def test_a_failed_build_leaves_its_trace_and_its_events(modelbuild: Inside) -> None:
    space = modelbuild.space
    space.edit("deploy.yaml", ", checkpoint: weights.safetensors", "")
    space.edit("model.py", "    return", "    return 'fail'\n    return")
    assert modelbuild("build", "--events", "e.jsonl", "--trace", "t.json").code == 1
    events = [json.loads(s) for s in (space.project / "e.jsonl").read_text().splitlines()]
    assert events[-1]["exit"] == 1
    trace = json.loads((space.project / "t.json").read_text())["traceEvents"]
    assert any("asked to fail" in str(e.get("args", {}).get("failed")) for e in trace)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the kernel has no /dev/full")
def test_a_full_disk_under_the_events_is_no_bug(modelbuild: Inside) -> None:
    said = modelbuild("build", "ios", "--events", "/dev/full")
    assert said.code == 5
    assert "give `--events` another file" in said.err


def test_offline_reaches_the_toolchains(modelbuild: Inside) -> None:
    seen = []
    enter = Session.__enter__

    def entered(self: Session) -> Session:
        seen.append(self.provisioner._offline)
        return enter(self)

    modelbuild.patch.setattr(Session, "__enter__", entered)
    modelbuild("build", "ios", "--offline")
    modelbuild("build", "ios")
    assert seen == [True, False]


def test_progress_says_whom_it_waits_for_and_what_was_collected(
    capsys: pytest.CaptureFixture[str],
) -> None:
    from buildsys.cli.common import console

    with Progress(console("never"), quiet=False, verbose=False) as progress:
        name = ActionName("android/x#tflite.convert", "r", None, None)
        progress(Waiting(action=name, holder="process 123 on host", at=1.0))
        progress(Collected(freed_bytes=3 << 20, files=7))
    assert capsys.readouterr().out.splitlines() == [
        "  waiting for process 123 on host (android/x#tflite.convert)",
        "  collected 3.0 MiB of the store: 7 files",
    ]
