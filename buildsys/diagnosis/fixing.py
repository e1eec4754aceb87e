"""Cures a deployable by a line of the recipe, and proves that it does before the line is written."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from buildsys.diagnosis.locating import locate
from buildsys.engine.listener import Listener, ignore
from buildsys.engine.outcome.verdicts import Status, Verdict
from buildsys.engine.results import Build
from buildsys.engine.run import Settings
from buildsys.engine.session import Session, open_recipe
from buildsys.figures.location import JudgedLocation
from buildsys.planner.entries import Entry, entries
from buildsys.recipe import Recipe, RecipeError
from buildsys.recipe.text.editing import CannotEditError, Edit, append

FIELD = "keep_float"
MOST = 4
"""So many cures are tried; what still is wrong then is wrong all over."""


@dataclass(frozen=True)
class Tools:
    """What a cure is tried with.

    Attributes:
        open: The recipe with other text in place of some files'.
        build: Makes deployables of a recipe and judges them, and leaves `artifacts/` as it is.
        locate: Where a deployable of a recipe goes wrong; `None` where a step failed.
        show: Is told what is tried, in lines for people.
    """

    open: Callable[[Mapping[Path, str]], Recipe]
    build: Callable[[Recipe, Sequence[str]], Sequence[Verdict]]
    locate: Callable[[Recipe, str], JudgedLocation | None]
    show: Callable[[str], None] = lambda _: None


@dataclass(frozen=True)
class Attempt:
    """One cure that was tried.

    Attributes:
        keep_float: The globs that it adds to the profile.
        status: What became of the deployable.
        reason: Why, where it does not ship.
    """

    keep_float: tuple[str, ...]
    status: str
    reason: str | None


@dataclass(frozen=True)
class Fixed:
    """What came of it.

    Attributes:
        label: The deployable's.
        profile: The profile that is edited, if there is one.
        edit: The edit that cures it; `None` where none does.
        attempts: What was tried, in order.
        also: Other deployables with the profile. They were built and judged with the edit.
        reason: Why the recipe stays as it is.
        hint: What to do instead.
    """

    label: str
    profile: str | None = None
    edit: Edit | None = None
    attempts: tuple[Attempt, ...] = ()
    also: tuple[str, ...] = ()
    reason: str | None = None
    hint: str | None = None

    @property
    def cured(self) -> bool:
        """Whether the edit is proven to cure it."""
        return self.edit is not None

    def to_json(self, folder: Path) -> dict[str, Any]:
        """Plain data; paths relative to `folder`."""
        edit = self.edit
        return {
            "cured": self.cured,
            "profile": self.profile,
            "diff": edit.diff(folder) if edit is not None else None,
            "attempts": [
                {"keep_float": [*each.keep_float], "status": each.status, "reason": each.reason}
                for each in self.attempts
            ],
            "also": [*self.also],
            "reason": self.reason,
            "hint": self.hint,
        }


def apply(
    recipe: Recipe,
    label: str,
    location: JudgedLocation,
    session: Callable[[Recipe], Session],
    *,
    out: Path | None = None,
    settings: Settings | None = None,
    listener: Listener = ignore,
    show: Callable[[str], None] = lambda _: None,
) -> tuple[Fixed, Build | None]:
    """Cures a deployable: finds an edit, proves it, writes the recipe, and builds what it changes.

    The recipe is written as a whole, and only when the deployable ships with it.

    Args:
        recipe: The recipe.
        label: The deployable's.
        location: Where it goes wrong, as `diagnosis.locating` tells.
        session: Opens a recipe's store; no session may be open meanwhile.
        out: Where artifacts go; default: `artifacts/` beside the recipe.
        settings: How to run.
        listener: Receives the build's events.
        show: Is told what is tried, in lines for people.

    Returns:
        What came of it, and the build of the recipe as it was written; `None` where it stays.
    """

    def build(tried: Recipe, labels: Sequence[str]) -> list[Verdict]:
        with tempfile.TemporaryDirectory(prefix="modelbuild-") as folder, session(tried) as opened:
            made = opened.build(labels, settings=settings, out=Path(folder), listener=listener)
            return made.verdicts

    def located(tried: Recipe, wanted: str) -> JudgedLocation | None:
        with session(tried) as opened:
            found = locate(opened, wanted, settings=settings, listener=listener)
            return found.location

    with session(recipe) as opened:
        catalog = opened.catalog
    tools = Tools(
        lambda texts: open_recipe(recipe.path, catalog, texts=texts), build, located, show
    )
    fixed = cure(recipe, label, location, tools)
    if fixed.edit is None:
        return fixed, None
    try:
        fixed.edit.write()
    except CannotEditError as error:
        return replace(fixed, edit=None, reason=error.message, hint=error.hint), None
    written = open_recipe(recipe.path, catalog)
    with session(written) as opened:
        return fixed, opened.build(
            [label, *fixed.also], settings=settings, out=out, listener=listener
        )


def cure(recipe: Recipe, label: str, location: JudgedLocation, tools: Tools) -> Fixed:
    """Finds an edit of the recipe with which a deployable ships.

    Each cure is tried on the text in memory. Where the deployable is still rejected, what is wrong
    then is located, and kept as well; where that is the same place, the module around it is. Nothing
    is written here.

    Args:
        recipe: The recipe.
        label: The deployable's.
        location: Where it goes wrong, as `diagnosis.locating` tells.
        tools: Opens, builds and locates.
    """
    try:
        return _Cure(recipe, label, tools).find(location)
    except _HopelessError as hopeless:
        return hopeless.fixed


@dataclass
class _HopelessError(Exception):
    """The recipe stays as it is."""

    fixed: Fixed


@dataclass
class _Cure:
    recipe: Recipe
    label: str
    tools: Tools
    globs: list[str] = field(default_factory=list)
    modules: set[str] = field(default_factory=set)
    attempts: list[Attempt] = field(default_factory=list)

    def find(self, location: JudgedLocation) -> Fixed:
        wanted = self._globs(location)
        by_hand = location.way_out or "change the model, where it goes wrong"
        if not wanted:
            raise self._hopeless("no line of the recipe cures it", by_hand)
        profile = self._entry.item.quantization
        if profile is None:
            raise self._hopeless(
                f"`{self.label}` has no profile under `quantization` that could keep anything",
                by_hand,
            )
        for _ in range(MOST):
            self.globs += wanted
            edit, edited = self._edited()
            (verdict,) = self.tools.build(edited, [self.label])
            status, reason = verdict.status, verdict.reason
            self.attempts.append(Attempt(tuple(self.globs), str(status), reason))
            if status.shipped:
                return self._proven(edit, edited)
            if status is not Status.REJECTED:
                raise self._hopeless(f"with it, {self.label} is {status}: {reason}", None)
            wanted = self._next(self.tools.locate(edited, self.label))
            if not wanted:
                break
        last = self.attempts[-1]
        raise self._hopeless(
            f"still {last.status} with `{FIELD}: [{', '.join(last.keep_float)}]`: {last.reason}",
            "give the quantization of this deployable up, or change the model",
        )

    @property
    def _entry(self) -> Entry:
        return next(entry for entry in entries(self.recipe) if entry.label == self.label)

    @property
    def _also(self) -> tuple[str, ...]:
        """Other deployables with the same profile."""
        profile = self._entry.item.quantization
        return tuple(
            entry.label
            for entry in entries(self.recipe)
            if entry.item.quantization == profile and entry.label != self.label
        )

    def _edited(self) -> tuple[Edit, Recipe]:
        profile = str(self._entry.item.quantization)
        try:
            edit = append(self.recipe, ("quantization", profile, FIELD), self.globs)
            self.tools.show(edit.diff(self.recipe.folder))
            return edit, self.tools.open({edit.file: edit.after})
        except CannotEditError as error:
            raise self._hopeless(error.message, error.hint) from None
        except RecipeError as error:
            # What shares the profile may not take it, or nothing of this format does.
            first = error.diagnostics[0]
            raise self._hopeless(first.message, self._alone(first.hint)) from None

    def _alone(self, hint: str | None) -> str | None:
        """How to cure this deployable and leave others alone."""
        if not self._also:
            return hint
        scheme = self.recipe.spec.quantization[str(self._entry.item.quantization)].scheme
        kept = ", ".join(f'"{glob}"' for glob in self.globs)
        return (
            f"give `{self.label}` a profile of its own: "
            f"`{self._entry.item.quantization}-kept: {{scheme: {scheme}, {FIELD}: [{kept}]}}`"
        )

    def _next(self, location: JudgedLocation | None) -> list[str]:
        """What to keep besides; nothing where it cannot be more."""
        found = [glob for glob in self._globs(location) if glob not in self.globs]
        if found:
            return found
        # It goes wrong where it did: what the place is given is wrong by then, or what is in it.
        wider = (_wider(glob) for glob in self.globs if self._is_module(glob))
        return list(dict.fromkeys(glob for glob in wider if glob and glob not in self.globs))

    def _globs(self, location: JudgedLocation | None) -> list[str]:
        if location is None:
            return []
        if location.module:
            self.modules.add(location.module)
        return list(dict.fromkeys((location.cure or {}).get(FIELD, ())))

    def _is_module(self, glob: str) -> bool:
        """Whether a glob names a module, or one around it; names in an artifact have no parents."""
        path = glob.removesuffix(".*")
        return any(each == path or each.startswith(f"{path}.") for each in self.modules)

    def _proven(self, edit: Edit, edited: Recipe) -> Fixed:
        """The cure, where what shares the profile is no worse for it."""
        also = self._also
        worse = [v for v in self.tools.build(edited, also) if _bad(v)] if also else []
        if worse:
            # What was as bad before is not the edit's doing.
            before = self.tools.build(self.recipe, [v.deployable.label for v in worse])
            worse = [now for now, was in zip(worse, before, strict=True) if not _bad(was)]
        if worse:
            said = "; ".join(f"`{v.deployable.label}` is {v.status}: {v.reason}" for v in worse)
            raise self._hopeless(
                f"it would cure `{self.label}`, but others have the profile as well: {said}",
                self._alone(None),
            )
        profile = self._entry.item.quantization
        return Fixed(self.label, profile, edit, tuple(self.attempts), also)

    def _hopeless(self, reason: str, hint: str | None) -> _HopelessError:
        return _HopelessError(
            Fixed(
                self.label,
                self._entry.item.quantization,
                attempts=tuple(self.attempts),
                also=self._also,
                reason=reason,
                hint=hint,
            )
        )


def _wider(glob: str) -> str | None:
    """All that is below a module; of all of that, the module around it."""
    if not glob.endswith(".*"):
        return f"{glob}.*"
    parent = glob.removesuffix(".*").rpartition(".")[0]
    return f"{parent}.*" if parent else None


def _bad(verdict: Verdict) -> bool:
    return verdict.status in (Status.REJECTED, Status.FAILED)
