"""Weights as integers of eight or four bits, widened before they are used."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import nncf

from ...kit.protocol.request import StepError
from ...kit.quantize.mixing import Settings
from .refusals import FIELD, refused

WHOLE = -1
"""NNCF's word for one scale a channel."""


def check(wanted: Settings) -> None:
    """Compares what is asked for with what OpenVINO's compressed weights can be.

    Raises:
        StepError: They have no scale a tensor, and blocks with four bits only.
    """
    if wanted.get("per_channel") is False:
        raise StepError(
            "OpenVINO's integer weights have a scale a channel: one a tensor cannot be had",
            "delete `per_channel: false`",
            f"{FIELD}.per_channel",
        )
    if wanted.get("block_size") and wanted["bits"] != 4:
        raise StepError(
            f"OpenVINO's weights of {wanted['bits']} bits have a scale a channel, none a block",
            "delete `block_size`, or take `bits: 4`",
            f"{FIELD}.block_size",
        )


def compress(model: Any, wanted: Settings, kept: Collection[str]) -> Any:
    """A model with its weights made integers.

    With four bits the matrices of linear layers and embeddings have them, the first and the last as all
    others; convolutions get eight, since the CPU has no other.

    Args:
        model: Is changed.
        wanted: `bits`, `block_size`, `symmetric`.
        kept: Names of operations whose weights stay.

    Raises:
        StepError: NNCF refuses: a block does not divide a layer's inputs.
    """
    # Ranges around zero unless said otherwise: no zero points to store.
    kind = "ASYM" if wanted.get("symmetric") is False else "SYM"
    scope = nncf.IgnoredScope(names=sorted(kept), validate=False) if kept else None
    try:
        if wanted["bits"] == 8:
            mode = getattr(nncf.CompressWeightsMode, f"INT8_{kind}")
            return nncf.compress_weights(model, mode=mode, ignored_scope=scope)
        return nncf.compress_weights(
            model,
            mode=getattr(nncf.CompressWeightsMode, f"INT4_{kind}"),
            group_size=wanted.get("block_size") or WHOLE,
            # All that can have four bits do, the last layer and embeddings as well.
            ratio=1.0,
            all_layers=True,
            backup_mode=getattr(nncf.BackupMode, f"INT8_{kind}"),
            ignored_scope=scope,
        )
    except nncf.InvalidGroupSizeError as error:
        layers = ", ".join(part.strip() for part in str(error).splitlines()[2:])
        raise StepError(
            f"blocks of {wanted['block_size']} do not divide the inputs of {layers}",
            "take another `block_size`, or name the layer in `keep_float`",
            f"{FIELD}.block_size",
        ) from error
    except Exception as error:  # NNCF has a dozen types of errors, all about this model.
        raise refused(error) from error
