"""Handwritten-looking digits drawn by code: endless, from a seed alone, with nothing to download and no licence.

A digit is a few pen strokes (`glyphs.py`): smooth curves through control points. Each is written by another hand:
a smooth random warp bends it, every control point trembles, slant, rotation, proportion, size and pen differ.
Then, as for MNIST, it is fitted into 20 × 20 pixels and centred by its mass in 28 × 28.

Everything is arrays over a chunk of digits. Curves are linear in their control points, so that a glyph is one
matrix that takes control points to DOTS points, evenly spaced along the strokes; the pen presses a dot at each.
"""

from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..backend import generator
from ..errors import SettingError
from .dataset import Images, Labels, from_bytes
from .glyphs import GLYPHS

SIZE = 28
MIDDLE = (SIZE - 1) / 2
CHUNK = 100  # digits drawn from one generator, ten of each class
DOTS = 96
FINE = 64  # points of a curve between two control points, of which the dots are a choice
WAVES = 3

Floats = NDArray[np.float32]


def digits(count: int = 10_000, seed: int = 0, split: str = "train") -> tuple[Images, Labels]:
    """The first `count` digits of a seed: images float32 (count, 28, 28, 1) in [−1, 1], labels int64 (count,).

    Bright strokes on black. Any hundred from a multiple of 100 on hold ten of each class, in random order.
    The first n digits are the same whatever the count; the splits "train" and "test" share none.
    Raises SettingError where count is below 1.
    """
    if count < 1:
        raise SettingError(f"digits(count={count}): at least 1 is expected")
    images = np.empty((count, SIZE, SIZE, 1), np.uint8)
    labels = np.empty(count, np.int64)
    for start in range(0, count, CHUNK):
        stop = min(start + CHUNK, count)
        chunk_images, chunk_labels = _draw_chunk(generator(seed, f"digits {split}", start // CHUNK))
        images[start:stop, ..., 0] = chunk_images[: stop - start]
        labels[start:stop] = chunk_labels[: stop - start]
    return from_bytes(images), labels


def _draw_chunk(rng: np.random.Generator) -> tuple[NDArray[np.uint8], Labels]:
    labels = rng.permutation(np.arange(CHUNK) % 10)
    table = _glyph_table()
    glyph = table.first[labels] + rng.integers(0, table.variants[labels])
    points = _tremble(_warp(table.points[glyph], rng), rng)
    dots = np.einsum("bdp,bpx->bdx", table.curves[glyph], points)  # (CHUNK, DOTS, 2)
    radius = _pen(rng)
    blur = rng.uniform(0.9, 1.6, (CHUNK, 1, 1))  # pixels from full ink to none: scanned ink has soft edges
    dots = _centre(_fit(_pose(dots, rng), radius, rng), radius, blur)
    ink = _ink(dots, radius, blur, np.arange(SIZE))
    return np.asarray(np.rint(255 * ink), np.uint8), labels


# ---------------------------------------------------------------- curves


class GlyphTable(NamedTuple):
    points: Floats  # (glyphs, P, 2): control points, of the height 1, padded with zeros
    curves: Floats  # (glyphs, DOTS, P): control points to dots
    first: NDArray[np.int64]  # (10,): where each digit's glyphs start
    variants: NDArray[np.int64]  # (10,): how many it has


@cache
def _glyph_table() -> GlyphTable:
    parsed = [_parse(text) for variants in GLYPHS for text in variants]
    most = max(len(points) for points, _ in parsed)
    table_points = np.zeros((len(parsed), most, 2), np.float32)
    table_curves = np.zeros((len(parsed), DOTS, most), np.float32)
    for i, (points, strokes) in enumerate(parsed):
        table_points[i, : len(points)] = points
        table_curves[i, :, : len(points)] = _evenly_spaced(strokes, points)
    variants = np.array([len(texts) for texts in GLYPHS], np.int64)
    return GlyphTable(table_points, table_curves, np.cumsum(variants) - variants, variants)


def _parse(text: str) -> tuple[NDArray[np.float64], list[list[int]]]:
    """A glyph's distinct points (P, 2), and each stroke as indices of points."""
    places = [[tuple(map(int, point.split())) for point in stroke.split(",")] for stroke in text.split("|")]
    distinct = sorted({place for stroke in places for place in stroke})
    return np.array(distinct) / 100, [[distinct.index(place) for place in stroke] for stroke in places]


def _evenly_spaced(strokes: list[list[int]], points: NDArray[np.float64]) -> NDArray[np.float64]:
    """The matrix (DOTS, P) from control points to dots that lie evenly along all the strokes."""
    fine = np.concatenate([_catmull_rom(stroke, len(points)) for stroke in strokes])
    steps = np.linalg.norm(np.diff(fine @ points, axis=0), axis=1)
    steps[np.cumsum([FINE * (len(stroke) - 1) for stroke in strokes])[:-1] - 1] = 0  # a lifted pen draws nothing
    length = np.concatenate([[0.0], np.cumsum(steps)])
    return np.asarray(fine[np.searchsorted(length, np.linspace(0, length[-1], DOTS))])


def _catmull_rom(stroke: list[int], count: int) -> NDArray[np.float64]:
    """The matrix from `count` control points to a smooth curve through those of `stroke`, in their order."""
    t = np.linspace(0, 1, FINE)[:, None]
    # The cubic with the tangents (next − previous) / 2 at its ends, as weights of previous, here, next, after.
    weights = np.hstack([-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, t**3 - t**2]) / 2
    ends = [stroke[0], *stroke, stroke[-1]]
    curve = np.zeros((len(stroke) - 1, FINE, count))
    for piece in range(len(stroke) - 1):
        for i in range(4):
            curve[piece, :, ends[piece + i]] += weights[:, i]
    return curve.reshape(-1, count)


# ---------------------------------------------------------------- the hand


def _warp(points: Floats, rng: np.random.Generator) -> Floats:
    """Bend the plane by a few random waves: neighbouring points move together, so that shapes stay shapes."""
    frequency = rng.normal(0, 3.0, (CHUNK, 2, WAVES))
    phase = rng.uniform(0, 2 * np.pi, (CHUNK, 1, WAVES))
    strength = rng.normal(0, 0.05, (CHUNK, WAVES, 2))
    waves = np.sin(np.einsum("bpx,bxw->bpw", points, frequency) + phase)
    return np.asarray(points + np.einsum("bpw,bwx->bpx", waves, strength), np.float32)


def _tremble(points: Floats, rng: np.random.Generator) -> Floats:
    return np.asarray(points + rng.normal(0, 0.02, points.shape), np.float32)


def _pose(dots: Floats, rng: np.random.Generator) -> Floats:
    """Proportion, slant and rotation, the same for all dots of a digit."""
    width = np.exp(rng.normal(0.0, 0.18, CHUNK))
    slant = rng.normal(0.2, 0.22, CHUNK)
    angle = rng.normal(0, 0.1, CHUNK)
    x, y = dots[..., 0] * width[:, None] - dots[..., 1] * slant[:, None], dots[..., 1]
    cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]
    return np.stack([cos * x - sin * y, sin * x + cos * y], axis=-1).astype(np.float32)


def _pen(rng: np.random.Generator) -> Floats:
    """The pen's radius in pixels at each dot (CHUNK, DOTS): a pen for each digit, pressed now more, now less."""
    radius = np.exp(rng.normal(np.log(1.25), 0.22, CHUNK)).clip(0.75, 2.0)
    way = np.linspace(0, 2 * np.pi, DOTS)
    turns = rng.uniform(0.3, 2.5, (CHUNK, 1))
    pressure = 1 + rng.uniform(0, 0.2, (CHUNK, 1)) * np.sin(way * turns + rng.uniform(0, 2 * np.pi, (CHUNK, 1)))
    return np.asarray(radius[:, None] * pressure, np.float32)


def _fit(dots: Floats, radius: Floats, rng: np.random.Generator) -> Floats:
    """Fit the inked digit into 20 × 20 pixels, in the middle of the image."""
    low, high = dots.min(axis=1, keepdims=True), dots.max(axis=1, keepdims=True)  # (CHUNK, 1, 2)
    room = 20 * rng.uniform(0.94, 1.0, CHUNK) - 2 * radius.mean(axis=1)
    scale = room[:, None, None] / (high - low).max(axis=2, keepdims=True)
    return np.asarray((dots - (low + high) / 2) * scale + MIDDLE, np.float32)


# ---------------------------------------------------------------- the ink


def _centre(dots: Floats, radius: Floats, blur: NDArray[np.float64]) -> Floats:
    """Move the digit's centre of mass into the middle of the image."""
    grid = np.arange(0.5, SIZE, 2)  # every other pixel is enough to weigh the ink, for a quarter of the time
    ink = _ink(dots, radius, blur, grid)
    mass = np.stack([ink.sum(axis=1), ink.sum(axis=2)], axis=1)  # (CHUNK, 2, 14): by x, by y
    centre = (mass * grid).sum(axis=2) / mass.sum(axis=2)
    return np.asarray(dots + (MIDDLE - centre)[:, None], np.float32)


def _ink(dots: Floats, radius: Floats, blur: NDArray[np.float64], grid: NDArray[Any]) -> NDArray[np.float64]:
    """Ink 0 … 1 at the pixels (y, x) of grid × grid: by each one's distance to the nearest dot (x, y)."""
    # Squared distances in units of the pen's radius; they are sums of a part of x and a part of y.
    dx = ((grid.astype(np.float32) - dots[..., :1]) / radius[..., None]) ** 2  # (CHUNK, DOTS, grid)
    dy = ((grid.astype(np.float32) - dots[..., 1:]) / radius[..., None]) ** 2
    nearest = np.full((CHUNK, len(grid), len(grid)), np.inf, np.float32)
    here = np.empty_like(nearest)
    for dot in range(DOTS):
        np.add(dy[:, dot, :, None], dx[:, dot, None, :], out=here)
        np.minimum(nearest, here, out=nearest)
    pen = radius.mean(axis=1)[:, None, None]
    return np.asarray((0.5 + (1 - np.sqrt(nearest)) * pen / blur).clip(0, 1))
