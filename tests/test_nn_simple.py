"""Layers without weights: activations, dropout, changes of shape."""

import numpy as np
import pytest

from tinygan import Tensor, backend, nn
from tinygan.errors import SettingError, ShapeError

RNG = np.random.default_rng
X = np.float32([-2, -0.5, 0, 0.5, 3])


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (nn.ReLU(), [0, 0, 0, 0.5, 3]),
        (nn.LeakyReLU(), [-0.4, -0.1, 0, 0.5, 3]),
        (nn.LeakyReLU(0.3), [-0.6, -0.15, 0, 0.5, 3]),
        (nn.LeakyReLU(slope=2), [-4, -1, 0, 0.5, 3]),
        (nn.Tanh(), np.tanh(X)),
        (nn.Sigmoid(), 1 / (1 + np.exp(-X))),
        (nn.Softplus(), np.log1p(np.exp(X))),
    ],
    ids=str,
)
def test_activations(layer, expected):
    for training in (True, False):
        y = layer.train(training)(X)
        np.testing.assert_allclose(y.numpy(), expected, rtol=1e-6)
        assert y.dtype == np.float32
    assert not layer.parameters() and not layer.state_dict()


@pytest.mark.parametrize("slope", [0.2, 0.3, 2.0])
def test_leaky_relu_slopes_on_both_sides_and_at_zero(slope):
    x = Tensor(np.float32([-1, 0, 1]), requires_grad=True)
    nn.LeakyReLU(slope)(x).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), [slope, slope, 1], rtol=1e-6)


# ---------------------------------------------------------------- dropout


def test_dropout_zeroes_a_share_and_scales_the_rest():
    x = np.ones((400, 500), np.float32)
    y = nn.Dropout(0.3, RNG(0))(x).numpy()
    assert y.dtype == np.float32
    assert set(np.unique(y)) == {np.float32(0), np.float32(1 / 0.7)}
    assert (y == 0).mean() == pytest.approx(0.3, abs=4 * (0.21 / 2e5) ** 0.5)
    assert y.mean() == pytest.approx(1, abs=4 * (0.3 / 0.7 / 2e5) ** 0.5)


def test_dropouts_gradient_passes_where_the_number_passed():
    x = Tensor(np.ones((20, 20), np.float32), requires_grad=True)
    y = nn.Dropout(0.5, RNG(0))(x)
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), y.numpy())


def test_dropout_draws_anew_each_time_and_repeats_by_seed():
    def masks(layer):
        return [layer(np.ones(50, np.float32)).numpy().tobytes() for _ in range(2)]

    one = masks(nn.Dropout(0.5, RNG(1)))
    assert one[0] != one[1]
    assert masks(nn.Dropout(0.5, RNG(1))) == one
    assert masks(nn.Dropout(0.5, RNG(2)))[0] != one[0]
    backend.seed(7)
    default = masks(nn.Dropout(0.5))
    backend.seed(7)
    assert masks(nn.Dropout(0.5)) == default


def test_dropout_in_evaluation_changes_and_draws_nothing():
    rng = RNG(0)
    layer = nn.Dropout(0.9, rng).eval()
    state = rng.bit_generator.state
    x = Tensor(X)
    assert layer(x) is x
    assert rng.bit_generator.state == state


def test_dropout_of_nothing():
    np.testing.assert_array_equal(nn.Dropout(0, RNG(0))(X).numpy(), X)


@pytest.mark.parametrize("rate", [1, -0.1, 1.5, float("nan")])
def test_dropout_rates_that_are_none(rate):
    with pytest.raises(SettingError, match=r"Dropout: rate .*from 0 up to, but not including, 1"):
        nn.Dropout(rate)


def test_reseed_gives_each_layer_that_draws_a_stream_of_its_own():
    def masks(*key):
        net = nn.Sequential(nn.Dropout(0.5), nn.Sequential(nn.Dropout(0.5)))
        net.reseed(*key)
        outer, inner = net.layers[0], net.layers[1].layers[0]
        return [layer(np.ones(50, np.float32)).numpy().tobytes() for layer in (outer, inner)]

    one = masks(3, 1, 2)
    assert one[0] != one[1]
    assert masks(3, 1, 2) == one
    assert len({masks(*key)[0] for key in ((3, 1, 2), (4, 1, 2), (3, 2, 2), (3, 1, 3))}) == 4


# ---------------------------------------------------------------- shapes


def test_flatten_and_reshape_keep_the_order():
    x = np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2)
    np.testing.assert_array_equal(nn.Flatten()(x).numpy(), x.reshape(2, 12))
    np.testing.assert_array_equal(nn.Reshape(2, 6)(x).numpy(), x.reshape(2, 2, 6))
    np.testing.assert_array_equal(nn.Flatten()(np.zeros(3, np.float32)).numpy(), np.zeros((3, 1)))
    leaf = Tensor(x, requires_grad=True)
    (nn.Reshape(12)(leaf) * nn.Flatten()(leaf)).sum().backward()
    np.testing.assert_array_equal(leaf.grad.numpy(), 2 * x)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (nn.Reshape(7, 2), r"Reshape\(7, 2\): x \(2, 3, 4\) has 12 numbers an example"),
        (nn.Reshape(24), r"Reshape\(24\): x \(2, 3, 4\) has 12 numbers"),  # the batch axis stays
        (nn.Reshape(-1, 4), r"Reshape\(-1, 4\)"),
    ],
)
def test_reshape_refuses_what_does_not_fit(layer, message):
    with pytest.raises(ShapeError, match=message):
        layer(np.zeros((2, 3, 4), np.float32))
