"""ONNX's own backend models ship: as they are, upgraded, or refused for a reason that is known.

They are taken out of the wheel of the toolchain `openvino`, whose onnx still carries all of them.
`make test-nightly` builds all of them, goes on where it was stopped, and holds docs/onnx-models.md against
what it finds; `make test` builds the few that stand for a kind.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.backends.onnx.corpus import model_outcomes, models_sweep
from tests.sweeps import read

ALL = os.environ.get("MODELBUILD_BACKEND_MODELS") == "all"
SAMPLE = (
    "pytorch_converted_batchnorm2d_eval",
    "pytorch_converted_prelu_2d_multiparam",
    "pytorch_operator_operator_addmm",
    "node_lstm_batchwise",
    "node_attention_4d",
    "node_attention_4d_fp16",
    "node_dropout_default_mask",
    "node_attention_4d_with_past_and_present_qk_matmul_bias_4d_mask_causal",
    "node_maxpool_2d_ceil_output_size_reduce_by_one",
)
"""Old operator sets, slopes that the version converter forgets, the batch first, float16, an output that is
always the same, and what OpenVINO alone gets wrong: attention with a past, and a pooled size."""
UPGRADED = SAMPLE[:4]
FAULTS = SAMPLE[-2:]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Mapping[str, Any]]:
    """What became of each model."""
    folder = tmp_path_factory.mktemp("models")
    record = models_sweep.record() if ALL else folder / "record.jsonl"
    if ALL:
        wanted = [name for name, why in models_sweep.names().items() if why is None]
        models_sweep.run(record, wanted, folder / "store", models_sweep.CHUNKS)
    else:
        models_sweep.run(record, SAMPLE, folder / "store")
    return {each["model"]: each for each in read(record)}


@pytest.mark.toolchain
def test_all_ship_as_onnx_and_what_openvino_lacks_is_its_fault(
    found: Mapping[str, Mapping[str, Any]],
) -> None:
    """What is rejected as `openvino` is wrong in OpenVINO alone, without this project, as well."""
    assert model_outcomes.strays(list(found.values())) == {}
    assert [name for name in SAMPLE if not model_outcomes.ships(found[name])] == []
    wanting = {name for name in SAMPLE if not model_outcomes.ships(found[name], "openvino")}
    assert wanting == set(FAULTS)
    assert {found[name]["openvino"]["status"] for name in FAULTS} == {"rejected"}


@pytest.mark.toolchain
def test_an_upgrade_is_told(found: Mapping[str, Mapping[str, Any]]) -> None:
    for name in UPGRADED:
        notes = " ".join(found[name]["onnx"]["notes"])
        assert "the original was run by the reference evaluator of onnx" in notes
        assert "ONNX Runtime" in notes


@pytest.mark.toolchain
@pytest.mark.skipif(not ALL, reason="MODELBUILD_BACKEND_MODELS is not `all`")
def test_the_document_says_what_becomes_of_all(found: Mapping[str, Mapping[str, Any]]) -> None:
    text = model_outcomes.document(list(found.values()), models_sweep.names())
    assert model_outcomes.DOCUMENT.read_text(encoding="utf-8") == text


def test_the_document_explains_each() -> None:
    assert "not explained" not in model_outcomes.DOCUMENT.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("status", "reason", "alone", "told"),
    [
        ("rejected", "signal_error of y is 1.6", 0.4, "OpenVINO alone gives"),
        ("rejected", "signal_error of y is 1.6", float("inf"), "OpenVINO alone gives"),
        ("rejected", "signal_error of y is 0.01", 1e-6, None),
        ("rejected", "signal_error of y is 0.01", "it does not load", None),
        ("failed", "OpenVINO 1 has no counterpart for the ONNX operator `Det`", "", "for `Det`"),
        ("failed", "OpenVINO 1 has no counterpart for the ONNX operator `Det`", 1e-6, None),
        ("failed", "the step ended with a signal", "", None),
    ],
)
def test_what_is_openvino_s_fault(
    status: str, reason: str, alone: float | str, told: str | None
) -> None:
    """A rejection that OpenVINO alone does not confirm is nothing that excuses itself."""
    openvino = {"status": status, "reason": reason, "alone": alone}
    record = {"model": "m", "onnx": {"status": "verified", "reason": None}, "openvino": openvino}
    why = model_outcomes.refusal(record)
    assert why is None if told is None else told in str(why)
    assert (model_outcomes.strays([record]) != {}) == (told is None)


def test_a_stopped_sweep_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each chunk is recorded as soon as it is built, and what is recorded is not built again."""
    builds: list[list[str]] = []

    def built(chosen: list[str], store: Path) -> list[dict[str, Any]]:
        if len(builds) == 2:
            raise KeyboardInterrupt
        builds.append(list(chosen))
        return [{"model": name} for name in chosen]

    monkeypatch.setattr(models_sweep, "built", built)
    record = tmp_path / "record.jsonl"
    with pytest.raises(KeyboardInterrupt):
        models_sweep.run(record, "abcdef", tmp_path, 3)
    with record.open("a") as stream:
        stream.write('{"model": "c", "half of a li')
    builds.clear()
    models_sweep.run(record, "abcdef", tmp_path, 3)
    assert builds == [["c", "f"]]
    assert sorted(each["model"] for each in read(record)) == list("abcdef")
