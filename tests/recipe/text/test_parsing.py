from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from buildsys.recipe.diagnostic import Diagnostic
from buildsys.recipe.text import parsing
from buildsys.recipe.text.document import Node, follow
from buildsys.recipe.text.parsing import MOST_NODES, Composer, RefusedError
from buildsys.recipe.text.position import Source

FILE = Path("/project/deploy.yaml")


@pytest.fixture(params=["libyaml", "python"], autouse=True)
def _loader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both parsers give the same values, places and findings."""
    if request.param == "python":
        monkeypatch.setattr(parsing, "_LOADER", yaml.SafeLoader)
    elif not yaml.__with_libyaml__:
        pytest.skip("PyYAML was built without libyaml")


def compose(text: str) -> tuple[Node, list[Diagnostic]]:
    composer = Composer(Source(FILE, text), {})
    return composer.compose(), composer.diagnostics


def value(text: str) -> object:
    root, diagnostics = compose(text)
    assert diagnostics == []
    return root.data


def place(text: str, *keys: str | int) -> tuple[int, int, int]:
    """Line, column and underlined length of a value."""
    found = follow(compose(text)[0], keys)
    assert found.depth == len(keys)
    position = found.value_position()
    return position.line, position.column, position.length


def refusal(text: str) -> tuple[str, str, str | None]:
    with pytest.raises(RefusedError) as caught:
        compose(text)
    diagnostic = caught.value.diagnostic
    assert diagnostic.position is not None
    return diagnostic.position.shown(FILE.parent), diagnostic.message, diagnostic.hint


def complaints(text: str) -> list[tuple[str, str]]:
    return [
        (each.position.shown(FILE.parent), each.message)
        for each in compose(text)[1]
        if each.position is not None
    ]


def test_values() -> None:
    text = "a: [1, '2', yes]\nb: {c: 1e-4, d: }\ne: |\n  x\n  y\n1: true\n"
    assert value(text) == {
        "a": [1, "2", "yes"],
        "b": {"c": 1e-4, "d": None},
        "e": "x\ny\n",
        "1": True,
    }


@pytest.mark.parametrize(
    ("text", "keys", "expected"),
    [
        ("a: 12\n", ("a",), (1, 4, 2)),
        ("a: 'é😀'  \nb: x\n", ("a",), (1, 4, 4)),
        ("é😀: {b: x}\n", ("é😀", "b"), (1, 9, 1)),
        ("a:\n  b:\n    - x\n    - yy\n", ("a", "b", 1), (4, 7, 2)),
        ("a:\n  bcd:\n    e: 1\n", ("a",), (2, 3, 3)),
        ("a:\n  - 1\n", ("a",), (2, 3, 1)),
        ("a: {b: 1}  # c\n", ("a",), (1, 4, 6)),
        ("a: {\n  b: 1}\n", ("a",), (1, 4, 1)),
        ("a:\nb: 1\n", ("a",), (1, 1, 1)),
        ("a: |\n  text\n", ("a",), (1, 4, 1)),
        ("a: 'x\n  y'\n", ("a",), (1, 4, 2)),
        ("a: &n {b: 1}\n", ("a",), (1, 7, 6)),
        ("a: &n  # why\n  b: 1\n", ("a",), (2, 3, 1)),
        ("a: !!str 12\n", ("a",), (1, 10, 2)),
        ("a: 1\r\nb: 22\r\n", ("b",), (2, 4, 2)),
        ("a: &n {b: 1}\nc: *n\n", ("c", "b"), (1, 11, 1)),
        ("a: &n {b: 1}\nc: [*n]\n", ("c", 0), (1, 7, 6)),
        ("a: &n {b: 1}\nc:\n  <<: *n\n  d: 2\n", ("c", "b"), (1, 11, 1)),
    ],
)
def test_places(text: str, keys: tuple[str | int, ...], expected: tuple[int, int, int]) -> None:
    assert place(text, *keys) == expected


def test_own_entries_win_over_merged_and_earlier_over_later() -> None:
    text = (
        "a: &a {x: 1, y: 1}\nb: &b {x: 2, z: 2}\n"
        "c:\n  first: 0\n  <<: [*a, *b]\n  y: 3\n"
        "d: {<<: {x: 5}}\n"
    )
    merged = value(text)
    assert isinstance(merged, dict)
    assert list(merged["c"].items()) == [("first", 0), ("x", 1), ("z", 2), ("y", 3)]
    assert merged["d"] == {"x": 5}


def test_a_merged_value_knows_where_it_was_merged() -> None:
    root, _ = compose("a: &a {x: 1}\nc:\n  <<: *a\n")
    found = follow(root, ("c", "x"))
    assert [(p.line, p.column, p.length, p.note) for p in found.via] == [
        (3, 7, 2, "merged in here")
    ]


def test_a_quoted_merge_sign_is_a_key() -> None:
    assert value("a: {'<<': 1}\n") == {"a": {"<<": 1}}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\nb: 2\na: 3\n", [("deploy.yaml:3:1", "duplicate key `a`")]),
        ("x: {a: 1, a: 2, a: 3}\n", [
            ("deploy.yaml:1:11", "duplicate key `a`"),
            ("deploy.yaml:1:17", "duplicate key `a`"),
        ]),
        ("a: &a {x: 1}\nb:\n  <<: *a\n  <<: *a\n", [("deploy.yaml:4:3", "duplicate key `<<`")]),
        ("b: {<<: 3}\n", [
            ("deploy.yaml:1:9", "a merge key `<<` takes a mapping or a list of mappings")
        ]),
        ("a: !!python/object:os.system {}\n", [
            ("deploy.yaml:1:4", "the tag `!!python/object:os.system` is not allowed")
        ]),
        ("a: !!python/name:os.system x\n", [
            ("deploy.yaml:1:4", "the tag `!!python/name:os.system` is not allowed")
        ]),
        ("a: !!seq {}\n", [("deploy.yaml:1:4", "the tag says a list, but this is a mapping")]),
        ("a: !!int x\n", [("deploy.yaml:1:4", "`x` is no `!!int`")]),
    ],
)  # fmt: skip
def test_complaints_that_do_not_stop_the_reading(
    text: str, expected: list[tuple[str, str]]
) -> None:
    assert complaints(text) == expected


def test_a_duplicate_names_the_first_place() -> None:
    _, (diagnostic,) = compose("a: 1\nb: 2\na: 3\n")
    assert [(p.line, p.column, p.note) for p in diagnostic.also] == [(1, 1, "first written here")]


@pytest.mark.parametrize(
    ("text", "where", "message", "hint"),
    [
        ("", "1:1", "the file is empty", "it must hold a recipe"),
        ("# nothing\n", "1:1", "the file is empty", "it must hold a recipe"),
        ("- a\n", "1:1", "the file is not a mapping at its top level", "write `key: value` lines"),
        ("text\n", "1:1", "the file is not a mapping at its top level", "write `key: value` lines"),
        ("a: 1\n\tb: 2\n", "2:1", "not YAML: a tab stands where only spaces may",
         "indent with spaces"),
        ("a: 1\n---\nb: 2\n", "2:1", "a second document begins here",
         "a file holds one document: delete the `---`"),
        ("a: b: c\n", "1:5", "not YAML: mapping values are not allowed",
         "quote a text that holds `: `, or check the indentation"),
        ("a: @b\n", "1:4", "not YAML: found character", "quote a text that begins with `@`"),
        ("ab: x\x01y\n", "1:6", "not YAML: the character U+0001 is not allowed", "delete it"),
        ("é: x\n😀: \x07\n", "2:4", "not YAML: the character U+0007 is not allowed", "delete it"),
        ("a: *b\n", "1:4", "no anchor `&b` stands before this alias", None),
        ("a: &b [1, *b]\n", "1:11", "the alias `*b` stands inside its own anchor", None),
        ("? [a]\n: 1\n", "1:3", "a key must be text", "write it as one word"),
        ("a: " + "[" * 100, "1:68", "nested more than 64 deep", None),
    ],
)  # fmt: skip
def test_what_cannot_be_read(text: str, where: str, message: str, hint: str | None) -> None:
    found_where, found_message, found_hint = refusal(text)
    assert (found_where, found_hint) == (f"deploy.yaml:{where}", hint)
    # The two parsers end some messages in different words.
    assert found_message.startswith(message)


def test_a_bomb_of_aliases_is_refused() -> None:
    rows = ["a0: &a0 {k: lol}"]
    for level in range(1, 13):
        rows.append(f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]")
    assert refusal("\n".join(rows)) == (
        "deploy.yaml:7:10",
        f"the file stands for more than {MOST_NODES} values",
        "use fewer aliases",
    )


def test_a_bomb_of_merges_is_refused() -> None:
    keys = ", ".join(f"k{i}: 1" for i in range(1000))
    aliases = ", ".join(["*a"] * 1000)
    _, message, _ = refusal(f"a: &a {{{keys}}}\nb:\n  <<: [{aliases}]\n")
    assert message == f"the file stands for more than {MOST_NODES} values"


def test_aliases_within_reason_are_read() -> None:
    assert value("a: &a [1, 2]\nb: [*a, *a]\n") == {"a": [1, 2], "b": [[1, 2], [1, 2]]}
