"""Recipe to action graph: routes between formats, labels, selectors."""

from buildsys.planner.catalog import Catalog
from buildsys.planner.graph import Action, ActionGraph, Deployable, FileInput, OutputRef
from buildsys.planner.planning import (
    make_graph,
    make_location,
    make_measurements,
    make_sensitivity,
)
from buildsys.planner.validation import check
from buildsys.planner.verification.locating import NoProbe
from buildsys.planner.verification.sensitivity import NoSensitivity

__all__ = [
    "Action",
    "ActionGraph",
    "Catalog",
    "Deployable",
    "FileInput",
    "NoProbe",
    "NoSensitivity",
    "OutputRef",
    "check",
    "make_graph",
    "make_location",
    "make_measurements",
    "make_sensitivity",
]
