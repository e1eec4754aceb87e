"""Ranges of activations that leave out what is rare, put in the place of those that NNCF found.

NNCF says where activations are quantized, and takes the extremes of all runs; its own quantiles are of
each run alone, and then averaged, which cuts off more the smaller a tensor is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import openvino as ov
from nncf.common.quantization.structs import QuantizationScheme, QuantizerConfig, QuantizerGroup
from nncf.common.tensor_statistics.statistics import MinMaxTensorStatistic
from nncf.quantization.fake_quantize import calculate_quantizer_parameters
from nncf.tensor import Tensor
from numpy.typing import NDArray
from openvino import opset13 as ops

from ...kit.quantize.calibration import Feed
from ...kit.quantize.clipping import Histogram, Range, clipped
from .. import runtime

Array = NDArray[Any]
BITS = 8


@dataclass(frozen=True)
class Site:
    """A place where activations are quantized.

    Attributes:
        node: The `FakeQuantize`.
        source: Name of the operation whose output it quantizes, and which output.
        low: What it clips to at the lower end, one number or one a channel, as it is shaped.
        high: As `low`.
    """

    node: Any
    source: tuple[str, int]
    low: Array
    high: Array

    @property
    def axis(self) -> int | None:
        """The axis of channels that have ranges of their own, if they have."""
        return int(np.argmax(self.low.shape)) if self.low.size > 1 else None

    @property
    def around_zero(self) -> bool:
        """Whether the range is around zero, where it has two sides at all."""
        levels = 2.0**BITS
        return bool(np.allclose(self.low, -self.high * levels / (levels - 2), rtol=1e-5))


def sites(model: Any) -> Iterator[Site]:
    """Where activations are quantized; weights are constants."""
    for node in model.get_ordered_ops():
        if node.get_type_name() != "FakeQuantize":
            continue
        given = node.input_value(0)
        source = given.get_node()
        if source.get_type_name() == "Constant":
            continue
        low, high = (np.array(node.input_value(index).get_node().data) for index in (1, 2))
        yield Site(node, (source.get_friendly_name(), given.get_index()), low, high)


class Seen:
    """The values of a float model at the places where a quantized one quantizes them."""

    def __init__(self, model: Any, quantized: Any, feeds: Sequence[Feed]) -> None:
        """Runs the model twice over the feeds: for extremes, then for histograms between them.

        Args:
            model: The float model; is changed.
            quantized: What NNCF made of it.
            feeds: What to run it on.
        """
        axes = {site.source: site.axis for site in sites(quantized)}
        ports = {
            (node.get_friendly_name(), output.get_index()): output
            for node in model.get_ordered_ops()
            for output in node.outputs()
        }
        model.add_outputs([ports[source] for source in axes])
        # What is an output already is not added.
        given = [result.input_value(0) for result in model.get_results()]
        places = {
            (port.get_node().get_friendly_name(), port.get_index()): n
            for n, port in enumerate(given)
        }
        settings = {**runtime.SETTINGS, "INFERENCE_NUM_THREADS": runtime.ONE_THREAD}
        request = ov.Core().compile_model(model, "CPU", settings).create_infer_request()

        def values() -> Iterator[tuple[tuple[str, int], list[Array]]]:
            for feed in feeds:
                request.infer(feed)
                for source, axis in axes.items():
                    array = np.array(request.output_tensors[places[source]].data)
                    parts = [array] if axis is None else list(np.moveaxis(array, axis, 0))
                    yield source, parts

        extremes: dict[tuple[str, int], list[Range]] = {}
        for source, parts in values():
            found = [(float(part.min()), float(part.max())) for part in parts]
            had = extremes.get(source, found)
            extremes[source] = [
                (min(a[0], b[0]), max(a[1], b[1])) for a, b in zip(found, had, strict=True)
            ]
        self.histograms = {
            source: [Histogram(*each) for each in found] for source, found in extremes.items()
        }
        for source, parts in values():
            for histogram, part in zip(self.histograms[source], parts, strict=True):
                histogram.add(part)


def reclip(quantized: Any, seen: Seen, method: str, percent: float) -> Any:
    """A copy of a quantized model with other ranges of activations.

    Places to which NNCF gave one range, as it does for what is concatenated, get one: the widest.

    Args:
        quantized: What NNCF made with the extremes of all runs.
        seen: The values there.
        method: One of `kit.quantize.clipping.CLIPPING`.
        percent: What `percentile` keeps.
    """
    model = quantized.clone()
    together: dict[tuple[bytes, bytes], list[Site]] = {}
    for site in sites(model):
        together.setdefault((site.low.tobytes(), site.high.tobytes()), []).append(site)
    for group in together.values():
        around = group[0].around_zero
        found = np.array(
            [
                [clipped(h, method, percent, BITS, around) for h in seen.histograms[site.source]]
                for site in group
            ]
        )
        _set(group, found[..., 0].min(axis=0), found[..., 1].max(axis=0), around)
    return model


def _set(group: Sequence[Site], low: Array, high: Array, around: bool) -> None:
    """Gives quantizers a range, by NNCF's arithmetic for it."""
    shape = group[0].low.shape
    top = np.maximum(np.abs(low), np.abs(high)) if around else high
    parameters = calculate_quantizer_parameters(
        MinMaxTensorStatistic(
            min_values=Tensor(low.reshape(shape).astype(np.float32)),
            max_values=Tensor(top.reshape(shape).astype(np.float32)),
        ),
        QuantizerConfig(
            num_bits=BITS,
            mode=QuantizationScheme.SYMMETRIC if around else QuantizationScheme.ASYMMETRIC,
            per_channel=low.size > 1,
            signedness_to_force=True if around else None,
        ),
        QuantizerGroup.ACTIVATIONS,
    )
    for site in group:
        for index, part in (
            (1, "input_low"),
            (2, "input_high"),
            (3, "input_low"),
            (4, "input_high"),
        ):
            old = site.node.input_value(index).get_node()
            array = np.asarray(getattr(parameters, part).data, np.float32).reshape(shape)
            new = ops.constant(array, name=old.get_friendly_name())
            site.node.input(index).replace_source_output(new.output(0))
