"""Images in other sizes, read at points, and boxes in them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..case import Array, Case, f32, floats, i32

X = floats(2, 3, 5, 7)
_TALL = floats(1, 1, 10, 1)


def _points(old: int, new: int, mode: str) -> list[float]:
    """The documentation's grid."""
    points = []
    for i in range(new):
        if mode in ("STRICT_ALIGN_CORNERS", "ALIGN_CORNERS"):
            point = i * (old - 1) / (new - 1) if new > 1 else 0.0
            if mode == "ALIGN_CORNERS" and new == 1:
                point = (old - 1) / 2
        elif mode == "DEFAULT":
            point = i * (old - old / new) / (new - 1) if new > 1 else 0.0
        elif mode == "OFFSET_CORNERS":
            delta = max(1, old - 1) / new
            point = 0.5 * delta + i * delta
        else:
            spacing = old / new
            point = i * spacing + 0.5 * spacing - 0.5
        points.append(min(old - 1, max(0, point)))
    return points


def _linear(x: Array, points: Sequence[float], axis: int) -> Array:
    """`x` at fractional places along an axis."""
    x = np.moveaxis(x.astype(np.float64), axis, 0)
    rows = []
    for point in points:
        low = math.floor(point)
        high = min(low + 1, len(x) - 1)
        rows.append(x[low] + (x[high] - x[low]) * (point - low))
    return np.moveaxis(np.stack(rows), 0, axis)


def _resized(x: Array, sizes: tuple[int, ...], mode: str) -> Array:
    for axis, size in enumerate(sizes, x.ndim - len(sizes)):
        x = _linear(x, _points(x.shape[axis], size, mode), axis)
    return x


def _picked(x: Array, sizes: tuple[int, ...], offset: float) -> Array:
    """The pixel that each new pixel's point, `offset` from its corner, lies in."""
    for axis, size in enumerate(sizes, x.ndim - len(sizes)):
        scale = x.shape[axis] / size
        x = np.take(x, [math.floor((i + offset) * scale) for i in range(size)], axis)
    return x


_MODES = (
    "STRICT_ALIGN_CORNERS",
    "ALIGN_CORNERS",
    "DEFAULT",
    "OFFSET_CORNERS",
    "UNALIGN_CORNERS",
)


def _resizes() -> list[Case]:
    cases = []
    for mode in _MODES:
        for height, width in ((8, 3), (1, 1), (5, 14)):
            cases.append(
                Case(
                    "resize_bilinear",
                    {
                        "x": X,
                        "target_size_height": height,
                        "target_size_width": width,
                        "sampling_mode": mode,
                    },
                    _resized(X, (height, width), mode),
                )
            )
        cases.append(
            Case(
                "resize",
                {"x": X, "shape": (4, 0, 9), "resized_dims": 2, "sampling_mode": mode},
                _resized(X, (5, 9), mode),
            )
        )
    return cases


def _sample(image: Array, x: float, y: float, sampling: str, padding: str, value: float) -> Array:
    """One point of an image [channels, height, width]; `x` and `y` count pixels' centres from 0."""
    height, width = image.shape[1:]

    def fold(place: int, size: int) -> int:
        if padding == "border":
            return min(max(place, 0), size - 1)
        period = 2 * size - 2 if padding == "reflection" else 2 * size
        place %= period
        if place >= size:
            place = period - place - (0 if padding == "reflection" else 1)
        return place

    def pixel(column: int, row: int) -> Array:
        if padding == "constant":
            if 0 <= column < width and 0 <= row < height:
                return image[:, row, column].astype(np.float64)
            return np.full(len(image), value)
        return image[:, fold(row, height), fold(column, width)].astype(np.float64)

    if sampling == "nearest":
        return pixel(round(x), round(y))
    left, top = math.floor(x), math.floor(y)
    a, b = x - left, y - top
    above = (1 - a) * pixel(left, top) + a * pixel(left + 1, top)
    below = (1 - a) * pixel(left, top + 1) + a * pixel(left + 1, top + 1)
    return np.asarray((1 - b) * above + b * below)


def _resample(
    x: Array,
    coordinates: Array,
    sampling_mode: str,
    padding_mode: str,
    padding_value: float,
    coordinates_mode: str,
    align_corners: bool,
) -> Array:
    n, rows, columns, _ = coordinates.shape
    y = np.empty((n, x.shape[1], rows, columns))
    for b, i, j in itertools.product(range(n), range(rows), range(columns)):
        at: list[float] = []
        for value, size in zip(coordinates[b, i, j].astype(float), x.shape[:1:-1], strict=True):
            if coordinates_mode != "unnormalized":
                share = value if coordinates_mode == "normalized_zero_to_one" else (value + 1) / 2
                value = share * (size - 1) if align_corners else share * size - 0.5
            at.append(value)
        y[b, :, i, j] = _sample(x[b], at[0], at[1], sampling_mode, padding_mode, padding_value)
    return y


# Away from the middle between two pixels, where the nearest is a matter of the last bit.
_NORMALIZED = floats(2, 4, 3, 2, low=-1.9, high=1.9)
_UNNORMALIZED = (np.rint(floats(2, 4, 3, 2, low=-8, high=14)) + f32([0.3, -0.2])).astype(np.float32)
_RESAMPLES: list[dict[str, Any]] = [
    {
        "sampling_mode": sampling,
        "padding_mode": padding,
        "padding_value": 1.7,
        "coordinates_mode": mode,
        "align_corners": align,
    }
    for sampling, padding, mode, align in (
        ("bilinear", "constant", "normalized_minus_one_to_one", True),
        ("bilinear", "constant", "normalized_minus_one_to_one", False),
        ("bilinear", "border", "normalized_minus_one_to_one", True),
        ("bilinear", "reflection", "normalized_minus_one_to_one", True),
        ("bilinear", "reflection", "normalized_minus_one_to_one", False),
        ("bilinear", "symmetric", "normalized_minus_one_to_one", True),
        ("bilinear", "symmetric", "normalized_minus_one_to_one", False),
        ("bilinear", "symmetric", "normalized_zero_to_one", True),
        ("bilinear", "border", "normalized_zero_to_one", False),
        ("bilinear", "constant", "unnormalized", False),
        ("bilinear", "reflection", "unnormalized", True),
        ("nearest", "constant", "unnormalized", True),
        ("nearest", "border", "unnormalized", False),
        ("nearest", "reflection", "unnormalized", False),
        ("nearest", "symmetric", "unnormalized", False),
    )
]
_KNOWN = {
    "sampling_mode": "bilinear",
    "padding_mode": "constant",
    "padding_value": 0.0,
    "coordinates_mode": "normalized_minus_one_to_one",
    "align_corners": True,
}


def _resamples() -> list[Case]:
    cases = []
    for attributes in _RESAMPLES:
        points = _UNNORMALIZED if attributes["coordinates_mode"] == "unnormalized" else _NORMALIZED
        given = {"x": X, "coordinates": points, **attributes}
        cases.append(Case("resample", given, _resample(**given)))
    whole = {"x": X, "coordinates": i32(np.rint(_UNNORMALIZED)), **_RESAMPLES[9]}
    cases.append(Case("resample", whole, _resample(**whole)))
    for field in ("sampling_mode", "padding_mode", "coordinates_mode"):
        wrong = {"x": X, "coordinates": _NORMALIZED, **_KNOWN, field: "cubic"}
        cases.append(Case("resample", wrong, "Unsupported"))
    return cases


_MATRICES = f32([[0.7, -0.4, 0.1, 0.3, 0.9, -0.2], [-1.0, 0.0, 0.3, 0.2, -0.8, 0.0]])


def _affine(matrices: Array, height: int, width: int) -> Array:
    points = np.empty((2, height, width, 2), np.float32)
    for n, i, j in itertools.product(range(2), range(height), range(width)):
        a, b = np.split(matrices[n % len(matrices)], 2)
        place = np.array([-1 + 2 * j / (width - 1), -1 + 2 * i / (height - 1), 1])
        points[n, i, j] = a @ place, b @ place
    return _resample(X, points, **_KNOWN)  # type: ignore[arg-type]


def _affines() -> list[Case]:
    cases = []
    for matrices in (_MATRICES, _MATRICES[1:]):
        given = {
            "x": X,
            "transform_matrix": matrices,
            "output_height": 4,
            "output_width": 6,
            **_KNOWN,
        }
        cases.append(Case("affine", given, _affine(matrices, 4, 6)))
    for field, wrong in (
        ("sampling_mode", "nearest"),
        ("padding_mode", "border"),
        ("padding_value", 1.0),
        ("coordinates_mode", "unnormalized"),
        ("align_corners", False),
    ):
        cases.append(Case("affine", {**cases[0].given, field: wrong}, "Unsupported"))
    return cases


# Top, left, bottom and right; the second is upside down, the third reaches beyond the image.
_BOXES = f32([[0.5, 1.0, 3.25, 4.0], [4.0, 2.0, 1.0, 5.5], [2.0, -1.0, 5.0, 3.0]])


def _crop_resize(boxes: Array, images: Sequence[int], height: int, width: int, pad: float) -> Array:
    y = np.empty((len(boxes), X.shape[1], height, width))
    for n, (image, (top, left, bottom, right)) in enumerate(zip(images, boxes, strict=True)):
        for i, j in itertools.product(range(height), range(width)):
            row = top + (bottom - top) * i / (height - 1) if height > 1 else (top + bottom) / 2
            column = left + (right - left) * j / (width - 1) if width > 1 else (left + right) / 2
            if 0 <= row <= X.shape[2] - 1 and 0 <= column <= X.shape[3] - 1:
                y[n, :, i, j] = _sample(X[image], column, row, "bilinear", "border", 0)
            else:
                y[n, :, i, j] = pad
    return y


def _centred(boxes: Array) -> Array:
    top, left, bottom, right = boxes.T
    return np.stack([(top + bottom) / 2, (left + right) / 2, bottom - top, right - left], 1)


_SIZED = {"target_height": 3, "target_width": 4, "sampling_mode": "ALIGN_CORNERS"}
_SWAP = [1, 0, 3, 2]
_EXPECTED = _crop_resize(_BOXES, [0, 1, 1], 3, 4, 9.0)
_GIVEN = {"x": X, "box_indices": i32([0, 1, 1]), "pad_value": 9.0, **_SIZED}
_ROI = f32([[[1, *_BOXES[0]]], [[0, *_BOXES[1]]]]).reshape(2, 1, 5, 1, 1)
_ALL = np.stack([_crop_resize(_BOXES[:2], [n, n], 3, 4, 0) for n in range(2)], 1)

_CROPS = [
    Case("crop_resize", {"boxes": _BOXES, **_GIVEN}, _EXPECTED),
    Case(
        "crop_resize",
        {"boxes": _BOXES[:, _SWAP], **_GIVEN, "box_coordinate_mode": "CORNERS_WIDTH_FIRST"},
        _EXPECTED,
    ),
    Case(
        "crop_resize",
        {"boxes": _centred(_BOXES), **_GIVEN, "box_coordinate_mode": "CENTER_SIZE_HEIGHT_FIRST"},
        _EXPECTED,
    ),
    Case(
        "crop_resize",
        {
            "boxes": _centred(_BOXES)[:, _SWAP],
            **_GIVEN,
            "box_coordinate_mode": "CENTER_SIZE_WIDTH_FIRST",
        },
        _EXPECTED,
    ),
    Case(
        "crop_resize",
        {"boxes": _BOXES / f32([4, 6, 4, 6]), **_GIVEN, "normalized_coordinates": True},
        _EXPECTED,
    ),
    Case("crop_resize", {"boxes": _BOXES * 4, **_GIVEN, "spatial_scale": 0.25}, _EXPECTED),
    Case(
        "crop_resize",
        {"x": X, "boxes": _BOXES[:2], "sampling_mode": "ALIGN_CORNERS"},
        _crop_resize(_BOXES[:2], [0, 1], 1, 1, 0),
    ),
    Case(
        "crop_resize",
        {"x": X, "boxes": _BOXES[:2], "sampling_mode": "STRICT_ALIGN_CORNERS"},
        _crop_resize(_BOXES[:2][:, [0, 1, 0, 1]], [0, 1], 1, 1, 0),
    ),
    Case(
        "crop_resize",
        {"x": X, "roi": _ROI, **_SIZED},
        _crop_resize(_BOXES[:2], [1, 0], 3, 4, 0)[:, None],
    ),
    Case("crop_resize", {"x": X, "roi": _ROI[:, :, 1:], **_SIZED}, _ALL),
    Case("crop_resize", {"x": X, "boxes": _BOXES[2:], **_SIZED}, "Undefined"),
    Case(
        "crop_resize", {"x": X, "boxes": _BOXES[:1], "box_indices": i32([2]), **_SIZED}, "Undefined"
    ),
    Case("crop_resize", {"x": X, "boxes": _BOXES[:1]}, "Unsupported"),
    Case("crop_resize", {"x": X, **_SIZED}, "Unsupported"),
    Case(
        "crop_resize", {"x": X, "boxes": _BOXES[:1], "box_coordinate_mode": "POLAR"}, "Unsupported"
    ),
]

# Centre (across, down), width, height. 1 overlaps 0 by 3 / 5, 2 overlaps 0 by 1 / 3; 3 is alone.
_FOUND = f32([[[2, 2, 4, 4], [3, 2, 4, 4], [4, 2, 4, 4], [20, 20, 2, 2]]])
_SCORES = f32([[[0.5, 0.9], [0.8, 0.1], [0.2, 0.7], [0.3, 0.1]]])
_SUPPRESSION = {"boxes": _FOUND, "scores": _SCORES, "max_boxes": 3, "score_threshold": 0.25}


def _kept(indices: list[int], most: int) -> tuple[Array, ...]:
    boxes, scores = np.zeros((1, most, 4)), np.zeros((1, most, 2))
    boxes[0, : len(indices)], scores[0, : len(indices)] = _FOUND[0, indices], _SCORES[0, indices]
    numbers = np.full((1, most), -1, np.int32)
    numbers[0, : len(indices)] = indices
    return f32(boxes), f32(scores), numbers, i32([len(indices)])


_LAST = {"boxes": _FOUND.swapaxes(1, 2), "scores": _SCORES.swapaxes(1, 2), "max_boxes": 4}
_LAST_KEPT = _kept([0, 2, 3], 4)
_NMS = [
    Case("non_maximum_suppression", {**_SUPPRESSION, "iou_threshold": 0.5}, _kept([0, 2, 3], 3)),
    Case("non_maximum_suppression", {**_SUPPRESSION, "iou_threshold": 0.3}, _kept([0, 3], 3)),
    Case(
        "non_maximum_suppression",
        {**_SUPPRESSION, "iou_threshold": 0.5, "score_threshold": 0.35},
        _kept([0, 2], 3),
    ),
    Case(
        "non_maximum_suppression",
        {**_SUPPRESSION, "iou_threshold": 0.5, "score_threshold": 0.95},
        _kept([0], 3),
    ),
    Case(
        "non_maximum_suppression",
        {**_SUPPRESSION, "iou_threshold": 0.3, "per_class_suppression": True},
        _kept([0, 1, 3], 3),
    ),
    Case(
        "non_maximum_suppression",
        {**_SUPPRESSION, "iou_threshold": 0.9, "max_boxes": 2},
        _kept([0, 1], 2),
    ),
    Case(
        "non_maximum_suppression",
        {**_LAST, "iou_threshold": 0.5},
        (_LAST_KEPT[0].swapaxes(1, 2), _LAST_KEPT[1].swapaxes(1, 2), _LAST_KEPT[2]),
    ),
]

CASES = [
    *_resizes(),
    Case("resize_bilinear", {"x": X}, _resized(X, (1, 1), "DEFAULT")),
    Case(
        "resize_bilinear",
        {"x": X[0], "target_size_height": 7, "target_size_width": 9},
        _resized(X[0], (7, 9), "DEFAULT"),
    ),
    Case(
        "resize_bilinear",
        {"x": X[0, 0, None], "target_size_height": 7, "sampling_mode": "UNALIGN_CORNERS"},
        _resized(X[0, 0, None], (7, 1), "UNALIGN_CORNERS"),
    ),
    Case("resize_bilinear", {"x": X, "sampling_mode": "CUBIC"}, "Unsupported"),
    Case(
        "resize_nearest_neighbor",
        {"x": X, "target_size_height": 8, "target_size_width": 3},
        _picked(X, (8, 3), 0.5),
    ),
    Case(
        "resize_nearest_neighbor",
        {"x": f32([0.37, 6.17]).reshape(1, 2, 1), "target_size_height": 3, "target_size_width": 2},
        f32([[[0.37, 0.37], [6.17, 6.17], [6.17, 6.17]]]),
    ),
    Case("upsample_nearest_neighbor", {"x": X}, X),
    Case(
        "upsample_nearest_neighbor",
        {"x": X, "scale_factor_height": 2.0, "scale_factor_width": 3.0},
        X.repeat(2, 2).repeat(3, 3),
    ),
    Case(
        "upsample_nearest_neighbor",
        {"x": X, "scale_factor_height": 1.75, "scale_factor_width": 0.7},
        _picked(X, (8, 4), 0.0),
    ),
    Case("upsample_bilinear", {"x": X}, X),
    Case(
        "upsample_bilinear",
        {"x": X, "scale_factor_height": 2.0, "scale_factor_width": 3.0},
        _resized(X, (10, 21), "STRICT_ALIGN_CORNERS"),
    ),
    Case(
        "upsample_bilinear",
        {"x": X, "scale_factor_height": 1.5, "align_corners": False},
        _resized(X, (7, 7), "UNALIGN_CORNERS"),
    ),
    Case(
        "upsample_bilinear",
        {"x": X, "scale_factor_width": 2.6, "align_corners": False, "half_pixel_centers": False},
        _resized(X, (5, 18), "DEFAULT"),
    ),
    Case("upsample_bilinear", {"x": X, "half_pixel_centers": True}, "Unsupported"),
    Case(
        "upsample_bilinear",
        {"x": _TALL, "scale_factor_height": float(f32(0.7))},
        _resized(_TALL, (7, 1), "STRICT_ALIGN_CORNERS"),
    ),
    Case(
        "resize",
        {"x": X, "shape": (2, 6, 4), "resized_dims": 3},
        _resized(X, (2, 6, 4), "DEFAULT"),
    ),
    Case(
        "resize",
        {"x": X, "shape": (8, 3), "resized_dims": 2, "interpolation_mode": "NEAREST_NEIGHBOR"},
        _picked(X, (8, 3), 0.5),
    ),
    Case(
        "resize",
        {"x": X, "shape": (8, 3), "resized_dims": 2, "interpolation_mode": "CUBIC"},
        "Unsupported",
    ),
    Case(
        "resize",
        {
            "x": X,
            "shape": (8, 3),
            "resized_dims": 2,
            "interpolation_mode": "NEAREST_NEIGHBOR",
            "sampling_mode": "ALIGN_CORNERS",
        },
        "Unsupported",
    ),
    *_resamples(),
    *_affines(),
    *_CROPS,
    *_NMS,
]
