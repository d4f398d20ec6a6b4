"""Real and fake density in one dimension, and what a discriminator says about them."""

from typing import TYPE_CHECKING

import numpy as np

from ..errors import ShapeError
from .display import new_figure
from .style import BLUE, GREEN, VERMILLION

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Curve = np.ndarray


def densities(x: Curve, real: Curve, fake: Curve, discriminator: Curve | None = None) -> "Figure":
    """Draw the densities of real and fake data over x, and above them D(x): the best one, p/(p + q), unless given.

    All are (n,), x increasing, n ≥ 2. Dotted lines mark where the densities cross: there the best D says ½.
    Raises ShapeError.
    """
    given = {"x": x, "real": real, "fake": fake} | ({} if discriminator is None else {"D": discriminator})
    curves = [np.asarray(curve, np.float64) for curve in given.values()]
    shapes = [curve.shape for curve in curves]
    if len(set(shapes)) > 1 or len(shapes[0]) != 1 or shapes[0][0] < 2:
        raise ShapeError(f"densities: {', '.join(given)} have shapes {shapes}, expected (n,) alike with n ≥ 2")
    x, p, q = curves[:3]
    d = best_discriminator(p, q) if discriminator is None else curves[3]
    figure = new_figure(7.0, 4.4)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[1, 1.3])
    above.plot(x, d, color=GREEN, linewidth=2.5)
    above.axhline(0.5, color="black", linewidth=1, linestyle="--")
    above.set_ylim(-0.06, 1.06)
    above.set_yticks([0, 0.5, 1], ["0", "½", "1"])
    above.set_ylabel("D*(x) = p / (p + q)" if discriminator is None else "D(x)", fontsize=11, color=GREEN)
    below.fill_between(x, p, color=BLUE, alpha=0.18, linewidth=0)
    below.fill_between(x, q, facecolor="none", edgecolor=VERMILLION, alpha=0.45, hatch="//", linewidth=0)
    below.plot(x, p, color=BLUE, linewidth=2.5)
    below.plot(x, q, color=VERMILLION, linewidth=2.5, linestyle=(0, (5, 2)))
    _label_both(below, x, p, q)
    below.set_ylim(0, 1.18 * max(p.max(), q.max()))
    below.set_ylabel("density", fontsize=11)
    below.set_xlabel("x", fontsize=11)
    for axes in (above, below):
        for place in crossings(x, p, q):
            axes.axvline(place, color="black", linewidth=1.2, linestyle=":")
        axes.set_xlim(x[0], x[-1])
        axes.tick_params(labelsize=10)
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def best_discriminator(p: Curve, q: Curve) -> Curve:
    """D* = p/(p + q), (n,) like the densities; NaN where both are 0. Goodfellow et al. 2014, eq. 2."""
    total = p + q
    best: Curve = np.divide(p, total, out=np.full(total.shape, np.nan), where=total > 0)
    return best


def crossings(x: Curve, p: Curve, q: Curve) -> list[float]:
    """Where p − q changes its sign, by straight lines between the points of x."""
    gap = p - q
    left = np.flatnonzero(gap[:-1] * gap[1:] < 0)
    return [float(x[i] + (x[i + 1] - x[i]) * gap[i] / (gap[i] - gap[i + 1])) for i in left]


def _label_both(axes: "Axes", x: Curve, p: Curve, q: Curve) -> None:
    """Write "real" and "fake" where each is highest above the other, on the outer sides, so that they can't meet."""
    real, fake = int(np.argmax(1.05 * p - q)), int(np.argmax(1.05 * q - p))
    for i, curve, color, text, to_left in (
        (real, p, BLUE, "real, p (solid)", real <= fake),
        (fake, q, VERMILLION, "fake, q (dashed)", real > fake),
    ):
        axes.annotate(
            text,
            xy=(x[i], curve[i]),
            xytext=(-10 if to_left else 10, 6),
            textcoords="offset points",
            horizontalalignment="right" if to_left else "left",
            color=color,
            fontsize=12,
            fontweight="bold",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
        )
