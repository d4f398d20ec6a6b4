"""The kernel distance between two sets of features: unlike Fréchet's, without a bias."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .features import Floats, checked, chunks


def kernel_distance(a: NDArray[Any], b: NDArray[Any]) -> float:
    """MMD² = E k(x, x′) + E k(y, y′) − 2E k(x, y), k(x, y) = (xᵀy/d + 1)³, of vectors (N, d) and (M, d).

    Bińkowski et al. 2018 (arXiv 1801.01401), section 4, there "KID" with Inception's features. Pairs of a vector with
    itself are left out (Gretton et al. 2012, lemma 6), so that the estimate has no bias: its mean is the true MMD² at
    any N, and where that is 0 it comes out on both sides of 0. Range: a little below 0 to ∞.
    Raises DataError below 2 vectors.
    """
    a, b = checked("kernel distance", a, b, least=2, why="it compares pairs")
    return _mean_of_pairs(a) + _mean_of_pairs(b) - 2 * _kernel_sum(a, b) / (len(a) * len(b))


def _mean_of_pairs(a: Floats) -> float:
    """The mean of k over the N(N − 1) pairs of different vectors."""
    own = np.sum((np.einsum("nd,nd->n", a, a) / a.shape[1] + 1) ** 3)
    return float((_kernel_sum(a, a) - own) / (len(a) * (len(a) - 1)))


def _kernel_sum(a: Floats, b: Floats) -> float:
    """Σ k(x, y) over all x in a and y in b, in memory that doesn't grow with N·M."""
    total = 0.0
    for _, rows in chunks(a):
        kernel = rows @ b.T
        kernel /= a.shape[1]
        kernel += 1
        total += float(np.einsum("nm,nm,nm->", kernel, kernel, kernel))
    return total
