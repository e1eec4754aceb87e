"""Runs what quantizes each layer of a deployable alone."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from buildsys.engine import building
from buildsys.engine.listener import Listener, ignore
from buildsys.engine.run import Run, Settings
from buildsys.engine.session import Session
from buildsys.planner.choices.candidates import Candidate
from buildsys.planner.choices.choosing import choose
from buildsys.planner.graph import ActionGraph, OutputRef
from buildsys.planner.planning import make_sensitivity
from buildsys.planner.verification.sensitivity import NoSensitivity, keeps_layers
from buildsys.recipe import Recipe, RecipeError
from buildsys.search.mixing import Layer


@dataclass(frozen=True)
class Sensitivity:
    """An answer.

    Attributes:
        label: The deployable's.
        profile: The name of the profile that layers are quantized by.
        graph: The actions that it came from.
        run: What happened to them.
        record: `sensitivity.json`; `None` where a step failed.
    """

    label: str
    profile: str
    graph: ActionGraph
    run: Run
    record: dict[str, Any] | None

    def to_json(self) -> dict[str, Any]:
        """Plain data, the most sensitive layer first."""
        record = self.record or {"runtime": None, "layers": []}
        layers = sorted(
            record["layers"], key=lambda each: (each["error"] is None, -(each["error"] or 0.0))
        )
        return {
            "version": 1,
            "label": self.label,
            "profile": self.profile,
            "runtime": record["runtime"],
            "layers": layers,
        }


def sensitivity(
    session: Session,
    label: str,
    *,
    recipe: Recipe | None = None,
    settings: Settings | None = None,
    listener: Listener = ignore,
) -> Sensitivity:
    """Quantizes each layer of a deployable alone, by its own profile; one cached action.

    Args:
        session: The recipe and the store.
        label: The deployable's; it may be one that is rejected, or has never been built.
        recipe: A recipe in place of the session's.
        settings: How to run.
        listener: Receives the build's events.

    Raises:
        RecipeError: The deployable has no route.
        NoMatch: No deployable has this label.
        NoSensitivity: Its layers cannot be quantized one by one.
        ValueError: The label is a selector for several.
    """
    graph, found, profile = make_sensitivity(recipe or session.recipe, session.catalog, label)
    engine = session.engine

    def do() -> tuple[Run, dict[OutputRef, bytes]]:
        return building.give(engine, graph, session.project(), settings or Settings(), listener)

    run, files = engine.mended(do, lambda _: None)
    read = files.get(found)
    record = None if read is None else json.loads(read)
    return Sensitivity(label, profile, graph, run, record)


def layers(
    session: Session, label: str, candidate: Candidate, settings: Settings, listener: Listener
) -> list[Layer] | None:
    """The layers of a candidate; `None` where nothing tells how much it hurts them."""
    recipe = choose(session.recipe, label, candidate)
    try:
        found = sensitivity(session, label, recipe=recipe, settings=settings, listener=listener)
    except (NoSensitivity, RecipeError):
        return None
    if found.run.environment_error is not None:
        raise found.run.environment_error
    if found.record is None:
        return None
    return [Layer(each["name"], each["error"], each["saved"]) for each in found.record["layers"]]


def keeps(session: Session, format_name: str, candidate: Candidate) -> bool:
    """Whether layers of a candidate may stay float, and can be told apart."""
    declared = session.catalog.formats[format_name]
    return declared.layers is not None and keeps_layers(declared, str(candidate.profile.scheme))
