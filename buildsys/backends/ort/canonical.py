"""ORT files with equal bytes for equal models.

An ORT file is a FlatBuffer. All of it is written in the graph's order but for its last part, the
*resolver*: for each operator, which inputs and outputs must be of one type. ONNX Runtime writes that
in the order of a hash table that is seeded by an address, so it differs with each process, and may differ
in size. Here it is written again in the order of names, and what follows it is moved up behind it.

    root table | resolver | zeros | model … | version
               ^ start              ^ end

The model has no offsets into what lies before it: FlatBuffers are written from their end. Alignment counts
from the end as well, so the file is padded to a multiple of `ALIGNMENT`.
"""

from __future__ import annotations

import struct
from typing import Any

import flatbuffers
from flatbuffers.table import Table

IDENTIFIER = b"ORTM"
VERSION, MODEL, RESOLVER = 4, 6, 10
"""Where the root's fields stand in its vtable."""
ALIGNMENT = 64
"""Bytes; no part of a FlatBuffer is aligned to more."""
FIRST, SECOND = 4, 6
"""Where the fields of the resolver's tables stand in theirs."""

Types = list[tuple[bytes, list[tuple[int, int]]]]
"""Each type's name, with what is of that type: (input or output, its number)."""


def form(written: bytes) -> bytes:
    """The bytes of an ORT file with its resolver in order.

    Raises:
        ValueError: It is no ORT file, or is laid out otherwise than ONNX Runtime lays it out.
    """
    data = bytearray(written)
    root = _root(data)
    field = root.Pos + root.Offset(RESOLVER)
    vtable = root.Pos - struct.unpack_from("<i", data, root.Pos)[0]
    vtable_size, table_size = struct.unpack_from("<HH", data, vtable)
    start, end = root.Pos + table_size, _end(root)
    resolver = _resolver(Table(data, root.Indirect(field)))
    if not start <= root.Indirect(field) < end:
        raise ValueError("the resolver does not lie between the root and the model")
    # The root's own vtable may be one that the resolver has, too: it moves to the front.
    head = bytes(data[vtable : vtable + vtable_size])
    head += bytes(-(start + len(head)) % 4)
    body = _built(resolver)
    used = start + len(head) + len(body)
    padding = bytes(-(used + len(data) - end) % ALIGNMENT)
    moved = used + len(padding) - end
    data[start:end] = head + body + padding
    for offset in (VERSION, MODEL):
        place = root.Pos + root.Offset(offset)
        struct.pack_into("<I", data, place, struct.unpack_from("<I", data, place)[0] + moved)
    struct.pack_into("<i", data, root.Pos, root.Pos - start)
    place = start + len(head)
    struct.pack_into("<I", data, field, place + struct.unpack_from("<I", body)[0] - field)
    again = _root(data)
    if _resolver(Table(data, again.Indirect(field))) != resolver:
        raise ValueError("the resolver has changed")
    return bytes(data)


def _root(data: bytearray) -> Any:
    if data[4:8] != IDENTIFIER:
        raise ValueError("no ORT file")
    root = Table(data, struct.unpack_from("<I", data)[0])
    if not root.Offset(RESOLVER) or not root.Offset(MODEL):
        raise ValueError("an ORT file without a model or a resolver")
    return root


def _end(root: Any) -> int:
    """Where the first thing begins that is not the resolver's."""
    model = root.Indirect(root.Pos + root.Offset(MODEL))
    vtable = model - struct.unpack_from("<i", root.Bytes, model)[0]
    version = root.Indirect(root.Pos + root.Offset(VERSION))
    return int(min(model, vtable if vtable > root.Pos else model, version))


def _resolver(table: Any) -> list[tuple[bytes, Types]]:
    """What a resolver says, in the order of names."""
    return sorted((_name(each), _types(each)) for each in _tables(table, FIRST))


def _types(operator: Any) -> Types:
    return sorted(
        (_name(each), sorted((_kind(a), _number(a)) for a in _tables(each, SECOND)))
        for each in _tables(operator, SECOND)
    )


def _tables(table: Any, field: int) -> list[Any]:
    offset = table.Offset(field)
    if not offset:
        return []
    first = table.Vector(offset)
    return [
        Table(table.Bytes, table.Indirect(first + 4 * n)) for n in range(table.VectorLen(offset))
    ]


def _name(table: Any) -> bytes:
    return bytes(table.String(table.Pos + table.Offset(FIRST)))


def _kind(table: Any) -> int:
    offset = table.Offset(FIRST)
    return struct.unpack_from("<b", table.Bytes, table.Pos + offset)[0] if offset else 0


def _number(table: Any) -> int:
    offset = table.Offset(SECOND)
    return struct.unpack_from("<I", table.Bytes, table.Pos + offset)[0] if offset else 0


def _built(resolver: list[tuple[bytes, Types]]) -> bytes:
    """A FlatBuffer of its own, whose root is the resolver; equal parts are one."""
    builder = flatbuffers.Builder(1024)
    made: dict[Any, int] = {}

    def vector(offsets: list[int]) -> int:
        builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            builder.PrependUOffsetTRelative(offset)
        return int(builder.EndVector())

    def argument(kind: int, number: int) -> int:
        if (kind, number) not in made:
            builder.StartObject(2)
            builder.PrependUint32Slot(1, number, 0)
            builder.PrependInt8Slot(0, kind, 0)
            made[kind, number] = builder.EndObject()
        return made[kind, number]

    def named(name: bytes, offsets: list[int]) -> int:
        key = (name, *offsets)
        if key not in made:
            parts, text = vector(offsets), builder.CreateSharedString(name)
            builder.StartObject(2)
            builder.PrependUOffsetTRelativeSlot(1, parts, 0)
            builder.PrependUOffsetTRelativeSlot(0, text, 0)
            made[key] = builder.EndObject()
        return made[key]

    operators = [
        named(name, [named(word, [argument(*a) for a in arguments]) for word, arguments in types])
        for name, types in resolver
    ]
    listed = vector(operators)
    builder.StartObject(1)
    builder.PrependUOffsetTRelativeSlot(0, listed, 0)
    builder.Finish(builder.EndObject())
    return bytes(builder.Output())
