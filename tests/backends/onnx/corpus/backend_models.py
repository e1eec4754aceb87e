"""ONNX's own backend models as sources of a recipe; run in a toolchain that has them.

With the folder of the models alone: prints why each model is no source of a recipe, `null` where it is one.
With the folder of the project to write, the formats, and names of models besides: writes it, and prints the
outputs that are left out of models, since they are the same for all inputs. Both as one JSON object.
"""

from __future__ import annotations

import json
import re
import sys
import warnings
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.helper import tensor_dtype_to_np_dtype
from onnx.reference import ReferenceEvaluator

GROUPS = ("node", "simple", "pytorch-converted", "pytorch-operator")
COUNT = 4
"""Samples a model: what it comes with, and variations of it."""
KNOWN = ("float16", "float32", "float64", "int64", "int32", "int16", "int8", "uint8", "bool")
FLOATS = ("float16", "float32", "float64")
RANDOM = ("Bernoulli", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike")
Array = np.ndarray[Any, Any]


def label(group: str, name: str) -> str:
    """A model's name in the recipe."""
    return re.sub(r"[^a-z0-9]+", "_", f"{group}_{name.removeprefix('test_')}".lower())


def _dtype(value: Any) -> np.dtype[Any]:
    found: np.dtype[Any] = tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
    return found


def left_out(model: Any) -> str | None:
    """Why a model is no source of a recipe."""
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    for value in (*inputs, *model.graph.output):
        kind = value.type.WhichOneof("value")
        if kind != "tensor_type":
            return f"`{value.name}` is a {kind.removesuffix('_type')}"
    if not inputs or any(_dtype(each).name not in FLOATS for each in inputs):
        return "its inputs are not all floats"
    for value in model.graph.output:
        if _dtype(value).name not in KNOWN:
            name = onnx.TensorProto.DataType.Name(value.type.tensor_type.elem_type)
            return f"its output is of {name}, and numpy has no such type"
    for node in model.graph.node:
        if node.op_type in RANDOM:
            return f"`{node.op_type}` is random"
        if node.domain not in ("", "ai.onnx", "ai.onnx.ml"):
            return f"`{node.op_type}` is of the domain {node.domain}"
    return None


def _read(folder: Path, what: str, index: int) -> Array:
    tensor = onnx.TensorProto.FromString((folder / f"{what}_{index}.pb").read_bytes())
    return np.asarray(numpy_helper.to_array(tensor))


def parameters(given: list[Array]) -> set[int]:
    """Which inputs are sizes, scales or limits: short ones of one axis or none, but for the first.

    A recipe's inputs may be anything in their range. These become weights of the file.
    """
    return {i for i, each in enumerate(given) if i and each.ndim < 2 and each.size <= 16}


def samples(given: list[Array], seed: int, positive: bool) -> list[Array]:
    """What a model comes with, and as many arrays between two orders of the same numbers.

    They stay between the least and the largest of them, where a logarithm or an arc has a value. Where all
    numbers are the same, others take their place.

    Args:
        given: An array an input.
        seed: Of the model: other models get other orders.
        positive: Whether the model gives NaN for what it comes with, as a root does below zero.
    """
    generator = np.random.default_rng(seed)
    found = []
    for array in given:
        rows = [array]
        for _ in range(COUNT - 1):
            flat = array.reshape(-1)
            if array.size and (flat == flat[0]).all():
                flat = generator.uniform(0.1, 1, flat.shape)
            one, other = generator.permutation(flat), generator.permutation(flat)
            mixed = np.asarray(one + generator.uniform(0, 0.2, flat.shape) * (other - one))
            rows.append(mixed.reshape(array.shape).astype(array.dtype))
        stacked = np.stack(rows)
        found.append(np.abs(stacked) if positive else stacked)
    return found


def initialized(array: Array, seed: int) -> Array:
    """An input of float64 whose memory nobody has set (1e-310 beside 1e198), as some models come with one."""
    if array.dtype != np.float64:
        return array
    sizes = np.abs(array[array != 0])
    if not ((sizes < 1e-100) | ((sizes > 1e100) & np.isfinite(sizes))).any():
        return array
    return np.asarray(np.random.default_rng(seed).uniform(0.1, 1, array.shape))


def scaled(given: list[Array]) -> list[Array]:
    """What a model comes with, times 1 and a little more: values in the same order, the same ones equal."""
    factors = 1 + 0.1 * np.arange(COUNT)
    return [np.stack([(each * f).astype(each.dtype) for f in factors]) for each in given]


def spread(given: list[Array], seed: int) -> list[Array]:
    """Numbers drawn at random from the range of what a model comes with, for models that ties decide."""
    generator = np.random.default_rng(seed)
    found = []
    for each in finite(given):
        low, high = float(each.min(initial=0)), float(each.max(initial=1))
        found.append(generator.uniform(low, high, (COUNT, *each.shape)).astype(each.dtype))
    return found


def finite(given: list[Array]) -> list[Array]:
    """NaN and infinities replaced by numbers within the others' range."""
    return [np.where(np.isfinite(each), each, np.asarray(0.5, each.dtype)) for each in given]


def told(model: Any, inputs: list[str], rows: list[Array]) -> dict[str, str]:
    """What each output is over the samples: `varies`, `same`, `size`, `empty` or `nan`.

    By ONNX's reference evaluator; no output where that does not run the model.
    """
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            evaluator: Any = ReferenceEvaluator(model)
            feeds = [dict(zip(inputs, each, strict=True)) for each in zip(*rows, strict=True)]
            runs = [evaluator.run(None, feed) for feed in feeds]
    except Exception:
        return {}
    names = [value.name for value in model.graph.output]
    return {n: _told([np.asarray(v) for v in got]) for n, *got in zip(names, *runs, strict=True)}


def _told(values: list[Array]) -> str:
    if len({each.shape for each in values}) > 1:
        return "size"
    if not values[0].size:
        return "empty"
    stacked = np.stack(values)
    if stacked.dtype.kind == "f" and np.isnan(stacked).any():
        return "nan"
    return "same" if (stacked == stacked[0]).all() else "varies"


def fitting(
    model: Any, inputs: list[str], given: list[Array], seed: int, positive: bool
) -> tuple[list[Array], dict[str, str]]:
    """Samples that a model can be judged by: outputs of one size that vary and are numbers.

    Returns:
        The samples of the first of several ways that suits, or of the first where none does; and what
        each output is over them.
    """
    ways: tuple[Callable[[], list[Array]], ...] = (
        lambda: samples(given, seed, positive),
        lambda: scaled(given),
        lambda: samples(finite(given), seed, False),
        lambda: spread(given, seed),
    )
    found = []
    for way in ways:
        rows = way()
        found.append((rows, told(model, inputs, rows)))
        if not _wanting(found[-1][1]):
            return found[-1]
    return found[0]


def _wanting(found: dict[str, str]) -> bool:
    """Whether other samples may do better: an output beside one that varies may always be the same."""
    kinds = set(found.values())
    return bool(kinds) and ("varies" not in kinds or bool(kinds & {"nan", "size"}))


def folders(data: Path) -> dict[str, Path]:
    """The folder of each model, by its name in the recipe."""
    groups = ((group, sorted((data / group).iterdir())) for group in GROUPS)
    return {label(group, each.name): each for group, found in groups for each in found}


def listed(data: Path) -> dict[str, str | None]:
    """Why each model is no source of a recipe; `None` where it is one."""
    found = folders(data).items()
    return {name: left_out(onnx.load(folder / "model.onnx")) for name, folder in found}


def write(
    data: Path, project: Path, wanted: Iterable[str], formats: Iterable[str]
) -> dict[str, list[str]]:
    """Writes the recipe and its files; gives the outputs that are left out, by the model's name."""
    (project / "models").mkdir(parents=True)
    pruned: dict[str, list[str]] = {}
    recipe: dict[str, Any] = {
        "version": 1,
        "project": "backend-models",
        "datasets": {},
        "models": {},
        "targets": {"server": [{"format": name} for name in formats]},
    }
    known = folders(data)
    for name in sorted(wanted):
        model = onnx.load(known[name] / "model.onnx")
        gone = _add(recipe, name, model, known[name], project)
        if gone:
            pruned[name] = gone
    (project / "deploy.yaml").write_text(json.dumps(recipe, indent=1))
    return pruned


def _prune(model: Any, found: dict[str, str]) -> list[str]:
    """Takes away outputs that are the same for all samples, beside others that vary."""
    gone = [name for name, kind in found.items() if kind == "same"]
    if len(gone) == len(found):
        return []
    kept = [value for value in model.graph.output if value.name not in gone]
    del model.graph.output[:]
    model.graph.output.extend(kept)
    return gone


def _add(recipe: dict[str, Any], name: str, model: Any, folder: Path, project: Path) -> list[str]:
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value.name for value in model.graph.input if value.name not in weights]
    data = folder / "test_data_set_0"
    given = [_read(data, "input", index) for index in range(len(inputs))]
    expected = [_read(data, "output", index) for index in range(len(model.graph.output))]
    positive = any(each.dtype.kind == "f" and bool(np.isnan(each).any()) for each in expected)
    seed = zlib.crc32(name.encode())
    given = [initialized(each, seed + index) for index, each in enumerate(given)]
    fixed = parameters(given)
    for index in fixed:
        model.graph.initializer.append(numpy_helper.from_array(given[index], inputs[index]))
    if fixed and model.ir_version >= 4:
        kept = [each for each in model.graph.input if each.name not in {inputs[i] for i in fixed}]
        del model.graph.input[:]
        model.graph.input.extend(kept)
    free = [index for index in range(len(inputs)) if index not in fixed]
    inputs, given = [inputs[index] for index in free], [given[index] for index in free]
    rows, found = fitting(model, inputs, given, seed, positive)
    gone = _prune(model, found)
    onnx.save(model, project / "models" / f"{name}.onnx")
    np.savez(project / "models" / f"{name}.npz", **dict(zip(inputs, rows, strict=True)))
    ports = {
        port: {"shape": list(array.shape[1:]), "dtype": array.dtype.name}
        for port, array in zip(inputs, rows, strict=True)
    }
    recipe["datasets"][name] = {
        "source": f"models/{name}.npz",
        "inputs": {port: port for port in inputs},
    }
    recipe["models"][name] = {
        "source": {"onnx": f"models/{name}.onnx"},
        "inputs": ports,
        "outputs": {value.name: {} for value in model.graph.output},
        "samples": {"dataset": name, "count": COUNT},
    }
    return gone


if __name__ == "__main__":
    data, *more = sys.argv[1:]
    if more:
        print(json.dumps(write(Path(data), Path(more[0]), more[2:], more[1].split(","))))
    else:
        print(json.dumps(listed(Path(data))))
