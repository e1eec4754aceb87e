"""These tests can fail: an engine with blind spots is caught at each of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from buildsys.engine.staleness import keys
from buildsys.engine.staleness.keys import Manifest
from buildsys.engine.staleness.walk import Walk
from buildsys.planner.graph import Action, Limits
from buildsys.planner.verification import verifying
from buildsys.recipe.schema import spec
from tests.mutation import fields
from tests.mutation.bench import Bench, tidy
from tests.mutation.cases import CASES, Case, put
from tests.mutation.check import complaint, edit

manifest = keys.manifest


def blind(
    action: Action,
    implementation: str,
    fingerprint: str | None,
    inputs: Mapping[str, str | None],
    discovered: Mapping[str, str] | None,
    files: Mapping[str, str] | None = None,
) -> Manifest:
    """A manifest that lacks a thing or two; another one for each rule."""
    record = manifest(action, implementation, fingerprint, inputs, discovered, files)
    options: dict[str, Any] = record["options"]
    match action.rule:
        case "coreml.convert":
            record["options"] = {}
        case "torch.reference":
            source = {name: v for name, v in options["source"].items() if name != "args"}
            record["options"] = options | {"source": source}
        case "tflite.quantize":
            settings = dict(options["quantization"])
            settings.pop("symmetric", None)
            record["options"] = options | {"quantization": settings}
        case "data.sample":
            record["options"] = {n: v for n, v in options.items() if n not in ("seed", "count")}
        case "onnx.run":
            record["toolchain"] = {}
        case "tflite.run":
            record["implementation"] = ""
        case "torch.adopt":
            record["toolchain"] = {}
    return record


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keys, "manifest", blind)
        return Bench(tmp_path_factory.mktemp("blind"))


@pytest.fixture
def blinded(made: Bench) -> Iterator[Bench]:
    """A project that was built by an engine with blind spots, which still is at work."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keys, "manifest", blind)
        yield made
        tidy(made)


def case(name: str) -> Case:
    """A case by its name."""
    (found,) = (each for each in CASES if each.id == name)
    return found


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("project", "coreml.convert"),
        ("models.{name}", "coreml.convert"),
        ("targets.{name}.[].options:dropped", "coreml.convert"),
        ("models.{name}.source.args", "torch.reference"),
        ("quantization.{name}.symmetric", "tflite.quantize"),
        ("models.{name}.samples.seed", "data.sample"),
        ("models.{name}.samples.count", "data.sample"),
        ("quantization.{name}.calibration.seed", "data.sample"),
        ("toolchains.{name}.lock", "onnx.run"),
    ],
)
def test_a_field_that_is_not_in_a_key_is_missed(blinded: Bench, name: str, rule: str) -> None:
    found = complaint(blinded, case(name))
    assert found is not None
    assert f"'{rule}'" in found.partition(";")[0]


def test_an_option_that_is_not_in_a_key_is_missed(blinded: Bench) -> None:
    change = put("targets.ios.0.options.author", "another")
    assert complaint(blinded, Case("coreml.author", change, "coreml.convert")) is not None


def test_an_environment_that_is_not_in_a_key_is_missed(blinded: Bench) -> None:
    blinded.drifted = {"torch": "more==1.0"}
    assert "torch.reference" in blinded.seen().rules
    assert "torch.adopt" not in blinded.seen().rules


def test_a_source_that_is_not_in_a_key_is_missed(
    blinded: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit(monkeypatch, ["backends/tflite/runtime.py"])
    assert blinded.seen().rules == {
        "tflite.benchmark"
    }  # All else that imports it but `tflite.run`.


def test_a_field_that_is_in_all_keys_is_seen_by_it_too(blinded: Bench) -> None:
    assert complaint(blinded, case("models.{name}.evaluate.metric")) is None


def test_a_verdict_that_looks_at_no_bounds_is_caught(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bounds = {"signal_error": 0.02, "size_ratio": 1.4}
    name = "acceptance.{name}.max_abs"
    assert complaint(bench, case(name)) is None
    held = Limits("everything", bounds, {}, default=False)
    monkeypatch.setattr(verifying, "limits_of", lambda *_: held)
    bench.report = bench.shown(bench.build())  # As that engine gives it where nothing is changed.
    try:
        assert complaint(bench, case(name)) == f"{name} is not seen"
    finally:
        monkeypatch.undo()
        tidy(bench)
        bench.report = bench.shown(bench.build())


def test_an_engine_that_forgets_what_code_read_is_caught(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    path: Path = bench.folder / "layers.py"
    path.write_text("changed")
    assert bench.seen().rules
    monkeypatch.setattr(Walk, "_holds", lambda *_: True)
    assert not bench.seen().rules


def test_a_new_field_of_the_schema_is_on_the_list() -> None:
    class Part(spec.Toolchain):
        later: dict[str, spec.Toolchain]
        sooner: int | None = None

    found = list(fields.of_model(Part))
    assert found == ["lock", "later.{name}", "later.{name}.lock", "sooner"]
