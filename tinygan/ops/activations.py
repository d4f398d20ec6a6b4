"""Functions of one variable that bend: tanh, sigmoid, softplus, ReLU and its leaky kin; and dropout."""

from typing import Any

import numpy as np

from ..autograd import Op, Operand, Tensor, raw, wrap
from ..backend import Array, device_of, generator_or_default, to_device
from ..errors import SettingError
from ..kernels import kernels_for
from .arithmetic import as_float, refuse_complex


class Tanh(Op):
    """y = tanh x.   ∂L/∂x = ∂L/∂y · (1 − y²).   Shapes: any; y like x."""

    def forward(self, x: Array) -> Array:
        return kernels_for(x).tanh(as_float(x))

    def backward(self, grad: Tensor) -> Any:
        y = self.output
        return grad * (1 - y * y)


class Sigmoid(Op):
    """y = σ(x) = 1 / (1 + e⁻ˣ).   ∂L/∂x = ∂L/∂y · y (1 − y), where 1 − y is σ(−x).   Shapes: any; y like x."""

    def forward(self, x: Array) -> Array:
        return kernels_for(x).sigmoid(as_float(x))

    def backward(self, grad: Tensor) -> Any:
        # 1 − y would round to 0 for x above 17 in float32; σ(−x) keeps its relative precision
        return grad * self.output * sigmoid(-self.inputs[0])


class Softplus(Op):
    """y = log(1 + eˣ), without overflow.   ∂L/∂x = ∂L/∂y · σ(x).   Shapes: any; y like x."""

    def forward(self, x: Array) -> Array:
        return kernels_for(x).softplus(as_float(x))

    def backward(self, grad: Tensor) -> Any:
        return grad * sigmoid(self.inputs[0])


class LeakyReLU(Op):
    """y = x for x > 0, else slope · x.   ∂L/∂x = ∂L/∂y for x > 0, else slope · ∂L/∂y.   Shapes: any; y like x."""

    def __init__(self, slope: float):
        self.slope = slope

    def forward(self, x: Array) -> Array:
        refuse_complex(self, x)
        return kernels_for(x).leaky_relu(as_float(x), self.slope)

    def backward(self, grad: Tensor) -> Any:
        return LeakyReLUGradient(self.slope)(grad, self.inputs[0])


class LeakyReLUGradient(Op):
    """y = g for x > 0, else slope · g.   ∂L/∂g = the same of ∂L/∂y, ∂L/∂x = 0.   Shapes: g and y like x."""

    def __init__(self, slope: float):
        self.slope = slope

    def forward(self, g: Array, x: Array) -> Array:
        return kernels_for(x).leaky_relu_gradient(g, x, self.slope)

    def backward(self, grad: Tensor) -> Any:
        return lambda: LeakyReLUGradient(self.slope)(grad, self.inputs[1]), None


def tanh(x: Operand) -> Tensor:
    """The hyperbolic tangent, in (−1, 1). See Tanh."""
    return Tanh()(x)


def sigmoid(x: Operand) -> Tensor:
    """1 / (1 + e⁻ˣ), in (0, 1). See Sigmoid. Objectives take logits instead: they apply softplus themselves."""
    return Sigmoid()(x)


def softplus(x: Operand) -> Tensor:
    """log(1 + eˣ) = −log σ(−x): the building block of the logistic losses. See Softplus."""
    return Softplus()(x)


def relu(x: Operand) -> Tensor:
    """max(x, 0), with slope 0 at x = 0. See LeakyReLU."""
    return LeakyReLU(0.0)(x)


def leaky_relu(x: Operand, slope: float = 0.2) -> Tensor:
    """x for x > 0, else slope · x (Maas et al. 2013). See LeakyReLU."""
    return LeakyReLU(float(slope))(x)


def dropout(x: Tensor, rate: float, rng: np.random.Generator | None = None) -> Tensor:
    """x · m / (1 − rate), where m is 0 with probability `rate`, else 1, drawn anew from `rng` (Srivastava et al. 2014).

    The expectation is x. Raises SettingError unless 0 ≤ rate < 1.
    """
    if not 0 <= rate < 1:
        raise SettingError(f"dropout: rate {rate}; a number from 0 up to, but not including, 1 is expected")
    dtype = x.dtype if x.dtype.kind in "fc" else np.dtype(np.float32)
    kept = generator_or_default(rng).random(x.shape, np.float32) >= rate
    mask: Array = kept.astype(dtype) * dtype.type(1 / (1 - rate))
    return x * wrap(to_device(mask, device_of(raw(x))))
