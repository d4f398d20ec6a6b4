"""Normalisation as layers: over the batch, with running statistics for evaluation, or over each example by itself."""

import numpy as np

from .. import ops
from ..autograd import Tensor
from ..backend import Array
from ..errors import SettingError, ShapeError
from ..kernels import kernels_for
from ..ops.normalization import ALONE, check_batch_norm
from ..workers import Workers
from .module import Buffer, Module, Parameter
from .weighted import check_sizes


class BatchNorm(Module):
    """y = γ (x − μ)/√(v + ε) + β for each feature (last axis). Ioffe & Szegedy 2015.

    In training μ and v are the mean and the biased variance over the batch, and are averaged into
    running_mean = 0.9 · running_mean + 0.1 · μ and running_variance = 0.9 · running_variance + 0.1 · v · n/(n − 1),
    n values a feature: the unbiased variance. In evaluation μ and v are those running ones.
    Shapes: x (…, features) -> like x. γ = 1, β = 0 and running statistics 0 and 1 at the start; without `affine`, γ and
    β stay so. Raises ShapeError in training where there is only one value a feature.
    `workers`: those with whom this layer shares its batches, so that μ and v are the whole batch's (see GAN.join).
    """

    workers: Workers = ALONE

    def __init__(self, features: int, eps: float = 1e-5, momentum: float = 0.9, affine: bool = True):
        check_sizes("BatchNorm", features=features)
        self.features, self.eps, self.momentum, self.affine = features, eps, momentum, affine
        kind = Parameter if affine else Buffer
        self.gamma = kind(np.ones(features, np.float32))
        self.beta = kind(np.zeros(features, np.float32))
        self.running_mean = Buffer(np.zeros(features, np.float32))
        self.running_variance = Buffer(np.ones(features, np.float32))

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            if x.shape[-1:] != self.gamma.shape:
                raise ShapeError(f"{self.describe()} takes x (…, {self.features}), got {x.shape}")
            scale = self.gamma / ops.sqrt(self.running_variance + self.eps)
            return ops.scale_and_shift(x, scale, self.beta - self.running_mean * scale)
        check_batch_norm(x.shape, self.gamma.shape, self.beta.shape, least=1 if self.workers.size > 1 else 2)
        op = ops.BatchNorm(self.eps, self.workers)
        y = op(x, self.gamma, self.beta)
        if self.updates_buffers:
            self._update(self.running_mean, op.mean)
            self._update(self.running_variance, op.variance * (op.count / (op.count - 1)))
        return y

    def _update(self, running: Buffer, batch: Array) -> None:
        kernels_for(batch).average_step(running.writable(), batch, self.momentum)

    def describe(self) -> str:
        return f"BatchNorm({self.features}{'' if self.affine else ', no γ and β'})"


class LayerNorm(Module):
    """y = γ (x − μ)/√(v + ε) + β, μ and v over the last axes of each example. Ba et al. 2016 (arXiv 1607.06450), eq. 4.

    The examples stay apart, so it may stand in a critic with a gradient penalty; training and evaluation are alike.
    Shapes: x (…, *shape) -> like x; LayerNorm(H, W, C) for images, LayerNorm(C) for each place by itself.
    γ = 1 and β = 0 at the start, one for each number of `shape`. Raises ShapeError for another shape of x.
    """

    def __init__(self, *shape: int, eps: float = 1e-5):
        check_sizes("LayerNorm", **{f"shape[{i}]": size for i, size in enumerate(shape)})
        if not shape:
            raise SettingError("LayerNorm(): the last axes of x are expected, such as LayerNorm(7, 7, 64)")
        self.shape, self.eps = shape, eps
        self.gamma = Parameter(np.ones(shape, np.float32))
        self.beta = Parameter(np.zeros(shape, np.float32))

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[x.ndim - len(self.shape) :] != self.shape or x.ndim == len(self.shape):
            raise ShapeError(f"{self.describe()} takes x (N, …, {', '.join(map(str, self.shape))}), got {x.shape}")
        axes = tuple(range(-len(self.shape), 0))
        centred = x - ops.mean(x, axes, keepdims=True)
        variance = ops.mean(centred * centred, axes, keepdims=True)
        return self.gamma * centred / ops.sqrt(variance + self.eps) + self.beta

    def describe(self) -> str:
        return f"LayerNorm({', '.join(map(str, self.shape))})"
