"""`modelbuild cache`: one screen each, and the documented exit statuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.inside import Inside


def files(modelbuild: Inside) -> list[Path]:
    return sorted(p for p in (modelbuild.space.store / "files").rglob("*") if p.is_file())


def test_status_says_what_holds_what(modelbuild: Inside) -> None:
    modelbuild("build")
    said = modelbuild("cache", "status")
    assert said.code == 0
    lines = said.out.splitlines()
    assert lines[0] == str(modelbuild.space.store)
    assert len(lines) < 40
    record = modelbuild("cache", "status", "--json").json()
    assert record["version"] == 1
    assert record["limit"] == 20 << 30
    assert record["stored"]["files"] == len(files(modelbuild))
    assert record["stored"]["bytes"] == sum(p.stat().st_size for p in files(modelbuild))
    assert record["pinned"]["files"] > 0
    assert record["unreferenced"]["files"] == 0
    assert modelbuild("cache", "status", "-q").out == ""


def test_status_shows_what_an_interrupted_step_saved(modelbuild: Inside) -> None:
    folder = modelbuild.space.store / "resume" / "key"
    folder.mkdir(parents=True)
    (folder / "steps.safetensors").write_bytes(b"x" * 70_000)
    said = modelbuild("cache", "status").out.splitlines()
    (failed,) = (line.split() for line in said if line.startswith("failed steps"))
    (saved,) = (line.split() for line in said if line.startswith("interrupted steps"))
    assert failed[2:6] == ["0", "B", "0", "files"]
    assert saved[3:6] == ["KiB", "1", "file"]
    assert modelbuild("cache", "status", "--json").json()["interrupted"]["files"] == 1


def test_gc_keeps_what_artifacts_need_and_says_what_went(modelbuild: Inside) -> None:
    modelbuild("build")
    before = files(modelbuild)
    dry = modelbuild("cache", "gc", "--max-size", "0", "--dry-run", "--json").json()
    assert files(modelbuild) == before
    done = modelbuild("cache", "gc", "--max-size", "0", "--json").json()
    assert (done["files"], done["dry_run"]) == (dry["files"], False)
    assert len(files(modelbuild)) == len(before) - done["files"]
    assert 0 < done["bytes_after"] == done["held_bytes"]
    said = modelbuild("cache", "gc", "--max-size", "1B").out
    assert "Removed: 0 files, 0 B." in said
    assert "cannot go" in said
    events = modelbuild("build", "--json").lines()
    assert not any(e["event"] == "action_started" for e in events)


def test_the_limit_is_the_users_unless_the_command_line_has_one(modelbuild: Inside) -> None:
    modelbuild("build", "ios")
    assert modelbuild("cache", "gc", "--json").json()["limit"] == 20 << 30
    modelbuild.patch.setenv("MODELBUILD_CACHE_MAX_SIZE", "1GiB")
    assert modelbuild("cache", "gc", "--json").json()["limit"] == 1 << 30
    said = modelbuild("cache", "gc", "--max-size", "unlimited", "--json")
    assert said.json()["limit"] is None


@pytest.mark.parametrize("size", ["20G", "lots", "-1", ""])
def test_a_size_that_is_none_is_refused(modelbuild: Inside, size: str) -> None:
    said = modelbuild("cache", "gc", f"--max-size={size}")
    assert said.code == 2
    assert f"`{size}`" in said.err


def test_wrong_settings_are_told(modelbuild: Inside) -> None:
    modelbuild.patch.setenv("MODELBUILD_CACHE_MAX_SIZE", "lots")
    for command in ("status", "gc"):
        said = modelbuild("cache", command)
        assert said.code == 2
        assert said.err.startswith("error: MODELBUILD_CACHE_MAX_SIZE: `lots` is not a size")


def test_verify_finds_damage_names_its_maker_and_repairs(modelbuild: Inside) -> None:
    modelbuild("build")
    assert modelbuild("cache", "verify").code == 0
    count = len(files(modelbuild))
    assert modelbuild("cache", "verify").out == f"All {count} stored files are what they were.\n"
    placed = modelbuild.space.project / "artifacts" / "android" / "m.small"
    (stored,) = [p for p in files(modelbuild) if p.read_bytes() == placed.read_bytes()]
    stored.chmod(0o644)
    stored.write_bytes(b"\0" + placed.read_bytes()[1:])
    said = modelbuild("cache", "verify")
    assert said.code == 1
    assert "its bytes have changed" in said.out
    assert "android/m.tflite#tflite.convert" in said.out
    assert stored.exists()
    (damage,) = modelbuild("cache", "verify", "--json").json()["damaged"]
    assert damage["digest"] == f"sha256:{stored.name}"
    assert modelbuild("cache", "verify", "--repair").code == 0
    assert not stored.exists()
    placed.unlink()
    assert modelbuild("build").code == 0
    assert modelbuild("cache", "verify").code == 0
    assert stored.read_bytes() == placed.read_bytes()


def test_an_empty_cache_is_no_error(modelbuild: Inside) -> None:
    for command in ("status", "gc", "verify"):
        assert modelbuild("cache", command).code == 0


def test_a_cache_that_cannot_be_made_is_an_environment_error(
    modelbuild: Inside, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    modelbuild.patch.setenv("MODELBUILD_CACHE", str(tmp_path / "file" / "below"))
    said = modelbuild("cache", "status")
    assert said.code == 5
    assert "hint:" in said.err


def test_a_damaged_index_is_made_anew(modelbuild: Inside) -> None:
    modelbuild("build", "ios")
    index = modelbuild.space.store / "index.sqlite"
    for suffix in ("-wal", "-shm"):
        index.with_name(index.name + suffix).unlink(missing_ok=True)
    index.write_bytes(index.read_bytes()[:4096] + b"\xff" * 20_000)
    for command in ("status", "gc", "verify"):
        assert modelbuild("cache", command).code == 0
