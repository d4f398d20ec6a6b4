"""data.cluster: parts that look alike, of one size, the same for the same seed."""

import numpy as np
import pytest

from tinygan import data
from tinygan.data import Dataset, clusters
from tinygan.errors import DataError, SettingError

RNG = np.random.default_rng


def heaps(sizes, shape=(6, 6, 1), noise=0.02):
    """Images around as many random ones, and which each belongs to, in random order."""
    rng = RNG(0)
    kinds = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    images = 0.4 * rng.uniform(-1, 1, (len(sizes), *shape))[kinds] + noise * rng.uniform(-1, 1, (len(kinds), *shape))
    return Dataset(images.astype(np.float32), None, "heaps", "made by a test"), kinds


def test_heaps_of_one_size_are_found():
    images, kinds = heaps([50] * 4)
    found = data.cluster(images, 4, seed=3)
    assert found.labels.dtype == np.int64 and found.clustered
    assert len({(a, b) for a, b in zip(kinds, found.labels, strict=True)}) == 4
    assert found.images is images.images and found.classes == 4
    assert found.source == "made by a test, in 4 clusters"


def test_clusters_are_alike_in_size_where_images_are_not_spread_evenly():
    """By far more than those of k-means without prices."""
    digits = data.load("digits", count=4000)
    sizes = np.bincount(data.cluster(digits, 20).labels)
    points = clusters._small(digits.images)
    plain = clusters._distances(points, clusters._kmeans(points, 20)[0]).argmin(axis=1)
    assert sizes.sum() == 4000 and sizes.std() < 0.1 * 200
    assert np.bincount(plain).std() > 3 * sizes.std()


def test_digits_of_a_cluster_look_alike():
    """Clusters of drawn digits tell more of the class than a tenth, and lie around means of their own."""
    digits = data.load("digits", count=2000)
    labels = data.cluster(digits, 20).labels
    commonest = [np.bincount(digits.labels[labels == k]).max() for k in range(20)]
    assert sum(commonest) / 2000 > 0.5
    flat = digits.images.reshape(2000, -1)
    within = sum(((flat[labels == k] - flat[labels == k].mean(axis=0)) ** 2).sum() for k in range(20))
    assert within < 0.8 * ((flat - flat.mean(axis=0)) ** 2).sum()


def test_the_seed_says_which_and_the_labels_of_the_data_dont():
    images, kinds = heaps([30] * 5, noise=0.5)
    told = Dataset(images.images, kinds, "heaps", "")
    first = data.cluster(images, 3, seed=1).labels
    assert np.array_equal(first, data.cluster(told, 3, seed=1).labels)
    assert not np.array_equal(first, data.cluster(images, 3, seed=2).labels)


def test_large_images_are_made_small_by_averages():
    images = RNG(0).uniform(-1, 1, (3, 33, 28, 3)).astype(np.float32)
    small = clusters._small(images)
    assert small.shape == (3, 8 * 7 * 3) and small.dtype == np.float64
    first_halving = images[:, :32].reshape(3, 16, 2, 14, 2, 3).mean(axis=(2, 4))
    second = first_halving.reshape(3, 8, 2, 7, 2, 3).mean(axis=(2, 4))
    np.testing.assert_allclose(small, second.reshape(3, -1), rtol=1e-6, atol=1e-7)
    assert clusters._small(images[:, :1]).shape == (3, 28 * 3)  # one pixel high


def test_k_means_ends_where_each_centre_is_the_mean_of_its_points():
    points = RNG(0).standard_normal((300, 2)) + 9 * RNG(1).permutation(300)[:, None] // 100
    centres, prices = clusters._kmeans(points, 3)
    nearest = (((points[:, None] - centres) ** 2).sum(axis=2) + prices).argmin(axis=1)
    assert np.array_equal(nearest, (clusters._distances(points, centres) + prices).argmin(axis=1))
    np.testing.assert_allclose(centres, [points[nearest == k].mean(axis=0) for k in range(3)], rtol=1e-12)


@pytest.mark.parametrize("count", [1, 0, -3, 1001])
def test_fewer_than_two_are_refused_and_more_than_a_thousand(count):
    with pytest.raises(SettingError, match=f"{count} clusters of heaps: 2 to 1000 are expected"):
        data.cluster(heaps([3, 3])[0], count)


def test_too_few_images_are_refused():
    with pytest.raises(DataError, match="heaps: 6 images are too few for 7 clusters; ask for fewer"):
        data.cluster(heaps([3, 3])[0], 7)


def test_clusters_without_images_are_left_out():
    same = Dataset(np.zeros((50, 4, 4, 1), np.float32), None, "grey", "all of them")
    found = data.cluster(same, 5)
    assert found.source == "all of them, in 1 clusters" and found.classes == 1 and not found.labels.any()
    two = Dataset(np.sign(np.arange(50.0) - 20.5).astype(np.float32).reshape(50, 1, 1, 1), None, "two", "")
    labels = data.cluster(two, 7).labels
    assert set(labels) == set(range(labels.max() + 1)) and set(labels[:21]).isdisjoint(labels[21:])
