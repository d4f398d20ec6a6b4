"""Convolution, and its two adjoints: each of the three is bilinear, and the derivatives of each are the other two.

    Conv(x, w)                 y[n, i, j, o] = Σ x[n, i·s + a, j·s + b, c] · w[a, b, c, o]   (x padded with zeros)
    ConvInputGradient(g, w)    what Conv's derivative does to x: the transposed convolution
    ConvFilterGradient(x, g)   what Conv's derivative does to w

With ⟨ , ⟩ for the sum of products,  ⟨Conv(x, w), g⟩ = ⟨x, ConvInputGradient(g, w)⟩ = ⟨w, ConvFilterGradient(x, g)⟩.
Axes: x (N, H, W, C), w (KH, KW, C, O), y and g (N, OH, OW, O). Signals (N, L, C) are images of height 1.
"""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from ..autograd import Op, Operand, Tensor
from ..backend import Array
from ..errors import SettingError, ShapeError
from ..kernels import kernels_for
from ..kernels.geometry import Padding, Pair, conv_transpose_output_size
from .shapes import reshape

PaddingSetting = int | Literal["same"] | Sequence[int | tuple[int, int]]


class Conv(Op):
    """y = x ∗ w, and + b (O,) where there is one.

    ∂L/∂x = ConvInputGradient(∂L/∂y, w), ∂L/∂w = ConvFilterGradient(x, ∂L/∂y), ∂L/∂b = ∂L/∂y summed over N, H and W.
    """

    def __init__(self, stride: Pair, padding: Padding):
        self.stride, self.padding = stride, padding

    def forward(self, x: Array, w: Array, *bias: Array) -> Array:
        return kernels_for(x, w).conv(x, w, self.stride, self.padding, *bias)

    def backward(self, grad: Tensor) -> Any:
        x, w, *bias = self.inputs
        return (
            lambda: ConvInputGradient(self.stride, self.padding, _size(x))(grad, w),
            lambda: ConvFilterGradient(self.stride, self.padding, _kernel(w))(x, grad),
            *(grad for _ in bias),
        )


class ConvInputGradient(Op):
    """x = g ∗ᵀ w, of height and width `size`, and + b (C,) where there is one.

    ∂L/∂g = Conv(∂L/∂x, w), ∂L/∂w = ConvFilterGradient(∂L/∂x, g), ∂L/∂b = ∂L/∂x summed over N, H and W.
    """

    def __init__(self, stride: Pair, padding: Padding, size: Pair):
        self.stride, self.padding, self.size = stride, padding, size

    def forward(self, g: Array, w: Array, *bias: Array) -> Array:
        return kernels_for(g, w).conv_input_gradient(g, w, self.stride, self.padding, self.size, *bias)

    def backward(self, grad: Tensor) -> Any:
        g, w, *bias = self.inputs
        return (
            lambda: Conv(self.stride, self.padding)(grad, w),
            lambda: ConvFilterGradient(self.stride, self.padding, _kernel(w))(grad, g),
            *(grad for _ in bias),
        )


class ConvFilterGradient(Op):
    """w = x ⋆ g, of height and width `kernel`.   ∂L/∂x = ConvInputGradient(g, ∂L/∂w), ∂L/∂g = Conv(x, ∂L/∂w)."""

    def __init__(self, stride: Pair, padding: Padding, kernel: Pair):
        self.stride, self.padding, self.kernel = stride, padding, kernel

    def forward(self, x: Array, g: Array) -> Array:
        return kernels_for(x, g).conv_filter_gradient(x, g, self.stride, self.padding, self.kernel)

    def backward(self, grad: Tensor) -> Any:
        x, g = self.inputs
        return (
            lambda: ConvInputGradient(self.stride, self.padding, _size(x))(g, grad),
            lambda: Conv(self.stride, self.padding)(x, grad),
        )


def conv(x: Operand, w: Operand, stride: int | Sequence[int] = 1, padding: PaddingSetting = 0) -> Tensor:
    """Cross-correlation of x with the filters w, as neural networks use it. See Conv.

    Shapes: x (N, H, W, C), w (KH, KW, C, O) -> (N, OH, OW, O) with OH = ⌊(H + padding − KH) / stride⌋ + 1;
    or x (N, L, C), w (K, C, O) -> (N, OL, O).
    stride: a number, or one for each axis. padding: zeros on every side: a number; one for each axis; (before,
    after) for each axis; or "same", which gives OH = ⌈H / stride⌉.
    Raises ShapeError where x and w don't fit, SettingError for a stride or padding that is none.
    """
    return conv_and_bias(x, w, None, stride, padding)


def conv_and_bias(
    x: Operand, w: Operand, bias: Operand | None, stride: int | Sequence[int], padding: PaddingSetting
) -> Tensor:
    """conv(x, w, stride, padding) + bias (O,), added while the result is in the cache; raises like conv."""
    x, w, rank = _checked("conv", x, w, channel_axis=-2)
    steps, kernel, sizes = per_axis("stride", stride, rank, 1), w.shape[:rank], x.shape[1:-1]
    if padding == "same":
        pads = _halves([max((-(-n // s) - 1) * s + k - n, 0) for n, k, s in zip(sizes, kernel, steps, strict=True)])
    else:
        pads = padding_pairs(padding, rank)
    for n, k, pair in zip(sizes, kernel, pads, strict=True):
        if n + sum(pair) < k:
            raise ShapeError(
                f"conv: a kernel of {kernel} is larger than the input {sizes} with padding {pads}; "
                'pad more (padding="same"), or use a smaller kernel'
            )
    y = Conv(_two(steps, 1), _two(pads, (0, 0)))(_as_image(x, rank), _as_filter(w, rank), *_bias("conv", bias, w, -1))
    return _as_signal(y, rank)


def conv_transpose(
    x: Operand,
    w: Operand,
    stride: int | Sequence[int] = 1,
    padding: PaddingSetting = 0,
    output_padding: int | Sequence[int] = 0,
) -> Tensor:
    """The adjoint of `conv` in its input: each value of x is spread over a patch, stamped by w. See ConvInputGradient.

    Shapes: x (N, H, W, C), w (KH, KW, O, C) -> (N, OH, OW, O) with OH = (H − 1)·stride + KH − padding +
    output_padding; signals likewise. padding as in conv, cut off each side; "same" gives OH = H · stride.
    output_padding: rows and columns added at the end, fewer than the stride.
    Raises ShapeError where x and w don't fit, SettingError for a stride or padding that is none.
    """
    return conv_transpose_and_bias(x, w, None, stride, padding, output_padding)


def conv_transpose_and_bias(
    x: Operand,
    w: Operand,
    bias: Operand | None,
    stride: int | Sequence[int],
    padding: PaddingSetting,
    output_padding: int | Sequence[int],
) -> Tensor:
    """conv_transpose(x, w, stride, padding, output_padding) + bias (O,), likewise."""
    x, w, rank = _checked("conv_transpose", x, w, channel_axis=-1)
    steps, kernel, sizes = per_axis("stride", stride, rank, 1), w.shape[:rank], x.shape[1:-1]
    extra = per_axis("output_padding", output_padding, rank, 0)
    if padding == "same":
        pads = _halves([max(k - s, 0) for k, s in zip(kernel, steps, strict=True)])
        extra = tuple(max(s - k, 0) for k, s in zip(kernel, steps, strict=True))
    else:
        pads = padding_pairs(padding, rank)
        if any(e >= s for e, s in zip(extra, steps, strict=True)):
            raise SettingError(f"conv_transpose: output_padding {extra} must be smaller than the stride {steps}")
    out = tuple(map(conv_transpose_output_size, sizes, kernel, steps, pads, extra))
    if min(out) < 1:
        raise ShapeError(f"conv_transpose: padding {pads} leaves nothing of the output {out}; pad less")
    op = ConvInputGradient(_two(steps, 1), _two(pads, (0, 0)), _two(out, 1))
    y = op(_as_image(x, rank), _as_filter(w, rank), *_bias("conv_transpose", bias, w, -2))
    return _as_signal(y, rank)


def per_axis(name: str, value: int | Sequence[int], rank: int, least: int) -> tuple[int, ...]:
    """A setting as one whole number for each spatial axis. Raises SettingError where it is none."""
    values = tuple(value) if isinstance(value, Sequence) else (value,) * rank
    if len(values) != rank or any(not isinstance(v, int | np.integer) or v < least for v in values):
        raise SettingError(f"{name}={value!r}: a whole number ≥ {least}, or {rank} of them (one for each axis)")
    return tuple(map(int, values))


def padding_pairs(padding: PaddingSetting, rank: int) -> tuple[Pair, ...]:
    """A padding as (before, after) for each spatial axis. Raises SettingError where it is none."""
    entries: Sequence[Any] = padding if isinstance(padding, Sequence) else (padding,) * rank
    pairs = tuple(tuple(p) if isinstance(p, Sequence) else (p, p) for p in entries)
    whole = all(isinstance(n, int | np.integer) and n >= 0 for p in pairs for n in p)
    if isinstance(padding, str) or not whole or len(pairs) != rank or any(len(p) != 2 for p in pairs):
        raise SettingError(
            f'padding={padding!r}: "same", a whole number ≥ 0, or for each of {rank} axes one number or (before, after)'
        )
    return tuple((int(a), int(b)) for a, b in pairs)


def _halves(totals: Sequence[int]) -> tuple[Pair, ...]:
    """Each total of padding as (before, after); an odd one has more after."""
    return tuple((total // 2, total - total // 2) for total in totals)


def _checked(name: str, x: Operand, w: Operand, channel_axis: int) -> tuple[Tensor, Tensor, int]:
    """x, w and the number of spatial axes, once their axes fit."""
    x, w = (v if isinstance(v, Tensor) else Tensor(v) for v in (x, w))
    rank = w.ndim - 2
    axes = {1: ("(N, L, C)", "(K, "), 2: ("(N, H, W, C)", "(KH, KW, ")}
    order = "C, O)" if channel_axis == -2 else "O, C)"
    if rank not in axes or x.ndim != w.ndim:
        forms = " or ".join(f"x {a} with w {b}{order}" for a, b in axes.values())
        raise ShapeError(f"{name}: x {x.shape} with w {w.shape}; expected are {forms}, features last")
    if x.shape[-1] != w.shape[channel_axis]:
        raise ShapeError(
            f"{name}: x {axes[rank][0]} = {x.shape} has {x.shape[-1]} channels, but w {axes[rank][1]}{order} = "
            f"{w.shape} takes {w.shape[channel_axis]}. Channels are the last axis of x"
        )
    return x, w, rank


def _bias(name: str, bias: Operand | None, w: Tensor, out_axis: int) -> tuple[Tensor, ...]:
    """Nothing, or the bias, once it fits the outputs of w."""
    if bias is None:
        return ()
    bias, out = bias if isinstance(bias, Tensor) else Tensor(bias), w.shape[out_axis]
    if bias.shape != (out,):
        raise ShapeError(
            f"{name}: bias {bias.shape} with w {w.shape}, which has {out} outputs; give one number for each, ({out},)"
        )
    return (bias,)


def _two(values: Sequence[Any], first: Any) -> Any:
    return tuple(values) if len(values) == 2 else (first, *values)


def _as_image(x: Tensor, rank: int) -> Tensor:
    return x if rank == 2 else reshape(x, (x.shape[0], 1, *x.shape[1:]))


def _as_filter(w: Tensor, rank: int) -> Tensor:
    return w if rank == 2 else reshape(w, (1, *w.shape))


def _as_signal(y: Tensor, rank: int) -> Tensor:
    return y if rank == 2 else reshape(y, (y.shape[0], *y.shape[2:]))


def _size(x: Tensor) -> Pair:
    return x.shape[1], x.shape[2]


def _kernel(w: Tensor) -> Pair:
    return w.shape[0], w.shape[1]
