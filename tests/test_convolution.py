"""Convolution and its two adjoints: the identities that tie them, sizes, messages, and what is built from them."""

import itertools

import numpy as np
import pytest
from op_table import naive_conv, naive_conv_transpose

import tinygan as tg
from tinygan import ops
from tinygan.errors import SettingError, ShapeError
from tinygan.gradcheck import numeric_gradient
from tinygan.ops.convolution import conv_and_bias, conv_transpose_and_bias

PADDINGS = [0, 1, 2, "same", "each side"]


def sizes(rank):
    """Odd and even, small and larger than the kernel: one more than once around the stride."""
    return [(7,), (10,)] if rank == 1 else [(5, 7), (6, 9)]


def settings(rank):
    for size, kernel, stride, padding in itertools.product(sizes(rank), range(1, 6), range(1, 4), PADDINGS):
        if padding == "each side":
            padding = ((0, 2),) if rank == 1 else ((0, 2), (1, 0))
        yield size, kernel, stride, padding


def inner(a, b):
    return float((a.numpy() * b.numpy()).sum())


@pytest.mark.parametrize("rank", [1, 2])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("kernel", range(1, 6))
def test_adjoints(rank, kernel, stride):
    """⟨conv(x, w), y⟩ = ⟨x, ∂x⟩ = ⟨w, ∂w⟩, and ∂x is conv_transpose(y, w) where that has the same output size."""
    rng = np.random.default_rng(10 * kernel + stride)
    for size, k, s, padding in settings(rank):
        if (k, s) != (kernel, stride):
            continue
        ks = (k,) * rank if rank == 1 else (k, max(1, k - 1))
        x = tg.Tensor(rng.standard_normal((3, *size, 2)), requires_grad=True)
        w = tg.Tensor(rng.standard_normal((*ks, 2, 4)), requires_grad=True)
        y = ops.conv(x, w, s, padding)
        g = tg.Tensor(rng.standard_normal(y.shape))
        dx, dw = tg.grad(y, [x, w], g)
        expected = inner(y, g)
        scale = float(np.linalg.norm(y.numpy()) * np.linalg.norm(g.numpy()))
        what = f"size {size} kernel {ks} stride {s} padding {padding}"
        assert abs(inner(x, dx) - expected) < 1e-12 * scale, what
        assert abs(inner(w, dw) - expected) < 1e-12 * scale, what
        if padding != "same":
            pads = [(padding, padding)] * rank if isinstance(padding, int) else padding
            extra = tuple((n + a + b - kk) % s for n, (a, b), kk in zip(size, pads, ks, strict=True))
            np.testing.assert_allclose(
                ops.conv_transpose(g, w, s, padding, extra).numpy(), dx.numpy(), rtol=1e-11, atol=1e-12, err_msg=what
            )
        elif all(n % s == 0 for n in size):
            np.testing.assert_allclose(ops.conv_transpose(g, w, s, "same").numpy(), dx.numpy(), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("rank", [1, 2])
def test_against_loops(rank):
    rng = np.random.default_rng(0)
    for size, k, s, padding in settings(rank):
        if rank == 2 and (k + s) % 2:  # half of them do
            continue
        x, w = rng.standard_normal((1, *size, 2)), rng.standard_normal((*(k,) * rank, 2, 2))
        what = f"size {size} kernel {k} stride {s} padding {padding}"
        expected = naive_conv(x, w, s, padding)
        np.testing.assert_allclose(ops.conv(x, w, s, padding).numpy(), expected, rtol=1e-11, atol=1e-12, err_msg=what)
        small = x[:, :3, :4] if rank == 2 else x[:, :4]
        if padding == "same" or all((n - 1) * s + k > 4 for n in small.shape[1:-1]):
            expected = naive_conv_transpose(small, w, s, padding)
            result = ops.conv_transpose(small, w, s, padding).numpy()
            np.testing.assert_allclose(result, expected, rtol=1e-11, atol=1e-12, err_msg=what)


@pytest.mark.parametrize("rank", [1, 2])
def test_same_sizes(rank):
    """⌈n/s⌉ for every size, kernel and stride; n·s when transposed."""
    for n, k, s in itertools.product(range(1, 9), range(1, 7), range(1, 5)):
        x, w = np.ones((1, *(n,) * rank, 1)), np.ones((*(k,) * rank, 1, 1))
        assert ops.conv(x, w, s, "same").shape == (1, *(-(-n // s),) * rank, 1)
        assert ops.conv_transpose(x, w, s, "same").shape == (1, *(n * s,) * rank, 1)


def test_same_puts_the_odd_zero_at_the_end():
    """As TensorFlow does: with a kernel of 2 and stride 1, y[i] = x[i] + x[i + 1], and 0 after the last."""
    x = np.arange(1.0, 5.0).reshape(1, 4, 1)
    assert ops.conv(x, np.ones((2, 1, 1)), 1, "same").numpy().ravel().tolist() == [3, 5, 7, 4]


def test_it_is_cross_correlation():
    """The kernel is not flipped; transposed, a single 1 stamps the kernel itself."""
    w = np.array([1.0, 2.0, 3.0]).reshape(3, 1, 1)
    one = np.array([0.0, 0, 1, 0, 0]).reshape(1, 5, 1)
    assert ops.conv(one, w).numpy().ravel().tolist() == [3, 2, 1]
    assert ops.conv_transpose(np.ones((1, 1, 1)), w).numpy().ravel().tolist() == [1, 2, 3]


@pytest.mark.parametrize("shape", [(0, 5, 5, 2), (0, 6, 2)], ids=["images", "signals"])
def test_empty_batch(shape):
    """No images in, no images out, and weights get zeros: a loop needs no special case for an empty last batch."""
    rank = len(shape) - 2
    x = tg.Tensor(np.zeros(shape, np.float32), requires_grad=True)
    for function, axes in ((ops.conv, (2, 3)), (ops.conv_transpose, (3, 2))):
        w = tg.Tensor(np.ones((*(3,) * rank, *axes), np.float32), requires_grad=True)
        y = function(x, w, 2, 1)
        assert y.shape[0] == 0 and y.shape[-1] == 3
        dx, dw = tg.grad(y, [x, w], np.zeros(y.shape, np.float32))
        assert dx.shape == shape and dw.shape == w.shape and not dw.numpy().any()


def test_empty_batch_on_the_stand_in(fake_gpu):
    test_empty_batch((0, 5, 5, 2))


def test_an_input_gradient_is_spared_where_it_isnt_wanted(monkeypatch):
    """The first layer's input gradient is as dear as its filter gradient; nobody wants it."""
    w = tg.Tensor(np.ones((3, 3, 1, 1)), requires_grad=True)
    x = tg.Tensor(np.ones((1, 5, 5, 1)), requires_grad=True)
    monkeypatch.setattr(ops.convolution.ConvInputGradient, "forward", None)
    tg.grad(ops.conv(x, w).sum(), [w])
    monkeypatch.setattr(ops.convolution.ConvFilterGradient, "forward", None)
    y = ops.conv(x, w).sum()
    with pytest.raises(TypeError):
        tg.grad(y, [w])


# ---------------------------------------------------------------- what is built from them, to second order


def parameters(*shapes, seed=0):
    rng = np.random.default_rng(seed)
    return [tg.Tensor(0.7 * rng.standard_normal(shape)) for shape in shapes]


def test_double_backward_of_conv_leaky_conv():
    def critic(x, w1, w2):
        return ops.conv(ops.leaky_relu(ops.conv(x, w1, 2, "same"), 0.3), w2, 1, 1)

    tg.gradcheck(critic, parameters((2, 5, 4, 1), (3, 3, 1, 2), (2, 2, 2, 1)))


def test_double_backward_of_transpose_norm_tanh():
    def generator(z, w, gamma, beta, w2):
        h = ops.leaky_relu(ops.batch_norm(ops.conv_transpose(z, w, 2, "same"), gamma, beta))
        return ops.tanh(ops.conv_transpose(h, w2, (1, 2), 1, (0, 1)))

    tg.gradcheck(generator, parameters((2, 2, 2, 1), (3, 3, 2, 1), (2,), (2,), (3, 2, 1, 2)))


def test_double_backward_of_signals():
    tg.gradcheck(
        lambda x, w, v: ops.conv_transpose(ops.tanh(ops.conv(x, w, 2, "same")), v, 3, 1),
        parameters((2, 7, 2), (4, 2, 2), (3, 1, 2)),
    )


def wgan_gp(w1, w2, gamma, dense, x):
    """((‖∇x D(x)‖ − 1)²) for a critic with convolution, batch norm and a dense end (Gulrajani et al. 2017)."""
    h = ops.leaky_relu(ops.conv(x, w1, 2, "same"))
    h = ops.batch_norm(ops.conv(h, w2, 1, 1), gamma, gamma * 0)
    d = ops.reshape(ops.leaky_relu(h), (x.shape[0], -1)) @ dense
    (slope,) = tg.grad(d.sum(), x, create_graph=True)
    norm = ops.sqrt((slope * slope).sum((1, 2, 3)) + 1e-12)
    return ((norm - 1) ** 2).mean() + d.mean() * 0.1


def test_a_critics_penalty_to_1e_6():
    """Its gradient with respect to the weights is a second derivative; numerically by differences of the first."""
    tensors = parameters((3, 3, 1, 2), (2, 2, 2, 2), (2,), (18, 1), (3, 4, 3, 1), seed=4)
    arrays = [t.numpy() for t in tensors]
    leaves = [tg.Tensor(a, requires_grad=True) for a in arrays]
    analytic = tg.grad(wgan_gp(*leaves), leaves[:4])

    def penalty(*weights):
        return wgan_gp(*(tg.Tensor(a, requires_grad=True) for a in (*weights, arrays[4]))).item()

    numeric = numeric_gradient(penalty, arrays[:4])
    for a, n in zip(analytic, numeric, strict=True):
        np.testing.assert_allclose(a.numpy(), n, rtol=1e-6, atol=1e-6 * np.abs(n).max())


# ---------------------------------------------------------------- errors teach (law 9)

X, W, T = np.ones((2, 5, 6, 3)), np.ones((3, 3, 3, 4)), np.ones((3, 3, 4, 3))
BAD = {
    "channels": (lambda: ops.conv(X, W[:, :, :2]), ShapeError,
                 r"x \(N, H, W, C\) = \(2, 5, 6, 3\) has 3 channels, but w \(KH, KW, C, O\) = \(3, 3, 2, 4\) takes 2"),
    "channels transposed": (lambda: ops.conv_transpose(X, W), ShapeError,
                            r"conv_transpose: x .* has 3 channels, but w \(KH, KW, O, C\) = \(3, 3, 3, 4\) takes 4"),
    "channels first": (lambda: ops.conv(X.transpose(0, 3, 1, 2), W), ShapeError, "Channels are the last axis of x"),
    "rank": (lambda: ops.conv(X[0], W), ShapeError,
             r"conv: x \(5, 6, 3\) with w \(3, 3, 3, 4\); expected are x \(N, L, C\) with w \(K, C, O\) or x \(N"),
    "rank 3": (lambda: ops.conv(X[None], W[None]), ShapeError, "features last"),
    "large kernel": (lambda: ops.conv(X[:, :2], W), ShapeError,
                     r"a kernel of \(3, 3\) is larger than the input \(2, 6\) with padding .*; pad more"),
    "nothing left": (lambda: ops.conv_transpose(X[:, :1], np.ones((1, 1, 4, 3)), 1, 1), ShapeError,
                     "leaves nothing .* pad less"),
    "stride": (lambda: ops.conv(X, W, 0), SettingError,
               r"stride=0: a whole number ≥ 1, or 2 of them \(one for each axis\)"),
    "stride of three": (lambda: ops.conv(X, W, (1, 2, 3)), SettingError, r"stride=\(1, 2, 3\): a whole number"),
    "stride of a half": (lambda: ops.conv(X, W, 1.5), SettingError, "stride=1.5: a whole number"),
    "padding": (lambda: ops.conv(X, W, 1, -1), SettingError, r'padding=-1: "same", a whole number ≥ 0, or for'),
    "padding by name": (lambda: ops.conv(X, W, 1, "valid"), SettingError, "padding='valid': \"same\""),
    "padding of None": (lambda: ops.conv(X, W, 1, None), SettingError, "padding=None"),
    "padding of halves": (lambda: ops.conv(X, W, 1, 0.5), SettingError, "padding=0.5"),
    "padding of three": (lambda: ops.conv(X, W, 1, (1, 1, 1)), SettingError, r"padding=\(1, 1, 1\)"),
    "padding of triples": (lambda: ops.conv(X, W, 1, ((1, 1, 1), 0)), SettingError, "padding="),
    "output_padding": (lambda: ops.conv_transpose(X, T, 2, 1, 2), SettingError,
                       r"output_padding \(2, 2\) must be smaller than the stride \(2, 2\)"),
    "output_padding below 0": (lambda: ops.conv_transpose(X, T, 2, 1, -1), SettingError, "output_padding=-1"),
    "bias": (lambda: conv_and_bias(X, W, np.ones(3), 1, 0), ShapeError,
             r"conv: bias \(3,\) with w \(3, 3, 3, 4\), which has 4 outputs; give one number for each, \(4,\)"),
    "bias transposed": (lambda: conv_transpose_and_bias(X, T, np.ones(3), 1, 0, 0), ShapeError, "which has 4 outputs"),
    "dtypes": (lambda: ops.conv(X, W.astype("f4")), tg.errors.DTypeError, "float32 and float64 don't mix"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_errors(name):
    function, error, message = BAD[name]
    with pytest.raises(error, match=message):
        function()
