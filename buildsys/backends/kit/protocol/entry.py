"""Entry points of the user's own code: `module:callable`, imported from the recipe's folder."""

from __future__ import annotations

import importlib
import os
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .request import StepError


def load(entry: str, project: Path | None, field: str) -> Callable[..., Any]:
    """Imports `module:callable`.

    Args:
        entry: The entry point; the recipe's folder is already first in `sys.path`.
        project: The recipe's folder, for naming places in the user's files.
        field: The recipe field that errors point at.

    Raises:
        StepError: The module does not import, lacks the name, or the name is not callable.
    """
    module_name, _, attribute = entry.partition(":")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        raise StepError(
            f"`{module_name}` does not import: {described(error, project)}",
            _import_hint(error, module_name),
            field,
        ) from error
    found: Any = module
    for name in attribute.split("."):
        if not hasattr(found, name):
            public = [
                n for n in vars(module) if not n.startswith("_") and callable(getattr(module, n))
            ]
            known = f"it has {', '.join(public[:12])}" if public else "it defines no callable"
            raise StepError(f"`{module_name}` has no `{attribute}`", known, field)
        found = getattr(found, name)
    if not callable(found):
        raise StepError(
            f"`{entry}` is not callable: it is of type `{type(found).__name__}`",
            "name a function or a class",
            field,
        )
    return found  # type: ignore[no-any-return]


def call(entry: str, project: Path | None, field: str, *args: Any, **kwargs: Any) -> Any:
    """Imports `module:callable` and calls it.

    Raises:
        StepError: As `load`, or the callable raises; the message holds the user's file and line.
    """
    function = load(entry, project, field)
    try:
        return function(*args, **kwargs)
    except Exception as error:
        raise StepError(f"`{entry}` raised {described(error, project)}", None, field) from error


def described(error: BaseException, project: Path | None) -> str:
    """The error's type and text, with the innermost place in the user's own files.

    For example ``ValueError: width must be even (model.py:12)``.
    """
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    place = _place(error, project)
    return f"{text} ({place})" if place and place not in text else text


def _place(error: BaseException, project: Path | None) -> str | None:
    if project is None:
        return None
    root = os.path.realpath(project) + os.sep
    places = [(f.filename, f.lineno) for f in traceback.extract_tb(error.__traceback__)]
    if isinstance(error, SyntaxError) and error.filename:
        places.append((error.filename, error.lineno))
    for filename, line in reversed(places):
        path = os.path.realpath(filename)
        if path.startswith(root):
            return f"{path.removeprefix(root)}:{line}"
    return None


def _import_hint(error: BaseException, module_name: str) -> str | None:
    if not isinstance(error, ModuleNotFoundError) or not error.name:
        return None
    if error.name == module_name.partition(".")[0]:
        return f"put `{error.name}.py` beside the recipe; modules are imported from its folder"
    return (
        f"`{error.name}` is not in the model's environment: name one that has it by "
        "`environment: {requirements: FILE}` or `environment: host`"
    )
