"""Dense, Conv, ConvTranspose: values, derivatives, spectral normalisation, initialisers, refusals."""

import numpy as np
import pytest

from tinygan import Tensor, backend, gradcheck, nn, no_grad
from tinygan.errors import SettingError, ShapeError

RNG = np.random.default_rng


def as_function(layer):
    """f(x, *parameters), so that gradcheck reaches the parameters as well."""
    names = list(layer.named_parameters())

    def f(x, *tensors):
        for name, tensor in zip(names, tensors, strict=True):
            setattr(layer, name, tensor)
        with nn.frozen():
            return layer(x)

    return f


# name, maker (takes spectral_norm and rng), input shape, output shape
LAYERS = {
    "dense": (lambda **k: nn.Dense(3, 2, **k), (4, 3), (4, 2)),
    "dense-sequence": (lambda **k: nn.Dense(3, 2, **k), (2, 3, 3), (2, 3, 2)),
    "dense-no-bias": (lambda **k: nn.Dense(3, 2, bias=False, **k), (4, 3), (4, 2)),
    "conv": (lambda **k: nn.Conv(2, 3, (3, 2), stride=(2, 1), padding=1, **k), (2, 4, 3, 2), (2, 2, 4, 3)),
    "conv-same": (lambda **k: nn.Conv(1, 2, 4, stride=2, padding="same", **k), (2, 5, 4, 1), (2, 3, 2, 2)),
    "conv-1d": (lambda **k: nn.Conv(2, 3, 3, stride=2, padding=1, rank=1, **k), (2, 6, 2), (2, 3, 3)),
    "transposed": (
        lambda **k: nn.ConvTranspose(3, 2, 3, stride=2, padding=1, output_padding=1, **k), (2, 2, 3, 3), (2, 4, 6, 2),
    ),
    "transposed-same": (
        lambda **k: nn.ConvTranspose(2, 1, 4, stride=2, padding="same", **k), (2, 2, 3, 2), (2, 4, 6, 1),
    ),
    "transposed-1d": (lambda **k: nn.ConvTranspose(2, 3, 3, stride=2, rank=1, bias=False, **k), (2, 3, 2), (2, 7, 3)),
}  # fmt: skip


@pytest.fixture(params=LAYERS)
def case(request):
    return LAYERS[request.param]


@pytest.mark.parametrize("spectral_norm", [False, True])
def test_derivatives(case, spectral_norm):
    make, shape, out = case
    layer = make(spectral_norm=spectral_norm, rng=RNG(1)).to("float64")
    weights = [RNG(i).standard_normal(p.shape) for i, p in enumerate(layer.parameters())]
    if spectral_norm:
        before = layer.u.numpy()
    inputs = [Tensor(RNG(9).standard_normal(shape)), *map(Tensor, weights)]
    f = as_function(layer)
    assert f(*inputs).shape == out
    gradcheck(f, inputs, order=2)
    if spectral_norm:
        np.testing.assert_array_equal(layer.u.numpy(), before)


@pytest.mark.parametrize("spectral_norm", [False, True])
def test_float32_stays_float32(case, spectral_norm):
    make, shape, out = case
    layer = make(spectral_norm=spectral_norm, rng=RNG(1))
    x = Tensor(RNG(0).standard_normal(shape, np.float32), requires_grad=True)
    y = layer(x)
    y.sum().backward()
    assert (y.dtype, y.shape, x.grad.dtype) == (np.float32, out, np.float32)
    assert {a.dtype for a in layer.state_dict().values()} == {np.dtype(np.float32)}
    for p in layer.parameters():
        assert (p.grad.dtype, p.grad.shape) == (np.float32, p.shape)


def test_weight_and_bias_shapes():
    shapes = {name: {k: a.shape for k, a in make().state_dict().items()} for name, (make, _, _) in LAYERS.items()}
    assert shapes["dense"] == {"weight": (3, 2), "bias": (2,)}
    assert shapes["dense-no-bias"] == {"weight": (3, 2)}
    assert shapes["conv"] == {"weight": (3, 2, 2, 3), "bias": (3,)}
    assert shapes["conv-1d"] == {"weight": (3, 2, 3), "bias": (3,)}
    assert shapes["transposed"] == {"weight": (3, 3, 2, 3), "bias": (2,)}
    assert shapes["transposed-1d"] == {"weight": (3, 3, 2)}


def test_dense_is_x_w_plus_b():
    layer = nn.Dense(2, 3)
    layer.bias.assign(np.float32([1, 2, 3]))
    x = RNG(0).standard_normal((5, 2), np.float32)
    np.testing.assert_allclose(layer(x).numpy(), x @ layer.weight.numpy() + [1, 2, 3], rtol=1e-6)


def test_conv_by_hand():
    layer = nn.Conv(2, 1, 2, stride=2)
    layer.weight.assign(np.arange(8, dtype=np.float32).reshape(2, 2, 2, 1))
    layer.bias.assign(0.5)
    x = RNG(0).standard_normal((3, 4, 4, 2), np.float32)
    patches = x.reshape(3, 2, 2, 2, 2, 2).transpose(0, 1, 3, 2, 4, 5).reshape(3, 2, 2, 8)
    np.testing.assert_allclose(layer(x).numpy()[..., 0], patches @ np.arange(8) + 0.5, rtol=1e-5, atol=1e-5)


def test_transposed_conv_is_the_adjoint_of_conv():
    """⟨conv x, y⟩ = ⟨x, convᵀ y⟩ with one weight: (*kernel, in, out) of the one is (*kernel, out, in) of the other."""
    conv = nn.Conv(2, 3, 4, stride=2, padding=1, bias=False, rng=RNG(0)).to("float64")
    transposed = nn.ConvTranspose(3, 2, 4, stride=2, padding=1, bias=False).to("float64")
    transposed.weight.assign(conv.weight)
    x, y = Tensor(RNG(1).standard_normal((2, 6, 8, 2))), Tensor(RNG(2).standard_normal((2, 3, 4, 3)))
    assert (conv(x) * y).sum().item() == pytest.approx((x * transposed(y)).sum().item(), rel=1e-12)


def test_biases_start_at_zero_and_init_can_be_given():
    for make, _, _ in LAYERS.values():
        layer = make(init=lambda rng, shape, fan_in, fan_out: np.full(shape, fan_in * 100.0 + fan_out))
        if hasattr(layer, "bias"):
            assert not layer.bias.numpy().any()
        assert layer.weight.dtype == np.float32
    assert set(nn.Conv(2, 3, (5, 2), init=lambda r, s, i, o: np.full(s, i * 100 + o)).weight.numpy().flat) == {2030}
    layer = nn.ConvTranspose(2, 3, 5, rank=1, init=lambda r, s, i, o: np.full(s, i * 100 + o))
    assert set(layer.weight.numpy().flat) == {1015}


# ---------------------------------------------------------------- spectral normalisation


def matrix(layer):
    w = layer.normalised_weight().numpy()
    return (np.swapaxes(w, -1, -2) if isinstance(layer, nn.ConvTranspose) else w).reshape(-1, layer.u.shape[0])


@pytest.mark.parametrize(
    "layer",
    [
        nn.Dense(20, 12, spectral_norm=True, rng=RNG(0)),
        nn.Dense(5, 1, spectral_norm=True, rng=RNG(0)),
        nn.Conv(3, 8, 4, spectral_norm=True, rng=RNG(0)),
        nn.Conv(3, 8, 4, rank=1, spectral_norm=True, rng=RNG(0)),
        nn.ConvTranspose(8, 6, (4, 3), spectral_norm=True, rng=RNG(0)),
        nn.ConvTranspose(5, 5, 3, spectral_norm=True, rng=RNG(0)),
    ],
    ids=str,
)
def test_the_largest_singular_value_becomes_one(layer):
    layer.to("float64").weight.assign(RNG(1).standard_normal(layer.weight.shape))  # away from where u was prepared
    for _ in range(200):
        layer.normalised_weight()
    assert np.linalg.svd(matrix(layer), compute_uv=False)[0] == pytest.approx(1, abs=1e-4)
    u = layer.u.numpy()
    assert np.linalg.norm(u) == pytest.approx(1)


def test_a_fresh_layer_is_close_to_norm_one_already():
    layer = nn.Dense(64, 32, spectral_norm=True, rng=RNG(0)).eval()
    assert np.linalg.svd(matrix(layer), compute_uv=False)[0] == pytest.approx(1, abs=0.05)


def test_one_power_iteration_a_training_pass_and_none_otherwise():
    layer = nn.Dense(4, 3, spectral_norm=True, rng=RNG(0))
    layer.u.assign(np.float32([1, 0, 0]))
    w, u = layer.weight.numpy(), np.float32([1, 0, 0])
    x = np.ones((2, 4), np.float32)
    layer.eval()(x)
    with nn.frozen():
        layer.train()(x)
    np.testing.assert_array_equal(layer.u.numpy(), u)
    with no_grad():
        layer(x)
    v = w @ u / np.linalg.norm(w @ u)
    expected = w.T @ v / np.linalg.norm(w.T @ v)
    np.testing.assert_allclose(layer.u.numpy(), expected, rtol=1e-5)
    np.testing.assert_allclose(
        layer.eval()(x).numpy(), x @ (w / np.linalg.norm(w @ expected)) + layer.bias.numpy(), rtol=1e-5
    )


def test_the_length_of_u_does_not_matter():
    """In an averaged network u is a mean of unit vectors, so shorter than 1."""
    layer = nn.Conv(2, 3, 3, spectral_norm=True, rng=RNG(0)).eval()
    before = layer.normalised_weight().numpy()
    layer.u.assign(layer.u.numpy() / 2)
    np.testing.assert_allclose(layer.normalised_weight().numpy(), before, rtol=1e-6)


def test_a_graph_outlives_the_next_power_iteration():
    layer = nn.Dense(3, 2, spectral_norm=True, rng=RNG(0))
    x = RNG(1).standard_normal((4, 3), np.float32)
    one, two = layer(x), layer(2 * x)  # real and fake, before one backward pass
    (one.sum() + two.sum()).backward()
    assert np.isfinite(layer.weight.grad.numpy()).all()


# ---------------------------------------------------------------- initialisers and randomness


def moments(array):
    return float(array.mean()), float(array.std())


def test_conv_weights_are_dcgans():
    for layer in (nn.Conv(16, 64, 5, rng=RNG(0)), nn.ConvTranspose(64, 16, 5, rng=RNG(0))):
        mean, std = moments(layer.weight.numpy())
        assert abs(mean) < 4 * 0.02 / 25600**0.5
        assert std == pytest.approx(0.02, rel=0.02)
        assert np.abs(layer.weight.numpy()).max() > 3.5 * 0.02  # normal, neither uniform nor cut off


def test_dense_weights_are_glorots():
    w = nn.Dense(100, 300, rng=RNG(0)).weight.numpy()
    bound = (6 / 400) ** 0.5
    mean, std = moments(w)
    assert abs(mean) < 4 * bound / 3**0.5 / 30000**0.5
    assert std == pytest.approx(bound / 3**0.5, rel=0.02)
    assert 0.999 * bound < np.abs(w).max() <= bound * (1 + 1e-6)


@pytest.mark.parametrize(("slope", "variance"), [(0.0, 2 / 500), (0.2, 2 / 1.04 / 500), (1.0, 1 / 500)])
def test_he_keeps_the_spread(slope, variance):
    mean, std = moments(nn.init.he(slope)(RNG(0), (500, 400), 500, 400))
    assert abs(mean) < 4 * std / 200000**0.5
    assert std**2 == pytest.approx(variance, rel=0.02)


def test_he_with_leaky_relu_keeps_the_second_moment():
    x = RNG(1).standard_normal((200, 300), np.float32)
    net = nn.Sequential(
        *(m for i in range(4) for m in (nn.LeakyReLU(0.2), nn.Dense(300, 300, init=nn.init.he(0.2), rng=RNG(i))))
    )
    assert net(x).numpy().std() == pytest.approx(1, rel=0.15)


@pytest.mark.parametrize(
    "init", [nn.init.normal(0.5), nn.init.he(), nn.init.glorot(), nn.init.normal(np.float64(0.5))], ids=range(4)
)
def test_initialisers_are_float32_and_repeat_by_seed(init):
    def draw(seed):
        return nn.Dense(7, 5, init=init, rng=RNG(seed)).weight.numpy()

    assert draw(1).dtype == np.float32
    assert draw(1).tobytes() == draw(1).tobytes() != draw(2).tobytes()


def test_without_rng_weights_come_from_the_packages_stream():
    backend.seed(3)
    one, two = nn.Dense(3, 2).weight.numpy(), nn.Dense(3, 2).weight.numpy()
    backend.seed(3)
    again = nn.Dense(3, 2).weight.numpy()
    assert one.tobytes() == again.tobytes() != two.tobytes()
    state = backend.generator_or_default(None).bit_generator.state
    nn.Dense(3, 2, rng=RNG(0))
    assert backend.generator_or_default(None).bit_generator.state == state


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.Dense(0, 2), "Dense: in_features=0; a whole number of at least 1 is expected"),
        (lambda: nn.Dense(2, -1), "Dense: out_features=-1;"),
        (lambda: nn.Dense(2.0, 1), r"Dense: in_features=2\.0;"),
        (lambda: nn.Conv(0, 1, 3), "Conv: in_channels=0;"),
        (lambda: nn.ConvTranspose(1, 0, 3), "ConvTranspose: out_channels=0;"),
        (lambda: nn.Conv(1, 1, 0), "Conv: kernel=0: a whole number ≥ 1, or 2 of them"),
        (lambda: nn.Conv(1, 1, (3, 3, 3)), r"Conv: kernel=\(3, 3, 3\)"),
        (lambda: nn.ConvTranspose(1, 1, 3, stride=0), "ConvTranspose: stride=0"),
        (lambda: nn.Conv(1, 1, 3, stride=(1, 2), rank=1), r"Conv: stride=\(1, 2\): .* 1 of them"),
        (lambda: nn.Conv(1, 1, 3, rank=3), "Conv: rank=3; 2 for images"),
        (lambda: nn.Conv(1, 1, 3, padding=-1), "padding=-1"),
        (lambda: nn.Conv(1, 1, 3, padding="full"), "padding='full'"),
        (lambda: nn.ConvTranspose(1, 1, 3, padding=(1, 2, 3)), r"padding=\(1, 2, 3\)"),
    ],
)
def test_settings_that_are_none(make, message):
    with pytest.raises(SettingError, match=message):
        make()


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (nn.Dense(3, 2), (4, 5), r"Dense\(3 → 2\) takes x \(N, 3\), got \(4, 5\)$"),
        (nn.Dense(3, 2), (4, 5, 1), r"got \(4, 5, 1\); is a Flatten missing\?"),
        (nn.Dense(3, 2), (3,), r"got \(3,\)"),
        (nn.Conv(3, 2, 2), (1, 8, 8, 1), r"\(1, 8, 8, 1\) has 1 channels, .*\(2, 2, 3, 2\) takes 3"),
        (nn.Conv(3, 2, 2), (1, 3, 8, 8), r"Channels are the last axis"),
        (nn.Conv(1, 2, 2), (8, 8, 1), r"x \(8, 8, 1\) with w \(2, 2, 1, 2\)"),
        (nn.Conv(1, 2, 5), (1, 4, 8, 1), r"a kernel of \(5, 5\) is larger than the input \(4, 8\)"),
        (nn.ConvTranspose(3, 2, 2), (1, 4, 4, 2), r"\(1, 4, 4, 2\) has 2 channels, .*\(2, 2, 2, 3\) takes 3"),
        (nn.Conv(1, 2, 3, rank=1), (1, 8, 8, 1), r"x \(1, 8, 8, 1\) with w \(3, 1, 2\)"),
    ],
    ids=str,
)
def test_shapes_that_dont_fit(layer, shape, message):
    with pytest.raises(ShapeError, match=message):
        layer(np.zeros(shape, np.float32))


def test_output_padding_must_be_smaller_than_the_stride():
    with pytest.raises(SettingError, match="output_padding"):
        nn.ConvTranspose(1, 1, 3, stride=2, output_padding=2)(np.zeros((1, 2, 2, 1), np.float32))


@pytest.mark.parametrize("size", [True, 1.0, 2.5])
def test_spectral_normalisation_to_another_size(size):
    """The largest singular value is 1, or as large as was asked for; to second order."""
    layer = nn.Dense(4, 3, spectral_norm=size, rng=np.random.default_rng(0)).to("float64")
    for _ in range(60):
        layer._iterate()
    assert np.linalg.svd(layer.normalised_weight().numpy())[1][0] == pytest.approx(float(size), rel=1e-6)
    assert layer.describe() == f"Dense(4 → 3, spectral norm{'' if size is True else f' {size}'})"
    gradcheck(as_function(layer), [Tensor(RNG(1).standard_normal((2, 4))), layer.weight, layer.bias])


def test_a_spectral_norm_below_zero_is_refused():
    with pytest.raises(SettingError, match=r"Dense: spectral_norm=-1; True, False or a number above 0"):
        nn.Dense(4, 3, spectral_norm=-1)
