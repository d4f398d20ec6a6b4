"""Grids of images and films of them, as bytes and as files."""

import math
import os
from collections.abc import Sequence

import numpy as np

from ..errors import DataError, DTypeError, NonFiniteError, SettingError, ShapeError
from ..files import atomic_write, check_suffix

GAP = 56  # the grey between the images of a grid: digits are white on black, and their frames should be seen


def to_uint8(images: np.ndarray) -> np.ndarray:
    """round(127.5 · (x + 1)), clipped to 0 … 255: floats in [−1, 1] of any shape to bytes.

    Raises DTypeError for anything but floats, NonFiniteError where there is a NaN.
    """
    images = np.asarray(images)
    if not np.issubdtype(images.dtype, np.floating):
        raise DTypeError(f"to_uint8: images are {images.dtype}, expected floats in [−1, 1]")
    if nans := np.count_nonzero(np.isnan(images)):
        raise NonFiniteError(f"to_uint8: {nans:,} of {images.size:,} values are NaN: the model that drew them diverged")
    whole: np.ndarray = np.rint(127.5 * (np.clip(images, -1, 1) + 1)).astype(np.uint8)
    return whole


def sample_grid(images: np.ndarray, columns: int | None = None, gap: int = 2) -> np.ndarray:
    """Tile images, row by row, with a grey `gap` of pixels between and around them; cells left over stay grey.

    images: (N, H, W, C) floats in [−1, 1], C = 1 or 3; columns: ⌈√N⌉ unless given, so near square.
    Returns uint8 (rows·(H + gap) + gap, columns·(W + gap) + gap), and a last axis of 3 if C = 3.
    Raises ShapeError, SettingError (columns < 1 or gap < 0), and what `to_uint8` raises.
    """
    images = np.asarray(images)
    if images.ndim != 4 or images.shape[-1] not in (1, 3) or 0 in images.shape:
        raise ShapeError(f"sample_grid: images have shape {images.shape}, expected (N, H, W, C) with C = 1 or 3")
    n, height, width, channels = images.shape
    columns = math.ceil(math.sqrt(n)) if columns is None else columns
    if columns < 1 or gap < 0:
        raise SettingError(f"sample_grid: columns = {columns} and gap = {gap}, expected columns ≥ 1 and gap ≥ 0")
    rows = math.ceil(n / columns)
    cells = np.full((rows * columns, height + gap, width + gap, channels), GAP, np.uint8)
    cells[:n, gap:, gap:] = to_uint8(images)
    grid = cells.reshape(rows, columns, height + gap, width + gap, channels).swapaxes(1, 2)
    grid = grid.reshape(rows * (height + gap), columns * (width + gap), channels)
    grid = np.pad(grid, ((0, gap), (0, gap), (0, 0)), constant_values=GAP)
    return grid[..., 0] if channels == 1 else grid


def save_grid(
    images: np.ndarray,
    path: str | os.PathLike[str],
    columns: int | None = None,
    scale: int | None = None,
    description: str | None = None,
    gap: int = 2,
) -> None:
    """Write `sample_grid(images, columns, gap)` as a PNG, each pixel drawn as a square of `scale` × `scale`.

    Without `scale` the picture is made at least 600 pixels wide. `description` is the alt text in the file.
    Raises what `sample_grid` raises, SettingError (scale < 1, a name that is not .png) and FileError.
    """
    from PIL import Image, PngImagePlugin

    check_suffix(path, ".png")
    grid = sample_grid(images, columns, gap)
    n, height, width = np.shape(images)[:3]
    info = PngImagePlugin.PngInfo()
    info.add_text("Description", description or f"A grid of {n} images, each {width}×{height} pixels.")
    picture = Image.fromarray(_enlarge(grid, math.ceil(600 / grid.shape[1]) if scale is None else scale))
    with atomic_write(path) as file:
        picture.save(file, format="PNG", pnginfo=info, optimize=True)


def save_film(
    grids: Sequence[np.ndarray],
    path: str | os.PathLike[str],
    seconds: float = 6.0,
    scale: int = 1,
    description: str | None = None,
) -> None:
    """Write grids as an endless GIF that runs for `seconds`, then holds its last frame for two more.

    grids: uint8 arrays of one shape, as `sample_grid` makes them. Greys are rounded to 16 levels: a third of the size.
    `description` is the alt text, kept as the GIF's comment. A frame takes at least 0.02 s: browsers slow faster ones.
    Raises DataError (no grids), DTypeError, ShapeError, SettingError (seconds, scale, not .gif), FileError.
    """
    from PIL import Image

    check_suffix(path, ".gif")
    _check_grids(grids)
    if not 0 < seconds <= 600:
        raise SettingError(f"save_film: seconds = {seconds}, expected more than 0 and at most 600")
    frames = [Image.fromarray(_enlarge(np.rint(grid / 17).astype(np.uint8) * 17, scale)) for grid in grids]
    pause = max(20, round(1000 * seconds / len(frames)))  # milliseconds
    comment = description or f"A film of {len(frames)} grids of images, from the first to the last of a training."
    with atomic_write(path) as file:
        frames[0].save(
            file,
            format="GIF",
            save_all=True,
            append_images=frames[1:],
            duration=[pause] * (len(frames) - 1) + [pause + 2000],
            loop=0,
            comment=comment.encode(),
        )


def _enlarge(grid: np.ndarray, scale: int) -> np.ndarray:
    """Each pixel as a square of scale × scale: no blur between neighbours."""
    if scale < 1:
        raise SettingError(f"scale = {scale}, expected a whole number of at least 1")
    return grid.repeat(scale, axis=0).repeat(scale, axis=1)


def _check_grids(grids: Sequence[np.ndarray]) -> None:
    """Is there a film in these frames: bytes, of one shape, (H, W) or (H, W, 3)?"""
    if not len(grids):
        raise DataError("save_film: no grids, expected at least one")
    if dtypes := sorted({str(grid.dtype) for grid in grids} - {"uint8"}):
        raise DTypeError(f"save_film: a grid is {dtypes[0]}, expected uint8 as sample_grid gives it")
    shapes = sorted({grid.shape for grid in grids})
    if len(shapes) > 1 or len(shapes[0]) < 2 or shapes[0][2:] not in ((), (3,)):
        raise ShapeError(f"save_film: grids have shapes {shapes}, expected a single one, (H, W) or (H, W, 3)")
