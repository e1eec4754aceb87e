"""The operations that `keep_float` keeps in float32 while a package becomes float16."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ...kit.export.modules import modules
from ...kit.protocol.globs import fits, fitting
from ...kit.protocol.request import Request
from ..libraries import ct
from .conversion import is_exported

_SCOPES = ct.converters.mil.mil.scope.ScopeSource
_HALF = "_cast_fp16"
"""What coremltools adds to the name of an operation that it makes float16."""
_SIGN = re.compile(r"[^a-zA-Z0-9_]")


class Kept:
    """Chooses the operations that become float16, and remembers which did not.

    An operation answers to its place in the model (`encoder.mask.12`, which `encoder.mask.*` and
    `encoder.*` fit), to its module (`encoder.mask`), and to its name in the package, with and
    without what float16 adds to it (`bias_1`, `bias_1_cast_fp16`). A constant goes with the
    operations that take it: what only kept ones take stays float32.
    """

    def __init__(self, patterns: Sequence[str], model: Any) -> None:
        """Takes the recipe's globs, and the captured model."""
        self._patterns = tuple(patterns)
        # TorchScript's scopes come along with the operations; an exported program's do not.
        self._modules: Mapping[str, str] = modules(model) if is_exported(model) else {}
        self._answers: dict[str, list[str]] = {}
        self._kept: set[str] = set()

    @property
    def precision(self) -> Any:
        """What `ct.convert` takes as `compute_precision`."""
        if not self._patterns:
            return ct.precision.FLOAT16
        return ct.transform.FP16ComputePrecision(op_selector=self._becomes_half)

    def check(self, request: Request) -> None:
        """Says how many operations were kept, once the model is converted.

        Raises:
            StepError: A glob fits no operation; the error names the nearest.
        """
        if not self._patterns:
            return
        fitting(self._patterns, self._answers, "fits no operation of the model")
        request.note(
            f"{len(self._kept)} of {len(self._answers)} operations stay float32 by `keep_float`"
        )

    def _becomes_half(self, operation: Any) -> bool:
        if operation.op_type == "const" or not _computes_floats(operation):
            return True  # A constant is cast once for each that takes it as float16.
        names = list(dict.fromkeys(self._names(operation)))
        self._answers[operation.name] = names
        kept = any(fits(pattern, names) for pattern in self._patterns)
        if kept:
            self._kept.add(operation.name)
        return not kept

    def _names(self, operation: Any) -> Iterator[str]:
        """What an operation answers to, its module first."""
        outputs = [output.name for output in operation.outputs]
        scope = operation.scopes.get(_SCOPES.TORCHSCRIPT_MODULE_NAME)
        if scope:
            *module, last = (str(name) for name in scope)
        else:
            found = (self._modules.get(name) for name in (operation.name, *outputs))
            module = [next((path for path in found if path), "")]
            last = operation.name
        path = ".".join(part for part in module if part)
        if path:
            yield path
            yield f"{path}.{last}"
        for name, prefix in ((operation.name, "op_"), *((name, "var_") for name in outputs)):
            written = _SIGN.sub("_", name)
            written = prefix + written if written[0].isdigit() else written
            yield written
            yield written + _HALF


def _computes_floats(operation: Any) -> bool:
    """Whether there is a float32 among what an operation takes and gives."""
    taken = [
        each
        for value in operation.inputs.values()
        for each in (value if isinstance(value, list | tuple) else [value])
    ]
    return any(v.is_tensor_or_scalar_of(dtype="fp32") for v in (*taken, *operation.outputs))
