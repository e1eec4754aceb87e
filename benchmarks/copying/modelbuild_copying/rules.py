"""Formats of a real pipeline, made by steps that only concatenate."""

from __future__ import annotations

from pathlib import Path

from buildsys.backends.base import Backend, Format, Rule, Scheme

HERE = Path(__file__).parent
REASON = "a copy computes nothing"


def _format(name: str, *schemes: Scheme) -> Format:
    return Format(f"copied_{name}", f".{name}", schemes=schemes, unverified=REASON, numeric=False)


def _rule(
    name: str, takes: str, gives: str, worker: str = "copy", schemes: tuple[str, ...] = ()
) -> Rule:
    return Rule(
        f"copied.{name}",
        (f"copied_{takes}",),
        f"copied_{gives}",
        "host",
        f"worker:{worker}",
        schemes=schemes,
    )


backend = Backend(
    name="copying",
    folder=HERE,
    formats=(
        _format("trace"),
        _format("onnx"),
        _format("sim", Scheme("static", (8,), exact_types="bytes, as they were")),
        _format("tflite"),
        _format("ort"),
        _format("coreml"),
        _format("checked"),
        _format("bundle"),
    ),
    rules=(
        Rule(
            "copied.capture",
            ("source:factory",),
            "copied_trace",
            "model",
            "worker:capture",
            user_code=True,
        ),
        _rule("export", "trace", "onnx"),
        _rule("simplify", "onnx", "sim"),
        _rule("quantize", "sim", "sim", schemes=("static",)),
        _rule("tflite", "sim", "tflite"),
        _rule("ort", "sim", "ort"),
        _rule("coreml", "trace", "coreml"),
        _rule("check", "tflite", "checked"),
        _rule("bundle", "checked", "bundle"),
    ),
)
