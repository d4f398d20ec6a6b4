"""How weights start: drawn on the CPU, so that CPU and GPU start equal.

An initialiser is a function of (rng, shape, fan_in, fan_out), where fan_in is how many inputs feed one output,
and fan_out how many outputs one input feeds.
"""

from collections.abc import Callable

import numpy as np

from ..backend import Array

Initialiser = Callable[[np.random.Generator, tuple[int, ...], int, int], Array]


def normal(std: float = 0.02) -> Initialiser:
    """N(0, std²), the same for any fan; 0.02 is DCGAN's (Radford et al. 2016, section 4)."""

    def draw(rng: np.random.Generator, shape: tuple[int, ...], fan_in: int, fan_out: int) -> Array:
        return rng.standard_normal(shape, np.float32) * np.float32(std)

    return draw


def he(slope: float = 0.0) -> Initialiser:
    """N(0, 2 / ((1 + slope²) · fan_in)): keeps the spread through (leaky) ReLUs (He et al. 2015, eq. 15)."""

    def draw(rng: np.random.Generator, shape: tuple[int, ...], fan_in: int, fan_out: int) -> Array:
        std = (2 / ((1 + slope**2) * fan_in)) ** 0.5
        return rng.standard_normal(shape, np.float32) * np.float32(std)

    return draw


def glorot() -> Initialiser:
    """U(−a, a) with a = √(6 / (fan_in + fan_out)): for tanh and linear layers (Glorot & Bengio 2010, eq. 16)."""

    def draw(rng: np.random.Generator, shape: tuple[int, ...], fan_in: int, fan_out: int) -> Array:
        bound = (6 / (fan_in + fan_out)) ** 0.5
        return (2 * rng.random(shape, np.float32) - 1) * np.float32(bound)

    return draw
