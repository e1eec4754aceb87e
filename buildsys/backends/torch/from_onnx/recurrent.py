"""LSTM, GRU and RNN, by torch's own recurrent layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from .table import Call, Unsupported, operator

ORDERS = {"LSTM": (0, 2, 3, 1), "GRU": (1, 0, 2), "RNN": (0,)}
"""Where each gate of torch lies in ONNX's weights: i, f, g, o of i, o, f, c; r, z, n of z, r, h."""
USUAL = {"LSTM": ["Sigmoid", "Tanh", "Tanh"], "GRU": ["Sigmoid", "Tanh"], "RNN": ["Tanh"]}


def _weights(call: Call, weight: Any, recurrent: Any, bias: Any = None) -> tuple[Any, ...]:
    """The weights of each direction as torch has them: input, recurrent, and both biases."""
    found = []
    order = ORDERS[call.kind]
    for direction in range(weight.shape[0]):
        found.append(_ordered(weight[direction], order))
        found.append(_ordered(recurrent[direction], order))
        rows = weight.shape[1]
        both = bias[direction] if bias is not None else weight.new_zeros(2 * rows)
        found += [_ordered(both[:rows], order), _ordered(both[rows:], order)]
    return tuple(found)


def _ordered(weight: Any, order: Sequence[int]) -> Any:
    gates = weight.chunk(len(order), 0)
    return torch.cat([gates[gate] for gate in order], 0)


def _refuse(call: Call, extra: Sequence[Any], steps: int, activations: Sequence[list[str]]) -> None:
    """Raises an error for what torch's layers do not have."""
    if call.get("clip") is not None:
        raise Unsupported(f"`{call.kind}` with `clip` has no counterpart in torch")
    if call.get("input_forget", 0):
        raise Unsupported(f"`{call.kind}` with `input_forget` has no counterpart in torch")
    if len(extra) > 2 and extra[2] is not None:
        raise Unsupported(f"`{call.kind}` with peepholes has no counterpart in torch")
    lengths = call.list(4)
    if lengths is not None and any(length != steps for length in lengths):
        raise Unsupported(
            f"`{call.kind}` over sequences of several lengths has no counterpart here"
        )
    named = call.get("activations")
    if named is None:
        return
    names = [bytes(name).decode() for name in named]
    each = len(names) // (2 if call.text("direction", "forward") == "bidirectional" else 1)
    if any(names[i : i + each] not in activations for i in range(0, len(names), each)):
        raise Unsupported(
            f"`{call.kind}` with the activations {', '.join(names)} has no counterpart"
        )


def _run(
    call: Call, run: Any, x: Any, states: list[Any], flat: Sequence[Any], stateful: int
) -> Any:
    """Runs a layer of torch in ONNX's axes: `[steps, directions, batch, hidden]`."""
    direction = call.text("direction", "forward")
    both = direction == "bidirectional"
    batch_first = bool(call.get("layout", 0))
    if batch_first:
        x = x.transpose(0, 1)
        states = [None if state is None else state.transpose(0, 1) for state in states]
    if direction == "reverse":
        x = x.flip(0)
    directions, hidden = len(flat) // 4, call.get("hidden_size")
    zeros = x.new_zeros(directions, x.shape[1], hidden)
    given = [zeros if state is None else state for state in states[:stateful]]
    fed = given if stateful == 2 else given[0]
    found, *last = run(x, fed, list(flat), True, 1, 0.0, False, both, False)
    if direction == "reverse":
        found = found.flip(0)
    found = found.reshape(x.shape[0], x.shape[1], directions, hidden)
    if batch_first:
        return (found.transpose(0, 1), *(state.transpose(0, 1) for state in last))
    return (found.permute(0, 2, 1, 3), *last)


def _split(call: Call, x: Any, rest: Sequence[Any]) -> tuple[Sequence[Any], list[Any]]:
    """The layer's weights, and what follows them in the arguments: lengths and states."""
    directions = 2 if call.text("direction", "forward") == "bidirectional" else 1
    return rest[: 4 * directions], [*rest[4 * directions + 1 :], None, None]


@operator("LSTM", static=(4,), prepare=_weights, weights=1)
def _lstm(call: Call, x: Any, *rest: Any) -> Any:
    flat, extra = _split(call, x, rest)
    steps = x.shape[1 if call.get("layout", 0) else 0]
    _refuse(call, extra, steps, [USUAL["LSTM"]])
    return _run(call, torch.lstm, x, extra, flat, 2)


@operator("GRU", static=(4,), prepare=_weights, weights=1)
def _gru(call: Call, x: Any, *rest: Any) -> Any:
    if not call.get("linear_before_reset", 0):
        raise Unsupported(
            "`GRU` without `linear_before_reset` has no counterpart in torch, which multiplies by the "
            "reset gate after the product"
        )
    flat, extra = _split(call, x, rest)
    steps = x.shape[1 if call.get("layout", 0) else 0]
    _refuse(call, extra, steps, [USUAL["GRU"]])
    return _run(call, torch.gru, x, extra, flat, 1)


@operator("RNN", static=(4,), prepare=_weights, weights=1)
def _rnn(call: Call, x: Any, *rest: Any) -> Any:
    flat, extra = _split(call, x, rest)
    steps = x.shape[1 if call.get("layout", 0) else 0]
    _refuse(call, extra, steps, [USUAL["RNN"], ["Relu"]])
    named = call.get("activations") or [b"Tanh"]
    run = torch.rnn_relu if bytes(named[0]) == b"Relu" else torch.rnn_tanh
    return _run(call, run, x, extra, flat, 1)
