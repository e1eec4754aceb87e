"""A small model of each module of `timm.models`, with the size of its pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

SMALL = 128
"""The side of pictures for networks that take any."""

HARD = (
    *("resnet", "regnet", "levit", "ghostnet", "metaformer", "repvit", "tiny_vit", "nfnet"),
    "byobnet",
)
"""Families whose sound artifacts were rejected once, or took minutes; the nightly tests build them anew."""

FACTORIES = ("factory", "features", "fx_features", "helpers", "hub", "layers", "registry")
"""Modules of `timm.models` that hold no model."""


@dataclass(frozen=True)
class Family:
    """A module of `timm.models`, and the model that stands for it.

    Attributes:
        model: The model's name.
        millions: Of its weights.
        side: Of its pictures, in pixels.
        sizes: What makes it smaller where the smallest of its family has 80 million weights and more: the
            same operations, fewer or narrower blocks.
    """

    model: str
    millions: float
    side: int = SMALL
    sizes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The model's name, with what makes it smaller."""
        told = ", ".join(f"{name}={value}" for name, value in self.sizes.items())
        return f"{self.model} ({told})" if told else self.model


_ALL = {
    "convnext": Family("test_convnext", 0.3),
    "starnet": Family("starnet_s050", 0.5),
    "dla": Family("dla46x_c", 1.1),
    "edgenext": Family("edgenext_xx_small", 1.3),
    "mobilevit": Family("mobilevit_xxs", 1.3),
    "mobilenetv3": Family("mobilenetv3_small_050", 1.6),
    "naflexvit": Family(
        "naflexvit_base_patch16_gap", 1.7, 224, {"depth": 3, "embed_dim": 192, "num_heads": 3}
    ),
    "deepseek_vit": Family(
        "deepseek_vit_412m", 1.8, 168, {"depth": 2, "embed_dim": 256, "num_heads": 4}
    ),
    "vovnet": Family("ese_vovnet19b_slim_dw", 1.9),
    "efficientnet": Family("tinynet_e", 2.0),
    "efficientvit_msra": Family("efficientvit_m0", 2.3, 224),
    "repghost": Family("repghostnet_050", 2.3),
    "ghostnet": Family("ghostnet_050", 2.6),
    "cspnext": Family("cspnext_tiny", 2.7),
    "regnet": Family("regnetx_002", 2.7),
    "iformer": Family("iformer_t", 2.9),
    "xcit": Family("xcit_nano_12_p16_224", 3.1, 224),
    "cspnet": Family("cs3darknet_s", 3.3),
    "efficientvit_mit": Family("efficientvit_b0", 3.4),
    "swiftformer": Family("swiftformer_xs", 3.5),
    "efficientformer_v2": Family("efficientformerv2_s0", 3.6, 224),
    "pvt_v2": Family("pvt_v2_b0", 3.7),
    "fasternet": Family("fasternet_t0", 3.9),
    "fastvit": Family("fastvit_t8", 4.0),
    "lcnetv2": Family("lcnetv2_small", 4.1),
    "inception_next": Family("inception_next_atto", 4.2),
    "pit": Family("pit_ti_224", 4.8, 224),
    "rexnet": Family("rexnet_100", 4.8),
    "hardcorenas": Family("hardcorenas_b", 5.2),
    "byobnet": Family("mobileone_s0", 5.3),
    "coat": Family("coat_tiny", 5.5, 224),
    "eva": Family("eva02_tiny_patch14_224", 5.5, 224),
    "repvit": Family("repvit_m0_9", 5.5),
    "convit": Family("convit_tiny", 5.7, 224),
    "deit": Family("deit_tiny_patch16_224", 5.7, 224),
    "vision_transformer": Family("vit_tiny_patch16_224", 5.7, 224),
    "hgnet": Family("hgnetv2_b0", 6.0),
    "shvit": Family("shvit_s1", 6.3),
    "vision_transformer_hybrid": Family("vit_tiny_r_s16_p8_224", 6.3, 224),
    "cpubone": Family("cpubone_nano", 6.5),
    "efficientvim": Family("efficientvim_m1", 6.7),
    "crossvit": Family("crossvit_tiny_240", 7.0, 240),
    "mambaout": Family("mambaout_femto", 7.3),
    "maxxvit": Family("maxvit_rmlp_pico_rw_256", 7.5, 256),
    "levit": Family("levit_128s", 7.8, 224),
    "gemma4_vit": Family(
        "gemma4_vit_167m", 7.9, 192, {"depth": 2, "embed_dim": 192, "num_heads": 3}
    ),
    "densenet": Family("densenet121", 8.0),
    "byoanet": Family("halonet_h1", 8.1, 256),
    "sequencer": Family("sequencer2d_s", 8.6, 224, {"layers": [1, 1, 2, 1]}),
    "nfnet": Family("nf_regnet_b0", 8.8),
    "dpn": Family("dpn48b", 9.1),
    "visformer": Family("visformer_tiny", 10.3, 224),
    "resnest": Family("resnest14d", 10.6),
    "csatv2": Family("csatv2", 11.1),
    "resnet": Family("resnet18", 11.7),
    "resnetv2": Family("resnetv2_18", 11.7),
    "senet": Family("legacy_seresnet18", 11.8),
    "metaformer": Family("poolformer_s12", 11.9),
    "cait": Family("cait_xxs24_224", 12.0, 224),
    "gcvit": Family("gcvit_xxtiny", 12.0, 224),
    "sknet": Family("skresnet18", 12.0),
    "tiny_vit": Family("tiny_vit_5m_224", 12.1, 224),
    "efficientformer": Family("efficientformer_l1", 12.3, 224),
    "hrnet": Family("hrnet_w18_small", 13.2),
    "lowformer": Family("lowformer_b0", 14.1),
    "qwen3_vit": Family("qwen3_vit_88m", 16.5, 192, {"depth": 2}),
    "nest": Family("nest_tiny", 17.1, 224),
    "mlp_mixer": Family("mixer_s32_224", 19.1, 224),
    "convmixer": Family("convmixer_768_32", 21.1),
    "vision_transformer_relpos": Family("vit_relpos_small_patch16_224", 22.0, 224),
    "vitamin": Family("vitamin_small_224", 22.2, 224),
    "vision_transformer_sam": Family("samvit_base_patch16_224", 22.6, 224, {"depth": 3}),
    "beit": Family("beit_base_patch16_224", 22.7, 224, {"depth": 3}),
    "xception": Family("legacy_xception", 22.9),
    "inception_v3": Family("inception_v3", 23.8),
    "tnt": Family("tnt_s_legacy_patch16_224", 23.8, 224),
    "rdnet": Family("rdnet_tiny", 23.9),
    "twins": Family("twins_svt_small", 24.1, 224),
    "mvitv2": Family("mvitv2_tiny", 24.2, 224),
    "res2net": Family("res2net50_14w_8s", 25.1),
    "volo": Family("volo_d1_224", 26.6, 224),
    "hieradet_sam2": Family("sam2_hiera_tiny", 26.9, 224),
    "xception_aligned": Family("xception41", 27.0),
    "hiera": Family("hiera_tiny_224", 27.9, 224),
    "swin_transformer": Family("swin_tiny_patch4_window7_224", 28.3, 224),
    "swin_transformer_v2": Family("swinv2_tiny_window8_256", 28.3, 256),
    "swin_transformer_v2_cr": Family("swinv2_cr_tiny_ns_224", 28.3, 224),
    "davit": Family("davit_tiny", 28.4),
    "focalnet": Family("focalnet_tiny_srf", 28.4),
    "selecsls": Family("selecsls42", 30.4),
    "tresnet": Family("tresnet_m", 31.4),
    "nextvit": Family("nextvit_small", 31.8),
    "inception_v4": Family("inception_v4", 42.7),
    "inception_resnet_v2": Family("inception_resnet_v2", 55.8),
    "mobilenetv5": Family("mobilenetv5_base", 82.6),
    "pnasnet": Family("pnasnet5large", 86.1),
    "nasnet": Family("nasnetalarge", 88.8),
    "vgg": Family("vgg11", 132.9),
}

FAMILIES = MappingProxyType(_ALL)
"""By module, all that register models in timm 1.0.31: the smallest first, which is the order of a run."""
