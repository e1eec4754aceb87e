"""Quantization profiles of a recipe: as steps receive them, and checked against what formats support."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from buildsys.backends.base import Format, Scheme
from buildsys.recipe import Diagnostic, Position, Recipe
from buildsys.recipe.schema.quantization import FLOAT, OPTIONAL, Calibration, Quantization
from buildsys.recipe.text.document import follow

Place = tuple[str | int, ...]


def settings(recipe: Recipe, name: str) -> dict[str, Any]:
    """A profile in the form that a step receives.

    What is not given is left out. `calibration` holds how ranges are taken (`method`, `percentile`); the
    data are an input of the step. The profiles of a `mixed` one stand in their places, `null` for layers
    that stay as they are.
    """
    profile = recipe.spec.quantization[name]
    found: dict[str, Any] = profile.model_dump(mode="json", exclude_none=True)
    if profile.calibration is not None:
        ways = profile.calibration.model_dump(mode="json", include={"method", "percentile"})
        found["calibration"] = {key: value for key, value in ways.items() if value is not None}
    if profile.layers is not None:
        found["default"] = _layer(recipe, profile.default or FLOAT)
        # A list: which of two globs comes first decides, and keys of an object have no order.
        found["layers"] = [[g, _layer(recipe, given)] for g, given in profile.layers.items()]
    return found


def _layer(recipe: Recipe, name: str) -> dict[str, Any] | None:
    return None if name == FLOAT else settings(recipe, name)


def calibration(recipe: Recipe, name: str) -> tuple[str, Calibration] | None:
    """What a profile is calibrated with, and the profile that says so; `None` without."""
    profile = recipe.spec.quantization[name]
    for each in (name, profile.default, *(profile.layers or {}).values()):
        found = None if each in (None, FLOAT) else recipe.spec.quantization[str(each)].calibration
        if found is not None:
            return str(each), found
    return None


def read_while_converting(
    recipe: Recipe, declared: Format, scheme: str, name: str
) -> dict[str, Any]:
    """What of a profile a step reads that makes a scheme of floats while it converts."""
    (read,) = (each.reads for each in declared.schemes if each.name == scheme)
    given = recipe.spec.quantization[name].model_dump(mode="json", exclude_defaults=True)
    return {field: given[field] for field in read if field in given}


def coarse(recipe: Recipe, name: str) -> bool:
    """Whether weights get fewer than 8 bits or a palette, or some become zero; of `mixed`, any layer's."""
    profile = recipe.spec.quantization[name]
    if profile.palette is not None or profile.sparsity is not None or (profile.bits or 8) < 8:
        return True
    return any(coarse(recipe, given) for given in profile.mixed_in())


def faults(recipe: Recipe, declared: Format, place: Place, name: str) -> Iterator[Diagnostic]:
    """What a format cannot make of the profile `name` that the entry at `place` gives it."""
    profile = recipe.spec.quantization[name]
    takes = {scheme.name: scheme for scheme in declared.schemes}
    scheme = takes.get(profile.scheme or "")
    position = recipe.where(*place, "quantization")
    also = (recipe.where("quantization", name),)
    if scheme is None:
        known = ", ".join(sorted(takes)) or "none: leave `quantization` out"
        message = f"{declared.name} cannot take the scheme `{profile.scheme}`"
        yield Diagnostic(message, position, f"{declared.name} takes {known}", also)
        return
    if profile.scheme == "mixed":
        yield from _layers(recipe, declared, scheme, place, name)
        return
    if profile.bits is not None and profile.bits not in _widths(scheme, profile):
        yield _bits(declared, scheme, profile, position, also)
        return
    yield from _unread(recipe, declared, scheme, position, name)
    yield from _choices(recipe, declared, scheme, position, name)
    yield from _refused(recipe, declared, place, name, also)


def _refused(
    recipe: Recipe, declared: Format, place: Place, name: str, also: tuple[Position, ...]
) -> Iterator[Diagnostic]:
    """What the format's backend cannot make of a profile with the entry's options."""
    options = follow(recipe.root, (*place, "options"))
    given = options.node.data if options.depth == len(place) + 1 else {}
    if declared.refuses_profile is None:
        return
    try:
        known = declared.options.model_validate(given).model_dump(mode="json")
    except ValidationError:
        return  # The options' own check says so.
    refusal = declared.refuses_profile(settings(recipe, name), known)
    if refusal is not None:
        position = recipe.where(*place, "quantization")
        if refusal.option is not None and refusal.option in given:
            position = recipe.where(*place, "options", refusal.option)
        message = f"{declared.name} cannot take `{name}`: {refusal.message}"
        yield Diagnostic(message, position, refusal.hint, also)


def _layers(
    recipe: Recipe, declared: Format, mixed: Scheme, place: Place, name: str
) -> Iterator[Diagnostic]:
    """What a format cannot make of the profiles that a `mixed` one gives to layers."""
    position = recipe.where(*place, "quantization")
    profile = recipe.spec.quantization[name]
    takes = {scheme.name: scheme for scheme in declared.schemes}
    keys: dict[tuple[str, ...], str] = {("default",): profile.default or FLOAT}
    keys |= {("layers", pattern): given for pattern, given in (profile.layers or {}).items()}
    if mixed.one_static:
        yield from _several_static(recipe, declared, position, keys, name)
    for key, given in keys.items():
        if given == FLOAT:
            continue
        of_layer = recipe.spec.quantization[given]
        also = (recipe.where("quantization", name, *key),)
        if of_layer.scheme not in mixed.mixes:
            known = ", ".join((FLOAT, *mixed.mixes))
            yield Diagnostic(
                f"{declared.name} cannot mix in the scheme `{of_layer.scheme}` of `{given}`",
                position,
                f"layers take {known}",
                also,
            )
            continue
        scheme = takes[str(of_layer.scheme)]
        if of_layer.bits is not None and of_layer.bits not in _widths(scheme, of_layer):
            yield _bits(declared, scheme, of_layer, position, also)
        else:
            yield from _unread(recipe, declared, scheme, position, given)
            yield from _choices(recipe, declared, scheme, position, given)
            yield from _refused(recipe, declared, place, given, also)


def _several_static(
    recipe: Recipe,
    declared: Format,
    position: Position,
    keys: Mapping[tuple[str, ...], str],
    name: str,
) -> Iterator[Diagnostic]:
    """Static profiles of a `mixed` one that differ, where the format's library calibrates by one."""
    found: list[tuple[str, dict[str, Any], Position]] = []
    for key, given in keys.items():
        told = None if given == FLOAT else settings(recipe, given)
        if told and told["scheme"] == "static" and told not in [each for _, each, _ in found]:
            found.append((given, told, recipe.where("quantization", name, *key)))
    if len(found) > 1:
        (first, _, _), (second, _, where) = found[:2]
        yield Diagnostic(
            f"{declared.name} cannot mix two profiles of the scheme `static`: `{first}` and `{second}`",
            position,
            "give both kinds of layers one profile",
            (where,),
        )


def _widths(scheme: Scheme, profile: Quantization) -> tuple[int, ...]:
    """The widths that a scheme takes; where a palette would mean nothing, the error says so instead."""
    return scheme.palettes if profile.palette and "palette" in scheme.reads else scheme.bits


def _unread(
    recipe: Recipe, declared: Format, scheme: Scheme, position: Position, name: str
) -> Iterator[Diagnostic]:
    """What a profile says that would mean nothing to a format's scheme."""
    profile = recipe.spec.quantization[name]
    for field in OPTIONAL:
        if field in scheme.reads or not getattr(profile, field):
            continue
        yield Diagnostic(
            f"{declared.name} has no `{field}` with `{scheme.name}`: that of `{name}` would mean "
            "nothing",
            position,
            f"give it a profile without `{field}`",
            (recipe.where_key("quantization", name, field),),
        )


def _choices(
    recipe: Recipe, declared: Format, scheme: Scheme, position: Position, name: str
) -> Iterator[Diagnostic]:
    """What a profile chooses where a format's scheme has another choice, or none."""
    profile = recipe.spec.quantization[name]
    method = profile.calibration.method if profile.calibration else None
    choices: list[tuple[tuple[str, ...], Any, tuple[Any, ...]]] = [
        (("per_channel",), profile.per_channel, scheme.per_channel),
        (("symmetric",), profile.symmetric, scheme.symmetric),
        (("activations",), profile.activations, scheme.activations),
        (("calibration", "method"), method, scheme.methods),
    ]
    for keys, given, known in choices:
        if given is None or given in known:
            continue
        field = ".".join(keys)
        words = " or ".join(_written(each) for each in known)
        yield Diagnostic(
            f"{declared.name} cannot take `{scheme.name}` with `{field}: {_written(given)}`",
            position,
            f"`{field}` is {words} here"
            if words
            else f"`{field}` has no choice here: leave it out",
            (recipe.where("quantization", name, *keys),),
        )


def _written(value: Any) -> str:
    """A value as YAML has it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _bits(
    declared: Format,
    scheme: Scheme,
    profile: Quantization,
    position: Position,
    also: tuple[Position, ...],
) -> Diagnostic:
    widths = " or ".join(str(b) for b in _widths(scheme, profile))
    hint = (
        f"{declared.name} takes {widths} bits here" if widths else f"`{scheme.name}` has no width"
    )
    return Diagnostic(
        f"{declared.name} cannot take `{scheme.name}` with {profile.bits} bits",
        position,
        hint,
        also,
    )
