"""BatchNorm: closed forms in training and evaluation, running statistics, derivatives."""

import numpy as np
import pytest

from tinygan import Tensor, gradcheck, nn
from tinygan.errors import SettingError, ShapeError
from tinygan.threads import set_threads

RNG = np.random.default_rng


def batch(shape=(5, 3, 2, 4), seed=0):
    return 3 * RNG(seed).standard_normal(shape) + RNG(seed + 1).uniform(-2, 2, shape[-1])


def norm64(features=4):
    norm = nn.BatchNorm(features).to("float64")
    norm.gamma.assign(RNG(5).uniform(0.5, 2, features))
    norm.beta.assign(RNG(6).standard_normal(features))
    return norm


def test_start():
    state = nn.BatchNorm(3).state_dict()
    assert list(state) == ["gamma", "beta", "running_mean", "running_variance"]
    assert [set(a.tolist()) for a in state.values()] == [{1.0}, {0.0}, {0.0}, {1.0}]
    assert {a.dtype for a in state.values()} == {np.dtype(np.float32)}


@pytest.mark.parametrize("shape", [(5, 4), (5, 3, 4), (5, 3, 2, 4), (2, 1, 1, 4)])
def test_training_normalises_by_the_biased_variance_and_keeps_the_unbiased(shape):
    norm, x = norm64(), batch(shape)
    norm.running_mean.assign([1.0, 2.0, 3.0, 4.0])
    norm.running_variance.assign([5.0, 6.0, 7.0, 8.0])
    rows = x.reshape(-1, 4)
    expected = norm.gamma.numpy() * (x - rows.mean(0)) / np.sqrt(rows.var(0) + 1e-5) + norm.beta.numpy()
    np.testing.assert_allclose(norm(Tensor(x)).numpy(), expected, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(norm.running_mean.numpy(), 0.9 * np.array([1, 2, 3, 4]) + 0.1 * rows.mean(0), rtol=1e-12)
    variance = 0.9 * np.array([5, 6, 7, 8]) + 0.1 * rows.var(0, ddof=1)
    np.testing.assert_allclose(norm.running_variance.numpy(), variance, rtol=1e-12)


def test_eps_counts_where_the_variance_is_small():
    norm = nn.BatchNorm(1).to("float64")
    x = np.array([[0.0], [1e-3]])  # variance 2.5e-7, far below eps = 1e-5
    y = norm(Tensor(x)).numpy()
    np.testing.assert_allclose(y, (x - 5e-4) / np.sqrt(2.5e-7 + 1e-5), rtol=1e-9)


def test_evaluation_uses_the_running_statistics_and_leaves_them():
    norm, x = norm64(), batch()
    norm.running_mean.assign([1.0, 2.0, 3.0, 4.0])
    norm.running_variance.assign([5.0, 6.0, 7.0, 8.0])
    before = {name: a.tobytes() for name, a in norm.state_dict().items()}
    expected = norm.gamma.numpy() * (x - [1, 2, 3, 4]) / np.sqrt(np.array([5, 6, 7, 8]) + 1e-5) + norm.beta.numpy()
    np.testing.assert_allclose(norm.eval()(Tensor(x)).numpy(), expected, rtol=1e-12)
    assert {name: a.tobytes() for name, a in norm.state_dict().items()} == before
    assert norm(Tensor(x[:1, :1, :1])).shape == (1, 1, 1, 4)  # one value a feature is fine here


def test_the_running_statistics_approach_those_of_the_data():
    norm = nn.BatchNorm(2)
    for i in range(200):
        norm(Tensor((RNG(i).standard_normal((64, 2)) * [2, 0.5] + [3, -1]).astype(np.float32)))
    np.testing.assert_allclose(norm.running_mean.numpy(), [3, -1], atol=0.3)
    np.testing.assert_allclose(norm.running_variance.numpy(), [4, 0.25], rtol=0.2)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", [(5, 3), (2, 2, 2, 3)])
def test_derivatives(training, shape):
    norm = norm64(3).train(training)
    norm.running_mean.assign([0.5, -0.5, 0.0])
    norm.running_variance.assign([0.5, 1.5, 2.0])

    def f(x, gamma, beta):
        norm.gamma, norm.beta = gamma, beta
        return norm(x)

    gradcheck(f, [Tensor(batch(shape)), *map(Tensor, (norm.gamma.numpy(), norm.beta.numpy()))], order=2)


@pytest.mark.parametrize("training", [True, False])
def test_float32_stays_float32(training):
    norm = nn.BatchNorm(4).train(training)
    x = Tensor(batch().astype(np.float32), requires_grad=True)
    y = norm(x)
    (y * y).sum().backward()
    assert {y.dtype, x.grad.dtype, norm.gamma.grad.dtype, norm.beta.grad.dtype} == {np.dtype(np.float32)}
    assert {a.dtype for a in norm.state_dict().values()} == {np.dtype(np.float32)}


def test_frozen_uses_the_batch_but_keeps_nothing():
    one, two = norm64(), norm64()
    x = Tensor(batch())
    with nn.frozen():
        frozen = one(x).numpy()
    assert frozen.tobytes() == two(x).numpy().tobytes()
    assert not one.running_mean.numpy().any()
    assert two.running_mean.numpy().any()


def test_running_statistics_are_the_same_bytes_for_any_number_of_threads():
    x = Tensor(batch((3000, 64)).astype(np.float32))
    results = []
    try:
        for count in (1, 2, 3):
            set_threads(count)
            norm = nn.BatchNorm(64)
            results.append([norm(x).numpy().tobytes(), *(a.tobytes() for a in norm.state_dict().values())])
    finally:
        set_threads(None)
    assert results[0] == results[1] == results[2]


@pytest.mark.parametrize(
    ("shape", "training", "message"),
    [
        ((1, 3), True, r"shape \(1, 3\) has 1 value a feature, .*\.eval\(\)"),
        ((1, 1, 1, 3), True, r"shape \(1, 1, 1, 3\) has 1 value"),
        ((4, 2), True, r"x \(…, C\) = \(4, 2\) needs gamma and beta \(C,\); they are \(3,\)"),
        ((3,), True, r"\(3,\)"),
        ((4, 2), False, r"BatchNorm\(3\) takes x \(…, 3\), got \(4, 2\)"),
        ((4, 1), False, r"got \(4, 1\)"),  # it would broadcast
    ],
)
def test_shapes_that_dont_fit(shape, training, message):
    norm = nn.BatchNorm(3).train(training)
    with pytest.raises(ShapeError, match=message):
        norm(np.zeros(shape, np.float32))
    assert not norm.running_mean.numpy().any()


@pytest.mark.parametrize("features", [0, -2, 1.5, (3,)])
def test_features_must_be_a_whole_number(features):
    with pytest.raises(SettingError, match="BatchNorm: features="):
        nn.BatchNorm(features)


# ---------------------------------------------------------------- each example by itself


@pytest.mark.parametrize("shape", [(4,), (3, 4), (2, 3, 4)])
def test_layer_norm_is_over_the_last_axes_of_each_example(shape):
    layer = nn.LayerNorm(*shape).to("float64")
    rng = np.random.default_rng(0)
    gamma, beta = rng.standard_normal(shape), rng.standard_normal(shape)
    layer.gamma.assign(gamma)
    layer.beta.assign(beta)
    x = rng.normal(5, 3, (5, 2, 3, 4))
    axes = tuple(range(4 - len(shape), 4))
    expected = gamma * (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + 1e-5) + beta
    for training in (True, False):
        np.testing.assert_allclose(layer.train(training)(Tensor(x)).numpy(), expected, rtol=1e-10, atol=1e-12)
    one = layer(Tensor(x[:1])).numpy()
    np.testing.assert_allclose(one[0], expected[0], rtol=1e-10, atol=1e-12)  # the others don't matter


def test_layer_norm_derivatives():
    layer, rng = nn.LayerNorm(3, 4), np.random.default_rng(1)

    def run(x, gamma, beta):
        layer.gamma, layer.beta = gamma, beta
        return layer(x)

    gradcheck(run, [Tensor(rng.standard_normal(shape)) for shape in ((2, 3, 4), (3, 4), (3, 4))])


def test_layer_norm_refusals():
    layer = nn.LayerNorm(3, 4)
    for shape in ((5, 3, 5), (3, 4), (4,)):
        with pytest.raises(ShapeError, match=r"LayerNorm\(3, 4\) takes x \(N, …, 3, 4\), got \("):
            layer(Tensor(np.ones(shape, np.float32)))
    with pytest.raises(SettingError, match="the last axes of x are expected"):
        nn.LayerNorm()
    with pytest.raises(SettingError, match=r"LayerNorm: shape\[1\]=0"):
        nn.LayerNorm(3, 0)


def test_batch_norm_without_gamma_and_beta():
    layer = nn.BatchNorm(2, affine=False)
    assert layer.parameters() == [] and repr(layer) == "BatchNorm(2, no γ and β)"
    x = np.random.default_rng(0).normal(3, 2, (50, 2)).astype(np.float32)
    y = layer(Tensor(x, requires_grad=True)).numpy()
    np.testing.assert_allclose([y.mean(0), y.std(0)], [[0, 0], [1, 1]], atol=1e-3)
