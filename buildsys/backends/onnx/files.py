"""What the files of an artifact are called."""

from __future__ import annotations

from pathlib import Path

MODEL = "model.onnx"
DATA = "model.onnx.data"


def model_file(artifact: Path) -> Path:
    """The graph of an artifact: the file itself, or the one in a folder with its weights."""
    return artifact / MODEL if artifact.is_dir() else artifact
