"""What a step writes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["file", "tree"]


@dataclass(frozen=True)
class Output:
    """A file or folder that a step must write.

    Attributes:
        name: What other steps call it.
        filename: Its name on the disk.
        kind: Whether it is a file or a folder.
        measured: Of a JSON file, the fields that are measured again each time: times and memory. All
            else must be the same when the step is repeated.
    """

    name: str
    filename: str
    kind: Kind = "file"
    measured: tuple[str, ...] = ()
