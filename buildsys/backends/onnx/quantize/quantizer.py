"""onnxruntime.quantization, called: quiet, and with its errors in our words."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from ...kit.protocol.request import StepError
from .prepared import FIELD


@contextmanager
def called() -> Iterator[None]:
    """A block in which a quantizer of ONNX Runtime is called.

    Raises:
        StepError: It fails, with any of a dozen types of errors that are all about this model.
    """
    logging.disable(logging.WARNING)  # Its advice is for those who call it from a shell.
    try:
        yield
    except Exception as error:
        raise StepError(
            f"onnxruntime.quantization fails: {type(error).__name__}: {error}",
            "keep the operator that it names in float (`keep_float`), or take `weight-only`",
            FIELD,
        ) from error
    finally:
        logging.disable(logging.NOTSET)
