"""Records what the original model computes, operator by operator, with module and source line."""

from __future__ import annotations

import linecache
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from numpy.typing import NDArray
from torch.nn.modules import module as modules
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ...kit.export import modules as program_modules
from ...kit.inspect import probing
from ...kit.protocol.archive import kind_of
from ...kit.protocol.request import Request
from ..files import load as load_file
from . import model, pieces
from .identity import identity
from .outputs import leaves, order, to_numpy

PRELOAD = {"trace": ("encodings.cp437", "numpy.ma", "numpy.random", "safetensors.torch")}

OURS = (os.path.dirname(torch.__file__) + os.sep, os.path.dirname(__file__) + os.sep)
"""Where frames are not the user's."""

FRAMES = 200
"""How far up a source line is looked for."""


def trace(request: Request) -> None:
    """Runs the original on a few samples and writes what it computes; see `kit.inspect.probing`.

    Inputs: as `worker:reference`, or `artifact` where the original is a file; `samples`.
    Options: `ports`, `outputs`, `source`.
    Outputs: `steps`, `tensors`.

    Raises:
        StepError: The model cannot be made or does not take the samples.
    """
    names = [port["name"] for port in request.options["ports"]]
    outputs: list[str] = request.options["outputs"]
    if "artifact" in request.inputs:
        called, root, program = _file(request)
        chosen: list[int] | None = None
    else:
        eager = model.load(request)
        called, root, program = eager.takes_recipe_order(), eager.module, None
    notes: list[str] = []

    def run(feed: Mapping[str, NDArray[Any]]) -> probing.Seen:
        nonlocal chosen
        model.seed(0)
        recorder = Recorder(root, request.project, program)
        given = model.tensors(feed, names)
        for name, tensor in zip(names, given, strict=True):
            recorder.takes(name, tensor)
        with torch.no_grad(), recorder.watching():
            returned = called(*given)
        found = leaves(returned)
        chosen = order(found, outputs)
        got = {n: to_numpy(found[index].tensor) for n, index in zip(outputs, chosen, strict=True)}
        for name, index in zip(outputs, chosen, strict=True):
            known = recorder.name_of(found[index].tensor)
            if known is not None:
                places[name] = known
        if recorder.dropped:
            notes.append(f"{recorder.dropped} tensors beyond the limit were not kept")
        return probing.Seen(recorder.steps, recorder.values, got)

    places: dict[str, str] = {}
    recording = probing.record(
        f"torch {torch.__version__}",
        {name: name for name in names},
        places,
        run,
        list(probing.runs(request)),
    )
    probing.write(request, recording)


def _file(request: Request) -> tuple[Any, Any, Any]:
    """What to call of a file, its modules, and the program where it is one."""
    model.prepare(request.threads)
    path = request.inputs["artifact"]
    kind = kind_of(path)
    loaded = load_file(path, kind)
    if kind == "torchscript":
        return loaded, loaded, None
    return Interpreted(loaded.module()), None, loaded


class Interpreted:
    """An exported program run node by node, so that each operator's node is known.

    Attributes:
        current: The node that is being run.
    """

    current: Any = None

    def __init__(self, module: Any) -> None:
        self._interpreter = _Interpreter(module)

    def __call__(self, *given: torch.Tensor) -> Any:
        """Runs the program."""
        try:
            return self._interpreter.run(*given)
        finally:
            Interpreted.current = None


class _Interpreter(torch.fx.Interpreter):  # type: ignore[misc]
    def run_node(self, node: Any) -> Any:
        Interpreted.current = node
        return super().run_node(node)


class Recorder(TorchDispatchMode):  # type: ignore[misc]
    """Notes every operator that torch dispatches, below `torch.nn` and the user's own code.

    Attributes:
        steps: What was seen.
        values: Tensors by name, copied when they came up: an in-place operator gives a new value.
        dropped: How many were not kept for want of room.

    Args:
        root: The model, for the paths of its modules; `None` where nodes tell them.
        project: The user's folder, or `None`.
        program: The exported program that is run, or `None`.
    """

    def __init__(self, root: Any, project: Path | None, program: Any = None) -> None:
        super().__init__()
        self.steps: list[probing.Step] = []
        self.values: dict[str, NDArray[Any]] = {}
        self.dropped = 0
        self._room = probing.LARGEST // probing.RUNS
        self._project = os.path.realpath(project) + os.sep if project is not None else None
        self._paths: dict[int, str] = {}
        self._stack: list[str] = []
        self._kept: list[torch.Tensor] = []  # An address may be used again once a tensor is gone.
        self._names: dict[Any, str] = {}
        self._weights: dict[Any, tuple[str, ...]] = {}
        self._hooks: list[Any] = []
        if root is not None:
            for path, part in root.named_modules():
                self._paths.setdefault(id(part), path)
        held = program.module() if program is not None else root
        for named in (held.named_parameters, held.named_buffers):
            for path, tensor in named():
                self._weights[identity(tensor)] = (path,)

    def takes(self, name: str, tensor: torch.Tensor) -> None:
        """Says what an input is called."""
        self._note(name, tensor)

    def name_of(self, tensor: torch.Tensor) -> str | None:
        """The value that a tensor is, where it was seen."""
        return self._names.get(identity(tensor))

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watches what runs within."""
        before = modules.register_module_forward_pre_hook(self._enter)
        after = modules.register_module_forward_hook(self._leave, always_call=True)
        try:
            with self:
                yield
        finally:
            before.remove()
            after.remove()

    def _enter(self, module: Any, _: Any) -> None:
        self._stack.append(self._paths.get(id(module), self._stack[-1] if self._stack else ""))

    def _leave(self, module: Any, _: Any, __: Any) -> None:
        if self._stack:
            self._stack.pop()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Does what the operator does, and notes it."""
        taken = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        inputs = [name for t in taken if (name := self.name_of(t)) is not None]
        weights = [
            weight
            for t in taken
            if self.name_of(t) is None
            for weight in self._weights.get(identity(t), ())
        ]
        result = func(*args, **(kwargs or {}))
        given = [leaf for leaf in tree_leaves(result) if isinstance(leaf, torch.Tensor)]
        if taken and not inputs:
            # Made of weights alone: it is a weight still.
            for tensor in given:
                self._kept.append(tensor)
                self._weights[identity(tensor)] = tuple(dict.fromkeys(weights))
            return result
        number = len(self.steps)
        outputs = []
        for index, tensor in enumerate(given):
            name = f"v{number}" if len(given) == 1 else f"v{number}.{index}"
            self._note(name, tensor)
            outputs.append(name)
        with torch._C._DisableTorchDispatch():
            for piece, tensor in pieces.of(func._schema.name, args, kwargs or {}, given):
                self._keep(f"v{number}:{piece}", tensor)
                outputs.append(f"v{number}:{piece}")
        module, file, line, text = self._place(weights)
        self.steps.append(
            probing.Step(
                number,
                func._schema.name,
                f"v{number}",
                tuple(dict.fromkeys(inputs)),
                tuple(outputs),
                tuple(dict.fromkeys(weights)),
                tuple(_numbers((args, kwargs))),
                module,
                file,
                line,
                text,
            )
        )
        return result

    def _note(self, name: str, tensor: torch.Tensor) -> None:
        self._kept.append(tensor)
        self._names[identity(tensor)] = name
        with torch._C._DisableTorchDispatch():
            self._keep(name, tensor)

    def _keep(self, name: str, tensor: torch.Tensor) -> None:
        self._room -= tensor.numel() * tensor.element_size()
        if self._room > 0:
            self.values[name] = to_numpy(tensor.clone())
        else:
            self.dropped += 1

    def _place(self, weights: list[str]) -> tuple[str | None, str | None, int | None, str | None]:
        node = Interpreted.current
        if node is not None:
            return _told_by(node)
        if self._project is None:
            # A TorchScript file calls its modules unseen, and its lines are those of another machine.
            return weights[0].rpartition(".")[0] if weights else None, None, None, None
        file, line, text = self._source()
        return self._stack[-1] if self._stack else "", file, line, text

    def _source(self) -> tuple[str | None, int | None, str | None]:
        """The innermost frame that is neither torch's nor ours."""
        frame: FrameType | None = sys._getframe(2)
        for _ in range(FRAMES):
            if frame is None:
                break
            name = frame.f_code.co_filename
            if not name.startswith((*OURS, "<")):
                return self._relative(name), frame.f_lineno, _line(name, frame.f_lineno)
            frame = frame.f_back
        return None, None, None

    def _relative(self, name: str) -> str:
        real = os.path.realpath(name)
        if self._project is not None and real.startswith(self._project):
            return real[len(self._project) :]
        # A library's file, wherever it is installed.
        return real.partition("site-packages" + os.sep)[2] or os.path.basename(real)


def _told_by(node: Any) -> tuple[str | None, str | None, int | None, str | None]:
    """Module and line of an exported program's node, as far as its file kept them."""
    stack = node.meta.get("nn_module_stack") or {}
    path = (node.meta.get("custom") or {}).get(program_modules.KEY)
    if path is None and stack:
        path = str(list(stack.values())[-1][0]).removeprefix("L['self'].")
    frames = [row.strip() for row in (node.meta.get("stack_trace") or "").splitlines()]
    for index in range(len(frames) - 1, -1, -1):
        row = frames[index]
        if row.startswith('File "'):
            name, _, rest = row[6:].partition('", line ')
            number = rest.partition(",")[0]
            text = frames[index + 1] if index + 1 < len(frames) else None
            return path, os.path.basename(name), int(number), text
    return path, None, None, None


def _numbers(given: Any) -> Iterator[float]:
    for leaf in tree_leaves(given):
        if isinstance(leaf, int | float) and not isinstance(leaf, bool):
            yield float(leaf)


def _line(name: str, number: int) -> str | None:
    return linecache.getline(name, number).strip() or None
