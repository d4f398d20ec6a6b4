"""Layers that multiply by a weight: Dense, Conv, ConvTranspose, each with spectral normalisation on request."""

import math
from collections.abc import Sequence

import numpy as np

from .. import ops
from ..autograd import Tensor, no_grad, raw
from ..backend import generator_or_default
from ..errors import SettingError, ShapeError
from ..ops.convolution import PaddingSetting, conv_and_bias, conv_transpose_and_bias, padding_pairs, per_axis
from ..ops.normalization import length
from ..ops.products import swap_last_axes
from .init import Initialiser, glorot, normal
from .module import Buffer, Module, Parameter

GLOROT = glorot()
DCGAN = normal(0.02)


class Weighted(Module):
    """A layer y = x·w + b, for some product of its own.

    spectral_norm: use s · w/σ(w) in place of w, where σ is the largest singular value of w as a matrix (rest, outputs)
    and s a number, 1 for True: the layer is then s-Lipschitz up to the product's own factor (Miyato et al. 2018).
    σ = ‖w u‖ is differentiated to any order, for a vector u that one power iteration a training forward pass,
    u ← normalise(wᵀ normalise(w u)), keeps near the leading right singular vector.
    """

    out_axis = -1  # of w: where its outputs are counted

    def __init__(
        self,
        shape: tuple[int, ...],
        features: tuple[int, int],
        bias: bool,
        spectral_norm: bool | float,
        initialiser: Initialiser,
        rng: np.random.Generator | None,
    ):
        if spectral_norm < 0:
            raise SettingError(f"{type(self).__name__}: spectral_norm={spectral_norm}; True, False or a number above 0")
        self.use_bias, self.spectral_norm = bias, spectral_norm
        rng = generator_or_default(rng)
        inputs, outputs = features
        kernel_size = math.prod(shape) // (inputs * outputs)
        weight = initialiser(rng, shape, inputs * kernel_size, outputs * kernel_size)
        self.weight = Parameter(np.asarray(weight, np.float32))
        if bias:
            self.bias = Parameter(np.zeros(outputs, np.float32))
        if spectral_norm:
            self.u = Buffer(rng.standard_normal(outputs, np.float32))
            for _ in range(15):
                self._iterate()

    def normalised_weight(self) -> Tensor:
        """w, or s · w/σ(w) with spectral normalisation."""
        if not self.spectral_norm:
            return self.weight
        if self.updates_buffers:
            self._iterate()
        # It takes a copy of u, which the next iteration changes while the graph still needs this one; and of length 1,
        # since in an averaged network u is a mean of such vectors.
        normalised = ops.spectral_norm(self._matrix(), self.u, float(self.spectral_norm))
        return self._outputs_last(ops.reshape(normalised, self._outputs_last(self.weight).shape))

    def _matrix(self) -> Tensor:
        """w as a matrix (rest, outputs)."""
        w = self._outputs_last(self.weight)
        return ops.reshape(w, (-1, w.shape[-1]))

    def _outputs_last(self, w: Tensor) -> Tensor:
        """w with its outputs on the last axis; and back."""
        return w if self.out_axis == -1 else swap_last_axes(w)

    def _iterate(self) -> None:
        with no_grad():
            w = raw(self._matrix())
        v = w @ raw(self.u)
        u = (v / length(v)) @ w
        self.u.writable()[...] = u / length(u)

    def marks(self) -> str:
        """What differs from the usual, for `describe`."""
        size = "" if self.spectral_norm is True else f" {self.spectral_norm}"
        return ", no bias" * (not self.use_bias) + (f", spectral norm{size}" if self.spectral_norm else "")


class Dense(Weighted):
    """y = x w + b.   Shapes: x (…, in_features), w (in_features, out_features), b (out_features,) -> (…, out_features).

    Glorot weights, bias 0.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        spectral_norm: bool | float = False,
        init: Initialiser = GLOROT,
        rng: np.random.Generator | None = None,
    ):
        features = (in_features, out_features)
        check_sizes("Dense", in_features=in_features, out_features=out_features)
        self.in_features, self.out_features = features
        super().__init__(features, features, bias, spectral_norm, init, rng)

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim < 2 or x.shape[-1] != self.in_features:
            hint = "; is a Flatten missing?" if x.ndim > 2 else ""
            raise ShapeError(f"{self.describe()} takes x (N, {self.in_features}), got {x.shape}{hint}")
        y = x @ self.normalised_weight()
        return y + self.bias if self.use_bias else y

    def describe(self) -> str:
        return f"Dense({self.in_features} → {self.out_features}{self.marks()})"


class Conv(Weighted):
    """Convolution: y = conv(x, w) + b. See ops.conv for stride and padding.

    Shapes: x (N, H, W, in_channels), w (*kernel, in_channels, out_channels) -> (N, OH, OW, out_channels);
    with rank=1 x (N, L, C). kernel: a number, or one for each axis. Weights N(0, 0.02²), bias 0.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int | Sequence[int],
        stride: int | Sequence[int] = 1,
        padding: PaddingSetting = 0,
        bias: bool = True,
        rank: int = 2,
        spectral_norm: bool | float = False,
        init: Initialiser = DCGAN,
        rng: np.random.Generator | None = None,
    ):
        layer = type(self).__name__
        check_sizes(layer, in_channels=in_channels, out_channels=out_channels)
        self.channels = (in_channels, out_channels)
        if rank not in (1, 2):
            raise SettingError(f"{layer}: rank={rank}; 2 for images (N, H, W, C), 1 for signals (N, L, C)")
        self.kernel = per_axis(f"{layer}: kernel", kernel, rank, 1)
        self.stride = per_axis(f"{layer}: stride", stride, rank, 1)
        self.padding: PaddingSetting = padding if padding == "same" else padding_pairs(padding, rank)
        last = self.channels if self.out_axis == -1 else self.channels[::-1]
        super().__init__((*self.kernel, *last), self.channels, bias, spectral_norm, init, rng)

    def forward(self, x: Tensor) -> Tensor:
        bias = self.bias if self.use_bias else None
        return conv_and_bias(x, self.normalised_weight(), bias, self.stride, self.padding)

    def describe(self) -> str:
        steps = f", stride {'×'.join(map(str, self.stride))}" if set(self.stride) != {1} else ""
        kernel = "×".join(map(str, self.kernel))
        sizes = f"{self.channels[0]} → {self.channels[1]}"
        return f"{type(self).__name__}({sizes}, {kernel}{steps}{self.marks()})"


class ConvTranspose(Conv):
    """Transposed convolution: the adjoint of a Conv with the same stride and padding. See ops.conv_transpose.

    Shapes: x (N, H, W, in_channels), w (*kernel, out_channels, in_channels) -> (N, OH, OW, out_channels).
    """

    out_axis = -2

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int | Sequence[int],
        stride: int | Sequence[int] = 1,
        padding: PaddingSetting = 0,
        bias: bool = True,
        rank: int = 2,
        output_padding: int | Sequence[int] = 0,
        spectral_norm: bool | float = False,
        init: Initialiser = DCGAN,
        rng: np.random.Generator | None = None,
    ):
        self.output_padding = output_padding
        super().__init__(in_channels, out_channels, kernel, stride, padding, bias, rank, spectral_norm, init, rng)

    def forward(self, x: Tensor) -> Tensor:
        w = self.normalised_weight()
        bias = self.bias if self.use_bias else None
        return conv_transpose_and_bias(x, w, bias, self.stride, self.padding, self.output_padding)


def check_sizes(layer: str, **sizes: int) -> None:
    """Raise SettingError where a size is no whole number ≥ 1."""
    for name, size in sizes.items():
        if not isinstance(size, int) or size < 1:
            raise SettingError(f"{layer}: {name}={size!r}; a whole number of at least 1 is expected")
