"""A loaded .pte file. Inputs and outputs go by position: the file has no names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import torch  # Its libraries have to be there before ExecuTorch's.

# Not `executorch.runtime`, which imports the whole compiler for one warning (ten seconds).
from executorch.extension.pybindings import _portable_lib as native

from ..kit.protocol.request import StepError

METHOD = "forward"
MEANINGS = {
    0x10: "something in it is not supported",
    0x12: "an input has another shape than the file allows, or another dtype",
    0x14: "an operator of it has no kernel",
    0x20: "a file, or a delegate, that it needs is missing",
    0x21: "there is not enough memory",
    0x23: "it is damaged",
    0x30: "a delegate refuses its part of it",
}
"""Error codes of ExecuTorch's `runtime/core/error.h`; the log says more."""
_CODE = re.compile(r"0x:?(?P<code>[0-9a-fA-F]+)")


class File:
    """A .pte file, ready to run."""

    def __init__(self, data: bytes, threads: int) -> None:
        """Loads a file's bytes for so many threads.

        Raises:
            StepError: The runtime refuses it.
        """
        native._unsafe_reset_threadpool(threads)
        self._data = data  # The program points into it.
        try:
            self._module = native._load_for_executorch_from_buffer(data)
            self._module.method_meta(METHOD)
        except RuntimeError as error:
            raise StepError(f"ExecuTorch does not load the file: {_reason(error)}") from error

    def run(self, given: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Runs once.

        Raises:
            StepError: The runtime refuses an input, or fails.
        """
        try:
            found: list[Any] = self._module.run_method(METHOD, tuple(given), clone_outputs=True)
        except RuntimeError as error:
            raise StepError(f"ExecuTorch does not run the file: {_reason(error)}") from error
        return found

    @staticmethod
    def operators() -> frozenset[str]:
        """Every kernel that this runtime has, as `namespace::name.overload`."""
        return frozenset(native._get_operator_names())


def _reason(error: RuntimeError) -> str:
    text = " ".join(str(error).split())
    code = _CODE.search(text)
    meaning = MEANINGS.get(int(code["code"], 16)) if code else None
    return f"{meaning} ({text})" if meaning else text
