"""What a search chooses from: the profiles that it names, and all variants of the schemes that it names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from buildsys.backends.base import Format, Scheme
from buildsys.planner.conversion import profiles
from buildsys.quantization import CALIBRATED, FLOAT_SCHEMES
from buildsys.recipe import Diagnostic, Position, Recipe
from buildsys.recipe.schema.quantization import Quantization, Search

Place = tuple[str | int, ...]


@dataclass(frozen=True)
class Candidate:
    """A profile that a search may choose.

    Attributes:
        key: Its name in the derived recipe that has it; see `with_profiles`.
        name: Its name for people: a profile's, or a scheme with what tells variants apart.
        profile: What it says.
        variant: Whether the search made it: it then stands nowhere in the recipe.
    """

    key: str
    name: str
    profile: Quantization
    variant: bool


@dataclass(frozen=True)
class Candidates:
    """What a search chooses from for one entry.

    Attributes:
        taken: What the entry's format can take, in the order of the recipe.
        refused: What it cannot take, by name, each with the finding that says why.
    """

    taken: tuple[Candidate, ...]
    refused: Mapping[str, Diagnostic] = field(default_factory=dict)


def candidates(recipe: Recipe, declared: Format, place: Place, name: str) -> Candidates:
    """The candidates of the search `name` for the entry at `place`."""
    search = recipe.spec.quantization[name].search
    if search is None:
        raise ValueError(f"{name} is not a search")
    taken: dict[str, Candidate] = {}
    refused: dict[str, Diagnostic] = {}
    for index, given in enumerate(search.schemes):
        known = recipe.spec.quantization.get(given)
        if known is not None:
            found = [Candidate(given, given, known, variant=False)]
        else:
            position = recipe.where("quantization", name, "search", "schemes", index)
            found = list(_variants(name, search, declared, given))
            if not found:
                refused[given] = _no_scheme(declared, given, position)
        for each in found:
            derived = with_profiles(recipe, {each.key: each.profile})
            fault = next(profiles.faults(derived, declared, place, each.key), None)
            if fault is None:
                taken[each.key] = each
            else:
                refused[each.name] = fault
    return Candidates(tuple(taken.values()), refused)


def with_profiles(recipe: Recipe, more: Mapping[str, Quantization]) -> Recipe:
    """The recipe with more profiles."""
    known = {**recipe.spec.quantization, **more}
    return replace(recipe, spec=recipe.spec.model_copy(update={"quantization": known}))


def key_of(search: str, name: str) -> str:
    """The key of a variant: no name in a recipe holds a colon or a space."""
    return f"{search}: {name}"


def _variants(search_name: str, search: Search, declared: Format, word: str) -> Iterator[Candidate]:
    """A scheme in each way that a format declares, the mildest first."""
    scheme = next((each for each in declared.schemes if each.name == word), None)
    if scheme is None:
        return
    for words, settings in _ways(scheme):
        given: dict[str, object] = {"scheme": word, **settings}
        if word in CALIBRATED:
            given["calibration"] = search.calibration
        name = " ".join((word, *words))
        profile = Quantization.model_validate(given)
        yield Candidate(key_of(search_name, name), name, profile, variant=True)


def _ways(scheme: Scheme) -> Iterator[tuple[list[str], dict[str, object]]]:
    """Settings by all choices of a scheme, with the words that tell them apart."""
    if scheme.name in FLOAT_SCHEMES:
        yield [], {}
        return
    for bits in sorted(scheme.bits, reverse=True):
        width = {"bits": bits}, [f"{bits} bits"] if len(scheme.bits) > 1 else []
        for per_channel in sorted(scheme.per_channel, reverse=True) or [True]:
            scales = [] if per_channel else ["a tensor"]
            for number, activations in enumerate(scheme.activations or (None,)):
                settings: dict[str, object] = {**width[0], "per_channel": per_channel}
                words = [*width[1], *scales]
                if number:
                    # The first is the default, and what is not said is one key with it.
                    settings["activations"] = activations
                    words.append(str(activations))
                yield words, settings


def _no_scheme(declared: Format, word: str, position: Position) -> Diagnostic:
    known = ", ".join(sorted(s.name for s in declared.schemes)) or "no quantization"
    return Diagnostic(
        f"{declared.name} cannot take the scheme `{word}`",
        position,
        f"{declared.name} takes {known}",
    )
