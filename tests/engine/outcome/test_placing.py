"""What lies in the artifacts' folder, whatever happened to it."""

from __future__ import annotations

from pathlib import Path

import pytest

from buildsys.recipe import RecipeError
from buildsys.store import StoreError
from tests.space import Space, statuses

WRONG = "{format: onnx, accept: close, options: {gain: 1.01}}"


@pytest.mark.parametrize("record", [None, "", "[]", '{"deploy.yaml": {"x": "../../etc/passwd"}}'])
def test_a_rejected_artifact_goes_whatever_the_record_says(
    space: Space, record: str | None
) -> None:
    space.build()
    folder = space.project / "artifacts"
    if record is None:
        (folder / ".placed.json").unlink()
    else:
        (folder / ".placed.json").write_text(record)
    space.edit("deploy.yaml", "{format: onnx, accept: close}", WRONG)
    assert statuses(space.build())["ios/m.onnx"] == "rejected"
    assert not (folder / "ios" / "m.plain").exists()


def test_a_quarantined_artifact_goes_when_it_is_right_again(space: Space) -> None:
    space.edit("deploy.yaml", "{format: onnx, accept: close}", WRONG)
    space.build()
    space.edit("deploy.yaml", WRONG, "{format: onnx, accept: close}")
    space.build()
    assert not (space.project / "artifacts" / ".rejected").exists()


def test_two_recipes_in_one_folder_leave_each_other_alone(space: Space) -> None:
    space.build("ios")
    text = (space.project / "deploy.yaml").read_text()
    head, _, _ = text.partition("targets:")
    space.write("other.yaml", head + "targets:\n  edge:\n    - {format: onnx, accept: close}\n")
    from buildsys.engine.session import Session, open_recipe

    recipe = open_recipe(space.project / "other.yaml", space.catalog, {})
    with Session(recipe, space.catalog, root=space.store) as session:
        assert session.build().exit == 0
    assert (space.project / "artifacts" / "ios" / "m.plain").exists()
    assert (space.project / "artifacts" / "edge" / "m.plain").exists()


def test_two_deployables_of_one_file_are_an_error(space: Space) -> None:
    model = (
        space.project.joinpath("deploy.yaml").read_text().split("models:\n")[1].split("quant")[0]
    )
    space.edit("deploy.yaml", "models:\n", "models:\n" + model.replace("  m:", "  m-half:"))
    with pytest.raises(RecipeError, match=r"would be one file, `android/m-half\.small`"):
        space.plan()


def test_a_link_in_the_place_of_an_artifact_is_replaced(space: Space) -> None:
    space.build()
    clean = space.artifacts()
    folder = space.project / "artifacts"
    (folder / "ios" / "m.plain").rename(folder / "kept")
    (folder / "ios" / "m.plain").symlink_to(folder / "kept")
    inner = folder / "ios" / "m.package" / "Manifest.json"
    inner.unlink()
    inner.symlink_to(folder / "kept")
    space.build()
    (folder / "kept").unlink()
    assert space.artifacts() == clean
    assert not inner.is_symlink()


def test_a_bound_on_the_size_holds_for_what_nothing_runs(space: Space) -> None:
    space.edit("deploy.yaml", "acceptance:\n", "acceptance:\n  tiny: {size_ratio: 0.001}\n")
    space.edit("deploy.yaml", "{format: coreml}", "{format: coreml, accept: tiny}")
    build = space.build("ios")
    assert statuses(build)["ios/m.coreml"] == "rejected"


def test_a_dead_model_is_not_merely_unverified(space: Space) -> None:
    space.weights([[0.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
    build = space.build("ios/m.coreml")
    assert (build.exit, statuses(build)) == (1, {"ios/m.coreml": "failed"})
    (failed,) = build.run.failures.values()
    assert "does not vary over the samples" in failed.message


def test_two_projects_may_share_a_folder_of_artifacts(space: Space, tmp_path: Path) -> None:
    other = Space(tmp_path / "other", space.store)
    other.create()
    other.edit("deploy.yaml", "  m:\n", "  n:\n")
    shared = tmp_path / "shared"
    for each in (space, other):
        with each.session() as session:
            assert session.build(["ios"], out=shared).exit == 0
    assert {p.name for p in (shared / "ios").glob("*.plain")} == {"m.plain", "n.plain"}


def test_what_another_recipe_has_placed_is_not_overwritten(space: Space, tmp_path: Path) -> None:
    other = Space(tmp_path / "other", space.store)
    other.create()
    other.weights([[2.1, 2.3], [3.1, -4.7], [0.3, 0.25]])
    shared = tmp_path / "shared"
    with space.session() as session:
        session.build(["ios"], out=shared)
    before = (shared / "ios" / "m.plain").read_bytes()
    with (
        other.session() as session,
        pytest.raises(StoreError, match=r"ios/m\.\w+ is of another recipe"),
    ):
        session.build(["ios"], out=shared)
    assert (shared / "ios" / "m.plain").read_bytes() == before
    (space.project / "deploy.yaml").unlink()  # A recipe that is gone claims nothing.
    with other.session() as session:
        assert session.build(["ios"], out=shared).exit == 0
    assert (shared / "ios" / "m.plain").read_bytes() != before


def test_a_record_that_names_the_folder_itself_removes_nothing(space: Space) -> None:
    space.build()
    folder = space.project / "artifacts"
    (folder / "notes.txt").write_text("of the user")
    (folder / ".placed.json").write_text('{"../deploy.yaml": {"old": "."}}')
    space.build()
    assert (folder / "notes.txt").read_text() == "of the user"
