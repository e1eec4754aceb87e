"""A pytest plugin that runs Apple's tests with the evaluator and writes what became of each, a line a test.

Environment:
    APPLE_RECORDS: The file that lines of JSON are written to.
    APPLE_SAMPLE: How many tests are run, chosen by the digest of their names; all without it.
    APPLE_SEED: Another one chooses other tests.
    APPLE_TESTS: A file of names, one a line: these are run, and no others.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from . import prediction

prediction.install()


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keeps the sample, in the order of the files."""
    names = os.environ.get("APPLE_TESTS")
    if names is not None:
        with open(names, encoding="utf-8") as file:
            wanted = set(file.read().splitlines())
        items[:] = [each for each in items if _name(each) in wanted]
    sample = os.environ.get("APPLE_SAMPLE")
    if sample is None:
        return
    seed = os.environ.get("APPLE_SEED", "")
    chosen = set(sorted(items, key=lambda each: _digest(seed + each.nodeid))[: int(sample)])
    items[:] = [each for each in items if each in chosen]


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
    with open(os.environ["APPLE_RECORDS"], "a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")
