"""The architectures: where each is made, what goes in and what comes out. Needs no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Port = dict[str, Any]


@dataclass(frozen=True)
class Architecture:
    """A model of the zoo.

    Attributes:
        family: The module of this package that makes it, by a function of the architecture's name.
        kind: What it stands for, in a few words.
        inputs: The recipe's `inputs`.
        outputs: Names of the outputs.
        samples: What its random samples are drawn from.
        requirements: The file of this package that lists what it runs in; `None` for torch alone.
    """

    family: str
    kind: str
    inputs: dict[str, Port]
    outputs: tuple[str, ...]
    samples: str = "normal"
    requirements: str | None = None

    def model(self, name: str, package: str) -> dict[str, Any]:
        """Its part of a recipe, below `models`."""
        environment = (
            {"environment": {"requirements": f"{package}/{self.requirements}"}}
            if self.requirements
            else {}
        )
        return {
            "source": {"factory": f"{package}.{self.family}:{name}"},
            **environment,
            "inputs": self.inputs,
            "outputs": {output: {} for output in self.outputs},
            "samples": {"random": self.samples, "count": 8, "seed": 1},
        }


BATCH = {"N": {"min": 1, "max": 6, "example": 1}}


def _image(channels: int = 3, height: int = 32, width: int = 48) -> Port:
    """A picture that is no square, since a square hides a transpose."""
    return {"shape": ["N", channels, height, width], "dims": BATCH, "layout": "NCHW"}


def _series(*sizes: int) -> Port:
    return {"shape": ["N", *sizes], "dims": BATCH}


def _words(symbol: str, last: int) -> Port:
    dims = BATCH | {symbol: {"min": 4, "max": 24, "example": 12}}
    return {"shape": ["N", symbol], "dtype": "int64", "dims": dims, "range": [0, last]}


def _pictures(family: str, kind: str, *outputs: str) -> Architecture:
    return Architecture(family, kind, {"image": _image()}, outputs or ("logits",))


def _transformers(kind: str, inputs: dict[str, Port], *outputs: str) -> Architecture:
    return Architecture(
        "hugging_face", kind, inputs, outputs or ("logits",), requirements="transformers.txt"
    )


def _transformers_pictures(
    kind: str, *outputs: str, height: int = 32, width: int = 48
) -> Architecture:
    return _transformers(kind, {"pixel_values": _image(height=height, width=width)}, *outputs)


def _text(*names: str) -> dict[str, Port]:
    """Inputs of a text model of transformers."""
    last = {"input_ids": 99, "attention_mask": 1, "token_type_ids": 1}
    return {name: _words("T", last[name]) for name in names}


ARCHITECTURES: dict[str, Architecture] = {
    "cnn": _pictures("plain", "convolutions, batch norms"),
    "vgg": _pictures("plain", "convolutions, adaptive pooling, linear layers"),
    "resnet": _pictures("resnet", "residual blocks"),
    "resnext": _pictures("resnet", "bottlenecks, grouped convolutions"),
    "mobilenet_v2": _pictures("mobilenet", "inverted residuals, ReLU6"),
    "mobilenet_v3": _pictures("mobilenet", "gates, hard swish"),
    "shufflenet_v2": _pictures("shufflenet", "split and shuffled channels"),
    "efficientnet": _pictures("efficientnet", "gates, SiLU"),
    "densenet": _pictures("densenet", "many concatenations"),
    "convnext": _pictures("convnext", "large depthwise kernels, layer norms, GELU"),
    "squeezenet": _pictures("squeezenet", "fire modules, pools with ceiling sizes"),
    "vit": _pictures("vision_transformer", "patches, a class token"),
    "swin": _pictures("vision_transformer", "shifted windows, relative positions"),
    "mobilevit": _pictures("vision_transformer", "convolutions and unfolded attention"),
    "mlp_mixer": _pictures("mixer", "linear layers over patches"),
    "bert": Architecture(
        "bert",
        "text encoder: int64 ids, mask, segments; dynamic length",
        {"ids": _words("T", 99), "mask": _words("T", 1), "kinds": _words("T", 1)},
        ("logits", "states"),
    ),
    "distilbert": Architecture(
        "bert",
        "text encoder: int64 ids, mask; dynamic length",
        {"ids": _words("T", 99), "mask": _words("T", 1)},
        ("logits",),
    ),
    "gpt": Architecture(
        "decoder",
        "causal decoder, tied weights; dynamic length",
        {"ids": _words("T", 99)},
        ("logits",),
    ),
    "llama": Architecture(
        "decoder",
        "rotary positions, RMS norms, grouped queries; dynamic length",
        {"ids": _words("T", 99)},
        ("logits",),
    ),
    "t5": Architecture(
        "t5",
        "encoder and decoder, relative positions; two dynamic lengths",
        {"source": _words("S", 99), "target": _words("T", 99)},
        ("logits",),
    ),
    "lstm": Architecture("recurrent", "two LSTM layers", {"window": _series(20, 6)}, ("logits",)),
    "gru": Architecture(
        "recurrent", "GRU in both directions", {"window": _series(20, 6)}, ("steps", "whole")
    ),
    "crnn": Architecture(
        "recurrent", "text line: convolutions, GRU", {"line": _image(1, 16, 24)}, ("scores",)
    ),
    "tcn": Architecture(
        "temporal", "dilated causal convolutions", {"window": _series(30, 6)}, ("logits",)
    ),
    "wavenet": Architecture(
        "temporal", "gated dilated convolutions, skips", {"wave": _series(1, 40)}, ("scores",)
    ),
    "unet": _pictures("segmentation", "transposed convolutions, joined levels", "classes"),
    "deeplab": _pictures("segmentation", "dilated pyramid, bilinear enlargement", "classes"),
    "detector": _pictures("detection", "anchors on two levels, no suppression", "boxes", "scores"),
    "detr": _pictures("detection", "torch's transformer layers, queries", "boxes", "scores"),
    "keypoints": _pictures("keypoints", "hourglass, soft argmax", "points", "heatmaps"),
    "audio_encoder": Architecture(
        "audio", "spectrogram, convolutions, transformer", {"wave": _series(640)}, ("states",)
    ),
    "conformer": Architecture(
        "audio", "attention and gated convolutions", {"features": _series(24, 16)}, ("scores",)
    ),
    "autoencoder": Architecture(
        "autoencoder",
        "transposed convolutions with output padding",
        {"image": _image(1, 16, 24)},
        ("picture", "code"),
    ),
    "vae_decoder": Architecture(
        "autoencoder", "a code to a picture", {"code": _series(12)}, ("picture",)
    ),
    "super_resolution": Architecture(
        "enhancement", "pixel shuffle", {"small": _image(1, 12, 20)}, ("large",)
    ),
    "style_transfer": _pictures("enhancement", "instance norms, reflected borders", "picture"),
    "gcn": Architecture(
        "graph_network",
        "dense graph, two inputs, no batch axis",
        {"nodes": {"shape": [14, 8]}, "edges": {"shape": [14, 14], "range": [0, 1]}},
        ("classes",),
        samples="uniform",
    ),
    "wide_and_deep": Architecture(
        "recommender",
        "int64 categories and numbers",
        {
            "categories": {**_series(5), "dtype": "int64", "range": [0, 19]},
            "numbers": _series(4),
        },
        ("chance",),
    ),
    "siamese": Architecture(
        "two_tower",
        "two pictures through one tower",
        {"left": _image(1, 16, 24), "right": _image(1, 16, 24)},
        ("alike", "left_code", "right_code"),
    ),
    "vit_hf": _transformers_pictures("transformers' ViT"),
    # Smaller pictures leave a single position to the last stages, and to what they attend to.
    "convnext_hf": _transformers_pictures("transformers' ConvNeXt", height=64, width=96),
    "resnet_hf": _transformers_pictures("transformers' ResNet"),
    "regnet_hf": _transformers_pictures("transformers' RegNet"),
    "mobilenet_v2_hf": _transformers_pictures("transformers' MobileNetV2"),
    "segformer_hf": _transformers_pictures("transformers' SegFormer", height=64, width=96),
    "swin_hf": _transformers_pictures("transformers' Swin"),
    "bert_hf": _transformers(
        "transformers' BERT; dynamic length",
        _text("input_ids", "attention_mask", "token_type_ids"),
    ),
    "distilbert_hf": _transformers(
        "transformers' DistilBERT; dynamic length", _text("input_ids", "attention_mask")
    ),
    "gpt2_hf": _transformers("transformers' GPT-2; dynamic length", _text("input_ids")),
    "wav2vec2_hf": _transformers("transformers' wav2vec 2.0", {"input_values": _series(3200)}),
    "whisper_encoder_hf": _transformers(
        "the encoder of transformers' Whisper",
        {"input_features": _series(16, 40)},
        "last_hidden_state",
    ),
    # Positions for pictures of another size: a bicubic filter of a weight.
    "dinov2_hf": _transformers_pictures("transformers' DINOv2, positions resized"),
    "yolos_hf": _transformers_pictures(
        "transformers' YOLOS, positions resized", "logits", "pred_boxes", "last_hidden_state"
    ),
}
