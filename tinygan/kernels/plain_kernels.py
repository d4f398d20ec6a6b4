"""Kernels in plain array code, for NumPy's and CuPy's arrays alike: whole batches, the shortest form of each."""

from ..backend import Array, array_library
from .geometry import Padding, Pair, conv_output_size


def matmul(a: Array, b: Array) -> Array:
    return a @ b


def sum(x: Array, axes: tuple[int, ...], keepdims: bool) -> Array:
    return x.sum(axis=axes, keepdims=keepdims)


def tanh(x: Array) -> Array:
    return array_library(x).tanh(x)


def sigmoid(x: Array) -> Array:
    # Where exp(−x) overflows to ∞ the result is 0, as it should be; small results keep their relative precision.
    return 1 / (1 + array_library(x).exp(-x))


def softplus(x: Array) -> Array:
    """max(x, 0) + log(1 + exp(−|x|)), which never overflows; for complex x by the sign of its real part."""
    xp = array_library(x)
    positive = x.real > 0
    return xp.where(positive, x, 0 * x) + xp.log1p(xp.exp(xp.where(positive, -x, x)))


def leaky_relu(x: Array, slope: float) -> Array:
    return array_library(x).where(x > 0, x, slope * x)


def leaky_relu_gradient(grad: Array, x: Array, slope: float) -> Array:
    return array_library(x).where(x > 0, grad, slope * grad)


# ---------------------------------------------------------------- convolution: x (N, H, W, C), w (KH, KW, C, O)


def pad_images(x: Array, padding: Padding) -> Array:
    """(N, H, W, C) -> (N, top + H + bottom, left + W + right, C), with zeros around."""
    return array_library(x).pad(x, ((0, 0), *padding, (0, 0)))


def im2col(x: Array, kernel: Pair, stride: Pair, padding: Padding) -> Array:
    """(N, H, W, C) -> (N, OH, OW, KH, KW, C): for each output position, the patch that the kernel sees there."""
    padded = pad_images(x, padding)
    n, height, width, channels = padded.shape
    rows = conv_output_size(height, kernel[0], stride[0], (0, 0))
    columns = conv_output_size(width, kernel[1], stride[1], (0, 0))
    s_n, s_h, s_w, s_c = padded.strides
    strides = (s_n, s_h * stride[0], s_w * stride[1], s_h, s_w, s_c)
    as_strided = array_library(x).lib.stride_tricks.as_strided
    return as_strided(padded, (n, rows, columns, *kernel, channels), strides)


def col2im(columns: Array, size: Pair, stride: Pair, padding: Padding) -> Array:
    """The adjoint of im2col: (N, OH, OW, KH, KW, C) -> (N, H, W, C), overlapping patches added up."""
    n, rows, cols, kh, kw, channels = columns.shape
    (top, bottom), (left, right) = padding
    x = array_library(columns).zeros((n, top + size[0] + bottom, left + size[1] + right, channels), columns.dtype)
    for i in range(kh):
        for j in range(kw):
            x[:, i : i + rows * stride[0] : stride[0], j : j + cols * stride[1] : stride[1]] += columns[:, :, :, i, j]
    return x[:, top : top + size[0], left : left + size[1]]


def conv(x: Array, w: Array, stride: Pair, padding: Padding, bias: Array | float = 0) -> Array:
    """(N, H, W, C), (KH, KW, C, O), and (O,) to be added -> (N, OH, OW, O)."""
    columns = im2col(x, w.shape[:2], stride, padding)
    n, rows, cols, kh, kw, channels = columns.shape
    product = columns.reshape(n * rows * cols, kh * kw * channels) @ w.reshape(-1, w.shape[3])
    return product.reshape(n, rows, cols, w.shape[3]) + bias


def conv_input_gradient(
    grad: Array, w: Array, stride: Pair, padding: Padding, size: Pair, bias: Array | float = 0
) -> Array:
    """(N, OH, OW, O), (KH, KW, C, O), and (C,) to be added -> (N, H, W, C) with (H, W) = size: conv's adjoint in x."""
    n, rows, cols, out = grad.shape
    columns = grad.reshape(-1, out) @ w.reshape(-1, out).T
    return col2im(columns.reshape(n, rows, cols, *w.shape[:3]), size, stride, padding) + bias


def conv_filter_gradient(x: Array, grad: Array, stride: Pair, padding: Padding, kernel: Pair) -> Array:
    """(N, H, W, C), (N, OH, OW, O) -> (KH, KW, C, O): the adjoint of conv in w."""
    columns = im2col(x, kernel, stride, padding)
    channels, out = x.shape[3], grad.shape[3]
    product = columns.reshape(-1, kernel[0] * kernel[1] * channels).T @ grad.reshape(-1, out)
    return product.reshape(*kernel, channels, out)


# ---------------------------------------------------------------- batch normalisation: x (…, C)


def batch_statistics(x: Array) -> tuple[Array, Array]:
    """The mean μ and the biased variance v of each feature."""
    axes = tuple(range(x.ndim - 1))
    mean = x.mean(axis=axes)
    return mean, ((x - mean) ** 2).mean(axis=axes)


def batch_norm(x: Array, gamma: Array, beta: Array, mean: Array, variance: Array, eps: float) -> Array:
    """y = γ (x − μ) / √(v + ε) + β."""
    return (x - mean) * (gamma * (variance + eps) ** -0.5) + beta


def scale_and_shift(x: Array, scale: Array, shift: Array) -> Array:
    """y = scale · x + shift, with a number of each for each feature."""
    return x * scale + shift


def batch_norm_sums(grad: Array, x: Array, mean: Array, variance: Array, eps: float) -> tuple[Array, Array]:
    """∂L/∂γ = Σ g x̂ and ∂L/∂β = Σ g, with x̂ = (x − μ)/√(v + ε)."""
    axes = tuple(range(x.ndim - 1))
    return (grad * ((x - mean) * (variance + eps) ** -0.5)).sum(axis=axes), grad.sum(axis=axes)


def batch_norm_gradient(
    grad: Array,
    x: Array,
    gamma: Array,
    mean: Array,
    variance: Array,
    eps: float,
    grad_gamma: Array,
    grad_beta: Array,
    count: int,
) -> Array:
    """∂L/∂x = γ/σ · (g − Σ g / n − x̂ · Σ g x̂ / n), with Σ g x̂ = ∂L/∂γ and Σ g = ∂L/∂β, of n = `count` values."""
    inverse = (variance + eps) ** -0.5
    return (gamma * inverse) * (grad - grad_beta / count - (x - mean) * inverse * (grad_gamma / count))


# ---------------------------------------------------------------- spectral normalisation: w (M, N), v (M,), u (N,)


def spectral_norm_gradient(grad: Array, w: Array, v: Array, u: Array, sigma: Array, size: float) -> Array:
    """∂L/∂w = s/σ · (g − ⟨g, w⟩/σ · v uᵀ), with s = `size`."""
    return (size / sigma) * (grad - ((grad * w).sum() / sigma * v)[:, None] * u)


# ---------------------------------------------------------------- optimisers: in place


def sgd_step(parameter: Array, grad: Array, velocity: Array | None, lr: float, momentum: float) -> None:
    """velocity ← momentum · velocity + g;  θ ← θ − lr · velocity."""
    if velocity is None:
        parameter -= lr * grad
        return
    velocity *= momentum
    velocity += grad
    parameter -= lr * velocity


def adam_step(
    parameter: Array, grad: Array, m: Array, v: Array, lr: float, betas: tuple[float, float], eps: float, step: int
) -> None:
    """m ← β₁m + (1 − β₁)g;  v ← β₂v + (1 − β₂)g²;  θ ← θ − lr · m̂ / (√v̂ + ε),  m̂ = m/(1 − β₁ᵗ), v̂ = v/(1 − β₂ᵗ)."""
    beta1, beta2 = betas
    m *= beta1
    m += (1 - beta1) * grad
    v *= beta2
    v += (1 - beta2) * grad * grad
    parameter -= (lr / (1 - beta1**step)) * m / ((v / (1 - beta2**step)) ** 0.5 + eps)


def average_step(average: Array, value: Array, decay: float) -> None:
    """average ← decay · average + (1 − decay) · value."""
    average *= decay
    average += (1 - decay) * value
