"""`modelbuild plan`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from buildsys.cli.common import (
    console,
    open_session,
    output_options,
    print_json,
    recipe_option,
    selector_argument,
)
from buildsys.exit_status import ExitStatus

if TYPE_CHECKING:
    from buildsys.engine.results import Plan
    from buildsys.report.forms import PlanRecord


@click.command("plan")
@selector_argument
@recipe_option
@output_options
@click.option(
    "--check", is_flag=True, help=f"Exit {ExitStatus.STALE:d} if a build would run anything."
)
@click.option(
    "--graph",
    type=click.Choice(["dot", "mermaid", "graphml", "json"]),
    help="Print the action graph: for Graphviz, Mermaid or GraphML, or as node-link JSON.",
)
def command(
    selectors: tuple[str, ...],
    file: Path | None,
    as_json: bool,
    color: str,
    quiet: bool,
    verbose: bool,
    check: bool,
    graph: str | None,
) -> int:
    """Show what is stale and why, without running anything.

    Signs: `+` new, `~` stale, `=` up to date, `?` maybe stale (an input will be rebuilt; if its bytes
    stay the same, nothing else runs), `!` blocked.
    """
    if graph is not None and as_json:
        raise click.UsageError("`--graph` and `--json` exclude each other: take `--graph json`")
    with open_session(file, selectors) as session:
        plan = session.plan(selectors)
    if graph is not None:
        from buildsys.report.graph_export import graph_text  # It imports networkx.

        click.echo(graph_text(plan.graph, graph))
    elif as_json:
        from buildsys.figures.json_form import to_json

        print_json(to_json(record(plan)))
    elif not quiet:
        from buildsys.report.screens.plan import print_plan

        shown = console(color)
        with shown.capture() as captured:
            print_plan(shown, plan, verbose=verbose)
        click.echo(captured.get(), nl=False, color=True)
        if not plan.has_work:
            from buildsys.cli.answer import keeping
            from buildsys.engine.run import Run

            keeping.keep(session, plan.action_graph, Run(plan.standings), None, captured.get())
    return ExitStatus.STALE if check and plan.has_work else ExitStatus.OK


def record(plan: Plan) -> PlanRecord:
    """The form of `plan --json`."""
    from buildsys.engine.staleness.walk import State
    from buildsys.report import forms

    return forms.PlanRecord(
        summary={state.value: plan.count(state) for state in State},
        estimate=forms.Estimate(work_seconds=plan.seconds, seconds=plan.elapsed),
        deployables=tuple(
            forms.PlannedEntry(
                label=planned.deployable.label,
                sign=planned.sign,
                route=planned.deployable.route.rules,
                reasons=tuple(reason.text for reason in planned.reasons),
                blocked=planned.blocked,
                rejected=planned.rejected,
                inputs_not_known=planned.unseen,
                search=planned.search,
                notices=planned.deployable.notices,
            )
            for planned in plan.deployables
        ),
        actions=tuple(
            forms.PlannedAction(
                id=name,
                rule=action.rule,
                toolchain=action.environment,
                deployable=action.labels[0] if action.labels else None,
                state=plan.standings[name].state,
                reason=plan.standings[name].reason,
                why=tuple(
                    reason.change
                    for reason in plan.reasons.get(name, [])
                    if reason.change is not None
                ),
            )
            for name, action in plan.action_graph.actions.items()
        ),
    )
