"""What backends may declare."""

from __future__ import annotations

from dataclasses import replace

import pytest

from buildsys.backends.base import Scheme
from buildsys.planner.catalog import Catalog, CatalogError
from buildsys.quantization import METHOD_NAMES, SCHEME_NAMES
from buildsys.verify.judgment.defaults import BY_SCHEME
from tests.fakes.numeric.rules import backend


@pytest.mark.parametrize(
    ("scheme", "said"),
    [
        (Scheme("float8"), "declares the scheme `float8`; known are float16, bfloat16, "),
        (Scheme("mixed", mixes=("float8",)), "declares the scheme `float8`; "),
        (Scheme("static", methods=("median",)), "declares the calibration method `median`; "),
    ],
)
def test_a_word_that_no_table_has_is_refused(scheme: Scheme, said: str) -> None:
    first, *others = backend.formats
    declared = replace(backend, formats=(replace(first, schemes=(scheme,)), *others))
    with pytest.raises(CatalogError, match=said):
        Catalog.load([declared])


def test_two_backends_may_not_declare_one_format() -> None:
    other = replace(backend, name="other", sources=(), toolchains=())
    with pytest.raises(CatalogError, match="two backends declare the format"):
        Catalog.load([backend, other])


def test_every_scheme_has_default_bounds() -> None:
    assert set(BY_SCHEME) == {None, *SCHEME_NAMES}


def test_words_are_unique() -> None:
    for names in (SCHEME_NAMES, METHOD_NAMES):
        assert len(set(names)) == len(names)
