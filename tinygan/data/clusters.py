"""Clusters: a data set cut, without labels, into parts that look alike, for a GAN that is told which part to draw."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..backend import generator
from ..errors import DataError, SettingError
from ..threads import prepare_process
from .dataset import Dataset, Images

Points = NDArray[np.float64]
LEARNT_FROM = 20_000  # images
MOST = 1000  # clusters
ROUNDS = 40
NUMBERS = 256  # of an image at most, that distances are of
PACE = 0.1  # at which prices rise, at first: of the images' variance, for a cluster twice as large as its share


def cluster(data: Dataset, count: int, seed: int = 0) -> Dataset:
    """The data set with `count` clusters, 0, 1, …, for labels: each has about as many images as the others.

    k-means (Lloyd 1982) on small versions of the images, with a price for each cluster: an image x belongs to the
    cluster with the least ‖x − centre‖² + price, and the price rises while the cluster is larger than its share. So a
    generator that draws each cluster equally often draws what the data has as often as the data has it. Images that are
    the same can't be parted, though: if there are many of them, their cluster is larger.
    GANs told such clusters: Sage et al. 2018 (arXiv 1712.04407), Liu et al. 2020 (arXiv 2006.10728).
    Clusters that stay without images, as where hardly any images differ, are left out. Raises SettingError for fewer
    than 2 or more than 1000, DataError for more than there are images.
    """
    if not 2 <= count <= MOST:
        raise SettingError(f"{count} clusters of {data.name}: 2 to {MOST} are expected")
    prepare_process()  # BLAS at one thread: its own are slow beside others
    points = _small(data.images)
    if len(points) < count:
        raise DataError(f"{data.name}: {len(points)} images are too few for {count} clusters; ask for fewer")
    chosen = generator(seed, "clusters").permutation(len(points))[:LEARNT_FROM]
    labels = _evened(points, *_kmeans(points[chosen], count))
    kept, labels = np.unique(labels, return_inverse=True)
    return replace(
        data, labels=labels.astype(np.int64), clustered=True, source=f"{data.source}, in {len(kept)} clusters"
    )


def _small(images: Images) -> Points:
    """(N, D): each image's 2×2 blocks averaged until it has at most NUMBERS numbers, or is one pixel high or wide."""
    while images[0].size > NUMBERS and min(images.shape[1:3]) > 1:
        n, height, width, channels = images.shape
        even = images[:, : height // 2 * 2, : width // 2 * 2]
        images = even.reshape(n, height // 2, 2, width // 2, 2, channels).mean(axis=(2, 4))
    return images.reshape(len(images), -1).astype(np.float64)


def _kmeans(points: Points, count: int) -> tuple[Points, Points]:
    """Centres (count, D) and prices (count,) for points in random order, the first of which are the first centres."""
    centres, prices, variance = points[:count], np.zeros(count), points.var(axis=0).sum()
    for i in range(ROUNDS):
        nearest = (_distances(points, centres) + prices).argmin(axis=1)
        members = np.equal.outer(np.arange(count), nearest).astype(np.float64)
        sizes = np.bincount(nearest, minlength=count)
        centres = np.where(sizes[:, None] > 0, members @ points / np.maximum(sizes, 1)[:, None], centres)
        prices += _rise(sizes, i / ROUNDS, variance)
    return centres, prices


def _evened(points: Points, centres: Points, prices: Points) -> NDArray[np.int64]:
    """The cluster of each point, (N,), of all the points: their prices move on a little, the centres stay."""
    distances, variance, rounds = _distances(points, centres), points.var(axis=0).sum(), ROUNDS // 4
    labels: NDArray[np.int64] = (distances + prices).argmin(axis=1)
    for i in range(rounds):
        sizes = np.bincount(labels, minlength=len(prices))
        prices = prices + _rise(sizes, i / rounds, variance)
        labels = (distances + prices).argmin(axis=1)
    return labels


def _rise(sizes: NDArray[np.int_], done: float, variance: float) -> Points:
    """How the price of each cluster changes, (count,): up where it is larger than its share, less when more is done."""
    rise: Points = PACE * (1 - done) * variance * (sizes * len(sizes) / sizes.sum() - 1)
    return rise


def _distances(points: Points, centres: Points) -> Points:
    """‖x − centre‖², (N, count), but for ‖x‖², which is the same for all centres."""
    distances: Points = (centres**2).sum(axis=1) - 2 * points @ centres.T
    return distances
