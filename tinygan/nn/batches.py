"""Layers for a discriminator that looks at several examples at a time, and so can see that they are all alike."""

from .. import ops
from ..autograd import Tensor
from ..errors import ShapeError
from .conditional import Embedding, JoinLabels, Projection
from .module import Module, Sequential
from .normalization import LayerNorm
from .simple import Dropout, Flatten, LeakyReLU, ReLU, Reshape, Sigmoid, Softplus, Tanh
from .weighted import Conv, ConvTranspose, Dense, check_sizes

ONE_BY_ONE = {Conv, ConvTranspose, Dense, Dropout, Embedding, Flatten, JoinLabels, LayerNorm, LeakyReLU, Projection}
ONE_BY_ONE |= {ReLU, Reshape, Sequential, Sigmoid, Softplus, Tanh}


def one_by_one(module: Module) -> bool:
    """Whether it treats each example as if it were alone: if it is made of such layers only, not of a user's own."""
    return all(type(part) in ONE_BY_ONE for part in module.modules())


class Pack(Module):
    """`size` examples side by side as one, so that D judges them together. Lin et al. 2018 (arXiv 1712.04086), 3.

    A collapsed G is caught at once: its packs vary less than real ones. Shapes: x (N, …, C) -> (N/size, …, size · C).
    Raises ShapeError where N can't be divided so.
    """

    def __init__(self, size: int):
        check_sizes("Pack", size=size)
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim < 2 or len(x) % self.size:
            raise ShapeError(f"{self.describe()} takes x (N, …, C) with N a multiple of {self.size}, got {x.shape}")
        packs = ops.reshape(x, (len(x) // self.size, self.size, *x.shape[1:]))
        last = x.ndim - 1  # the example's number within its pack goes in front of the channels
        return ops.reshape(
            ops.transpose(packs, (0, *range(2, last + 1), 1, last + 1)),
            (len(packs), *x.shape[1:-1], self.size * x.shape[-1]),
        )

    def describe(self) -> str:
        return f"Pack({self.size})"


class MinibatchStdDev(Module):
    """One feature more: how much the examples of a group vary. Karras et al. 2018 (arXiv 1710.10196), section 3.

    s = the mean, over all places and features, of √(v + 1e-8), v the variance over the group's examples; every example
    of the group gets s as another feature at each place. Groups are `group` examples in a row; None: the whole batch.
    Shapes: x (N, …, C) -> (N, …, C + 1). Raises ShapeError where N is no multiple of `group`.
    """

    def __init__(self, group: int | None = None):
        if group is not None:
            check_sizes("MinibatchStdDev", group=group)
        self.group = group

    def forward(self, x: Tensor) -> Tensor:
        group = len(x) if self.group is None else self.group
        if x.ndim < 2 or len(x) % group:
            raise ShapeError(f"{self.describe()} takes x (N, …, C) with N a multiple of {group}, got {x.shape}")
        groups = ops.reshape(x, (len(x) // group, group, -1))
        centred = groups - ops.mean(groups, 1, keepdims=True)
        deviation = ops.mean(ops.sqrt(ops.mean(centred * centred, 1) + 1e-8), -1)  # (groups,)
        places = (*x.shape[:-1], 1)
        each = ops.broadcast_to(ops.reshape(deviation, (-1, 1)), (len(groups), group))
        feature = ops.broadcast_to(ops.reshape(each, (len(x),) + (1,) * (x.ndim - 1)), places)
        return ops.concatenate([x, feature], axis=-1)

    def describe(self) -> str:
        return f"MinibatchStdDev({self.group or ''})"
