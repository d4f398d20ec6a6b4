"""What a step shows of how the game goes, besides its losses: measured where it happens, from what the step has anyway.

On a GPU all is computed there; `line` alone brings the numbers over.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from .. import backend
from ..autograd import Tensor, raw
from ..backend import Array
from ..gan import GAN
from ..nn import Buffer, Module, Parameter
from ..nn.module import watched
from ..optim import Optimizer
from ..runs import Line

DEAD = 1e-4  # of the layer's largest output: a unit that varies by no more over a batch is dead


class Watch:
    """Watches steps of a GAN, and says in numbers what it saw of the last of each player.

    d_accuracy: the share of all pairs of a real and a fake image in which D gives the real one the higher logit, a tie
    counting ½: the area under D's ROC curve. It needs no threshold, so that it means the same for every objective;
    ½ is a coin, 1 a D that is never wrong.
    diversity: how far from each other the fakes are, as a share of how far the real images are (see `diversity`).
    d_gradient, g_gradient: the Euclidean norm of the gradient with respect to all of a player's parameters.
    d_dead, g_dead: the share of dead units in the hidden layer that has the most, d_dead_layer and g_dead_layer which
    one of `hidden_layers` that is. Only if `layers` is set, as it costs more.
    """

    def __init__(self, gan: GAN, layers: bool = False):
        self._gan, self._numbers = gan, dict[str, Any]()
        self._layers = {"d": hidden_layers(gan.discriminator), "g": hidden_layers(gan.generator)} if layers else {}
        self._ranges: dict[int, tuple[Array, Array]] = {}  # by id of the layer: least and largest output of each unit

    @contextmanager
    def on(self) -> Iterator[None]:
        """Watch the steps of this block."""
        self._gan.look = self._step
        try:
            if self._layers:
                with watched(self._layer):
                    yield
            else:
                yield
        finally:
            self._gan.look = None

    def line(self) -> Line:
        """The numbers, for the log; those that could not be measured are left out."""
        numbers = {name: float(number) for name, number in self._numbers.items()}
        if not math.isfinite(numbers.get("diversity", 0.0)):  # the real images were all alike
            del numbers["diversity"]
        for player, layers in self._layers.items():
            shares = [float(dead_share(*self._ranges[id(m)])) if id(m) in self._ranges else 0.0 for _, m in layers]
            if shares:
                numbers[f"{player}_dead"], numbers[f"{player}_dead_layer"] = max(shares), int(np.argmax(shares))
        return numbers

    def _step(self, optimizer: Optimizer, **seen: Any) -> None:
        player = "d" if optimizer is self._gan.d_optimizer else "g"
        self._numbers[f"{player}_gradient"] = gradient_norm(optimizer.params)
        if player == "d":
            self._numbers["d_accuracy"] = ranking(raw(seen["real_logits"]), raw(seen["fake_logits"]))
            if (ratio := diversity(raw(seen["fake"]), raw(seen["real"]), seen["labels"])) is not None:
                self._numbers["diversity"] = ratio

    def _layer(self, module: Module, y: Tensor) -> None:
        if any(module is layer for layers in self._layers.values() for _, layer in layers):
            array, key = raw(y), id(module)
            axes, xp = tuple(range(array.ndim - 1)), backend.array_library(array)
            least, largest = array.min(axes), array.max(axes)
            if key in self._ranges:  # D sees real and fake images: a unit that tells them apart is alive
                least, largest = xp.minimum(least, self._ranges[key][0]), xp.maximum(largest, self._ranges[key][1])
            self._ranges[key] = least, largest


def ranking(real_logits: Array, fake_logits: Array) -> Array:
    """P(l > f) + ½ P(l = f) over all pairs of logits, (N, …) and (M, …): the area under D's ROC curve. 0 to 1."""
    real, fake = real_logits.reshape(-1, 1), fake_logits.reshape(1, -1)
    return ((real > fake).mean() + (real >= fake).mean()) / 2


def diversity(fake: Array, real: Array, labels: Any = None) -> Array | None:
    """√(Σ Var fake / Σ Var real), variances over the batch, sums over the pixels: images (N, …) both.

    It is the root mean square distance of two fakes over that of two real images: 1 where fakes are as unlike each
    other as those, 0 where all are the same. With labels, (N,), both are within a class, since a G that draws one
    image a class has collapsed, too. None where no two images are of one class; NaN or infinity where the real ones
    are all alike.
    """
    groups = np.zeros(len(real), np.int64) if labels is None else np.unique(np.asarray(labels), return_inverse=True)[1]
    same = groups[:, None] == groups
    if same.sum() == len(real):
        return None
    to_mean = backend.to_device((same / same.sum(1)).astype(real.dtype), backend.device_of(real))
    rows = [images.reshape(len(images), -1) for images in (fake, real)]
    spread = [((row - to_mean @ row) ** 2).sum() for row in rows]
    with np.errstate(divide="ignore", invalid="ignore"):
        return (spread[0] / spread[1]) ** 0.5


def gradient_norm(params: list[Tensor]) -> Array:
    """√Σ g² over all numbers of all gradients."""
    return sum((raw(p.grad) ** 2).sum() for p in params if p.grad is not None) ** 0.5


def dead_share(least: Array, largest: Array) -> Array:
    """The share of units whose output varies by no more than 1e-4 of the layer's largest: a ReLU that is always 0.

    So is a tanh that always saturates. least, largest: of each unit over all examples, (units,).
    """
    scale = backend.array_library(least).maximum(-least, largest).max()
    return (largest - least <= DEAD * scale).mean()


def hidden_layers(player: Module) -> list[tuple[str, Module]]:
    """Name and layer of what may be dead: layers without weights between the first and the last that has some.

    What comes before is the data, and the pixels that G ends in may well be the same in each image.
    """
    leaves = [(name, module) for name, module in _named_modules(player) if not any(module.children())]
    weighted = [i for i, (_, module) in enumerate(leaves) if any(_is_weight(v) for _, v in module._members())]
    between = range(weighted[0], weighted[-1]) if weighted else ()
    return [leaves[i] for i in between if i not in weighted]


def _is_weight(value: Any) -> bool:
    return isinstance(value, Parameter | Buffer)


def _named_modules(module: Module, name: str = "") -> Iterator[tuple[str, Module]]:
    yield name, module
    for child, inner in module.children():
        yield from _named_modules(inner, f"{name}.{child}" if name else child)
