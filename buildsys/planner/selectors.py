"""Which deployables a command is about: target names, labels, or globs over labels."""

from __future__ import annotations

import difflib
import fnmatch
import re
from collections.abc import Iterable, Sequence

_GLOB = re.compile(r"[*?\[]")


class NoMatch(Exception):
    """A selector matches no deployable. Exit status 4."""

    def __init__(self, selector: str, labels: Sequence[str]) -> None:
        targets = sorted({label.partition("/")[0] for label in labels})
        self.message = f"no deployable matches `{selector}`"
        near = difflib.get_close_matches(selector, [*labels, *targets], n=1)
        known = (
            f"targets are {', '.join(targets)}; labels look like {labels[0]}"
            if labels
            else ("the recipe has no targets")
        )
        self.hint = f"did you mean `{near[0]}`?" if near else known
        super().__init__(self.message)


def select(selectors: Iterable[str], labels: Sequence[str]) -> list[str]:
    """The labels that the selectors name, in the recipe's order; all where there is no selector.

    Raises:
        NoMatch: One of the selectors matches nothing.
    """
    selectors = list(selectors)
    if not selectors:
        return list(labels)
    chosen: set[str] = set()
    known = set(labels)
    by_target: dict[str, set[str]] = {}
    for label in labels:
        by_target.setdefault(label.partition("/")[0], set()).add(label)
    for selector in selectors:
        found = by_target.get(selector, set()) | ({selector} & known)
        if _GLOB.search(selector):
            found |= {label for label in labels if fnmatch.fnmatchcase(label, selector)}
        if not found:
            raise NoMatch(selector, labels)
        chosen |= found
    return [label for label in labels if label in chosen]
