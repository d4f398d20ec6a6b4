"""The picture of two densities under a discriminator: the right curves, and marks where they cross."""

import numpy as np
import pytest

from tinygan import plotting
from tinygan.errors import ShapeError

pytest.importorskip("matplotlib")
X = np.linspace(-4, 5, 901)


def normal(mean, std):
    return np.exp(-(((X - mean) / std) ** 2) / 2) / (std * np.sqrt(2 * np.pi))


def curve(axes, i):
    return axes.get_lines()[i].get_ydata()


def marks(axes):
    return [line.get_xdata()[0] for line in axes.get_lines() if line.get_linestyle() == ":"]


def test_the_best_discriminator_is_above_the_densities():
    p, q = normal(0, 1), normal(1.5, 0.5)
    above, below = plotting.densities(X, p, q).axes
    np.testing.assert_allclose(curve(above, 0), p / (p + q))
    np.testing.assert_array_equal(curve(below, 0), p)
    np.testing.assert_array_equal(curve(below, 1), q)
    assert "p / (p + q)" in above.get_ylabel()


def test_crossings_are_where_the_best_discriminator_says_one_half():
    p, q = normal(0, 1), normal(1.5, 0.5)
    above, below = plotting.densities(X, p, q).axes
    assert marks(above) == marks(below) and len(marks(above)) == 2
    np.testing.assert_allclose(np.interp(marks(above), X, p / (p + q)), 0.5, atol=1e-3)


def test_a_discriminator_can_be_given():
    d = np.full_like(X, 0.3)
    above, _ = plotting.densities(X, normal(0, 1), normal(1, 1), discriminator=d).axes
    np.testing.assert_array_equal(curve(above, 0), d)
    assert above.get_ylabel() == "D(x)"


def test_nothing_is_drawn_where_both_densities_are_zero():
    p = np.where(X < 0, 1.0, 0.0)
    above, _ = plotting.densities(X, p, np.zeros_like(X)).axes
    np.testing.assert_array_equal(curve(above, 0), np.where(X < 0, 1.0, np.nan))


@pytest.mark.parametrize("mean", [-2.0, 0.0, 0.1, 2.0])
def test_the_labels_do_not_meet(mean):
    figure = plotting.densities(X, normal(0, 1), normal(mean, 1))
    figure.draw_without_rendering()
    real, fake = (text.get_window_extent() for text in figure.axes[1].texts)
    assert not real.overlaps(fake)


@pytest.mark.parametrize("shapes", [(3, 3, 4), (1, 1, 1), ((2, 2), (2, 2), (2, 2)), (4, 3, 4)])
def test_shapes_that_differ_are_refused(shapes):
    with pytest.raises(ShapeError, match="expected \\(n,\\) alike"):
        plotting.densities(*(np.ones(shape) for shape in shapes))
