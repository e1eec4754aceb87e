"""Recurrent layers, step by step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..case import Array, Case, floats

STEPS, BATCH, INPUT, HIDDEN = 4, 3, 2, 5
X = floats(STEPS, BATCH, INPUT)
H, C = floats(BATCH, HIDDEN), floats(BATCH, HIDDEN)
H2, C2 = floats(BATCH, 2 * HIDDEN), floats(BATCH, 2 * HIDDEN)

# hard_sigmoid and scaled_tanh with the numbers of coremltools' tests.
_ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "tanh": np.tanh,
    "scaled_tanh": np.tanh,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "hard_sigmoid": lambda x: np.clip(0.2 * x + 0.5, 0, 1),
    "sigmoid_hard": lambda x: np.clip(0.2 * x + 0.5, 0, 1),
    "relu": lambda x: np.maximum(x, 0),
    "linear": lambda x: x,
}


def _weights(gates: int) -> dict[str, Array]:
    return {
        "weight_ih": floats(gates * HIDDEN, INPUT),
        "weight_hh": floats(gates * HIDDEN, HIDDEN, low=-0.7, high=0.7),
    }


def _rnn(
    x: Array,
    initial_h: Array,
    weight_ih: Array,
    weight_hh: Array,
    bias: Array | None = None,
    direction: str = "forward",
    output_sequence: bool = False,
    activation: str = "tanh",
) -> tuple[Array, ...]:
    h, outputs = initial_h.astype(np.float64), []
    for step in x if direction == "forward" else x[::-1]:
        h = _ACTIVATIONS[activation](
            step @ weight_ih.T + h @ weight_hh.T + (0 if bias is None else bias)
        )
        outputs.append(h)
    return np.stack(outputs if output_sequence else [h]), h


def _gru(
    x: Array,
    initial_h: Array,
    weight_ih: Array,
    weight_hh: Array,
    bias: Array | None = None,
    direction: str = "forward",
    output_sequence: bool = False,
    recurrent_activation: str = "sigmoid",
    activation: str = "tanh",
    reset_after: bool = False,
    input_bias: Array | None = None,
) -> tuple[Array, ...]:
    gate, act = _ACTIVATIONS[recurrent_activation], _ACTIVATIONS[activation]
    w_r, w_o, w_z = np.split(weight_ih, 3)
    u_r, u_o, u_z = np.split(weight_hh, 3)
    none = np.zeros(3 * HIDDEN)
    b_r, b_o, b_z = np.split(none if bias is None else bias, 3)
    a_r, a_o, a_z = np.split(none if input_bias is None else input_bias, 3)
    h, outputs = initial_h.astype(np.float64), []
    for step in x if direction == "forward" else x[::-1]:
        r = gate(step @ w_r.T + a_r + h @ u_r.T + b_r)
        z = gate(step @ w_z.T + a_z + h @ u_z.T + b_z)
        past = r * (h @ u_o.T + b_o) if reset_after else (r * h) @ u_o.T + b_o
        h = (1 - z) * act(step @ w_o.T + a_o + past) + z * h
        outputs.append(h)
    return np.stack(outputs if output_sequence else [h]), h


def _one_way(
    x: Array,
    h: Array,
    c: Array,
    weight_ih: Array,
    weight_hh: Array,
    bias: Array | None,
    peephole: Array | None,
    names: tuple[str, str, str],
    clip: float | None,
) -> tuple[list[Array], Array, Array]:
    gate, cell, act = (_ACTIVATIONS[name] for name in names)
    w = np.split(weight_ih, 4)
    u = np.split(weight_hh, 4)
    b = np.split(np.zeros(4 * HIDDEN) if bias is None else bias, 4)
    p_i, p_f, p_o = np.split(np.zeros(3 * HIDDEN) if peephole is None else peephole, 3)
    h, c, outputs = h.astype(np.float64), c.astype(np.float64), []
    for step in x:
        i, f, o, z = (step @ w[k].T + h @ u[k].T + b[k] for k in range(4))
        c = gate(f + p_f * c) * c + gate(i + p_i * c) * cell(z)
        if clip is not None:
            c = np.clip(c, -clip, clip)
        h = gate(o + p_o * c) * act(c)
        outputs.append(h)
    return outputs, h, c


def _lstm(
    x: Array,
    initial_h: Array,
    initial_c: Array,
    weight_ih: Array,
    weight_hh: Array,
    bias: Array | None = None,
    peephole: Array | None = None,
    weight_ih_back: Array | None = None,
    weight_hh_back: Array | None = None,
    bias_back: Array | None = None,
    peephole_back: Array | None = None,
    direction: str = "forward",
    output_sequence: bool = False,
    recurrent_activation: str = "sigmoid",
    cell_activation: str = "tanh",
    activation: str = "tanh",
    clip: float | None = None,
) -> tuple[Array, ...]:
    names = (recurrent_activation, cell_activation, activation)
    if direction != "bidirectional":
        x = x if direction == "forward" else x[::-1]
        outputs, h, c = _one_way(
            x, initial_h, initial_c, weight_ih, weight_hh, bias, peephole, names, clip
        )
        return np.stack(outputs if output_sequence else [h]), h, c
    assert weight_ih_back is not None
    assert weight_hh_back is not None
    (h_f, h_b), (c_f, c_b) = np.split(initial_h, 2, 1), np.split(initial_c, 2, 1)
    ahead, h_f, c_f = _one_way(x, h_f, c_f, weight_ih, weight_hh, bias, peephole, names, clip)
    back, h_b, c_b = _one_way(
        x[::-1], h_b, c_b, weight_ih_back, weight_hh_back, bias_back, peephole_back, names, clip
    )
    h, c = np.concatenate([h_f, h_b], 1), np.concatenate([c_f, c_b], 1)
    both = [np.concatenate(pair, 1) for pair in zip(ahead, back[::-1], strict=True)]
    return np.stack(both if output_sequence else [h]), h, c


_RNN = {"x": X, "initial_h": H, **_weights(1)}
_GRU = {"x": X, "initial_h": H, **_weights(3)}
_LSTM = {"x": X, "initial_h": H, "initial_c": C, **_weights(4)}
_BACK = {f"{name}_back": values for name, values in _weights(4).items()}
_BOTH = {**_LSTM, "initial_h": H2, "initial_c": C2, **_BACK, "direction": "bidirectional"}
_P, _P_BACK = floats(3 * HIDDEN), floats(3 * HIDDEN)
_B4, _B4_BACK = floats(4 * HIDDEN), floats(4 * HIDDEN)
_ALL = {"output_sequence": True}

_RNNS: list[dict[str, Any]] = [
    _RNN,
    {**_RNN, "bias": floats(HIDDEN), **_ALL},
    {**_RNN, "direction": "reverse", **_ALL},
    {**_RNN, "direction": "reverse"},
    *({**_RNN, "activation": name, "bias": floats(HIDDEN), **_ALL} for name in _ACTIVATIONS),
]
_GRUS: list[dict[str, Any]] = [
    _GRU,
    {**_GRU, "bias": floats(3 * HIDDEN), **_ALL},
    {**_GRU, "direction": "reverse", **_ALL},
    {**_GRU, "recurrent_activation": "hard_sigmoid", "activation": "relu"},
    {**_GRU, "bias": floats(3 * HIDDEN), "reset_after": True},
    {
        **_GRU,
        "bias": floats(3 * HIDDEN),
        "input_bias": floats(3 * HIDDEN),
        "reset_after": True,
        **_ALL,
    },
]
_LSTMS: list[dict[str, Any]] = [
    _LSTM,
    {**_LSTM, "bias": _B4, **_ALL},
    {**_LSTM, "direction": "reverse", **_ALL},
    {**_LSTM, "direction": "reverse", "bias": _B4},
    {**_LSTM, "peephole": _P, "bias": _B4, **_ALL},
    {**_LSTM, "clip": 0.3, **_ALL},
    {**_LSTM, "recurrent_activation": "hard_sigmoid"},
    {**_LSTM, "cell_activation": "relu", **_ALL},
    {**_LSTM, "activation": "linear", "direction": "reverse", **_ALL},
    {**_LSTM, "activation": "scaled_tanh"},
    _BOTH,
    {**_BOTH, **_ALL},
    {**_BOTH, "bias": _B4, "bias_back": _B4_BACK, **_ALL},
    {**_BOTH, "bias_back": _B4_BACK},
    {**_BOTH, "peephole": _P, "peephole_back": _P_BACK, "bias": _B4, **_ALL},
    {**_BOTH, "peephole_back": _P_BACK, "clip": 0.5},
]

CASES = [
    *(Case("rnn", given, _rnn(**given)) for given in _RNNS),
    *(Case("gru", given, _gru(**given)) for given in _GRUS),
    *(Case("lstm", given, _lstm(**given)) for given in _LSTMS),
    *(
        Case(name, {**given, field: "unknown"}, "Unsupported")
        for name, given, fields in (
            ("rnn", _RNN, ("direction", "activation")),
            ("gru", _GRU, ("direction", "activation", "recurrent_activation")),
            (
                "lstm",
                _LSTM,
                ("direction", "activation", "recurrent_activation", "cell_activation"),
            ),
        )
        for field in fields
    ),
    Case("lstm", {**_LSTM, "direction": "bidirectional"}, "Unsupported"),
]
