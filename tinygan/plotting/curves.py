"""The losses of a training run as curves; V(D, G) and D's accuracy beside where they would be if G were perfect."""

import math
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..errors import DataError
from ..files import atomic_write, check_suffix
from .style import BLUE, GREEN, PURPLE, VERMILLION

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


class Goal(NamedTuple):
    """A number of the log that goes to a known value where G is perfect and D says ½ everywhere."""

    key: str
    label: str
    value: float
    text: str
    color: str


GOALS = (
    Goal("value", "V(D, G)", -math.log(4), "equilibrium: −log 4 ≈ −1.386", GREEN),
    Goal("d_accuracy", "D's accuracy", 0.5, "equilibrium: ½, a coin", PURPLE),
)


def loss_curves(
    log: Sequence[Mapping[str, Any]], path: str | os.PathLike[str] | None = None, title: str = "Losses of D and G"
) -> "Figure":
    """Draw a log's losses; V(D, G) and D's accuracy with their equilibria where the log has them. Save it as a PNG.

    log: dicts with `step`, `d_loss`, `g_loss` and perhaps `value`, V(D, G), and `d_accuracy`, the share of pairs of a
    real and a fake image in which D gives the real one the higher logit.   path: None: draw only.
    Raw numbers are faint, their moving averages strong; what is not finite is left out, and rare spikes leave the
    frame, so that one doesn't flatten the rest. The PNG has an alt text ("Description").
    Raises DataError (a loss has no finite number in the log), SettingError (a name that is not .png), FileError.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    if path is not None:
        check_suffix(path, ".png")
    goals = [goal for goal in GOALS if any(goal.key in entry for entry in log)]
    figure = Figure(figsize=(8, 4 + 2.5 * len(goals)), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1 + len(goals), sharex=True, squeeze=False)[:, 0]
    figure.suptitle(title, fontsize=14)
    ends = _draw_losses(panels[0], log)
    for panel, goal in zip(panels[1:], goals, strict=True):
        ends += _draw_goal(panel, log, goal)
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


def _draw_goal(axes: "Axes", log: Sequence[Mapping[str, Any]], goal: Goal) -> str:
    """The number and, dashed, where it would be if G were perfect."""
    steps, values = _series(log, goal.key)
    end = _draw_series(axes, steps, values, goal.color, "-")
    side = "bottom" if end[1] <= goal.value else "top"  # the text lies on the other side of the dashed line
    axes.axhline(goal.value, color="black", linestyle="--", linewidth=1.2, zorder=4)
    axes.annotate(
        goal.text,
        xy=(0.01, goal.value),
        xycoords=("axes fraction", "data"),
        xytext=(0, 5 if side == "bottom" else -5),
        textcoords="offset points",
        verticalalignment=side,
        fontsize=11,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 1},
    )
    _label_end(axes, end, goal.label, goal.color, "top" if side == "bottom" else "bottom")
    _frame(axes, goal.label, [*_usual(values), end[1], goal.value])
    return f", {goal.label} {end[1]:.3g} (equilibrium {goal.value:.4g})".replace("-", "−")


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
