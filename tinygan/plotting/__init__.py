"""Pictures: grids of samples, films of them, the losses' curves, and what the lessons draw.

Matplotlib and Pillow are loaded when a picture is drawn, not before. Nothing global is touched: figures are made
without pyplot, so a notebook keeps its backend.
"""

from .convolutions import im2col_picture
from .curves import loss_curves
from .densities import densities
from .display import new_figure, show, show_film, show_images
from .graphs import computation_graph
from .images import sample_grid, save_film, save_grid, to_uint8
from .listings import side_by_side
from .surfaces import Snapshot, decision_film, decision_grid, decision_surfaces, samples_over_time

__all__ = [
    "Snapshot",
    "computation_graph",
    "decision_film",
    "decision_grid",
    "decision_surfaces",
    "densities",
    "im2col_picture",
    "loss_curves",
    "new_figure",
    "sample_grid",
    "samples_over_time",
    "save_film",
    "save_grid",
    "show",
    "show_film",
    "show_images",
    "side_by_side",
    "to_uint8",
]
