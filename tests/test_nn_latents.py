"""OneOf: which code the latents say, how often, and what is refused."""

import numpy as np
import pytest

from tinygan import Tensor, grad, nn
from tinygan.errors import SettingError, ShapeError


def test_the_largest_of_the_first_latents_says_which():
    z = np.array([[0.1, 2.0, -1.0, 0.5], [-3.0, -2.0, -2.5, 9.0]], np.float32)
    y = nn.OneOf(3, scale=4.0)(Tensor(z)).numpy()
    assert np.array_equal(y, np.array([[0, 4, 0, 0.5], [0, 4, 0, 9]], np.float32)) and y.dtype == np.float32


def test_each_code_is_drawn_equally_often():
    z = np.random.default_rng(0).standard_normal((50_000, 6))
    codes = nn.OneOf(5, scale=1.0)(Tensor(z)).numpy()[:, :5]
    assert (codes.sum(1) == 1).all() and codes.dtype == np.float64
    np.testing.assert_allclose(codes.mean(0), 0.2, atol=0.01)


def test_several_choices_are_independent():
    z = np.array([[0.1, 2.0, 3.0, -1.0, 7.0], [5.0, 2.0, -3.0, -1.0, 8.0]], np.float32)
    layer = nn.OneOf(2, scale=1.0, times=2)
    assert layer(Tensor(z)).numpy().tolist() == [[0, 1, 1, 0, 7], [1, 0, 0, 1, 8]]
    assert layer.describe() == "OneOf(2, 2 times)"
    with pytest.raises(ShapeError, match="F of at least 4"):
        layer(z[:, :3])


def test_gradients_flow_to_the_other_latents_alone():
    z = Tensor(np.random.default_rng(0).standard_normal((4, 5)), requires_grad=True)
    (g,) = grad((nn.OneOf(3)(z) ** 2).sum(), z)
    assert not g.numpy()[:, :3].any()
    np.testing.assert_allclose(g.numpy()[:, 3:], 2 * z.numpy()[:, 3:])


def test_refusals():
    with pytest.raises(ShapeError, match=r"OneOf\(3\) takes latents \(N, F\) with F of at least 3, got \(4, 2\)"):
        nn.OneOf(3)(np.ones((4, 2), np.float32))
    with pytest.raises(SettingError, match="OneOf: count=0"):
        nn.OneOf(0)
