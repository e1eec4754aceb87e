"""The actions that run an artifact and the original model, and turn their outputs into figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from buildsys.backends import base
from buildsys.planner.builder import GraphBuilder, host_worker, kit_worker, rule_worker
from buildsys.planner.conversion.routes import cheapest
from buildsys.planner.conversion.steps import ARTIFACT, IO, Artifact, Goal, follow
from buildsys.planner.graph import Input, OutputRef
from buildsys.planner.source import ModelSource
from buildsys.planner.verification import data
from buildsys.recipe import Recipe
from buildsys.recipe.schema.quantization import FLOAT_SCHEMES

LATENCY = {"warmup": 5, "runs": 50}
COST = ("latency_ms", "peak_rss_bytes")
"""What is measured anew with each run, and never the same."""
SIZES = base.Output("sizes", "sizes.npz")
EXTREMES = base.Output("extremes", "extremes.npz")
EDGES = base.Output("edges", "edges.npz")
EDGE_OUTPUTS = base.Output("edge_outputs", "edge_outputs.npz")
WEIGHTS = (base.Output("weights", "weights.npz"), base.Output("names", "names.json"))
HELD = base.Output("held", "held.npz")
TOLD = base.Output("told", "told.json")
UNROUNDED = (
    base.Output("unrounded", "unrounded.npz"),
    base.Output("unrounded_edges", "unrounded_edges.npz"),
)
PLAIN = base.Output("plain", "plain.npz")
ROUNDED_WEIGHTS = "float16"
"""The scheme of artifacts that may be the model with rounded weights, and nothing but that."""
RunsOn = tuple[dict[str, Input], tuple[base.Output, ...]]
"""Inputs and outputs of a step that runs something."""


@dataclass(frozen=True)
class Runner:
    """What runs artifacts of a format on this machine.

    Attributes:
        runtime: The module, and where it runs.
        evaluates: Whether it is the project's own evaluator, not a runtime that artifacts ship to.
    """

    runtime: base.Runtime
    evaluates: bool

    @property
    def verb(self) -> str:
        """The last word of the step's name."""
        return "evaluate" if self.evaluates else "run"


@dataclass(frozen=True)
class Reference:
    """What artifacts are compared with.

    Attributes:
        samples: The inputs.
        outputs: The original's outputs for them.
        evaluation: The evaluation's data, or `None` without an evaluation.
        evaluated: The original's outputs for that; of a model with transforms, those of what it was
            before them: what they cost counts.
        transformed: The outputs for that of a model with transforms, once they are done.
        sizes: What the original was fed at the smallest and the largest sizes, or `None` where no
            size varies.
        extremes: Its outputs for that.
        edges: What the original was fed at the edges (see `kit.run.edges`).
        edge_outputs: Its outputs for that.
    """

    samples: OutputRef
    outputs: OutputRef
    edges: OutputRef
    edge_outputs: OutputRef
    evaluation: OutputRef | None
    evaluated: OutputRef | None
    sizes: OutputRef | None = None
    extremes: OutputRef | None = None
    transformed: OutputRef | None = None


def runner(builder: GraphBuilder, declared: base.Format) -> Runner | None:
    """What runs a format here: its runtime where this machine has it, its evaluator otherwise."""
    for runtime, evaluates in ((declared.runtime, False), (declared.evaluator, True)):
        if runtime is not None and not builder.cannot_run(runtime):
            return Runner(runtime, evaluates)
    return None


def measure(
    builder: GraphBuilder,
    recipe: Recipe,
    source: ModelSource,
    format_name: str,
    made: Artifact,
    label: str,
    options: Mapping[str, Any],
    scheme: str | None = None,
) -> OutputRef | None:
    """Adds what measures an artifact; gives its figures, or `None` where there can be none.

    For rounded weights, also measures the graph's error separately: against the original with the same
    rounded weights.

    There are none where nothing runs the format, and none of what computes no outputs. They say what the
    model's own precision costs it whatever the bounds are: an edited bound must measure nothing.
    """
    declared = builder.catalog.formats[format_name]
    by = runner(builder, declared)
    if by is None or not declared.numeric:
        return None
    reference = reference_of(builder, recipe, source)
    keeps = declared.keeps_sizes(options)
    sizes = reference.sizes if keeps else None
    inputs_outputs = _runs_on(reference.samples, reference.evaluation, sizes, reference.edges)
    isolates = _isolates(declared, by, source, scheme)
    if isolates and by.runtime.unrounded:
        inputs_outputs = inputs_outputs[0], (*inputs_outputs[1], *UNROUNDED)
    fast = by.runtime.fast_kernels if scheme is None else ""
    if fast:
        inputs_outputs = inputs_outputs[0], (*inputs_outputs[1], PLAIN)
    given: dict[str, Input] = {ARTIFACT: made.artifact, IO: made.io}
    run = _run(builder, source, format_name, by, given, inputs_outputs, label, keeps)
    inputs: dict[str, Input] = {
        "got": OutputRef(run, "samples"),
        "reference": reference.outputs,
        "run": OutputRef(run, "run"),
        "got_edges": OutputRef(run, EDGE_OUTPUTS.name),
        "reference_edges": reference.edge_outputs,
    }
    inputs["floor"] = floor_of(builder, recipe, source, reference)
    if fast:
        inputs[PLAIN.name] = OutputRef(run, PLAIN.name)
    if sizes is not None and reference.extremes is not None:
        inputs["got_extremes"] = OutputRef(run, "extremes")
        inputs["reference_extremes"] = reference.extremes
    metric: str | None = None
    if reference.evaluation is not None and reference.evaluated is not None:
        inputs["got_evaluation"] = OutputRef(run, "evaluation")
        inputs["reference_evaluation"] = reference.evaluated
        inputs["evaluation"] = reference.evaluation
        if reference.transformed is not None:
            inputs["transformed_evaluation"] = reference.transformed
        metric = source.metric
        if source.metric_function is not None:
            inputs["metric"] = data.metric(builder, source, inputs, label)
    floats = None if scheme in FLOAT_SCHEMES else made.quantized
    weights = _weights(builder, recipe, source, format_name, made, floats, label, held=isolates)
    if weights is not None:
        inputs["weights"] = weights
        if isolates:
            inputs |= _graph(builder, recipe, source, reference, weights, label)
            unrounded = by.runtime.unrounded
            inputs["graph_got"] = OutputRef(run, "unrounded" if unrounded else "samples")
            name = "unrounded_edges" if unrounded else EDGE_OUTPUTS.name
            inputs["graph_got_edges"] = OutputRef(run, name)
    action = builder.add(
        "verify.measure",
        host_worker("buildsys.verify.outputs.measurement:measure"),
        environment=None,
        inputs=inputs,
        options={
            "outputs": source.outputs,
            "metric": metric,
            **({"unrounded": True} if isolates and by.runtime.unrounded else {}),
            **({"fast_kernels": fast} if fast else {}),
        },
        outputs=(base.Output("measurement", "measurement.json", measured=COST),),
        origin=("models", source.name, "samples"),
        slot=label,
    )
    return OutputRef(action, "measurement")


def _weights(
    builder: GraphBuilder,
    recipe: Recipe,
    source: ModelSource,
    format_name: str,
    made: Artifact,
    floats: Artifact | None,
    label: str,
    *,
    held: bool,
) -> OutputRef | None:
    """Adds the comparison of an artifact's weights with the model's; `None` where none are read.

    Those of integers are compared with the artifact that they were quantized from as well: what a
    converter folded into them is in both.
    """
    if builder.catalog.formats[format_name].weights is None:
        return None
    stored = _stored(builder, source, format_name, {ARTIFACT: made.artifact, IO: made.io}, label)
    read = {"stored": stored, "original": _original_weights(builder, recipe, source)}
    if floats is not None:
        taken: dict[str, Input] = {ARTIFACT: floats.artifact, IO: floats.io}
        read["floats"] = _stored(builder, source, format_name, taken, source.name)
    inputs: dict[str, Input] = {}
    for name, step in read.items():
        inputs |= {name: OutputRef(step, "weights"), f"{name}_names": OutputRef(step, "names")}
    action = builder.add(
        "verify.weights",
        host_worker("buildsys.verify.weights.comparison:compare_weights"),
        environment=None,
        inputs=inputs,
        options={},
        outputs=(base.Output("weights", "weights.json"), *((HELD,) if held else ())),
        slot=label,
    )
    return OutputRef(action, "weights")


def _isolates(declared: base.Format, by: Runner, source: ModelSource, scheme: str | None) -> bool:
    """Whether an artifact's graph can be told from its rounded weights."""
    if scheme != ROUNDED_WEIGHTS or declared.weights is None:
        return False
    return widens(declared, scheme) or by.runtime.unrounded


def widens(declared: base.Format, scheme: str | None) -> bool:
    """Whether a format's artifacts of a scheme are computed with in float32."""
    return any(each.widens for each in declared.schemes if each.name == scheme)


def _graph(
    builder: GraphBuilder,
    recipe: Recipe,
    source: ModelSource,
    reference: Reference,
    weights: OutputRef,
    label: str,
) -> dict[str, Input]:
    """Adds the run of the original with an artifact's weights; gives what it gave."""
    inputs, environment = _original(builder, recipe, source)
    backend, declared = builder.catalog.source(source.kind)
    action = builder.add(
        f"{declared.name}.rounded",
        rule_worker(backend, function=declared.rounded),
        environment=environment,
        inputs={
            **inputs,
            "samples": reference.samples,
            EDGES.name: reference.edges,
            HELD.name: OutputRef(weights.action, HELD.name),
        },
        options={"ports": source.ports, "outputs": source.outputs, "source": source.declaration},
        outputs=(base.Output("samples", "samples.npz"), EDGE_OUTPUTS, TOLD),
        user_code=declared.code,
        origin=source.place,
        slot=label,
    )
    return {
        "graph_reference": OutputRef(action, "samples"),
        "graph_reference_edges": OutputRef(action, EDGE_OUTPUTS.name),
        "graph_told": OutputRef(action, TOLD.name),
    }


def _stored(
    builder: GraphBuilder,
    source: ModelSource,
    format_name: str,
    inputs: Mapping[str, Input],
    slot: str,
) -> str:
    """Adds the step that reads the weights of `artifact`, whose contract is `io`."""
    reader = builder.catalog.formats[format_name].weights
    if reader is None:
        raise ValueError(f"nothing reads the weights of {format_name}")
    backend = builder.catalog.backend_of(format_name)
    module = f"{backend.name}.{reader.module}"
    return builder.add(
        f"{format_name}.weights",
        kit_worker(backend, "inspect.stored_weights:read_weights", module),
        environment=reader.toolchain,
        inputs=inputs,
        options={"reader_module": module},
        outputs=WEIGHTS,
        origin=source.place,
        slot=slot,
    )


def _original_weights(builder: GraphBuilder, recipe: Recipe, source: ModelSource) -> str:
    """Adds the step that reads the model's own weights, once for all of its artifacts."""
    backend, declared = builder.catalog.source(source.kind)
    if declared.weights is None:
        kind, original = file_of(builder, recipe, source)
        given = _as_given(builder, source, kind, original)
        return _stored(builder, source, kind, given, source.name)
    return builder.add(
        f"{declared.name}.weights",
        rule_worker(backend, function=declared.weights),
        environment=source.environment if declared.code else declared.toolchain,
        inputs=dict(source.files),
        options={"ports": source.ports, "outputs": source.outputs, "source": source.declaration},
        outputs=WEIGHTS,
        user_code=declared.code,
        origin=source.place,
        slot=source.name,
    )


def check(
    builder: GraphBuilder, source: ModelSource, format_name: str, made: Artifact, label: str
) -> OutputRef | None:
    """Adds the check of a package around another artifact; `None` where the format has none."""
    declared = builder.catalog.formats[format_name]
    if declared.check is None or made.taken is None:
        return None
    inputs: dict[str, Input] = {
        ARTIFACT: made.artifact,
        IO: made.io,
        "contained": made.taken.artifact,
    }
    action = builder.add(
        f"{format_name}.check",
        rule_worker(builder.catalog.backend_of(format_name), function=declared.check.worker),
        environment=declared.check.toolchain,
        inputs=inputs,
        options={"ports": source.ports},
        outputs=(base.Output("check", "check.json"),),
        slot=label,
    )
    return OutputRef(action, "check")


def check_original(builder: GraphBuilder, recipe: Recipe, source: ModelSource) -> OutputRef:
    """Adds the check that the original runs, gives numbers, and answers to its inputs.

    It stands in for a measurement where nothing runs the artifact: what a dead or a broken model is
    converted to must not go out as merely unverified.
    """
    reference = reference_of(builder, recipe, source)
    action = builder.add(
        "verify.original",
        host_worker("buildsys.verify.outputs.measurement:check_original"),
        environment=None,
        inputs={"reference": reference.outputs},
        options={"outputs": source.outputs},
        outputs=(base.Output("original", "original.json"),),
        origin=("models", source.name, "samples"),
        slot=source.name,
    )
    return OutputRef(action, "original")


def reference_of(builder: GraphBuilder, recipe: Recipe, source: ModelSource) -> Reference:
    """Runs the original itself, not its capture: an error of capturing would be on both sides."""
    samples, evaluation = data.samples(builder, recipe, source)
    inputs, outputs = _runs_on(samples, evaluation)
    varies = bool(base.varying(source.ports))
    if varies:
        outputs = (*outputs, SIZES, EXTREMES)
    outputs = (*outputs, EDGES)
    backend, declared = builder.catalog.source(source.kind)
    if declared.reference is not None:
        action = builder.add(
            f"{declared.name}.reference",
            rule_worker(backend, function=declared.reference),
            environment=source.environment,
            inputs=source.files | inputs,
            options={
                "ports": source.ports,
                "outputs": source.outputs,
                "source": source.declaration,
                "latency": LATENCY,
            },
            outputs=outputs,
            user_code=declared.code,
            origin=source.place,
            slot=source.name,
        )
    else:
        # The original is the file itself, in its own runtime.
        kind, original = file_of(builder, recipe, source)
        its_format = builder.catalog.formats[kind]
        by = runner(builder, its_format)
        if by is None:
            raise ValueError(f"nothing runs {kind}")
        if its_format.original is not None:
            by = Runner(its_format.original, evaluates=False)
        given = _as_given(builder, source, kind, original)
        action = _run(builder, source, kind, by, given, (inputs, outputs), source.name, True)
    evaluated = OutputRef(action, "evaluation") if evaluation is not None else None
    transformed = None
    if evaluated is not None and source.original is not None:
        before = reference_of(builder, recipe, source.original)
        transformed, evaluated = evaluated, before.evaluated
    return Reference(
        samples,
        OutputRef(action, "samples"),
        OutputRef(action, EDGES.name),
        OutputRef(action, EDGE_OUTPUTS.name),
        evaluation,
        evaluated,
        OutputRef(action, SIZES.name) if varies else None,
        OutputRef(action, EXTREMES.name) if varies else None,
        transformed,
    )


def floor_of(
    builder: GraphBuilder, recipe: Recipe, source: ModelSource, reference: Reference
) -> OutputRef:
    """Adds what finds out what the model's own precision costs it."""
    inputs, environment = _original(builder, recipe, source)
    backend, declared = builder.catalog.source(source.kind)
    action = builder.add(
        f"{declared.name}.floor",
        rule_worker(backend, function=declared.floor),
        environment=environment,
        inputs={**inputs, "samples": reference.samples},
        options={"ports": source.ports, "outputs": source.outputs, "source": source.declaration},
        outputs=(base.Output("floor", "floor.json"),),
        user_code=declared.code,
        origin=source.place,
        slot=source.name,
    )
    return OutputRef(action, "floor")


def _original(
    builder: GraphBuilder, recipe: Recipe, source: ModelSource
) -> tuple[Mapping[str, Input], str | None]:
    """What the original is made of, and where it is run."""
    if builder.catalog.source(source.kind)[1].code:
        return source.files, source.environment
    kind, original = file_of(builder, recipe, source)
    by = runner(builder, builder.catalog.formats[kind])
    if by is None:
        raise ValueError(f"nothing runs {kind}")
    return _as_given(builder, source, kind, original), by.runtime.toolchain


def _as_given(
    builder: GraphBuilder, source: ModelSource, kind: str, original: Artifact
) -> dict[str, Input]:
    """The original's own file where something runs it: what was made of that is no witness for itself."""
    own = builder.catalog.formats[kind].original is not None
    return {ARTIFACT: source.files["source"] if own else original.artifact, IO: original.io}


def file_of(builder: GraphBuilder, recipe: Recipe, source: ModelSource) -> tuple[str, Artifact]:
    """The format of an original that is a file, and the file as it is run."""
    kind = source.kind
    steps = cheapest(builder.catalog, source.state, source.method, (kind, None))
    goal = Goal(kind, builder.defaults(kind), source.name, source.place)
    return kind, follow(builder, recipe, source, steps, goal)


def _runs_on(
    samples: OutputRef,
    evaluation: OutputRef | None,
    sizes: OutputRef | None = None,
    edges: OutputRef | None = None,
) -> RunsOn:
    """Inputs and outputs of every step that runs something on the samples."""
    inputs: dict[str, Input] = {"samples": samples}
    outputs = [
        base.Output("samples", "samples.npz"),
        base.Output("run", "run.json", measured=COST),
        EDGE_OUTPUTS,
    ]
    if edges is not None:
        inputs[EDGES.name] = edges
    if evaluation is not None:
        inputs["evaluation"] = evaluation
        outputs.append(base.Output("evaluation", "evaluation.npz"))
    if sizes is not None:
        inputs[SIZES.name] = sizes
        outputs.append(EXTREMES)
    return inputs, tuple(outputs)


def _run(
    builder: GraphBuilder,
    source: ModelSource,
    format_name: str,
    by: Runner,
    given: Mapping[str, Input],
    runs_on: RunsOn,
    slot: str,
    dynamic: bool,
) -> str:
    """Adds the action that runs an artifact on the samples and the evaluation's data."""
    backend = builder.catalog.backend_of(format_name)
    module = f"{backend.name}.{by.runtime.module}"
    inputs, outputs = runs_on
    return builder.add(
        f"{format_name}.{by.verb}",
        kit_worker(backend, "run.measurement:run_artifact", module),
        environment=by.runtime.toolchain,
        inputs={**given, **inputs},
        options={
            "ports": source.ports,
            "outputs": source.outputs,
            "dynamic": dynamic,
            "runtime_module": module,
            # How long an evaluator takes says nothing of the device.
            "latency": None if by.evaluates else LATENCY,
        },
        outputs=outputs,
        origin=source.place,
        slot=slot,
        resources=by.runtime.resources,
    )
