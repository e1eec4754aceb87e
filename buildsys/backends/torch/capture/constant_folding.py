"""Computes at capture what a model makes of constants alone by operators that converters lack.

DINOv2 and YOLOS resize a table of positions by a bicubic filter: no input decides the result, and several
converters cannot compute it. A trace has such results as constants from the start, since a mode computes them
while the model runs. An exported program has them put in place of its nodes.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch.export.graph_signature import InputKind, InputSpec, TensorArgument
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map

from ..original.derived import written_by
from .costly import RESIZING, costly

ROOM = 2**20
"""Bytes that may be folded into any model."""
SHARE = 10
"""Larger models take up to their weights' bytes by this: a scalar spread over a picture stays a scalar."""
UNSTEADY = (
    "rand",
    "normal",
    "bernoulli",
    "multinomial",
    "poisson",
    "dropout",
    "empty",
    "exponential",
)
"""Parts of the names of functions whose results depend on more than their arguments."""
NAME = "folded_{}"


class Spoiled(RuntimeError):
    """What was folded is written to: as a constant it would keep that until the next call."""


class Budget:
    """How many bytes may still be folded into a model.

    Args:
        weights: The model's.
    """

    def __init__(self, weights: Iterable[torch.Tensor]) -> None:
        self.left = max(ROOM, sum(_bytes(each) for each in weights) // SHARE)
        self.refused: list[str] = []

    def takes(self, name: str, tensors: Sequence[torch.Tensor]) -> bool:
        """Whether results are real and have room; they are counted then."""
        if not tensors or any(each.is_complex() for each in tensors):
            return False
        size = sum(_bytes(each) for each in tensors)
        if size > self.left:
            self.refused.append(f"`{name}` ({size / 2**20:.1f} MiB)")
            return False
        self.left -= size
        return True


class Folded(TorchFunctionMode):  # type: ignore[misc]  # On the host there is no torch to check by.
    """While it is entered, costly functions of constants run at once, outside of the trace.

    Args:
        weights: The model's parameters and buffers.

    Attributes:
        found: The functions that were folded, in their order.
    """

    def __init__(self, weights: Iterable[torch.Tensor]) -> None:
        super().__init__()
        given = list(weights)
        self.budget = Budget(given)
        self.found: list[str] = []
        # By identity; kept, so that no other tensor gets the same one.
        self._known: dict[int, torch.Tensor] = {id(each): each for each in given}
        self._sizes: dict[int, Any] = {}  # In a trace they are tensors.
        self._sized: set[int] = set()  # Constants that an input's size had a part in.
        self._unfolded: set[int] = set()  # Costly constants that are no real numbers.
        self._written: set[int] = set()
        self._folded: set[int] = set()

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        """Runs one function.

        Raises:
            Spoiled: It writes into what was folded.
        """
        named = kwargs or {}
        name = getattr(func, "__name__", "")
        given = [each for each in tree_leaves((args, named)) if isinstance(each, torch.Tensor)]
        loose = [each for each in given if not self._holds(each)]
        steady = all(id(each) in self._sizes for each in loose)
        steady = steady and not any(part in name for part in UNSTEADY)
        sized = bool(loose) or any(id(each) in self._sized for each in given)
        writes = name == "__setitem__" or "out" in named or _in_place(name)
        late = any(id(each) in self._unfolded for each in given)
        worth = costly(name) or late
        if steady and worth and not writes and (name in RESIZING or not sized):
            result = self._untraced(name, func, args, named)
            if result is not None:
                self.found.append(name)
                self._keep(_tensors(result))
                self._folded.update(map(_storage, _tensors(result)))
                return result
        targets = set(map(_storage, given[:1] + _tensors(named.get("out")))) if writes else set()
        if targets & self._folded:
            raise Spoiled(f"`{name}` writes into the result")
        result = func(*args, **named)
        made = _tensors(result)
        size = isinstance(result, torch.Size) or (
            bool(given) and all(id(each) in self._sizes for each in given)
        )
        if size:
            self._sizes.update((id(each), each) for each in made)
        if not steady:
            self._written |= targets
        elif not size or not sized:
            self._keep(made)
            self._sized.update(id(each) for each in made if sized)
            self._unfolded.update(id(each) for each in made if worth)
        return result

    def _holds(self, tensor: torch.Tensor) -> bool:
        return id(tensor) in self._known and _storage(tensor) not in self._written

    def _keep(self, tensors: Iterable[torch.Tensor]) -> None:
        self._known.update((id(each), each) for each in tensors)

    def _untraced(self, name: str, func: Any, args: Any, named: Mapping[str, Any]) -> Any:
        """What a function gives; `None` where it is to be traced after all."""
        state = torch._C._get_tracing_state()
        torch._C._set_tracing_state(None)
        try:
            given = tree_map(lambda each: int(each) if id(each) in self._sizes else each, args)
            more = tree_map(
                lambda each: int(each) if id(each) in self._sizes else each, dict(named)
            )
            with torch._C.DisableTorchFunction(), torch.no_grad():
                result = tree_map(_own, func(*given, **more))
                return result if self.budget.takes(name, _tensors(result)) else None
        finally:
            torch._C._set_tracing_state(state)


def may_fold(traced: Any) -> bool:
    """Whether a trace has a costly operator that takes nothing of the inputs but their sizes."""
    graph = traced.inlined_graph
    fed = {each.debugName() for each in list(graph.inputs())[1:]}
    for node in graph.nodes():
        name = node.kind().rpartition("::")[2]
        if name == "size":
            continue
        if any(each.debugName() in fed for each in node.inputs()):
            fed.update(each.debugName() for each in node.outputs())
        elif costly(name):
            return True
    return False


def fold(program: torch.export.ExportedProgram, budget: Budget) -> list[str]:
    """Puts constants in place of costly operators on constants, within a program.

    Weights that nothing else takes leave the program with them.

    Args:
        program: Is changed.
        budget: What has room.

    Returns:
        The operators that were folded, in their order.
    """
    graph = program.graph_module.graph
    if not any(costly(_name(node)) for node in graph.nodes):
        return []
    idle = {node for node in graph.nodes if node.op == "placeholder" and not node.users}
    found = []
    for number, (node, value) in enumerate(_results(program, budget)):
        found.append(_name(node))
        placed = _placed(program, NAME.format(number), value)
        node.replace_all_uses_with(placed)
        program.graph_signature.replace_all_uses(node.name, placed.name)
    if found:
        graph.eliminate_dead_code()
        _drop_idle(program, idle)
        program.graph_module.recompile()
        program.validate()
    return found


def _results(
    program: torch.export.ExportedProgram, budget: Budget
) -> list[tuple[Any, torch.Tensor]]:
    """The nodes to replace with their values; runs all that depends on constants, in order."""
    signature = program.graph_signature
    changed = set(signature.buffers_to_mutate.values())
    specs = {spec.arg.name: spec for spec in signature.input_specs}
    known: dict[Any, Any] = {}
    unfolded: set[Any] = set()
    written: set[int] = set()
    weights: set[int] = set()
    spoiled: set[int] = set()  # Memory that operators write into, at any time.
    found: list[tuple[Any, torch.Tensor]] = []
    for node in program.graph_module.graph.nodes:
        if node.op == "placeholder":
            value = _held(program, specs[node.name])
            if value is not None and specs[node.name].target not in changed:
                known[node] = value
                weights.add(_storage(value))
            continue
        if node.op != "call_function":
            continue
        args = torch.fx.node.map_arg(node.args, known.get)
        named = torch.fx.node.map_arg(node.kwargs, known.get)
        read = {_storage(each) for each in _tensors((args, named))}
        mutable = isinstance(node.target, torch._ops.OpOverload) and node.target._schema.is_mutable
        targets = (
            {_storage(each) for each in written_by(node.target, args, named)} if mutable else set()
        )
        spoiled |= targets
        fixed = all(each in known for each in node.all_input_nodes) and not read & written
        # The weights themselves stay as they are.
        if not fixed or not _steady(node) or targets & weights:
            written |= targets
            continue
        with torch.no_grad():
            value = node.target(*args, **named)
        known[node] = value
        late = any(each in unfolded for each in node.all_input_nodes)
        if not mutable and (costly(_name(node)) or late):
            if isinstance(value, torch.Tensor) and budget.takes(_name(node), [value]):
                found.append((node, value))
            else:
                unfolded.add(node)
    return [(node, _own(value)) for node, value in found if _storage(value) not in spoiled]


def _steady(node: Any) -> bool:
    if node.target is operator.getitem:
        return True
    if not isinstance(node.target, torch._ops.OpOverload):
        return False
    name = _name(node)
    return torch.Tag.nondeterministic_seeded not in node.target.tags and not any(
        part in name for part in UNSTEADY
    )


def _name(node: Any) -> str:
    target = node.target
    return target.overloadpacket.__name__ if isinstance(target, torch._ops.OpOverload) else ""


def _held(program: torch.export.ExportedProgram, spec: Any) -> torch.Tensor | None:
    if spec.kind not in (InputKind.PARAMETER, InputKind.BUFFER, InputKind.CONSTANT_TENSOR):
        return None
    held = program.state_dict.get(spec.target)
    held = program.constants.get(spec.target) if held is None else held
    return held.detach() if isinstance(held, torch.Tensor) else None


def _placed(program: torch.export.ExportedProgram, name: str, value: torch.Tensor) -> Any:
    """A new constant of a program."""
    graph, specs = program.graph_module.graph, program.graph_signature.input_specs
    places = [node for node in graph.nodes if node.op == "placeholder"]
    before = [spec.kind == InputKind.USER_INPUT for spec in specs].index(True)
    with graph.inserting_before(places[before]):
        placed = graph.placeholder(f"c_{name}")
    mode = places[before].meta["val"].fake_mode
    placed.meta["val"] = mode.from_tensor(value, static_shapes=True)
    argument = TensorArgument(name=placed.name)
    specs.insert(before, InputSpec(InputKind.CONSTANT_TENSOR, argument, target=name))
    program.constants[name] = value
    return placed


def _drop_idle(program: torch.export.ExportedProgram, idle: set[Any]) -> None:
    """Takes out weights that were used, and are no longer."""
    specs = program.graph_signature.input_specs
    for node in list(program.graph_module.graph.nodes):
        if node.op != "placeholder" or node.users or node in idle:
            continue
        spec = next(each for each in specs if each.arg.name == node.name)
        if spec.kind in (InputKind.PARAMETER, InputKind.BUFFER, InputKind.CONSTANT_TENSOR):
            specs.remove(spec)
            program.graph_module.graph.erase_node(node)
            program.state_dict.pop(spec.target, None)
            program.constants.pop(spec.target, None)


def _in_place(name: str) -> bool:
    if name.startswith("__"):
        return name.startswith("__i") and name not in ("__index__", "__int__", "__invert__")
    return name.endswith("_")


def _tensors(value: Any) -> list[torch.Tensor]:
    return [each for each in tree_leaves(value) if isinstance(each, torch.Tensor)]


def _own(value: Any) -> Any:
    """A tensor in memory of its own, without what is beside it there."""
    if not isinstance(value, torch.Tensor):
        return value
    return value.detach().clone(memory_format=torch.contiguous_format)


def _storage(tensor: torch.Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


def _bytes(tensor: torch.Tensor) -> int:
    return int(tensor.numel() * tensor.element_size())
