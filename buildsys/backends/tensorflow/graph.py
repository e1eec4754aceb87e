"""TensorFlow graphs in a form that depends on nothing but what they compute.

TensorFlow numbers the functions and nodes that it traces with counters of the process, lists them in
the order of hash tables, and notes where they came from. Here a graph is rewritten from its
outputs upwards: nodes in the order in which they are needed, named by operator and number, and
functions likewise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

PREFIX = "model/"
"""Of names of nodes: no input or output can have such a one."""
INT32 = 3
"""TensorFlow's number of this type."""
KEPT = frozenset({"_lower_using_switch_merge"})
"""Private attributes that change how a graph is run; the others say where it came from."""


@dataclass(frozen=True)
class Source:
    """An input of the model: its name, and its node in the graph as it was."""

    name: str
    node: str


@dataclass(frozen=True)
class Target:
    """An output of the model.

    Attributes:
        name: Its name.
        tensor: Its tensor in the graph as it was.
        dtype: Its type, by TensorFlow's number.
        order: How its axes are permuted on the way out, or `None`.
    """

    name: str
    tensor: str
    dtype: int
    order: tuple[int, ...] | None = None


def canonical(graph: Any, sources: Iterable[Source], targets: Iterable[Target]) -> Any:
    """A copy of the graph from inputs to outputs, which are nodes of these names.

    Args:
        graph: A frozen `GraphDef`.
        sources: The inputs, in order.
        targets: The outputs, in order.
    """
    sources, targets = list(sources), list(targets)
    nodes = {node.name: node for node in graph.node}
    made = type(graph)()
    functions = _Functions({f.signature.name: f for f in graph.library.function}, made.library)
    made.versions.CopyFrom(graph.versions)
    names: dict[str, str] = {}
    for source in sources:
        names[source.node] = source.name
        _node(made.node.add(), nodes[source.node], source.name, functions, lambda name: name)
    resolve = _Resolver(nodes)
    roots = [resolve(target.tensor).partition(":")[0] for target in targets]
    order = _needed(roots, nodes, lambda node: [resolve(i) for i in node.input], _plain)
    for node in (n for n in order if n.name not in names):
        names[node.name] = f"{PREFIX}{node.op}_{len(made.node)}"
        add = made.node.add()
        _node(add, node, names[node.name], functions, lambda i: _renamed(resolve(i), names))
    for target in targets:
        _output(made, target, _renamed(resolve(target.tensor), names))
    return made


class _Resolver:
    """Passes by what only hands a tensor on."""

    def __init__(self, nodes: Mapping[str, Any]) -> None:
        self._nodes = nodes

    def __call__(self, tensor: str) -> str:
        while not tensor.startswith("^"):
            node = self._nodes[tensor.partition(":")[0]]
            if node.op != "Identity" or len(node.input) != 1:
                break
            tensor = node.input[0]
        return tensor.removesuffix(":0")


def _plain(tensor: str) -> str:
    return tensor.removeprefix("^").partition(":")[0]


def _renamed(tensor: str, names: Mapping[str, str]) -> str:
    control = "^" if tensor.startswith("^") else ""
    name, colon, rest = tensor.removeprefix("^").partition(":")
    return f"{control}{names[name]}{colon}{rest}"


def _needed(
    roots: Iterable[str],
    nodes: Mapping[str, Any],
    inputs: Callable[[Any], Iterable[str]],
    plain: Callable[[str], str],
) -> Iterator[Any]:
    """The nodes that roots need, each after what it needs, in the order of inputs."""
    done: set[str] = set()
    stack: list[tuple[str, Iterator[str]]] = []
    for root in roots:
        stack.append(("", iter((root,))))
        while stack:
            name, rest = stack[-1]
            above = next((plain(i) for i in rest if plain(i) in nodes), None)
            if above is None:
                stack.pop()
                if name and name not in done:
                    done.add(name)
                    yield nodes[name]
            elif above not in done:
                stack.append((above, iter(list(inputs(nodes[above])))))


def _node(
    made: Any, node: Any, name: str, functions: _Functions, renamed: Callable[[str], str]
) -> None:
    """Fills a new node."""
    made.name, made.op = name, node.op
    made.input.extend(renamed(tensor) for tensor in node.input)
    for key in sorted(node.attr):
        if key.startswith("_") and key not in KEPT:
            continue
        made.attr[key].CopyFrom(node.attr[key])
        value = made.attr[key]
        for called in (value.func, *value.list.func) if _calls(value) else ():
            called.name = functions.name(called.name)
            called.attr.clear()


def _calls(value: Any) -> bool:
    kind = value.WhichOneof("value")
    return kind == "func" or (kind == "list" and bool(value.list.func))


def _output(graph: Any, target: Target, tensor: str) -> None:
    """Adds the node of an output."""
    if target.order is not None:
        axes = graph.node.add(name=f"{PREFIX}{target.name}/order", op="Const")
        axes.attr["dtype"].type = INT32
        value = axes.attr["value"].tensor
        value.dtype = INT32
        value.tensor_shape.dim.add(size=len(target.order))
        value.int_val.extend(target.order)
        moved = graph.node.add(
            name=f"{PREFIX}{target.name}/transpose", op="Transpose", input=[tensor, axes.name]
        )
        moved.attr["T"].type = target.dtype
        moved.attr["Tperm"].type = INT32
        tensor = moved.name
    made = graph.node.add(name=target.name, op="Identity", input=[tensor])
    made.attr["T"].type = target.dtype


@dataclass
class _Functions:
    """The functions that a graph calls (a loop's condition and body), renamed as they are found.

    Attributes:
        known: The functions as they were, by name.
        library: Gets those that are needed, in the order in which they are found.
    """

    known: Mapping[str, Any]
    library: Any
    _names: dict[str, str] = field(default_factory=dict)

    def name(self, name: str) -> str:
        """The new name of a function, which is written again when it is first asked for."""
        if name not in self._names:
            self._names[name] = f"function_{len(self._names)}"
            self._write(self.known[name], self._names[name], self.library.function.add())
        return self._names[name]

    def _write(self, old: Any, name: str, made: Any) -> None:
        names: dict[str, str] = {}
        made.signature.name = name
        made.signature.is_stateful = old.signature.is_stateful
        for index, argument in enumerate(old.signature.input_arg):
            names[argument.name] = f"argument_{index}"
            made.signature.input_arg.add(name=names[argument.name], type=argument.type)
        nodes = {node.name: node for node in old.node_def}
        kept = [old.control_ret[key] for key in old.signature.control_output]
        roots = [*(_plain(old.ret[o.name]) for o in old.signature.output_arg), *kept]
        order = _needed(roots, nodes, lambda node: node.input, _plain)
        for number, node in enumerate(order):
            names[node.name] = f"{node.op}_{number}"
            add = made.node_def.add()
            _node(add, node, names[node.name], self, lambda i: _renamed(i, names))
        for index, output in enumerate(old.signature.output_arg):
            made.signature.output_arg.add(name=f"output_{index}", type=output.type)
            made.ret[f"output_{index}"] = _renamed(old.ret[output.name], names)
        for index, node_name in enumerate(kept):
            made.signature.control_output.append(f"control_{index}")
            made.control_ret[f"control_{index}"] = names[node_name]
