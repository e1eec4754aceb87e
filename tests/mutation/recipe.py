"""A project whose recipe says everything that a recipe can say."""

from __future__ import annotations

from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import yaml

RECIPE = """\
version: 1
project: full
release: ${FULL_RELEASE:-1.2.0}
include: [common/bounds.yaml]

datasets:
  train: {source: data/train.npz, inputs: {image: x}, limit: 256}
  val: {source: data/val.npz, inputs: {image: x}, labels: y, limit: 512}
  thin: {source: data/thin.npz, inputs: {image: x}, labels: y}
  coded:
    source: {python: "loading:load"}
    inputs: {ids: ids, mask: mask}
    labels: y
    limit: 64
  photos:
    source: data/photos
    inputs: {image: images}
    labels: labels
    limit: 16
    preprocess:
      size: [8, 8]
      fit: crop
      crop_fraction: 0.875
      interpolation: bicubic
      color: gray
      scale: 0.01
      mean: [0.5]
      std: [0.25]
      layout: NCHW

models:
  classifier:
    source:
      factory: model:build
      args: {width: 16, names: [a, b], deep: {rate: 0.5}}
      checkpoint: weights.safetensors
    inputs:
      image:
        shape: [N, 1, 8, 8]
        dtype: float32
        dims: {N: {min: 1, max: 64, example: 2}}
        layout: NCHW
    outputs:
      logits: {layout: NC, labels: [zero, one]}
      embedding: {labels: files/features.txt}
    samples: {dataset: val, count: 32}
    evaluate: {dataset: val, metric: top1}
    environment: builtin
    capture: trace
  encoder:
    source: {factory: "text.encoder:build"}
    inputs:
      ids: {shape: [B, 12], dtype: int32, dims: {B: {min: 1, max: 8, example: 1}}, range: [0, 99]}
      mask: {shape: [B, 12], range: [0, 1]}
    outputs: {hidden: {}}
    samples: {random: uniform, count: 6, seed: 3}
    evaluate: {dataset: coded, python: "metrics:score", resamples: 50}
    environment: {requirements: requirements.txt}
    capture: export
  scripted:
    source: {torchscript: files/scripted.pt}
    inputs: {image: {shape: [N, 1, 8, 8]}}
    outputs: {logits: {}}
    samples: {random: normal, count: 8, seed: 0}
  program:
    source: {exported: files/program.pt2}
    inputs: {image: {shape: [N, 1, 8, 8]}}
    outputs: {logits: {}}
    samples: {random: normal, count: 9, seed: 0}
    benchmark: {threads: 2, warmup: 5, runs: 100, batch: 2, starts: 4}
  graph:
    source: {onnx: files/graph.onnx}
    inputs: {image: {shape: [N, 1, 8, 8]}}
    outputs: {logits: {}}
    samples: {dataset: photos, count: 4}
    evaluate: {dataset: photos, metric: top5}
  hosted:
    source: {factory: "model:small"}
    inputs:
      image:
        shape: [N, C, H, W]
        preprocess:
          size: [8, 8]
          fit: crop
          crop_fraction: 0.875
          interpolation: bicubic
          color: gray
          scale: 0.01
          mean: [0.5]
          std: [0.25]
          layout: NCHW
    outputs: {logits: {}}
    environment: host

  base:
    source: {factory: "wide:build"}
    inputs: {image: {shape: [N, 1, 8, 8]}}
    outputs: {logits: {}}
    samples: {random: normal, count: 7, seed: 0}
    evaluate: {dataset: thin, metric: top1}
  twin:
    source: {factory: "wide:twin"}
    inputs: {image: {shape: [N, 1, 8, 8]}}
    outputs: {logits: {}}
    samples: {random: normal, count: 7, seed: 0}
    evaluate: {dataset: thin, metric: top1}
  slim:
    source: {model: base}
    transforms:
      - prune:
          method: structured
          amount: 0.3
          norm: l1
          scope: layer
          steps: 2
          multiple: 2
          keep: [head]
          floor: 0.05
          train: {python: "training:tune", dataset: thin, count: 60, seed: 3, args: {epochs: 2}}
      - prune: {method: unstructured, amount: 0.5}
      - finetune:
          train: {python: "training:tune", dataset: thin, count: 61, seed: 4, args: {epochs: 2}}
      - distill:
          teacher: base
          train: {python: "training:teach", dataset: thin, count: 62, seed: 5, args: {epochs: 2}}
      - qat:
          bits: 4
          per_channel: false
          grid: full
          activations: uint8
          keep_float: [head]
          train: {python: "training:tune", dataset: thin, count: 63, seed: 6, args: {epochs: 2}}

quantization:
  fp16: {scheme: float16}
  half: {scheme: float16, keep_float: ["tail.*"]}
  w8: {scheme: weight-only}
  pal: {scheme: weight-only, bits: 4, palette: uniform, block_size: 16, sparsity: 0.25}
  dyn: {scheme: dynamic}
  int8:
    scheme: static
    bits: 8
    per_channel: true
    symmetric: false
    keep_float: ["head.*"]
    calibration: {dataset: train, count: 128, seed: 7}
  ranged:
    scheme: static
    activations: uint8
    symmetric: false
    calibration: {dataset: train, count: 64, method: percentile, percentile: 99.5}
  searched: {scheme: static, calibration: {dataset: train, count: 64, method: mse}}
  asked:
    search:
      schemes: [w8, dyn]
      minimize: size
      subject_to: close
      calibration: {dataset: train, count: 64, seed: 2, method: percentile, percentile: 99.5}
  layered: {scheme: mixed, default: searched, layers: {"head.*": float, "type:MatMul": w8}}

acceptance:
  everything:
    signal_error: 0.02
    max_abs: 0.03
    max_rel: 0.04
    mean_abs: 0.05
    rmse: 0.06
    cosine: 0.97
    sqnr_db: 20
    top1_agreement: 0.96
    metric_drop: 0.013
    size_ratio: 1.4
    latency_ratio: 1.5
    max_size_ratio: 1.1
    max_latency_ratio: 1.2
    max_error_ratio: 2.0
    max_metric_loss: 0.01
    outputs:
      logits: {signal_error: 0.022, max_abs: 0.032, max_rel: 0.042, mean_abs: 0.052, rmse: 0.062,
               cosine: 0.96, sqnr_db: 19, top1_agreement: 0.95}
    targets:
      web:
        signal_error: 0.024
        max_abs: 0.034
        max_rel: 0.044
        mean_abs: 0.054
        rmse: 0.064
        cosine: 0.95
        sqnr_db: 18
        top1_agreement: 0.94
        metric_drop: 0.053
        size_ratio: 1.44
        latency_ratio: 1.54
        max_size_ratio: 1.14
        max_latency_ratio: 1.24
        max_error_ratio: 2.04
        max_metric_loss: 0.05
        outputs:
          logits: {signal_error: 0.026, max_abs: 0.036, max_rel: 0.046, mean_abs: 0.056, rmse: 0.066,
                   cosine: 0.94, sqnr_db: 17, top1_agreement: 0.93}
  floored:
    floor_ratio: 50
    outputs: {hidden: {floor_ratio: 40}}
    targets: {server: {floor_ratio: 45, outputs: {embedding: {floor_ratio: 35}}}}

targets:
  ios:
    - format: coreml
      quantization: fp16
      accept: small
      models: [classifier]
      options:
        minimum_deployment_target: iOS16
        compute_units: all
        flexible: false
        author: "Ziffern größer"
        license: MIT
        description: Handwritten digits
    - {format: coreml, quantization: w8, models: [encoder, classifier]}
    - {format: onnx, accept: close, models: [classifier], options: {opset: 17}}
    - {format: mlmodel, models: [classifier], options: {class_labels: true}}
    - format: coreml
      quantization: pal
      models: [classifier]
      options: {minimum_deployment_target: iOS18}
  android:
    - {format: tflite, quantization: int8, accept: everything, route: onnx, models: [classifier]}
    - {format: tflite, quantization: half, accept: close, route: direct, models: [classifier]}
    - {format: tflite, accept: floored, route: direct, name: plain, models: [classifier, encoder]}
    - {format: tflite, quantization: dyn, route: onnx, models: [classifier]}
  server:
    - {format: onnx, accept: close, models: [scripted, program, graph, hosted]}
    - {format: torchscript, models: [classifier, hosted]}
    - {format: exported, models: [program]}
    - {format: executorch, models: [program], options: {backend: portable}}
    - {format: ptl, models: [scripted]}
    - {format: service, accept: floored, models: [classifier], options: {port: 8080}}
    - {format: torchserve, models: [classifier], options: {workers: 1}}
    - {format: triton, models: [classifier], options: {dynamic_batching: true}}
    - {format: openvino, quantization: w8, models: [graph]}
    - {format: onnx, quantization: ranged, models: [classifier]}
    - {format: onnx, quantization: layered, models: [classifier]}
    - {format: tensorrt, models: [graph], options: {builder_optimization_level: 4}}
    - {format: torch_tensorrt, models: [program], options: {workspace_mib: 512}}
    - {format: exported, models: [slim]}
  web:
    - {format: tflite, quantization: int8, accept: everything, route: onnx, models: [classifier]}
    - {format: onnx, name: fused, models: [hosted], options: {simplify: true, optimize: bert}}
    - {format: ort, models: [hosted], options: {optimization: basic}}
    - {format: ort_config, models: [hosted], options: {type_reduction: false}}
    - {format: onnx_web, models: [graph]}
    - {format: saved_model, models: [graph]}
    - {format: tfjs, models: [graph]}
    - {format: onnx_external, models: [program], options: {threshold_kib: 4}}

toolchains:
  onnx: {lock: locks/onnx.txt}
"""
FRAGMENT = """\
acceptance:
  close: {signal_error: 1.0e-3, max_abs: 0.001}
  small: {size_ratio: 1.2}
"""
FILES = {
    "common/bounds.yaml": FRAGMENT,
    "common/other.yaml": FRAGMENT.replace("0.001", "0.002"),
    "model.py": "from layers import Layer\n",
    "layers.py": "class Layer: ...\n",
    "other.py": "from layers import Layer\n",
    "train.py": "from layers import Layer\n",
    "text/__init__.py": "",
    "text/encoder.py": "from . import words\n",
    "text/words.py": "WORDS = ()\n",
    "text/words.txt": "one two",
    "loading.py": "from layers import Layer\n",
    "metrics.py": "def score(): ...\n",
    "wide.py": "WIDE = 1\n",
    "training.py": "def tune(model, data, run): ...\n",
    "requirements.txt": "-r more.txt\ntorch==2.9.0\n",
    "more.txt": "transformers==5.0.0\n",
    "others.txt": "torch==2.8.0\n",
    "locks/onnx.txt": "onnx==1.19.0\nonnxruntime==1.23.0\n",
    "locks/older.txt": "onnx==1.18.0\nonnxruntime==1.22.0\n",
    "weights.safetensors": "weights",
    "older.safetensors": "older weights",
    "data/train.npz": "rows to train",
    "data/val.npz": "rows to judge",
    "data/more.npz": "more rows",
    "data/thin.npz": "few rows",
    "data/photos/cat/1.png": "a cat",
    "data/photos/dog/2.png": "a dog",
    "data/pictures/cat/1.png": "another cat",
    "files/features.txt": "a\nb\n",
    "files/names.txt": "a\nb\n",
    "files/scripted.pt": "scripted",
    "files/program.pt2": "program",
    "files/graph.onnx": "graph",
    "files/scripted-2.pt": "scripted, later",
    "files/program-2.pt2": "program, later",
    "files/graph-2.onnx": "graph, later",
}

Tree = dict[str, Any]


def create(folder: Path) -> None:
    """Writes the project."""
    for name, text in {**FILES, "deploy.yaml": RECIPE}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")


def restore(folder: Path) -> None:
    """Writes what is not as it was, and removes what was not there."""
    wanted = {**FILES, "deploy.yaml": RECIPE}
    for name, text in wanted.items():
        path = folder / name
        if not path.exists() or path.read_bytes() != text.encode():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text.encode())
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name not in wanted and not name.startswith("artifacts/"):
            path.unlink()


def tree() -> Tree:
    """The recipe as plain data, interpolation left as it is written."""
    return deepcopy(_read())


@cache
def _read() -> Tree:
    found: Tree = yaml.safe_load(RECIPE)
    return found
