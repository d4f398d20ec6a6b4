"""The drawn digits: the same from the same seed everywhere, endless, and looking like digits."""

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest

from tinygan.data import load
from tinygan.data.digits import digits
from tinygan.data.glyphs import GLYPHS
from tinygan.errors import SettingError


@pytest.fixture(scope="module")
def drawn():
    return digits(2000, seed=0)


def test_shapes_and_range(drawn):
    images, labels = drawn
    assert images.shape == (2000, 28, 28, 1)
    assert images.dtype == np.float32
    assert labels.dtype == np.int64
    assert (images.min(), images.max()) == (-1.0, 1.0)
    assert all(image.max() > 0.7 for image in images)


def test_the_first_n_of_more_are_the_same(drawn):
    for count in (1, 100, 250):
        images, labels = digits(count, seed=0)
        np.testing.assert_array_equal(images, drawn[0][:count])
        np.testing.assert_array_equal(labels, drawn[1][:count])


def test_another_seed_and_the_test_split_are_other_digits(drawn):
    train = {image.tobytes() for image in drawn[0]}
    assert len(train) == 2000
    assert not train & {image.tobytes() for image in digits(300, seed=1)[0]}
    assert not train & {image.tobytes() for image in digits(300, seed=0, split="test")[0]}


def test_the_same_bytes_in_every_process():
    code = (
        "import hashlib; from tinygan.data.digits import digits; images, labels = digits(300, seed=5); "
        "print(hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest())"
    )
    outputs = [
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "OPENBLAS_NUM_THREADS": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for hash_seed in ("1", "2")
    ]
    images, labels = digits(300, seed=5)
    assert outputs == [hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest()] * 2


def test_labels_are_balanced_and_shuffled(drawn):
    labels = drawn[1].reshape(-1, 100)
    assert all((np.bincount(chunk, minlength=10) == 10).all() for chunk in labels)
    assert len({chunk.tobytes() for chunk in labels}) == len(labels)
    assert (np.diff(drawn[1]) == 0).mean() < 0.15  # sorted ones would repeat nearly always


def test_digits_are_centred_by_mass_and_leave_a_margin(drawn):
    ink = (drawn[0][..., 0] + 1) / 2
    mass = ink.sum(axis=(1, 2))
    rows = (ink.sum(axis=2) @ np.arange(28)) / mass
    columns = (ink.sum(axis=1) @ np.arange(28)) / mass
    assert abs(rows - 13.5).max() < 1
    assert abs(rows - 13.5).mean() < 0.15
    assert abs(columns - 13.5).max() < 1
    assert abs(columns - 13.5).mean() < 0.15
    extent = [np.ptp(np.flatnonzero(image.max(axis=1) > 0.5)) + 1 for image in ink]
    assert max(extent) <= 21  # the box of 20 and what falls between pixels
    assert np.median(extent) >= 17


def test_a_class_looks_like_itself(drawn):
    centroids = np.stack([drawn[0][drawn[1] == digit].mean(axis=0) for digit in range(10)])
    images, labels = digits(1000, seed=1)
    distances = ((images[:, None] - centroids) ** 2).sum(axis=(2, 3, 4))
    hit = distances.argmin(axis=1) == labels
    assert hit.mean() > 0.8
    assert min(hit[labels == digit].mean() for digit in range(10)) > 0.6


def test_a_class_has_many_faces(drawn):
    for digit in range(10):
        own = drawn[0][drawn[1] == digit].reshape(200, -1)
        distances = np.sqrt(((own[:, None, ::4] - own[None, :, ::4]) ** 2).sum(axis=-1))
        np.fill_diagonal(distances, np.inf)
        assert distances.min() > 0.5  # no two alike
    assert [len(variants) >= 3 for variants in GLYPHS] == [True] * 10


def test_load_digits(drawn):
    data = load("digits", count=120)
    np.testing.assert_array_equal(data.images, drawn[0][:120])
    np.testing.assert_array_equal(data.labels, drawn[1][:120])
    assert data.source == "120 digits drawn by code, train split, seed 0"
    assert load("digits", count=5, seed=3).fingerprint != load("digits", count=5, seed=4).fingerprint
    assert load("digits", count=5, split="test").fingerprint != load("digits", count=5).fingerprint


def test_count_must_be_positive():
    with pytest.raises(SettingError, match="count=0"):
        digits(0)
