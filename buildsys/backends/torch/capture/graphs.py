"""Captures graphs: by tracing, by scripting, by torch.export; and compares them with the model."""

from __future__ import annotations

import importlib.util
import inspect
import math
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ...kit.export.survey import Survey
from ...kit.protocol import ports as ports_of
from ...kit.protocol.entry import described
from ...kit.protocol.ports import Sizes
from ...kit.protocol.request import Request, StepError
from ..original.model import Eager, tensors
from ..original.outputs import Flat, difference, leaves, to_numpy
from . import reserved

FIELD = "capture"
Mode = AbstractContextManager[Any]
SHOWN_LINES = 12
# What is fed when a capture is compared with the model: a declared `max` may be beyond any machine.
LARGEST = 4096
MOST_BYTES = 64 * 2**20
SITE = os.path.dirname(os.path.dirname(os.path.realpath(torch.__file__))) + os.sep
# torch's advice to its own developers.
ADVICE = ("For ", "consider using", "Caused by", "The error above", "If you suspect")
INSTEAD = {
    "trace": "`capture: script` keeps control flow, `capture: export` refuses what it cannot keep",
    "script": "`capture: trace` needs no annotations, but fixes control flow",
    "export": "`torch.where` or `torch.cond` in place of `if`",
}


def trace(
    eager: Eager, survey: Survey, request: Request, modes: Sequence[Mode] = ()
) -> tuple[Any, list[str]]:
    """Traces the model on example inputs.

    Args:
        eager: The model.
        survey: Sizes.
        request: The step's.
        modes: Entered while the model runs, the last one sees functions first.

    Returns:
        The ScriptModule, and the places where tracing turned a tensor into a Python value.

    Raises:
        StepError: The model cannot be traced.
    """
    module = _positional(eager)
    given = example(request, survey.sizes)
    with warnings.catch_warnings(record=True) as caught, torch.no_grad(), _all(modes):
        warnings.simplefilter("always")
        try:
            # The outputs are compared below, on other inputs than torch's own check would take.
            traced = torch.jit.trace(module, given, check_trace=False, _store_inputs=False)
        except Exception as error:
            raise _failed("traced", error, request, "trace") from error
    baked = [
        f"{_relative(w.filename, request.project)}:{w.lineno}: {_sentence(str(w.message))}"
        for w in caught
        if issubclass(w.category, torch.jit.TracerWarning)
    ]
    return traced, list(dict.fromkeys(baked))


def script(eager: Eager, request: Request) -> Any:
    """Compiles the model's source, control flow included, into a ScriptModule.

    Raises:
        StepError: Its source is outside of what TorchScript understands.
    """
    try:
        scripted = torch.jit.script(eager.module)
        if eager.flat and eager.parameters is None:
            return scripted
        return torch.jit.script(_wrapper(eager, request)(eager.module).eval())
    except Exception as error:
        raise _failed("scripted", error, request, "script") from error


def _wrapper(eager: Eager, request: Request) -> Callable[[torch.nn.Module], torch.nn.Module]:
    """A module class that takes the recipe's order and picks out the outputs which were seen.

    Code that flattens whatever comes cannot be compiled, and the compiler reads source from files.
    """
    names = [f"x{i}" for i in range(len(request.options["ports"]))]
    passed = names
    if eager.parameters is not None:
        passed = [f"{p}={name}" for p, name in zip(eager.parameters, names, strict=True)]
    returned = [f"out{path}" for path in eager.paths]
    path = request.scratch / "flat_outputs.py"
    path.write_text(
        "import torch\n\n\n"
        "class Flat(torch.nn.Module):\n"
        "    def __init__(self, model):\n"
        "        super().__init__()\n"
        "        self.model = model\n\n"
        f"    def forward(self, {', '.join(names)}):\n"
        f"        out = self.model({', '.join(passed)})\n"
        f"        return {', '.join(returned) if not eager.flat else 'out'}\n"
    )
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module.Flat  # type: ignore[no-any-return]


def export(
    eager: Eager,
    survey: Survey,
    request: Request,
    dynamic: bool,
    modes: Sequence[Mode] = (),
) -> torch.export.ExportedProgram:
    """Exports the model as an ExportedProgram, with the ports' symbols as dynamic dims.

    Raises:
        StepError: The model cannot be exported, or it fixes a size that should vary.
    """
    module = _positional(eager)
    given = example(request, survey.sizes)
    shapes = dims(request.options["ports"], dynamic)
    try:
        with torch.no_grad(), warnings.catch_warnings(), _all(modes):
            warnings.simplefilter("ignore")
            program = torch.export.export(
                module, given, dynamic_shapes=_by_parameter(module, given, shapes)
            )
    except Exception as error:
        if "Constraints violated" in str(error) or "specialized" in str(error):
            raise StepError(
                f"the model fixes a size that the recipe lets vary: {_head(error, request.project)}",
                "write the size as a number in the shape, or narrow `min` and `max`",
                "inputs",
            ) from error
        raise _failed("exported", error, request, "export") from error
    reserved.rename(program, request)
    return program


def compare(
    eager: Eager,
    captured: Callable[..., Any],
    survey: Survey,
    request: Request,
    method: str,
    baked: list[str],
) -> None:
    """Runs the capture beside the model on other samples and at other sizes.

    Args:
        eager: The model.
        captured: The capture, as it will be loaded again.
        survey: Sizes to try.
        request: The step's.
        method: `trace`, `script` or `export`.
        baked: Places that tracing warned of; with them, more samples are tried.

    Raises:
        StepError: They differ: control flow or a size was fixed by the capture.
    """
    ports = request.options["ports"]
    trials = [(survey.sizes, seed) for seed in range(1, 10 if baked else 3)]
    for symbol, other in survey.others.items():
        wider = _spread(symbol, survey.sizes, request)
        trials += [({**survey.sizes, symbol: n}, 1) for n in dict.fromkeys((other, *wider))]
    for sizes, seed in trials:
        feed = ports_of.random_feed(ports, sizes, seed)
        try:
            want = eager.run(feed)
        except StepError:
            if any(
                size not in (survey.sizes[s], survey.others.get(s)) for s, size in sizes.items()
            ):
                continue  # These sizes are guesses of ours; what the survey took is no guess.
            raise
        at = ", ".join(f"{s}={size}" for s, size in sizes.items())
        try:
            got = _run(captured, feed, request)
        except Exception as error:
            raise _unlike(
                method, f"fails where the model runs: {_head(error, request.project)}", at, baked
            ) from error
        found = difference(got, want)
        if found is not None:
            raise _unlike(method, f"gives something else than the model: {found}", at, baked)
    # torch's own modules branch on shapes only; what the user's code does is worth a word.
    own = [place for place in baked if not place.startswith("torch/")]
    if own:
        request.note(
            f"tracing fixed Python values that may depend on inputs; {len(trials)} samples agreed with "
            f"the model all the same: {'; '.join(own[:3])}"
        )


def _spread(symbol: str, sizes: Sizes, request: Request) -> list[int]:
    """Declared sizes to compare at: the least, the largest, and some between.

    Control flow such as `if x.shape[0] > 3` shows far from the captured sizes only.
    """
    ports = request.options["ports"]
    dim = ports_of.symbols(ports)[symbol]
    most = min(dim["max"], LARGEST)
    wanted = [n for n in (dim["min"], most // 4, most // 2, most) if dim["min"] <= n]
    fitting = [n for n in wanted if _fed_bytes(ports, {**sizes, symbol: n}) <= MOST_BYTES]
    if dim["max"] not in fitting:
        compared = f"up to {max(fitting)}" if fitting else "near the example only"
        request.note(
            f"`{symbol}` may be up to {dim['max']}: the capture was compared with the model at sizes "
            f"{compared}"
        )
    return fitting


def _fed_bytes(ports: list[dict[str, Any]], sizes: Sizes) -> int:
    return sum(
        math.prod(ports_of.concrete(port["shape"], sizes)) * np.dtype(port["dtype"]).itemsize
        for port in ports
    )


@contextmanager
def _all(modes: Sequence[Mode]) -> Iterator[None]:
    with ExitStack() as stack:
        for mode in modes:
            stack.enter_context(mode)
        yield


def _positional(eager: Eager) -> torch.nn.Module:
    """The model with inputs and outputs by position, in the recipe's order."""
    module = eager.takes_recipe_order()
    return module if eager.flat else Flat(module, eager.chosen).eval()


def _run(
    captured: Callable[..., Any], feed: Mapping[str, NDArray[Any]], request: Request
) -> dict[str, NDArray[Any]]:
    names = [port["name"] for port in request.options["ports"]]
    with torch.no_grad():
        found = leaves(captured(*tensors(feed, names)))
    outputs = request.options["outputs"]
    return {name: to_numpy(leaf.tensor) for name, leaf in zip(outputs, found, strict=True)}


def _unlike(method: str, what: str, at: str, baked: list[str]) -> StepError:
    where = f" at {at}" if at else ""
    if method != "trace":
        message = f"the captured graph{where} {what}"
        return StepError(message, INSTEAD[method], FIELD)
    listed = "".join(f"\n  {place}" for place in baked[:SHOWN_LINES])
    cause = f"; tracing warned of:{listed}" if baked else ""
    return StepError(
        f"control flow or a size was baked in by tracing: the traced graph{where} {what}{cause}",
        INSTEAD["trace"],
        FIELD,
    )


def dims(ports: list[dict[str, Any]], dynamic: bool) -> list[dict[int, Any]]:
    """Of each input, its dynamic axes as `torch.export` takes them."""
    varying = ports_of.symbols(ports) if dynamic else {}
    found = {
        symbol: torch.export.Dim(symbol, min=dim["min"], max=dim["max"])
        for symbol, dim in varying.items()
    }
    return [
        {axis: found[size] for axis, size in enumerate(port["shape"]) if size in found}
        for port in ports
    ]


def example(request: Request, sizes: Sizes) -> tuple[torch.Tensor, ...]:
    """Random inputs of some sizes, in the recipe's order."""
    ports = request.options["ports"]
    feed = ports_of.random_feed(ports, sizes, seed=0)
    return tensors(feed, [port["name"] for port in ports])


def _by_parameter(
    module: torch.nn.Module, example: tuple[torch.Tensor, ...], shapes: list[dict[int, Any]]
) -> dict[str, Any]:
    """Dynamic dims by the name of `forward`'s parameter; those of `*args` as a tuple."""
    signature = inspect.signature(module.forward)
    bound = signature.bind(*range(len(example))).arguments
    return {
        name: tuple(shapes[i] for i in index) if isinstance(index, tuple) else shapes[index]
        for name, index in bound.items()
    }


def _failed(verb: str, error: Exception, request: Request, method: str) -> StepError:
    place = described(error, request.project).rpartition(" (")[2].rstrip(")")
    where = f" ({place})" if place.rpartition(":")[2].isdigit() else ""
    return StepError(
        f"the model cannot be {verb}{where}: {_head(error, request.project)}",
        INSTEAD[method],
        FIELD,
    )


def _head(error: Exception, project: Path | None) -> str:
    """The first lines of an error of torch's, which may run over pages."""
    text = str(error).strip()
    if project is not None:
        text = text.replace(f"{os.path.realpath(project)}{os.sep}", "")
    lines = [x.rstrip() for x in text.splitlines() if x.strip() and not x.startswith(ADVICE)]
    return "\n".join(lines[:SHOWN_LINES]) or type(error).__name__


def _sentence(text: str) -> str:
    return text.partition(". ")[0].strip()


def _relative(filename: str, project: Path | None) -> str:
    root = os.path.realpath(project) + os.sep if project is not None else ""
    path = os.path.realpath(filename)
    if root and path.startswith(root):
        return path.removeprefix(root)
    return path.removeprefix(SITE)
