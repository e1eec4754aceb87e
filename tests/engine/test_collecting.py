"""The store is kept within its limit at the end of builds; what lies in `artifacts/` stays up to date."""

from __future__ import annotations

import os
from pathlib import Path

from buildsys.engine.results import Build
from buildsys.engine.session import Session, open_recipe
from buildsys.release.bundle import create
from buildsys.store.content import named
from tests.space import Space


def built(
    space: Space, limit: int | None, *selectors: str
) -> tuple[Build, list[dict[str, object]]]:
    """Builds under a limit; gives what was told of collections."""
    recipe = open_recipe(space.project / "deploy.yaml", space.catalog, os.environ)
    events: list[dict[str, object]] = []
    with Session(recipe, space.catalog, root=space.store, max_size=limit) as session:
        build = session.build(selectors, listener=lambda e: events.append(e.to_json()))
    return build, [event for event in events if event["event"] == "collected"]


def stored(space: Space) -> int:
    """Bytes of stored files."""
    return sum(f.stat().st_size for f in (space.store / "files").rglob("*") if f.is_file())


def test_a_build_ends_with_a_collection_and_the_next_has_nothing_to_do(space: Space) -> None:
    first, collected = built(space, None)
    assert first.exit == 0
    assert collected == []
    full = stored(space)
    space.edit("deploy.yaml", "scale: 1.0", "scale: 2.0")
    space.weights([[2.1, 2.3], [3.1, -4.7], [0.3, 0.25]])
    second, (event,) = built(space, full // 2)
    assert second.exit == 0
    assert isinstance(event["files"], int)
    assert event["files"] > 0
    assert stored(space) < full
    again, collected = built(space, full // 2)
    assert again.run.executed == []
    assert collected == []


def test_what_was_collected_is_made_again_as_it_was(space: Space) -> None:
    built(space, None)
    clean = space.artifacts()
    built(space, 0)
    space.edit("deploy.yaml", "scale: 1.0", "scale: 2.0")
    built(space, 0)
    space.edit("deploy.yaml", "scale: 2.0", "scale: 1.0")
    last, _ = built(space, 0)
    assert last.exit == 0
    mine = {n: b for n, b in space.artifacts().items() if n.startswith(("ios/", "android/"))}
    assert mine == {n: b for n, b in clean.items() if n.startswith(("ios/", "android/"))}


def test_a_bundle_pins_what_it_holds_as_long_as_it_is_there(space: Space, tmp_path: Path) -> None:
    recipe = open_recipe(space.project / "deploy.yaml", space.catalog, os.environ)
    with Session(recipe, space.catalog, root=space.store) as session:
        build = session.build(["android"])
        bundle = create(build, "android", tmp_path, "1.0")
        session.pin(bundle.path, build)
        digests = {v.artifact.digest for v in build.verdicts if v.artifact is not None}
        assert digests <= session.engine.index.pins()[f"bundle:{bundle.path}"]
    space.weights([[9.0, 2.3], [3.1, -4.7], [0.3, 0.25]])
    built(space, 0)
    with Session(recipe, space.catalog, root=space.store) as session:
        assert all(session.engine.store.objects.path(named(digest)).is_file() for digest in digests)
    bundle.path.unlink()
    space.weights([[8.0, 2.3], [3.1, -4.7], [0.3, 0.25]])
    built(space, 0)
    with Session(recipe, space.catalog, root=space.store) as session:
        assert not any(
            session.engine.store.objects.path(named(digest)).is_file() for digest in digests
        )
