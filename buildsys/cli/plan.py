"""`modelbuild plan`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from buildsys.cli.common import (
    console,
    open_file,
    output_options,
    print_json,
    recipe_option,
    selector_argument,
)
from buildsys.exit_status import ExitStatus

if TYPE_CHECKING:
    from buildsys.engine.session import Plan


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
    from buildsys.cli import answer
    from buildsys.engine.run import Run
    from buildsys.engine.session import Session
    from buildsys.report.screens import console as rendering

    with Session(open_file(file)) as session:
        plan = session.plan(selectors)
    if graph is not None:
        from buildsys.report.graph_export import graph_text  # It imports networkx.

        click.echo(graph_text(plan.graph, graph))
    elif as_json:
        print_json(record(plan))
    elif not quiet:
        shown = console(color)
        with shown.capture() as captured:
            rendering.print_plan(shown, plan, verbose=verbose)
        click.echo(captured.get(), nl=False, color=True)
        if not plan.has_work:
            answer.keep(session, plan.action_graph, Run(plan.standings), None, captured.get())
    return ExitStatus.STALE if check and plan.has_work else ExitStatus.OK


def record(plan: Plan) -> dict[str, Any]:
    """The form of `plan --json`."""
    from buildsys.engine.staleness.walk import State

    return {
        "version": 1,
        "summary": {state.value: plan.count(state) for state in State},
        "estimate": {"work_seconds": plan.seconds, "seconds": plan.elapsed},
        "deployables": [
            {
                "label": planned.deployable.label,
                "sign": planned.sign,
                "route": list(planned.deployable.route.rules),
                "reasons": [reason.text for reason in planned.reasons],
                "blocked": planned.blocked,
                "rejected": planned.rejected,
                "inputs_not_known": list(planned.unseen),
                "search": planned.search,
                "notices": list(planned.deployable.notices),
            }
            for planned in plan.deployables
        ],
        "actions": [
            {
                "id": name,
                "rule": action.rule,
                "toolchain": action.environment,
                "deployable": action.labels[0] if action.labels else None,
                "state": plan.standings[name].state.value,
                "reason": plan.standings[name].reason,
                "why": [
                    reason.change.to_json()
                    for reason in plan.reasons.get(name, [])
                    if reason.change is not None
                ],
            }
            for name, action in plan.action_graph.actions.items()
        ],
    }
