"""Two-dimensional toys whose truth is known: mixtures of Gaussians, on which a collapse of modes can be counted."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import backend
from ..errors import SettingError
from .features import Floats, checked
from .neighbours import squared_distances

SAMPLES = 2500  # as in the papers' tables


@dataclass(frozen=True, eq=False)
class Mixture:
    """Gaussians N(centre, sigma² I), all equally likely; centres (modes, 2)."""

    centres: Floats
    sigma: float

    def sample(self, n: int, seed: int = 0) -> NDArray[np.float32]:
        """n points (n, 2); the first of more are the same."""
        if n < 1:
            raise SettingError(f"n={n}: at least 1 point is expected")
        modes = backend.generator(seed, "mixture's modes").integers(0, len(self.centres), n)
        noise = backend.generator(seed, "mixture's noise").standard_normal((n, 2))
        points: NDArray[np.float32] = (self.centres[modes] + self.sigma * noise).astype(np.float32)
        return points


def ring(modes: int = 8) -> Mixture:
    """Eight modes on the unit circle, σ = 0.01."""
    angles = 2 * np.pi * np.arange(modes) / modes
    return Mixture(np.stack([np.cos(angles), np.sin(angles)], axis=1), 0.01)


def grid() -> Mixture:
    """Twenty-five modes at {−4, −2, 0, 2, 4}², σ = 0.05."""
    places = np.arange(-4.0, 5.0, 2.0)
    return Mixture(np.stack(np.meshgrid(places, places), axis=-1).reshape(-1, 2), 0.05)


class ModeReport(NamedTuple):
    captured: int
    high_quality: float
    reverse_kl: float


def mode_report(points: NDArray[Any], mixture: Mixture) -> ModeReport:
    """How many modes points (N, 2) have found, and how well. Lin et al. 2018 (PacGAN, arXiv 1712.04086), section 4.1.

    captured: modes with a point within 3σ, 0 to all. high_quality: the share of points within 3σ of any mode, 0 to 1;
    1 − e^(−9/2) = 0.989 for the mixture itself. reverse_kl: Σ q log(q/p), q the share of points nearest to each mode,
    p = 1/modes: 0 to log(modes), a single mode; about (modes − 1)/2N for the mixture itself.
    The papers count on 2,500 points. Raises ShapeError for anything but (N, 2), NonFiniteError for NaN.
    """
    points, centres = checked("mode report", points, mixture.centres)
    distances = squared_distances(points, centres)
    nearest = distances.argmin(axis=1)
    good = distances[np.arange(len(points)), nearest] <= (3 * mixture.sigma) ** 2
    counts = np.bincount(nearest, minlength=len(centres))
    return ModeReport(
        captured=len(np.unique(nearest[good])),
        high_quality=float(good.mean()),
        reverse_kl=kl_from_uniform(counts),
    )


def kl_from_uniform(counts: NDArray[np.int64]) -> float:
    """Σ q log(q/p) in nats, q = counts/N, p = 1/modes: 0 where all are equal, log(modes) where one has everything."""
    q = counts[counts > 0] / counts.sum()  # 0 · log 0 = 0
    return float(np.sum(q * np.log(q * len(counts))))
