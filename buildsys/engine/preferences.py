"""How to run a build: what a call says, then the user's settings, then the defaults."""

from __future__ import annotations

from buildsys.engine.run import Settings
from buildsys.settings import UserSettings


def preferred(
    user: UserSettings,
    *,
    jobs: int | None = None,
    max_failures: int | None = 1,
    timeout: float | None = None,
    retries: int | None = None,
    memory: int | None = None,
) -> Settings:
    """Makes the settings of a build.

    Args:
        user: What `config.toml` says.
        jobs: How many actions may run at a time.
        max_failures: How many steps may fail before nothing new starts; `None` for no limit.
        timeout: Seconds after which an action is killed.
        retries: How often a step is tried again when its environment failed.
        memory: Bytes that running actions may take together.
    """
    defaults = Settings()
    again = user.retries if retries is None else retries
    return Settings(
        jobs=jobs or user.jobs,
        max_failures=max_failures,
        timeout=timeout or user.timeout or defaults.timeout,
        retries=defaults.retries if again is None else again,
        memory=user.memory if memory is None else memory,
        resources=user.resources,
    )
