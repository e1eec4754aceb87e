"""Boxes in images: cut out, or chosen among those that overlap."""

from __future__ import annotations

import torch

from ..errors import Undefined, Unsupported
from ..registry import Tensor, Tensors, operation
from .indices import checked


@operation("crop_resize")
def crop_resize(
    x: Tensor,
    roi: Tensor | None = None,
    target_height: int = 1,
    target_width: int = 1,
    normalized_coordinates: bool = False,
    spatial_scale: float = 1.0,
    box_coordinate_mode: str = "CORNERS_HEIGHT_FIRST",
    sampling_mode: str = "DEFAULT",
    pad_value: float | None = None,
    boxes: Tensor | None = None,
    box_indices: Tensor | None = None,
) -> Tensor:
    """Boxes of images in another size, linearly interpolated.

    Args:
        x: [images, channels, height, width].
        roi: Before iOS 17, [n, 1, 4, 1, 1], boxes to cut out of every image, or [n, 1, 5, 1, 1], first
            the number of the image.
        target_height: Rows of the output.
        target_width: Columns of the output.
        normalized_coordinates: Whether 1 is the last row or column.
        spatial_scale: Factor of the coordinates.
        box_coordinate_mode: Corners or centre and size, and which coordinate comes first.
        sampling_mode: `ALIGN_CORNERS` or `STRICT_ALIGN_CORNERS`, which differ for one row or column: it
            is the middle of the box, or its start.
        pad_value: Of points outside of the image. (There is no such point before iOS 16.)
        boxes: Since iOS 17, [n, 4].
        box_indices: Since iOS 17, [n], the numbers of the images; by default 0, 1, ….

    Returns:
        [n, channels, …] with boxes, [n, images or 1, channels, …] with `roi`.

    Raises:
        Unsupported: A mode is none of the documented ones, or one that is documented for whole images
            only.
        Undefined: A point is outside of the image, and no `pad_value` is given.
    """
    if roi is not None:
        given = roi.reshape(roi.shape[0], -1)
        numbered = given.shape[1] == 5
        count = 1 if numbered else x.shape[0]
        images = given[:, 0] if numbered else torch.arange(count).repeat(len(given))
        corners = given[:, -4:].repeat_interleave(count, 0)
    elif boxes is not None:
        corners = boxes
        images = torch.arange(len(boxes)) if box_indices is None else box_indices
    else:
        raise Unsupported("crop_resize: it has neither roi nor boxes")
    top, left, bottom, right = _corners(corners.to(torch.float32), box_coordinate_mode)
    images = checked("crop_resize", images, x.shape[0], True)
    y = x[images]
    height, width = x.shape[2:]
    scale = spatial_scale
    rows, columns = (height - 1, width - 1) if normalized_coordinates else (1, 1)
    vertical = _points(top * scale * rows, bottom * scale * rows, target_height, sampling_mode)
    across = _points(left * scale * columns, right * scale * columns, target_width, sampling_mode)
    inside = _inside(vertical, height)[:, :, None] & _inside(across, width)[:, None, :]
    if pad_value is None and not bool(inside.all()):
        raise Undefined("crop_resize: a box reaches beyond the image, and there is no pad_value")
    y = _read(_read(y, vertical, 2), across, 3)
    if pad_value is not None:
        y = torch.where(inside[:, None], y, pad_value)
    return y if roi is None else y.unflatten(0, (roi.shape[0], -1))


@operation("non_maximum_suppression")
def non_maximum_suppression(
    boxes: Tensor,
    scores: Tensor,
    iou_threshold: float,
    max_boxes: int,
    score_threshold: float | None = None,
    per_class_suppression: bool = False,
) -> Tensors:
    """The boxes of the best scores without those that overlap a better one too much.

    A box's score is that of its best class, and it belongs to that class. Where no score reaches the
    threshold, the best box remains (coremltools' tests).

    Args:
        boxes: [n, boxes, 4] before iOS 17, [n, 4, boxes] since: centre (across, down) and size.
        scores: [n, boxes, classes], or [n, classes, boxes].
        iou_threshold: Larger overlaps, intersection over union, suppress.
        max_boxes: How many are given; where there are fewer, zeros follow, and indices of -1.
        score_threshold: Lower scores never count; before iOS 17, where it tells the layouts apart.
        per_class_suppression: Whether only boxes of the same class suppress.

    Returns:
        The boxes and the scores, best first, in the layout of the inputs, their indices
        [n, max_boxes] and, before iOS 17, how many there are [n].
    """
    last = score_threshold is None
    if last:
        boxes, scores = boxes.mT, scores.mT
    count = boxes.shape[0]
    best, classes = scores.max(dim=2)
    floor = -torch.inf if score_threshold is None else score_threshold
    kept_boxes = boxes.new_zeros(count, max_boxes, 4)
    kept_scores = scores.new_zeros(count, max_boxes, scores.shape[2])
    indices = torch.full((count, max_boxes), -1, dtype=torch.int32)
    found = torch.zeros(count, dtype=torch.int32)
    for n in range(count):
        groups = classes[n] if per_class_suppression else torch.zeros_like(classes[n])
        kept = _suppressed(boxes[n], best[n], groups, iou_threshold, floor, max_boxes)
        amount = len(kept)
        kept_boxes[n, :amount] = boxes[n, kept]
        kept_scores[n, :amount] = scores[n, kept]
        indices[n, :amount] = torch.tensor(kept, dtype=torch.int32)
        found[n] = amount
    if last:
        return kept_boxes.mT, kept_scores.mT, indices
    return kept_boxes, kept_scores, indices, found


def _suppressed(
    boxes: Tensor, scores: Tensor, groups: Tensor, iou_threshold: float, floor: float, most: int
) -> list[int]:
    order = torch.argsort(scores, descending=True, stable=True)
    candidates = order[scores[order] >= floor]
    if not len(candidates):
        return [int(order[0])] if most and len(order) else []
    centre, size = boxes[candidates].split(2, 1)
    low, high = centre - size / 2, centre + size / 2
    sides = torch.minimum(high[:, None], high) - torch.maximum(low[:, None], low)
    shared = sides.clamp_(min=0).prod(2)
    area = size.prod(1)
    union = area[:, None] + area - shared
    overlap = torch.where(union > 0, shared / union, torch.zeros(()))
    beats = (overlap > iou_threshold) & (groups[candidates][:, None] == groups[candidates])
    alive = torch.ones(len(candidates), dtype=torch.bool)
    kept = []
    for place, index in enumerate(candidates.tolist()):
        if not alive[place]:
            continue
        kept.append(index)
        if len(kept) == most:
            break
        alive &= ~beats[place]
    return kept


def _corners(boxes: Tensor, mode: str) -> Tensors:
    """Top, left, bottom and right of each box."""
    a, b, c, d = boxes.unbind(1)
    if mode == "CORNERS_HEIGHT_FIRST":
        return a, b, c, d
    if mode == "CORNERS_WIDTH_FIRST":
        return b, a, d, c
    if mode == "CENTER_SIZE_WIDTH_FIRST":
        a, b, c, d = b, a, d, c
    elif mode != "CENTER_SIZE_HEIGHT_FIRST":
        raise Unsupported(f"crop_resize: its attribute box_coordinate_mode is {mode!r}")
    return a - c / 2, b - d / 2, a + c / 2, b + d / 2


def _points(start: Tensor, end: Tensor, count: int, mode: str) -> Tensor:
    """Rows or columns, [box, count]."""
    if mode not in ("ALIGN_CORNERS", "STRICT_ALIGN_CORNERS"):
        raise Unsupported(f"crop_resize: its attribute sampling_mode is {mode!r}")
    if count == 1:
        return (start if mode == "STRICT_ALIGN_CORNERS" else (start + end) / 2)[:, None]
    return start[:, None] + torch.arange(count) * ((end - start) / (count - 1))[:, None]


def _inside(points: Tensor, size: int) -> Tensor:
    return (points >= 0) & (points <= size - 1)


def _read(x: Tensor, points: Tensor, axis: int) -> Tensor:
    """Each image at its own points along an axis, linearly interpolated."""
    points = points.clamp(0, x.shape[axis] - 1)
    shape = [x.shape[0], 1, 1, 1]
    shape[axis] = points.shape[1]
    low = points.floor()
    weight = (points - low).view(shape)
    first = low.to(torch.int64).view(shape)
    wide = list(x.shape)
    wide[axis] = points.shape[1]
    lower = torch.gather(x, axis, first.expand(wide))
    upper = torch.gather(x, axis, (first + 1).clamp_(max=x.shape[axis] - 1).expand(wide))
    return torch.lerp(lower, upper, weight)
