"""Where actions run."""

from buildsys.engine.executors.job import Done, Failed, Job, Outcome
from buildsys.engine.executors.local import LocalExecutor

__all__ = ["Done", "Failed", "Job", "LocalExecutor", "Outcome"]
