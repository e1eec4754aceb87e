"""`models.NAME.benchmark:` of a recipe."""

from __future__ import annotations

from pydantic import Field

from buildsys.recipe.schema.part import Part


class Benchmark(Part):
    """How artifacts of a model are benchmarked, each in turns with the float one of its format."""

    threads: int = Field(default=1, ge=1, le=1024, description="How many threads a run may use.")
    warmup: int = Field(default=10, ge=0, description="How many runs are not timed.")
    runs: int = Field(
        default=200,
        ge=5,
        description="How many rounds: in each the artifact and the float artifact are run once, or "
        "for 2 ms where that takes less.",
    )
    batch: int = Field(default=1, ge=1, description="How many samples a run takes.")
    starts: int = Field(
        default=3,
        ge=1,
        description="How many fresh processes load the artifact, for cold start and memory.",
    )
