"""What searches have chosen: `deploy.lock.yaml`, read, checked, and put into the recipe.

A choice stays until its question is another one: the search and the profiles that it names, the bounds that
it is subject to, the model as the recipe declares it, and the entry's format, route and options. What is in
files (weights, data, the model's code) is no part of it: a model that is trained again every night must not
change its artifact's precision unasked. The gates still judge the choice at every build.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from buildsys.planner.catalog import Catalog
from buildsys.planner.choices.candidates import (
    Candidate,
    Candidates,
    candidates,
    key_of,
    with_profiles,
)
from buildsys.planner.conversion import detours
from buildsys.planner.entries import Entry, entries
from buildsys.planner.selectors import select
from buildsys.recipe import Choice, Diagnostic, Position, Recipe, RecipeError
from buildsys.recipe.hints import did_you_mean
from buildsys.recipe.schema.quantization import Quantization
from buildsys.recipe.text.document import Node, follow
from buildsys.recipe.text.parsing import Composer, RefusedError
from buildsys.recipe.text.position import Source
from buildsys.recipe.text.syntax import decode, encoding_diagnostic
from buildsys.small_files import read_bytes

VERSION = 1
AGAIN = "search again with `modelbuild build --search`"
REMOVE = "restore it, or delete it and let `modelbuild build` search again"
TOLD = {"inputs": {"__all__": {"preprocess"}}, "outputs": {"__all__": {"labels"}}}
"""What of a model is words for apps: it decides no number."""


@dataclass(frozen=True)
class Question:
    """A search that has no choice yet for an entry.

    Attributes:
        entry: The entry.
        search: The search's name.
        candidates: What it chooses from.
        asked: The digest of the question.
        outdated: Where the lock answers another question, if it does.
    """

    entry: Entry
    search: str
    candidates: Candidates
    asked: str
    outdated: Position | None = None

    @property
    def most(self) -> int:
        """How many candidates there are to build."""
        return len(self.candidates.taken)


def settled(recipe: Recipe, catalog: Catalog) -> Recipe:
    """The recipe with the choices of its lock, of those that answer what it asks now.

    Raises:
        RecipeError: The lock cannot be read, or says what cannot be.
    """
    everything = entries(recipe)
    searched = [entry for entry in everything if _search(recipe, entry) is not None]
    detouring = [entry for entry in everything if len(entry.item.routes) > 1]
    if not searched and not detouring:
        return recipe
    root = _read(recipe)
    listed = {} if root is None else root.data["choices"]
    if root is not None and detouring:
        recipe = replace(recipe, detours=detours.read(recipe, root, detouring))
    choices: dict[str, Choice] = {}
    more: dict[str, Quantization] = {}
    failures: list[Diagnostic] = []
    for entry in searched:
        if root is None or entry.label not in listed:
            continue
        found = listed[entry.label]
        question = _question(recipe, catalog, entry)
        if found.get("asked") != question.asked:
            continue
        at = follow(root, ("choices", entry.label))
        try:
            candidate = _chosen(recipe, question, found, at.node)
        except RecipeError as error:
            failures += error.diagnostics
            continue
        choices[entry.label] = Choice(candidate.key, found)
        more[candidate.key] = candidate.profile
    if failures:
        raise RecipeError(failures)
    return replace(with_profiles(recipe, more), choices=choices)


def unsettled(
    recipe: Recipe, catalog: Catalog, selectors: Iterable[str] = (), *, again: bool = False
) -> list[Question]:
    """The searches of the selected entries that have no choice.

    Args:
        recipe: As `settled` gave it.
        catalog: All backends.
        selectors: Targets, labels or globs; all entries where there is none.
        again: Whether to search again where a choice exists.

    Raises:
        NoMatch: A selector matches nothing.
        RecipeError: The lock cannot be read.
    """
    everything = entries(recipe)
    wanted = set(select(selectors, [entry.label for entry in everything]))
    found = []
    for entry in everything:
        if entry.label not in wanted or _search(recipe, entry) is None:
            continue
        if entry.label not in recipe.choices or again:
            found.append(_question(recipe, catalog, entry))
    if not found:
        return []
    root = _read(recipe)
    listed = {} if root is None else root.data["choices"]
    return [
        replace(q, outdated=follow(root, ("choices", q.entry.label)).key_position())
        if root is not None
        and q.entry.label in listed
        and listed[q.entry.label].get("asked") != q.asked
        else q
        for q in found
    ]


def choose(
    recipe: Recipe,
    label: str,
    candidate: Candidate | None,
    found: Mapping[str, Any] = MappingProxyType({}),
) -> Recipe:
    """The recipe with one more choice; `None` stands for float."""
    if candidate is None:
        return replace(recipe, choices={**recipe.choices, label: Choice(None, found)})
    derived = with_profiles(recipe, {candidate.key: candidate.profile})
    choices = {**recipe.choices, label: Choice(candidate.key, found)}
    return replace(derived, choices=choices)


def _search(recipe: Recipe, entry: Entry) -> str | None:
    name = entry.item.quantization
    return name if name is not None and recipe.spec.quantization[name].search is not None else None


def _question(recipe: Recipe, catalog: Catalog, entry: Entry) -> Question:
    name = _search(recipe, entry)
    if name is None:
        raise ValueError(f"{entry.label} has no search")
    declared = catalog.formats[entry.item.format]
    found = candidates(recipe, declared, entry.place, name)
    return Question(entry, name, found, _asked(recipe, entry, name))


def _asked(recipe: Recipe, entry: Entry, name: str) -> str:
    """The digest of a question. What is written out as the default is what is left out."""
    spec = recipe.spec
    search = spec.quantization[name].search
    if search is None:
        raise ValueError(f"{name} is not a search")
    named: dict[str, None] = {}
    for given in search.schemes:
        if given in spec.quantization:
            named |= dict.fromkeys((given, *spec.quantization[given].mixed_in()))
    plain: dict[str, Any] = {"mode": "json", "exclude_defaults": True}
    item = entry.item
    question = {
        "search": search.model_dump(**plain, exclude={"subject_to"}),
        "profiles": {each: spec.quantization[each].model_dump(**plain) for each in named},
        "bounds": spec.acceptance[search.subject_to].model_dump(**plain),
        "target": entry.target,
        "format": item.format,
        "options": item.options,
        "route": item.route,
        "model": spec.models[entry.model].model_dump(**plain, exclude=TOLD),
    }
    text = json.dumps(question, sort_keys=True, ensure_ascii=False)
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def _read(recipe: Recipe) -> Node | None:
    """The lock as a document; `None` where there is none.

    Raises:
        RecipeError: It cannot be read, or is none.
    """
    path = recipe.lock
    try:
        content = read_bytes(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        message = f"`{path}` cannot be read: {error.strerror}"
        raise RecipeError([Diagnostic(message, hint=REMOVE)]) from error
    text = decode(content)
    if isinstance(text, int):
        raise RecipeError([encoding_diagnostic(Source(path, ""), content, text)])
    composer = Composer(Source(path, text), {})
    try:
        root = composer.compose()
    except RefusedError as error:
        raise RecipeError([*composer.diagnostics, replace(error.diagnostic, hint=REMOVE)]) from None
    found = [*composer.diagnostics, *_malformed(root)]
    if found:
        raise RecipeError(found)
    return root


def _malformed(root: Node) -> list[Diagnostic]:
    """What is no lock."""
    version = follow(root, ("version",))
    if root.data.get("version") != VERSION:
        message = f"this program reads locks of version {VERSION}"
        return [Diagnostic(message, version.value_position(), REMOVE)]
    choices = follow(root, ("choices",))
    if not isinstance(root.data.get("choices"), dict):
        return [Diagnostic("the lock has no `choices`", choices.key_position(), REMOVE)]
    found = detours.malformed(root, REMOVE)
    for label, edge in choices.node.children.items():
        place = edge.key_position()
        choice = edge.node.data
        if not isinstance(choice, dict):
            found.append(Diagnostic(f"the choice for `{label}` is not a mapping", place, REMOVE))
            continue
        for field in ("asked", "profile"):
            if not isinstance(choice.get(field), str):
                message = f"the choice for `{label}` has no `{field}`"
                found.append(Diagnostic(message, place, REMOVE))
        listed = choice.get("candidates", [])
        if not isinstance(listed, list) or not all(isinstance(each, dict) for each in listed):
            message = f"`candidates` of `{label}` is not a list of mappings"
            found.append(Diagnostic(message, place, REMOVE))
    return found


def _chosen(recipe: Recipe, question: Question, found: Mapping[str, Any], node: Node) -> Candidate:
    """The candidate that a lock names.

    Raises:
        RecipeError: There is no such profile.
    """
    name = found["profile"]
    known = {each.name: each for each in question.candidates.taken}
    if "settings" in found:
        return _written(recipe, question, found, node)
    if name not in known:
        place = follow(node, ("profile",)).value_position()
        hint = did_you_mean(name, known, "", "the search chooses from")
        message = f"`{name}` is not among the candidates of `{question.search}`"
        raise RecipeError([Diagnostic(message, place, f"{hint}; or {AGAIN}")])
    return known[name]


def _written(recipe: Recipe, question: Question, found: Mapping[str, Any], node: Node) -> Candidate:
    """A profile that stands in the lock itself.

    Raises:
        RecipeError: It is none, or names data that the recipe does not have.
    """
    place = follow(node, ("settings",))
    try:
        profile = Quantization.model_validate(found["settings"])
    except ValidationError as error:
        said = error.errors()[0]["msg"]
        message = f"the `settings` of `{question.entry.label}` are not a profile: {said}"
        raise RecipeError([Diagnostic(message, place.key_position(), AGAIN)]) from None
    data = profile.calibration.dataset if profile.calibration is not None else None
    if profile.search is not None or (data is not None and data not in recipe.spec.datasets):
        message = f"the `settings` of `{question.entry.label}` name the unknown dataset `{data}`"
        if profile.search is not None:
            message = f"the `settings` of `{question.entry.label}` are a search"
        raise RecipeError([Diagnostic(message, place.key_position(), AGAIN)])
    name = found["profile"]
    return Candidate(key_of(question.search, name), name, profile, variant=True)
