"""Has the generator learnt its training images by heart? The nearest real image of each sample."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, ShapeError
from .features import chunks
from .neighbours import squared_distances

SIGMAS = 4.0  # of chance: what lies beyond isn't chance
COPIED = 0.05  # the share of copies that is called memorisation


@dataclass(frozen=True)
class Memorisation:
    """nearest: the number of the nearest training image of each sample, (N,); distance: to it, RMS over the pixels.

    hits: how many of all real images are the nearest of any sample; share: of these, those from the training set;
    expected: what that would be for a generator that has only learnt the distribution; z: how many standard deviations
    of chance are between the two.
    """

    nearest: NDArray[np.int64]
    distance: NDArray[np.float32]
    hits: int
    share: float
    expected: float
    z: float

    @property
    def copied(self) -> float:
        """The share c of the hits that must be copies for the excess to come about: c + (1 − c) · expected = share."""
        return max(0.0, (self.share - self.expected) / (1 - self.expected))

    @property
    def found(self) -> bool:
        """Whether there is more than chance explains, and enough to matter."""
        return self.z > SIGMAS and self.copied > COPIED


def memorisation(samples: NDArray[Any], train: NDArray[Any], test: NDArray[Any]) -> Memorisation:
    """The nearest training image of each of N samples, and a test of copying; images (N | M | L, H, W, C).

    Take the real images that are the nearest, of all M + L, to some sample. A generator that has only learnt the
    distribution can't tell training images from test images, which come from one distribution: so the hits are a draw
    without replacement, M/(M + L) of them training images, with the variance of the hypergeometric distribution. Copies
    make them more. Each image counts once, so that a generator without variety isn't mistaken for one that copies.
    A test with held-out data, as Meehan et al. 2020 (arXiv 2004.05675) have one, by other statistics. Distances are
    Euclidean, pixel by pixel. Ranges: share 0 to 1, z around 0, and above 4 for copies.
    Raises ShapeError where images differ in size, DataError where a set is empty.
    """
    shapes = [np.shape(images) for images in (samples, train, test)]
    if len({shape[1:] for shape in shapes}) != 1:
        raise ShapeError(f"memorisation: samples, training and test images have different sizes: {shapes}")
    if not all(map(len, (samples, train, test))):
        raise DataError(f"memorisation: a set is empty, the shapes are {shapes}")
    flat, real, held_out = (
        np.asarray(images, np.float32).reshape(len(images), -1) for images in (samples, train, test)
    )
    to_train, nearest = _nearest(flat, real)
    to_test, nearest_test = _nearest(flat, held_out)
    is_train = to_train < to_test
    from_train = len(np.unique(nearest[is_train]))
    hits = from_train + len(np.unique(nearest_test[~is_train]))
    share, expected = from_train / hits, len(train) / (len(train) + len(test))
    return Memorisation(
        nearest=nearest,
        distance=np.sqrt(to_train / flat.shape[1]),
        hits=hits,
        share=share,
        expected=expected,
        z=_standard_score(share, expected, hits, len(train) + len(test)),
    )


def _standard_score(share: float, expected: float, hits: int, images: int) -> float:
    """(share − expected) in standard deviations of a draw of `hits` without replacement; 0 where all were drawn."""
    variance = expected * (1 - expected) / hits * (images - hits) / (images - 1)
    return (share - expected) / math.sqrt(variance) if variance > 0 else 0.0


def _nearest(a: NDArray[np.float32], b: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Squared distance and number of the nearest vector of b, for each of a: (N,), (N,)."""
    least, place = np.full(len(a), np.inf, np.float32), np.zeros(len(a), np.int64)
    for first, columns in chunks(b, 10_000):
        for start, rows in chunks(a):
            distances = squared_distances(rows, columns)
            column = distances.argmin(axis=1)
            found = distances[np.arange(len(rows)), column]
            here = slice(start, start + len(rows))
            closer = found < least[here]
            least[here][closer] = found[closer]
            place[here][closer] = first + column[closer]
    return least, place
