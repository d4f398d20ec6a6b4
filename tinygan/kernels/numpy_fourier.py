"""Convolution of stride 1 and its filters' gradient for NumPy, by the discrete Fourier transform.

x (N, H, W, C), w (KH, KW, C, O). The transform of a convolution is the product of the transforms (the convolution
theorem), frequency by frequency: one product of (images, C) with (C, O) numbers at each frequency, in place of one at
each tap of the kernel and pixel of the result. An image that is small beside the kernel has few frequencies: 81 for
7×7 pixels and a kernel of 5×5, which else take 1225 products.

Such images are too small for the *fast* Fourier transform to be fast: the transforms are matrix products themselves, so
all of it is three matrices, y = results · ((pixels · x) × (taps · w)), and gradients are the same matrices transposed.

A result's rounding errors are as small as those of sums over taps, beside the largest number of its image, that is.
"""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from ..backend import Array
from .chunks import SMALL_PRODUCT, aligned, cut, for_chunks, per_product, scratch
from .geometry import Padding, Pair, conv_output_size

IMAGES = 32  # of a chunk, at most
FEWEST = 16
BATCH = 128  # images whose transforms are kept at a time
COLUMNS = 256  # of a product with a matrix of waves
WAVES = 8  # whose filters are summed at a time
GAIN = 2  # times fewer multiplications than by sums over taps, for transforms to be worth it


class Transforms(NamedTuple):
    """Matrices of real waves: y = results · ((pixels · x) × (taps · w)), × for each wave and summed over channels."""

    pixels: Array  # (waves, H·W)
    taps: Array  # (waves, KH·KW)
    results: Array  # (OH·OW, waves)


@lru_cache(maxsize=64)
def _transforms(size: Pair, kernel: Pair, padding: Padding, dtype: Any) -> Transforms:
    """The transforms of images, kernels and results, for y[i] = Σ_k x[i + k − padding] w[k] down and across.

    The image lies on a circle that is just large enough for the zeros on one side to be those on the other. A wave has
    a frequency (u, v) and a complex value, of which the opposite frequency has the conjugate: so half of them are
    enough. A product of complex numbers takes three real ones, (a + bi)(c + di) = ac − bd + ((a + b)(c + d) − ac − bd)i,
    so a complex wave is three real ones: of its real part, its imaginary part, and their sum.
    """
    circle = [n + max(pads) for n, pads in zip(size, padding, strict=True)]
    counts = [conv_output_size(n, k, 1, pads) for n, k, pads in zip(size, kernel, padding, strict=True)]
    places = [np.arange(n) for n in size], [np.arange(k) - pads[0] for k, pads in zip(kernel, padding, strict=True)]
    results = [np.arange(n) for n in counts]

    def wave(u: int, v: int, down: Array, across: Array) -> Array:
        return np.exp(2j * np.pi * np.add.outer(u * down / circle[0], v * across / circle[1])).ravel()

    rows: list[tuple[Array, Array, Array]] = []
    for u, v in np.ndindex(*circle):
        opposite = -u % circle[0], -v % circle[1]
        if (u, v) > opposite:
            continue
        x, w, y = wave(-u, -v, *places[0]), wave(u, v, *places[1]), wave(u, v, *results) / np.prod(circle)
        if (u, v) == opposite:
            rows += [(x.real, w.real, y.real)]
        else:
            parts = 2 * (y.real + y.imag), 2 * (y.imag - y.real), -2 * y.imag
            rows += zip(_three(x), _three(w), parts, strict=True)
    pixels, taps, back = (np.array(matrix, dtype) for matrix in zip(*rows, strict=True))
    return Transforms(pixels, taps, np.ascontiguousarray(back.T))


def _three(wave: Array) -> tuple[Array, Array, Array]:
    return wave.real, wave.imag, wave.real + wave.imag


def is_faster(x: tuple[int, ...], w: tuple[int, ...], stride: Pair, padding: Padding) -> bool:
    """Whether this takes far fewer multiplications for conv of x (N, H, W, C), w (KH, KW, C, O), or its adjoints."""
    (n, height, width, channels), (kh, kw, _, out) = x, w
    if stride != (1, 1) or max(padding[0]) >= kh or max(padding[1]) >= kw:
        return False
    results = conv_output_size(height, kh, 1, padding[0]) * conv_output_size(width, kw, 1, padding[1])
    waves = 1.5 * (height + max(padding[0])) * (width + max(padding[1]))
    images = n * (height * width * channels + channels * out + results * out)
    return GAIN * waves * (images + kh * kw * channels * out) < n * results * kh * kw * channels * out


def conv(x: Array, w: Array, padding: Padding, bias: Array | float = 0) -> Array:
    n, height, width, channels = x.shape
    kh, kw, _, out = w.shape
    rows, cols = conv_output_size(height, kh, 1, padding[0]), conv_output_size(width, kw, 1, padding[1])
    y = np.empty((n, rows, cols, out), np.result_type(x, w))
    pixels, taps, results = _transforms((height, width), (kh, kw), padding, y.dtype)
    filters = aligned((len(taps), channels, out), y.dtype)
    _multiply_columns(taps, w.reshape(kh * kw, -1), filters.reshape(len(taps), -1))

    def chunk(s: slice) -> None:
        images = x[s].reshape(-1, height * width, channels)
        waves = scratch("waves", (len(pixels), len(images), channels), y.dtype)
        products = scratch("product", (len(pixels), len(images), out), y.dtype)
        np.matmul(pixels, images, out=waves.swapaxes(0, 1))
        np.matmul(waves, filters, out=products)
        np.matmul(results, products.swapaxes(0, 1), out=y[s].reshape(-1, rows * cols, out))
        y[s] += bias

    for_chunks(chunk, n, max(FEWEST, min(IMAGES, SMALL_PRODUCT // (channels * out))))
    return y


def conv_input_gradient(grad: Array, w: Array, padding: Padding, bias: Array | float = 0) -> Array:
    """A convolution too: with the filters upside down and the channels in each other's place."""
    kh, kw = w.shape[:2]
    (top, bottom), (left, right) = padding
    outer = (kh - 1 - top, kh - 1 - bottom), (kw - 1 - left, kw - 1 - right)
    return conv(grad, w[::-1, ::-1].swapaxes(2, 3), outer, bias)


def conv_filter_gradient(x: Array, grad: Array, padding: Padding, kernel: Pair) -> Array:
    channels, out = x.shape[3], grad.shape[3]
    w = np.empty((*kernel, channels, out), np.result_type(x, grad))
    pixels, taps, results = _transforms(x.shape[1:3], kernel, padding, w.dtype)
    total = np.zeros((len(taps), channels, out), w.dtype)
    for batch in cut(len(x), BATCH):
        _add_filters(total, _waves(pixels, x[batch]), _waves(results.T, grad[batch]))
    _multiply_columns(taps.T, total.reshape(len(taps), -1), w.reshape(kernel[0] * kernel[1], -1))
    return w


def _waves(matrix: Array, images: Array) -> Array:
    """(waves, pixels), (N, H, W, C) -> (waves, N, C)."""
    n, channels = len(images), images.shape[3]
    waves = np.empty((len(matrix), n, channels), matrix.dtype)
    flat = images.reshape(n, -1, channels)
    for_chunks(lambda s: np.matmul(matrix, flat[s], out=waves[:, s].swapaxes(0, 1)), n, IMAGES)
    return waves


def _add_filters(total: Array, waves: Array, grads: Array) -> None:
    """(waves, C, O) += (waves, N, C), (waves, N, O), summed over N."""
    (count, n, channels), out = waves.shape, grads.shape[2]
    part = per_product(channels, n * out)

    def work(s: slice) -> None:
        parts = waves[s].reshape(-1, n, channels // part, part).transpose(0, 2, 3, 1)
        products = scratch("product", (*parts.shape[:3], out), total.dtype)
        np.matmul(parts, grads[s, None], out=products)
        total[s] += products.reshape(-1, channels, out)

    for_chunks(work, count, WAVES)


def _multiply_columns(matrix: Array, columns: Array, result: Array) -> None:
    """result = matrix @ columns."""
    for_chunks(lambda s: np.matmul(matrix, columns[:, s], out=result[:, s]), columns.shape[1], COLUMNS)
