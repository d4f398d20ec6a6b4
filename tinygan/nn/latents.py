"""A layer for the beginning of a generator: which of several modes to draw."""

from typing import Any

from .. import backend, ops
from ..autograd import Tensor, raw, wrap
from ..errors import ShapeError
from .module import Module
from .weighted import check_sizes


class OneOf(Module):
    """The first `count` latents say which of so many vectors is drawn: a mixture in place of a single Gaussian.

    y = [scale · e_k, the other latents] with k = argmax of the first `count`, which is each of them equally often, as
    latents are independent and alike. Digits are of separate kinds; a G that is continuous in z alone has to draw what
    lies between two of them as well, but between two k there is nothing (Gurumurthy et al. 2017, arXiv 1706.02071;
    Khayatkhoei et al. 2018, arXiv 1806.00880). No label is used: G finds out what each k is good for.
    times: so many such choices, each by its own latents, one after the other.
    Shapes: z (N, F) -> (N, F), F ≥ times · count. No gradient flows to the latents that choose.
    """

    def __init__(self, count: int, scale: float = 4.0, times: int = 1):
        check_sizes("OneOf", count=count, times=times)
        self.count, self.scale, self.times = count, scale, times
        self.choosing = times * count  # how many latents say it

    def forward(self, z: Tensor) -> Tensor:
        n = self.choosing
        if z.ndim != 2 or z.shape[1] < n:
            raise ShapeError(f"{self.describe()} takes latents (N, F) with F of at least {n}, got {z.shape}")
        return ops.concatenate([self._chosen(raw(z)[:, :n]), z[:, n:]], axis=1)

    def _chosen(self, z: Any) -> Tensor:
        kinds = z.reshape(len(z), self.times, self.count).argmax(2)[..., None]
        one_hot = kinds == backend.array_library(z).arange(self.count)
        return wrap((one_hot.reshape(z.shape) * self.scale).astype(z.dtype))

    def describe(self) -> str:
        return f"OneOf({self.count}{f', {self.times} times' if self.times > 1 else ''})"
