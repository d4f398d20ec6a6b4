"""Where D says real and where fake, and the points it judges: over time in one dimension, as maps and films in two."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..autograd import Tensor, no_grad
from ..errors import DataError, ShapeError
from ..nn import Module, frozen
from .display import new_figure
from .style import BLUE, VERMILLION

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Limits = tuple[float, float]
SHADES = ("#858585", "white")  # of D = 0 and D = 1: greys, so that colour is left to the points


@dataclass(frozen=True)
class Snapshot:
    """Two-dimensional fakes at one moment, (N, 2), and D's answers on a grid over the same square (`decision_grid`)."""

    title: str
    fake: np.ndarray
    surface: np.ndarray | None = None


def decision_grid(discriminator: Module, limits: Limits, resolution: int = 60, dimensions: int = 2) -> np.ndarray:
    """D(x) = σ(logit) on an even grid over [low, high]: (resolution, resolution), row by row upwards; (resolution,)
    for one-dimensional data. D is left as it is."""
    line = np.linspace(*limits, resolution)
    points = np.stack(np.meshgrid(*[line] * dimensions), axis=-1).reshape(-1, dimensions)
    with no_grad(), frozen():
        logits = discriminator(Tensor(points.astype(np.float32))).numpy()
    return np.reshape(0.5 * (1 + np.tanh(logits / 2)), (resolution,) * dimensions)


def samples_over_time(
    steps: Sequence[int],
    fake: np.ndarray,
    real: np.ndarray,
    surfaces: np.ndarray | None = None,
    limits: Limits = (-3, 3),
) -> "Figure":
    """One-dimensional fakes as columns of dots, one column a step, with the real examples at the right edge.

    steps: (T,), T ≥ 2.   fake: (T, N).   real: (M,); lines are drawn at their mean and two standard deviations from it.
    surfaces: (T, R), each row D(x) by `decision_grid(D, limits, R, dimensions=1)`: white where D says real, grey where
    fake. Raises ShapeError.
    """
    if np.ndim(fake) != 2 or len(steps) != len(fake) or len(steps) < 2 or np.ndim(real) != 1:
        raise ShapeError(
            f"samples_over_time: {len(steps)} steps, fake {np.shape(fake)}, real {np.shape(real)}; "
            "fake (steps, N) with 2 steps or more, and real (M,) are expected"
        )
    figure = new_figure(7.0, 3.8)
    axes, edge = figure.subplots(1, 2, width_ratios=[9, 1], sharey=True)
    if surfaces is not None:
        _shade(axes, np.asarray(steps), np.linspace(*limits, np.shape(surfaces)[1]), np.transpose(surfaces))
    n = np.shape(fake)[1]
    axes.plot(np.repeat(steps, n), np.ravel(fake), ".", color=VERMILLION, markersize=3, alpha=0.6)
    middle, spread = np.mean(real), np.std(real)
    for value, style in ((middle, "-"), (middle - 2 * spread, (0, (1, 1.5))), (middle + 2 * spread, (0, (1, 1.5)))):
        axes.axhline(value, color=BLUE, linewidth=1.8, linestyle=style)
    edge.plot(np.zeros(len(real)), real, "o", color=BLUE, markersize=3, alpha=0.3)
    edge.set_xticks([])
    edge.set_xlabel("real", color=BLUE, fontsize=12, fontweight="bold")
    edge.spines[:].set_visible(False)
    edge.tick_params(length=0)
    width = (steps[-1] - steps[0]) / (2 * len(steps))
    axes.set_xlim(steps[0] - width, steps[-1] + width)
    axes.set_ylim(*limits)
    axes.set_xlabel("step", fontsize=11)
    axes.set_ylabel("x", fontsize=11)
    axes.tick_params(labelsize=10)
    axes.set_title("fakes: red dots · real: blue lines, mean and ± 2 std" + _shade_key(surfaces), fontsize=10.5)
    return figure


def decision_surfaces(
    snapshots: Sequence[Snapshot], real: np.ndarray, limits: Limits = (-3, 3), columns: int = 3
) -> "Figure":
    """A map for each snapshot: real points (blue rings), fakes (red crosses), and D behind them where it is given.

    real: (M, 2).   White: D says real, grey: fake; dashed: D = ½.   Raises DataError (no snapshot), ShapeError.
    """
    _check_points(snapshots, real)
    columns = min(columns, len(snapshots))
    rows = math.ceil(len(snapshots) / columns)
    width = 7.0 if columns > 1 else 4.0
    figure = new_figure(width, rows * (width / columns + 0.25) + 0.35)
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    for axes, snapshot in zip(panels, snapshots, strict=False):
        _draw_map(axes, snapshot, real, limits)
    for axes in panels[len(snapshots) :]:
        axes.set_visible(False)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3, fontsize=11, frameon=False, markerscale=2)
    return figure


def decision_film(snapshots: Sequence[Snapshot], real: np.ndarray, limits: Limits = (-3, 3)) -> list[np.ndarray]:
    """The same maps one after another: uint8 pictures (H, W, 3) for `show_film` or `save_film`."""
    _check_points(snapshots, real)
    figure = new_figure(2.8, 3.0)
    frames = []
    for snapshot in snapshots:
        figure.clear()
        _draw_map(figure.subplots(), snapshot, real, limits)
        frames.append(pixels(figure))
    return frames


def pixels(figure: "Figure") -> np.ndarray:
    """The figure as it is shown: uint8 (H, W, 3)."""
    canvas: Any = figure.canvas
    canvas.draw()
    return np.array(canvas.buffer_rgba())[..., :3]


def _draw_map(axes: "Axes", snapshot: Snapshot, real: np.ndarray, limits: Limits) -> None:
    if snapshot.surface is not None:
        line = np.linspace(*limits, len(snapshot.surface))
        _shade(axes, line, line, snapshot.surface)
        if snapshot.surface.min() < 0.5 < snapshot.surface.max():
            axes.contour(
                line, line, snapshot.surface, levels=[0.5], colors="black", linewidths=1.2, linestyles="dashed"
            )
    axes.plot(*real.T, "o", color=BLUE, markersize=3.5, markerfacecolor="none", alpha=0.5, label="real (rings)")
    axes.plot(*snapshot.fake.T, "x", color=VERMILLION, markersize=3.5, alpha=0.7, label="fake (crosses)")
    axes.set_xlim(*limits)
    axes.set_ylim(*limits)
    axes.set_aspect("equal")
    axes.set_title(snapshot.title, fontsize=11)
    axes.tick_params(labelsize=10)


def _shade(axes: "Axes", x: np.ndarray, y: np.ndarray, surface: np.ndarray) -> None:
    """D's answers, (len(y), len(x)), as sixteen shades of grey: few, so that pictures and films stay small."""
    from matplotlib.colors import LinearSegmentedColormap

    shades = LinearSegmentedColormap.from_list("shades", SHADES, N=16)
    axes.pcolormesh(x, y, surface, cmap=shades, vmin=0, vmax=1, shading="nearest", rasterized=True)


def _shade_key(surfaces: np.ndarray | None) -> str:
    return "" if surfaces is None else " · D: white real, grey fake"


def _check_points(snapshots: Sequence[Snapshot], real: np.ndarray) -> None:
    if not snapshots:
        raise DataError("decision_surfaces: no snapshots, at least one is expected")
    for points in (real, *(snapshot.fake for snapshot in snapshots)):
        if np.ndim(points) != 2 or np.shape(points)[1] != 2:
            raise ShapeError(f"decision_surfaces: points have shape {np.shape(points)}; (N, 2) is expected")
