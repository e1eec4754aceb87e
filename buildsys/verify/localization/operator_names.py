"""Names of operations and of values, as formats and torch write them for one thing."""

from __future__ import annotations

from collections.abc import Iterator

PREFIX = 4
"""Letters at least that two words must have in common at their beginning to be one."""

ALIASES = (
    {"conv", "convolution", "conv2d", "conv1d", "depthwiseconv2d", "mkldnnconvolution"},
    {"gemm", "addmm", "matmul", "mm", "bmm", "linear", "fullyconnected", "batchmatmul"},
    {"mul", "mulscalar", "realdiv", "div", "truediv"},
    {"layernorm", "layernormalization", "nativelayernorm", "mvn"},
    {"batchnorm", "batchnormalization", "nativebatchnorm"},
    {"reducemean", "mean", "reducesum", "sum", "std", "var"},
    {"relu", "clip", "clamp", "hardtanh", "relu6"},
    {"maxpool", "maxpool2dwithindices", "maxpool2d"},
    {"averagepool", "avgpool2d", "globalaveragepool", "adaptiveavgpool2d", "mean"},
    {"gather", "embedding", "index", "indexselect"},
    {"square", "pow", "mul"},
)
"""Words of formats and of torch for one thing, without marks and in small letters."""

VIEWS = frozenset(
    f"aten::{name}"
    for name in (
        "view",
        "_unsafe_view",
        "t",
        "transpose",
        "permute",
        "expand",
        "unsqueeze",
        "squeeze",
        "detach",
        "alias",
        "clone",
        "reshape",
        "_reshape_alias",
    )
)
"""Operators of torch that compute nothing."""


def plain(name: str) -> str:
    """A name as all formats may write it: letters and digits, parted by one mark."""
    return "_".join(_words(name))


def unmarked(name: str) -> str:
    """A name in small letters, without any mark."""
    return "".join(_words(name))


def same_kind(operation: str, other: str) -> bool:
    """Whether an artifact's operation may stand for an operator of torch, by their words."""
    mine, theirs = unmarked(operation), unmarked(other.rpartition("::")[2])
    if mine == theirs or any({mine, theirs} <= words for words in ALIASES):
        return True
    short = min(len(mine), len(theirs))
    return short >= PREFIX and (mine.startswith(theirs) or theirs.startswith(mine))


def _words(name: str) -> Iterator[str]:
    word = ""
    for letter in name.lower():
        if letter.isalnum():
            word += letter
        elif word:
            yield word
            word = ""
    if word:
        yield word
