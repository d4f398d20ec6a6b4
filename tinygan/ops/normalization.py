"""Batch normalisation with the statistics of the batch, fused; its textbook form stands beside it."""

import math
from typing import Any

from ..autograd import Op, Operand, Tensor, raw, wrap
from ..backend import Array
from ..errors import ShapeError
from ..kernels import kernels_for
from .arithmetic import sqrt
from .reductions import mean


class BatchNorm(Op):
    """y = γ x̂ + β,  x̂ = (x − μ)/σ,  σ = √(v + ε), with μ and v the mean and biased variance of each feature.

    ∂L/∂x = γ/σ · (g − mean(g) − x̂ · mean(g x̂)),  ∂L/∂γ = Σ g x̂,  ∂L/∂β = Σ g,  with g = ∂L/∂y.
    Shapes: x (…, C), γ and β (C,); y like x. After the call, `mean` and `variance` hold μ and v as arrays (C,).
    """

    mean: Array
    variance: Array

    def __init__(self, eps: float):
        self.eps = eps

    def forward(self, x: Array, gamma: Array, beta: Array) -> Array:
        y, self.mean, self.variance = kernels_for(x).batch_norm(x, gamma, beta, self.eps)
        return y

    def backward(self, grad: Tensor) -> Any:
        x, gamma = raw(self.inputs[0]), raw(self.inputs[1])
        gradient = kernels_for(x).batch_norm_gradient
        return tuple(map(wrap, gradient(raw(grad), x, gamma, self.mean, self.variance, self.eps)))

    def composed(self, x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        axes = tuple(range(x.ndim - 1))
        centred = x - mean(x, axes)
        variance = mean(centred * centred, axes)
        return gamma * centred / sqrt(variance + self.eps) + beta


def batch_norm(x: Operand, gamma: Operand, beta: Operand, eps: float = 1e-5) -> Tensor:
    """Each feature (last axis) shifted and scaled to mean β and deviation γ over the batch (Ioffe & Szegedy 2015).

    Shapes: x (…, C), gamma and beta (C,) -> like x. Raises ShapeError where gamma or beta don't fit, or x has only
    one value a feature (its variance would be 0). For the statistics themselves call BatchNorm.
    """
    check_batch_norm(raw(x).shape, raw(gamma).shape, raw(beta).shape)
    return BatchNorm(eps)(x, gamma, beta)


def check_batch_norm(x: tuple[int, ...], gamma: tuple[int, ...], beta: tuple[int, ...]) -> None:
    """Raises ShapeError where these shapes can't be normalised."""
    if len(x) < 2 or gamma != x[-1:] or beta != x[-1:]:
        raise ShapeError(f"batch_norm: x (…, C) = {x} needs gamma and beta (C,); they are {gamma} and {beta}")
    count = math.prod(x[:-1])
    if count < 2:
        raise ShapeError(
            f"batch_norm: shape {x} has {count} value a feature, whose variance is 0; "
            "train with a larger batch, or call .eval()"
        )
