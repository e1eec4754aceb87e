"""What a source file needs, as it is remembered."""

from __future__ import annotations

import json
from dataclasses import dataclass

SCRIPTS = (".py", ".mjs", ".html")
"""Files that modules name, and start or write out."""


@dataclass(frozen=True)
class Needs:
    """What one source file says that it needs.

    Attributes:
        modules: Imports: how many packages up (0: an absolute name), the module, and names of it.
        scripts: Names of files, relative to its folder, that it may start or write out.
    """

    modules: tuple[tuple[int, str, tuple[str, ...]], ...]
    scripts: tuple[str, ...]

    def to_json(self) -> str:
        """One line."""
        return json.dumps([self.modules, self.scripts], separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Needs:
        """Reads what `to_json` wrote."""
        modules, scripts = json.loads(text)
        return cls(tuple((up, name, tuple(names)) for up, name, names in modules), tuple(scripts))
