"""Pictures of a report: a set of images and a figure as PNGs in memory, and the classes' shares as bars."""

import io
from typing import TYPE_CHECKING

import numpy as np

from .display import new_figure
from .images import sample_grid
from .style import BLUE, VERMILLION

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def grid_png(images: np.ndarray, columns: int | None = None) -> bytes:
    """`sample_grid(images, columns)` as a PNG, a pixel each: whoever shows it enlarges it."""
    from PIL import Image

    with io.BytesIO() as file:
        Image.fromarray(sample_grid(images, columns)).save(file, format="PNG", optimize=True)
        return file.getvalue()


def figure_png(figure: "Figure") -> bytes:
    """A figure as a PNG."""
    with io.BytesIO() as file:
        figure.savefig(file, format="png")
        return file.getvalue()


def class_bars(shares: np.ndarray, floor: np.ndarray) -> "Figure":
    """The share of each class, (C,), as bars; as lines those of real images, dashed that of classes all equal."""
    figure = new_figure(7.0, 3.2)
    axes = figure.subplots()
    places = np.arange(len(shares))
    axes.bar(places, 100 * shares, color=BLUE, label="samples")
    axes.hlines(100 * floor, places - 0.4, places + 0.4, color=VERMILLION, linewidth=2.5, label="real images")
    axes.axhline(100 / len(shares), color="black", linestyle="--", linewidth=1, label="all equal")
    axes.set_xticks(places)
    axes.set_xlabel("class, as the classifier reads it")
    axes.set_ylabel("% of the images")
    axes.set_ylim(0, 1.25 * 100 * max(shares.max(), floor.max()))
    axes.legend(ncols=3, frameon=False, loc="upper center")
    axes.spines[["top", "right"]].set_visible(False)
    return figure
