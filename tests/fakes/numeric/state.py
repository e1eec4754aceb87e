"""The model's own matrix."""

from __future__ import annotations

import numpy as np

from ..kit.inspect.stored_weights import Weights, plain, save
from ..kit.protocol.request import Request
from .worker import _build


def weights(request: Request) -> None:
    own = Weights([plain("body.matrix", np.asarray(_build(request), np.float32))])
    save(own, request.outputs["weights"], request.outputs["names"])
