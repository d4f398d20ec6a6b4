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
    Shapes: z (N, F) -> (N, F), F ≥ count. No gradient flows to the first `count` latents.
    """

    def __init__(self, count: int, scale: float = 4.0):
        check_sizes("OneOf", count=count)
        self.count, self.scale = count, scale

    def forward(self, z: Tensor) -> Tensor:
        if z.ndim != 2 or z.shape[1] < self.count:
            raise ShapeError(f"{self.describe()} takes latents (N, F) with F of at least {self.count}, got {z.shape}")
        return ops.concatenate([self._chosen(raw(z)[:, : self.count]), z[:, self.count :]], axis=1)

    def _chosen(self, z: Any) -> Tensor:
        xp = backend.array_library(z)
        return wrap(((z.argmax(1)[:, None] == xp.arange(self.count)) * self.scale).astype(z.dtype))

    def describe(self) -> str:
        return f"OneOf({self.count})"
