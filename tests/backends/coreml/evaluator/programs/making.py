"""What the cases share: packages of small programs, damage to saved ones, errors that are expected."""

from __future__ import annotations

import contextlib
import itertools
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from buildsys.backends.coreml.evaluator.messages import Model_pb2
from buildsys.backends.coreml.evaluator.program import Program
from buildsys.backends.coreml.libraries import ct
from buildsys.backends.kit.protocol.request import StepError

mb = ct.converters.mil.mil.Builder
types = ct.converters.mil.mil.types
Array = NDArray[Any]
MODEL = Path("Data/com.apple.CoreML/model.mlmodel")
WEIGHTS = Path("Data/com.apple.CoreML/weights/weight.bin")
IOS16, IOS17, IOS18 = ct.target.iOS16, ct.target.iOS17, ct.target.iOS18

CASES: dict[str, Callable[[], None]] = {}
RANDOM = np.random.default_rng(5)
_FOLDER = Path(tempfile.mkdtemp(prefix="programs-"))
_NUMBERS = itertools.count()


def case(function: Callable[[], None]) -> Callable[[], None]:
    """Registers a case by its name."""
    assert function.__name__ not in CASES
    CASES[function.__name__] = function
    return function


def floats(*shape: int) -> Array:
    return RANDOM.standard_normal(shape).astype(np.float32)


def path() -> Path:
    return _FOLDER / f"{next(_NUMBERS)}.mlpackage"


def saved(model: Any) -> Path:
    """Writes a converted model."""
    where = path()
    model.save(str(where))
    return where


def converted(program: Any, target: Any = IOS16, half: bool = False, **more: Any) -> Any:
    """Converts a program of the builder, or a traced module, as it stands."""
    more.setdefault("source", "milinternal")
    return ct.convert(
        program,
        convert_to="mlprogram",
        minimum_deployment_target=target,
        compute_precision=ct.precision.FLOAT16 if half else ct.precision.FLOAT32,
        skip_model_load=True,
        **more,
    )


def package(
    body: Callable[..., Any], *shapes: tuple[int, ...], target: Any = IOS16, half: bool = False
) -> Path:
    """A package of one function over float32 arrays of some shapes, whose names are `x`, `y`, …"""
    specs = [mb.TensorSpec(shape) for shape in shapes]
    program = mb.program(input_specs=specs, opset_version=target)(body)
    return saved(converted(program, target, half))


@contextlib.contextmanager
def edited(source: Path) -> Iterator[tuple[Any, Path]]:
    """A copy of a package, and its message, which is written back."""
    where = path()
    shutil.copytree(source, where)
    spec = Model_pb2.Model()
    spec.ParseFromString((where / MODEL).read_bytes())
    yield spec, where
    (where / MODEL).write_bytes(spec.SerializeToString())


def operations(spec: Any, function: str = "main") -> Any:
    """The operations of a message's function."""
    (block,) = spec.mlProgram.functions[function].block_specializations.values()
    return block.operations


def refuses(what: Callable[[], Any], *words: str) -> None:
    """Expects an error for the user whose message has all of some words."""
    message = "nothing at all"
    try:
        what()
    except StepError as error:
        message = error.message
    missing = [word for word in words if word not in message]
    assert not missing, f"{message!r} lacks {missing}"


def equal(found: Any, wanted: Any) -> None:
    """Expects the same bits, of the same type."""
    found, wanted = np.asarray(found), np.asarray(wanted)
    assert found.dtype == wanted.dtype, (found.dtype, wanted.dtype)
    assert found.shape == wanted.shape, (found.shape, wanted.shape)
    assert found.tobytes() == wanted.tobytes(), (found.ravel()[:8], wanted.ravel()[:8])


def close(found: Any, wanted: Any, bound: float = 1e-5) -> None:
    """Expects numbers within a bound of the largest."""
    scale = max(1.0, float(np.abs(wanted).max()))
    apart = float(np.abs(np.asarray(found, np.float64) - wanted).max())
    assert apart <= bound * scale, (apart, scale)


def only(found: dict[str, Any]) -> Any:
    """The value of the one output."""
    (value,) = found.values()
    return value


__all__ = ["CASES", "Program", "case"]
