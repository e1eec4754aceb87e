"""Where `modelbuild` starts: a command that has nothing to do is answered before anything is imported."""

import gc
import sys

from buildsys.cli.answer.recalling import recall

GARBAGE = (50_000, 20, 100)
"""Objects, and younger collections, between two collections. Nearly all that a command makes it keeps until
its end: with Python's own 700, looking for garbage among it takes a tenth of the CPU time of a plan."""


def main() -> None:
    """Runs the command line and exits with the documented status."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # A sign that cannot be shown must not end a build.
            stream.reconfigure(errors="replace")
    gc.set_threshold(*GARBAGE)
    text = recall(sys.argv[1:])
    if text is None:
        from buildsys.cli.main import main as usual

        usual()
    else:
        sys.stdout.write(text)
        sys.exit(0)
