"""Pictures of a training run: grids of samples, a film of them, and the losses' curves.

Matplotlib and Pillow are loaded when a picture is drawn, not before. Nothing global is touched: figures are made
without pyplot, so a notebook keeps its backend.
"""

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import DataError, DTypeError, NonFiniteError, SettingError, ShapeError
from .files import atomic_write

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GAP = 56  # the grey between the images of a grid: digits are white on black, and their frames should be seen
BLUE, VERMILLION, GREEN = "#0072B2", "#D55E00", "#009E73"  # Okabe and Ito's, told apart by colour-blind eyes
EQUILIBRIUM = -math.log(4)  # V(D, G) where the generator is perfect and D says ½ everywhere


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

    _check_suffix(path, ".png")
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

    _check_suffix(path, ".gif")
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


def loss_curves(
    log: Sequence[Mapping[str, Any]], path: str | os.PathLike[str] | None = None, title: str = "Losses of D and G"
) -> "Figure":
    """Draw a log's losses, and V(D, G) with its equilibrium −log 4 where the log has it. Save a PNG if `path` is given.

    log: dicts with `step`, `d_loss`, `g_loss` and perhaps `value`, V(D, G). Raw numbers are faint, their moving
    averages strong; what is not finite is left out, and rare spikes leave the frame, so that one doesn't flatten the
    rest. The PNG has an alt text ("Description").
    Raises DataError (a loss has no finite number in the log), SettingError (a name that is not .png), FileError.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    if path is not None:
        _check_suffix(path, ".png")
    with_value = any("value" in entry for entry in log)
    figure = Figure(figsize=(8, 6.5 if with_value else 4), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(2 if with_value else 1, sharex=True, squeeze=False)[:, 0]
    figure.suptitle(title, fontsize=14)
    ends = _draw_losses(panels[0], log)
    if with_value:
        ends += _draw_value(panels[1], log)
    panels[-1].set_xlabel("step", fontsize=12)
    if path is not None:
        text = f"{title}, over training steps. Smoothed values at the end: {ends}."
        with atomic_write(path) as file:
            figure.savefig(file, format="png", metadata={"Description": text})
    return figure


def _draw_losses(axes: "Axes", log: Sequence[Mapping[str, Any]]) -> str:
    """D's loss, solid, and G's, dashed, each labelled at its end, the higher one above the lower."""
    d_steps, d_loss = _series(log, "d_loss")
    g_steps, g_loss = _series(log, "g_loss")
    d_end = _draw_series(axes, d_steps, d_loss, BLUE, "-")
    g_end = _draw_series(axes, g_steps, g_loss, VERMILLION, (0, (5, 2.5)))
    _label_end(axes, d_end, "D (solid)", BLUE, "bottom" if d_end[1] > g_end[1] else "top")
    _label_end(axes, g_end, "G (dashed)", VERMILLION, "top" if d_end[1] > g_end[1] else "bottom")
    _frame(axes, "loss", _usual(d_loss) + _usual(g_loss) + [d_end[1], g_end[1]])
    return f"D {d_end[1]:.3g}, G {g_end[1]:.3g}"


def _draw_value(axes: "Axes", log: Sequence[Mapping[str, Any]]) -> str:
    """V(D, G) and, dashed, where it would be if G were perfect."""
    steps, values = _series(log, "value")
    end = _draw_series(axes, steps, values, GREEN, "-")
    side = "bottom" if end[1] <= EQUILIBRIUM else "top"  # the text lies on the other side of the dashed line
    axes.axhline(EQUILIBRIUM, color="black", linestyle="--", linewidth=1.2, zorder=4)
    axes.annotate(
        "equilibrium: −log 4 ≈ −1.386",
        xy=(0.01, EQUILIBRIUM),
        xycoords=("axes fraction", "data"),
        xytext=(0, 5 if side == "bottom" else -5),
        textcoords="offset points",
        verticalalignment=side,
        fontsize=11,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 1},
    )
    _label_end(axes, end, "V(D, G)", GREEN, "top" if side == "bottom" else "bottom")
    _frame(axes, "V(D, G)", [*_usual(values), end[1], EQUILIBRIUM])
    return f", V(D, G) {end[1]:.3g} (equilibrium −1.386)"


def _series(log: Sequence[Mapping[str, Any]], key: str) -> tuple[np.ndarray, np.ndarray]:
    """Steps and finite values of `key`, each (n,), n ≥ 1."""
    points = [(entry["step"], entry[key]) for entry in log if key in entry and math.isfinite(entry[key])]
    if not points:
        raise DataError(f"loss_curves: no finite {key!r} in a log of {len(log)} entries, so there is nothing to draw")
    steps, values = np.array(points, np.float64).T
    return steps, values


def _smooth(values: np.ndarray) -> np.ndarray:
    """Average over a centred window of 1/50 of all values, cut off at both ends: (n,) to (n,)."""
    window = np.ones(max(1, len(values) // 50))
    smooth: np.ndarray = np.convolve(values, window, "same") / np.convolve(np.ones_like(values), window, "same")
    return smooth


def _usual(values: np.ndarray) -> list[float]:
    """Between these two lie 99 % of the values."""
    return [float(bound) for bound in np.percentile(values, [0.5, 99.5])]


def _draw_series(
    axes: "Axes", steps: np.ndarray, values: np.ndarray, color: str, style: str | tuple[int, tuple[float, float]]
) -> tuple[float, float]:
    """Raw values, faint and behind, and the smoothed line, whose last point (step, value) is returned."""
    smooth = _smooth(values)
    marker = "o" if len(values) == 1 else ""
    axes.plot(steps, values, color=color, alpha=0.25, linewidth=0.7, zorder=1)
    axes.plot(steps, smooth, color=color, linewidth=2, linestyle=style, marker=marker, zorder=3)
    return float(steps[-1]), float(smooth[-1])


def _label_end(axes: "Axes", end: tuple[float, float], text: str, color: str, side: str) -> None:
    """Write `text` right of a line's end, in its colour, a little above it ("bottom" aligned) or below ("top")."""
    axes.annotate(
        text,
        xy=end,
        xytext=(6, 1 if side == "bottom" else -1),
        textcoords="offset points",
        verticalalignment=side,
        color=color,
        fontsize=12,
        fontweight="bold",
    )


def _frame(axes: "Axes", label: str, shown: list[float]) -> None:
    """Name the y axis, and choose its limits so that the values `shown` lie well inside."""
    margin = 0.12 * (max(shown) - min(shown)) or 0.5
    axes.set_ylim(min(shown) - margin, max(shown) + margin)
    axes.set_ylabel(label, fontsize=12)
    axes.tick_params(labelsize=11)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    axes.margins(x=0.01)


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


def _check_suffix(path: str | os.PathLike[str], suffix: str) -> None:
    """Does the name say what will be in the file?"""
    if Path(path).suffix.lower() != suffix:
        raise SettingError(f"can't write {os.fspath(path)}: this picture is a {suffix} file, so name it that")
