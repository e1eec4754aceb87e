"""`modelbuild why`: the chain to what changed, as a tree and as JSON."""

from __future__ import annotations

import re

from tests.cli.inside import Inside

GAIN = ("{format: onnx, accept: close}", "{format: onnx, accept: close, options: {gain: 1.0001}}")


def test_the_tree_ends_at_what_changed_with_its_place(modelbuild: Inside) -> None:
    assert modelbuild("build").code == 0
    modelbuild.space.edit("weights.safetensors", "1.1", "1.2")
    modelbuild.space.edit("deploy.yaml", *GAIN)
    lines = modelbuild("why", "ios/m.onnx").out.splitlines()
    assert lines[0] == "ios/m.onnx would be rebuilt:"
    names = [re.split(r"(?<=\S) {3,}(?=[^│├└ ])", line)[0] for line in lines[1:]]
    assert names == [
        "  verify.measure",
        "  ├ onnx.run",
        "  │ ├ onnx.export",
        "  │ │ │",
        "  │ │ └ torch.capture",
        "  │ └ torch.reference",
        "  └ torch.floor",
    ]
    text = (modelbuild.space.project / "deploy.yaml").read_text().splitlines()
    (row,) = [n for n, line in enumerate(text, 1) if "gain" in line]
    column = text[row - 1].index("1.0001") + 1
    assert lines[3].endswith(f"gain: 1.0 → 1.0001   deploy.yaml:{row}:{column}")
    (row,) = [n for n, line in enumerate(text, 1) if "checkpoint" in line]
    column = text[row - 1].index("weights.safetensors") + 1
    for line in (lines[5], lines[6], lines[7]):
        assert "weights.safetensors changed (" in line
        assert line.endswith(f"deploy.yaml:{row}:{column}")


def test_the_json_form(modelbuild: Inside) -> None:
    modelbuild("build")
    modelbuild.space.edit("deploy.yaml", *GAIN)
    (record,) = modelbuild("why", "ios/m.onnx", "--json").lines()
    assert {n: record[n] for n in ("version", "label", "state")} == {
        "version": 1,
        "label": "ios/m.onnx",
        "state": "stale",
    }
    chain = {link["rule"]: link for link in record["chain"]}
    assert list(chain) == ["verify.measure", "onnx.run", "onnx.export"]
    assert chain["onnx.run"]["because"] == ["ios/m.onnx#onnx.export"]
    (change,) = chain["onnx.export"]["changes"]
    place = change.pop("place")
    assert change == {
        "field": "options.format.gain",
        "before": 1.0,
        "after": 1.0001,
        "text": "gain: 1.0 → 1.0001",
    }
    assert place["file"] == "deploy.yaml"
    text = (modelbuild.space.project / "deploy.yaml").read_text().splitlines()
    assert text[place["line"] - 1][place["column"] - 1 :].startswith("1.0001")


def test_several_labels_are_told_one_by_one(modelbuild: Inside) -> None:
    labels = [r["label"] for r in modelbuild("why", "android", "ios/m.onnx", "--json").lines()]
    assert labels == ["ios/m.onnx", "android/m.tflite", "android/m.tflite-half"]
    out = modelbuild("why", "android").out
    assert out == (
        "android/m.tflite would be built for the first time: 9 actions.\n\n"
        "android/m.tflite-half would be built for the first time: 10 actions.\n"
    )


def test_no_match_and_no_label(modelbuild: Inside) -> None:
    said = modelbuild("why", "ios/m.onxx")
    assert (said.code, "did you mean `ios/m.onnx`?" in said.err) == (4, True)
    assert modelbuild("why").code == 2


def test_it_runs_nothing_and_places_nothing(modelbuild: Inside) -> None:
    modelbuild("why", "ios")
    assert not (modelbuild.space.project / "artifacts").exists()
    assert not (modelbuild.space.store / "files").exists()


def test_up_to_date_is_explained_by_the_last_build(modelbuild: Inside) -> None:
    modelbuild("build")
    assert modelbuild("why", "ios/m.onnx").out == (
        "ios/m.onnx is up to date. It was built once: 8 actions.\n"
    )
    modelbuild.space.edit("deploy.yaml", *GAIN)
    modelbuild("build")
    lines = modelbuild("why", "ios/m.onnx").out.splitlines()
    assert lines[0] == "ios/m.onnx is up to date. What its steps last ran for:"
    assert len(lines) == 4
    assert "gain: 1.0 → 1.0001   deploy.yaml:" in lines[-1]


def test_a_narrow_terminal_breaks_at_words(modelbuild: Inside) -> None:
    modelbuild("build")
    modelbuild.space.edit("weights.safetensors", "1.1", "1.2")
    modelbuild.patch.setenv("COLUMNS", "80")
    modelbuild.patch.setenv("NO_COLOR", "1")
    modelbuild.patch.setenv("FORCE_COLOR", "1")  # Which makes a terminal of a pipe.
    out = modelbuild("why", "*").out
    assert all(len(line) <= 80 for line in out.splitlines()), out
    assert "\x1b[3" not in out
