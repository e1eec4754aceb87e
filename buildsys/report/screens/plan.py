"""`modelbuild plan` for people."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from buildsys.engine.results import Plan, PlannedDeployable
from buildsys.engine.staleness.unseen import described
from buildsys.engine.staleness.walk import State
from buildsys.report.screens.lines import duration, plain, wrapped

SIGNS = {"+": "green", "~": "yellow", "=": "dim", "?": "cyan", "!": "magenta"}


def print_plan(console: Console, plan: Plan, *, verbose: bool = False) -> None:
    """One line a deployable, then the counts."""
    width = max((len(p.deployable.label) for p in plan.deployables), default=0)
    for planned in plan.deployables:
        line = Text()
        line.append(planned.sign, SIGNS[planned.sign])
        line.append(f" {planned.deployable.label:<{width}}")
        texts = _plan_reasons(planned, verbose)
        for number, text in enumerate(wrapped(texts, console, width + 5)):
            if number:
                line.append(f"\n  {'':<{width}}")
            line.append(f"   {text}")
        console.print(line, soft_wrap=True, highlight=False)
        if verbose:
            for name in planned.deployable.actions:
                state = plan.standings[name].state
                console.print(
                    f"    {state.value:<7} {name}", style="dim", soft_wrap=True, highlight=False
                )
    _print_notices(console, plan)
    at_least = plan.count(State.RUN)
    at_most = at_least + plan.count(State.MAYBE)
    console.print()
    if not at_most:
        text = f"Everything is up to date: {plan.count(State.HIT)} actions, none to run."
        if plan.count(State.BLOCKED):
            count = plan.count(State.BLOCKED)
            text = f"Nothing to run; {count} action{'s are' if count > 1 else ' is'} blocked."
    else:
        text = f"At least {at_least}, at most {at_most} actions will run"
        if plan.seconds is not None:
            about = "up to" if at_most > at_least else "about"
            text += f", {about} {duration(plan.seconds)} of work"
            if plan.elapsed is not None and plan.elapsed < plan.seconds:
                text += f" in {duration(plan.elapsed)}"
        text += f"; {plan.count(State.HIT)} are up to date."
    console.print(text, soft_wrap=True, highlight=False)


def _print_notices(console: Console, plan: Plan) -> None:
    """What is known before anything runs, each once with the deployables that it is true of."""
    said: dict[str, list[str]] = {}
    for planned in plan.deployables:
        for text in planned.deployable.notices:
            said.setdefault(text, []).append(planned.deployable.label)
    if said:
        console.print()
    for text, labels in said.items():
        plain(console, f"note: {text}")
        plain(console, f"  {', '.join(labels)}", style="dim")


def _plan_reasons(planned: PlannedDeployable, verbose: bool) -> list[str]:
    sign = planned.sign
    if planned.search is not None and sign != "!":
        several = "s" if planned.search > 1 else ""
        return [f"a search will choose from {planned.search} candidate{several}, at most"]
    if sign == "+":
        return ["new"]
    if sign == "!":
        return [planned.blocked or "blocked"]
    if sign == "=" and planned.rejected is not None:
        return [f"up to date, and rejected: {planned.rejected}"]
    if sign == "=" and planned.unseen:
        return [f"up to date, as far as is known: {described(planned.unseen)}"]
    if sign == "=":
        return ["up to date"] if verbose else []
    texts = [reason.text for reason in planned.reasons] or ["an input will be rebuilt"]
    return texts if verbose or len(texts) <= 2 else [texts[0], f"and {len(texts) - 1} more (-v)"]
