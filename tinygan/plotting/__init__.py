"""Pictures: grids of samples, films of them, the losses' curves, and what the lessons draw.

Matplotlib and Pillow are loaded when a picture is drawn, not before. Nothing global is touched: figures are made
without pyplot, so a notebook keeps its backend.
"""

from .curves import loss_curves
from .display import new_figure, show
from .images import sample_grid, save_film, save_grid, to_uint8

__all__ = ["loss_curves", "new_figure", "sample_grid", "save_film", "save_grid", "show", "to_uint8"]
