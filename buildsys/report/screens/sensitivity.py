"""The layers of an artifact by what their quantization costs, for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

BAR = 24
"""Characters of the longest bar."""


def print_sensitivity(console: Console, record: Mapping[str, Any]) -> None:
    """A line a layer, the most sensitive first.

    Args:
        console: Where to.
        record: As `search.sensitivity.Sensitivity.to_json` gives it.
    """
    head = f"{record['label']}: each layer alone by `{record['profile']}`, all others in float"
    console.print(Text(head, "bold"), soft_wrap=True)
    console.print(_table(record, "#" if console.options.ascii_only else "█"))
    for layer in record["layers"]:
        if layer["error"] is None:
            text = f"{layer['name']}: {layer['reason']}"
            console.print(text, style="dim", markup=False, highlight=False, soft_wrap=True)
    text = f"signal_error of the worst output against the float artifact, by {record['runtime']}"
    console.print(Text(text, "dim"), soft_wrap=True)


def _table(record: Mapping[str, Any], block: str) -> Table:
    grid = Table(box=None, pad_edge=False, header_style="bold")
    grid.add_column("layer", no_wrap=True, overflow="fold")
    grid.add_column("error", justify="right", no_wrap=True)
    grid.add_column("bytes saved", justify="right", no_wrap=True)
    grid.add_column("", no_wrap=True)
    most = max((layer["error"] or 0.0 for layer in record["layers"]), default=0.0)
    for layer in record["layers"]:
        error = layer["error"]
        length = max(1, round(error * BAR / most)) if error and most else 0
        grid.add_row(
            Text(layer["name"]),
            "–" if error is None else f"{error:.2g}",
            f"{layer['saved']:,}",
            block * length,
        )
    return grid
