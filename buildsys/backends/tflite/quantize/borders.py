"""What AI Edge Quantizer 0.10 does wrongly where an output of a graph is read within as well.

Putting QUANTIZE or DEQUANTIZE behind a tensor, it makes what these give the graph's output, whether the
output is among what they are put in for or not: an output becomes int8, which the signature does not
tell of. Where it is, its number -1 is taken for the place of an operator: the last one's inputs are
changed. And the signature names a new output only where nothing else reads the old one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from ai_edge_quantizer.model_modifier import ModelModifier
from ai_edge_quantizer.transformations import dequant_insert, quant_insert

OUTPUT = -1
"""What stands for the graph's outputs among those that read a tensor."""
Insert = Callable[[Any], Any]


@contextmanager
def kept() -> Iterator[None]:
    """Within, outputs and operators take what is put in only where it is put in for them."""
    with (
        mock.patch.object(quant_insert, "insert_quant", _only(quant_insert.insert_quant)),
        mock.patch.object(dequant_insert, "insert_dequant", _only(dequant_insert.insert_dequant)),
        # What is said of the signature is found by name, and so is nothing where nothing was put in.
        mock.patch.object(ModelModifier, "_has_transform_before_output", return_value=True),
    ):
        yield


def _only(insert: Insert) -> Insert:
    def inserted(asked: Any) -> Any:
        graph = asked.subgraph
        outputs, last = list(graph.outputs), graph.operators[-1]
        taken, place = list(last.inputs), len(graph.operators) - 1
        done = insert(asked)
        if OUTPUT not in asked.consumers:
            graph.outputs = outputs
        elif place not in asked.consumers:
            last.inputs = taken
        return done

    return inserted
