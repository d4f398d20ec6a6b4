"""A figure in a notebook, with alternative text."""

import io
from typing import TYPE_CHECKING

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
    from IPython.display import Image, display

    with io.BytesIO() as file:
        figure.savefig(file, format="png")
        display(Image(file.getvalue(), format="png", alt=alt))  # type: ignore[no-untyped-call]
