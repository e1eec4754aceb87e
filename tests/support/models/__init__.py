"""Models to convert, and the scripts that write them inside a toolchain."""

from pathlib import Path

FOLDER = Path(__file__).parent
