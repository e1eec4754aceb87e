"""Where a deployable goes wrong, for people: sentences, a table around the place, the line that cures it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from buildsys.figures.location import JudgedLocation, Operation, Overflow, TableRow

AROUND = 6
"""So many rows are shown before and after the place."""
SHORTEST = 24
"""Characters of a name that are always shown."""
WIDE = 100
"""From this width on the table has the module's column."""


def print_location(
    console: Console, location: JudgedLocation, plot: str | None, *, verbose: bool = False
) -> None:
    """Prints an answer.

    Args:
        console: Where to.
        location: `location.json`.
        plot: The file with all errors, as it is to be shown.
        verbose: Whether all rows are shown.
    """
    for line in sentences(location):
        console.print(Text(line), soft_wrap=False)
    rows = shown(location, verbose)
    if rows:
        console.print()
        console.print(_table(console, location, rows))
        left = len(location.table) - len(rows)
        if left:
            console.print(Text(f"{left} more operations: -v", "dim"))
    for note in location.notes:
        console.print(Text(f"note: {note}", "dim"))
    if plot is not None:
        console.print(f"\nall errors: {plot}", soft_wrap=True)
    cure = location.cure
    if location.way_out and not cure:
        console.print(Text(f"\nhint: {location.way_out}"), soft_wrap=True)
    if cure:
        console.print("\nhint: keep it in float32, in the profile of the recipe:")
        console.print(Text(f"  {cure_line(cure)}"), soft_wrap=True)
        console.print("`--fix` writes it and proves it by a build.")


def sentences(location: JudgedLocation) -> list[str]:
    """What was found, in words; a paragraph an element."""
    label = f"`{location.label}`"
    if location.kind == "healthy":
        return [_healthy(label, location)]
    if location.operation is None:
        return [f"{label} goes wrong: {location.in_words}."]
    said = [_place(label, location, location.operation)]
    overflow = location.overflow
    if overflow:
        said.append(_overflow(overflow))
    elif location.gradual:
        said.append(
            "No single operation is wrong: errors grow on the way, most of all here "
            f"({figure(location.before)} → {figure(location.error)})."
        )
    elif location.error is not None:
        said.append(
            f"What it takes is right (error {figure(location.before)}); what it gives is not "
            f"({figure(location.error)}; all is within {location.tolerance:.2g} where an artifact "
            "passes)."
        )
    else:
        said.append(
            f"What it takes is right (error {figure(location.before)}); what it gives is nothing "
            "that the original computes there."
        )
    if location.in_words:
        said.append(f"{_capital(location.in_words)}.")
    if location.explanation:
        said.append(f"{location.explanation}.")
    return said


def cure_line(cure: Mapping[str, Sequence[str]]) -> str:
    """The line of the recipe: `keep_float: [embeddings]`."""
    return "; ".join(f"{field}: [{', '.join(values)}]" for field, values in cure.items())


def figure(value: float | None) -> str:
    """An error in few characters."""
    return "–" if value is None else f"{value:.1e}" if value else "0"


def shown(location: JudgedLocation, verbose: bool) -> Sequence[TableRow]:
    """The rows of the table around the place; of what is healthy, around the largest step."""
    rows: Sequence[TableRow] = location.table
    if verbose:
        return rows
    place = location.operation or location.largest_step
    if place is None:
        return rows[: 2 * AROUND + 1]
    at = next((i for i, row in enumerate(rows) if row.number == place.number), 0)
    return rows[max(0, at - AROUND) : at + AROUND + 1]


def _healthy(label: str, location: JudgedLocation) -> str:
    worst = max((o.error or 0.0 for o in location.outputs.values()), default=0.0)
    if location.passes:
        said = f"{label} passes: every bound holds, and the outputs' error is {figure(worst)}."
    else:
        said = (
            f"{label} differs nowhere beyond tolerance: the outputs' error is {figure(worst)} "
            f"(tolerance {location.tolerance:.2g})."
        )
    if location.rejected:
        said += f" It is rejected for something else: {location.rejected}."
    step = location.largest_step
    if step is None:
        return said
    where = f" in `{step.module}`" if step.module else ""
    return (
        f"{said} The error grows most at `{step.artifact_op}` (number {step.number}, "
        f"`{step.name}`){where}, to {figure(step.error)}."
    )


def _place(label: str, location: JudgedLocation, operation: Operation) -> str:
    said = (
        f"{label} goes wrong at `{operation.type}` (number {operation.number}, `{operation.name}`)"
    )
    module, source = location.module, location.source
    if module:
        said += f", in `{module}`"
    elif source:
        said += ", in the model's own code"
    if source:
        text = f": `{source.text}`" if source.text else ""
        said += f" ({source.file}:{source.line}{text})"
    elif location.reference_op:
        said += f", which stands for `{location.reference_op}`"
    return said + "."


def _overflow(overflow: Overflow) -> str:
    strays = overflow.strays
    largest, limit = overflow.largest, overflow.limit
    count = f"{strays} value{'s' * (strays != 1)} of its result {'are' if strays != 1 else 'is'}"
    if largest > limit:
        return (
            f"Float16 overflows: it needs numbers up to {largest:.3g}, float16 ends at {limit:.0f}, "
            f"and {count} not finite."
        )
    return f"{_capital(count)} not finite, where those of the original are."


def _table(console: Console, location: JudgedLocation, rows: Sequence[TableRow]) -> Table:
    wide = console.width >= WIDE
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("")
    table.add_column("no.", justify="right")
    table.add_column("operation", no_wrap=True, overflow="ellipsis")
    table.add_column("name", no_wrap=True, overflow="ellipsis", min_width=12)
    table.add_column("original", no_wrap=True, overflow="ellipsis")
    if wide:
        table.add_column("module", no_wrap=True, overflow="ellipsis")
    table.add_column("error", justify="right", no_wrap=True)
    at = location.operation.number if location.operation else None
    for row in rows:
        here = row.number == at
        error = figure(row.error) if row.finite else "not finite"
        cells = [
            ">" if here else " ",
            str(row.number),
            row.artifact_op,
            row.name,
            (row.reference_op or "–").removeprefix("aten::"),
        ]
        if wide:
            cells.append(row.module or "")
        style = "bold red" if here else "" if row.explained else "yellow"
        table.add_row(*(Text(cell) for cell in (*cells, error)), style=style)
    return table


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
