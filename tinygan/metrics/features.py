"""Sets of feature vectors, (N, d), as every distance between two sets takes them."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, NonFiniteError, ShapeError

Floats = NDArray[np.float64]
CHUNK = 500  # rows at a time: against 10,000 others a matrix of 40 MB


def checked(metric: str, *sets: NDArray[Any], least: int = 1, why: str = "") -> tuple[Floats, ...]:
    """The sets in float64, in which differences of large sums still have digits.

    Raises ShapeError unless all are (N, d) of one d, DataError below `least` rows, NonFiniteError for NaN or infinity.
    """
    shapes = [np.shape(one) for one in sets]
    if any(len(shape) != 2 for shape in shapes) or len({shape[1:] for shape in shapes}) != 1:
        raise ShapeError(f"{metric} takes sets of vectors (N, d) of one d, got the shapes {shapes}")
    if (fewest := min(shape[0] for shape in shapes)) < least:
        raise DataError(f"{metric}: {fewest} samples are too few, at least {least} are needed{why and f': {why}'}")
    for one in sets:
        if not np.isfinite(one).all():
            raise NonFiniteError(f"{metric}: a NaN or an infinity in row {int(np.argwhere(~np.isfinite(one))[0, 0])}")
    return tuple(np.asarray(one, np.float64) for one in sets)


def chunks(a: NDArray[Any], rows: int = CHUNK) -> Iterator[tuple[int, NDArray[Any]]]:
    """(number of the first row, up to `rows` rows), one chunk after another."""
    return ((start, a[start : start + rows]) for start in range(0, len(a), rows))
