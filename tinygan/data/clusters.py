"""Clusters: a data set cut, without labels, into parts that look alike, for a GAN that is told which part to draw."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..backend import generator
from ..errors import DataError, SettingError
from .dataset import Dataset, Images

Points = NDArray[np.float64]
LEARNT_FROM = 10_000  # images
ROUNDS = 30
NUMBERS = 256  # of an image at most, that distances are of


def cluster(data: Dataset, count: int, seed: int = 0) -> Dataset:
    """The data set with clusters, 0 to count − 1, for labels: each has about as many images as the others.

    k-means (Lloyd 1982) on small versions of the images finds the centres. Then an image x belongs to the cluster with
    the least ‖x − centre‖² + price, where the price of a cluster has risen until it is no larger than the others. So a
    generator that draws each cluster equally often draws what the data has as often as the data has it.
    GANs told such clusters: Sage et al. 2018 (arXiv 1712.04407), Liu et al. 2020 (arXiv 2006.10728).
    Raises SettingError for fewer than 2, DataError where there are too few images that differ.
    """
    if count < 2:
        raise SettingError(f"cluster(count={count}): at least 2 clusters are expected")
    points = _small(data.images)
    order = generator(seed, "clusters").permutation(len(points))
    if len(points) < count:
        raise DataError(f"{data.name}: {len(points)} images are too few for {count} clusters; ask for fewer")
    labels = _evened(_distances(points, _kmeans(points[order[:LEARNT_FROM]], count)))
    if len(np.unique(labels)) < count:
        raise DataError(f"{data.name}: too few of its images differ for {count} clusters; ask for fewer")
    return replace(data, labels=labels, clustered=True, source=f"{data.source}, in {count} clusters")


def _small(images: Images) -> Points:
    """(N, D): each image's 2×2 blocks averaged until it has at most NUMBERS numbers, or is one pixel high or wide."""
    while images[0].size > NUMBERS and min(images.shape[1:3]) > 1:
        n, height, width, channels = images.shape
        even = images[:, : height // 2 * 2, : width // 2 * 2]
        images = even.reshape(n, height // 2, 2, width // 2, 2, channels).mean(axis=(2, 4))
    return images.reshape(len(images), -1).astype(np.float64)


def _kmeans(points: Points, count: int) -> Points:
    """Centres (count, D) of points in random order, the first of which are the first centres."""
    centres = points[:count]
    for _ in range(ROUNDS):
        nearest = _distances(points, centres).argmin(axis=1)
        members = np.equal.outer(np.arange(count), nearest).astype(np.float64)
        sizes = members.sum(axis=1, keepdims=True)
        centres = np.where(sizes > 0, members @ points / np.maximum(sizes, 1), centres)
    return centres


def _distances(points: Points, centres: Points) -> Points:
    """‖x − centre‖², (N, count), but for ‖x‖², which is the same for all centres."""
    distances: Points = (centres**2).sum(axis=1) - 2 * points @ centres.T
    return distances


def _evened(distances: Points) -> NDArray[np.int64]:
    """The cluster of each image, (N,): the nearest for the price that makes the clusters alike in size."""
    n, count = distances.shape
    prices = np.zeros(count)
    step = (distances.mean(axis=1) - distances.min(axis=1)).mean()
    labels: NDArray[np.int64] = distances.argmin(axis=1)
    for i in range(ROUNDS):
        prices += 0.3 * step * (1 - i / ROUNDS) * (np.bincount(labels, minlength=count) * count / n - 1)
        labels = (distances + prices).argmin(axis=1)
    return labels
