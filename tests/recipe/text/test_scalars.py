from __future__ import annotations

import math

import pytest

from buildsys.recipe.text.scalars import TagMismatchError, resolve, resolve_tagged


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("-12", -12),
        ("+3", 3),
        ("010", 10),
        ("0o17", 15),
        ("0x1F", 31),
        ("1e-4", 1e-4),
        ("1.0e-4", 1e-4),
        ("2E3", 2000.0),
        (".5", 0.5),
        ("1.", 1.0),
        (".inf", math.inf),
        ("-.Inf", -math.inf),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("on", "on"),
        ("off", "off"),
        ("yes", "yes"),
        ("No", "No"),
        ("N", "N"),
        ("tRUE", "tRUE"),
        ("1_000", "1_000"),
        ("1:30", "1:30"),
        ("2024-01-01", "2024-01-01"),
        ("1.2.0", "1.2.0"),
        ("e5", "e5"),
        (".", "."),
        ("+", "+"),
        ("\u0661", "\u0661"),
        ("9" * 500, "9" * 500),
    ],
)
def test_plain_scalars_follow_yaml_1_2(text: str, value: object) -> None:
    resolved = resolve(text)
    assert (type(resolved), resolved) == (type(value), value)


def test_not_a_number_is_read() -> None:
    assert math.isnan(resolve(".nan"))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "tag", "value"),
    [("1", "str", "1"), ("1", "float", 1.0), ("7", "int", 7), ("true", "bool", True)],
)
def test_tags_are_honoured(text: str, tag: str, value: object) -> None:
    resolved = resolve_tagged(text, f"tag:yaml.org,2002:{tag}")
    assert (type(resolved), resolved) == (type(value), value)


@pytest.mark.parametrize(
    ("text", "tag", "message"),
    [
        ("x", "tag:yaml.org,2002:int", "`x` is no `!!int`"),
        ("1", "tag:yaml.org,2002:bool", "`1` is no `!!bool`"),
        ("x", "tag:yaml.org,2002:python/name:os", "the tag `!!python/name:os` is not allowed"),
        ("x", "!mine", "the tag `!mine` is not allowed"),
    ],
)
def test_other_tags_are_refused(text: str, tag: str, message: str) -> None:
    with pytest.raises(TagMismatchError) as caught:
        resolve_tagged(text, tag)
    assert str(caught.value) == message
