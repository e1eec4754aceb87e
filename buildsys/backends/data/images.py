"""Decodes a folder of images into one array, and its sub-folders into labels."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kit.protocol import arrays
from ..kit.protocol.arrays import LABELS, Arrays
from ..kit.protocol.request import Request, StepError

NAME = "images"
"""The array's name in what is written."""
SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".pgm", ".tif", ".tiff", ".webp")
DEEP = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")
"""Modes of Pillow with more than 8 bits a channel."""
ORIENTATION = 0x0112


def images(request: Request) -> None:
    """Decodes the images of a folder, or of its sub-folders, one a class.

    A picture is decoded as it is stored (an EXIF orientation is not applied, as in torchvision and
    timm), made to fit `size`, multiplied by `scale`, then `(x - mean) / std` a channel in the order of
    `color`.

    Inputs: `folder`. Options: `preprocess` (`size` [height, width], `fit` `crop|stretch|pad`,
    `crop_fraction`, `interpolation`, `color` `rgb|bgr|gray`, `scale`, `mean`, `std`, `layout`
    `NCHW|NHWC`), `limit` (so many at most).
    Outputs: `samples` (`.npz`: `images`, float32 [n, C, H, W] or [n, H, W, C]; with sub-folders, labels
    int64 [n] under `kit.protocol.arrays.LABELS`: the place of the sub-folder's name among the sorted names).
    Samples take turns over the classes, so that any first part of them is balanced.

    Raises:
        StepError: There are no images, one cannot be decoded, or no size is given.
    """
    preprocess = request.options["preprocess"]
    if "size" not in preprocess:
        raise StepError(
            "a folder of images needs `preprocess`",
            "add `preprocess: {size: [224, 224]}`",
            "source",
        )
    found = _listed(request.inputs["folder"])[: request.options.get("limit")]
    if not found:
        raise StepError("the folder holds no images", f"images are {', '.join(SUFFIXES)}", "source")
    turned = 0
    rows = []
    for path, _ in found:
        array, orientation = _decoded(path, request.inputs["folder"], preprocess)
        rows.append(array)
        turned += orientation
    if turned:
        request.note(
            f"{turned} of {len(found)} images have an EXIF orientation, which is not applied: turn the "
            "pixels themselves where the model expects upright pictures"
        )
    made: Arrays = {NAME: np.stack(rows)}
    if found[0][1] is not None:
        made[LABELS] = np.array([label for _, label in found], dtype=np.int64)
    arrays.save(request.outputs["samples"], made)


def _listed(folder: Path) -> list[tuple[Path, int | None]]:
    """Images with their labels: those of the folder itself, or else of its sub-folders in turns."""
    own = _images(folder)
    if own:
        return [(path, None) for path in own]
    classes = sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    columns = [[(path, label) for path in _images(inner)] for label, inner in enumerate(classes)]
    return [found for turn in zip_longest(*columns) for found in turn if found is not None]


def _images(folder: Path) -> list[Path]:
    return sorted(
        p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and not p.name.startswith(".")
    )


def _decoded(
    path: Path, folder: Path, preprocess: dict[str, Any]
) -> tuple[NDArray[np.float32], bool]:
    """One image as an array, and whether it asks to be turned."""
    from PIL import Image, UnidentifiedImageError

    name = path.relative_to(folder)
    try:
        with Image.open(path) as opened:
            turned = opened.getexif().get(ORIENTATION, 1) != 1
            if opened.mode in DEEP:
                raise StepError(
                    f"image `{name}` has more than 8 bits a channel (mode {opened.mode})",
                    "convert it, or load it by `python:`",
                    "source",
                )
            gray = preprocess.get("color", "rgb") == "gray"
            picture = opened.convert("L" if gray else "RGB")
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        message = f"image `{name}` cannot be decoded: {error}".replace(f"{folder}/", "")
        raise StepError(message, None, "source") from error
    return _array(_fitted(picture, preprocess), preprocess), turned


def _fitted(picture: Any, preprocess: dict[str, Any]) -> Any:
    """The picture at the size wanted."""
    from PIL import Image

    height, width = preprocess["size"]
    fit = preprocess.get("fit", "crop")
    resample = Image.Resampling[preprocess.get("interpolation", "bilinear").upper()]
    if fit == "stretch":
        return picture.resize((width, height), resample)
    ratios = (width / picture.width, height / picture.height)
    if fit == "pad":
        resized = picture.resize(_scaled(picture, min(ratios)), resample)
        canvas = Image.new(picture.mode, (width, height))
        canvas.paste(resized, ((width - resized.width) // 2, (height - resized.height) // 2))
        return canvas
    scale = max(ratios) / preprocess.get("crop_fraction", 1.0)
    resized = picture.resize(_scaled(picture, scale), resample)
    left, top = (resized.width - width) // 2, (resized.height - height) // 2
    return resized.crop((left, top, left + width, top + height))


def _scaled(picture: Any, scale: float) -> tuple[int, int]:
    return max(1, round(picture.width * scale)), max(1, round(picture.height * scale))


def _array(picture: Any, preprocess: dict[str, Any]) -> NDArray[np.float32]:
    pixels = np.asarray(picture, dtype=np.float32)
    if pixels.ndim == 2:
        pixels = pixels[:, :, np.newaxis]
    if preprocess.get("color", "rgb") == "bgr":
        pixels = pixels[:, :, ::-1]
    pixels = pixels * np.float32(preprocess.get("scale", 1 / 255))
    pixels = (pixels - _channels(preprocess, "mean", 0.0)) / _channels(preprocess, "std", 1.0)
    return np.ascontiguousarray(
        pixels if preprocess.get("layout", "NCHW") == "NHWC" else pixels.transpose(2, 0, 1)
    )


def _channels(preprocess: dict[str, Any], name: str, default: float) -> NDArray[np.float32]:
    values: Sequence[float] = preprocess.get(name) or (default,)
    return np.array(values, dtype=np.float32)
