"""Batch normalisation by the statistics of the batch or given ones, and spectral normalisation: fused where it pays."""

import math
from typing import Any

from ..autograd import Op, Operand, Tensor, raw, wrap
from ..backend import Array, array_library
from ..errors import ShapeError
from ..kernels import kernels_for
from ..workers import Workers
from .arithmetic import sqrt
from .products import matmul
from .reductions import mean, sum
from .sharing import all_sum

ALONE = Workers()
TINY = 1e-24  # under the root of a length


class BatchNorm(Op):
    """y = γ x̂ + β,  x̂ = (x − μ)/σ,  σ = √(v + ε), with μ and v the mean and biased variance of each feature.

    ∂L/∂x = γ/σ · (g − mean(g) − x̂ · mean(g x̂)),  ∂L/∂γ = Σ g x̂,  ∂L/∂β = Σ g,  with g = ∂L/∂y.
    Shapes: x (…, C), γ and β (C,); y like x. After the call, `mean` and `variance` hold μ and v as arrays (C,), and
    `count` the number of values a feature.
    workers: where x is this worker's rows of a batch, all means are the whole batch's; ∂L/∂γ and ∂L/∂β are this
    worker's parts of the sums.
    """

    mean: Array
    variance: Array
    count: int

    def __init__(self, eps: float, workers: Workers = ALONE):
        self.eps, self.workers = eps, workers

    def forward(self, x: Array, gamma: Array, beta: Array) -> Array:
        kernels = kernels_for(x)
        self.count = x.size // x.shape[-1]
        self.mean, self.variance = kernels.batch_statistics(x)
        if self.workers.size > 1:
            self._pool()
        return kernels.batch_norm(x, gamma, beta, self.mean, self.variance, self.eps)

    def _pool(self) -> None:
        """The whole batch's count, mean and variance: what varies within the workers' rows, and between their means."""
        n, mean = self.count, self.mean
        sums = self.workers.sum(array_library(mean).append(n * mean, mean.dtype.type(n)))
        self.count = round(float(sums[-1]))
        self.mean = sums[:-1] / self.count
        self.variance = self.workers.sum(n * (self.variance + (mean - self.mean) ** 2)) / self.count

    def backward(self, grad: Tensor) -> Any:
        x, gamma, g = raw(self.inputs[0]), raw(self.inputs[1]), raw(grad)
        kernels = kernels_for(x)
        statistics = self.mean, self.variance, self.eps
        own = kernels.batch_norm_sums(g, x, *statistics)
        sums = self.workers.sum(array_library(x).stack(own)) if self.workers.size > 1 else own
        grad_x = kernels.batch_norm_gradient(g, x, gamma, *statistics, *sums, self.count)
        return tuple(map(wrap, (grad_x, *own)))

    def composed(self, x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        axes = tuple(range(x.ndim - 1))

        def average(values: Tensor) -> Tensor:
            if self.workers.size == 1:
                return mean(values, axes)
            return all_sum(sum(values, axes), self.workers) / self.count

        centred = x - average(x)
        variance = average(centred * centred)
        return gamma * centred / sqrt(variance + self.eps) + beta


class ScaleAndShift(Op):
    """y = a x + b, feature by feature.   ∂L/∂x = a · ∂L/∂y, ∂L/∂a = Σ x · ∂L/∂y, ∂L/∂b = Σ ∂L/∂y.

    Shapes: x (…, C), a and b (C,); y like x.
    """

    def forward(self, x: Array, scale: Array, shift: Array) -> Array:
        return kernels_for(x).scale_and_shift(x, scale, shift)

    def backward(self, grad: Tensor) -> Any:
        x, scale, _ = self.inputs
        return lambda: scale * grad, lambda: x * grad, grad  # which the engine sums to (C,)


class SpectralNorm(Op):
    """y = s · w/σ,  σ = ‖w u‖, for a constant vector u of length 1, and s = `size`.

    ∂L/∂w = s/σ · (g − ⟨g, w⟩/σ · v uᵀ),  with v = w u/σ and g = ∂L/∂y.   Shapes: w (M, N), u (N,); y like w.
    """

    def __init__(self, u: Array, size: float):
        self.u, self.size = u, size

    def forward(self, w: Array) -> Array:
        product = w @ self.u
        self.sigma = length(product)
        self.v = product / self.sigma
        return w * (self.size / self.sigma)

    def backward(self, grad: Tensor) -> Any:
        w, g = raw(self.inputs[0]), raw(grad)
        return wrap(kernels_for(w).spectral_norm_gradient(g, w, self.v, self.u, self.sigma, self.size))

    def composed(self, w: Tensor) -> Tensor:
        product = matmul(w, wrap(self.u))
        return w * (self.size / sqrt(sum(product * product) + TINY))


def length(vector: Array) -> Array:
    """‖vector‖, never quite 0."""
    return ((vector * vector).sum() + TINY) ** 0.5


def batch_norm(x: Operand, gamma: Operand, beta: Operand, eps: float = 1e-5) -> Tensor:
    """Each feature (last axis) shifted and scaled to mean β and deviation γ over the batch (Ioffe & Szegedy 2015).

    Shapes: x (…, C), gamma and beta (C,) -> like x. Raises ShapeError where gamma or beta don't fit, or x has only
    one value a feature (its variance would be 0). For the statistics themselves call BatchNorm.
    """
    check_batch_norm(raw(x).shape, raw(gamma).shape, raw(beta).shape)
    return BatchNorm(eps)(x, gamma, beta)


def scale_and_shift(x: Operand, scale: Operand, shift: Operand) -> Tensor:
    """x · scale + shift, with a number of each for each feature (last axis). See ScaleAndShift.

    Shapes: x (…, C), scale and shift (C,) -> like x. Raises ShapeError where they don't fit.
    """
    features = raw(x).shape[-1:]
    if not features or raw(scale).shape != features or raw(shift).shape != features:
        shapes = f"they are {raw(scale).shape} and {raw(shift).shape}"
        raise ShapeError(f"scale_and_shift: x (…, C) = {raw(x).shape} needs scale and shift (C,); {shapes}")
    return ScaleAndShift()(x, scale, shift)


def spectral_norm(w: Operand, u: Operand, size: float = 1.0) -> Tensor:
    """w · size/‖w u‖ for a direction u, of any length but 0 (Miyato et al. 2018). See SpectralNorm.

    Shapes: w (M, N), u (N,) -> like w. Where u is the leading right singular vector, the result's largest singular
    value is `size`. u is taken for a constant. Raises ShapeError where u doesn't fit.
    """
    if raw(w).ndim != 2 or raw(u).shape != raw(w).shape[1:]:
        raise ShapeError(f"spectral_norm: w (M, N) = {raw(w).shape} needs u (N,); it is {raw(u).shape}")
    return SpectralNorm(raw(u) / length(raw(u)), size)(w)


def check_batch_norm(x: tuple[int, ...], gamma: tuple[int, ...], beta: tuple[int, ...], least: int = 2) -> None:
    """Raises ShapeError where these shapes can't be normalised: there, or with less than `least` values a feature."""
    if len(x) < 2 or gamma != x[-1:] or beta != x[-1:]:
        raise ShapeError(f"batch_norm: x (…, C) = {x} needs gamma and beta (C,); they are {gamma} and {beta}")
    count = math.prod(x[:-1])
    if count < least:
        raise ShapeError(
            f"batch_norm: shape {x} has {count} value a feature, whose variance is 0; "
            "train with a larger batch, or call .eval()"
        )
