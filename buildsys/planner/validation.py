"""What a recipe asks of formats, checked against the backends that are there."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from pydantic import ValidationError

from buildsys.backends.base import Format
from buildsys.file_names import folded
from buildsys.planner.catalog import Catalog
from buildsys.planner.choices.candidates import candidates
from buildsys.planner.conversion import profiles
from buildsys.planner.conversion.routes import ways
from buildsys.planner.entries import Entry, entries
from buildsys.planner.model import ports_of
from buildsys.recipe import Diagnostic, Recipe

Place = tuple[str | int, ...]

OUT_OF_BOUNDS = ("greater_than_equal", "less_than_equal")
"""What pydantic calls the two faults; it names one bound only."""


def check(catalog: Catalog) -> Callable[[Recipe], list[Diagnostic]]:
    """A check for `recipe.load`: formats, schemes, options, routes and toolchains."""

    def run(recipe: Recipe) -> list[Diagnostic]:
        found: list[Diagnostic] = []
        for target, items in recipe.spec.targets.items():
            for index, item in enumerate(items):
                found += _entry(recipe, catalog, ("targets", target, index), item)
        found += _equal_files(recipe, catalog)
        found += _equal_names(recipe)
        for name in recipe.spec.toolchains:
            if name not in catalog.toolchains:
                found.append(
                    Diagnostic(
                        f"unknown toolchain `{name}`",
                        recipe.where_key("toolchains", name),
                        nearest(name, catalog.toolchains),
                    )
                )
        return found

    return run


def _equal_files(recipe: Recipe, catalog: Catalog) -> list[Diagnostic]:
    """Labels differ, files may not: `m-half` without a profile and `m` with the profile `half`."""
    seen: dict[tuple[str, str], Entry] = {}
    found = []
    for entry in entries(recipe):
        if entry.item.format not in catalog.formats:
            continue
        name = entry.filename(catalog)
        file = (entry.target, folded(name))
        if file in seen:
            found.append(
                Diagnostic(
                    f"`{entry.label}` and `{seen[file].label}` would be one file, "
                    f"`{entry.target}/{name}`"
                    + ("" if seen[file].filename(catalog) == name else ", where case is ignored"),
                    recipe.where(*entry.place),
                    "give one of them a `name`, or rename the model or the profile",
                    (recipe.where(*seen[file].place).noted("the first one"),),
                )
            )
        seen.setdefault(file, entry)
    return found


def _equal_names(recipe: Recipe) -> Iterator[Diagnostic]:
    """Models of one target that only case tells apart.

    Files of different formats lie side by side. What is named by the model alone does not.
    """
    seen: dict[tuple[str, str], str] = {}
    told: set[str] = set()
    for entry in entries(recipe):
        first = seen.setdefault((entry.target, folded(entry.model)), entry.model)
        if first != entry.model and entry.model not in told:
            told.add(entry.model)
            yield Diagnostic(
                f"`{first}` and `{entry.model}` are one name in the target `{entry.target}`, where "
                "case is ignored",
                recipe.where_key("models", entry.model),
                "rename one of them, or give them different targets",
                (recipe.where_key("models", first).noted("the first one"),),
            )


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint: the nearest known name, or all of them."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1)
    return f"did you mean `{near[0]}`?" if near else f"known are {', '.join(names)}"


def _entry(recipe: Recipe, catalog: Catalog, place: Place, item: Any) -> list[Diagnostic]:
    names = catalog.deployable_formats()
    if item.format not in names:
        position = recipe.where(*place, "format")
        return [
            Diagnostic(f"unknown format `{item.format}`", position, nearest(item.format, names))
        ]
    declared = catalog.formats[item.format]
    found = _options(recipe, declared, place, item.options)
    if not found:
        found += _refusals(recipe, declared, place, item)
    if item.quantization and recipe.spec.quantization[item.quantization].search is not None:
        found += _none_taken(recipe, declared, place, item.quantization)
    elif item.quantization:
        found += profiles.faults(recipe, declared, place, item.quantization)
    words = ways(catalog, item.format)
    for number, word in enumerate(item.routes):
        at = (*place, "route") if isinstance(item.route, str) else (*place, "route", number)
        if word not in words:
            hint = nearest(word, words) if words else f"{item.format} has one way only: drop it"
            message = f"{item.format} has no route `{word}`"
            found.append(Diagnostic(message, recipe.where(*at), hint))
        elif word in item.routes[:number]:
            message = f"`{word}` stands in the list already"
            found.append(Diagnostic(message, recipe.where(*at), "delete it"))
    return found


def _none_taken(recipe: Recipe, declared: Format, place: Place, name: str) -> list[Diagnostic]:
    """Refuses a search if a format supports none of its candidates; skips single ones that it does not."""
    found = candidates(recipe, declared, place, name)
    if found.taken:
        return []
    why = "; ".join(fault.message for fault in found.refused.values())
    known = ", ".join(f"`{scheme.name}`" for scheme in declared.schemes)
    return [
        Diagnostic(
            f"{declared.name} can take nothing that `{name}` chooses from: {why}",
            recipe.where(*place, "quantization"),
            f"{declared.name} takes {known}" if known else "leave `quantization` out",
            (recipe.where("quantization", name, "search", "schemes"),),
        )
    ]


def _options(
    recipe: Recipe, declared: Format, place: Place, options: dict[str, Any]
) -> list[Diagnostic]:
    try:
        declared.options.model_validate(options)
    except ValidationError as error:
        return [_option(recipe, declared, place, fault) for fault in error.errors()]
    return []


def _refusals(recipe: Recipe, declared: Format, place: Place, item: Any) -> Iterator[Diagnostic]:
    """What the format's backend says it cannot do, or would do nothing for."""
    if declared.refuses is None:
        return
    options = declared.options.model_validate(item.options).model_dump(mode="json")
    for name in item.models or recipe.spec.models:
        refusal = declared.refuses(ports_of(recipe.spec.models[name]), options)
        if refusal is None:
            continue
        option = ("options", refusal.option) if refusal.option else ("format",)
        message = f"{declared.name} of `{name}`: {refusal.message}"
        yield Diagnostic(message, recipe.where(*place, *option), refusal.hint)


def _option(recipe: Recipe, declared: Format, place: Place, fault: Any) -> Diagnostic:
    # Names of a union's members are no keys.
    keys: Sequence[str | int] = [key for key in fault["loc"] if not str(key).startswith("<")]
    name = ".".join(str(key) for key in keys)
    known = list(declared.options.model_fields)
    if fault["type"] == "extra_forbidden":
        hint = nearest(name, known) if known else f"{declared.name} takes no options"
        message = f"{declared.name} has no option `{name}`"
        return Diagnostic(message, recipe.where_key(*place, "options", *keys), hint)
    message = f"{declared.name} option `{name}`: {fault['msg'][:1].lower()}{fault['msg'][1:]}"
    bounds = _range(declared, name) if fault["type"] in OUT_OF_BOUNDS else None
    return Diagnostic(message, recipe.where(*place, "options", *keys), bounds)


def _range(declared: Format, name: str) -> str | None:
    """From where to where an option goes, if it has bounds."""
    schema = declared.options.model_json_schema()["properties"].get(name, {})
    for each in schema.get("anyOf", [schema]):
        if "minimum" in each and "maximum" in each:
            return f"`{name}` goes from {each['minimum']} to {each['maximum']}"
    return None
