"""What a source file says that it needs: its imports, and the scripts that it names."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from buildsys.engine.staleness.needs import SCRIPTS, Needs

SCRIPT = re.compile(rf"[\w./-]+(?:{'|'.join(map(re.escape, SCRIPTS))})")
IMPORTED_SCRIPT = re.compile(r"""["'](\.{1,2}/[\w./-]+\.mjs)["']""")


def needs_of(file: Path) -> Needs:
    """Reads what a source file needs; one that is no Python is looked through for scripts alone."""
    text = file.read_text(encoding="utf-8")
    if file.suffix != ".py":
        return Needs((), tuple(sorted(set(IMPORTED_SCRIPT.findall(text)))))
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return Needs((), ())  # Its step says so.
    modules: set[tuple[int, str, tuple[str, ...]]] = set()
    scripts: set[str] = set()
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.ImportFrom):
            names = tuple(sorted(each.name for each in node.names))
            modules.add((node.level, node.module or "", names))
        elif isinstance(node, ast.Import):
            modules |= {(0, each.name, ()) for each in node.names}
        elif isinstance(node, ast.Constant):
            if isinstance(node.value, str) and SCRIPT.fullmatch(node.value):
                scripts.add(node.value)
        elif isinstance(node, ast.If) and _is_for_types(node.test):
            waiting += node.orelse
        else:
            waiting += ast.iter_child_nodes(node)
    return Needs(tuple(sorted(modules)), tuple(sorted(scripts)))


def _is_for_types(test: ast.expr) -> bool:
    """Whether a branch is for type checkers alone, and never run."""
    return isinstance(test, ast.Name) and test.id == "TYPE_CHECKING"
