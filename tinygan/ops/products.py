"""The matrix product."""

from typing import Any

from ..autograd import Op, Operand, Tensor, raw
from ..backend import Array
from ..errors import ShapeError
from ..kernels import kernels_for
from .shapes import reshape, transpose


class Matmul(Op):
    """y = a b.   ∂L/∂a = ∂L/∂y bᵀ, ∂L/∂b = aᵀ ∂L/∂y.   Shapes: (…, M, K), (…, K, N) -> (…, M, N); … broadcast."""

    def forward(self, a: Array, b: Array) -> Array:
        return kernels_for(a, b).matmul(a, b)

    def backward(self, grad: Tensor) -> Any:
        a, b = self.inputs
        return lambda: matmul(grad, swap_last_axes(b)), lambda: matmul(swap_last_axes(a), grad)


def matmul(a: Operand, b: Operand) -> Tensor:
    """The matrix product over the last two axes; a vector counts as one row (left) or one column (right).

    Shapes: (…, M, K), (…, K, N) -> (…, M, N); (K,), (K,) -> (). Raises ShapeError where the two K differ.
    """
    left, right = raw(a).shape, raw(b).shape
    if not left or not right:
        raise ShapeError(f"matmul: shapes {left} and {right}; scalars multiply with *")
    if left[-1] != right[-2 if len(right) > 1 else 0]:
        hint = " Is one of them transposed?" if len(right) > 1 and left[-1] == right[-1] else ""
        raise ShapeError(
            f"matmul: {left} @ {right}: the last axis of the left is {left[-1]} long, "
            f"the rows of the right are {right[-2 if len(right) > 1 else 0]}.{hint}"
        )
    if len(left) == 1:
        y = matmul(reshape(a, (1, *left)), b)
        return reshape(y, (*y.shape[:-2], y.shape[-1])) if len(right) > 1 else reshape(y, ())
    if len(right) == 1:
        y = matmul(a, reshape(b, (*right, 1)))
        return reshape(y, y.shape[:-1])
    if len(left) > 2 and len(right) == 2:  # one matrix for a whole batch: a single, larger product
        return reshape(matmul(reshape(a, (-1, left[-1])), b), (*left[:-1], right[-1]))
    return Matmul()(a, b)


def swap_last_axes(x: Tensor) -> Tensor:
    """The last two axes exchanged."""
    return transpose(x, (*range(x.ndim - 2), x.ndim - 1, x.ndim - 2))
