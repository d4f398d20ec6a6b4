"""Convolution and its two adjoints for NumPy, as matrix products on strips of a few images at a time.

x (N, H, W, C), w (KH, KW, C, O). What each computes is said by its short twin of the same name in `plain_kernels`.

im2col writes each pixel once for every place of the kernel that sees it. A *strip* is unfolded along the rows alone:
for each column of the result, the KW neighbours that the kernel sees, from the top of the image to the bottom. What
lies below one another there is one after the other in memory, so the KH rows of pixels that belong to a row of the
result are columns of a matrix without being copied again (Cho & Brand 2017, "MEC"). Rows of the kernel that hang over
the edge of the image are left out of the product, so nothing is padded above or below.
"""

import threading
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from ..backend import Array
from ..threads import parallel_for
from . import numpy_fourier as fourier
from . import plain_kernels as plain
from .chunks import SMALL_PRODUCT, aligned, for_chunks, per_product, scratch
from .geometry import Padding, Pair, conv_output_size

STRIP_BYTES = 1 << 23  # of the strips of one chunk of images, at most
IMAGES = 32  # of a chunk, at most; of batches above 128 a quarter
LANES = 4  # partial sums of a filter's gradient over the batch
NARROW = 8  # numbers side by side in memory: with less, the inner loop of a copy isn't worth its start


Work = Callable[[Array, Array | float, Array], None]  # (g, bias, x) of some images: writes x


class Run(NamedTuple):
    """Neighbouring rows of a result that the same rows of the kernel, `first` up to `stop`, contribute to."""

    rows: slice
    start: int  # the row of the image where the first of them begins
    first: int
    stop: int


@lru_cache(maxsize=256)
def _runs(rows: int, kernel: int, stride: int, offset: int, height: int) -> tuple[Run, ...]:
    """The rows i < rows, where the kernel's row k lies on the image's row i·stride + offset + k if there is one."""
    runs: list[Run] = []
    for i in range(rows):
        top = i * stride + offset
        first = min(max(0, -top), kernel)
        stop = max(first, min(kernel, height - top))
        if runs and (runs[-1].first, runs[-1].stop) == (first, stop):
            runs[-1] = runs[-1]._replace(rows=slice(runs[-1].rows.start, i + 1))
        else:
            runs.append(Run(slice(i, i + 1), min(max(0, top + first), height), first, stop))
    return tuple(runs)


@lru_cache(maxsize=64)
def _padded(thread: int, shape: tuple[int, ...], padding: Padding, dtype: Any) -> tuple[Array, Array]:
    """A buffer of this thread's for padded images, and its inside. The border is 0 for good: nobody writes it."""
    (top, bottom), (left, right) = padding
    n, height, width, channels = shape
    padded = np.zeros((n, top + height + bottom, left + width + right, channels), dtype)
    return padded, padded[:, top : top + height, left : left + width]


def _pad(x: Array, padding: Padding) -> Array:
    if not any(map(any, padding)):
        return np.ascontiguousarray(x)
    padded, inside = _padded(threading.get_ident(), x.shape, padding, x.dtype)
    inside[...] = x
    return padded


def _unfold(x: Array, kernel: int, stride: int, offset: int, cols: int) -> Array:
    """(N, H, W, C) -> (N, cols, H, kernel·C), a view: column j sees x from j·stride + offset on; x is 0 outside."""
    n, height, width, channels = x.shape
    left, right = max(0, -offset), max(0, (cols - 1) * stride + offset + kernel - width)
    padded = _pad(x, ((0, 0), (left, right)))
    s_n, s_h, s_w, s_c = padded.strides
    start = (left + offset) * s_w if x.size else 0
    # One run of kernel · C numbers lies together in memory, since channels are the last axis.
    return np.ndarray((n, cols, height, kernel * channels), x.dtype, padded, start, (s_n, stride * s_w, s_h, s_c))


def _strips(x: Array, kernel: int, stride: int, offset: int, cols: int) -> Array:
    """The same in scratch memory."""
    view = _unfold(x, kernel, stride, offset, cols)
    strips = scratch("strips", view.shape, x.dtype)
    np.copyto(strips, view)
    return strips


def _products(strips: Array, filters: Array, stride: int, runs: tuple[Run, ...], rows: int) -> Array:
    """(N, cols, H, K), (KH, K, O) -> (rows, N, cols, O), in scratch: for each run its rows of strips times filters."""
    (n, cols, _, _), out = strips.shape, filters.shape[-1]
    images = per_product(n, cols * filters.size)
    product = scratch("product", (rows, n // images, images * cols, out), strips.dtype)
    s_n, s_cols, s_rows, s_numbers = strips.strides
    for run in runs:
        seen = filters[run.first : run.stop].reshape(-1, out)
        shape = (run.rows.stop - run.rows.start, n // images, images * cols, len(seen))
        start = run.start * s_rows if len(seen) else 0
        steps = (stride * s_rows, images * s_n, s_cols, s_numbers)
        np.matmul(np.ndarray(shape, strips.dtype, strips, start, steps), seen, out=product[run.rows])
    return product.reshape(rows, n, cols, out)


def _images_per_chunk(n: int, image: int) -> int:
    """Of n, whose strips take so many bytes each."""
    return max(1, min(max(IMAGES, -(-n // 4)), STRIP_BYTES // max(1, image)))


def _im2col(x: Array, kernel: Pair, stride: Pair, padding: Padding) -> Array:
    """(N, H, W, C) -> (KH·KW·C, N·OH·OW), in scratch: the matrix for few channels, copied along the images' rows."""
    padded, (kh, kw), (sh, sw) = _pad(x, padding), kernel, stride
    n, height, width, channels = padded.shape
    rows, cols = (height - kh) // sh + 1, (width - kw) // sw + 1
    s_n, s_h, s_w, s_c = padded.strides
    steps = (s_h, s_c, s_n, sh * s_h, sw * s_w)
    columns = scratch("columns", (kh, kw * channels, n, rows, cols), x.dtype)
    np.copyto(columns, np.ndarray(columns.shape, x.dtype, padded, 0, steps))
    return columns.reshape(kh * kw * channels, -1)


def conv(x: Array, w: Array, stride: Pair, padding: Padding, bias: Array | float = 0) -> Array:
    if fourier.is_faster(x.shape, w.shape, stride, padding):
        return fourier.conv(x, w, stride, padding, bias)
    n, height, width, channels = x.shape
    kh, kw, _, out = w.shape
    rows = conv_output_size(height, kh, stride[0], padding[0])
    cols = conv_output_size(width, kw, stride[1], padding[1])
    y = np.empty((n, rows, cols, out), np.result_type(x, w))
    filters, line = aligned((kh, kw * channels, out), w.dtype), kw * channels
    filters[...] = w.reshape(filters.shape)
    runs = _runs(rows, kh, stride[0], -padding[0][0], height)

    def chunk(s: slice) -> None:
        if line < NARROW:
            columns = _im2col(x[s], (kh, kw), stride, padding)
            np.matmul(columns.T, filters.reshape(-1, out), out=y[s].reshape(-1, out))
            y[s] += bias
        else:
            strips = _strips(x[s], kw, stride[1], -padding[1][0], cols)
            np.add(_products(strips, filters, stride[0], runs, rows), bias, out=y[s].swapaxes(0, 1))

    for_chunks(chunk, n, _images_per_chunk(n, cols * height * line * x.itemsize))
    return y


def conv_input_gradient(
    grad: Array, w: Array, stride: Pair, padding: Padding, size: Pair, bias: Array | float = 0
) -> Array:
    n, rows, cols, out = grad.shape
    _, kw, channels, _ = w.shape
    if fourier.is_faster((n, *size, channels), w.shape, stride, padding):
        return fourier.conv_input_gradient(grad, w, stride, padding, size, bias)
    x = np.empty((n, *size, channels), np.result_type(grad, w))
    work = _scatter(w, stride, padding) if channels < NARROW else _gather(w, stride, padding, (rows, *size))
    for_chunks(lambda s: work(grad[s], bias, x[s]), n, _images_per_chunk(n, rows * cols * kw * out * x.itemsize))
    return x


def _scatter(w: Array, stride: Pair, padding: Padding) -> Work:
    """Of each g its product with w, added to the patch of x that it came from."""
    filters = np.ascontiguousarray(w).reshape(-1, w.shape[-1]).T

    def work(grad: Array, bias: Array | float, x: Array) -> None:
        g = np.ascontiguousarray(grad).reshape(-1, len(filters))
        columns = np.matmul(g, filters, out=scratch("columns", (len(g), filters.shape[1]), x.dtype))
        patches = columns.reshape(*grad.shape[:3], *w.shape[:3])
        np.add(plain.col2im(patches, x.shape[1:3], stride, padding), bias, out=x)

    return work


def _gather(w: Array, stride: Pair, padding: Padding, sizes: tuple[int, int, int]) -> Work:
    """Pixels of x as products of all g that reach them: convolutions of g with w upside down.

    Across, the padded image is seen as blocks of `stride` pixels, which all see the same columns of g, where w is
    filled up with zeros to whole blocks. Down, every stride-th row of x sees every stride-th row of w.
    """
    (kh, kw, channels, out), (down, across), ((top, _), (left, _)) = w.shape, stride, padding
    rows, height, width = sizes
    taps, first_block, block = -(-kw // across), left // across, across * channels
    blocks, cut_off = -(-(left + width) // across) - first_block, left % across
    whole = np.zeros((kh, taps * across, channels, out), w.dtype)
    whole[:, :kw] = w
    filters = whole.reshape(kh, taps, across, channels, out)[:, ::-1].transpose(0, 1, 4, 2, 3).reshape(kh, -1, block)
    phases = []
    for phase in range(min(down, height)):
        every = filters[(phase + top) % down :: down][::-1]
        seen = aligned(every.shape, w.dtype)
        seen[...] = every
        lines = len(range(phase, height, down))
        phases.append((phase, seen, _runs(lines, len(seen), 1, (phase + top) // down - len(seen) + 1, rows), lines))

    def work(grad: Array, bias: Array | float, x: Array) -> None:
        strips = _strips(grad, taps, 1, first_block - taps + 1, blocks)
        for phase, seen, runs, lines in phases:
            product = _products(strips, seen, 1, runs, lines).reshape(lines, len(x), blocks * across, channels)
            np.add(product[:, :, cut_off : cut_off + width], bias, out=x[:, phase::down].swapaxes(0, 1))

    return work


def conv_filter_gradient(x: Array, grad: Array, stride: Pair, padding: Padding, kernel: Pair) -> Array:
    (n, _, cols, out), (_, height, _, channels) = grad.shape, x.shape
    if fourier.is_faster(x.shape, (*kernel, channels, out), stride, padding):
        return fourier.conv_filter_gradient(x, grad, stride, padding, kernel)
    line = kernel[1] * channels
    images = _images_per_chunk(n, height * cols * line * x.itemsize)
    lane = -(-n // LANES)
    partial = np.zeros((LANES, kernel[0], line, out), np.result_type(x, grad))
    add = _add_narrow if line < NARROW else _add_by_rows

    def sum_lane(i: int) -> None:
        stop = min((i + 1) * lane, n)
        for start in range(i * lane, stop, images):
            s = slice(start, min(start + images, stop))
            add(partial[i], x[s], grad[s], stride, padding, kernel)

    parallel_for(sum_lane, LANES)
    return partial.sum(axis=0).reshape(*kernel, channels, out)


def _add_narrow(total: Array, x: Array, grad: Array, stride: Pair, padding: Padding, kernel: Pair) -> None:
    columns, out = _im2col(x, kernel, stride, padding), grad.shape[-1]
    total += (columns @ np.ascontiguousarray(grad).reshape(-1, out)).reshape(total.shape)


def _add_by_rows(total: Array, x: Array, grad: Array, stride: Pair, padding: Padding, kernel: Pair) -> None:
    """For each row of the kernel, one product of all the pixels that it meets with their g."""
    n, rows, cols, out = grad.shape
    (kh, line), (down, across), ((top, _), (left, _)) = total.shape[:2], stride, padding
    g = scratch("g", (rows, n, cols, out), grad.dtype)
    g[...] = grad.swapaxes(0, 1)
    strips = _unfold(x, kernel[1], across, -left, cols).transpose(2, 0, 1, 3)
    small = line * out * n * cols <= SMALL_PRODUCT  # of one row
    products = scratch("product", (rows if small else 1, line, out), total.dtype)
    for phase in range(min(down, kh)):  # the rows of the kernel that meet the same rows of the image
        met = strips[(phase - top) % down :: down]
        pixels = scratch("strips", met.shape, x.dtype)
        np.copyto(pixels, met)
        for k in range(phase, kh, down):
            shift = (k - top) // down  # g's row i meets row i + shift of these
            first, stop = max(0, -shift), min(rows, len(pixels) - shift)
            if first < stop:
                count = stop - first if small else 1
                seen = pixels[first + shift : stop + shift].reshape(count, -1, line).swapaxes(1, 2)
                np.matmul(seen, g[first:stop].reshape(count, -1, out), out=products[:count])
                total[k] += products[:count].sum(axis=0)
