"""Architectures of the package transformers, as it has them, in small configurations.

Each keeps the whole structure of its family: all stages, their norms, their attention and their heads.
"""

# mypy: disable-error-code="no-any-return"

from __future__ import annotations

from typing import Any

import transformers
from torch import nn

from .weights import seeded

TEXT = {"vocab_size": 100, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
ENCODER = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
}


def vit_hf() -> nn.Module:
    """ViT: patches, a class token, learned positions."""
    config = transformers.ViTConfig(image_size=(32, 48), patch_size=8, **ENCODER)
    return _seeded(transformers.ViTForImageClassification(config), 101)


def convnext_hf() -> nn.Module:
    """ConvNeXt: four stages of depthwise kernels, with layer scales."""
    config = transformers.ConvNextConfig(hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 2, 1])
    return _seeded(transformers.ConvNextForImageClassification(config), 102)


def resnet_hf() -> nn.Module:
    """ResNet: four stages of bottlenecks."""
    config = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[16, 24, 32, 48], depths=[1, 2, 1, 1]
    )
    return _seeded(transformers.ResNetForImageClassification(config), 103)


def regnet_hf() -> nn.Module:
    """RegNet Y: grouped bottlenecks, with gates."""
    config = transformers.RegNetConfig(
        embedding_size=8,
        hidden_sizes=[16, 24, 32, 48],
        depths=[1, 2, 1, 1],
        groups_width=8,
        layer_type="y",
    )
    return _seeded(transformers.RegNetForImageClassification(config), 104)


def mobilenet_v2_hf() -> nn.Module:
    """MobileNetV2, an eighth as wide as the original."""
    config = transformers.MobileNetV2Config(
        image_size=32, depth_multiplier=0.125, finegrained_output=False
    )
    return _seeded(transformers.MobileNetV2ForImageClassification(config), 105)


def segformer_hf() -> nn.Module:
    """SegFormer: four stages of attention over reduced sequences, and the decoder of all of them."""
    config = transformers.SegformerConfig(
        depths=[1, 1, 1, 1],
        hidden_sizes=[8, 16, 24, 32],
        num_attention_heads=[1, 2, 2, 4],
        decoder_hidden_size=16,
    )
    return _seeded(transformers.SegformerForSemanticSegmentation(config), 106)


def swin_hf() -> nn.Module:
    """Swin: windows, shifted ones, relative positions, merged patches."""
    config = transformers.SwinConfig(
        image_size=(32, 48), patch_size=2, embed_dim=16, depths=[2, 2], num_heads=[2, 4],
        window_size=4,
    )  # fmt: skip
    return _seeded(transformers.SwinForImageClassification(config), 107)


def bert_hf() -> nn.Module:
    """BERT with a classifier on its pooled token."""
    config = transformers.BertConfig(max_position_embeddings=64, **TEXT, **ENCODER)
    return _seeded(transformers.BertForSequenceClassification(config), 108)


def distilbert_hf() -> nn.Module:
    """DistilBERT with a classifier on its first token."""
    config = transformers.DistilBertConfig(
        max_position_embeddings=64, dim=32, n_layers=2, n_heads=4, hidden_dim=64, **TEXT
    )
    return _seeded(transformers.DistilBertForSequenceClassification(config), 109)


def gpt2_hf() -> nn.Module:
    """GPT-2 with the head that shares the embedding; without the cache of earlier tokens."""
    config = transformers.GPT2Config(
        n_positions=64, n_embd=32, n_layer=2, n_head=4, use_cache=False, **TEXT
    )
    return _seeded(transformers.GPT2LMHeadModel(config), 110)


def wav2vec2_hf() -> nn.Module:
    """wav2vec 2.0: strided convolutions over the wave, a convolution for positions, a transformer."""
    config = transformers.Wav2Vec2Config(
        conv_dim=(16,) * 7,
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=4,
        **TEXT,
        **ENCODER,
    )
    return _seeded(transformers.Wav2Vec2ForCTC(config), 111)


def whisper_encoder_hf() -> nn.Module:
    """The encoder of Whisper over a spectrogram."""
    config = transformers.WhisperConfig(
        num_mel_bins=16,
        d_model=32,
        encoder_layers=2,
        encoder_attention_heads=4,
        encoder_ffn_dim=64,
        decoder_layers=1,
        decoder_attention_heads=4,
        decoder_ffn_dim=64,
        max_source_positions=20,
        max_target_positions=8,
        **{**TEXT, "decoder_start_token_id": 1},
    )
    return _seeded(transformers.WhisperModel(config).encoder, 112)


def dinov2_hf() -> nn.Module:
    """DINOv2 on pictures of another size than its table of positions, which is resized."""
    config = transformers.Dinov2Config(image_size=40, patch_size=8, mlp_ratio=2, **ENCODER)
    return _seeded(transformers.Dinov2ForImageClassification(config), 113)


def yolos_hf() -> nn.Module:
    """YOLOS: a ViT with tokens that detect, whose positions are resized in every layer."""
    config = transformers.YolosConfig(
        image_size=(24, 40), patch_size=8, num_detection_tokens=6, num_labels=4, **ENCODER
    )
    return _seeded(transformers.YolosForObjectDetection(config), 114)


def _seeded(model: Any, seed: int) -> nn.Module:
    return seeded(model, seed)
