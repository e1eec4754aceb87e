"""`modelbuild doctor` for people: the machine, the toolchains, the formats. One screen."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.table import Table
from rich.text import Text

from buildsys.engine.checkup import Ability, Machine
from buildsys.report.units import size
from buildsys.toolchains.environments.verification import Damage
from buildsys.toolchains.health import Health, State

FEW = 3

STYLES = {
    State.READY: "green",
    State.ABSENT: "",
    State.ALTERED: "red",
    State.BROKEN: "red",
    State.IMPOSSIBLE: "red",
}


def print_checkup(
    console: Console,
    machine: Machine,
    toolchains: Iterable[Health],
    abilities: Iterable[Ability],
    wanted: frozenset[str],
) -> None:
    """Prints what was found, and below it what is to be mended.

    Args:
        console: Where to.
        machine: This machine.
        toolchains: All of them.
        abilities: All formats.
        wanted: The formats that the recipe asks for.
    """
    _print_machine(console, machine)
    rows = list(toolchains)
    table = _table("toolchain", "state", "packages", "what to do")
    for health in rows:
        packages = "–" if health.packages is None else str(health.packages)
        state = Text(health.state.value, STYLES[health.state])
        table.add_row(health.name, state, packages, _advice(health))
    console.print()
    console.print(table)
    table = _table("format", "made here", "run here")
    for ability in abilities:
        name = Text(ability.format, "bold" if ability.format in wanted else "")
        table.add_row(name, _answer(ability.cannot_make), _run_here(ability))
    console.print()
    console.print(table)


def _print_machine(console: Console, machine: Machine) -> None:
    table = Table(box=None, pad_edge=False, show_header=False)
    memory = f"{size(machine.memory)} of memory free"
    about = f"{machine.system}, {machine.cores} cores, {memory}, Python {machine.python}"
    table.add_row("machine", about)
    store = f"{machine.store}, {size(machine.disk)} free"
    table.add_row("store", Text(machine.unwritable or store, "red" if machine.unwritable else ""))
    reads = "also by child processes and native code"
    if machine.unwatched is not None:
        reads = f"by Python alone, in its own processes: {machine.unwatched}"
    table.add_row("file reads seen", Text(reads, "yellow" if machine.unwatched else ""))
    if machine.no_installer is None:
        table.add_row("installer", machine.installer)
    else:
        table.add_row("installer", Text(f"{machine.no_installer}: {machine.hint}", "red"))
    console.print(table)


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(heading, justify="right" if heading == "packages" else "left")
    return table


def _advice(health: Health) -> Text:
    if health.state is State.READY:
        return Text("")
    if health.state is State.ABSENT:
        return Text("nothing: the first build that needs it makes it", "dim")
    return Text(f"{health.reason}: {health.hint}" if health.hint else health.reason or "")


def _run_here(ability: Ability) -> Text:
    if ability.evaluated:
        return Text(f"evaluated, not run: {ability.cannot_run}", "cyan")
    return _answer(ability.cannot_run)


def _answer(hindrance: str | None) -> Text:
    return Text("yes", "green") if hindrance is None else Text(f"no: {hindrance}")


def print_damage(
    console: Console, toolchains: Iterable[Health], *, quiet: bool, verbose: bool
) -> None:
    """Prints how the files of toolchains differ from what was installed.

    Args:
        console: Where to.
        toolchains: Those that were read.
        quiet: Whether those that are right are left out.
        verbose: Whether every file is named, and not the first few of each package.
    """
    for health in toolchains:
        wrong = health.state is not State.READY and health.state is not State.ABSENT
        if quiet and not wrong:
            continue
        line = Text(f"{health.name}: ")
        line.append(health.state.value, STYLES[health.state])
        if health.packages is not None:
            line.append(f", {health.packages} packages")
        console.print(line)
        if health.state is not State.ALTERED and wrong:
            console.print(Text(f"  {health.reason}"), soft_wrap=True)
        for said in health.altered:
            console.print(Text(f"  {said}"), soft_wrap=True)
        for damage in health.damage:
            _print_files(console, damage, verbose=verbose)
        if wrong and health.hint:
            console.print()
            console.print(Text(f"hint: {health.hint}"), soft_wrap=True)
            if health.state is State.ALTERED:
                console.print(Text(f"hint: {REBUILD}"), soft_wrap=True)


REBUILD = "what was built with it may be wrong: `modelbuild verify --rebuild` compares"


def _print_files(console: Console, damage: Damage, *, verbose: bool) -> None:
    kinds = ((damage.altered, "altered"), (damage.missing, "missing"), (damage.foreign, "foreign"))
    for files, what in kinds:
        shown = files if verbose else files[:FEW]
        for file in shown:
            console.print(Text(f"  {damage.package}: {what} {file}"), soft_wrap=True)
        if len(files) > len(shown):
            more = f"  {damage.package}: {len(files) - len(shown)} more {what} (`-v` names them)"
            console.print(Text(more), soft_wrap=True)
