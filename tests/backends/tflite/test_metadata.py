"""TensorFlow Lite's metadata: written slot by slot, read by another decoder, and nothing else changed."""

from __future__ import annotations

import json
import struct
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.backends.tflite.steps import convert, errors
from tests.support.describing import DIGITS, GRAY, describe
from tests.support.harness import Result

pytestmark = pytest.mark.toolchain


class Table:
    """A flatbuffers table, by the numbers of its slots; nothing of the writer's is used."""

    def __init__(self, data: bytes, place: int) -> None:
        self.data, self.place = data, place

    @classmethod
    def root(cls, data: bytes) -> Table:
        return cls(data, *struct.unpack_from("<I", data))

    def _field(self, slot: int) -> int:
        """Where a field lies, or 0."""
        (back,) = struct.unpack_from("<i", self.data, self.place)
        table = self.place - back
        (size,) = struct.unpack_from("<H", self.data, table)
        if 4 + 2 * slot >= size:
            return 0
        (offset,) = struct.unpack_from("<H", self.data, table + 4 + 2 * slot)
        return self.place + offset if offset else 0

    def number(self, slot: int, form: str = "<B") -> Any:
        place = self._field(slot)
        return struct.unpack_from(form, self.data, place)[0] if place else 0

    def _follow(self, place: int) -> int:
        return place + int(struct.unpack_from("<I", self.data, place)[0])

    def table(self, slot: int) -> Table:
        return Table(self.data, self._follow(self._field(slot)))

    def vector(self, slot: int) -> tuple[int, int]:
        """Where the elements begin, and how many there are."""
        place = self._follow(self._field(slot))
        return place + 4, struct.unpack_from("<I", self.data, place)[0]

    def tables(self, slot: int) -> list[Table]:
        if not self._field(slot):
            return []
        place, count = self.vector(slot)
        return [Table(self.data, self._follow(place + 4 * n)) for n in range(count)]

    def text(self, slot: int) -> str:
        place, count = self.vector(slot)
        return self.data[place : place + count].decode()

    def floats(self, slot: int) -> list[float]:
        place, count = self.vector(slot)
        return list(struct.unpack_from(f"<{count}f", self.data, place))


def entries(model: bytes) -> dict[str, bytes]:
    """The entries of a file's metadata; the slots are those of TensorFlow Lite's `schema.fbs`."""
    root = Table.root(model)
    buffers = root.tables(4)
    found = {}
    for entry in root.tables(6):
        place, count = buffers[entry.number(1, "<I")].vector(0)
        found[entry.text(0)] = model[place : place + count]
    return found


@pytest.fixture(scope="module")
def plain(zoo: Path) -> Result:
    return convert(zoo, "cnn", "onnx")


@pytest.fixture(scope="module")
def described(plain: Result) -> Result:
    return describe(
        "tflite", "tflite", plain, preprocess={"image": GRAY}, labels={"logits": DIGITS}
    )


def test_readers_of_tensorflow_lite_find_it(described: Result) -> None:
    raw = entries(described.bytes)["TFLITE_METADATA"]
    assert raw[4:8] == b"M001"
    metadata = Table.root(raw)
    assert metadata.text(7) == "1.0.0"
    (graph,) = metadata.tables(3)
    (image,), (logits,) = graph.tables(2), graph.tables(3)
    assert (image.text(0), logits.text(0)) == ("image", "logits")
    content = image.table(3)
    assert content.number(0) == 2  # ImageProperties
    picture = content.table(1)
    size = picture.table(1)
    assert picture.number(0) == 2  # GRAYSCALE
    assert (size.number(0, "<I"), size.number(1, "<I")) == (8, 8)
    (unit,) = image.tables(4)
    assert unit.number(0) == 1  # NormalizationOptions
    # (pixel / 16 - 0.5) / 1 is (pixel - 8) / 16.
    assert (unit.table(1).floats(0), unit.table(1).floats(1)) == ([8.0], [16.0])
    (file,) = logits.tables(6)
    assert (file.text(0), file.number(2)) == ("labels.txt", 2)  # TENSOR_AXIS_LABELS
    with zipfile.ZipFile(described.artifact) as archive:
        assert archive.read("labels.txt").decode().split() == DIGITS


def test_the_whole_contract_is_there(described: Result) -> None:
    carried = json.loads(entries(described.bytes)["modelbuild.io"])
    assert carried == json.loads(described.outputs["io"].read_text())
    assert carried["inputs"][0]["preprocess"]["fit"] == "pad"


def test_numbers_and_all_other_entries_stay(
    zoo: Path, plain: Result, described: Result, tmp_path: Path
) -> None:
    assert errors(zoo, "cnn", described, tmp_path) == errors(zoo, "cnn", plain, tmp_path)
    before, after = entries(plain.bytes), entries(described.bytes)
    assert {name: after[name] for name in before} == before
    weights = [Table.root(plain.bytes).tables(4), Table.root(described.bytes).tables(4)]
    for old, new in zip(*weights, strict=False):
        if old.number(0, "<I"):
            first, second = old.vector(0), new.vector(0)
            assert plain.bytes[first[0] : sum(first)] == described.bytes[second[0] : sum(second)]
            assert second[0] % 16 == 0 or not second[1]


def test_equal_inputs_give_equal_bytes(described: Result) -> None:
    again = describe(
        "tflite",
        "tflite",
        described,
        preprocess={"image": GRAY},
        labels="".join(f"{name}\n" for name in DIGITS),
        hash_seed="7",
    )
    assert again.bytes == described.bytes


def test_labels_that_do_not_fit(plain: Result) -> None:
    done = describe("tflite", "tflite", plain, labels={"logits": ["one"]})
    assert done.message == "1 labels are given for output `logits`, whose last axis has 10"
