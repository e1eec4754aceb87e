"""`modelbuild why` for people: the chain of actions from a deployable to what changed, as a tree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from rich.console import Console
from rich.text import Text

from buildsys.engine.staleness.explain import FIRST, NEW, SAME, Explanation, Link
from buildsys.engine.staleness.walk import State
from buildsys.recipe import Position

MOST = 3
"""Inputs that are named; the rest is counted. `--json` has all."""
LEAST = 24
"""Columns that are left for words, however narrow the terminal is."""


@dataclass(frozen=True)
class _Row:
    """An action's place in the tree: what is drawn before its name, and before the lines below."""

    link: Link
    lead: str
    below: str


def print_explanation(console: Console, explanation: Explanation) -> None:
    """The verdict, then the tree."""
    chain = explanation.chain
    past = explanation.state == "up to date"
    count = f"{len(chain)} action{'' if len(chain) == 1 else 's'}"
    plain = explanation.blocked is not None
    head = Text()
    head.append(explanation.label, "bold")
    if explanation.blocked is not None:
        head.append(f" is blocked: {explanation.blocked}")
    elif past and all(link.text == FIRST for link in chain):
        head.append(f" is up to date. It was built once: {count}.")
        plain = True
    elif past:
        head.append(" is up to date. What its steps last ran for:")
    elif all(link.text == NEW for link in chain):
        head.append(f" would be built for the first time: {count}.")
        plain = True
    else:
        head.append(f" {'would' if explanation.sure else 'may'} be rebuilt:")
    _print(console, head)
    if plain:
        return
    rows = list(_rows(explanation.chain))
    names = _names(explanation.chain)
    width = max((len(row.lead) + len(names[row.link.action]) for row in rows), default=0)
    for row in rows:
        _print_row(console, row, names[row.link.action], width, explanation, names)


def _rows(chain: tuple[Link, ...]) -> Iterator[_Row]:
    """Each action once, below the first that it is a cause of."""
    by_name = {link.action: link for link in chain}
    causes = {name for link in chain for name in link.because}
    shown: set[str] = set()

    def below(link: Link, lead: str, rest: str) -> Iterator[_Row]:
        shown.add(link.action)
        under = [name for name in link.because if name in by_name and name not in shown]
        # Claimed before any is drawn: an action belongs to the nearest that names it.
        yield _Row(link, lead, rest + ("│ " if under else "  "))
        while under:
            name = under.pop(0)
            under = [other for other in under if other not in shown]
            if name not in shown:
                last = not under
                yield from below(
                    by_name[name],
                    f"{rest}└ " if last else f"{rest}├ ",
                    rest + "  " if last else f"{rest}│ ",
                )

    for link in chain:
        if link.action not in causes:
            yield from below(link, "  ", "  ")


def _names(chain: tuple[Link, ...]) -> dict[str, str]:
    """What actions are called: the rule, and where two have the same one, what for."""
    rules = Counter(link.rule for link in chain)
    return {
        link.action: link.rule
        if rules[link.rule] == 1
        else f"{link.rule} {link.action.partition('#')[0]}"
        for link in chain
    }


def _print_row(
    console: Console,
    row: _Row,
    name: str,
    width: int,
    explanation: Explanation,
    names: dict[str, str],
) -> None:
    room = max(LEAST, console.width - width - 3)
    lines: list[str] = []
    for words, place in _said(row.link, explanation, names):
        text = words if place is None else f"{words}   {_shown(place)}"
        lines += _wrapped(text, room) if console.is_terminal else [text]
    for number, line in enumerate(lines or [""]):
        lead = row.lead + name if number == 0 else row.below
        _print(console, Text(f"{lead:<{width}}   {line}".rstrip()))


def _said(
    link: Link, explanation: Explanation, names: dict[str, str]
) -> Iterator[tuple[str, Position | None]]:
    for reason in link.changes:
        yield reason.words, reason.place
    if link.text is not None and link.text != SAME:
        yield link.text, None
    if link.inputs and link.text != NEW:
        lead = "and" if link.changes else "because"
        what, several = _inputs(link)
        if explanation.state == "up to date" or link.state is State.HIT:
            yield f"{lead} {what} changed", None
        elif link.state is State.MAYBE:
            yield f"if {what} {'come' if several else 'comes'} out different", None
        else:
            yield f"{lead} {what} will be rebuilt", None
    if link.text == SAME:
        yield SAME, None


def _inputs(link: Link) -> tuple[str, bool]:
    """The inputs that are the cause, in words; whether they are several."""
    names = [f"`{name}`" for name in link.inputs]
    if len(names) == 1:
        return f"its input {names[0]}", False
    if len(names) > MOST:
        names[MOST:] = [f"{len(names) - MOST} more"]
    return f"its inputs {', '.join(names[:-1])} and {names[-1]}", True


def _shown(place: Position) -> str:
    return f"{place.file.name}:{place.line}:{place.column}"


def _wrapped(text: str, room: int) -> list[str]:
    """Lines of words; a word that does not fit stays whole."""
    lines = [""]
    for word in text.split(" "):
        if lines[-1].strip() and len(lines[-1]) + 1 + len(word) > room:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}" if lines[-1] else word
    return [line.rstrip() for line in lines if line.strip()]


def _print(console: Console, text: Text) -> None:
    console.print(text, soft_wrap=True, highlight=False)
