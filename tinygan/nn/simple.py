"""Layers without weights: activations, dropout, and changes of shape."""

import math

import numpy as np

from .. import ops
from ..autograd import Tensor
from ..errors import SettingError, ShapeError
from .module import Module


class LeakyReLU(Module):
    """x for x > 0, else slope · x. See ops.leaky_relu."""

    def __init__(self, slope: float = 0.2):
        self.slope = slope

    def forward(self, x: Tensor) -> Tensor:
        return ops.leaky_relu(x, self.slope)

    def describe(self) -> str:
        return f"LeakyReLU({self.slope})"


class ReLU(Module):
    """max(x, 0). See ops.relu."""

    def forward(self, x: Tensor) -> Tensor:
        return ops.relu(x)


class Tanh(Module):
    """tanh x: what G ends in, since images lie in [−1, 1]. See ops.tanh."""

    def forward(self, x: Tensor) -> Tensor:
        return ops.tanh(x)


class Sigmoid(Module):
    """1/(1 + e⁻ˣ). Not for the end of D: objectives take logits. See ops.sigmoid."""

    def forward(self, x: Tensor) -> Tensor:
        return ops.sigmoid(x)


class Softplus(Module):
    """log(1 + eˣ). See ops.softplus."""

    def forward(self, x: Tensor) -> Tensor:
        return ops.softplus(x)


class Dropout(Module):
    """In training sets each number to 0 with probability `rate` and divides the rest by 1 − rate. See ops.dropout.

    rng: where the choice is drawn from; None: the package's own stream. A GAN gives each step one of its own.
    """

    def __init__(self, rate: float = 0.5, rng: np.random.Generator | None = None):
        if not 0 <= rate < 1:
            raise SettingError(f"Dropout: rate {rate}; a number from 0 up to, but not including, 1 is expected")
        self.rate, self.rng = rate, rng

    def forward(self, x: Tensor) -> Tensor:
        return ops.dropout(x, self.rate, self.rng) if self.training else x

    def describe(self) -> str:
        return f"Dropout({self.rate})"


class Flatten(Module):
    """(N, …) -> (N, the product of the rest)."""

    def forward(self, x: Tensor) -> Tensor:
        return ops.reshape(x, (x.shape[0], math.prod(x.shape[1:])))


class Reshape(Module):
    """(N, …) -> (N, *shape), features last. Raises ShapeError where it doesn't fit."""

    def __init__(self, *shape: int):
        self.shape = shape

    def forward(self, x: Tensor) -> Tensor:
        if math.prod(x.shape[1:]) != math.prod(self.shape):
            raise ShapeError(f"{self.describe()}: x {x.shape} has {math.prod(x.shape[1:])} numbers an example")
        return ops.reshape(x, (x.shape[0], *self.shape))

    def describe(self) -> str:
        return f"Reshape({', '.join(map(str, self.shape))})"
