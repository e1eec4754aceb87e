"""The action graph: what a build of the selected deployables consists of.

Actions are added after the actions they depend on, so insertion order is a topological order, and
no graph library is needed for the walk.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from buildsys.backends.output import Output

RANGES = "ranges"
"""The output that says what calibration found of activations; see `kit.quantize.ranges`."""


@dataclass(frozen=True)
class FileInput:
    """A file that the user keeps. `field` is its place in the recipe."""

    path: Path
    field: tuple[str | int, ...] = ()


@dataclass(frozen=True)
class OutputRef:
    """An output of another action."""

    action: str
    output: str


Input = FileInput | OutputRef


@dataclass(frozen=True)
class Worker:
    """The function that does a step.

    Attributes:
        function: `module:function`; inside `folder`, or an importable name for a step that runs in
            the coordinator itself.
        backend: The backend's name, or `None` for a step of the coordinator.
        folder: The backend's folder.
        modules: Full names of the modules that the step starts from. They and all that they import are its
            implementation; see `engine.implementation`.
        files: Files that belong to it besides.
    """

    function: str
    backend: str | None
    folder: Path | None
    modules: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()


@dataclass
class Action:
    """A rule bound to inputs and options: one node of the graph.

    Attributes:
        id: Readable and unique in the graph: the first label or model it serves, `#`, the rule.
        rule: The rule's name.
        worker: What runs.
        environment: A toolchain's name, `host`, `requirements:<file>`, or `None` for a step in the
            coordinator.
        inputs: Input name to file or output.
        options: All else that decides the outputs; plain JSON.
        outputs: What it must write.
        user_code: Whether the model's own code runs, so that what it reads is discovered.
        origin: The place in the recipe to point at when the step fails.
        asked: Another place in the recipe, for the fields that `origin` does not have (`count`).
        slots: The places in graphs of this project that it fills; keys of history.
        labels: The deployables that need it.
        unavailable: Why this machine cannot do it, or `None`.
        resources: How much it needs of named resources (`gpu`, `macos`) while it runs.
        number: Its place in the graph's order.
        resumes: Whether an interrupted attempt at it is taken up where it was.
        timed: Whether it measures times that a bound judges: its key names the machine.
        instead: For a conversion: what the model can be had as without it.
        way: The word of `route:` for it, where there are several ways to what it makes.
    """

    id: str
    rule: str
    worker: Worker
    environment: str | None
    inputs: dict[str, Input]
    options: dict[str, Any]
    outputs: tuple[Output, ...]
    user_code: bool = False
    origin: tuple[str | int, ...] = ()
    asked: tuple[str | int, ...] = ()
    slots: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    unavailable: str | None = None
    number: int = 0
    resources: Mapping[str, int] = field(default_factory=dict)
    instead: tuple[str, ...] = ()
    resumes: bool = False
    timed: bool = False
    way: str | None = None

    @property
    def files(self) -> list[str] | None:
        """Globs over the files that the model's own code reads, where the recipe lists them."""
        found: list[str] | None = self.options.get("source", self.options).get("files")
        return found if self.user_code else None

    def upstream(self) -> list[str]:
        """The ids of the actions whose outputs it takes."""
        return [i.action for i in self.inputs.values() if isinstance(i, OutputRef)]


@dataclass(frozen=True)
class Quantized:
    """What a deployable is quantized by.

    Attributes:
        profile: The quantization profile's name, or `None`.
        chosen: The profile that it is made with, where `profile` is a search.
        scheme: The profile's scheme, or `None`.
        precision: What the scheme makes of weights and activations, in words.
        widens: Whether what runs it here widens its rounded weights, and computes in float32.
    """

    profile: str | None
    chosen: str | None
    scheme: str | None
    precision: str
    widens: bool


@dataclass(frozen=True)
class Route:
    """The way to a deployable.

    Attributes:
        rules: Names of the rules on it.
        reproducible: Whether every step on it gives equal bytes for equal inputs.
        left: The words of `route:` that the recipe names before the one taken, and that gave nothing.
    """

    rules: tuple[str, ...]
    reproducible: bool
    left: tuple[str, ...] = ()


@dataclass(frozen=True)
class Evidence:
    """What is found out of a deployable.

    Attributes:
        measurement: Its figures, or `None` where nothing runs the format here.
        unverified: Why there is no measurement.
        check: What the check of a package says, where nothing here runs the package itself.
        evaluated: What its figures leave unproven, where they are those of the project's own evaluator
            of the format; `None` where a runtime gave them, or where there are none.
        baseline: The unquantized artifact of the same format, where the graph has it.
        benchmark: How fast it is, beside that artifact; where the recipe or a bound asks for it.
    """

    measurement: OutputRef | None
    unverified: str | None
    check: OutputRef | None = None
    evaluated: str | None = None
    baseline: OutputRef | None = None
    benchmark: OutputRef | None = None


@dataclass(frozen=True)
class Limits:
    """What a deployable is held to.

    Attributes:
        acceptance: Name of the tolerance; `default` when the recipe names none.
        bounds: Its bounds, on each output and on the artifact.
        output_bounds: Those on outputs by name, which go before.
        default: Whether errors are held to what holds where a recipe says nothing of them.
        unjudged: Which of its bounds a build does not judge, and what does; or empty.
    """

    acceptance: str
    bounds: Mapping[str, float]
    output_bounds: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    default: bool = False
    unjudged: str = ""


@dataclass(frozen=True)
class Deployable:
    """An artifact that a target asked for, and what its verdict is made of.

    Attributes:
        label: For example `ios/classifier.coreml-fp16`.
        filename: Its name below `artifacts/<target>/`.
        place: Its entry in the recipe.
        options: Its format's options, all of them.
        artifact: The output that holds it.
        io: Its io contract.
        actions: Ids of all actions below it.
        quantized: What it is quantized by.
        route: The way to it.
        evidence: What is found out of it.
        limits: What it is held to.
        notices: What is known of it beforehand and users must be told.
        legacy: Why its format is legacy, and what to take instead; or empty.
        probed: Whether its operations can be looked into, to find where it goes wrong.
    """

    label: str
    target: str
    model: str
    format: str
    filename: str
    place: tuple[str | int, ...]
    options: Mapping[str, Any]
    artifact: OutputRef
    io: OutputRef
    actions: tuple[str, ...]
    quantized: Quantized
    route: Route
    evidence: Evidence
    limits: Limits
    notices: tuple[str, ...] = ()
    legacy: str = ""
    probed: bool = False


@dataclass
class ActionGraph:
    """Actions in topological order, and the deployables that were selected."""

    actions: dict[str, Action] = field(default_factory=dict)
    deployables: list[Deployable] = field(default_factory=list)
    labels: tuple[str, ...] = ()
    """Every label of the recipe, selected or not."""
    wanted: tuple[OutputRef, ...] = ()
    """Outputs whose files are asked for besides what verdicts need."""

    def below(self, ref: OutputRef | None) -> list[str]:
        """Ids of all actions that `ref` needs, in topological order."""
        return self.below_all([ref])

    def below_all(self, refs: Iterable[OutputRef | None]) -> list[str]:
        """Ids of all actions that any of `refs` needs, in topological order.

        Only these are looked at: a graph has many deployables, and this is asked for each.
        """
        found: dict[str, Action] = {}
        waiting = [ref.action for ref in refs if ref is not None]
        while waiting:
            name = waiting.pop()
            if name not in found:
                found[name] = action = self.actions[name]
                waiting += action.upstream()
        return sorted(found, key=lambda name: found[name].number)

    def components(self) -> list[ActionGraph]:
        """The parts of the graph that have no action in common, in the order of their first actions."""
        if self.wanted:
            return [self]
        above: dict[str, str] = {name: name for name in self.actions}

        def first_of(name: str) -> str:
            while above[name] != name:
                above[name] = name = above[above[name]]
            return name

        def join(names: Iterable[str]) -> None:
            found = sorted({first_of(name) for name in names}, key=self._number)
            above.update(dict.fromkeys(found, found[0]))

        for action in self.actions.values():
            join((action.id, *action.upstream()))
        for deployable in self.deployables:
            join(deployable.actions)
        parts: dict[str, ActionGraph] = {}
        for name, action in self.actions.items():
            part = parts.setdefault(first_of(name), ActionGraph(labels=self.labels))
            part.actions[name] = action
        for deployable in self.deployables:
            parts[first_of(deployable.artifact.action)].deployables.append(deployable)
        return list(parts.values())

    def _number(self, name: str) -> int:
        return self.actions[name].number
