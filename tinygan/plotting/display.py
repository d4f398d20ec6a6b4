"""A figure, a grid of images or a film as the output of a notebook's cell, with alternative text."""

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .images import save_film, save_grid

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def new_figure(width: float = 7.0, height: float = 3.2) -> "Figure":
    """A figure of width × height inches, apart from pyplot: nothing draws it twice, and nothing has to close it."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def show(figure: "Figure", alt: str) -> None:
    """Show a figure as the output of a notebook's cell; `alt` says in words what is to be seen in it."""
    with io.BytesIO() as file:
        figure.savefig(file, format="png")
        _display(file.getvalue(), "png", alt)


def show_images(images: np.ndarray, alt: str, columns: int | None = None, scale: int = 2) -> None:
    """Show a `sample_grid` of images, (N, H, W, C) in [−1, 1], each pixel as a sharp square of `scale` × `scale`."""
    _display(_written("grid.png", lambda path: save_grid(images, path, columns, scale, alt)), "png", alt)


def show_film(grids: Sequence[np.ndarray], alt: str, seconds: float = 6.0, scale: int = 1) -> None:
    """Show uint8 pictures, as `sample_grid` makes them, as a GIF: `seconds` of film, over and over."""
    _display(_written("film.gif", lambda path: save_film(grids, path, seconds, scale, alt)), "gif", alt)


def _written(name: str, write: Callable[[Path], None]) -> bytes:
    """What `write` puts into a file of that name."""
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        path = Path(folder, name)
        write(path)
        return path.read_bytes()


def _display(picture: bytes, format: str, alt: str) -> None:
    from IPython.display import Image, display

    display(Image(picture, format=format, alt=alt))  # type: ignore[no-untyped-call]
