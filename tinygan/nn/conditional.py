"""Layers that take labels besides: what makes a network conditional (Mirza & Osindero 2014, arXiv 1411.1784).

Labels are whole numbers from 0 up to, but not including, `classes`, (N,), one an example.
"""

import math
from typing import Any

import numpy as np

from .. import backend, ops
from ..autograd import Tensor, raw
from ..backend import Array, generator_or_default
from ..errors import DataError, ShapeError
from .init import Initialiser, normal
from .module import Module, Parameter
from .normalization import BatchNorm
from .weighted import Dense, check_sizes

UNIT = normal(1.0)


class Embedding(Module):
    """A vector for each class, learnt: labels (…) -> (…, features). Weights N(0, 1)."""

    def __init__(self, classes: int, features: int, init: Initialiser = UNIT, rng: np.random.Generator | None = None):
        check_sizes("Embedding", classes=classes, features=features)
        self.classes, self.features = classes, features
        weight = init(generator_or_default(rng), (classes, features), classes, features)
        self.weight = Parameter(np.asarray(weight, np.float32))

    def forward(self, labels: Tensor) -> Tensor:
        return ops.take(self.weight, check_labels(self.describe(), labels, self.classes, self.weight.device))

    def describe(self) -> str:
        return f"Embedding({self.classes} → {self.features})"


class JoinLabels(Module):
    """x with its label beside it, as more features: a vector for each class, joined to the last axis.

    Shapes: vectors (N, F) -> (N, F + features), where G is told what to draw; images (N, H, W, C) -> (N, H, W, C + 1),
    where each class has a map of its own (H, W) as another channel: so D sees the label with the image.
    """

    takes_labels = True

    def __init__(self, classes: int, features: int | tuple[int, int], rng: np.random.Generator | None = None):
        self.map_shape = (features,) if isinstance(features, int) else (*features, 1)
        self.embedding = Embedding(classes, math.prod(self.map_shape), rng=rng)

    def forward(self, x: Tensor, labels: Any) -> Tensor:
        if x.ndim != 1 + len(self.map_shape) or x.shape[1:-1] != self.map_shape[:-1]:
            expected = ("N", *self.map_shape[:-1], "F" if len(self.map_shape) == 1 else "C")
            raise ShapeError(f"{self.describe()} takes x ({', '.join(map(str, expected))}), got {x.shape}")
        check_count(self.describe(), x, labels)
        joined = ops.reshape(self.embedding(labels), (len(x), *self.map_shape))
        return ops.concatenate([x, joined], axis=-1)

    def describe(self) -> str:
        return f"JoinLabels({self.embedding.classes} → {'×'.join(map(str, self.map_shape))})"


class ConditionalBatchNorm(Module):
    """Batch normalisation whose γ and β are of the label's class. Dumoulin et al. 2017 (arXiv 1610.07629), eq. 5.

    y = γ[label] x̂ + β[label], with x̂ as in BatchNorm.   Shapes: x (N, …, features), labels (N,) -> like x.
    γ = 1, β = 0 at the start.
    """

    takes_labels = True

    def __init__(self, features: int, classes: int, eps: float = 1e-5, momentum: float = 0.9):
        check_sizes("ConditionalBatchNorm", features=features, classes=classes)
        self.normalise = BatchNorm(features, eps, momentum, affine=False)
        self.gamma = Parameter(np.ones((classes, features), np.float32))
        self.beta = Parameter(np.zeros((classes, features), np.float32))

    def forward(self, x: Tensor, labels: Any) -> Tensor:
        classes, features = self.gamma.shape
        check_count(self.describe(), x, labels)
        labels = check_labels(self.describe(), labels, classes, x.device)
        places = (len(x), *(1,) * (x.ndim - 2), features)
        gamma, beta = (ops.reshape(ops.take(p, labels), places) for p in (self.gamma, self.beta))
        return self.normalise(x) * gamma + beta

    def describe(self) -> str:
        return f"ConditionalBatchNorm({self.gamma.shape[1]}, {self.gamma.shape[0]} classes)"


class Projection(Module):
    """The end of a projection discriminator: the logit w·h + b + ⟨v[label], h⟩. Miyato & Koyama 2018, eq. 3 and 4.

    arXiv 1802.05637.   Shapes: h (N, features), labels (N,) -> (N, 1). v starts at 0: at first the label doesn't count.
    spectral_norm: of w alone, as v is a table of vectors.
    """

    takes_labels = True

    def __init__(
        self, features: int, classes: int, spectral_norm: bool | float = False, rng: np.random.Generator | None = None
    ):
        self.dense = Dense(features, 1, spectral_norm=spectral_norm, rng=rng)
        self.embedding = Embedding(classes, features, init=normal(0.0), rng=rng)

    def forward(self, h: Tensor, labels: Any) -> Tensor:
        logits = self.dense(h)
        check_count(self.describe(), h, labels)
        return logits + ops.sum(self.embedding(labels) * h, axis=1, keepdims=True)

    def describe(self) -> str:
        return f"Projection({self.embedding.features} → 1, {self.embedding.classes} classes)"


def check_labels(what: str, labels: Any, classes: int, device: str) -> Array:
    """The labels as an array on the device. Raises DataError where one is no whole number from 0 to classes − 1."""
    array = raw(labels) if isinstance(labels, Tensor) else labels
    if backend.device_of(array) == "cpu":  # those on the GPU were looked at before they went there
        array = np.asarray(array)
        if array.dtype.kind not in "iu":
            raise DataError(f"{what}: labels are {array.dtype}; whole numbers are expected")
        if array.size and (array.min() < 0 or array.max() >= classes):
            wrong = array[(array < 0) | (array >= classes)].flat[0]
            raise DataError(
                f"{what}: there is a label {wrong}; with {classes} classes, 0 to {classes - 1} are expected"
            )
    return backend.to_device(array, device)


def check_count(what: str, x: Tensor, labels: Any) -> None:
    """Raise ShapeError unless there is one label an example."""
    shape = labels.shape if isinstance(labels, Tensor) else np.shape(labels)
    if shape != (len(x),):
        raise ShapeError(f"{what}: labels have shape {shape}, but x {x.shape} needs ({len(x)},), one an example")
