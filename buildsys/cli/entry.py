"""Where `modelbuild` starts: a command that has nothing to do is answered before anything is imported."""

import sys

from buildsys.cli import answer


def main() -> None:
    """Runs the command line and exits with the documented status."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # A sign that cannot be shown must not end a build.
            stream.reconfigure(errors="replace")
    text = answer.recall(sys.argv[1:])
    if text is None:
        from buildsys.cli.main import main as usual

        usual()
    else:
        sys.stdout.write(text)
        sys.exit(0)
