"""Kernels for NumPy: work is cut into chunks that stay in a core's cache, and the chunks are spread over threads.

What each kernel computes is said by its short twin of the same name in `plain_kernels`.
"""

import numpy as np

from ..backend import Array
from . import plain_kernels as plain
from .chunks import SMALL_PRODUCT, by_chunk, by_rows, for_chunks, for_rows, scratch
from .numpy_convolution import conv as conv
from .numpy_convolution import conv_filter_gradient as conv_filter_gradient
from .numpy_convolution import conv_input_gradient as conv_input_gradient

MULTIPLY_ADDS = 1 << 24  # of one piece of a matrix product
FEW_ROWS = 256  # BLAS adds so many up in float32 without a loss that matters
STRIP, SMALL_RESULT = 16, 1 << 10  # columns of a strip; numbers of its product


# ---------------------------------------------------------------- activations


def tanh(x: Array) -> Array:
    return by_rows(lambda x, y: np.tanh(x, out=y), x)


def sigmoid(x: Array) -> Array:
    with np.errstate(over="ignore"):
        return plain.sigmoid(x)


def softplus(x: Array) -> Array:
    return plain.softplus(x)


def leaky_relu(x: Array, slope: float) -> Array:
    if not 0 <= slope <= 1:
        return plain.leaky_relu(x, slope)

    def chunk(x: Array, y: Array) -> None:
        np.multiply(x, slope, out=y)
        np.maximum(x, y, out=y)  # far faster than np.where, and the same for slopes from 0 to 1

    return by_rows(chunk, x)


def leaky_relu_gradient(grad: Array, x: Array, slope: float) -> Array:
    if not 0 <= slope <= 1:
        return plain.leaky_relu_gradient(grad, x, slope)

    def chunk(grad: Array, x: Array, result: Array) -> None:
        positive = np.greater(x, 0, out=scratch("positive", x.shape, np.dtype(bool)))
        np.copyto(result, positive)
        np.clip(result, slope, 1, out=result)  # the factor: 1 where x > 0, else slope
        result *= grad

    return by_rows(chunk, grad, x)


# ---------------------------------------------------------------- matrices and sums


def matmul(a: Array, b: Array) -> Array:
    if a.ndim != 2 or b.ndim != 2 or a.dtype != b.dtype:
        return a @ b
    if a.shape[1] == 1:
        return a * b  # an outer product, which NumPy doesn't give to BLAS
    result = np.empty((a.shape[0], b.shape[1]), a.dtype)
    if len(a) <= b.shape[1]:
        _multiply(a, b, result)
    else:
        _multiply(b.T, a.T, result.T)
    return result


def _multiply(a: Array, b: Array, out: Array) -> None:
    """out = a @ b, of no more rows than columns, which are cut into pieces for the threads."""
    (rows, inner), columns = a.shape, b.shape[1]
    transposed = b.strides[0] < b.strides[1]
    small = rows * STRIP <= SMALL_RESULT and rows * inner * STRIP <= SMALL_PRODUCT
    if transposed and small and columns % STRIP == 0:
        # Where b is transposed, OpenBLAS is a quarter faster at results so small that it does them in place.
        strips, results = (m.reshape(len(m), -1, STRIP).swapaxes(0, 1) for m in (b, out))
        piece = max(1, MULTIPLY_ADDS // max(1, rows * inner * STRIP))
        for_chunks(lambda s: np.matmul(a, strips[s], out=results[s]), len(strips), piece)
    else:
        piece = max(64, MULTIPLY_ADDS // max(1, rows * inner))
        for_chunks(lambda s: np.matmul(a, b[:, s], out=out[:, s]), columns, piece)


def sum(x: Array, axes: tuple[int, ...], keepdims: bool) -> Array:
    if x.ndim < 2 or axes != tuple(range(x.ndim - 1)) or x.dtype.kind != "f" or not x.size:
        return x.sum(axis=axes, keepdims=keepdims)
    total = _sum_rows(x) if x.ndim == 2 and len(x) <= FEW_ROWS else _total(by_chunk(_sum_rows, x), x.shape[-1])
    return total.reshape((1,) * (x.ndim - 1) + (-1,)) if keepdims else total


def _sum_rows(rows: Array) -> Array:
    """Σ over the rows, by BLAS."""
    total: Array = np.ones(len(rows), rows.dtype) @ rows
    return total


def _total(sums: Array, features: int) -> Array:
    """Sums of chunks of rows side by side, (chunks, k·C) -> (C,): over k, which may be thousands, in float64."""
    columns = sums.sum(axis=0).reshape(-1, features)
    total: Array = columns.sum(axis=0, dtype=np.result_type(sums, np.float64))
    return total.astype(sums.dtype)


# ---------------------------------------------------------------- batch normalisation: x (…, C)


def batch_statistics(x: Array) -> tuple[Array, Array]:
    def statistics(rows: Array) -> tuple[Array, Array, Array]:
        """Of each column of a chunk, while it lies in the cache: how many numbers, their mean, Σ (x − mean)²."""
        mean = _sum_rows(rows) / len(rows)
        centred = np.subtract(rows, mean, out=scratch("centred", rows.shape, rows.dtype))
        return np.full_like(mean, len(rows)), mean, _sum_rows(np.multiply(centred, centred, out=centred))

    features = x.shape[-1]
    counts, means, squares = by_chunk(statistics, x).swapaxes(0, 1)
    count = x.size // features
    mean = _total(counts * means, features) / count
    # Chan, Golub & LeVeque 1979: what the columns vary within, and what their means vary between them
    deviations = means - np.tile(mean, means.shape[1] // features)
    return mean, _total(squares + counts * deviations**2, features) / count


def batch_norm(x: Array, gamma: Array, beta: Array, mean: Array, variance: Array, eps: float) -> Array:
    scale = gamma * (variance + eps) ** -0.5
    return scale_and_shift(x, scale, beta - mean * scale)


def scale_and_shift(x: Array, scale: Array, shift: Array) -> Array:
    def chunk(rows: Array, scale: Array, shift: Array, y: Array) -> None:
        np.multiply(rows, scale, out=y)
        y += shift

    return by_rows(chunk, x, vectors=(scale, shift))


def batch_norm_sums(grad: Array, x: Array, mean: Array, variance: Array, eps: float) -> tuple[Array, Array]:
    def sums(g: Array, rows: Array, mean: Array) -> tuple[Array, Array]:
        centred = np.subtract(rows, mean, out=scratch("centred", rows.shape, rows.dtype))
        centred *= g
        return _sum_rows(g), _sum_rows(centred)

    sums_of_g, products = by_chunk(sums, grad, x, vectors=(mean,)).swapaxes(0, 1)
    return _total(products, x.shape[-1]) * (variance + eps) ** -0.5, _total(sums_of_g, x.shape[-1])


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
    inverse = (variance + eps) ** -0.5
    scale = gamma * inverse
    slope = inverse * grad_gamma / count
    shift = grad_beta / count

    def chunk(g: Array, rows: Array, mean: Array, slope: Array, shift: Array, scale: Array, result: Array) -> None:
        np.subtract(mean, rows, out=result)
        result *= slope
        result += g
        result -= shift
        result *= scale

    return by_rows(chunk, grad, x, vectors=(mean, slope, shift, scale))


# ---------------------------------------------------------------- spectral normalisation


def spectral_norm_gradient(grad: Array, w: Array, v: Array, u: Array, sigma: Array, size: float) -> Array:
    result = np.empty_like(w)
    scale = size / sigma
    left = np.dot(grad.ravel(), w.ravel()) / sigma * scale * v

    def chunk(_: int, s: slice) -> None:
        outer = np.multiply(left[s, None], u, out=scratch("outer", w[s].shape, w.dtype))
        np.subtract(np.multiply(grad[s], scale, out=result[s]), outer, out=result[s])

    for_rows(chunk, w)
    return result


# ---------------------------------------------------------------- optimisers: in place

sgd_step = plain.sgd_step


def average_step(average: Array, value: Array, decay: float) -> None:
    averages, values = average.reshape(-1, 1), value.reshape(-1, 1)

    def chunk(_: int, s: slice) -> None:
        averages[s] *= decay
        averages[s] += np.multiply(values[s], 1 - decay, out=scratch("average", values[s].shape, value.dtype))

    for_rows(chunk, averages)


def adam_step(
    parameter: Array, grad: Array, m: Array, v: Array, lr: float, betas: tuple[float, float], eps: float, step: int
) -> None:
    beta1, beta2 = betas
    flat = [a.reshape(-1, 1) for a in (parameter, grad, m, v)]
    scale1, scale2 = lr / (1 - beta1**step), (1 - beta2**step) ** -0.5

    def chunk(i: int, s: slice) -> None:
        theta, g, m, v = (a[s] for a in flat)
        work = scratch("adam", g.shape, g.dtype)
        m *= beta1
        np.multiply(g, 1 - beta1, out=work)
        m += work
        v *= beta2
        np.multiply(g, g, out=work)
        work *= 1 - beta2
        v += work
        np.sqrt(v, out=work)
        work *= scale2
        work += eps
        np.divide(m, work, out=work)
        work *= scale1
        theta -= work

    for_rows(chunk, flat[0])
