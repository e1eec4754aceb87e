"""Apple's own tests of operators agree with the evaluator in Core ML's place.

They ship in coremltools' wheel, from where they are run: some 20,000 of the operators of ML programs, and
22,000 of torch's. `make test` runs a sample of a few files, `make test-nightly` all, and prints the table of
docs/coreml-operators.md.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from buildsys.backends.base import Toolchain
from buildsys.engine.session import cache_root, toolchains_root
from buildsys.planner import Catalog
from buildsys.toolchains import Provisioner
from tests.backends.coreml.apple import outcomes

pytestmark = pytest.mark.toolchain

ALL = os.environ.get("MODELBUILD_APPLE") == "all"
HERE = Path(__file__).parent
ROOT = HERE.parents[3]
OPERATORS = "coremltools/converters/mil/mil/ops/tests"
TORCH = "coremltools/converters/mil/frontend/torch/test/test_torch_ops.py"
FILES = (
    "iOS14/test_normalization.py",
    "iOS14/test_control_flow.py",
    "iOS15/test_image_resizing.py",
    "iOS17/test_linear.py",
    "iOS18/test_states.py",
)
"""Few enough to be collected in seconds; they hold what was wrong once."""
SAMPLE = 50


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What became of each test."""
    toolchains = Catalog.load().toolchains
    extra = Toolchain("apple-tests", HERE / "lock.txt", HERE / "lock.in")
    provisioner = Provisioner(toolchains_root(cache_root()), {**toolchains, extra.name: extra})
    for name in ("coreml", extra.name):
        provisioner.ensure(name, print)
    (wheels,) = provisioner.python("coreml").parents[1].glob("lib/python*/site-packages")
    (beside,) = provisioner.python(extra.name).parents[1].glob("lib/python*/site-packages")
    folder = tmp_path_factory.mktemp("apple")
    found = folder / "records.jsonl"
    environment = {
        "PATH": os.defpath,
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "PYTHONPATH": f"{ROOT}{os.pathsep}{beside}",
        "PYTHONDONTWRITEBYTECODE": "1",
        "APPLE_RECORDS": str(found),
        # Programs alone, and in the precision that rounds nothing as well.
        "PYMIL_TEST_TARGETS": "mlprogram",
        "INCLUDE_MIL_FP32_UNIT_TESTS": "1",
    }
    chosen = [OPERATORS, TORCH] if ALL else [f"{OPERATORS}/{file}" for file in FILES]
    if not ALL:
        environment["APPLE_SAMPLE"] = str(SAMPLE)
    command = [
        *(str(provisioner.python("coreml")), "-s", "-m", "pytest"),
        *("-p", "no:cacheprovider", "-p", "tests.backends.coreml.apple.plugin"),
        *("-c", os.devnull, f"--rootdir={wheels}", "--import-mode=importlib"),
        *("-q", "--no-header", "--tb=no", "-W", "ignore", *chosen),
    ]
    # Its exit status says that some fail, as those do that nothing agrees with.
    done = subprocess.run(
        command, cwd=wheels, env=environment, capture_output=True, text=True, check=False
    )
    assert found.exists(), done.stdout[-2000:] + done.stderr[-2000:]
    if ALL:
        print(outcomes.table(outcomes.read([found])))
    return outcomes.read([found])


def test_what_does_not_agree_is_explained(records: list[dict[str, Any]]) -> None:
    assert outcomes.strays(records) == {}


def test_enough_agrees(records: list[dict[str, Any]]) -> None:
    evaluated = [each for each in records if each["predictions"]]
    assert len(evaluated) >= (30_000 if ALL else SAMPLE // 2)
    if ALL:
        assert outcomes.share(records) >= outcomes.ENOUGH


def test_float32_is_compared_closely(records: list[dict[str, Any]]) -> None:
    """The tests compare something, and not at float16's bounds alone."""
    exact = [each for each in records if outcomes.kind(each) == "agrees" and not each["half"]]
    assert len(exact) >= SAMPLE // 8
    assert any(each["worst"] > 0 for each in exact)
