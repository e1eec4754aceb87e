"""The cases of `kit.run.edges`, in words; imports nothing, since gates and reports tell them."""

from __future__ import annotations

WORDS = {
    "zeros": "inputs of all zeros",
    "low": "inputs at the low end of their range",
    "high": "inputs at the high end of their range",
    "least": "inputs of the least value in the samples",
    "most": "inputs of the greatest value in the samples",
}
