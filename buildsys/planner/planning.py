"""Recipe and selectors to an action graph."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from buildsys.backends import base
from buildsys.planner import data
from buildsys.planner.builder import GraphBuilder, host_worker, kit_worker, rule_worker
from buildsys.planner.catalog import Catalog
from buildsys.planner.graph import ActionGraph, Deployable, Input, OutputRef
from buildsys.planner.routes import NoRoute, Step, cheapest
from buildsys.planner.selectors import select
from buildsys.planner.source import ModelSource
from buildsys.recipe import Diagnostic, Recipe, RecipeError
from buildsys.verify.defaults import default_bounds

ARTIFACT, IO = "artifact", "io"
LATENCY = {"warmup": 5, "runs": 50}
SIZE_BOUNDS, LATENCY_BOUNDS = {"size_ratio"}, {"latency_ratio"}


@dataclass(frozen=True)
class Entry:
    """One line under `targets:`, for one model."""

    label: str
    target: str
    model: str
    index: int
    item: Any

    @property
    def place(self) -> tuple[str | int, ...]:
        """Where the entry stands in the recipe."""
        return ("targets", self.target, self.index)


def entries(recipe: Recipe) -> list[Entry]:
    """Every deployable that the recipe asks for, in its order; their labels differ."""
    return [
        Entry(item.label(target, model), target, model, index, item)
        for target, items in recipe.spec.targets.items()
        for index, item in enumerate(items)
        for model in item.models or recipe.spec.models
    ]


def make_graph(recipe: Recipe, catalog: Catalog, selectors: Iterable[str] = ()) -> ActionGraph:
    """The actions for the selected deployables.

    Raises:
        RecipeError: A deployable has no route.
        NoMatch: A selector matches nothing.
    """
    everything = entries(recipe)
    labels = [entry.label for entry in everything]
    chosen = set(select(selectors, labels))
    planning = Planning(recipe, catalog)
    failures = []
    for entry in everything:
        if entry.label not in chosen:
            continue
        try:
            planning.add(entry)
        except NoRoute as error:
            place = entry.place + (("route",) if entry.item.route else ("format",))
            failures.append(Diagnostic(error.message, recipe.where(*place), hint=error.hint))
    if failures:
        raise RecipeError(tuple(failures))
    planning.graph.labels = tuple(labels)
    return planning.graph


class Planning:
    """One pass over the selected entries."""

    def __init__(self, recipe: Recipe, catalog: Catalog) -> None:
        self._recipe = recipe
        self._catalog = catalog
        self._builder = GraphBuilder(recipe.spec.project, catalog)
        self._sources = {
            name: ModelSource.of(recipe, name, model) for name, model in recipe.spec.models.items()
        }

    @property
    def graph(self) -> ActionGraph:
        """What has been planned so far."""
        return self._builder.graph

    def add(self, entry: Entry) -> None:
        """Adds a deployable and everything it needs.

        Raises:
            NoRoute: Nothing leads to its format.
        """
        source = self._sources[entry.model]
        declared = self._catalog.formats[entry.item.format]
        profile = (
            self._recipe.spec.quantization[entry.item.quantization]
            if entry.item.quantization
            else None
        )
        scheme = profile.scheme if profile else None
        steps = self._route(entry, source, scheme)
        artifact, io = self._follow(self._builder, entry, source, steps)
        acceptance, bounds = self._bounds(entry, scheme)
        measurement = self._measure(entry, source, declared, artifact, io)
        baseline, baseline_run = self._baseline(entry, source, declared, scheme, bounds)
        stem = "-".join(p for p in (entry.model, entry.item.quantization, entry.item.name) if p)
        needed = {
            name
            for ref in (artifact, measurement, baseline if bounds else None, baseline_run)
            for name in self.graph.below(ref)
        }
        for name in needed:
            if entry.label not in self.graph.actions[name].labels:
                self.graph.actions[name].labels.append(entry.label)
        self.graph.deployables.append(
            Deployable(
                label=entry.label,
                target=entry.target,
                model=entry.model,
                format=declared.name,
                filename=stem + declared.suffix,
                profile=entry.item.quantization,
                scheme=scheme,
                options=self._format_options(entry),
                route=tuple(step.rule.name for step in steps),
                reproducible=all(step.rule.reproducible for step in steps),
                artifact=artifact,
                io=io,
                measurement=measurement,
                unverified=None if measurement else declared.unverified,
                baseline=baseline,
                baseline_run=baseline_run,
                acceptance=acceptance,
                bounds=bounds,
                actions=tuple(name for name in self.graph.actions if name in needed),
                place=entry.place,
            )
        )

    def _bounds(self, entry: Entry, scheme: str | None) -> tuple[str, Mapping[str, float]]:
        if entry.item.accept is None:
            return "default", default_bounds(scheme)
        acceptance = self._recipe.spec.acceptance[entry.item.accept]
        return entry.item.accept, acceptance.model_dump(exclude_none=True)

    def _route(self, entry: Entry, source: ModelSource, scheme: str | None) -> tuple[Step, ...]:
        goal = (entry.item.format, scheme)
        return cheapest(self._catalog, source.state, source.method, goal, entry.item.route)

    def _format_options(self, entry: Entry) -> dict[str, Any]:
        """The entry's options with the format's defaults filled in."""
        declared = self._catalog.formats[entry.item.format]
        return declared.options.model_validate(entry.item.options).model_dump(mode="json")

    def _follow(
        self, builder: GraphBuilder, entry: Entry, source: ModelSource, steps: tuple[Step, ...]
    ) -> tuple[OutputRef, OutputRef]:
        """Adds the actions of a route; gives the artifact and its contract."""
        inputs: dict[str, Input] = dict(source.files)
        needs = [dict(step.rule.needs) for step in steps[1:]] + [{}]
        action = ""
        for number, step in enumerate(steps):
            rule = step.rule
            options: dict[str, Any] = {"ports": source.ports, "outputs": source.outputs}
            options |= needs[number]
            declared = self._catalog.formats[rule.gives]
            # An intermediate is made with its format's defaults, as a deployable without options
            # is: then the two are one step.
            given = (
                self._format_options(entry)
                if declared.name == entry.item.format
                else declared.options().model_dump(mode="json")
            )
            if number == 0:
                options["source"] = source.declaration
                if rule.methods:
                    options["method"] = source.method
            else:
                options["scheme"] = step.scheme
            options["format"] = {k: v for k, v in given.items() if k in rule.options}
            if rule.metadata:
                options["metadata"] = {
                    "project": self._recipe.spec.project,
                    "model": entry.model,
                    "version": self._recipe.spec.release or "",
                }
            if rule.quantizes:
                inputs |= self._calibration(builder, entry, source, options)
            action = builder.add(
                rule.name,
                rule_worker(step.backend, rule),
                environment=source.environment if rule.toolchain == "model" else rule.toolchain,
                inputs=inputs,
                options=options,
                outputs=(
                    base.Output(ARTIFACT, "model" + declared.suffix, declared.kind),
                    base.Output(IO, "io.json"),
                ),
                user_code=rule.user_code,
                origin=source.place if number == 0 else entry.place,
                slot=entry.label if rule.gives == entry.item.format else entry.model,
                unavailable=rule.available(),
            )
            inputs = {ARTIFACT: OutputRef(action, ARTIFACT), IO: OutputRef(action, IO)}
        return OutputRef(action, ARTIFACT), OutputRef(action, IO)

    def _calibration(
        self, builder: GraphBuilder, entry: Entry, source: ModelSource, options: dict[str, Any]
    ) -> dict[str, Input]:
        profile = self._recipe.spec.quantization[entry.item.quantization]
        settings = profile.model_dump(mode="json", exclude={"calibration"})
        options["quantization"] = {k: v for k, v in settings.items() if v is not None}
        if profile.calibration is None:
            return {}
        ref = data.draw(
            builder,
            self._recipe,
            source,
            profile.calibration.dataset,
            role="calibration",
            count=profile.calibration.count,
            seed=profile.calibration.seed,
            origin=("quantization", entry.item.quantization, "calibration"),
        )
        return {"calibration": ref}

    def _reference(
        self, source: ModelSource
    ) -> tuple[OutputRef, OutputRef, OutputRef | None, OutputRef | None]:
        """Samples and the original model's outputs, and the same for the evaluation's data."""
        samples, evaluation = data.samples(self._builder, self._recipe, source)
        inputs: dict[str, Input] = dict(source.files)
        inputs["samples"] = samples
        outputs = [base.Output("samples", "samples.npz"), base.Output("run", "run.json")]
        if evaluation is not None:
            inputs["evaluation"] = evaluation
            outputs.append(base.Output("evaluation", "evaluation.npz"))
        if source.state == "source:factory":
            backend = self._catalog.backend_of("torchscript")
            action = self._builder.add(
                "torch.reference",
                rule_worker(backend, function="worker:reference"),
                environment=source.environment,
                inputs=inputs,
                options={
                    "ports": source.ports,
                    "outputs": source.outputs,
                    "source": source.declaration,
                    "latency": LATENCY,
                },
                outputs=tuple(outputs),
                user_code=True,
                origin=source.place,
                slot=source.name,
            )
        else:
            # The original is the file itself, in its own runtime.
            kind = source.state.removeprefix("source:")
            steps = cheapest(self._catalog, source.state, source.method, (kind, None))
            artifact, io = self._follow_source(source, steps)
            action = self._run(
                source, self._catalog.formats[kind], artifact, io, samples, evaluation, source.name
            )
        reference_evaluation = OutputRef(action, "evaluation") if evaluation else None
        return samples, OutputRef(action, "samples"), evaluation, reference_evaluation

    def _follow_source(
        self, source: ModelSource, steps: tuple[Step, ...]
    ) -> tuple[OutputRef, OutputRef]:
        (step,) = steps
        declared = self._catalog.formats[step.rule.gives]
        action = self._builder.add(
            step.rule.name,
            rule_worker(step.backend, step.rule),
            environment=source.environment
            if step.rule.toolchain == "model"
            else step.rule.toolchain,
            inputs=dict(source.files),
            options={
                "ports": source.ports,
                "outputs": source.outputs,
                "source": source.declaration,
                "format": {},
            },
            outputs=(
                base.Output(ARTIFACT, "model" + declared.suffix, declared.kind),
                base.Output(IO, "io.json"),
            ),
            origin=source.place,
            slot=source.name,
        )
        return OutputRef(action, ARTIFACT), OutputRef(action, IO)

    def _run(
        self,
        source: ModelSource,
        declared: base.Format,
        artifact: OutputRef,
        io: OutputRef,
        samples: OutputRef,
        evaluation: OutputRef | None,
        slot: str,
    ) -> str:
        """Adds the action that runs an artifact on the samples and the evaluation's data."""
        runtime = declared.runtime
        if runtime is None:
            raise ValueError(f"{declared.name} has no runtime")
        inputs: dict[str, Input] = {ARTIFACT: artifact, IO: io, "samples": samples}
        outputs = [base.Output("samples", "samples.npz"), base.Output("run", "run.json")]
        if evaluation is not None:
            inputs["evaluation"] = evaluation
            outputs.append(base.Output("evaluation", "evaluation.npz"))
        backend = self._catalog.backend_of(declared.name)
        return self._builder.add(
            f"{declared.name}.run",
            kit_worker(backend, "measure:run_artifact"),
            environment=runtime.toolchain,
            inputs=inputs,
            options={
                "ports": source.ports,
                "outputs": source.outputs,
                "dynamic": declared.dynamic,
                "runtime_module": f"{backend.name}.{runtime.module}",
                "latency": LATENCY,
            },
            outputs=tuple(outputs),
            slot=slot,
        )

    def _measure(
        self,
        entry: Entry,
        source: ModelSource,
        declared: base.Format,
        artifact: OutputRef,
        io: OutputRef,
    ) -> OutputRef | None:
        if declared.runtime is None:
            return None
        samples, reference, evaluation, reference_evaluation = self._reference(source)
        run = self._run(source, declared, artifact, io, samples, evaluation, entry.label)
        inputs: dict[str, Input] = {
            "got": OutputRef(run, "samples"),
            "reference": reference,
            "run": OutputRef(run, "run"),
        }
        metric: str | None = None
        if evaluation is not None and reference_evaluation is not None:
            inputs["got_evaluation"] = OutputRef(run, "evaluation")
            inputs["reference_evaluation"] = reference_evaluation
            inputs["evaluation"] = evaluation
            metric = source.metric
            if source.metric_function is not None:
                inputs["metric"] = data.metric(
                    self._builder, self._catalog, source, inputs, entry.label
                )
        action = self._builder.add(
            "verify.measure",
            host_worker("buildsys.verify.measurement:measure"),
            environment=None,
            inputs=inputs,
            options={"outputs": source.outputs, "metric": metric},
            outputs=(base.Output("measurement", "measurement.json"),),
            origin=("models", source.name, "samples"),
            slot=entry.label,
        )
        return OutputRef(action, "measurement")

    def _baseline(
        self,
        entry: Entry,
        source: ModelSource,
        declared: base.Format,
        scheme: str | None,
        bounds: Mapping[str, float],
    ) -> tuple[OutputRef | None, OutputRef | None]:
        """The unquantized artifact that ratios are taken against.

        It is built for a bound that needs it; else it is named only where it is built anyway.
        """
        if scheme is None:
            return None, None
        steps = cheapest(
            self._catalog,
            source.state,
            source.method,
            (entry.item.format, None),
            entry.item.route,
        )
        wanted = bool((SIZE_BOUNDS | LATENCY_BOUNDS) & set(bounds))
        builder = self._builder if wanted else self._builder.sketch()
        artifact, io = self._follow(builder, entry, source, steps)
        if not wanted and artifact.action not in self.graph.actions:
            return None, None
        if not LATENCY_BOUNDS & set(bounds):
            return artifact, None
        return artifact, self._measure(entry, source, declared, artifact, io)
