"""Draws `docs/terminal.svg`: what `modelbuild build ios android` shows for `recipes/digits`.

python docs/terminal.py
"""

from __future__ import annotations

import io
import re
import time
from pathlib import Path

from rich.console import Console

import buildsys
from buildsys.engine.session import Session
from buildsys.report.progress import Progress
from buildsys.report.screens.console import print_build

HERE = Path(__file__).parent
RECIPE = HERE.parent / "recipes" / "digits" / "deploy.yaml"


def main() -> None:
    """Builds the recipe and records the screen."""
    screen = Console(record=True, width=140, file=io.StringIO(), highlight=False)
    screen.print("$ modelbuild build ios android", style="bold")
    started = time.monotonic()
    with Session(buildsys.load(RECIPE)) as session:
        progress = Progress(screen, quiet=False, verbose=False)
        build = session.build(
            ["ios", "android"], out=HERE.parent / "artifacts" / "digits", listener=progress
        )
    print_build(screen, build, time.monotonic() - started)
    svg = screen.export_svg(title="modelbuild").replace(str(HERE.parent), "~/modelbuild")
    # No fonts from the network: the picture is to look the same offline.
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.S).replace("Fira Code", "monospace")
    (HERE / "terminal.svg").write_text(svg)


if __name__ == "__main__":
    main()
