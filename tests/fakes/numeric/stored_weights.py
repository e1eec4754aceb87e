"""The one weight of a matrix in JSON."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..kit.inspect.stored_weights import Stored, plain
from ..kit.protocol.contract import Contract
from . import runtime


def read(path: Path, contract: Contract) -> Iterator[Stored]:
    yield plain("matrix", np.asarray(runtime.rows(path), np.float32), readers=("matmul y",))
