from __future__ import annotations

from tests.recipe.project import Project

TOLERANCES = "acceptance:\n  close: {signal_error: 0.5}\n  loose: {signal_error: 0.9}\n"
INCLUDE = ("project: digits", "project: digits\ninclude: [common/a.yaml, common/b.yaml]")


def test_fragments_lie_under_the_recipe(project: Project) -> None:
    project.edit(INCLUDE, ("accept: close", "accept: loose"))
    a = project.write("common/a.yaml", "version: 1\n" + TOLERANCES)
    b = project.write(
        "common/b.yaml", "release: ${R:-r1}\ntargets:\n  web:\n    - {format: onnx}\n"
    )
    recipe = project.load()
    bounds = {name: bound.limit("signal_error") for name, bound in recipe.spec.acceptance.items()}
    assert bounds == {"close": 1e-4, "shipped": None, "loose": 0.9}
    assert list(recipe.spec.targets) == ["ios", "android", "web"]
    assert recipe.spec.release == "r1"
    assert recipe.files == (project.path, a, b)
    assert dict(recipe.environment) == {"R": "r1"}
    place = recipe.where("acceptance", "loose", "signal_error")
    assert (place.file, place.line, place.column) == (a, 4, 25)
    assert recipe.where("acceptance", "close").file == project.path


def test_paths_in_a_fragment_start_at_the_recipe(project: Project) -> None:
    project.edit(("project: digits", "project: digits\ninclude: [common/a.yaml]"))
    project.write("common/a.yaml", "datasets:\n  more: {source: data/val.npz}\n")
    assert project.load().spec.datasets["more"].source == "data/val.npz"


def test_an_error_in_a_fragment_shows_both_places(project: Project) -> None:
    project.edit(("project: digits", "project: digits\ninclude: [common/a.yaml]"))
    project.write("common/a.yaml", "acceptance:\n  loose: {signal_eror: 0.9}\n")
    assert project.rendered() == (
        "error: unknown key `signal_eror`\n"
        " --> common/a.yaml:2:11\n"
        "  |\n"
        "2 |   loose: {signal_eror: 0.9}\n"
        "  |           ^^^^^^^^^^^\n"
        " ::: deploy.yaml:3:11\n"
        "  |\n"
        "3 | include: [common/a.yaml]\n"
        "  |           ------------- included here\n"
        "hint: did you mean `signal_error`?"
    )


def test_two_fragments_may_not_define_one_name(project: Project) -> None:
    project.edit(INCLUDE)
    project.write("common/a.yaml", TOLERANCES + "release: a\n")
    project.write("common/b.yaml", "release: b\nacceptance:\n  loose: {max_abs: 1}\n")
    hint = "delete one, or define it in the recipe's own file and in no fragment"
    assert project.brief() == [
        ("common/b.yaml:1:1", "two fragments define `release`", hint),
        ("common/b.yaml:3:3", "two fragments define `acceptance.loose`", hint),
    ]
    first, second = project.findings()
    assert [place.shown(project.folder) for place in first.also] == ["common/a.yaml:4:1"]
    assert [place.shown(project.folder) for place in second.also] == ["common/a.yaml:3:3"]


def test_what_a_fragment_may_not_hold(project: Project) -> None:
    project.edit(("project: digits", "project: digits\ninclude: [a.yaml]"))
    project.write("a.yaml", "version: 2\ninclude: [b.yaml]\nmodels: 3\nextra: 1\nx-free: 1\n")
    assert [(where, message) for where, message, _ in project.brief()] == [
        ("a.yaml:1:10", "a fragment has another `version` than 1"),
        ("a.yaml:2:1", "only the recipe may include"),
        ("a.yaml:3:9", "`models` must be a mapping"),
        ("a.yaml:4:1", "unknown key `extra`"),
    ]


def test_fragments_that_cannot_be_read_are_the_only_errors(project: Project) -> None:
    project.edit(
        ("project: digits", "project: digits\ninclude: [comon/a.yaml, common/b.yaml, deploy.yaml]"),
        ("accept: close", "accept: from-a-fragment"),
    )
    project.write("common/a.yaml", "")
    project.write("common/b.yaml", "a: [\n")
    assert [(where, message) for where, message, _ in project.brief()] == [
        ("deploy.yaml:3:11", "no file `comon/a.yaml`"),
        ("deploy.yaml:3:40", "`deploy.yaml` is included already"),
        ("common/b.yaml:2:1", "not YAML: did not find expected node content"),
    ]


def test_include_must_be_a_list(project: Project) -> None:
    project.edit(("project: digits", "project: digits\ninclude: a.yaml"))
    assert project.brief() == [
        ("deploy.yaml:3:10", "`include` must be a list, not the text `a.yaml`", None)
    ]
