"""Penalties on the slope of a discriminator with respect to its input: a gradient inside the loss.

The slope is itself made of operations, so the penalty's gradient with respect to D's weights is a second derivative,
which the engine takes like any other.
"""

from collections.abc import Callable

import numpy as np

from . import backend
from .autograd import Tensor, enable_grad, grad, wrap
from .backend import generator_or_default
from .errors import SettingError, ShapeError
from .nn import BatchNorm, Module
from .ops import reshape, sqrt

EPS = 1e-12  # under the root, whose derivative at 0 is infinite

Discriminator = Callable[[Tensor], Tensor]


def squared_slope(discriminator: Discriminator, x: Tensor) -> Tensor:
    """‖∂D(x)/∂x‖² of each example, over all its features: x (N, …) -> (N,).

    One backward pass gives all of them, since an example's logit depends on no other example.
    """
    x = x.detach()
    x.requires_grad = True
    with enable_grad():
        (gradient,) = grad(discriminator(x).sum(), x, create_graph=True)
    return reshape(gradient * gradient, (len(x), -1)).sum(1)


def slope(discriminator: Discriminator, x: Tensor) -> Tensor:
    """‖∂D(x)/∂x‖ = √(Σ g² + 1e-12) of each example: x (N, …) -> (N,)."""
    return sqrt(squared_slope(discriminator, x) + EPS)


def gradient_penalty(
    critic: Discriminator, real: Tensor, fake: Tensor, rng: np.random.Generator | None = None, target: float = 1.0
) -> Tensor:
    """E[(‖∂D(x̂)/∂x̂‖ − 1)²] at points between real and fake. Gulrajani et al. 2017 (arXiv 1704.00028), eq. 3.

    x̂ = ε x + (1 − ε) G(z), with one ε ~ U(0, 1) an example. The best critic has slope 1 almost everywhere between the
    two distributions (their proposition 1). Shapes: real and fake (N, …), both of one shape -> one number ≥ 0.
    Raises ShapeError where the two differ, SettingError for a critic with batch normalisation: then the slope of an
    example would hang on the others.
    """
    if real.shape != fake.shape:
        raise ShapeError(f"gradient_penalty: real has shape {real.shape}, fake {fake.shape}; the same is expected")
    if isinstance(critic, Module) and any(isinstance(module, BatchNorm) for module in critic.modules()):
        raise SettingError(
            "gradient_penalty: the critic has a BatchNorm, which mixes examples, but the penalty is on the slope of "
            "each by itself; use LayerNorm, or no normalisation"
        )
    epsilon = _place_beside(real, generator_or_default(rng).random((len(real),) + (1,) * (real.ndim - 1)))
    mixed = epsilon * real + (1 - epsilon) * fake
    return ((slope(critic, mixed) - target) ** 2).mean()


def r1_penalty(discriminator: Discriminator, real: Tensor) -> Tensor:
    """½ E[‖∂D(x)/∂x‖²] at real examples: zero-centred. Mescheder et al. 2018 (arXiv 1801.04406), eq. 9.

    Shapes: real (N, …) -> one number ≥ 0.
    """
    return 0.5 * squared_slope(discriminator, real).mean()


def dragan_penalty(discriminator: Discriminator, real: Tensor, rng: np.random.Generator | None = None) -> Tensor:
    """E[(‖∂D(x + δ)/∂x‖ − 1)²] around real examples, δ ~ N(0, c). Kodali et al. 2017 (arXiv 1705.07215), eq. 1.

    √c is half the deviation of all numbers in `real`. Shapes: real (N, …) -> one number ≥ 0.
    """
    noise = _place_beside(real, generator_or_default(rng).standard_normal(real.shape))
    values = real.detach()
    deviation = sqrt(((values - values.mean()) ** 2).mean())
    return ((slope(discriminator, values + 0.5 * deviation * noise) - 1) ** 2).mean()


def _place_beside(like: Tensor, numbers: np.ndarray) -> Tensor:
    return wrap(backend.to_device(numbers.astype(like.dtype), like.device))
