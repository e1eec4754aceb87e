"""What a model's own precision costs it, found by running it in others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from buildsys.backends.kit.protocol import arrays
from tests.support.harness import factory as factory_options
from tests.support.harness import port, run_worker

pytestmark = pytest.mark.toolchain

MODEL = """
import torch
from torch import nn


class Odd(nn.Module):
    \"\"\"All that `double()` and `half()` do not reach.\"\"\"

    def __init__(self):
        super().__init__()
        self.table = torch.randn(4, 4)
        self.linear = nn.Linear(4, 4)
        self.lstm = nn.LSTM(4, 4, batch_first=True)
        self.register_buffer("shift", torch.rand(4))

    def forward(self, x):
        y = self.linear(x) @ self.table
        out = torch.zeros(y.shape, dtype=torch.float32)
        out[:, :2] = y[:, :2]
        out[:, 2:].add_(torch.linspace(0, 1, 2)).add_(y[:, 2:])
        z = torch.fft.irfft(torch.fft.rfft(out.float())) + self.shift
        attended = nn.functional.scaled_dot_product_attention(
            z[:, None], z[:, None], z[:, None], attn_mask=torch.zeros(1, 1)
        )[:, 0]
        return self.lstm((z + attended).unsqueeze(1))[0][:, 0].to(torch.float32)


class Cancelling(nn.Module):
    \"\"\"Loses four of float32's seven digits.\"\"\"

    def forward(self, x):
        return (x + 1e4) - 1e4


class Overflowing(nn.Module):
    def forward(self, x):
        return (x * 1e4).square().sqrt()


class Trained(nn.Module):
    # As networks in use are: sums of thousands of products, and a variance that float16 cannot hold.

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.spread = nn.Linear(4, 8192)
        self.gather = nn.Linear(8192, 8)
        self.norm = nn.BatchNorm1d(8)
        self.norm.running_var.fill_(5e5)
        nn.init.uniform_(self.gather.weight, -1, 1)

    def forward(self, x):
        return self.norm(self.gather(torch.relu(self.spread(x))))


class Stored(nn.Module):
    # Writes into a buffer, and reads it again.

    def __init__(self):
        super().__init__()
        self.register_buffer("state", torch.ones(1, 4))

    def forward(self, x):
        self.state.copy_(x[:1])
        return x + self.state.transpose(0, 1).reshape(1, 4)


class Breaking(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second, self.last = nn.Linear(4, 4), Cancelling(), nn.Linear(4, 4)
        self.wide = Overflowing()

    def forward(self, x):
        return self.last(self.second(self.first(x))), self.wide(x)


class Refusing(nn.Module):
    def forward(self, x):
        if x.dtype != torch.float32:
            raise TypeError("only float32")
        return x


class Layers(nn.Module):
    def __init__(self):
        super().__init__()
        self.last = nn.Linear(4, 2)
        nn.init.ones_(self.last.bias)

    def forward(self, x):
        return self.last(torch.tanh(x))


class All(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.odd, self.cancelling, self.overflowing = Odd(), Cancelling(), Overflowing()

    def forward(self, x):
        return self.odd(x), self.cancelling(x), self.overflowing(x)


class Standardized(nn.Module):
    def __init__(self):
        super().__init__()
        drawn = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
        self.weight = nn.Parameter((drawn * 2**-12).half().float())

    def forward(self, x):
        spread = self.weight.std(1, keepdim=True) / 3 + 1e-12
        small = (x * 2**-13).pow(2).mean(1, keepdim=True)
        return nn.functional.linear(x * torch.rsqrt(small + 1e-9), self.weight / spread)


class Added(nn.Module):
    def __init__(self):
        super().__init__()
        self.place = nn.Parameter(torch.tensor([[3.0, 5.0, 7.0, 11.0]]))

    def forward(self, x):
        y = x * 2
        y *= self.place / 3
        return y


class Divided(Added):
    def forward(self, x):
        # Written in place, and still of weights alone: what comes out is rounded, not what goes in.
        place = self.place * 1
        place /= 3
        return x * 2 * place
"""
PORTS = [port("x", ["N", 4])]


def written(folder: Path) -> Path:
    """The model's code, and samples."""
    (folder / "model.py").write_text(MODEL)
    x = np.random.default_rng(0).standard_normal((40, 4)).astype(np.float32)
    arrays.save(folder / "samples.npz", {"x": x})
    return folder / "samples.npz"


def measured(folder: Path, factory: str, outputs: list[str]) -> Any:
    return run_worker(
        "torch",
        "torch",
        "precision.floor:floor",
        inputs={"samples": written(folder)},
        outputs={"floor": "floor.json"},
        options=factory_options(PORTS, outputs, f"model:{factory}"),
        project=folder,
    ).json("floor")


def test_floors_of_what_no_conversion_of_weights_reaches(tmp_path: Path) -> None:
    names = ["odd", "cancelling", "overflowing"]
    found = measured(tmp_path, "All", names)
    assert found["samples"] == 32
    error = {n: found["float32"][n]["signal_error"] for n in names}
    assert 1e-8 < error["odd"] < 1e-6
    assert 1e-5 < error["cancelling"] < 1e-2
    assert 1e-4 < found["float16"]["odd"]["signal_error"] < 1e-2
    # 65,504 is the largest number of float16.
    assert "elements are not finite" in found["float16"]["overflowing"]["reason"]


def test_float16_adds_up_in_float32_and_holds_each_weight(tmp_path: Path) -> None:
    found = measured(tmp_path, "Trained", ["y"])
    assert found["float16"]["y"]["signal_error"] < 5e-3
    assert found["lost"] == {}


def test_the_floor_of_weights_is_what_rounding_them_costs(tmp_path: Path) -> None:
    found = measured(tmp_path, "Cancelling", ["y"])
    # It has no weights: in float64 nothing is lost.
    assert found["float16 weights"]["y"]["signal_error"] == 0
    assert found["float16"]["y"]["signal_error"] > 0.1
    found = measured(tmp_path, "Trained", ["y"])
    assert 1e-5 < found["float16 weights"]["y"]["signal_error"] < 2e-3


def test_what_is_computed_of_weights_alone_is_rounded_after_it(tmp_path: Path) -> None:
    """A standardized kernel in float16 loses more than one that is standardized of rounded weights."""
    found = measured(tmp_path, "Standardized", ["y"])
    alone, all_of_it = (
        found[name]["y"]["signal_error"] for name in ("float16 weights", "float16 constants")
    )
    # The weights are numbers of float16 already: only what is made of them is rounded.
    assert 1e-5 < alone < 2e-3
    # The code's epsilon becomes the least number of float16.
    assert all_of_it > 5 * alone


@pytest.mark.parametrize("factory", ["Added", "Divided"])
def test_what_is_computed_of_weights_alone_is_rounded_where_an_operation_writes_in_place(
    tmp_path: Path, factory: str
) -> None:
    found = measured(tmp_path, factory, ["y"])
    # The weights are numbers of float16, and thirds of them are not.
    assert 2e-5 < found["float16 weights"]["y"]["signal_error"] < 1e-3


def test_what_a_model_writes_into_its_buffers_is_read_again(tmp_path: Path) -> None:
    found = measured(tmp_path, "Stored", ["y"])
    assert found["float32"]["y"]["signal_error"] < 1e-6
    assert found["float16"]["y"]["signal_error"] < 1e-3


def test_the_operation_at_which_digits_are_lost(tmp_path: Path) -> None:
    lost = measured(tmp_path, "Cancelling", ["y"])["lost"]["float16"]
    assert lost["operation"] == "aten::add.Tensor" or lost["operation"] == "aten::add"
    assert lost["after"] > 0.1 > 1e-3 > lost["before"]
    lost = measured(tmp_path, "Breaking", ["y", "z"])["lost"]["float16"]
    assert (lost["layer"], lost["after"]) == ("wide", None)
    assert lost["not_finite"] > 0
    assert lost["largest"] > 65504


def test_a_model_that_takes_no_other_precision(tmp_path: Path) -> None:
    found = measured(tmp_path, "Refusing", ["y"])
    for precision in ("float32", "float16", "float16 weights"):
        reason = found[precision]["y"]["reason"]
        assert reason.startswith("the original does not run in float64: `forward` raised")
        assert "only float32" in reason


@pytest.mark.parametrize(("kind", "worker"), [("torchscript", "capture"), ("exported", "export")])
def test_an_original_that_is_a_file(tmp_path: Path, kind: str, worker: str) -> None:
    samples = written(tmp_path)
    options = factory_options(PORTS, ["y"], "model:Cancelling")
    made = run_worker("torch", "torch", f"worker:{worker}", options=options, project=tmp_path)
    found = run_worker(
        "torch",
        "torch",
        "precision.floor:floor",
        inputs={"samples": samples, "artifact": made.artifact, "io": made.outputs["io"]},
        outputs={"floor": "floor.json"},
        options={"ports": PORTS, "outputs": ["y"], "source": {"kind": kind}},
    ).json("floor")
    assert 1e-5 < found["float32"]["y"]["signal_error"] < 1e-2
    assert found["float16"]["y"]["signal_error"] > 0.1


@pytest.mark.parametrize("given", ["factory", "torchscript"])
def test_the_original_with_the_weights_that_an_artifact_holds(tmp_path: Path, given: str) -> None:
    samples = written(tmp_path)
    options = factory_options(PORTS, ["y"], "model:Layers")
    inputs = {"samples": samples, "edges": tmp_path / "edges.npz", "held": tmp_path / "held.npz"}
    arrays.save(tmp_path / "edges.npz", {"zeros/x": np.zeros((1, 4), np.float32)})
    if given == "torchscript":
        made = run_worker("torch", "torch", "worker:capture", options=options, project=tmp_path)
        inputs |= {"artifact": made.artifact, "io": made.outputs["io"]}
        options = {"ports": PORTS, "outputs": ["y"], "source": {"kind": given}}

    def run(held: dict[str, Any]) -> Any:
        arrays.save(tmp_path / "held.npz", held)
        return run_worker(
            "torch",
            "torch",
            "precision.rounded:rounded",
            inputs=inputs,
            outputs={"samples": "s.npz", "edge_outputs": "e.npz", "told": "told.json"},
            options=options,
            project=tmp_path if given == "factory" else None,
        )

    matrix = np.arange(8, dtype=np.float32).reshape(2, 4)
    done = run({"last.weight": matrix})
    x = arrays.load(samples)["x"]
    got = arrays.load(done.outputs["samples"])["y"]
    assert np.allclose(got, np.tanh(x) @ matrix.T + 1, atol=1e-5)
    assert np.allclose(arrays.load(done.outputs["edge_outputs"])["zeros/y"], 1)
    assert done.json("told") == {"reason": None, "numbers": []}
    assert run({}).json("told") == {"reason": "none of its weights is rounded", "numbers": []}
    unknown = run({"constant.3": matrix})
    assert "`constant.3` is a constant" in unknown.json("told")["reason"]
    assert arrays.load(unknown.outputs["samples"]) == {}


ATTENTION = """
import math
import torch
from torch import nn


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.last = nn.Linear(4, 4)
        nn.init.ones_(self.last.bias)
        self.norm = nn.LayerNorm(4, eps=1e-12)

    def forward(self, x):
        y = torch.tanh(self.last(x) / math.sqrt(7))
        y = self.norm(y * 1e-2).view(-1, 2, 2)
        return nn.functional.scaled_dot_product_attention(y, y, y).view(-1, 4)
"""


@pytest.mark.parametrize("given", ["factory", "torchscript"])
def test_it_takes_the_single_numbers_that_an_artifact_holds(tmp_path: Path, given: str) -> None:
    samples = written(tmp_path)
    (tmp_path / "attention.py").write_text(ATTENTION)
    options = factory_options(PORTS, ["y"], "attention:Attention")
    matrix = np.random.default_rng(0).standard_normal((4, 4)).astype(np.float32)
    divisor, least, root, hundredth = (
        np.float64(np.float16(n)) for n in (1 / np.float16(7**0.5), 2.0**-24, 0.5**0.5, 1e-2)
    )
    arrays.save(tmp_path / "edges.npz", {"zeros/x": np.zeros((1, 4), np.float32)})
    numbers = np.array([divisor, least, 0.123, root, hundredth])
    arrays.save(tmp_path / "held.npz", {"last.weight": matrix, "single numbers": numbers})
    inputs = {"samples": samples, "edges": tmp_path / "edges.npz", "held": tmp_path / "held.npz"}
    if given == "torchscript":
        made = run_worker("torch", "torch", "worker:capture", options=options, project=tmp_path)
        inputs |= {"artifact": made.artifact, "io": made.outputs["io"]}
        options = {"ports": PORTS, "outputs": ["y"], "source": {"kind": given}}
    done = run_worker(
        "torch",
        "torch",
        "precision.rounded:rounded",
        inputs=inputs,
        outputs={"samples": "s.npz", "edge_outputs": "e.npz", "told": "told.json"},
        options=options,
        project=tmp_path if given == "factory" else None,
    )
    # What no scalar of the code was is said, and changes nothing.
    assert done.json("told") == {"reason": None, "numbers": [2]}

    def expected(over: float, factor: float, eps: float, scale: float) -> Any:
        y: Any = arrays.load(samples)["x"] @ matrix.T.astype(np.float64) + 1
        y = np.tanh(y * over) * factor
        y = (y - y.mean(1, keepdims=True)) / np.sqrt(y.var(1, keepdims=True) + eps)
        q = y.reshape(-1, 2, 2)
        scores = np.exp(q @ q.transpose(0, 2, 1) * scale)
        return (scores / scores.sum(-1, keepdims=True) @ q).reshape(-1, 4)

    got = arrays.load(done.outputs["samples"])["y"]
    assert np.abs(got - expected(divisor, hundredth, least, root)).max() < 1e-5
    assert np.abs(got - expected(7**-0.5, 1e-2, 1e-12, 0.5**0.5)).max() > 1e-4
