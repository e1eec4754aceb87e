"""SavedModels: frozen from what onnx2tf wrote, and written in one file with equal bytes."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kit.export.tensorflow import ENVIRON
from ..kit.protocol.request import StepError

os.environ.update(ENVIRON)  # TensorFlow reads it when it is imported.

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.framework.convert_to_constants import (
    convert_variables_to_constants_v2,
)

SIGNATURE = "serving_default"
METHOD = "tensorflow/serving/predict"
FILE = "saved_model.pb"
VERSION: str = tf.__version__
LARGEST = 2**31 - 1
"""What one protobuf message may weigh, in bytes."""

Feed = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Tensor:
    """An input or output of a signature: its shape and numpy's name of its dtype."""

    shape: list[int | str]
    dtype: str


class Signature:
    """The one signature of a SavedModel, ready to run.

    Attributes:
        inputs: Name to tensor.
        outputs: Name to tensor.
    """

    def __init__(self, folder: Path) -> None:
        """Loads a SavedModel.

        Raises:
            StepError: TensorFlow refuses it, or it has no such signature.
        """
        try:
            self._model = tf.saved_model.load(str(folder))
            self.function = self._model.signatures[SIGNATURE]
        except (OSError, ValueError, KeyError, tf.errors.OpError) as error:
            said = " ".join(str(error).split())
            raise StepError(f"TensorFlow does not load the SavedModel: {said}") from error
        self.inputs = _tensors(self.function.structured_input_signature[1])
        self.outputs = _tensors(self.function.structured_outputs)

    def run(self, feed: Feed) -> dict[str, NDArray[Any]]:
        """Runs once.

        Raises:
            StepError: TensorFlow refuses an input, or fails while it runs.
        """
        try:
            found = self.function(**{name: tf.constant(array) for name, array in feed.items()})
        except (ValueError, TypeError, tf.errors.OpError) as error:
            said = " ".join(str(error).split())
            raise StepError(f"TensorFlow does not run the SavedModel: {said}") from error
        return {name: np.asarray(value) for name, value in found.items()}


def frozen(signature: Signature) -> Any:
    """The signature's function with its variables as constants; loops stay functions."""
    return convert_variables_to_constants_v2(signature.function, lower_control_flow=False)


def write(
    graph: Any, inputs: Mapping[str, Tensor], outputs: Mapping[str, Tensor], folder: Path
) -> None:
    """Writes a SavedModel of one graph without variables, whose nodes have the signature's names.

    Raises:
        StepError: It is larger than a file can be.
    """
    model = saved_model_pb2.SavedModel(saved_model_schema_version=1)
    made = model.meta_graphs.add()
    made.graph_def.CopyFrom(graph)
    made.meta_info_def.tags.append("serve")
    made.meta_info_def.tensorflow_version = VERSION
    signature = made.signature_def[SIGNATURE]
    signature.method_name = METHOD
    for tensors, infos in ((inputs, signature.inputs), (outputs, signature.outputs)):
        for name, tensor in tensors.items():
            infos[name].name = f"{name}:0"
            infos[name].dtype = number_of(tensor.dtype)
            infos[name].tensor_shape.CopyFrom(tf.TensorShape(tensor.shape).as_proto())
    if model.ByteSize() > LARGEST:
        raise StepError(
            f"the model weighs {model.ByteSize() / 2**30:.2f} GiB: its weights are constants of the "
            "graph, and that file holds less than 2 GiB",
            "shrink the model, or take another format",
            "format",
        )
    folder.mkdir(parents=True)
    (folder / FILE).write_bytes(model.SerializeToString(deterministic=True))


def graph_of(folder: Path) -> Any:
    """The meta graph of a SavedModel that `write` wrote."""
    return saved_model_pb2.SavedModel.FromString((folder / FILE).read_bytes()).meta_graphs[0]


def imported(graph: Any) -> Any:
    """A `tf.Graph` of a `GraphDef`."""
    made = tf.Graph()
    with made.as_default():
        tf.import_graph_def(graph, name="")
    return made


def number_of(dtype: str) -> int:
    """TensorFlow's number of a dtype."""
    return int(tf.as_dtype(dtype).as_datatype_enum)


def use_threads(count: int) -> None:
    """Limits TensorFlow to so many threads. It can be said once, before anything is run."""
    tf.config.threading.set_intra_op_parallelism_threads(count)
    tf.config.threading.set_inter_op_parallelism_threads(1)


def _tensors(specs: Mapping[str, Any]) -> dict[str, Tensor]:
    return {
        name: Tensor(_sizes(spec.shape), spec.dtype.as_numpy_dtype().dtype.name)
        for name, spec in specs.items()
    }


def _sizes(shape: Iterable[Any]) -> list[int | str]:
    return [int(size) for size in shape]
