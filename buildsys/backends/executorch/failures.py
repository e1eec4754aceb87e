"""Which operator an error of ExecuTorch's is about."""

from __future__ import annotations

import re

_PATTERNS = (
    # A list of them, as `{'aten::foo.bar'}`, from the pass that looks for kernels.
    re.compile(r"[Mm]issing out variants?: [^'\"\w]*['\"]?(?P<op>[\w:]+\.?\w*)"),
    re.compile(r"Operator torch\._ops\.(?P<op>[\w.]+) is not"),
    re.compile(r"<OpOverload\(op='(?P<op>[\w.:]+)'"),
)


def operator_of(error: BaseException) -> str | None:
    """The operator that an error of ExecuTorch's is about, for example `aten::foo.default`."""
    current: BaseException | None = error
    while current is not None:
        for pattern in _PATTERNS:
            found = pattern.search(str(current))
            if found:
                return found["op"]
        current = current.__cause__ or current.__context__
    return None
