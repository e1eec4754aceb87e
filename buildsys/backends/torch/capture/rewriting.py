"""Captures a model again without what converters lack: constants folded, operators decomposed.

A graph that has neither is written as it was captured, so that its bytes stay.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from ...kit.protocol.request import Request, StepError
from ..original.model import Eager
from ..original.state import named
from . import graphs
from .constant_folding import Budget, Folded, fold, may_fold
from .costly import costly
from .decomposition import Decomposed, lacking, listed, operators

Again = Callable[[list[str] | None], bool]
"""Captures, writes and compares. Given a list, it folds first, and lists what it folded; `False` where there
was nothing to do, and so nothing was written."""


def trace(
    eager: Eager, taken: Callable[..., tuple[Any, list[str]]], request: Request, write: Any
) -> None:
    """Traces a model, and writes the trace that converters can do most with.

    Args:
        eager: The model.
        taken: Traces it under some modes; see `graphs.trace`.
        request: The step's.
        write: Writes a trace, and compares it with the model.

    Raises:
        StepError: The model cannot be traced, or none of its traces is the model.
    """
    plain = taken(())
    absent = lacking(plain[0])

    def again(folded: list[str] | None) -> bool:
        modes: list[graphs.Mode] = [Decomposed(absent)] if absent else []
        if folded is None:
            write(*taken(modes))
            return True
        folding = Folded(weight for _, weight in named(eager.module))
        made = taken([*modes, folding])
        folded += folding.found
        _note_refused(folding.budget, request)
        if folded or absent:
            write(*made)
        return bool(folded or absent)

    if not _rewritten(may_fold(plain[0]), absent, again, request):
        write(*plain)


def export(
    eager: Eager, taken: Callable[..., torch.export.ExportedProgram], request: Request, write: Any
) -> None:
    """Exports a model, and writes the program that converters can do most with; as `trace`."""
    program = taken(())
    absent = lacking(program)
    spare = [program]

    def again(folded: list[str] | None) -> bool:
        left = absent
        if folded is not None:
            program, budget = spare.pop(), _budget(eager)
            folded += fold(program, budget)
            left = lacking(program)
            _note_refused(budget, request)
        if left:
            program = taken([Decomposed(left)])
            if folded:
                folded[:] = fold(program, _budget(eager))
        if folded or left:
            write(program)
        elif folded is not None:
            spare.append(program)
        return bool(folded or left)

    folds = any(costly(name) for name in operators(program))
    if not _rewritten(folds, absent, again, request):
        write(spare.pop() if spare else taken(()))


def _rewritten(folds: bool, absent: Sequence[str], again: Again, request: Request) -> bool:
    """Captures a model again where that helps; whether it did, and the result is the model."""
    shown = listed(absent)
    if folds:
        folded: list[str] = []
        try:
            done = again(folded)
        except Exception as error:  # Of ours: the capture as it is says what is wrong.
            if not folded:
                _note(
                    f"{shown}, which some converters lack, could not be decomposed", error, request
                )
                return False
            what = f"{listed(folded)} of constants could not be computed at capture"
            _note(what, error, request)
        else:
            if folded:
                print(f"computed {listed(folded)} of constants at capture", flush=True)
            if done and absent:
                print(f"decomposed {shown}, which some converters lack", flush=True)
            return done
    if not absent:
        return False
    try:
        again(None)
    except Exception as error:  # As above.
        _note(f"{shown}, which some converters lack, could not be decomposed", error, request)
        return False
    print(f"decomposed {shown}, which some converters lack", flush=True)
    return True


def _budget(eager: Eager) -> Budget:
    return Budget(weight for _, weight in named(eager.module))


def _note_refused(budget: Budget, request: Request) -> None:
    if budget.refused:
        request.note(
            f"{', '.join(budget.refused)} of constants is left to the converters: as a stored tensor it "
            "would be more than a tenth of the weights"
        )


def _note(what: str, error: Exception, request: Request) -> None:
    told = error.message if isinstance(error, StepError) else str(error)
    request.note(f"{what}: {' '.join(told.split())[:200]}")
