"""From many numbers to fewer: sums, means, extremes, and the softmax family."""

import math
from typing import Any

import numpy as np

from ..autograd import Axes, Op, Operand, Tensor, raw, wrap
from ..backend import Array, array_library
from ..errors import ShapeError
from ..kernels import kernels_for
from .arithmetic import as_float, div, exp, refuse_complex
from .shapes import broadcast_to, reshape


class Sum(Op):
    """y = Σ x over `axes`.   ∂L/∂x = ∂L/∂y, repeated along those axes.   Shapes: y lacks them, or has them as 1."""

    def __init__(self, axes: tuple[int, ...], keepdims: bool):
        self.axes, self.keepdims = axes, keepdims

    def forward(self, x: Array) -> Array:
        return kernels_for(x).sum(x, self.axes, self.keepdims)

    def backward(self, grad: Tensor) -> Any:
        shape = self.inputs[0].shape
        return broadcast_to(reshape(grad, _kept_shape(shape, self.axes)), shape)


class Max(Op):
    """y = max x over `axes`.   ∂L/∂x goes to the largest; where several tie, in equal shares.   Shapes: as Sum."""

    def __init__(self, axes: tuple[int, ...], keepdims: bool):
        self.axes, self.keepdims = axes, keepdims

    def forward(self, x: Array) -> Array:
        refuse_complex(self, x)
        return self.pick(x)

    def pick(self, x: Array) -> Array:
        return x.max(axis=self.axes, keepdims=self.keepdims)

    def backward(self, grad: Tensor) -> Any:
        x = self.inputs[0]
        kept = _kept_shape(x.shape, self.axes)
        is_picked = raw(x) == raw(self.output).reshape(kept)
        share = is_picked / is_picked.sum(axis=self.axes, keepdims=True)
        return broadcast_to(reshape(grad, kept), x.shape) * wrap(share.astype(x.dtype))


class Min(Max):
    """y = min x over `axes`.   ∂L/∂x goes to the smallest; where several tie, in equal shares.   Shapes: as Sum."""

    def pick(self, x: Array) -> Array:
        return x.min(axis=self.axes, keepdims=self.keepdims)


class LogSumExp(Op):
    """y = log Σ eˣ over `axes`, without overflow.   ∂L/∂x = ∂L/∂y · softmax(x) = ∂L/∂y · eˣ⁻ʸ.   Shapes: as Sum."""

    def __init__(self, axes: tuple[int, ...], keepdims: bool):
        self.axes, self.keepdims = axes, keepdims

    def forward(self, x: Array) -> Array:
        xp, shift = array_library(x), _largest(x, self.axes)
        y = xp.log(xp.exp(x - shift).sum(axis=self.axes, keepdims=True)) + shift
        return y if self.keepdims else y.reshape(_reduced_shape(x.shape, self.axes))

    def backward(self, grad: Tensor) -> Any:
        x = self.inputs[0]
        kept = _kept_shape(x.shape, self.axes)
        # Not exp(x − y): in float32 a y of 10⁴ is rounded by as much as 0.0005.
        return reshape(grad, kept) * exp(log_softmax(x, self.axes))


def sum(x: Operand, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Σ x over one axis, several (a tuple), or all (None). Raises ShapeError for an axis that x lacks. See Sum."""
    return Sum(normalise_axes("sum", x, axis), keepdims)(x)


def mean(x: Operand, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """The arithmetic mean over `axis`: the sum divided by how many there are. Raises ShapeError for none at all."""
    axes = normalise_axes("mean", x, axis)
    shape = raw(x).shape
    count = math.prod(shape[i] for i in axes)
    if count == 0:
        raise ShapeError(f"mean over axis {axis} of shape {shape}: there is nothing to take the mean of")
    return div(Sum(axes, keepdims)(x), count)


def max(x: Operand, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """The largest over `axis`. See Max."""
    return Max(normalise_axes("max", x, axis), keepdims)(x)


def min(x: Operand, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """The smallest over `axis`. See Min."""
    return Min(normalise_axes("min", x, axis), keepdims)(x)


def logsumexp(x: Operand, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """log Σ eˣ over `axis`. See LogSumExp."""
    return LogSumExp(normalise_axes("logsumexp", x, axis), keepdims)(x)


def log_softmax(x: Operand, axis: Axes = -1) -> Tensor:
    """log softmax(x) = x − log Σ eˣ over `axis`, exact where softmax itself would round to 0.   Shapes: like x."""
    x = x if isinstance(x, Tensor) else Tensor(x)
    shifted = x - wrap(_largest(raw(x), normalise_axes("log_softmax", x, axis)))  # a constant, which changes nothing
    return shifted - logsumexp(shifted, axis, keepdims=True)


def softmax(x: Operand, axis: Axes = -1) -> Tensor:
    """eˣ / Σ eˣ over `axis`: positive, summing to 1.   Shapes: like x."""
    return exp(log_softmax(x, axis))


def normalise_axes(name: str, x: Operand, axis: Axes) -> tuple[int, ...]:
    """`axis` as a sorted tuple of axes counted from 0."""
    ndim = raw(x).ndim
    axes = tuple(range(ndim)) if axis is None else (axis,) if isinstance(axis, int | np.integer) else tuple(axis)
    if any(not -ndim <= i < ndim for i in axes) or len({i % ndim for i in axes}) < len(axes):
        raise ShapeError(f"{name}: axis {axis} of shape {raw(x).shape}; axes are {-ndim} to {ndim - 1}, each once")
    return tuple(sorted(int(i) % ndim for i in axes))


def _largest(x: Array, axes: tuple[int, ...]) -> Array:
    """max x over `axes`, as a float, kept as 1; 0 where it is infinite."""
    xp = array_library(x)
    largest = as_float(x).real.max(axis=axes, keepdims=True)
    return xp.where(xp.isfinite(largest), largest, largest.dtype.type(0))


def _kept_shape(shape: tuple[int, ...], axes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(1 if i in axes else n for i, n in enumerate(shape))


def _reduced_shape(shape: tuple[int, ...], axes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(n for i, n in enumerate(shape) if i not in axes)
