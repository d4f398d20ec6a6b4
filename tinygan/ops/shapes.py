"""The same numbers in other places: reshape, transpose, broadcast, join, pad, pick. Each adjoint puts them back."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..autograd import Op, Operand, Tensor, is_array, raw
from ..backend import Array, array_library, to_device
from ..errors import ShapeError

Shape = tuple[int, ...]


class Reshape(Op):
    """y = x in another shape.   ∂L/∂x = ∂L/∂y in x's shape.   Shapes: of equal size."""

    view = True

    def __init__(self, shape: Shape):
        self.shape = shape

    def forward(self, x: Array) -> Array:
        return x.reshape(self.shape)

    def backward(self, grad: Tensor) -> Any:
        return reshape(grad, self.inputs[0].shape)


class Transpose(Op):
    """y = x with axis axes[i] at place i.   ∂L/∂x = ∂L/∂y with the axes put back.   Shapes: permuted."""

    view = True

    def __init__(self, axes: tuple[int, ...]):
        self.axes = axes

    def forward(self, x: Array) -> Array:
        return x.transpose(self.axes)

    def backward(self, grad: Tensor) -> Any:
        return transpose(grad, tuple(self.axes.index(i) for i in range(len(self.axes))))


class BroadcastTo(Op):
    """y = x repeated along its axes of size 1, and along new ones in front.   ∂L/∂x = Σ ∂L/∂y over those axes."""

    view = True

    def __init__(self, shape: Shape):
        self.shape = shape

    def forward(self, x: Array) -> Array:
        return array_library(x).broadcast_to(x, self.shape)

    def backward(self, grad: Tensor) -> Any:
        return grad  # the engine sums it to x's shape


class Concatenate(Op):
    """y = the inputs one after another along `axis`.   Each gets its own slice of ∂L/∂y."""

    def __init__(self, axis: int):
        self.axis = axis

    def forward(self, *arrays: Array) -> Array:
        return array_library(*arrays).concatenate(arrays, axis=self.axis)

    def backward(self, grad: Tensor) -> Any:
        parts, start = [], 0
        before = (slice(None),) * self.axis
        for x in self.inputs:
            stop = start + x.shape[self.axis]
            parts.append(lambda index=(*before, slice(start, stop)): grad[index])
            start = stop
        return tuple(parts)


class Pad(Op):
    """y = x with zeros around.   ∂L/∂x = ∂L/∂y without its border.   Shapes: each axis grows by before + after."""

    def __init__(self, widths: tuple[tuple[int, int], ...]):
        self.widths = widths

    def forward(self, x: Array) -> Array:
        return array_library(x).pad(x, self.widths)

    def backward(self, grad: Tensor) -> Any:
        shape = self.inputs[0].shape
        return grad[tuple(slice(before, before + n) for (before, _), n in zip(self.widths, shape, strict=True))]


class GetItem(Op):
    """y = x[index], as in NumPy.   ∂L/∂x = ∂L/∂y added up at those places of zeros (see Scatter)."""

    view = True

    def __init__(self, index: Any):
        self.index = index

    def forward(self, x: Array) -> Array:
        return x[self.index]

    def backward(self, grad: Tensor) -> Any:
        return Scatter(self.index, self.inputs[0].shape)(grad)


class Scatter(Op):
    """y = zeros of `shape`, with x added at y[index]: the adjoint of GetItem.   ∂L/∂x = ∂L/∂y[index]."""

    def __init__(self, index: Any, shape: Shape):
        self.index, self.shape = index, shape

    def forward(self, x: Array) -> Array:
        xp = array_library(x)
        y = xp.zeros(self.shape, x.dtype)
        if any(is_array(i) for i in self.index):
            xp.add.at(y, self.index, x)  # a place that is named twice gets both
        else:
            y[self.index] = x
        return y

    def backward(self, grad: Tensor) -> Any:
        return grad[self.index]


def reshape(x: Operand, shape: int | Sequence[int]) -> Tensor:
    """x in another shape of equal size; one −1 stands for what is left. Raises ShapeError where it doesn't fit."""
    wanted = (shape,) if isinstance(shape, int | np.integer) else tuple(shape)
    size, known = raw(x).size, math.prod(n for n in wanted if n != -1)
    fits = size == known if -1 not in wanted else wanted.count(-1) == 1 and known > 0 and size % known == 0
    if not fits or any(n < -1 for n in wanted):
        raise ShapeError(f"reshape: shape {raw(x).shape} has {size} elements, which don't fit into {wanted}")
    return Reshape(tuple(size // known if n == -1 else int(n) for n in wanted))(x)


def transpose(x: Operand, axes: Sequence[int] | None = None) -> Tensor:
    """x with its axes in the order `axes`; reversed where that is None. Raises ShapeError for no permutation."""
    ndim = raw(x).ndim
    order = tuple(reversed(range(ndim))) if axes is None else tuple(axes)
    if sorted(i % ndim if -ndim <= i < ndim else -1 for i in order) != list(range(ndim)):
        raise ShapeError(f"transpose: axes {order} of shape {raw(x).shape}; name each axis from 0 to {ndim - 1} once")
    return Transpose(tuple(i % ndim for i in order))(x)


def broadcast_to(x: Operand, shape: Sequence[int]) -> Tensor:
    """x repeated to `shape` by NumPy's rule. Raises ShapeError where it doesn't fit. See BroadcastTo."""
    have, wanted = raw(x).shape, tuple(shape)
    tail = wanted[len(wanted) - len(have) :]
    if len(have) > len(wanted) or any(m not in (1, n) for m, n in zip(have, tail, strict=True)):
        raise ShapeError(f"broadcast_to: shape {have} doesn't broadcast to {wanted}; only axes of size 1 repeat")
    return BroadcastTo(wanted)(x)


def concatenate(tensors: Sequence[Operand], axis: int = 0) -> Tensor:
    """The Tensors one after another along `axis`. Raises ShapeError where their other axes differ."""
    shapes = [raw(x).shape for x in tensors]
    if not shapes:
        raise ShapeError("concatenate: at least one Tensor is needed")
    ndim = len(shapes[0])
    if not -ndim <= axis < ndim:
        raise ShapeError(f"concatenate: axis {axis} of shape {shapes[0]}")
    axis %= ndim
    if len({(*shape[:axis], *shape[axis + 1 :]) for shape in shapes}) > 1:
        raise ShapeError(f"concatenate along axis {axis}: the other axes differ in {' and '.join(map(str, shapes))}")
    return Concatenate(axis)(*tensors)


def stack(tensors: Sequence[Operand], axis: int = 0) -> Tensor:
    """The Tensors, all of one shape, side by side along a new axis. Raises ShapeError where their shapes differ."""
    shapes = [raw(x).shape for x in tensors]
    if len(set(shapes)) > 1:
        raise ShapeError(f"stack: the shapes differ: {' and '.join(map(str, shapes))}")
    if not shapes or not -len(shapes[0]) - 1 <= axis <= len(shapes[0]):
        raise ShapeError(f"stack: axis {axis} of {len(shapes)} Tensors")
    axis %= len(shapes[0]) + 1
    shape = (*shapes[0][:axis], 1, *shapes[0][axis:])
    return concatenate([reshape(x, shape) for x in tensors], axis)


def pad(x: Operand, widths: int | Sequence[tuple[int, int]]) -> Tensor:
    """x with zeros around: `widths` is (before, after) for each axis, or one number for all. See Pad."""
    shape = raw(x).shape
    pairs = ((widths, widths),) * len(shape) if isinstance(widths, int) else tuple((b, a) for b, a in widths)
    if len(pairs) != len(shape) or any(n < 0 for pair in pairs for n in pair):
        raise ShapeError(f"pad: widths {widths} for shape {shape}; give (before, after) ≥ 0 for each axis")
    return Pad(pairs)(x)


def getitem(x: Tensor, index: Any) -> Tensor:
    """x[index], as in NumPy: numbers, slices, None, …, Tensors or arrays of whole numbers or bool."""
    parts = index if isinstance(index, tuple) else (index,)
    return GetItem(tuple(_raw_index(x, part) for part in parts))(x)


def take(x: Operand, indices: Any, axis: int = 0) -> Tensor:
    """The slices of x along `axis` that `indices` names, in that order; a name may occur more than once.

    Shapes: the axis is replaced by those of `indices`. Raises ShapeError for an axis that x lacks, IndexError for
    an index that it lacks.
    """
    x = x if isinstance(x, Tensor) else Tensor(x)
    if not -x.ndim <= axis < x.ndim:
        raise ShapeError(f"take: axis {axis} of shape {x.shape}")
    return getitem(x, (slice(None),) * (axis % x.ndim) + (indices,))


def _raw_index(x: Tensor, part: Any) -> Any:
    """Arrays, lists and Tensors as a copy of their own beside x, which nobody changes before the backward pass."""
    if part is None or part is ... or isinstance(part, slice | int | np.integer):
        return part
    if not is_array(part):
        part = raw(part) if isinstance(part, Tensor) else np.array(part, None if len(part) else int)
    return to_device(part, x.device).copy()
