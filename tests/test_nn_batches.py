"""Layers that look at several examples at a time: what they compute, derivatives, refusals."""

import numpy as np
import pytest

from tinygan import Tensor, gradcheck, nn
from tinygan.errors import SettingError, ShapeError
from tinygan.nn.batches import ONE_BY_ONE, one_by_one


def numbers(*shape):
    return np.random.default_rng(0).standard_normal(shape)


def test_a_pack_puts_examples_side_by_side_as_channels():
    x = numbers(6, 4, 5, 2)
    y = nn.Pack(3)(Tensor(x)).numpy()
    assert y.shape == (2, 4, 5, 6)
    for pack in range(2):
        for place in range(3):
            assert np.array_equal(y[pack, ..., 2 * place : 2 * place + 2], x[3 * pack + place])
    vectors = nn.Pack(2)(Tensor(numbers(4, 3))).numpy()
    assert np.array_equal(vectors, numbers(4, 3).reshape(2, 6))
    assert np.array_equal(nn.Pack(1)(Tensor(x)).numpy(), x)


@pytest.mark.parametrize("group", [None, 2])
@pytest.mark.parametrize("shape", [(4, 3), (4, 2, 3, 2)])
def test_minibatch_stddev_is_one_number_a_group(shape, group):
    x = numbers(*shape)
    y = nn.MinibatchStdDev(group)(Tensor(x)).numpy()
    assert y.shape == (*shape[:-1], shape[-1] + 1)
    assert np.array_equal(y[..., :-1], x)
    size = group or 4
    for start in range(0, 4, size):
        expected = np.sqrt(x[start : start + size].var(axis=0) + 1e-8).mean()
        np.testing.assert_allclose(y[start : start + size, ..., -1], expected, rtol=1e-12)


def test_a_collapsed_batch_shows():
    alike = np.repeat(numbers(1, 2, 2, 1), 4, axis=0)
    assert nn.MinibatchStdDev()(Tensor(alike)).numpy()[..., -1].max() == pytest.approx(1e-4)


@pytest.mark.parametrize("layer", [nn.Pack(2), nn.MinibatchStdDev(), nn.MinibatchStdDev(2)], ids=repr)
@pytest.mark.parametrize("shape", [(4, 3), (4, 2, 3, 2)])
def test_derivatives(layer, shape):
    gradcheck(layer, [Tensor(numbers(*shape))])


def test_refusals():
    with pytest.raises(ShapeError, match=r"Pack\(3\) takes x \(N, …, C\) with N a multiple of 3, got \(4, 2\)"):
        nn.Pack(3)(Tensor(numbers(4, 2)))
    with pytest.raises(ShapeError, match=r"MinibatchStdDev\(3\) takes x .* multiple of 3, got \(4, 2\)"):
        nn.MinibatchStdDev(3)(Tensor(numbers(4, 2)))
    for make in (nn.Pack, nn.MinibatchStdDev):
        with pytest.raises(SettingError, match="a whole number of at least 1"):
            make(0)


def test_which_networks_treat_their_examples_one_by_one():
    """Those of known layers that do; a user's own, which may do anything, are not taken for such."""

    class Own(nn.Sequential):
        pass

    inside = [nn.Conv(1, 2, 3), nn.LayerNorm(2), nn.LeakyReLU(), nn.Dropout(0.1), nn.Flatten()]
    assert one_by_one(nn.Sequential(*inside, nn.Sequential(nn.Dense(8, 1))))
    for other in (Own(*inside), nn.BatchNorm(2), nn.ConditionalBatchNorm(2, 3), nn.Pack(2), nn.MinibatchStdDev()):
        assert not one_by_one(nn.Sequential(*inside, nn.Sequential(other)))


@pytest.mark.parametrize("layer", sorted(ONE_BY_ONE - {nn.Sequential}, key=lambda kind: kind.__name__))
def test_those_layers_do(layer):
    """To rounding: a batch in other company gives the same."""
    labels = np.array([0, 2, 1, 2])
    settings = {
        nn.Conv: (2, 3, 3), nn.ConvTranspose: (2, 3, 3), nn.Dense: (2, 3), nn.Dropout: (0.0,), nn.Embedding: (3, 2),
        nn.JoinLabels: (3, (5, 5)), nn.LayerNorm: (2,), nn.Projection: (2, 3), nn.Reshape: (50,),
    }  # fmt: skip
    module = layer(*settings.get(layer, ()))
    x = labels if layer is nn.Embedding else numbers(4, 2) if layer is nn.Projection else numbers(4, 5, 5, 2)
    x = Tensor(x if layer is nn.Embedding else x.astype(np.float32))
    told = (labels,) if module.takes_labels else ()
    whole, alone = module(x, *told).numpy(), module(x[1:2], *(t[1:2] for t in told)).numpy()
    np.testing.assert_allclose(whole[1:2], alone, rtol=1e-5, atol=1e-6)
