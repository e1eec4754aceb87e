from __future__ import annotations

from pathlib import Path

from buildsys.recipe import Diagnostic, Position, RecipeError
from buildsys.recipe.text.position import Source

FOLDER = Path("/project")
LINE = "    - {format: coreml, quantisation: fp16}"


def at(line: int, column: int, length: int, text: str, note: str = "") -> Position:
    return Position(FOLDER / "deploy.yaml", line, column, length, text, note)


def test_the_shape_of_a_finding() -> None:
    diagnostic = Diagnostic(
        "unknown key `quantisation`", at(14, 24, 12, LINE), "did you mean `quantization`?"
    )
    assert diagnostic.render(FOLDER) == (
        "error: unknown key `quantisation`\n"
        "  --> deploy.yaml:14:24\n"
        "   |\n"
        "14 |     - {format: coreml, quantisation: fp16}\n"
        "   |                        ^^^^^^^^^^^^\n"
        "hint: did you mean `quantization`?"
    )


def test_other_places_are_shown_with_their_notes() -> None:
    diagnostic = Diagnostic(
        "duplicate key `a`",
        at(100, 1, 1, "a: 2"),
        also=(at(9, 1, 1, "a: 1", "first written here"),),
        severity="warning",
    )
    assert diagnostic.render(FOLDER) == (
        "warning: duplicate key `a`\n"
        "   --> deploy.yaml:100:1\n"
        "    |\n"
        "100 | a: 2\n"
        "    | ^\n"
        "   ::: deploy.yaml:9:1\n"
        "    |\n"
        "  9 | a: 1\n"
        "    | - first written here"
    )


def test_without_a_place_there_is_only_text() -> None:
    assert Diagnostic("no recipe", hint="write one").render() == "error: no recipe\nhint: write one"


def test_a_place_without_a_line_has_no_snippet() -> None:
    assert Diagnostic("bad", Position(FOLDER / "x.yaml", 2, 3)).render(FOLDER) == (
        "error: bad\n --> x.yaml:2:3"
    )


def test_a_file_elsewhere_is_shown_whole() -> None:
    assert Diagnostic("bad", Position(Path("/other/x.yaml"), 2, 3)).render(FOLDER) == (
        "error: bad\n --> /other/x.yaml:2:3"
    )


def test_carets_stand_under_wide_characters_and_tabs() -> None:
    text = "犬\te\u0301x: 1"
    diagnostic = Diagnostic("bad", at(1, 5, 1, text))
    lines = diagnostic.render(FOLDER).splitlines()
    assert lines[3] == "1 | 犬    e\u0301x: 1"
    assert lines[4] == "  | " + " " * 7 + "^"


def test_control_characters_do_not_reach_the_terminal() -> None:
    rendered = Diagnostic("bad", at(1, 1, 1, "a\x1b[31mb")).render(FOLDER)
    assert "\x1b" not in rendered
    assert "a\N{REPLACEMENT CHARACTER}[31mb" in rendered


def test_a_long_line_is_shown_in_part() -> None:
    text = "a" * 500 + "HERE" + "b" * 500
    lines = Diagnostic("bad", at(1, 501, 4, text)).render(FOLDER).splitlines()
    assert lines[3] == "1 | ..." + "a" * 80 + "HERE" + "b" * 80 + "..."
    assert lines[4] == "  | " + " " * 83 + "^^^^"


def test_plain_data() -> None:
    diagnostic = Diagnostic("bad", at(1, 2, 3, "xyz"), "good", (at(4, 5, 6, "", "there"),))
    assert diagnostic.to_json(FOLDER) == {
        "severity": "error",
        "message": "bad",
        "hint": "good",
        "position": {"file": "deploy.yaml", "line": 1, "column": 2, "length": 3, "note": None},
        "also": [{"file": "deploy.yaml", "line": 4, "column": 5, "length": 6, "note": "there"}],
    }
    assert Diagnostic("bad").to_json()["position"] is None


def test_an_error_shows_all_findings() -> None:
    error = RecipeError([Diagnostic("one"), Diagnostic("two", hint="do")])
    assert str(error) == "error: one\n\nerror: two\nhint: do"
    assert [each.message for each in error.diagnostics] == ["one", "two"]


def test_positions_are_equal_by_place_and_ordered() -> None:
    assert at(1, 2, 3, "x", "n") == at(1, 2, 9, "y")
    assert min([at(2, 1, 1, ""), at(1, 9, 1, "")]).line == 1


def test_positions_of_a_text() -> None:
    source = Source(FOLDER / "deploy.yaml", "ab\r\ncde\n")
    place = source.position(5, 7)
    assert (place.line, place.column, place.length, place.text) == (2, 2, 2, "cde")
    past = source.position(8)
    assert (past.line, past.column, past.text) == (3, 1, "")
