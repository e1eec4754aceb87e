"""A profile of the recipe as the quantizer's configurations, operator by operator."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from ai_edge_quantizer import algorithm_manager, qtyping, quantizer

from ...kit.protocol.request import StepError
from .operators import Operator

FIELD = "quantization"
Settings = Mapping[str, Any]
Config: TypeAlias = qtyping.OpQuantizationConfig
Assigned = Mapping[Operator, Config | None]
"""What becomes of each operator; `None`: it stays as it is."""

BLOCKS = (32, 64, 128, 256)
"""Weights that one scale can serve, besides those of a channel and of a tensor."""
WHOLE = 8
"""The width that all of the quantizer's operators take."""
NO_QUANTIZE = quantizer.AlgorithmName.NO_QUANTIZE
_DEPTHWISE = qtyping.TFLOperationName.DEPTHWISE_CONV_2D
_LOOKUP = qtyping.TFLOperationName.EMBEDDING_LOOKUP
_BORDERS = (qtyping.TFLOperationName.INPUT, qtyping.TFLOperationName.OUTPUT)


def check(settings: Settings) -> None:
    """Refuses what neither the quantizer nor LiteRT has.

    Raises:
        StepError: The profile asks for it.
    """
    if settings.get("activations") == "int16" and settings.get("symmetric") is False:
        raise StepError(
            "LiteRT has no kernels for int16 activations whose range is not symmetric",
            "leave `symmetric` out, or take `activations: int8`",
            f"{FIELD}.symmetric",
        )
    block = settings.get("block_size")
    if block is not None:
        if block not in BLOCKS:
            raise StepError(
                f"LiteRT has no blocks of {block} weights",
                f"`block_size` is one of {', '.join(map(str, BLOCKS))} for tflite",
                f"{FIELD}.block_size",
            )
        if settings["bits"] != 4:
            raise StepError(
                f"LiteRT has no blocks of weights with {settings['bits']} bits",
                "set `bits: 4`, or leave `block_size` out",
                f"{FIELD}.block_size",
            )


def fitting(settings: Settings, operator: Operator) -> Config | None:
    """The first configuration, from what is asked for on, that the quantizer has for an operator."""
    if operator.key is None:
        return None
    for config in _candidates(settings, operator):
        try:
            algorithm_manager.check_op_quantization_config(algorithm(config), operator.key, config)
        except ValueError:
            continue
        return config
    return None


def _candidates(settings: Settings, operator: Operator) -> list[Config]:
    """What an operator may become: with 4 bits where its kernels have them, else with 8."""
    scheme = settings["scheme"]
    if scheme == "float16":
        return [_config(_tensor(16, dtype=qtyping.TensorDataType.FLOAT), integers=False)]
    widths = dict.fromkeys((settings["bits"], WHOLE))
    granularity = (
        qtyping.QuantGranularity.CHANNELWISE
        if settings.get("per_channel", True)
        else qtyping.QuantGranularity.TENSORWISE
    )
    if scheme == "weight-only":
        symmetric = settings.get("symmetric", True)
        return [_config(_tensor(n, granularity, symmetric), integers=False) for n in widths]
    if scheme == "static":
        short = settings.get("activations") != "int16"
        activations = _tensor(8 if short else 16, symmetric=settings.get("symmetric", not short))
        found = [_config(_tensor(n, granularity), activations) for n in widths]
        if operator.key == _LOOKUP:
            # LiteRT looks up integers and gives floats; what follows makes integers of them.
            found += [_config(_tensor(n, granularity)) for n in widths]
        return found
    if operator.key == _DEPTHWISE and not settings.get("per_channel", True):
        # LiteRT gives wrong numbers for integers with one scale; what is widened first is right.
        return [_config(_tensor(WHOLE, granularity), integers=False)]
    found = [_config(_tensor(n, granularity)) for n in widths]
    block = settings.get("block_size")
    if block is not None and operator.row is not None and operator.row % block == 0:
        found.insert(0, _config(_tensor(4, qtyping.QuantGranularity[f"BLOCKWISE_{block}"])))
    return found


def _tensor(
    bits: int,
    granularity: qtyping.QuantGranularity = qtyping.QuantGranularity.TENSORWISE,
    symmetric: bool = True,
    dtype: qtyping.TensorDataType = qtyping.TensorDataType.INT,
) -> qtyping.TensorQuantizationConfig:
    return qtyping.TensorQuantizationConfig(
        num_bits=bits, symmetric=symmetric, granularity=granularity, dtype=dtype
    )


def _config(
    weights: qtyping.TensorQuantizationConfig,
    activations: qtyping.TensorQuantizationConfig | None = None,
    integers: bool = True,
) -> Config:
    """What computes in floats widens its weights first."""
    precision = qtyping.ComputePrecision
    return Config(
        activation_tensor_config=activations,
        weight_tensor_config=weights,
        compute_precision=precision.INTEGER if integers else precision.FLOAT,
        explicit_dequantize=not integers,
    )


def algorithm(config: Config) -> str:
    """How weights become what a configuration says."""
    weights = config.weight_tensor_config
    floats = weights is not None and weights.dtype == qtyping.TensorDataType.FLOAT
    names = quantizer.AlgorithmName
    return str((names.FLOAT_CASTING if floats else names.MIN_MAX_UNIFORM_QUANT).value)


def check_blocks(wanted: Settings, assigned: Assigned) -> None:
    """Refuses `block_size` where nothing takes blocks.

    Raises:
        StepError: No operator of those that are assigned does.
    """
    block = wanted.get("block_size")
    if block is None or any(_in_blocks(config) for config in assigned.values()):
        return
    rows = sorted({operator.row for operator in assigned if operator.row is not None})
    why = f"rows have {', '.join(map(str, rows))} weights" if rows else "no operator has rows"
    raise StepError(
        f"nothing takes blocks of {block} weights: LiteRT has them for FULLY_CONNECTED and "
        f"EMBEDDING_LOOKUP, whose rows are whole blocks, and here {why}",
        "leave `block_size` out for this model",
        f"{FIELD}.block_size",
    )


def notes(wanted: Settings, assigned: Assigned) -> list[str]:
    """What became of operators other than a profile says."""
    told: Counter[tuple[str, str]] = Counter()
    block = wanted.get("block_size")
    for operator, config in assigned.items():
        weights = config.weight_tensor_config if config is not None else None
        if config is None or weights is None or not operator.weighted:
            continue
        if operator.key not in _WITH_WEIGHTS:
            continue
        if wanted.get("bits") == 4 and weights.num_bits == WHOLE:
            told[operator.type, "has 8 bits: LiteRT has no kernel of it with 4"] += 1
        if wanted["scheme"] == "dynamic" and config.explicit_dequantize:
            why = "computes in float32: LiteRT needs scales of channels to compute in integers"
            told[operator.type, why] += 1
        if wanted["scheme"] == "static" and config.activation_tensor_config is None:
            told[operator.type, "gives float32: LiteRT looks up integers, and gives floats"] += 1
        if block is not None and not _in_blocks(config):
            why = (
                f"its rows of {operator.row} weights are not whole blocks"
                if operator.row is not None
                else "LiteRT has no blocks of it"
            )
            told[operator.type, f"has no blocks of {block}: {why}"] += 1
    return [f"{kind} {what} ({count} of them)" for (kind, what), count in told.items()]


def _in_blocks(config: Config | None) -> bool:
    weights = config.weight_tensor_config if config is not None else None
    return weights is not None and weights.granularity.startswith("BLOCKWISE")


_WITH_WEIGHTS = (
    *(_DEPTHWISE, qtyping.TFLOperationName.CONV_2D, qtyping.TFLOperationName.CONV_2D_TRANSPOSE),
    *(_LOOKUP, qtyping.TFLOperationName.FULLY_CONNECTED, qtyping.TFLOperationName.BATCH_MATMUL),
)


def tool(model: bytes, assigned: Assigned) -> Any:
    """A quantizer that does with each operator what is assigned to it."""
    made = quantizer.Quantizer(model)
    for key in dict.fromkeys(operator.key for operator in assigned if operator.key is not None):
        groups: dict[Config | None, list[Operator]] = {}
        for operator, config in assigned.items():
            if operator.key == key:
                groups.setdefault(config, []).append(operator)
        # What most of a type become is said for all of it: expressions over names are slow.
        ordered = sorted(groups.items(), key=lambda group: -len(group[1]))
        for number, (config, members) in enumerate(ordered):
            expression = _exactly(members) if number else ".*"
            if config is None:
                made.update_quantization_recipe(expression, key, algorithm_key=NO_QUANTIZE)
            else:
                made.update_quantization_recipe(expression, key, config, algorithm(config))
    # The border stays float32: an int8 one would need a scale in the app's code.
    for border in _BORDERS:
        made.update_quantization_recipe(".*", border, algorithm_key=NO_QUANTIZE)
    return made


def _exactly(members: Sequence[Operator]) -> str:
    return f"^(?:{'|'.join(re.escape(operator.scope) for operator in members)})$"
