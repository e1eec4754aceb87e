from __future__ import annotations

import pytest

from buildsys.recipe.text.interpolation import interpolate, locate
from tests.recipe.project import Project


@pytest.mark.parametrize(
    ("text", "result", "used"),
    [
        ("${A}", "1", {"A": "1"}),
        ("x${A}y${B:-2}", "x1y2", {"A": "1", "B": "2"}),
        ("${EMPTY:-d}", "d", {"EMPTY": "d"}),
        ("${EMPTY}", "", {"EMPTY": ""}),
        ("${B:-}", "", {"B": ""}),
        ("${A:-d}", "1", {"A": "1"}),
        ("$${A}", "${A}", {}),
        ("$$$$", "$$", {}),
        ("cost $5 and head$", "cost $5 and head$", {}),
        ("${B:-a:-b}", "a:-b", {"B": "a:-b"}),
    ],
)
def test_variables_and_defaults(text: str, result: str, used: dict[str, str]) -> None:
    filled = interpolate(text, {"A": "1", "EMPTY": ""})
    assert (filled.text, filled.used, filled.problems) == (result, used, ())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("${B}", "the environment variable `B` is not set"),
        ("${1B}", "`${1B}` is not `${VAR}` or `${VAR:-default}`"),
        ("${B-x}", "`${B-x}` is not `${VAR}` or `${VAR:-default}`"),
        ("${}", "`${}` is not `${VAR}` or `${VAR:-default}`"),
        ("a ${B", "`${` is not closed"),
    ],
)
def test_what_cannot_be_put_in(text: str, message: str) -> None:
    filled = interpolate(text, {})
    assert [problem.message for problem in filled.problems] == [message]
    assert filled.text == text


def test_a_token_is_found_where_it_is_written() -> None:
    text, raw = "a $$ ${X} ${Y}", '"a $$ ${X} ${Y}"'
    start, end = locate(raw, text, 2) or (0, 0)
    assert raw[start:end] == "${Y}"


def test_a_token_behind_escapes_has_no_place() -> None:
    assert locate(r'"\x24{X}"', "${X}", 0) is None


def test_plain_values_are_read_again_and_quoted_ones_are_text(project: Project) -> None:
    project.edit(
        ("args: {width: 16}", 'args:\n        width: ${W:-32}\n        tag: "${W:-32}"'),
        ("project: digits", "project: ${NAME}"),
    )
    recipe = project.load(NAME="letters", UNUSED="x")
    assert recipe.spec.models["classifier"].source.args == {"width": 32, "tag": "32"}
    assert recipe.spec.project == "letters"
    assert dict(recipe.environment) == {"NAME": "letters", "W": "32"}


def test_each_unset_variable_is_said_at_its_column(project: Project) -> None:
    project.edit(
        ("width: 16", 'width: "a ${ONE}-${TWO}"'),
        ("project: digits", "project: ${NAME}"),
        ("factory: model:build", "factory: |-\n        x\n          ${THREE}"),
    )
    hint = "set it, or give a default: `${%s:-value}`"
    assert project.brief() == [
        ("deploy.yaml:2:10", "the environment variable `NAME` is not set", hint % "NAME"),
        ("deploy.yaml:11:11", "the environment variable `THREE` is not set", hint % "THREE"),
        ("deploy.yaml:12:24", "the environment variable `ONE` is not set", hint % "ONE"),
        ("deploy.yaml:12:31", "the environment variable `TWO` is not set", hint % "TWO"),
    ]


def test_an_unquoted_variable_inside_braces_is_explained(project: Project) -> None:
    project.edit(("{width: 16}", "{width: ${W}}"))
    assert project.brief(W="3") == [
        (
            "deploy.yaml:10:22",
            "not YAML: did not find expected ',' or '}'",
            (
                "inside `{...}` and `[...]`, `${VAR}` must be quoted; for a number, write the mapping "
                "over several lines"
            ),
        )
    ]


def test_keys_are_not_interpolated(project: Project) -> None:
    project.edit(("width: 16", '"${W}": 16'))
    assert project.load().spec.models["classifier"].source.args == {"${W}": 16}
