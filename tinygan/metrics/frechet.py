"""The Fréchet distance between two sets of features, each taken for a Gaussian."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .features import Floats, checked


def frechet_distance(a: NDArray[Any], b: NDArray[Any]) -> float:
    """d² = ‖μ_a − μ_b‖² + tr(Σ_a + Σ_b − 2(Σ_a Σ_b)^½) of two sets of vectors (N, d) and (M, d), in float64.

    Heusel et al. 2017 (arXiv 1706.08500), eq. 6; there the features are Inception's, and only then is it called FID.
    Range: 0, where means and covariances agree, to ∞. Finite sets are apart even where they come from one
    distribution, by about as much as 1/N: compare with the floor at the same N alone.
    Raises DataError for sets of d vectors or fewer, whose covariance is singular.
    """
    least = np.shape(a)[-1] + 1 if np.ndim(a) == 2 else 1
    a, b = checked("Fréchet distance", a, b, least=least, why="more than there are features")
    return gaussian_distance(a.mean(axis=0), _covariance(a), b.mean(axis=0), _covariance(b))


def gaussian_distance(mean_a: Floats, covariance_a: Floats, mean_b: Floats, covariance_b: Floats) -> float:
    """d² between N(mean_a, covariance_a) and N(mean_b, covariance_b). Dowson & Landau 1982."""
    shift = np.sum((mean_a - mean_b) ** 2)
    spread = np.trace(covariance_a) + np.trace(covariance_b) - 2 * _trace_of_root(covariance_a, covariance_b)
    return float(max(shift + spread, 0.0))  # which rounding may take below 0


def _trace_of_root(a: Floats, b: Floats) -> float:
    """tr (ab)^½ for symmetric a, b ≥ 0.

    The product ab isn't symmetric, but it has the eigenvalues of r b r with r = a^½, which is: so the eigenvalues are
    real, and those that rounding takes below 0 are 0. No complex root ever comes up.
    """
    values, vectors = np.linalg.eigh(a)
    root = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
    return float(np.sqrt(np.linalg.eigvalsh(root @ b @ root).clip(min=0)).sum())


def _covariance(a: Floats) -> Floats:
    """Σ = (a − μ)ᵀ(a − μ)/(N − 1), (d, d)."""
    covariance: Floats = np.cov(a, rowvar=False).reshape(a.shape[1], a.shape[1])
    return covariance
