"""Parts of a model whose names torch.fx keeps for itself."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.backends.torch.capture.test_adopt import adopt
from tests.backends.torch.capture.test_capture import capture
from tests.support.harness import interpreter, port
from tests.support.models import torch_zoo as zoo

pytestmark = pytest.mark.toolchain

ROW = [port("x", ["N", 6])]
BACKENDS = Path(__file__).parents[4] / "buildsys"


def test_a_model_with_such_parts_is_exported_and_runs(tmp_path: Path) -> None:
    got = capture(zoo.write(tmp_path, "reserved"), ROW, ["y"], "export")
    assert got.error is None
    assert got.io.outputs[0].shape == ["N", 6]
    (note,) = got.notes
    assert "`meta` as `meta__fx_part`" in note
    assert "torch.fx keeps these names for itself" in note


def test_a_file_with_such_parts_is_adopted(tmp_path: Path) -> None:
    zoo.write(tmp_path, "reserved")
    script = """
import torch, model
x = torch.randn(2, 6)
shapes = {"x": {0: torch.export.Dim("batch", min=1, max=64)}}
torch.export.save(torch.export.export(model.build().eval(), (x,), dynamic_shapes=shapes), "net.pt2")
"""
    subprocess.run([interpreter("torch"), "-W", "ignore", "-c", script], cwd=tmp_path, check=True)
    got = adopt(tmp_path / "net.pt2", "exported", ROW)
    assert got.error is None


def test_every_attribute_of_what_a_program_is_run_as_is_known() -> None:
    script = f"""
import json, sys
sys.path.insert(0, {str(BACKENDS.parent)!r})
import torch
from buildsys.backends.torch.capture import reserved
program = torch.export.export(torch.nn.Linear(2, 2), (torch.zeros(1, 2),))
own = set(dir(program.module())) - set(dir(torch.nn.Module())) - {{"weight", "bias"}}
print(json.dumps(sorted(own - reserved.names())))
"""
    done = subprocess.run(
        [interpreter("torch"), "-W", "ignore", "-c", script], capture_output=True, check=True
    )
    assert json.loads(done.stdout) == []
