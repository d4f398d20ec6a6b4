"""Kernels for NumPy: work is cut into chunks, and the chunks are spread over threads.

What each kernel computes is said by its short twin of the same name in `cupy_kernels`. Chunks are cut by sizes
alone and partial sums are added in their order, so the results are the same bytes for any number of threads.
"""

import math
import threading
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from ..backend import Array
from ..threads import parallel_for
from . import cupy_kernels as simple
from .geometry import Padding, Pair, conv_output_size

CHUNK_BYTES = 1 << 21  # of one array in element-wise work: with less, a second thread costs more than it brings
COLUMN_BYTES = 1 << 22  # of the im2col matrix of one chunk of images
MULTIPLY_ADDS = 1 << 22  # of one piece of a matrix product
SUM_BLOCK = 256  # rows
LANES = 4  # partial sums of a reduction over the batch

_local = threading.local()


def _scratch(name: str, shape: tuple[int, ...], dtype: Any) -> Array:
    """An uninitialised buffer, kept by each thread for reuse: fresh memory costs page faults. Never leaves a kernel."""
    buffers = _local.__dict__
    size = math.prod(shape) * dtype.itemsize
    buffer = buffers.get(name)
    if buffer is None or buffer.size < size:
        buffer = buffers[name] = np.empty(size, np.uint8)
    return np.ndarray(shape, dtype, buffer)


def _chunks(length: int, most: int) -> list[slice]:
    """Slices that cover range(length), of at most `most` each: of one size, but for the last."""
    count = -(-length // most)
    count += count > 1 and count % 2  # an even number, so that two threads end together
    size = max(1, -(-length // max(1, count)))
    return [slice(start, min(start + size, length)) for start in range(0, length, size)]


def _for_chunks(work: Callable[[slice], object], length: int, most: int) -> None:
    """Call work(slice) for each of these chunks, on all threads."""
    chunks = _chunks(length, most)
    parallel_for(lambda i: work(chunks[i]), len(chunks))


def _rows_per_chunk(array: Array) -> int:
    """How many rows (runs along the last axis) have about CHUNK_BYTES."""
    row_bytes: int = array.shape[-1] * array.itemsize
    return max(1, CHUNK_BYTES // max(1, row_bytes))


def _by_rows(function: Callable[..., object], *arrays: Array, width: int = 1) -> Array:
    """result = function(*arrays, result), given chunks of rows (M, width); the arrays have one shape and dtype."""
    result = np.empty(arrays[0].shape, arrays[0].dtype)
    rows = [np.ascontiguousarray(a).reshape(-1, width) for a in arrays] + [result.reshape(-1, width)]
    _for_chunks(lambda s: function(*(a[s] for a in rows)), len(rows[-1]), _rows_per_chunk(rows[-1]))
    return result


# ---------------------------------------------------------------- activations


def tanh(x: Array) -> Array:
    return _by_rows(lambda x, y: np.tanh(x, out=y), x)


def sigmoid(x: Array) -> Array:
    with np.errstate(over="ignore"):
        return simple.sigmoid(x)


def softplus(x: Array) -> Array:
    return simple.softplus(x)


def leaky_relu(x: Array, slope: float) -> Array:
    if not 0 <= slope <= 1:
        return simple.leaky_relu(x, slope)

    def chunk(x: Array, y: Array) -> None:
        np.multiply(x, slope, out=y)
        np.maximum(x, y, out=y)  # far faster than np.where, and the same for slopes from 0 to 1

    return _by_rows(chunk, x)


def leaky_relu_gradient(grad: Array, x: Array, slope: float) -> Array:
    if not 0 <= slope <= 1:
        return simple.leaky_relu_gradient(grad, x, slope)

    def chunk(grad: Array, x: Array, result: Array) -> None:
        np.greater(x, 0, out=result)
        np.maximum(result, slope, out=result)  # the factor: 1 where x > 0, else slope
        result *= grad

    return _by_rows(chunk, grad, x)


# ---------------------------------------------------------------- matrices and sums


def matmul(a: Array, b: Array) -> Array:
    if a.ndim != 2 or b.ndim != 2 or a.dtype != b.dtype:
        return a @ b
    if a.shape[1] == 1:
        return a * b  # an outer product, which NumPy doesn't give to BLAS
    result = np.empty((a.shape[0], b.shape[1]), a.dtype)
    rows, inner, columns = a.shape[0], a.shape[1], b.shape[1]
    if rows >= columns:
        piece = max(64, MULTIPLY_ADDS // max(1, inner * columns))
        _for_chunks(lambda s: np.matmul(a[s], b, out=result[s]), rows, piece)
    else:
        piece = max(64, MULTIPLY_ADDS // max(1, inner * rows))
        _for_chunks(lambda s: np.matmul(a, b[:, s], out=result[:, s]), columns, piece)
    return result


def sum(x: Array, axes: tuple[int, ...], keepdims: bool) -> Array:
    if x.ndim < 2 or axes != tuple(range(x.ndim - 1)) or x.dtype.kind != "f":
        return x.sum(axis=axes, keepdims=keepdims)
    total = _column_sums(lambda rows: rows, x)
    return total.reshape((1,) * (x.ndim - 1) + (-1,)) if keepdims else total


def _column_sums(function: Callable[..., Array], *arrays: Array) -> Array:
    """Σ over all axes but the last of function(*arrays), where the function is given chunks of rows (M, C)."""
    channels = arrays[0].shape[-1]
    flat = [np.ascontiguousarray(a).reshape(-1, channels) for a in arrays]
    chunks = _chunks(len(flat[0]), _rows_per_chunk(flat[0]))
    partial = np.zeros((len(chunks), channels), arrays[0].dtype)

    def sum_chunk(i: int) -> None:
        partial[i] = _sum_rows(function(*(a[chunks[i]] for a in flat)))

    parallel_for(sum_chunk, len(chunks))
    return partial.sum(axis=0)


def _sum_rows(values: Array) -> Array:
    """Σ over the rows of (M, C) by BLAS, in blocks: rounding errors grow with the size of a block, not with M."""
    ones = np.ones(SUM_BLOCK, values.dtype)
    whole = len(values) // SUM_BLOCK
    blocks = values[: whole * SUM_BLOCK].reshape(whole, SUM_BLOCK, values.shape[1])
    rest = values[whole * SUM_BLOCK :]
    return (ones @ blocks).sum(axis=0) + ones[: len(rest)] @ rest


# ---------------------------------------------------------------- convolution: x (N, H, W, C), w (KH, KW, C, O)


@lru_cache(maxsize=64)
def _padded(thread: int, shape: tuple[int, ...], padding: Padding, dtype: Any) -> tuple[Array, Array]:
    """A buffer of this thread's for padded images, and its inside. The border is 0 for good: nobody writes it."""
    (top, bottom), (left, right) = padding
    n, height, width, channels = shape
    padded = np.zeros((n, top + height + bottom, left + width + right, channels), dtype)
    return padded, padded[:, top : top + height, left : left + width]


def _im2col(x: Array, kernel: Pair, stride: Pair, padding: Padding) -> Array:
    """(N, H, W, C) -> (N·OH·OW, KH·KW·C), in scratch memory."""
    (kh, kw), (sh, sw) = kernel, stride
    if any(map(any, padding)):
        padded, inside = _padded(threading.get_ident(), x.shape, padding, x.dtype)
        inside[...] = x
    else:
        padded = np.ascontiguousarray(x)
    n, height, width, channels = padded.shape
    rows, cols = (height - kh) // sh + 1, (width - kw) // sw + 1
    s_n, s_h, s_w, s_c = padded.strides
    # One run of KW·C numbers lies together in memory, since channels are the last axis.
    patches = np.ndarray((n, rows, cols, kh, kw * channels), x.dtype, padded, 0, (s_n, s_h * sh, s_w * sw, s_h, s_c))
    columns = _scratch("columns", patches.shape, x.dtype)
    np.copyto(columns, patches)
    return columns.reshape(n * rows * cols, kh * kw * channels)


def _col2im(columns: Array, stride: Pair, padding: Padding, out: Array) -> None:
    """The adjoint of im2col, (N, OH, OW, KH, KW, C) -> (N, H, W, C), written to `out`.

    The padded image is seen as blocks of stride × stride pixels. Each patch starts at a block's corner, so what it
    has for the block i down and j across is put in place by one addition for all patches.
    """
    n, rows, cols, kh, kw, channels = columns.shape
    (sh, sw), ((top, _), (left, _)) = stride, padding
    if channels < 8:  # too few numbers side by side for the inner loop of the additions below
        out[...] = simple.col2im(columns, out.shape[1:3], stride, padding)
        return
    high = max(rows + -(-kh // sh) - 1, -(-(top + out.shape[1]) // sh))
    wide = max(cols + -(-kw // sw) - 1, -(-(left + out.shape[2]) // sw))
    blocks = _scratch("blocks", (n, high, sh, wide, sw, channels), columns.dtype)
    blocks.fill(0)
    for i in range(-(-kh // sh)):
        for j in range(-(-kw // sw)):
            part = columns[:, :, :, i * sh : (i + 1) * sh, j * sw : (j + 1) * sw].swapaxes(2, 3)
            blocks[:, i : i + rows, : part.shape[2], j : j + cols, : part.shape[4]] += part
    padded = blocks.reshape(n, high * sh, wide * sw, channels)
    out[...] = padded[:, top : top + out.shape[1], left : left + out.shape[2]]


def _images_per_chunk(rows: int, cols: int, w_shape: tuple[int, ...], itemsize: int) -> int:
    return max(1, COLUMN_BYTES // max(1, rows * cols * w_shape[0] * w_shape[1] * w_shape[2] * itemsize))


def conv(x: Array, w: Array, stride: Pair, padding: Padding) -> Array:
    n, height, width, _ = x.shape
    kh, kw, _, out = w.shape
    rows = conv_output_size(height, kh, stride[0], padding[0])
    cols = conv_output_size(width, kw, stride[1], padding[1])
    y = np.empty((n, rows, cols, out), np.result_type(x, w))
    filters = np.ascontiguousarray(w).reshape(-1, out)

    def chunk(s: slice) -> None:
        np.matmul(_im2col(x[s], (kh, kw), stride, padding), filters, out=y[s].reshape(-1, out))

    _for_chunks(chunk, n, _images_per_chunk(rows, cols, w.shape, x.itemsize))
    return y


def conv_input_gradient(grad: Array, w: Array, stride: Pair, padding: Padding, size: Pair) -> Array:
    n, rows, cols, out = grad.shape
    x = np.empty((n, *size, w.shape[2]), np.result_type(grad, w))
    filters = np.ascontiguousarray(w).reshape(-1, out).T

    def chunk(s: slice) -> None:
        g = np.ascontiguousarray(grad[s]).reshape(-1, out)
        columns = _scratch("columns", (g.shape[0], filters.shape[1]), x.dtype)
        np.matmul(g, filters, out=columns)
        _col2im(columns.reshape(-1, rows, cols, *w.shape[:3]), stride, padding, x[s])

    _for_chunks(chunk, n, _images_per_chunk(rows, cols, w.shape, x.itemsize))
    return x


def conv_filter_gradient(x: Array, grad: Array, stride: Pair, padding: Padding, kernel: Pair) -> Array:
    n, rows, cols, out = grad.shape
    channels = x.shape[3]
    images = _images_per_chunk(rows, cols, (*kernel, channels), x.itemsize)
    lane = -(-n // LANES)
    partial = np.zeros((LANES, kernel[0] * kernel[1] * channels, out), np.result_type(x, grad))

    def sum_lane(i: int) -> None:
        stop = min((i + 1) * lane, n)
        for start in range(i * lane, stop, images):
            s = slice(start, min(start + images, stop))
            columns, g = _im2col(x[s], kernel, stride, padding), np.ascontiguousarray(grad[s]).reshape(-1, out)
            first = start == i * lane
            product = partial[i] if first else _scratch("product", partial.shape[1:], partial.dtype)
            np.matmul(columns.T, g, out=product)
            if not first:
                partial[i] += product

    parallel_for(sum_lane, LANES)
    return partial.sum(axis=0).reshape(*kernel, channels, out)


# ---------------------------------------------------------------- batch normalisation: x (…, C)


def batch_norm(x: Array, gamma: Array, beta: Array, eps: float) -> tuple[Array, Array, Array]:
    channels = x.shape[-1]
    count = x.size // channels
    mean = _column_sums(lambda rows: rows, x) / count
    y = _by_rows(lambda rows, centred: np.subtract(rows, mean, out=centred), x, width=channels)
    variance = _column_sums(_squares, y) / count
    scale = gamma * (variance + eps) ** -0.5
    centred = y.reshape(-1, channels)

    def finish(s: slice) -> None:
        rows = centred[s]
        rows *= scale
        rows += beta

    _for_chunks(finish, len(centred), _rows_per_chunk(centred))
    return y, mean, variance


def _squares(rows: Array) -> Array:
    return np.multiply(rows, rows, out=_scratch("squares", rows.shape, rows.dtype))


def batch_norm_gradient(
    grad: Array, x: Array, gamma: Array, mean: Array, variance: Array, eps: float
) -> tuple[Array, Array, Array]:
    count = x.size // x.shape[-1]
    inverse = (variance + eps) ** -0.5

    def weighted(g: Array, rows: Array) -> Array:
        centred = np.subtract(rows, mean, out=_scratch("centred", rows.shape, rows.dtype))
        centred *= g
        return centred

    grad_beta = _column_sums(lambda rows: rows, grad)
    grad_gamma = _column_sums(weighted, grad, x) * inverse
    scale = gamma * inverse
    slope = inverse * grad_gamma / count
    shift = grad_beta / count

    def chunk(g: Array, rows: Array, result: Array) -> None:
        np.subtract(mean, rows, out=result)
        result *= slope
        result += g
        result -= shift
        result *= scale

    return _by_rows(chunk, grad, x, width=x.shape[-1]), grad_gamma, grad_beta


# ---------------------------------------------------------------- optimisers: in place

sgd_step = simple.sgd_step
average_step = simple.average_step


def adam_step(
    parameter: Array, grad: Array, m: Array, v: Array, lr: float, betas: tuple[float, float], eps: float, step: int
) -> None:
    beta1, beta2 = betas
    flat = [a.reshape(-1) for a in (parameter, grad, m, v)]
    scale1, scale2 = lr / (1 - beta1**step), (1 - beta2**step) ** -0.5

    def chunk(s: slice) -> None:
        theta, g, m, v = (a[s] for a in flat)
        work = _scratch("adam", g.shape, g.dtype)
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

    _for_chunks(chunk, parameter.size, max(1, CHUNK_BYTES // parameter.itemsize))
