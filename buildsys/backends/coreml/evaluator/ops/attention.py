"""Attention."""

from __future__ import annotations

import torch.nn.functional as F  # noqa: N812

from ..registry import Tensor, operation


@operation("scaled_dot_product_attention")
def scaled_dot_product_attention(
    query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None
) -> Tensor:
    """`softmax(query @ key.T / sqrt(width) + mask) @ value`.

    A mask of booleans says which elements take part, one of floats is added.
    """
    return F.scaled_dot_product_attention(query, key, value, attn_mask)
