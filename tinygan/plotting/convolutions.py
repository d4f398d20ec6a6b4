"""What im2col does, as a picture: which pixel goes to which cell of the matrix."""

from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import SettingError, ShapeError
from .display import new_figure
from .style import BLUE, VERMILLION

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = np.ndarray[Any, Any]


def im2col_picture(
    image: Array,
    kernel: tuple[int, int] = (3, 3),
    stride: int = 1,
    padding: int = 0,
    pixel: tuple[int, int] | None = None,
) -> "Figure":
    """An image of numbers (H, W), and beside it its im2col matrix: one patch a row, one place of the kernel a column.

    Every cell shows its number and the shade that the number has in both panels; the zeros of the padding are hatched.
    The first patch is framed by a solid line, the last by a dashed one, in the image as in the matrix; `pixel`, a row
    and a column of the image, is ringed wherever it goes.
    Raises ShapeError where image is not (H, W) or smaller than the kernel, SettingError for numbers out of range.
    """
    image = np.asarray(image)
    if image.ndim != 2:
        raise ShapeError(f"im2col_picture: image has shape {image.shape}, expected (H, W): numbers without channels")
    if min(*kernel, stride) < 1 or padding < 0:
        raise SettingError(f"im2col_picture: kernel={kernel} and stride={stride} are at least 1, padding={padding} ≥ 0")
    if pixel is not None and not (0 <= pixel[0] < image.shape[0] and 0 <= pixel[1] < image.shape[1]):
        raise SettingError(f"im2col_picture: pixel={pixel}, expected a row and a column of an image {image.shape}")
    kh, kw = kernel
    height, width = (side + 2 * padding for side in image.shape)
    rows, cols = (height - kh) // stride + 1, (width - kw) // stride + 1
    if min(rows, cols) < 1:
        raise ShapeError(f"im2col_picture: a kernel {kernel} is larger than the image with padding, {(height, width)}")
    padded = np.pad(image.astype(np.float64), padding, constant_values=np.nan)
    chosen = np.zeros(padded.shape, bool)
    if pixel is not None:
        chosen[pixel[0] + padding, pixel[1] + padding] = True
    corners = [(i * stride, j * stride) for i in range(rows) for j in range(cols)]

    def as_matrix(cells: Array) -> Array:
        return np.array([cells[i : i + kh, j : j + kw].ravel() for i, j in corners])

    cell = min(0.4, 6.0 / (width + kh * kw))  # inches
    figure = new_figure(max(7.0, (width + kh * kw) * cell + 2.0), max(2.6, max(height, len(corners)) * cell + 1.1))
    left, right = figure.subplots(1, 2, width_ratios=(width, kh * kw))
    low, high = float(image.min()), float(image.max())
    _draw_cells(left, padded, chosen, low, high)
    _draw_cells(right, as_matrix(padded), as_matrix(chosen), low, high)
    around = f", padded by {padding}" if padding else ""
    left.set_title(f"the image, {image.shape[0]}×{image.shape[1]}{around}", fontsize=12)
    right.set_title(f"its im2col matrix, {len(corners)}×{kh * kw}", fontsize=12)
    right.set_yticks(range(len(corners)), [f"{i},{j}" for i in range(rows) for j in range(cols)])
    right.set_xticks(range(kh * kw), [f"{a},{b}" for a in range(kh) for b in range(kw)])
    right.set_ylabel("patch (i, j)", fontsize=11)
    right.set_xlabel("place (a, b) in the kernel", fontsize=11)
    left.set_xticks([])
    left.set_yticks([])
    last = len(corners) - 1
    for n, color, style in ((0, BLUE, "-"), (last, VERMILLION, "--")):
        _frame(left, corners[n], (kh, kw), color, style)
        _frame(right, (n, 0), (1, kh * kw), color, style)
    return figure


def _draw_cells(axes: "Axes", cells: Array, ringed: Array, low: float, high: float) -> None:
    """Each cell as a square with its number, dark on light or light on dark; NaN is the padding: 0, hatched."""
    from matplotlib.patches import Circle

    axes.imshow(cells, cmap="cividis", vmin=low, vmax=high, aspect="equal")
    for (i, j), value in np.ndenumerate(cells):
        if np.isnan(value):
            _hatch(axes, i, j)
        dark = not np.isnan(value) and value < (low + high) / 2
        text = "0" if np.isnan(value) else f"{value:.3g}"
        axes.text(j, i, text, ha="center", va="center", fontsize=10, color="white" if dark else "black")
    for i, j in np.argwhere(ringed):
        axes.add_patch(Circle((j, i), 0.42, fill=False, edgecolor="black", linewidth=3.5))
        axes.add_patch(Circle((j, i), 0.42, fill=False, edgecolor="white", linewidth=1.5))
    axes.set_xticks(np.arange(cells.shape[1] + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(cells.shape[0] + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=1)
    axes.tick_params(which="both", length=0, labelsize=10)
    axes.spines[:].set_visible(False)


def _hatch(axes: "Axes", i: int, j: int) -> None:
    from matplotlib.patches import Rectangle

    axes.add_patch(Rectangle((j - 0.5, i - 0.5), 1, 1, facecolor="#eeeeee", edgecolor="#bbbbbb", hatch="///", lw=0))


def _frame(axes: "Axes", corner: tuple[int, int], size: tuple[int, int], color: str, style: str) -> None:
    from matplotlib.patches import Rectangle

    (i, j), (height, width) = corner, size
    place = (j - 0.5, i - 0.5)
    axes.add_patch(Rectangle(place, width, height, fill=False, edgecolor="white", linewidth=4.5, clip_on=False))
    axes.add_patch(
        Rectangle(place, width, height, fill=False, edgecolor=color, linewidth=2.5, linestyle=style, clip_on=False)
    )
