"""docs/contributing.md: a bound, a calibration method and a format are added to a copy as it says."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
DOCUMENT = (REPOSITORY / "docs" / "contributing.md").read_text(encoding="utf-8")
JUDGE = """
import json
import numpy as np
from buildsys.figures.measurement import Measurement
from buildsys.recipe.schema.acceptance import Acceptance
from buildsys.verify.judgment.gates import judge
from buildsys.verify.outputs.metrics import compare
reference = np.arange(8.0).reshape(4, 2)
figures = compare(reference + np.eye(4, 2), reference).to_json()
bounds = Acceptance.model_validate({"p99_abs": 0.5}).bounds("server")
measured = Measurement.of({"outputs": {"y": figures}})
gates = judge(measured, bounds, bytes=1, baseline_bytes=None, latency_ratio=None)
print(json.dumps([gate.to_json() for gate in gates if gate.bound == "p99_abs"]))
"""
CALIBRATE = """
import numpy as np
from buildsys.backends.kit.quantize.clipping import METHODS, Histogram, clipped
from buildsys.planner.catalog import Catalog, load_built_in
from buildsys.recipe.schema.quantization import Calibration
assert Calibration.model_validate({"dataset": "train", "method": "deviations"}).method in METHODS
for format in Catalog.load(load_built_in()).formats.values():
    for scheme in format.schemes:
        assert ("deviations" in scheme.methods) == scheme.calibrated
values = np.random.default_rng(0).standard_normal(100_000)
seen = Histogram(float(values.min()), float(values.max()))
seen.add(values)
print(*(round(end, 1) for end in clipped(seen, "deviations")))
"""
PLAN = """
from buildsys.planner.catalog import Catalog
from buildsys.planner.conversion.routes import cheapest
catalog = Catalog.load()
print([step.rule.name for step in cheapest(catalog, "source:factory", "trace", ("textproto", None))])
"""


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the package."""
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(REPOSITORY / "buildsys", tmp_path / "buildsys", ignore=ignored)
    return tmp_path


def block(name: str) -> str:
    """The code that the document has for a file."""
    (found,) = re.findall(rf"```python {re.escape(name)}\n(.*?)```", DOCUMENT, flags=re.DOTALL)
    return str(found)


def insert(file: Path, before: str, text: str) -> None:
    """Writes a text before the one place where a file has another."""
    was = file.read_text(encoding="utf-8")
    assert was.count(before) == 1
    file.write_text(was.replace(before, f"{text}{before}"), encoding="utf-8")


def run(copy: Path, code: str) -> str:
    """What a program prints that imports the copy."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=copy,
        env=os.environ | {"PYTHONPATH": str(copy)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_bound_is_added_by_an_entry_and_a_function(copy: Path) -> None:
    last = '    Bound(\n        "metric_drop",'
    insert(copy / "buildsys" / "bounds.py", last, f"    {block('bounds.py').strip()},\n")
    metrics = copy / "buildsys" / "verify" / "outputs" / "metrics.py"
    metrics.write_text(
        f"{metrics.read_text(encoding='utf-8')}\n\n{block('metrics.py')}", encoding="utf-8"
    )
    (gate,) = json.loads(run(copy, JUDGE))
    assert (gate["limit"], gate["pass"]) == (0.5, False)
    assert 0.9 < gate["value"] <= 1.0
    schema = run(copy, "from buildsys.cli.main import run; run(['schema'])")
    assert "At most: the 99th percentile of errors." in schema


def test_a_calibration_method_is_added_by_an_entry_and_a_function(copy: Path) -> None:
    (line,) = re.findall(r'`("\w+": _\w+,)`', DOCUMENT)
    insert(
        copy / "buildsys" / "quantization.py",
        ")\n\nSCHEME_NAMES",
        f"    {block('quantization.py').strip()},\n",
    )
    clipping = copy / "buildsys" / "backends" / "kit" / "quantize" / "clipping.py"
    insert(clipping, "CLIPPING: Mapping", f"{block('clipping.py')}\n\n")
    insert(clipping, '}\n"""By the recipe\'s word', f"    {line}\n")
    assert run(copy, CALIBRATE).strip() == "-3.0 3.0"
    schema = run(copy, "from buildsys.cli.main import run; run(['schema'])")
    assert "`deviations`: three standard deviations on each side of the mean." in schema


def test_a_format_is_added_by_a_folder(copy: Path) -> None:
    folder = REPOSITORY / "tests" / "thirdparty" / "modelbuild_textproto"
    shutil.copytree(folder, copy / "buildsys" / "backends" / "textproto")
    assert run(copy, PLAN).strip() == "['torch.export', 'onnx.export', 'textproto.write']"


def test_the_places_that_it_names_are_there() -> None:
    named = {name for name in re.findall(r"`(buildsys/[\w/.]+)`", DOCUMENT) if "NAME" not in name}
    assert len(named) > 15
    assert [name for name in named if not (REPOSITORY / name).exists()] == []
