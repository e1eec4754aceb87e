"""Writes a family of timm as a project with four formats."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import yaml

from benchmarks.timm_zoo.families import FAMILIES

HERE = Path(__file__).parent
REQUIREMENTS = """\
torch==2.13.0
torchvision==0.28.0
timm==1.0.31
numpy==2.4.6
safetensors==0.8.0
"""
ENTRIES = {
    "onnx": {"format": "onnx"},
    "tflite": {"format": "tflite"},
    "coreml": {"format": "coreml", "quantization": "half"},
    "openvino": {"format": "openvino"},
}
SEED, OTHER_SEED = 1, 2


def write(
    folder: Path, family: str, formats: Sequence[str] = tuple(ENTRIES), seed: int = SEED
) -> Path:
    """Writes a project of one model.

    Args:
        folder: Where to.
        family: A name of `FAMILIES`.
        formats: Names of `ENTRIES`.
        seed: Draws the samples.

    Returns:
        Its recipe.
    """
    folder.mkdir(parents=True, exist_ok=True)
    member = FAMILIES[family]
    side = member.side
    shutil.copyfile(HERE / "timm_models.py", folder / "timm_models.py")
    (folder / "requirements.txt").write_text(REQUIREMENTS)
    recipe = {
        "version": 1,
        "project": "timm",
        "models": {
            family: {
                "source": {
                    "factory": "timm_models:build",
                    "args": {"name": member.model, **member.sizes},
                },
                "environment": {"requirements": "requirements.txt"},
                "inputs": {"image": {"shape": [1, 3, side, side], "layout": "NCHW"}},
                "outputs": {"logits": {}},
                "samples": {"random": "normal", "count": 4, "seed": seed},
            }
        },
        "targets": {"server": [ENTRIES[name] for name in formats]},
    }
    if "coreml" in formats:
        recipe["quantization"] = {"half": {"scheme": "float16"}}
    path = folder / "deploy.yaml"
    path.write_text(yaml.safe_dump(recipe, sort_keys=False))
    return path
