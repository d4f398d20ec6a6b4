"""A convolution of stride s as one of stride 1, on blocks of s × s pixels, which are pixels of s·s·C channels."""

import math
from typing import NamedTuple

from ..backend import Array, array_library
from .geometry import Padding, Pair, conv_output_size


class Blocks(NamedTuple):
    """The geometry of that. An image that isn't of whole blocks is taken for one with more rows and columns."""

    stride: Pair
    size: Pair  # of the image
    kernel: Pair
    zeros: Pair  # above and left of the kernel, to fill its first blocks
    padding: Padding
    results: Pair

    @classmethod
    def of(cls, size: Pair, kernel: Pair, stride: Pair, padding: Padding) -> "Blocks":
        axes = []
        for n, k, step, (before, after) in zip(size, kernel, stride, padding, strict=True):
            zeros, first, results = -before % step, -(-before // step), conv_output_size(n, k, step, (before, after))
            length, taps = -(-n // step), -(-(zeros + k) // step)
            axes.append((step, length, taps, zeros, (first, results - 1 + taps - length - first), results))
        return cls(*zip(*axes, strict=True))

    @property
    def outer(self) -> Padding:
        """The padding of the input's gradient, which is a convolution of stride 1 with the filters upside down."""
        (kh, kw), ((top, bottom), (left, right)) = self.kernel, self.padding
        return (kh - 1 - top, kh - 1 - bottom), (kw - 1 - left, kw - 1 - right)

    def of_images(self, x: Array) -> Array:
        """(N, H, W, C), of whole blocks -> (N, blocks, numbers of a block)."""
        (down, across), (height, width), (n, *_, channels) = self.stride, self.size, x.shape
        blocks = x.reshape(n, height, down, width, across, channels).swapaxes(2, 3)
        return blocks.reshape(n, height * width, down * across * channels)

    def as_images(self, x: Array) -> Array:
        """(N, blocks, numbers of a block) -> (N, blocks down, pixels down, blocks across, pixels across, C)."""
        channels = x.shape[-1] // math.prod(self.stride)
        return x.reshape(len(x), *self.size, *self.stride, channels).swapaxes(2, 3)

    def of_filters(self, w: Array) -> Array:
        """(KH, KW, C, O) -> (blocks down, blocks across, numbers of a block, O)."""
        (down, across), (height, width) = self.stride, self.kernel
        whole = array_library(w).zeros((height * down, width * across, *w.shape[2:]), w.dtype)
        self.without_zeros(whole, w.shape[:2])[...] = w
        blocks = whole.reshape(height, down, width, across, *w.shape[2:]).swapaxes(1, 2)
        return blocks.reshape(height, width, -1, w.shape[3])

    def upside_down(self, w: Array) -> Array:
        """Filters of the input's gradient: (KH, KW, C, O) -> (blocks down, blocks across, O, numbers of a block)."""
        return self.of_filters(w)[::-1, ::-1].swapaxes(2, 3)

    def without_zeros(self, filters: Array, kernel: Pair) -> Array:
        (top, left), (height, width) = self.zeros, kernel
        return filters[top : top + height, left : left + width]
