"""A pytest plugin that runs Apple's tests with the evaluator and writes what became of each, a line a test.

Environment:
    APPLE_RECORDS: The file that lines of JSON are appended to. Tests that it has are not run again.
    APPLE_SAMPLE: How many tests are wanted, the first in the order of their names' digests; all without it.
    APPLE_SLICE: How many of those that are not recorded this process runs; all without it.
    APPLE_TESTS: A file of names, one a line: these are run, and no others.

Any beginning of the order by digests is a fair sample of all. While a test runs, its name is in a file beside
`APPLE_RECORDS` that ends in `.running`: if the process dies, that test is to blame.
"""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests import sweeps

from . import prediction

RECORDS = Path(os.environ["APPLE_RECORDS"])
prediction.install()


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keeps what is wanted and not recorded, in the order of the files."""
    names = os.environ.get("APPLE_TESTS")
    if names is not None:
        with open(names, encoding="utf-8") as file:
            wanted = set(file.read().splitlines())
        items[:] = [each for each in items if _name(each) in wanted]
    done = {record["test"] for record in sweeps.read(RECORDS)}
    ordered = sorted(items, key=lambda each: _digest(each.nodeid))[: _limit("APPLE_SAMPLE")]
    left = [each for each in ordered if _name(each) not in done]
    chosen = set(left[: _limit("APPLE_SLICE")])
    items[:] = [each for each in items if each in chosen]


def _limit(variable: str) -> int | None:
    given = os.environ.get(variable)
    return None if given is None else int(given)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Says which test runs."""
    RECORDS.with_suffix(".running").write_text(_name(item), encoding="utf-8")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Numbers are the same whichever tests ran before."""
    seed = _digest(item.nodeid)
    np.random.seed(seed)
    random.seed(seed)
    torch.manual_seed(seed)
    prediction.EXECUTIONS.reset()
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    """Writes the line of a test that was called, or that could not be set up."""
    report = yield
    if report.when == "call" or (report.outcome != "passed" and report.when == "setup"):
        _write(item, call, report)
    return report


def _name(item: pytest.Item) -> str:
    """A test's name from the converter's folder on."""
    return item.nodeid.partition("coremltools/converters/mil/")[2] or item.nodeid


def _write(item: pytest.Item, call: pytest.CallInfo[None], report: Any) -> None:
    seen = prediction.EXECUTIONS
    error = call.excinfo
    said = "" if error is None else f"{error.typename}: {error.value}"
    record = {
        "test": _name(item),
        "outcome": report.outcome,
        "predictions": seen.count if report.when == "call" else 0,
        "refused": seen.refused,
        "error": said[:600],
        "operations": sorted(seen.operations),
        "half": seen.half,
        "worst": seen.worst,
        "seconds": round(report.duration, 2),
    }
    sweeps.add(RECORDS, [record])
