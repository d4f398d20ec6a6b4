"""Penalties on a discriminator's slope: against closed forms, and their gradient with respect to its weights."""

import numpy as np
import pytest

from tinygan import Tensor, grad, gradcheck, nn, ops
from tinygan.errors import SettingError, ShapeError
from tinygan.penalties import dragan_penalty, gradient_penalty, r1_penalty, slope

SHAPE = (3, 4, 4, 2)  # (N, H, W, C)
PENALTIES = {
    "gradient penalty": lambda d, x, y, rng: gradient_penalty(d, x, y, rng),
    "R1": lambda d, x, y, rng: r1_penalty(d, x),
    "DRAGAN": lambda d, x, y, rng: dragan_penalty(d, x, rng),
}


def images(seed):
    return Tensor(np.random.default_rng(seed).standard_normal(SHAPE))


def convolutional_critic(conv, dense):
    """Its derivatives of any order exist, and none is 0."""
    return lambda x: ops.tanh(ops.conv(x, conv, 2, 1)).reshape(x.shape[0], -1) @ dense


@pytest.mark.parametrize("name", PENALTIES)
def test_its_gradient_with_respect_to_the_weights(name):
    """gradcheck at 1e-6, to second order, of a derivative: the third derivatives of the critic."""
    rng = np.random.default_rng(1)
    weights = [Tensor(rng.standard_normal(shape)) for shape in ((3, 3, 2, 2), (8, 1))]

    def penalty(conv, dense):
        return PENALTIES[name](convolutional_critic(conv, dense), images(2), images(3), np.random.default_rng(4))

    gradcheck(penalty, weights)


def test_the_slope_is_over_all_features_and_of_each_example():
    x = images(5)
    expected = np.sqrt((9 * x.numpy() ** 4).sum((1, 2, 3)))  # of Σ x³
    got = slope(lambda x: (x**3).reshape(3, -1).sum(1), x)
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-12)


def test_where_the_critic_is_flat_the_gradient_is_finite():
    w = Tensor(np.zeros((2, 1)), requires_grad=True)
    penalty = gradient_penalty(lambda x: x @ w, Tensor(np.ones((4, 2))), Tensor(np.zeros((4, 2))))
    assert penalty.item() == pytest.approx(1, abs=1e-5)
    assert np.isfinite(grad(penalty, w)[0].numpy()).all()


def test_points_lie_between_real_and_fake_one_factor_an_example():
    """Real at 1, fake at 0: x̂ = ε, in all features alike, another for each example."""
    seen = []

    def critic(x):
        seen.append(x.numpy())
        return x.reshape(50, -1).sum(1)

    gradient_penalty(critic, Tensor(np.ones((50, 2, 2, 1))), Tensor(np.zeros((50, 2, 2, 1))), np.random.default_rng(0))
    epsilon = seen[0].reshape(50, 4)
    assert (epsilon == epsilon[:, :1]).all() and len(np.unique(epsilon)) == 50
    assert 0 < epsilon.min() < 0.1 < 0.9 < epsilon.max() < 1
    assert epsilon.mean() == pytest.approx(0.5, abs=0.15)


def test_real_and_fake_alone_are_constants():
    """The penalty sends no gradient into G."""
    w, fake = (Tensor(np.ones(shape), requires_grad=True) for shape in ((2, 1), (3, 2)))
    penalty = gradient_penalty(lambda x: x @ w, Tensor(np.zeros((3, 2))), fake)
    assert not grad(penalty, fake)[0].numpy().any()


def test_dragan_looks_around_the_data_half_a_deviation_wide():
    seen = []

    def critic(x):
        seen.append(x.numpy())
        return x.sum(1)

    real = np.random.default_rng(0).normal(3, 2, (500, 20))
    dragan_penalty(critic, Tensor(real), np.random.default_rng(1))
    assert (seen[0] - real).std() == pytest.approx(1, rel=0.03)


def test_float32_stays():
    x = Tensor(np.ones((3, 2), np.float32))
    w = Tensor(np.ones((2, 1), np.float32), requires_grad=True)
    for penalty in PENALTIES.values():
        assert penalty(lambda x: x @ w, x, x, None).dtype == "float32"


def test_refusals():
    critic = nn.Sequential(nn.Dense(2, 4), nn.BatchNorm(4), nn.Dense(4, 1))
    x = Tensor(np.ones((3, 2), np.float32))
    with pytest.raises(SettingError, match=r"critic has a BatchNorm, which mixes examples.*use LayerNorm"):
        gradient_penalty(critic, x, x)
    with pytest.raises(ShapeError, match=r"real has shape \(3, 2\), fake \(2, 2\); the same is expected"):
        gradient_penalty(critic, x, Tensor(np.ones((2, 2), np.float32)))
