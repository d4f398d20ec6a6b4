"""Lesson 4, "Shapes": what it adds to the engine of lesson 3, and the checks of what is left to the reader.

The engine is printed in lessons 3 to 5 as a learner would write it, so it goes without annotations.
"""

# mypy: allow-untyped-defs, allow-untyped-calls

from typing import Any

import numpy as np

from ..gradcheck import gradcheck_arrays
from .exercise import exercise, expect, expect_close
from .lesson_03 import OPERATORS, Add, Div, Mul, Op, Tensor


def unbroadcast(grad, shape):
    """What an array of `shape` gets, when it was broadcast to the shape of `grad`: sums."""
    added = grad.ndim - len(shape)
    grad = grad.sum(axis=tuple(range(added)))  # axes that broadcasting put in front
    stretched = tuple(axis for axis, length in enumerate(shape) if length == 1)
    return grad.sum(axis=stretched, keepdims=True)


class BroadcastTo(Op):
    """y = x repeated to `shape`.   ∂L/∂x = Σ ∂L/∂y over the axes along which it was repeated."""

    def __init__(self, shape):
        self.shape = shape

    def forward(self, x):
        return np.broadcast_to(x, self.shape)

    def backward(self, grad):
        (x,) = self.inputs
        return (unbroadcast(grad, x.data.shape),)


def shape_of(x):
    return x.data.shape if isinstance(x, Tensor) else np.shape(x)


def broadcast_to(x, shape):
    return BroadcastTo(shape)(x) if isinstance(x, Tensor) and x.data.shape != shape else x


def elementwise(op, a, b):
    """op(a, b), once both have the shape that NumPy's rule gives them."""
    shape = np.broadcast_shapes(shape_of(a), shape_of(b))
    return op(broadcast_to(a, shape), broadcast_to(b, shape))


class Sum(Op):
    """y = Σ x over `axis`.   ∂L/∂x = ∂L/∂y, repeated along that axis."""

    def __init__(self, axis, keepdims):
        self.axis, self.keepdims = axis, keepdims

    def forward(self, x):
        return x.sum(axis=self.axis, keepdims=self.keepdims)

    def backward(self, grad):
        (x,) = self.inputs
        if self.axis is not None and not self.keepdims:
            grad = np.expand_dims(grad, self.axis)  # put the axis back, with length 1
        return (np.broadcast_to(grad, x.data.shape),)


def mean(x, axis=None, keepdims=False):
    y = Sum(axis, keepdims)(x)
    return y * (y.data.size / x.data.size)


def matmul_backward(grad, a, b):
    """∂L/∂a and ∂L/∂b of y = a @ b, where grad = ∂L/∂y."""
    a_transposed, b_transposed = np.swapaxes(a, -1, -2), np.swapaxes(b, -1, -2)
    return unbroadcast(grad @ b_transposed, a.shape), unbroadcast(a_transposed @ grad, b.shape)


class Matmul(Op):
    """y = a b.   ∂L/∂a = ∂L/∂y bᵀ, ∂L/∂b = aᵀ ∂L/∂y."""

    def forward(self, a, b):
        return a @ b

    def backward(self, grad):
        a, b = self.inputs
        return matmul_backward(grad, a.data, b.data)


def enter_operators():
    """Let +, *, /, @, sum and mean be the ones above: at the import, and again where a notebook entered its own."""
    OPERATORS.update(
        add=lambda a, b: elementwise(Add(), a, b),
        mul=lambda a, b: elementwise(Mul(), a, b),
        div=lambda a, b: elementwise(Div(), a, b),
        sum=lambda x, axis, keepdims: Sum(axis, keepdims)(x),
        mean=mean,
        matmul=lambda a, b: Matmul()(a, b),
    )


enter_operators()


@exercise("L04-ex1", unbroadcast)
def _check_unbroadcast(answer: Any, rng: Any) -> None:
    for large, small in (
        ((3, 4), (3, 4)),
        ((3, 4), (4,)),
        ((3, 4), (1, 4)),
        ((3, 4), (3, 1)),
        ((3, 3), (3, 1)),
        ((5,), (1,)),
        ((3, 4), ()),
        ((3, 4), (1, 1)),
        ((2, 3, 4), (3, 1)),
        ((2, 3, 4), (2, 1, 4)),
        ((3, 2, 3), (3, 1, 1)),
    ):
        grad = rng.standard_normal(large)
        before = grad.copy()
        found, wanted = answer(grad, small), unbroadcast(grad, small)
        call = f"unbroadcast(grad, {small}) for a grad of shape {large}"
        expect(np.array_equal(grad, before), f"{call} changed grad, which others still need; work on a new array")
        shape = np.shape(found)
        if shape != small and np.size(found) == wanted.size and np.allclose(np.ravel(found), np.ravel(wanted)):
            expect(
                len(shape) <= len(small),
                f"{call}: the numbers are right, but the shape is {shape}: an axis that broadcasting put in front must "
                "go. Sum over it without keepdims",
            )
            expect(
                False,
                f"{call}: the numbers are right, but the shape is {shape}: an axis of length 1 must stay. "
                "sum(axis=..., keepdims=True) keeps it",
            )
        if shape == small and large != small and np.allclose(found * (grad.size / wanted.size), wanted):
            expect(False, f"{call} gives the mean. Every place that used a number sends a message: add them all up")
        expect(
            shape == small,
            f"{call} has shape {shape}, expected {small}. Align the shapes on the right; sum over the axes that "
            "are missing on the left, and over those that are 1 in the small shape and more in the large one",
        )
        expect_close(found, wanted, call)
    found = answer(rng.standard_normal((3, 4)).astype(np.float32), (3, 1))
    _expect_float32(found, "unbroadcast")


def _expect_float32(found: Any, name: str) -> None:
    expect(
        getattr(found, "dtype", None) == np.float32,
        f"{name} was given float32 and gave {getattr(found, 'dtype', type(found).__name__)}: a float64 array got in on "
        "the way. np.zeros and np.ones make float64 unless told otherwise",
    )


@exercise("L04-ex2", matmul_backward)
def _check_matmul_backward(answer: Any, rng: Any) -> None:
    for left, right, hint in (
        ((3, 3), (3, 3), ""),
        ((2, 3), (3, 4), ""),
        ((1, 3), (3, 1), ""),
        ((5, 2, 3), (5, 3, 4), ". In a stack of matrices only the last two axes swap: .T reverses all of them"),
        ((5, 2, 3), (3, 4), ". b was used for each matrix of the stack: sum over the stack, as unbroadcast does"),
        ((2, 1, 3, 3), (4, 3, 3), ". Stacks broadcast too: end with unbroadcast"),
    ):
        a, b = rng.standard_normal(left), rng.standard_normal(right)
        grad = rng.standard_normal((a @ b).shape)
        _check_matmul(answer, grad, a, b, hint)
        if len(left) < 4:
            gradcheck_arrays(lambda a, b: a @ b, lambda a, b: answer(np.ones_like(a @ b), a, b), [a, b])
    a, b = np.ones((2, 3), np.float32), np.ones((3, 4), np.float32)
    for found in answer(np.ones((2, 4), np.float32), a, b):
        _expect_float32(found, "matmul_backward")


def _check_matmul(answer: Any, grad: Any, a: Any, b: Any, hint: str) -> None:
    shapes = f"a {a.shape}, b {b.shape} and grad {grad.shape}"
    wanted = matmul_backward(grad, a, b)
    try:
        found = answer(grad.copy(), a.copy(), b.copy())
    except ValueError as error:
        expect(False, f"with {shapes}: {error}. Which product has a's shape?{hint.lstrip('.')}")
    expect(
        isinstance(found, tuple | list) and len(found) == 2,
        f"two gradients are expected, for a and for b, not {found!r}",
    )
    if np.shape(found[0]) == b.shape and np.allclose(found[0], wanted[1]) and np.allclose(found[1], wanted[0]):
        expect(False, "the two gradients are right, but swapped: that of a comes first")
    if a.shape == b.shape == (3, 3):
        for value, right, name, wrong in (
            (
                found[0],
                wanted[0],
                "∂L/∂a",
                {"b": b, "grad * b": grad * b, "grad @ b": grad @ b, "b @ grad": b @ grad, "b.T @ grad": b.T @ grad},
            ),
            (
                found[1],
                wanted[1],
                "∂L/∂b",
                {"a": a, "grad * a": grad * a, "a @ grad": a @ grad, "grad @ a": grad @ a, "grad @ a.T": grad @ a.T},
            ),
        ):
            for formula, product in wrong.items():
                if np.shape(value) == (3, 3) and np.allclose(value, product):
                    expect(False, f"{name} is {formula}: for square matrices the shape fits, but the numbers don't")
            if np.shape(value) == (3, 3) and np.allclose(np.transpose(value), right):
                expect(False, f"{name} comes out transposed: (A B)ᵀ = Bᵀ Aᵀ")
    for value, right, x, name in zip(found, wanted, (a, b), ("∂L/∂a", "∂L/∂b"), strict=True):
        expect(
            np.shape(value) == x.shape,
            f"with {shapes}, {name} has shape {np.shape(value)}, expected {x.shape}{hint}",
        )
        expect_close(value, right, f"with {shapes}, {name}")
