"""An action graph as plain JSON, and back: what a later command reuses.

Rows and not objects by field: a graph may have ten thousand actions. What many actions have in common
(workers, outputs) is written once, by number.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from operator import itemgetter
from pathlib import Path
from typing import Any

from buildsys.backends.output import Output
from buildsys.planner.graph import (
    Action,
    ActionGraph,
    Deployable,
    Evidence,
    FileInput,
    Input,
    Limits,
    OutputRef,
    Quantized,
    Route,
    Worker,
)

Row = list[Any]
NUMBER = 13
"""Where an action's row has its place in the graph's order."""


class _Table:
    """Rows that are written once."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self._numbers: dict[Hashable, int] = {}

    def number(self, key: Hashable, row: Row) -> int:
        found = self._numbers.setdefault(key, len(self.rows))
        if found == len(self.rows):
            self.rows.append(row)
        return found


def to_json(graph: ActionGraph) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Converts a graph to plain data; `from_json` reverses it.

    Returns:
        What its components have in common, and each component.
    """
    workers, outputs = _Table(), _Table()
    parts = [_part(each, workers, outputs) for each in graph.components()]
    common = {
        "workers": workers.rows,
        "outputs": outputs.rows,
        "labels": graph.labels,
        "wanted": [_ref_row(ref) for ref in graph.wanted],
    }
    return common, parts


def _part(graph: ActionGraph, workers: _Table, outputs: _Table) -> dict[str, Any]:
    actions = [
        [
            action.id,
            action.rule,
            workers.number(action.worker, _worker_row(action.worker)),
            action.environment,
            {name: _input_row(given) for name, given in action.inputs.items()},
            action.options,
            [outputs.number(o, [o.name, o.filename, o.kind, o.measured]) for o in action.outputs],
            action.user_code,
            action.origin,
            action.asked,
            action.slots,
            action.labels,
            action.unavailable,
            action.number,
            dict(action.resources),
            action.instead,
            action.resumes,
            action.timed,
            action.way,
        ]
        for action in graph.actions.values()
    ]
    return {
        "actions": actions,
        "deployables": [_deployable_row(each) for each in graph.deployables],
    }


def from_json(common: Mapping[str, Any], parts: Iterable[Mapping[str, Any]]) -> ActionGraph:
    """The graph of some components, or of all.

    Raises:
        KeyError, TypeError, ValueError, IndexError: It is no such record.
    """
    workers = [_worker(*row) for row in common["workers"]]
    outputs = [
        Output(name, filename, kind, tuple(measured))
        for name, filename, kind, measured in common["outputs"]
    ]
    rows = []
    graph = ActionGraph(
        labels=tuple(common["labels"]),
        wanted=tuple(OutputRef(*row) for row in common["wanted"]),
    )
    for part in parts:
        rows += part["actions"]
        graph.deployables += [_deployable(*row) for row in part["deployables"]]
    place = {label: number for number, label in enumerate(graph.labels)}
    graph.deployables.sort(key=lambda each: place[each.label])
    rows.sort(key=itemgetter(NUMBER))
    for row in rows:
        row[2] = workers[row[2]]
        row[4] = {name: _input(*given) for name, given in row[4].items()}
        row[6] = tuple([outputs[number] for number in row[6]])
        row[8], row[9], row[15] = tuple(row[8]), tuple(row[9]), tuple(row[15])
        graph.actions[row[0]] = Action(*row)
    return graph


def _worker_row(worker: Worker) -> Row:
    return [
        worker.function,
        worker.backend,
        None if worker.folder is None else str(worker.folder),
        worker.modules,
        [str(path) for path in worker.files],
    ]


def _worker(
    function: str, backend: str | None, folder: str | None, modules: Row, files: Row
) -> Worker:
    return Worker(
        function,
        backend,
        None if folder is None else Path(folder),
        tuple(modules),
        tuple(Path(path) for path in files),
    )


def _input_row(given: Input) -> Row:
    """A file has a list in second place, its place in the recipe; another action's output a name."""
    if isinstance(given, FileInput):
        return [str(given.path), given.field]
    return [given.action, given.output]


def _input(first: str, second: str | Row) -> Input:
    if isinstance(second, str):
        return OutputRef(first, second)
    return FileInput(Path(first), tuple(second))


def _ref_row(ref: OutputRef | None) -> Row | None:
    return None if ref is None else [ref.action, ref.output]


def _ref(row: Row | None) -> OutputRef | None:
    return None if row is None else OutputRef(*row)


def _deployable_row(each: Deployable) -> Row:
    quantized, route, evidence, limits = each.quantized, each.route, each.evidence, each.limits
    return [
        [each.label, each.target, each.model, each.format, each.filename],
        [each.place, each.options, _ref_row(each.artifact), _ref_row(each.io), each.actions],
        [
            quantized.profile,
            quantized.chosen,
            quantized.scheme,
            quantized.precision,
            quantized.widens,
        ],
        [route.rules, route.reproducible, route.left],
        [
            _ref_row(evidence.measurement),
            evidence.unverified,
            _ref_row(evidence.check),
            evidence.evaluated,
            _ref_row(evidence.baseline),
            _ref_row(evidence.benchmark),
        ],
        [
            limits.acceptance,
            dict(limits.bounds),
            {name: dict(bounds) for name, bounds in limits.output_bounds.items()},
            limits.default,
            limits.unjudged,
        ],
        [each.notices, each.legacy, each.probed],
    ]


def _deployable(
    names: Row, made: Row, quantized: Row, route: Row, evidence: Row, limits: Row, more: Row
) -> Deployable:
    label, target, model, format_name, filename = names
    place, options, artifact, io, actions = made
    rules, reproducible, left = route
    measurement, unverified, check, evaluated, baseline, benchmark = evidence
    notices, legacy, probed = more
    return Deployable(
        label,
        target,
        model,
        format_name,
        filename,
        tuple(place),
        options,
        OutputRef(*artifact),
        OutputRef(*io),
        tuple(actions),
        Quantized(*quantized),
        Route(tuple(rules), reproducible, tuple(left)),
        Evidence(
            _ref(measurement), unverified, _ref(check), evaluated, _ref(baseline), _ref(benchmark)
        ),
        Limits(*limits),
        tuple(notices),
        legacy,
        probed,
    )
