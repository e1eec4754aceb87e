"""TensorFlow Lite's own metadata: what `MetadataExtractor` of Android and the Task Library read.

The tables are those of `metadata_schema.fbs` (identifier `M001`); no library that has them installs
beside LiteRT, so they are written slot by slot. Names of classes are files of a zip archive that
follows the model, which readers of the model skip.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import flatbuffers

from ..kit.protocol.contract import Contract, Port

ENTRY = "TFLITE_METADATA"
"""The name that readers look for."""
IDENTIFIER = b"M001"
PARSER = "1.0.0"
"""The oldest reader that knows all that is written here."""
AXIS_LABELS = 2
IMAGE_PROPERTIES = 2
NORMALIZATION = 1
COLORS = {"rgb": 1, "gray": 2}
"""The schema has no word for BGR: that stands in `modelbuild.io` only."""
_FIXED = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Normalization:
    """`(pixel - mean) / std` with pixels from 0 to 255: one number, or one a channel."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def of(cls, preprocess: Mapping[str, Any]) -> Normalization:
        """From the recipe's words: `(pixel * scale - mean) / std`."""
        mean, std, scale = preprocess["mean"], preprocess["std"], preprocess["scale"]
        count = max(len(mean), len(std))
        spread = [[*values] * (count if len(values) == 1 else 1) for values in (mean, std)]
        return cls(tuple(m / scale for m in spread[0]), tuple(s / scale for s in spread[1]))


def label_files(contract: Contract) -> dict[str, str]:
    """Output to its file of labels; one that is alone has the name that examples use."""
    labelled = [(n, port.name) for n, port in enumerate(contract.outputs) if port.labels]
    if len(labelled) == 1:
        return {labelled[0][1]: "labels.txt"}
    return {name: f"labels_{number}.txt" for number, name in labelled}


def packed(inputs: Sequence[Port], outputs: Sequence[Port], files: Mapping[str, str]) -> bytes:
    """The metadata of a model.

    Args:
        inputs: In the order of the file's inputs.
        outputs: In the order of the file's outputs.
        files: Output to its file of labels.
    """
    builder = flatbuffers.Builder(1024)
    first = _vector(builder, [_tensor(builder, port, None) for port in inputs])
    second = _vector(builder, [_tensor(builder, port, files.get(port.name)) for port in outputs])
    graph = _table(builder, 10, {2: first, 3: second})
    graphs = _vector(builder, [graph])
    parser = builder.CreateString(PARSER)
    builder.Finish(_table(builder, 8, {3: graphs, 7: parser}), file_identifier=IDENTIFIER)
    return bytes(builder.Output())


def with_files(model: bytes, files: Mapping[str, Sequence[str]]) -> bytes:
    """The model, followed by an archive of the files of labels."""
    if not files:
        return model
    buffer = io.BytesIO(model)
    with zipfile.ZipFile(buffer, "a", zipfile.ZIP_STORED) as archive:
        for name, labels in files.items():
            archive.writestr(zipfile.ZipInfo(name, _FIXED), "".join(f"{n}\n" for n in labels))
    return buffer.getvalue()


def read_files(model: bytes) -> dict[str, list[str]]:
    """The files of labels that follow a model."""
    if not zipfile.is_zipfile(io.BytesIO(model)):
        return {}
    with zipfile.ZipFile(io.BytesIO(model)) as archive:
        return {
            name: archive.read(name).decode().removesuffix("\n").split("\n")
            for name in archive.namelist()
        }


def _tensor(builder: Any, port: Port, file: str | None) -> int:
    slots = {0: builder.CreateString(port.artifact_name or port.name)}
    if port.preprocess is not None:
        slots[3] = _image(builder, port.preprocess)
        normalization = Normalization.of(port.preprocess)
        mean = _floats(builder, normalization.mean)
        std = _floats(builder, normalization.std)
        options = _table(builder, 2, {0: mean, 1: std})
        unit = _table(builder, 2, {1: options}, {0: NORMALIZATION})
        slots[4] = _vector(builder, [unit])
    if file is not None:
        name = builder.CreateString(file)
        slots[6] = _vector(builder, [_table(builder, 5, {0: name}, {2: AXIS_LABELS})])
    return _table(builder, 7, slots)


def _image(builder: Any, preprocess: Mapping[str, Any]) -> int:
    """The content of an input: an image of a colour space and a size."""
    height, width = preprocess["size"]
    builder.StartObject(2)
    builder.PrependUint32Slot(0, width, 0)
    builder.PrependUint32Slot(1, height, 0)
    size = builder.EndObject()
    image = _table(builder, 2, {1: size}, {0: COLORS.get(preprocess["color"], 0)})
    return _table(builder, 3, {1: image}, {0: IMAGE_PROPERTIES})


def _table(
    builder: Any, slots: int, offsets: Mapping[int, int], small: Mapping[int, int] | None = None
) -> int:
    """A table with offsets, and with numbers of one byte."""
    builder.StartObject(slots)
    for slot, offset in offsets.items():
        builder.PrependUOffsetTRelativeSlot(slot, offset, 0)
    for slot, value in (small or {}).items():
        builder.PrependUint8Slot(slot, value, 0)
    return int(builder.EndObject())


def _vector(builder: Any, offsets: Sequence[int]) -> int:
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return int(builder.EndVector())


def _floats(builder: Any, values: Sequence[float]) -> int:
    builder.StartVector(4, len(values), 4)
    for value in reversed(values):
        builder.PrependFloat32(value)
    return int(builder.EndVector())
