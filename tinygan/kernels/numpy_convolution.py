"""Convolution and its two adjoints for NumPy, as matrix products, some images at a time.

x (N, H, W, C), w (KH, KW, C, O). What each computes is said by its short twin of the same name in `cupy_kernels`.
"""

import threading
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from ..backend import Array
from ..threads import parallel_for
from . import cupy_kernels as simple
from .chunks import for_chunks, scratch
from .geometry import Padding, Pair, conv_output_size

CONV_BYTES = 1 << 22  # of the matrices of one chunk of images
LANES = 4  # partial sums of a filter's gradient over the batch
NARROW = 8  # numbers side by side in memory: with less, the inner loop of a copy or an addition isn't worth its start


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
    narrow = kw * channels < NARROW
    if narrow:  # then copy along the rows of the images, to a matrix that is stored transposed
        patches = patches.transpose(3, 4, 0, 1, 2)
    columns = scratch("columns", patches.shape, x.dtype)
    np.copyto(columns, patches)
    if narrow:
        return columns.reshape(-1, n * rows * cols).T
    return columns.reshape(n * rows * cols, -1)


def _col2im(columns: Array, stride: Pair, padding: Padding, out: Array) -> None:
    """The adjoint of im2col, (N, OH, OW, KH, KW, C) -> (N, H, W, C), written to `out`.

    The padded image is seen as blocks of stride × stride pixels. Each patch starts at a block's corner, so what it
    has for the block i down and j across is put in place by one addition for all patches.
    """
    n, rows, cols, kh, kw, channels = columns.shape
    (sh, sw), ((top, _), (left, _)) = stride, padding
    if channels < NARROW:  # too few numbers side by side for the inner loop of the additions below
        out[...] = simple.col2im(columns, out.shape[1:3], stride, padding)
        return
    high = max(rows + -(-kh // sh) - 1, -(-(top + out.shape[1]) // sh))
    wide = max(cols + -(-kw // sw) - 1, -(-(left + out.shape[2]) // sw))
    blocks = scratch("blocks", (n, high, sh, wide, sw, channels), columns.dtype)
    blocks.fill(0)
    for i in range(-(-kh // sh)):
        for j in range(-(-kw // sw)):
            part = columns[:, :, :, i * sh : (i + 1) * sh, j * sw : (j + 1) * sw].swapaxes(2, 3)
            blocks[:, i : i + rows, : part.shape[2], j : j + cols, : part.shape[4]] += part
    padded = blocks.reshape(n, high * sh, wide * sw, channels)
    out[...] = padded[:, top : top + out.shape[1], left : left + out.shape[2]]


def _images_per_chunk(rows: int, cols: int, w_shape: tuple[int, ...], itemsize: int) -> int:
    """So many that the im2col matrix and its product with the filters have about CONV_BYTES."""
    kh, kw, channels, out = w_shape
    return max(1, CONV_BYTES // max(1, rows * cols * (kh * kw * channels + out) * itemsize))


def conv(x: Array, w: Array, stride: Pair, padding: Padding) -> Array:
    n, height, width, _ = x.shape
    kh, kw, _, out = w.shape
    rows = conv_output_size(height, kh, stride[0], padding[0])
    cols = conv_output_size(width, kw, stride[1], padding[1])
    y = np.empty((n, rows, cols, out), np.result_type(x, w))
    filters = np.ascontiguousarray(w).reshape(-1, out)

    def chunk(s: slice) -> None:
        np.matmul(_im2col(x[s], (kh, kw), stride, padding), filters, out=y[s].reshape(-1, out))

    for_chunks(chunk, n, _images_per_chunk(rows, cols, w.shape, x.itemsize))
    return y


def conv_input_gradient(grad: Array, w: Array, stride: Pair, padding: Padding, size: Pair) -> Array:
    n, rows, cols, out = grad.shape
    kh, kw, channels, _ = w.shape
    x = np.empty((n, *size, channels), np.result_type(grad, w))
    # Both are exact. To gather takes whole blocks, and is faster unless g has more channels than a block has numbers.
    whole_blocks = kh % stride[0] == 0 and kw % stride[1] == 0
    if whole_blocks and out <= stride[0] * stride[1] * channels:
        work = _gather(w, stride, padding)
    else:
        work = _scatter(w, stride, padding)
    for_chunks(lambda s: work(grad[s], x[s]), n, _images_per_chunk(rows, cols, w.shape, x.itemsize))
    return x


def _scatter(w: Array, stride: Pair, padding: Padding) -> Callable[[Array, Array], None]:
    """Of each g its product with w, added to the patch of x that it came from."""
    filters = np.ascontiguousarray(w).reshape(-1, w.shape[-1]).T

    def work(grad: Array, x: Array) -> None:
        g = np.ascontiguousarray(grad).reshape(-1, len(filters))
        columns = np.matmul(g, filters, out=scratch("columns", (len(g), filters.shape[1]), x.dtype))
        _col2im(columns.reshape(*grad.shape[:3], *w.shape[:3]), stride, padding, x)

    return work


def _gather(w: Array, stride: Pair, padding: Padding) -> Callable[[Array, Array], None]:
    """The same where the kernel is a multiple of the stride: pixels of x as products of all g that reach them.

    The padded image is seen as blocks of stride × stride pixels, each reached by the same number of patches: so x is a
    convolution of g, of stride 1, that gives blocks; here one row of pixels in all blocks at a time.
    """
    (sh, sw), ((top, _), (left, _)), (kh, kw, channels, out) = stride, padding, w.shape
    high, wide = kh // sh, kw // sw
    reversed_blocks = w.reshape(high, sh, wide, sw, channels, out)[::-1, :, ::-1]
    filters = np.ascontiguousarray(reversed_blocks.transpose(1, 0, 2, 5, 3, 4)).reshape(sh, -1, sw * channels)

    def work(grad: Array, x: Array) -> None:
        n, rows, cols, _ = grad.shape
        below, beyond = -(-(top + x.shape[1]) // sh) - rows, -(-(left + x.shape[2]) // sw) - cols
        pads = (high - 1, max(0, below)), (wide - 1, max(0, beyond))
        columns = _im2col(grad, (high, wide), (1, 1), pads)
        blocks = scratch("blocks", (n, rows + pads[0][1], cols + pads[1][1], sw, channels), x.dtype)
        lines = blocks.reshape(*blocks.shape[:2], -1, channels)[:, :, left : left + x.shape[2]]
        for row in range(sh):
            np.matmul(columns, filters[row], out=blocks.reshape(len(columns), -1))
            first = (row - top) % sh
            part = x[:, first::sh]
            part[...] = lines[:, (first + top) // sh :][:, : part.shape[1]]

    return work


def conv_filter_gradient(x: Array, grad: Array, stride: Pair, padding: Padding, kernel: Pair) -> Array:
    n, rows, cols, out = grad.shape
    channels = x.shape[3]
    images = _images_per_chunk(rows, cols, (*kernel, channels, out), x.itemsize)
    lane = -(-n // LANES)
    partial = np.zeros((LANES, kernel[0] * kernel[1] * channels, out), np.result_type(x, grad))

    def sum_lane(i: int) -> None:
        stop = min((i + 1) * lane, n)
        for start in range(i * lane, stop, images):
            s = slice(start, min(start + images, stop))
            columns, g = _im2col(x[s], kernel, stride, padding), np.ascontiguousarray(grad[s]).reshape(-1, out)
            first = start == i * lane
            product = partial[i] if first else scratch("product", partial.shape[1:], partial.dtype)
            np.matmul(columns.T, g, out=product)
            if not first:
                partial[i] += product

    parallel_for(sum_lane, LANES)
    return partial.sum(axis=0).reshape(*kernel, channels, out)
