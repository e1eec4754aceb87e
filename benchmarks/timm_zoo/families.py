"""A small model of each module of `timm.models`, with the size of its pictures."""

from __future__ import annotations

from types import MappingProxyType

SMALL = 128
"""The side of pictures for networks that take any."""

HARD = (
    *("resnet", "regnet", "levit", "ghostnet", "metaformer", "repvit", "tiny_vit", "nfnet"),
    "byobnet",
)
"""Families whose sound artifacts were rejected once, or took minutes; the nightly tests build them anew."""

_FIXED = {
    "beit": ("beit_base_patch16_224", 224),
    "byoanet": ("halonet_h1", 256),
    "cait": ("cait_xxs24_224", 224),
    "coat": ("coat_tiny", 224),
    "convit": ("convit_tiny", 224),
    "crossvit": ("crossvit_tiny_240", 240),
    "deit": ("deit_tiny_patch16_224", 224),
    "efficientformer": ("efficientformer_l1", 224),
    "efficientformer_v2": ("efficientformerv2_s0", 224),
    "efficientvit_msra": ("efficientvit_m0", 224),
    "eva": ("eva02_tiny_patch14_224", 224),
    "gcvit": ("gcvit_xxtiny", 224),
    "hiera": ("hiera_tiny_224", 224),
    "hieradet_sam2": ("sam2_hiera_tiny", 224),
    "levit": ("levit_128s", 224),
    "maxxvit": ("maxvit_rmlp_pico_rw_256", 256),
    "mlp_mixer": ("mixer_s32_224", 224),
    "mvitv2": ("mvitv2_tiny", 224),
    "nest": ("nest_tiny", 224),
    "pit": ("pit_ti_224", 224),
    "swin_transformer": ("swin_tiny_patch4_window7_224", 224),
    "swin_transformer_v2": ("swinv2_tiny_window8_256", 256),
    "swin_transformer_v2_cr": ("swinv2_cr_tiny_ns_224", 224),
    "tiny_vit": ("tiny_vit_5m_224", 224),
    "tnt": ("tnt_s_legacy_patch16_224", 224),
    "twins": ("twins_svt_small", 224),
    "visformer": ("visformer_tiny", 224),
    "vision_transformer": ("vit_tiny_patch16_224", 224),
    "vision_transformer_hybrid": ("vit_tiny_r_s16_p8_224", 224),
    "vision_transformer_relpos": ("vit_relpos_small_patch16_224", 224),
    "volo": ("volo_d1_224", 224),
    "xcit": ("xcit_nano_12_p16_224", 224),
}
_ANY = {
    "byobnet": "mobileone_s0",
    "convmixer": "convmixer_768_32",
    "convnext": "test_convnext",
    "cpubone": "cpubone_nano",
    "csatv2": "csatv2",
    "cspnet": "cs3darknet_s",
    "cspnext": "cspnext_tiny",
    "davit": "davit_tiny",
    "densenet": "densenet121",
    "dla": "dla46x_c",
    "dpn": "dpn48b",
    "edgenext": "edgenext_xx_small",
    "efficientnet": "tinynet_e",
    "efficientvim": "efficientvim_m1",
    "efficientvit_mit": "efficientvit_b0",
    "fasternet": "fasternet_t0",
    "fastvit": "fastvit_t8",
    "focalnet": "focalnet_tiny_srf",
    "ghostnet": "ghostnet_050",
    "hardcorenas": "hardcorenas_b",
    "hgnet": "hgnetv2_b0",
    "hrnet": "hrnet_w18_small",
    "iformer": "iformer_t",
    "inception_next": "inception_next_atto",
    "inception_resnet_v2": "inception_resnet_v2",
    "inception_v3": "inception_v3",
    "inception_v4": "inception_v4",
    "mambaout": "mambaout_femto",
    "metaformer": "poolformer_s12",
    "mobilenetv3": "mobilenetv3_small_050",
    "mobilevit": "mobilevit_xxs",
    "nasnet": "nasnetalarge",
    "nextvit": "nextvit_small",
    "nfnet": "nf_regnet_b0",
    "pnasnet": "pnasnet5large",
    "pvt_v2": "pvt_v2_b0",
    "rdnet": "rdnet_tiny",
    "regnet": "regnetx_002",
    "repghost": "repghostnet_050",
    "repvit": "repvit_m0_9",
    "res2net": "res2net50_14w_8s",
    "resnest": "resnest14d",
    "resnet": "resnet18",
    "resnetv2": "resnetv2_18",
    "rexnet": "rexnet_100",
    "selecsls": "selecsls42",
    "senet": "legacy_seresnet18",
    "shvit": "shvit_s1",
    "sknet": "skresnet18",
    "starnet": "starnet_s050",
    "swiftformer": "swiftformer_xs",
    "tresnet": "tresnet_m",
    "vgg": "vgg11",
    "vitamin": "vitamin_small_224",
    "vovnet": "ese_vovnet19b_slim_dw",
    "xception": "legacy_xception",
    "xception_aligned": "xception41",
}

FAMILIES = MappingProxyType(
    dict(sorted({**_FIXED, **{name: (model, SMALL) for name, model in _ANY.items()}}.items()))
)
"""By module, the model and the side of its pictures. Not here: towers of 160 million weights and more."""
