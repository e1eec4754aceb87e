"""Recipe to action graph: routes between formats, labels, selectors."""

from buildsys.planner.catalog import Catalog
from buildsys.planner.graph import Action, ActionGraph, Deployable, FileInput, OutputRef
from buildsys.planner.locating import NoProbe
from buildsys.planner.planning import (
    make_graph,
    make_location,
    make_measurements,
    make_sensitivity,
)
from buildsys.planner.sensitivity import NoSensitivity
from buildsys.planner.validation import check

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
