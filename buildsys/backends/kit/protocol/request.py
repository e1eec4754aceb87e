"""What a worker function is given, and how it says what went wrong."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .progress import Progress
from .resuming import Resume


class StepError(Exception):
    """A step cannot be done, for a reason that the user can act on.

    Attributes:
        message: What is wrong, naming the model part (`op`, parameter, input) where it is known.
        hint: The way out, as an imperative.
        field: The recipe field at fault, relative to the model or the target's entry
            (for example `source.factory`), so that the host can point at the line.
    """

    def __init__(self, message: str, hint: str | None = None, field: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.field = field


@dataclass
class Request:
    """One action, as its worker sees it.

    Attributes:
        inputs: Input name to file or folder (copies that the worker may read, not write).
        outputs: Output name to the path that the worker must write.
        options: Everything that decides the result besides the inputs.
        scratch: An empty folder for temporary files; it is the current directory unless the
            model's own code runs.
        project: The recipe's folder, where the model's own code runs; otherwise `None`.
        threads: How many threads the step may use. Never part of a key: it must not change bytes.
        memory: How many bytes of memory there are for it; `None` where it is not known.
        telling: The file that it says how far it is in; `None` without a listener.
        resume: What an interrupted attempt at the same step has left, and what this one leaves.
        notes: What the worker wants said to the user in every output (a difference in layout,
            precision, names or sizes). Kept with the trace, shown on cached builds as well.
    """

    inputs: dict[str, Path]
    outputs: dict[str, Path]
    options: dict[str, Any]
    scratch: Path
    project: Path | None = None
    threads: int = 1
    memory: int | None = None
    notes: list[str] = field(default_factory=list)
    telling: Path | None = None
    resume: Resume = field(default_factory=Resume)

    def __post_init__(self) -> None:
        self._progress = Progress(self.telling)

    def progress(self, done: float, total: float, **figures: float | int | str) -> None:
        """Says how far the step is; costs next to nothing, so it may be said in an inner loop.

        Args:
            done: How much is done, in any unit.
            total: Of how much.
            figures: What else is worth showing: `loss=0.12`.
        """
        self._progress.tell(done, total, figures)

    def note(self, text: str) -> None:
        """Adds a sentence for the user, once."""
        if text not in self.notes:
            self.notes.append(text)
