"""Maps of a discriminator: the right answers in the right places, readable without colour, nobody changed."""

import numpy as np
import pytest

from tinygan import nn, plotting
from tinygan.errors import DataError, ShapeError

pytest.importorskip("matplotlib")
RNG = np.random.default_rng(0)


def leaning(*weights):
    """D(x) = σ(weights · x)."""
    D = nn.Sequential(nn.Dense(len(weights), 1, rng=RNG))
    D.layers[0].weight.assign(np.array(weights, np.float32)[:, None])
    return D


def snapshot(title="step 0", surface=True):
    fake = RNG.standard_normal((20, 2))
    return plotting.Snapshot(title, fake, plotting.decision_grid(leaning(1, 0), (-3, 3), 10) if surface else None)


def texts(figure):
    figure.canvas.draw()
    for axes in figure.axes:
        yield from (axes.title, axes.xaxis.label, axes.yaxis.label, *axes.texts)
        yield from (*axes.get_xticklabels(), *axes.get_yticklabels())


def test_the_grid_is_the_sigmoid_of_the_logits():
    line = np.linspace(-3, 2, 7)
    grid = plotting.decision_grid(leaning(1, 10), (-3, 2), 7)
    np.testing.assert_allclose(grid, 1 / (1 + np.exp(-(line[None, :] + 10 * line[:, None]))), rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(
        plotting.decision_grid(leaning(2), (-3, 2), 7, dimensions=1), 1 / (1 + np.exp(-2 * line)), rtol=1e-5
    )


def test_extreme_logits_stay_probabilities():
    grid = plotting.decision_grid(leaning(1e6, 0), (-3, 3), 4)
    assert (np.unique(grid) == [0, 1]).all()


def test_the_discriminator_is_left_as_it_is():
    D = nn.Sequential(nn.Dense(2, 4, spectral_norm=True, rng=RNG), nn.BatchNorm(4), nn.Dense(4, 1, rng=RNG))
    before = D.state_dict()
    plotting.decision_grid(D, (-1, 1), 5)
    for name, array in D.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
    assert D.training


def test_a_map_for_each_snapshot():
    real = RNG.standard_normal((30, 2))
    figure = plotting.decision_surfaces([snapshot(f"step {i}") for i in range(4)], real, columns=3)
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title() for axes in shown] == ["step 0", "step 1", "step 2", "step 3"]
    for axes in shown:
        rings, crosses = axes.get_lines()
        np.testing.assert_array_equal(rings.get_xydata(), real)
        assert (rings.get_marker(), crosses.get_marker()) == ("o", "x")  # told apart without colour
        assert axes.get_xlim() == axes.get_ylim() == (-3, 3)
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["real (rings)", "fake (crosses)"]


def test_without_a_surface_nothing_is_shaded():
    real = RNG.standard_normal((30, 2))
    plain, shaded = (plotting.decision_surfaces([snapshot(surface=s)], real).axes[0] for s in (False, True))
    assert not plain.collections
    assert len(shaded.collections) == 2  # the shades and the line D = ½


def test_fakes_over_time():
    steps, fake, real = [0, 10, 20], RNG.standard_normal((3, 15)), 2 + RNG.standard_normal(50)
    surfaces = np.stack([plotting.decision_grid(leaning(1), (-3, 3), 12, dimensions=1)] * 3)
    axes, edge = plotting.samples_over_time(steps, fake, real, surfaces).axes
    dots, middle, *bounds = axes.get_lines()
    np.testing.assert_array_equal(dots.get_xydata(), np.stack([np.repeat(steps, 15), fake.ravel()], axis=1))
    assert middle.get_ydata()[0] == pytest.approx(real.mean())
    assert [line.get_ydata()[0] for line in bounds] == pytest.approx([real.mean() + k * real.std() for k in (-2, 2)])
    assert middle.get_linestyle() != bounds[0].get_linestyle()
    np.testing.assert_array_equal(edge.get_lines()[0].get_ydata(), real)


def test_a_film_is_made_of_pictures_of_one_size():
    frames = plotting.decision_film([snapshot(f"step {i}") for i in range(3)], RNG.standard_normal((30, 2)))
    assert {(frame.dtype.name, frame.shape) for frame in frames} == {("uint8", frames[0].shape)}
    assert frames[0].shape[2] == 3
    assert (frames[0] != frames[1]).any()


def test_all_letters_are_legible():
    real = RNG.standard_normal((30, 2))
    for figure in (
        plotting.decision_surfaces([snapshot() for _ in range(5)], real, columns=5),
        plotting.samples_over_time([0, 1], RNG.standard_normal((2, 5)), real[:, 0]),
    ):
        assert min(text.get_fontsize() for text in texts(figure)) >= 10


def test_what_does_not_fit_is_refused():
    real = RNG.standard_normal((30, 2))
    with pytest.raises(DataError, match="no snapshots"):
        plotting.decision_surfaces([], real)
    with pytest.raises(ShapeError, match=r"\(30, 3\); \(N, 2\)"):
        plotting.decision_surfaces([snapshot()], np.zeros((30, 3)))
    with pytest.raises(ShapeError, match=r"\(2,\); \(N, 2\)"):
        plotting.decision_film([plotting.Snapshot("", np.zeros(2))], real)
    with pytest.raises(ShapeError, match=r"3 steps, fake \(2, 5\)"):
        plotting.samples_over_time([0, 1, 2], np.zeros((2, 5)), np.zeros(4))
