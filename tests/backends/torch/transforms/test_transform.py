"""Models pruned, trained on, taught and rounded: what is left, what is held, what is refused."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

import buildsys.backends
import buildsys.toolchains
from tests.support.harness import interpreter

pytestmark = pytest.mark.toolchain


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("transforms")
    command: list[str | Path] = [
        interpreter("torch"),
        Path(__file__).with_name("transform_cases.py"),
        Path(buildsys.backends.__file__).parent,
        Path(buildsys.toolchains.__file__).parent / "inside" / "program.py",
        folder,
    ]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    found: dict[str, Any] = json.loads((folder / "told.json").read_text())
    return found


def test_training_is_repeatable_and_its_seed_counts(told: dict[str, Any]) -> None:
    found = told["finetune"]
    assert (found["same"], found["other_seed"]) == (True, False)
    assert found["structure"] == {"tensors": {}, "numbers": {}}
    assert len(set(found["report"]["parameters"])) == 1


def test_channels_go_with_all_that_depends_on_them(told: dict[str, Any]) -> None:
    found = told["prune"]
    before, after = found["report"]["parameters"]
    sizes = found["sizes"]
    # Of 8 channels 2 go, in two steps. The residual's layers stay alike.
    stem = sizes["stem.weight"][0]
    assert stem == 6
    assert after < 0.75 * before
    assert sizes["block.b.weight"][0] == sizes["block.a.weight"][1] == stem
    assert sizes["block.norm.running_mean"] == [sizes["block.a.weight"][0]]
    assert sizes["head.weight"] == [3, stem * 16]
    assert found["output"] == [48, 3]
    assert found["structure"]["numbers"]["stem"] == {"out_channels": stem}
    assert [row["step"] for row in found["report"]["steps"]] == [1, 2]
    assert found["notes"] == [
        f"{before - after} of {before} parameters were pruned away: {after} are left"
    ]
    assert found["after"]["sizes"] == sizes
    assert found["after"]["structure"] == found["structure"]


def test_channels_stay_multiples(told: dict[str, Any]) -> None:
    sizes = told["multiple"]["sizes"]
    # Of 8 channels 4.8 would be left: the nearest multiple of 4.
    assert [sizes[n][0] for n in ("stem.weight", "block.a.weight")] == [4, 4]


def test_what_cannot_be_pruned_is_said(told: dict[str, Any]) -> None:
    found = told["attention"]
    assert found["notes"][0] == (
        "`attention` (MultiheadAttention) keeps its size: its parts are of one piece"
    )
    assert found["sizes"]["attention.in_proj_weight"] == [24, 8]
    assert found["sizes"]["wide.weight"][0] < 16
    found = told["counting"]
    assert found["notes"][0] == ("`a` keeps its channels: the model does not run without them")
    assert found["sizes"]["a.weight"] == [8, 16]
    assert found["sizes"]["b.weight"][0] < 8


def test_zeros_are_held_by_what_trains_later(told: dict[str, Any]) -> None:
    found = told["held"]
    assert found["zeros"] == pytest.approx(0.75 * found["count"], abs=4)
    assert found["moved"]
    assert found["structure"]["sparse"] == ["stem", "block.a", "block.b", "head"]
    assert f"of {found['count']} weights in 4 layers are zero (75." in found["notes"][0]
    assert "are zero (50.0%)" in told["everywhere"]["notes"][0]


@pytest.mark.parametrize("grid", ["narrow", "full"])
def test_weights_are_left_where_quantizing_finds_them_again(
    told: dict[str, Any], grid: str
) -> None:
    found = told["qat"][grid]
    assert found["notes"] == ["3 layers were trained with 4-bit weights"]
    off = found["off"]
    assert off.pop("stem") > 0.1  # Kept in float.
    assert max(off.values()) < 1e-4


def test_shared_weights_are_left_alone(told: dict[str, Any]) -> None:
    assert told["qat tied"]["notes"] == [
        "`a`, `b` stay as they are: their weights belong to another module as well",
        "1 layers were trained with 4-bit weights",
    ]


def test_a_teacher_is_told(told: dict[str, Any]) -> None:
    assert told["distill"]["output"] == [48, 3]


@pytest.mark.parametrize(
    ("case", "note"),
    [
        ("taken up", "the training was taken up where it was interrupted"),
        ("steps taken up", "pruning was taken up after step 2"),
    ],
)
def test_what_was_interrupted_comes_to_the_same_bytes(
    told: dict[str, Any], case: str, note: str
) -> None:
    assert told[case]["same"]
    assert note in told[case]["notes"]


def test_pruning_stops_at_its_floor(told: dict[str, Any]) -> None:
    found = told["floor"]
    assert [row["step"] for row in found["report"]["steps"]] == [1]
    assert found["notes"][0].startswith(
        "pruning stopped after step 1 of 3: step 2 takes the metric"
    )
    # What is left is the first step, not the one that fell below.
    assert found["report"]["parameters"][1] == found["report"]["steps"][0]["parameters"]


@pytest.mark.parametrize(
    ("case", "field", "message", "hint"),
    [
        ("no step", "floor", "the first step of pruning takes the metric from ", "prune less"),
        (
            "raises",
            "train.python",
            "`code_of_cases:fails` raised ValueError: no such thing (code_of_cases.py:",
            "in fails: return inner(data); code_of_cases.py:",
        ),
        (
            "other",
            "train.python",
            "`code_of_cases:other` made another architecture of the model: `head.weight` is float32 "
            "[4, 128], it was float32 [3, 128], `head.bias` is float32 [4], it was float32 [3], "
            "`extra.weight` is new (float32 [2, 2]) and 1 more",
            "`prune` changes sizes",
        ),
        (
            "breaks",
            "train.python",
            "`code_of_cases:breaks` left NaN or infinities in `head.weight`",
            "learning rate",
        ),
        ("gives", "train.python", "`code_of_cases:gives` returned a `Net`", "in place"),
        ("data", "train.dataset", "there is a NaN or an infinity in `x` of the training data", ""),
        ("keep", "keep", "`blok.*` fits no convolution or linear layer; near it: `block.", None),
        ("all kept", "method", "no layer of the model can lose channels", "unstructured"),
        ("keep_float", "keep_float", "`hed` fits no convolution or linear layer; near it: `head`", None),
        ("no function", "train.python", "`code_of_cases` has no `fitt`", "it has"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told(
    told: dict[str, Any], case: str, field: str, message: str, hint: str | None
) -> None:
    found = told[case]
    assert found["field"] == field
    assert found["message"].startswith(message)
    assert hint is None or hint in found["hint"]
