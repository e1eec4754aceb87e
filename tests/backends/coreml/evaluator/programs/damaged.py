"""Packages that are damaged, or ask for what is not known: errors that say what, never a guess."""

# mypy: disable-error-code="misc"

from __future__ import annotations

import json
import shutil
import struct
from pathlib import Path
from typing import Any

import numpy as np

from buildsys.backends.coreml.evaluator.package import Package

from .making import (
    MODEL,
    WEIGHTS,
    Program,
    case,
    edited,
    floats,
    mb,
    operations,
    package,
    path,
    refuses,
)


def _linear(x: Any) -> Any:
    return mb.relu(x=mb.linear(x=x, weight=WEIGHT, bias=np.ones(64, np.float32)), name="last")


WEIGHT = floats(64, 32)
WHOLE = package(_linear, (2, 32))
FEED = {"x": floats(2, 32)}


def _op(spec: Any, kind: str) -> Any:
    return next(op for op in operations(spec) if op.type == kind)


def _copy() -> Path:
    where = path()
    shutil.copytree(WHOLE, where)
    return where


@case
def an_operation_that_is_not_known() -> None:
    with edited(WHOLE) as (spec, where):
        _op(spec, "relu").type = "frobnicate"
    program = Program.open(where)
    assert program.unsupported() == ["frobnicate"]
    refuses(lambda: program.run(FEED), "not evaluated: frobnicate")
    assert Program.open(WHOLE).unsupported() == []


@case
def an_input_and_an_attribute_that_are_not_known() -> None:
    with edited(WHOLE) as (spec, where):
        _op(spec, "relu").inputs["slope"].CopyFrom(_op(spec, "linear").inputs["bias"])
    refuses(lambda: Program.open(where), "`relu` (operation 2, which makes `last`)", "`slope`")
    with edited(WHOLE) as (spec, where):
        _op(spec, "relu").attributes["rounding"].CopyFrom(_op(spec, "const").attributes["name"])
    refuses(lambda: Program.open(where), "`relu`", "`rounding` is not known")


@case
def an_input_that_is_missing() -> None:
    with edited(WHOLE) as (spec, where):
        del _op(spec, "linear").inputs["weight"]
    refuses(lambda: Program.open(where), "`linear` (operation 1", "`weight` is missing")
    with edited(WHOLE) as (spec, where):
        _op(spec, "relu").inputs["x"].arguments[0].name = "nobody"
    refuses(lambda: Program.open(where), "`nobody` before anything makes it")


@case
def a_result_of_other_sizes_or_another_type_than_declared() -> None:
    with edited(WHOLE) as (spec, where):
        _op(spec, "linear").outputs[0].type.tensorType.dimensions[1].constant.size = 63
    refuses(lambda: Program.open(where).run(FEED), "`linear`", "[2, 64]", "[2, 63] is declared")
    with edited(WHOLE) as (spec, where):
        _op(spec, "relu").outputs[0].type.tensorType.dataType = 23
    refuses(lambda: Program.open(where).run(FEED), "`relu`", "INT32 is declared")


@case
def a_constant_of_other_sizes_or_another_type_than_its_blob() -> None:
    with edited(WHOLE) as (spec, where):
        value = next(
            op.attributes["val"]
            for op in operations(spec)
            if op.type == "const" and op.attributes["val"].WhichOneof("value") == "blobFileValue"
        )
        value.type.tensorType.dataType = 10
    refuses(lambda: Program.open(where), "FLOAT32 where the program declares FLOAT16")
    with edited(WHOLE) as (spec, where):
        _stored(spec).type.tensorType.dimensions[0].constant.size = 65
    refuses(lambda: Program.open(where), "bytes where FLOAT32 [65, 32] takes")
    with edited(WHOLE) as (spec, where):
        _stored(spec).blobFileValue.offset += 64
    refuses(lambda: Program.open(where), "no record of a weight")
    with edited(WHOLE) as (spec, where):
        _stored(spec).blobFileValue.offset = 10**9
    refuses(lambda: Program.open(where), "no record: it ends at")


def _stored(spec: Any) -> Any:
    return next(
        op.attributes["val"]
        for op in operations(spec)
        if op.type == "const"
        and op.attributes["val"].WhichOneof("value") == "blobFileValue"
        and len(op.attributes["val"].type.tensorType.dimensions) == 2
    )


@case
def a_weight_file_that_is_missing_cut_or_of_another_version() -> None:
    where = _copy()
    (where / WEIGHTS).unlink()
    refuses(lambda: Program.open(where), "lacks its weight file `weight.bin`")
    where = _copy()
    content = (where / WEIGHTS).read_bytes()
    (where / WEIGHTS).write_bytes(content[:-64])
    refuses(lambda: Program.open(where), "beyond the end of the file")
    (where / WEIGHTS).write_bytes(struct.pack("<II", 1, 9) + content[8:])
    refuses(lambda: Program.open(where), "of version 9")


@case
def paths_that_lead_out_of_the_package() -> None:
    for escape in ("../../../outside.mlmodel", "/etc/passwd"):
        where = _copy()
        manifest = where / "Manifest.json"
        said = json.loads(manifest.read_text())
        said["itemInfoEntries"][said["rootModelIdentifier"]]["path"] = escape
        manifest.write_text(json.dumps(said))
        refuses(lambda where=where: Program.open(where), "leads out of the package")
    for escape in ("@model_path/../../../../weight.bin", "/etc/passwd", "weights/weight.bin"):
        with edited(WHOLE) as (spec, where):
            for op in operations(spec):
                if op.type == "const" and op.attributes["val"].HasField("blobFileValue"):
                    op.attributes["val"].blobFileValue.fileName = escape
        refuses(lambda where=where: Program.open(where), "package")
    where = _copy()
    elsewhere = path().with_suffix(".bin")
    shutil.move(where / WEIGHTS, elsewhere)
    (where / WEIGHTS).symlink_to(elsewhere)
    refuses(lambda: Program.open(where), "leads out of the package")


@case
def what_is_no_package_or_holds_no_program() -> None:
    refuses(lambda: Package(path()), "no Manifest.json")
    where = _copy()
    (where / "Manifest.json").write_text("{}")
    refuses(lambda: Package(where), "does not name the model")
    where = _copy()
    (where / MODEL).write_bytes(b"\xff\xff\xff")
    refuses(lambda: Package(where), "not a Core ML model")
    with edited(WHOLE) as (spec, where):
        spec.neuralNetwork.SetInParent()
    refuses(lambda: Package(where), "`neuralNetwork`", "only ML programs")


@case
def a_description_that_does_not_fit_its_program() -> None:
    with edited(WHOLE) as (spec, where):
        spec.description.output[0].name = "other"
    refuses(lambda: Program.open(where), "gives no `other`")
    with edited(WHOLE) as (spec, where):
        spec.description.input[0].name = "other"
    refuses(lambda: Program.open(where), "['other']", "['x']")


@case
def a_failure_in_an_operation_names_it() -> None:
    def body(x: Any) -> Any:
        return mb.gather(x=floats(4, 2), indices=mb.cast(x=x, dtype="int32"), axis=0, name="taken")

    program = Program.open(package(body, (1,)))
    program.run({"x": np.array([3], np.float32)})
    refuses(lambda: program.run({"x": np.array([9], np.float32)}), "`gather` (operation", "`taken`")
