"""Layers that take labels: closed forms, derivatives, refusals; and networks made of them."""

import numpy as np
import pytest

from tinygan import Tensor, gradcheck, nn, ops
from tinygan.errors import DataError, SettingError, ShapeError

RNG = np.random.default_rng
LABELS = np.array([2, 0, 2])

# name: a layer of three classes, and the shape of its x
LAYERS = {
    "join to vectors": (lambda: nn.JoinLabels(3, 4, rng=RNG(0)), (3, 2)),
    "join to images": (lambda: nn.JoinLabels(3, (2, 5), rng=RNG(0)), (3, 2, 5, 2)),
    "batch norm": (lambda: nn.ConditionalBatchNorm(2, 3), (3, 2, 5, 2)),
    "batch norm of vectors": (lambda: nn.ConditionalBatchNorm(2, 3), (3, 2)),
    "projection": (lambda: nn.Projection(4, 3, rng=RNG(0)), (3, 4)),
    "projection, spectral norm": (lambda: nn.Projection(4, 3, spectral_norm=True, rng=RNG(0)), (3, 4)),
}


def numbers(shape, seed=1):
    return RNG(seed).standard_normal(shape)


@pytest.mark.parametrize("name", LAYERS)
def test_derivatives(name):
    """Of x and of every parameter, where the parameters are no longer the simple ones of the start."""
    make, shape = LAYERS[name]
    layer = make().to("float64")
    parameters = layer.parameters()
    for i, parameter in enumerate(parameters):
        parameter.assign(numbers(parameter.shape, 10 + i))

    places = [name.rpartition(".") for name in layer.named_parameters()]

    def run(x, *tensors):
        for (owner, _, name), tensor in zip(places, tensors, strict=True):
            setattr(getattr(layer, owner) if owner else layer, name, tensor)
        with nn.frozen():
            return layer(x, LABELS)

    gradcheck(run, [Tensor(numbers(shape)), *parameters])


@pytest.mark.parametrize("name", LAYERS)
def test_a_class_that_is_absent_gets_no_gradient(name):
    make, shape = LAYERS[name]
    layer = make()
    layer(Tensor(numbers(shape).astype(np.float32)), LABELS).sum().backward()
    tables = [p for p in layer.parameters() if p.shape[:1] == (3,)]
    assert tables and all(not p.grad.numpy()[1].any() for p in tables)


def test_embedding_is_a_row_of_its_table():
    layer = nn.Embedding(3, 4, rng=RNG(0))
    for labels in (LABELS, LABELS.astype(np.uint8), Tensor(LABELS), list(LABELS)):
        assert np.array_equal(layer(labels).numpy(), layer.weight.numpy()[LABELS])
    assert layer(LABELS.reshape(3, 1)).shape == (3, 1, 4)
    assert layer.weight.numpy().std() == pytest.approx(1, abs=0.4)


def test_joined_labels_stand_behind_the_features():
    vectors, maps = nn.JoinLabels(3, 4, rng=RNG(0)), nn.JoinLabels(3, (2, 5), rng=RNG(0))
    x = numbers((3, 2)).astype(np.float32)
    y = vectors(x, LABELS).numpy()
    assert np.array_equal(y[:, :2], x) and np.array_equal(y[:, 2:], vectors.embedding.weight.numpy()[LABELS])
    x = numbers((3, 2, 5, 2)).astype(np.float32)
    y = maps(x, LABELS).numpy()
    assert np.array_equal(y[..., :2], x)
    assert np.array_equal(y[..., 2], maps.embedding.weight.numpy()[LABELS].reshape(3, 2, 5))


@pytest.mark.parametrize("training", [True, False])
def test_conditional_batch_norm_is_batch_norm_with_rows_of_gamma_and_beta(training):
    layer, plain = nn.ConditionalBatchNorm(2, 3).to("float64"), nn.BatchNorm(2).to("float64")
    x = Tensor(numbers((3, 2, 5, 2)))
    assert np.array_equal(layer(x, LABELS).numpy(), plain(x).numpy())  # at the start
    layer.gamma.assign(numbers((3, 2), 2))
    layer.beta.assign(numbers((3, 2), 3))
    layer.train(training)
    plain.train(training)
    gamma, beta = (p.numpy()[LABELS][:, None, None] for p in (layer.gamma, layer.beta))
    np.testing.assert_allclose(layer(x, LABELS).numpy(), plain(x).numpy() * gamma + beta, rtol=1e-12)
    assert len(layer.parameters()) == 2
    for name in ("running_mean", "running_variance"):
        assert np.array_equal(getattr(layer.normalise, name).numpy(), getattr(plain, name).numpy())


def test_projection_is_a_dense_layer_until_it_has_learnt_the_labels():
    layer = nn.Projection(4, 3, rng=RNG(0)).to("float64")
    h = numbers((3, 4))
    assert np.array_equal(layer(h, LABELS).numpy(), layer.dense(Tensor(h)).numpy())
    layer.embedding.weight.assign(numbers((3, 4), 2))
    extra = (layer.embedding.weight.numpy()[LABELS] * h).sum(1, keepdims=True)
    np.testing.assert_allclose(layer(h, LABELS).numpy(), layer.dense(Tensor(h)).numpy() + extra, rtol=1e-12)


def test_a_network_hands_labels_to_the_layers_that_take_them():
    net = nn.Sequential(
        nn.Dense(3, 8), nn.ConditionalBatchNorm(8, 3), nn.LeakyReLU(), nn.Sequential(nn.Projection(8, 3))
    )
    assert net.takes_labels and not nn.Sequential(nn.Dense(3, 8)).takes_labels
    assert net(numbers((3, 3)).astype(np.float32), LABELS).shape == (3, 1)
    assert "ConditionalBatchNorm(8, 3 classes)" in net.summary((3,)) and "(N, 1)" in net.summary((3,))


def test_refusals():
    norm = nn.ConditionalBatchNorm(2, 3)
    x = Tensor(numbers((3, 2)).astype(np.float32))
    with pytest.raises(SettingError, match=r"ConditionalBatchNorm takes labels besides: \(x, labels\); .* 1 arguments"):
        norm(x)
    with pytest.raises(SettingError, match=r"Dense takes no labels; it was called with 2 arguments"):
        nn.Dense(2, 3)(x, LABELS)
    with pytest.raises(DataError, match=r"BatchNorm\(2, 3 classes\): there is a label 3; with 3 classes, 0 to 2"):
        norm(x, np.array([0, 3, 1]))
    with pytest.raises(DataError, match="there is a label -1"):
        norm(x, np.array([0, -1, 1]))
    with pytest.raises(DataError, match=r"labels are float64; whole numbers"):
        norm(x, np.array([0.0, 1.0, 1.0]))
    with pytest.raises(ShapeError, match=r"labels have shape \(2,\), but x \(3, 2\) needs \(3,\), one an example"):
        norm(x, LABELS[:2])
    with pytest.raises(ShapeError, match=r"layer 0, ConditionalBatchNorm.*labels have shape \(3, 1\)"):
        nn.Sequential(norm)(x, LABELS[:, None])
    with pytest.raises(ShapeError, match=r"JoinLabels\(3 → 2×5×1\) takes x \(N, 2, 5, C\), got \(3, 2, 4, 1\)"):
        nn.JoinLabels(3, (2, 5))(np.ones((3, 2, 4, 1), np.float32), LABELS)
    with pytest.raises(SettingError, match="Embedding: classes=0"):
        nn.Embedding(0, 3)
    assert not ops.sum(norm.gamma - 1).item()
