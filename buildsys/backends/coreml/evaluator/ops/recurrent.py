"""Recurrent layers: x [sequence, batch, input] to outputs [sequence or 1, batch, hidden].

Backwards, outputs are in the order in which they are computed: coremltools' tests, which Apple runs on
devices, expect it, but for the backward half of a bidirectional layer, which is in the input's order.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812

from ..errors import Unsupported
from ..registry import Tensor, Tensors, operation

Activation = Callable[[Tensor], Tensor]

# As coremltools' tests apply them: a scaled tanh has scales of 1 here.
_ACTIVATIONS: dict[str, Activation] = {
    "hard_sigmoid": lambda x: torch.mul(x, 0.2).add_(0.5).clamp_(0, 1),
    "linear": lambda x: x,
    "relu": torch.relu,
    "scaled_tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "sigmoid_hard": lambda x: torch.mul(x, 0.2).add_(0.5).clamp_(0, 1),
    "tanh": torch.tanh,
}


@operation("rnn")
def rnn(
    x: Tensor,
    initial_h: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias: Tensor | None = None,
    direction: str = "forward",
    output_sequence: bool = False,
    activation: str = "tanh",
) -> Tensors:
    """`h = activation(weight_ih @ x + weight_hh @ h + bias)`.

    Raises:
        Unsupported: A direction or an activation is none of the documented ones.
    """
    x = _directed("rnn", x, direction)
    if activation in ("tanh", "relu"):
        kernel = torch.rnn_tanh if activation == "tanh" else torch.rnn_relu
        weights = _weights(weight_ih, weight_hh, bias)
        h0 = initial_h.unsqueeze(0)
        y, h = kernel(x, h0, weights, bias is not None, 1, 0.0, False, False, False)
        return (y if output_sequence else h), h.squeeze(0)
    act = _activation("rnn", "activation", activation)
    h, outputs = initial_h, []
    for step in F.linear(x, weight_ih, bias):
        h = act(step + F.linear(h, weight_hh))
        outputs.append(h)
    return _outputs(outputs, output_sequence), h


@operation("gru")
def gru(
    x: Tensor,
    initial_h: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias: Tensor | None = None,
    direction: str = "forward",
    output_sequence: bool = False,
    recurrent_activation: str = "sigmoid",
    activation: str = "tanh",
    reset_after: bool = False,
    input_bias: Tensor | None = None,
) -> Tensors:
    """A gated recurrent unit; weights and biases are those of reset, output and update, in this order.

        r, z = recurrent_activation(weight_ih @ x + input_bias + weight_hh @ h + bias)
        o    = activation(weight_ih @ x + input_bias + weight_hh @ (r * h) + bias), or
               activation(weight_ih @ x + input_bias + r * (weight_hh @ h + bias)) where `reset_after`
        h    = (1 - z) * o + z * h

    Raises:
        Unsupported: A direction or an activation is none of the documented ones.
    """
    x = _directed("gru", x, direction)
    gate = _activation("gru", "recurrent_activation", recurrent_activation)
    act = _activation("gru", "activation", activation)
    size = weight_hh.shape[1]
    whh_r, whh_o, whh_z = weight_hh.split(size)
    b_r, b_o, b_z = bias.split(size) if bias is not None else (None, None, None)
    h, outputs = initial_h, []
    for step in F.linear(x, weight_ih, input_bias):
        x_r, x_o, x_z = step.split(size, -1)
        r = gate(x_r + F.linear(h, whh_r, b_r))
        z = gate(x_z + F.linear(h, whh_z, b_z))
        past = r * F.linear(h, whh_o, b_o) if reset_after else F.linear(r * h, whh_o, b_o)
        o = act(x_o + past)
        h = o + z * (h - o)
        outputs.append(h)
    return _outputs(outputs, output_sequence), h


@operation("lstm")
def lstm(
    x: Tensor,
    initial_h: Tensor,
    initial_c: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias: Tensor | None = None,
    peephole: Tensor | None = None,
    weight_ih_back: Tensor | None = None,
    weight_hh_back: Tensor | None = None,
    bias_back: Tensor | None = None,
    peephole_back: Tensor | None = None,
    direction: str = "forward",
    output_sequence: bool = False,
    recurrent_activation: str = "sigmoid",
    cell_activation: str = "tanh",
    activation: str = "tanh",
    clip: float | None = None,
) -> Tensors:
    """Long short-term memory; weights and biases are those of i, f, o and z, in this order.

        i, f = recurrent_activation(weight_ih @ x + weight_hh @ h + bias + peephole * c)
        z    = cell_activation(weight_ih @ x + weight_hh @ h + bias)
        c    = f * c + i * z, at most `clip` and at least `-clip`
        o    = recurrent_activation(weight_ih @ x + weight_hh @ h + bias + peephole * c)
        h    = o * activation(c)

    Returns:
        The outputs, and the last h and c [batch, hidden], both directions side by side.

    Raises:
        Unsupported: A direction or an activation is none of the documented ones, or the weights
            backwards are missing.
    """
    names = (recurrent_activation, cell_activation, activation)
    ways = [(weight_ih, weight_hh, bias, peephole)]
    both = direction == "bidirectional"
    if both:
        if weight_ih_back is None or weight_hh_back is None:
            raise Unsupported(
                "lstm: direction is 'bidirectional' and weights backwards are missing"
            )
        ways.append((weight_ih_back, weight_hh_back, bias_back, peephole_back))
    else:
        x = _directed("lstm", x, direction)
    plain = clip is None and peephole is None and (peephole_back is None or not both)
    if plain and names == ("sigmoid", "tanh", "tanh"):
        return _fused_lstm(x, initial_h, initial_c, ways, output_sequence)
    acts = tuple(
        _activation("lstm", field, name)
        for field, name in zip(
            ("recurrent_activation", "cell_activation", "activation"), names, strict=True
        )
    )
    size = weight_hh.shape[1]
    results = []
    for way, (h, c) in enumerate(
        zip(initial_h.split(size, 1), initial_c.split(size, 1), strict=True)
    ):
        y, h, c = _lstm_way(torch.flip(x, (0,)) if way else x, h, c, ways[way], acts, clip)
        if way:
            y = torch.flip(y, (0,))
        results.append((y if output_sequence else h.unsqueeze(0), h, c))
    return tuple(torch.cat(parts, -1) for parts in zip(*results, strict=True))


Way = tuple[Tensor, Tensor, Tensor | None, Tensor | None]


def _fused_lstm(
    x: Tensor, initial_h: Tensor, initial_c: Tensor, ways: list[Way], output_sequence: bool
) -> Tensors:
    """By torch's kernel, whose gates are in the order i, f, z, o."""
    size = ways[0][1].shape[1]
    biased = any(way[2] is not None for way in ways)
    weights: list[Tensor] = []
    for weight_ih, weight_hh, bias, _ in ways:
        if biased and bias is None:
            bias = torch.zeros(4 * size)
        parts = [weight_ih, weight_hh] if bias is None else [weight_ih, weight_hh, bias]
        weights += [_reordered(part, size) for part in parts]
        if bias is not None:
            weights.append(torch.zeros(4 * size))
    count = len(ways)
    h0, c0 = (
        s.reshape(-1, count, size).transpose(0, 1).contiguous() for s in (initial_h, initial_c)
    )
    y, h, c = torch.lstm(x, (h0, c0), weights, biased, 1, 0.0, False, count == 2, False)
    h, c = (state.transpose(0, 1).reshape(-1, count * size) for state in (h, c))
    return (y if output_sequence else h.unsqueeze(0)), h, c


def _reordered(gates: Tensor, size: int) -> Tensor:
    return torch.cat((gates[: 2 * size], gates[3 * size :], gates[2 * size : 3 * size]))


def _lstm_way(
    x: Tensor, h: Tensor, c: Tensor, way: Way, acts: tuple[Activation, ...], clip: float | None
) -> Tensors:
    """One direction, step by step."""
    weight_ih, weight_hh, bias, peephole = way
    gate, cell, act = acts
    size = weight_hh.shape[1]
    p_i, p_f, p_o = peephole.split(size) if peephole is not None else (0.0, 0.0, 0.0)
    outputs = []
    for step in F.linear(x, weight_ih, bias):
        i, f, o, z = (step + F.linear(h, weight_hh)).split(size, -1)
        c = gate(f + p_f * c) * c + gate(i + p_i * c) * cell(z)
        if clip is not None:
            c = torch.clamp(c, -clip, clip)
        h = gate(o + p_o * c) * act(c)
        outputs.append(h)
    return torch.stack(outputs), h, c


def _activation(name: str, field: str, word: str) -> Activation:
    found = _ACTIVATIONS.get(word.lower())
    if found is None:
        raise Unsupported(f"{name}: its attribute {field} is {word!r}")
    return found


def _directed(name: str, x: Tensor, direction: str) -> Tensor:
    if direction == "forward":
        return x
    if direction == "reverse":
        return torch.flip(x, (0,))
    raise Unsupported(f"{name}: its attribute direction is {direction!r}")


def _weights(weight_ih: Tensor, weight_hh: Tensor, bias: Tensor | None) -> list[Tensor]:
    return [weight_ih, weight_hh] + ([] if bias is None else [bias, torch.zeros_like(bias)])


def _outputs(outputs: list[Tensor], output_sequence: bool) -> Tensor:
    return torch.stack(outputs) if output_sequence else outputs[-1].unsqueeze(0)
