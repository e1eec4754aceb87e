"""The screens of `modelbuild cache`."""

from __future__ import annotations

from pathlib import Path

import pytest

from buildsys.report.screens.cache import MOST, print_collected, print_damage, print_usage
from buildsys.store.collection import Collected
from buildsys.store.damage import Damage, Maker
from buildsys.store.usage import Group, Usage
from tests.report.screens.capture import lines

DIGEST = "sha256:0123456789abcdef"


def test_what_the_cache_holds() -> None:
    usage = Usage(
        pinned=Group(1, 1024),
        leased=Group(2, 2048),
        results=Group(3, 0),
        unreferenced=Group(1, 1),
        logs=Group(1, 10),
        leftovers=Group(3, 30),
        interrupted=Group(1, 10),
        toolchains={"onnx-1": Group(5, 5 * 1024**2), "torch-1": Group(5, 1024**2)},
        index=7,
        traces=9,
        builds=1,
    )
    found = lines(lambda console: print_usage(console, usage, Path("/c"), 4096))
    assert found[0] == "/c"
    cells = {line.split("  ")[0].strip() or line.split("  ")[1]: line.split() for line in found[2:]}
    assert cells["stored files"][2:] == ["3.0", "KiB", "7", "files", "of", "4.0", "KiB"]
    assert cells["in use"][-3:] == ["1", "running", "build"]
    assert cells["unreferenced"][-5:] == ["`modelbuild", "cache", "gc`", "removes", "them"]
    # What interrupted steps left is no failure.
    assert cells["failed steps"][2:6] == ["20", "B", "2", "files"]
    assert cells["toolchains"][1:5] == ["6.0", "MiB", "10", "files"]


@pytest.mark.parametrize(
    ("collected", "dry_run", "said"),
    [
        (
            Collected(2048, 3072, 0, files=2, freed_bytes=1024, logs=1),
            False,
            ["Removed: 2 files and 1 log, 1.0 KiB.", "2.0 KiB stay; the limit is 2.0 KiB."],
        ),
        (
            Collected(1024, 3072, 2048, files=1, freed_bytes=1024),
            True,
            [
                "Would be removed: 1 file, 1.0 KiB.",
                "2.0 KiB would stay; the limit is 1.0 KiB.",
                "2.0 KiB cannot go: artifacts, bundles or builds use it.",
            ],
        ),
    ],
)
def test_what_a_collection_took(collected: Collected, dry_run: bool, said: list[str]) -> None:
    assert lines(lambda console: print_collected(console, collected, dry_run=dry_run)) == said


def test_damaged_files_with_their_makers_and_holders() -> None:
    maker = Maker("onnx.export", ("digits:ios/net.onnx#onnx.export",))
    damage = Damage(DIGEST, "is cut short", (maker, Maker("old.rule", ())), ("pin:/p/artifacts",))
    found = lines(lambda console: print_damage(console, [damage], 5))
    assert found == [
        "sha256:0123456789ab… is cut short",
        "  an output of digits:ios/net.onnx#onnx.export",
        "  an output of old.rule",
        "  needed by /p/artifacts",
        "",
        "error: 1 of 5 stored files are damaged",
        "hint: `modelbuild cache verify --repair` takes them out; a build makes them again",
    ]
    assert lines(lambda console: print_damage(console, [], 5)) == [
        "All 5 stored files are what they were."
    ]


def test_many_are_counted_and_repaired_ones_are_no_error() -> None:
    found = [Damage(DIGEST, "is gone", repaired=True)] * (MOST + 2)
    said = lines(lambda console: print_damage(console, found, 50))
    assert said[MOST:] == [
        "and 2 more: see `--json`",
        "",
        "22 of 50 stored files were damaged and are taken out; a build makes them again.",
    ]
