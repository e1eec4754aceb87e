"""The backends of Triton that repositories are made for, and what each wants of the files."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from ..kit.protocol.request import StepError

VERSION = "1"
"""The version folder; Triton serves the highest number."""


@dataclass(frozen=True)
class Kind:
    """A backend of Triton.

    Attributes:
        takes: The format of the contained model.
        backend: Triton's name of it.
        platform: Triton's older name, where there is one.
        files: Suffix of each file of the model to its name in the version folder; the first is the
            one that Triton is given.
        positional: Whether tensors are known by their place only, and named `INPUT__0`.
    """

    takes: str
    backend: str
    platform: str
    files: tuple[tuple[str, str], ...]
    positional: bool = False

    def place(self, artifact: Path, folder: Path) -> None:
        """Copies the model into the version folder.

        Raises:
            StepError: The artifact is not made of the files that Triton takes.
        """
        for name, data in self.parts(artifact).items():
            (folder / name).write_bytes(data)

    def parts(self, artifact: Path) -> dict[str, bytes]:
        """The model's bytes by their names in the version folder.

        Raises:
            StepError: The artifact is not made of the files that Triton takes.
        """
        if artifact.is_file() and len(self.files) == 1:
            return {self.files[0][1]: artifact.read_bytes()}
        parts = {}
        for suffix, name in self.files:
            found = sorted(artifact.rglob(f"*{suffix}")) if artifact.is_dir() else []
            if len(found) != 1:
                raise StepError(
                    f"the {self.takes} artifact holds {len(found)} files `*{suffix}`, not 1"
                )
            parts[name] = found[0].read_bytes()
        return parts


KINDS = (
    Kind("onnx", "onnxruntime", "onnxruntime_onnx", ((".onnx", "model.onnx"),)),
    Kind("torchscript", "pytorch", "pytorch_libtorch", ((".pt", "model.pt"),), positional=True),
    Kind("openvino", "openvino", "", ((".xml", "model.xml"), (".bin", "model.bin"))),
    Kind("tensorrt", "tensorrt", "tensorrt_plan", ((".plan", "model.plan"),)),
)
BY_FORMAT = {kind.takes: kind for kind in KINDS}
BY_BACKEND = {kind.backend: kind for kind in KINDS}

DTYPES = {
    "bool": "TYPE_BOOL",
    "uint8": "TYPE_UINT8",
    "uint16": "TYPE_UINT16",
    "uint32": "TYPE_UINT32",
    "uint64": "TYPE_UINT64",
    "int8": "TYPE_INT8",
    "int16": "TYPE_INT16",
    "int32": "TYPE_INT32",
    "int64": "TYPE_INT64",
    "float16": "TYPE_FP16",
    "bfloat16": "TYPE_BF16",
    "float32": "TYPE_FP32",
    "float64": "TYPE_FP64",
}
"""numpy's names to Triton's."""
PLAIN = re.compile(r"[A-Za-z0-9._-]+")
"""What a model may be called: it is a folder, and a part of URLs."""
