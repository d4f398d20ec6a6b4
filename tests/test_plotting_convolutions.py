"""The im2col picture: the numbers it shows are those of im2col."""

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from tinygan.errors import SettingError, ShapeError
from tinygan.kernels.plain_kernels import im2col
from tinygan.plotting import im2col_picture

IMAGE = np.arange(1, 31).reshape(5, 6)


def numbers(axes):
    """The numbers written into the cells of a panel, row by row."""
    rows, cols = axes.images[0].get_array().shape
    return np.array([float(text.get_text()) for text in axes.texts]).reshape(rows, cols)


@pytest.mark.parametrize(("kernel", "stride", "padding"), [((3, 3), 1, 0), ((2, 3), 2, 0), ((3, 2), 2, 1)])
def test_shows_the_matrix_of_im2col(kernel, stride, padding):
    pad = ((padding, padding),) * 2
    columns = im2col(IMAGE[None, :, :, None], kernel, (stride, stride), pad)
    left, right = im2col_picture(IMAGE, kernel, stride, padding).axes
    np.testing.assert_array_equal(numbers(left), np.pad(IMAGE, padding))
    np.testing.assert_array_equal(numbers(right), columns.reshape(-1, kernel[0] * kernel[1]))
    assert len(right.get_yticklabels()) == columns.shape[1] * columns.shape[2]


def test_frames_the_first_and_the_last_patch_in_both_panels():
    left, right = im2col_picture(IMAGE, (2, 3), stride=2).axes
    last = {(patch.get_xy(), patch.get_linestyle()) for patch in left.patches if patch.get_linewidth() == 2.5}
    assert last == {((-0.5, -0.5), "-"), ((1.5, 1.5), "--")}
    rows = {(patch.get_xy()[1], patch.get_linestyle()) for patch in right.patches if patch.get_linewidth() == 2.5}
    assert rows == {(-0.5, "-"), (2.5 + 0.0, "--")}


def test_rings_a_pixel_wherever_it_goes():
    left, right = im2col_picture(IMAGE, (3, 3), padding=1, pixel=(2, 3)).axes
    assert len(left.patches) - len(im2col_picture(IMAGE, (3, 3), padding=1).axes[0].patches) == 2
    rings = [patch for patch in right.patches if hasattr(patch, "get_radius") and patch.get_linewidth() == 1.5]
    cells = numbers(right)
    assert len(rings) == (cells == IMAGE[2, 3]).sum() == 9
    assert all(cells[round(ring.center[1]), round(ring.center[0])] == IMAGE[2, 3] for ring in rings)


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"image": IMAGE[None]}, ShapeError, r"shape \(1, 5, 6\), expected \(H, W\)"),
        ({"kernel": (6, 6)}, ShapeError, r"kernel \(6, 6\) is larger"),
        ({"stride": 0}, SettingError, "stride=0"),
        ({"padding": -1}, SettingError, "padding=-1"),
        ({"pixel": (5, 0)}, SettingError, r"pixel=\(5, 0\)"),
    ],
)
def test_refuses(changes, error, words):
    with pytest.raises(error, match=words):
        im2col_picture(**{"image": IMAGE, **changes})
