"""The one weight of a matrix in JSON."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..kit.contract import Contract
from ..kit.stored_weights import Stored, plain
from . import runtime


def read(path: Path, contract: Contract) -> Iterator[Stored]:
    yield plain("matrix", np.asarray(runtime.rows(path), np.float32), readers=("matmul y",))
