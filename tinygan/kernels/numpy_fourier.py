"""Convolution and its two adjoints for NumPy, by the discrete Fourier transform.

The transform of a convolution is the product of the transforms (the convolution theorem): for each frequency a product
of (images, C) with (C, O) numbers, in place of one for each tap of the kernel and pixel of the result. An image that is
small beside the kernel has few frequencies: 81 for 7 × 7 pixels and a kernel of 5 × 5, which else take 1225 products.

Such images are too small for the *fast* Fourier transform to be fast: transforms are products with a matrix of waves.
Rounding errors are as small as those of sums over taps, beside the largest number of an image, not of a patch.
"""

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from ..backend import Array
from .blocks import Blocks
from .chunks import SMALL_PRODUCT, aligned, cut, for_chunks, per_product, scratch
from .geometry import Padding, Pair, conv_output_size

TRAFFIC = 180  # multiplications that take as long as to write and read one number of the filters' transforms
LARGEST = 1 << 22  # numbers in a matrix of waves, which is kept
IMAGES = 32  # of a chunk, at most
FEWEST = 16  # however large the filters are
BATCH = 128  # images whose transforms are kept at a time, for the filters' gradient
WAVES = 8  # whose filters are summed at a time
COLUMNS = 256  # of a product with a matrix of waves


def is_faster(x: tuple[int, ...], w: tuple[int, ...], stride: Pair, padding: Padding) -> bool:
    """Whether sums over taps take longer, for conv of x (N, H, W, C) with w (KH, KW, C, O) or its adjoints."""
    (n, height, width, channels), (kh, kw, _, out) = x, w
    if height % stride[0] or width % stride[1] or max(padding[0]) >= kh or max(padding[1]) >= kw:
        return False
    blocks = Blocks.of((height, width), (kh, kw), stride, padding)
    pixels, results, taps = (math.prod(sizes) for sizes in (blocks.size, blocks.results, blocks.kernel))
    waves = 1.5 * math.prod(size + max(pads) for size, pads in zip(blocks.size, blocks.padding, strict=True))
    if waves * max(pixels, results) > LARGEST:
        return False
    numbers = channels * math.prod(stride)
    images = n * (pixels * numbers + numbers * out + results * out)
    return waves * (images + (taps + TRAFFIC) * numbers * out) < n * results * kh * kw * channels * out


class Transforms(NamedTuple):
    """Matrices of waves: y = results · ((pixels · x) × (taps · w)), × for each wave, summed over channels."""

    pixels: Array  # (waves, H·W)
    taps: Array  # (waves, KH·KW)
    results: Array  # (OH·OW, waves)


@lru_cache(maxsize=64)
def _transforms(size: Pair, kernel: Pair, padding: Padding, dtype: Any) -> Transforms:
    """The transforms of images, kernels and results, for y[i] = Σ_k x[i + k − padding] w[k] down and across.

    The image lies on a circle that is just large enough for the zeros on one side to be those on the other. A wave has
    a frequency (u, v) and a complex value, of which the opposite frequency has the conjugate: half of them are enough.
    A product of complex numbers takes three real ones, (a + bi)(c + di) = ac − bd + ((a + b)(c + d) − ac − bd)i, so a
    complex wave becomes three real ones: its real part, its imaginary part, and their sum.
    """
    circle = [n + max(pads) for n, pads in zip(size, padding, strict=True)]
    pixels = [np.arange(n) for n in size]
    taps = [np.arange(k) - before for k, (before, _) in zip(kernel, padding, strict=True)]
    results = [np.arange(conv_output_size(n, k, 1, p)) for n, k, p in zip(size, kernel, padding, strict=True)]

    def wave(u: int, v: int, places: list[Array]) -> Array:
        turns = np.add.outer(u * places[0] / circle[0], v * places[1] / circle[1])
        return np.exp(2j * np.pi * turns).ravel()

    rows: list[tuple[Array, ...]] = []
    for u, v in np.ndindex(*circle):
        opposite = -u % circle[0], -v % circle[1]
        x, w, y = wave(-u, -v, pixels), wave(u, v, taps), wave(u, v, results) / math.prod(circle)
        if (u, v) == opposite:
            rows.append((x.real, w.real, y.real))
        elif (u, v) < opposite:
            parts = y.real + y.imag, y.imag - y.real, -y.imag
            rows += [(a, b, 2 * c) for a, b, c in zip(_three(x), _three(w), parts, strict=True)]
    of_pixels, of_taps, of_results = (np.array(matrix, dtype) for matrix in zip(*rows, strict=True))
    return Transforms(of_pixels, of_taps, np.ascontiguousarray(of_results.T))


def _three(wave: Array) -> tuple[Array, Array, Array]:
    return wave.real, wave.imag, wave.real + wave.imag


def conv(x: Array, w: Array, stride: Pair, padding: Padding, bias: Array | float = 0) -> Array:
    blocks = Blocks.of(x.shape[1:3], w.shape[:2], stride, padding)
    y = np.empty((len(x), *blocks.results, w.shape[3]), np.result_type(x, w))

    def write(s: slice, results: Array) -> None:
        np.add(results.reshape(y[s].shape), bias, out=y[s])

    _convolve(lambda s: blocks.of_images(x[s]), len(x), blocks.size, blocks.of_filters(w), blocks.padding, write)
    return y


def conv_input_gradient(
    grad: Array, w: Array, stride: Pair, padding: Padding, size: Pair, bias: Array | float = 0
) -> Array:
    """A convolution too, of stride 1: with the filters upside down and the channels in each other's place."""
    n, rows, cols, out = grad.shape
    blocks = Blocks.of(size, w.shape[:2], stride, padding)
    x = np.empty((n, *size, w.shape[2]), np.result_type(grad, w))

    def write(s: slice, results: Array) -> None:
        pixels = blocks.as_images(results)
        np.add(pixels, bias, out=x[s].reshape(pixels.shape))

    filters = blocks.upside_down(w)
    _convolve(lambda s: grad[s].reshape(-1, rows * cols, out), n, (rows, cols), filters, blocks.outer, write)
    return x


def _convolve(
    images: Callable[[slice], Array],
    n: int,
    size: Pair,
    filters: Array,
    padding: Padding,
    write: Callable[[slice, Array], None],
) -> None:
    """Of chunks s of n images: write(s, images(s) (N, H·W, C) convolved with filters (KH, KW, C, O): (N, OH·OW, O))."""
    kh, kw, channels, out = filters.shape
    pixels, taps, results = _transforms(size, (kh, kw), padding, filters.dtype)
    of_filters = aligned((len(taps), channels, out), filters.dtype)
    _multiply(taps, filters.reshape(kh * kw, -1), of_filters.reshape(len(taps), -1))

    def chunk(s: slice) -> None:
        x = images(s)
        of_images = scratch("waves", (len(pixels), len(x), channels), filters.dtype)
        products = scratch("product", (len(pixels), len(x), out), filters.dtype)
        y = scratch("y", (len(x), len(results), out), filters.dtype)
        np.matmul(pixels, x, out=of_images.swapaxes(0, 1))
        np.matmul(of_images, of_filters, out=products)
        np.matmul(results, products.swapaxes(0, 1), out=y)
        write(s, y)

    for_chunks(chunk, n, max(FEWEST, min(IMAGES, SMALL_PRODUCT // (channels * out))))


def conv_filter_gradient(x: Array, grad: Array, stride: Pair, padding: Padding, kernel: Pair) -> Array:
    n, rows, cols, out = grad.shape
    blocks = Blocks.of(x.shape[1:3], kernel, stride, padding)
    filters = np.empty((*blocks.kernel, *stride, x.shape[3], out), np.result_type(x, grad))
    pixels, taps, results = _transforms(blocks.size, blocks.kernel, blocks.padding, filters.dtype)
    total = np.zeros((len(taps), math.prod(stride) * x.shape[3], out), filters.dtype)
    for batch in cut(n, BATCH):
        of_images = _waves(pixels, x[batch], blocks.of_images)
        of_grads = _waves(results.T, grad[batch], lambda g: g.reshape(-1, rows * cols, out))
        _add_products(total, of_images, of_grads)
    _multiply(taps.T, total.reshape(len(taps), -1), filters.reshape(math.prod(blocks.kernel), -1))
    height, width = (k * step for k, step in zip(blocks.kernel, stride, strict=True))
    return blocks.without_zeros(filters.swapaxes(1, 2).reshape(height, width, -1, out), kernel).copy()


def _waves(matrix: Array, images: Array, view: Callable[[Array], Array]) -> Array:
    """The transforms (waves, N, C) of images that `view` gives as (N, pixels, C)."""
    n = len(images)
    result = np.empty((len(matrix), n, images[0].size // matrix.shape[1]), matrix.dtype)
    for_chunks(lambda s: np.matmul(matrix, view(images[s]), out=result[:, s].swapaxes(0, 1)), n, IMAGES)
    return result


def _add_products(total: Array, of_images: Array, of_grads: Array) -> None:
    """total (waves, C, O) += of_images (waves, N, C) × of_grads (waves, N, O), summed over N."""
    (waves, n, channels), out = of_images.shape, of_grads.shape[2]
    part = per_product(channels, n * out)

    def chunk(s: slice) -> None:
        parts = of_images[s].reshape(-1, n, channels // part, part).transpose(0, 2, 3, 1)
        products = scratch("product", (*parts.shape[:3], out), total.dtype)
        np.matmul(parts, of_grads[s, None], out=products)
        total[s] += products.reshape(-1, channels, out)

    for_chunks(chunk, waves, WAVES)


def _multiply(matrix: Array, columns: Array, result: Array) -> None:
    """result = matrix @ columns, of which there are many."""
    for_chunks(lambda s: np.matmul(matrix, columns[:, s], out=result[:, s]), columns.shape[1], COLUMNS)
