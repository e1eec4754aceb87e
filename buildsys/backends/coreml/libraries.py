"""coremltools and torch without their noise; imported from here only, so silence comes first."""

from __future__ import annotations

import logging
import os
import sys
import warnings

# An importable TensorFlow doubles the import's time and memory, and adds two dozen lines of stderr.
sys.modules["tensorflow"] = None  # type: ignore[assignment]
# tqdm reads this once, when torch or coremltools first imports it.
os.environ["TQDM_DISABLE"] = "1"
# Off a Mac coremltools reports each missing native library, and any torch newer than its last test.
logging.getLogger("coremltools").setLevel(logging.ERROR)
warnings.filterwarnings("ignore", module=r"coremltools(\.|$)")
warnings.filterwarnings("ignore", module=r"torch(\.|$)")

import coremltools as ct  # noqa: E402
import torch  # noqa: E402

__all__ = ["ct", "torch"]
