"""What this machine's processor makes of products of 8 bits.

Processors of x86 without VNNI add neighbouring products of unsigned and signed bytes in 16 bits, and cut off
what is larger. ONNX Runtime and OpenVINO use that instruction, so that the same file errs more there: by 3.6
times in the models of these tests, at most.
"""

from __future__ import annotations

from pathlib import Path

SATURATED = 4.0
"""How much larger errors may be where sums of products are cut off."""


def _exact() -> bool:
    """Whether sums of products of bytes are exact here: everywhere but on older x86 processors."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return True
    flags = next((line for line in text.splitlines() if line.startswith("flags")), "").split()
    return "avx2" not in flags or bool({"avx512_vnni", "avx_vnni"} & set(flags))


EXACT = _exact()


def in_8_bits(limit: float) -> float:
    """A limit of an error in arithmetic of 8 bits, for this processor."""
    return limit if EXACT else SATURATED * limit
