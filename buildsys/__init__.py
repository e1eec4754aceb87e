"""modelbuild: verified, reproducible deployment artifacts from trained models.

The Python API is what the command itself calls:

    recipe = buildsys.load("deploy.yaml")
    build = buildsys.build(recipe, ["ios"])
    for verdict in build.verdicts:
        print(verdict.deployable.label, verdict.status)
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from buildsys.engine.results import Build, Plan
    from buildsys.engine.run import Settings
    from buildsys.recipe import Recipe

__version__ = "0.1.0"
__all__ = ["__version__", "build", "load", "plan"]


def load(path: str | Path) -> Recipe:
    """Loads a `deploy.yaml`.

    Raises:
        buildsys.recipe.RecipeError: With every finding, each with its line and column.
    """
    from pathlib import Path

    from buildsys.engine.session import open_recipe
    from buildsys.planner.catalog import Catalog

    return open_recipe(Path(path), Catalog.load())


def plan(recipe: Recipe, selectors: Iterable[str] = ()) -> Plan:
    """What a build of the selected deployables would do, and why. Runs nothing.

    Its `graph` is a networkx `DiGraph` of the actions; `Plan.graph` says what nodes and edges have.
    """
    from buildsys.engine.session import Session

    with Session(recipe) as session:
        return session.plan(selectors)


def build(
    recipe: Recipe,
    selectors: Iterable[str] = (),
    *,
    settings: Settings | None = None,
    out: Path | None = None,
    strict: bool = False,
) -> Build:
    """Brings the selected deployables up to date, judges and places them.

    Where a profile is a search that has not chosen yet, it searches first, and writes the lock.

    Args:
        recipe: What `load` gave.
        selectors: Targets, labels or globs over labels; all deployables where there is none.
        settings: Jobs, keep-going, timeout; default: what the user's `config.toml` says. The limit of
            the cache always comes from there.
        out: Where artifacts go; default: `artifacts/` beside the recipe.
        strict: Whether a deployable is an error that is unverified, or whose inputs are not fully known
            (`Build.exit` is then 3).

    Raises:
        buildsys.settings.SettingsError: `config.toml` cannot be used.
    """
    from buildsys.engine.preferences import preferred
    from buildsys.engine.session import Session
    from buildsys.report.record import write_report
    from buildsys.search import building
    from buildsys.settings import read

    user = read()
    settings = settings or preferred(user)
    with Session(recipe, max_size=user.max_size) as session:
        result = building.build(session, selectors, settings=settings, out=out, strict=strict)
        write_report(result)
        return result
