"""tinygan.data.Dataset: what it accepts, and batches that a run can take up again."""

import itertools
import re
import subprocess
import sys

import numpy as np
import pytest

from tinygan.data import Dataset
from tinygan.data.dataset import checked_count, from_bytes
from tinygan.errors import DataError, SettingError


def numbered(count: int) -> Dataset:
    """A data set whose image i is full of the value i / 100."""
    images = np.broadcast_to(np.arange(count, dtype=np.float32)[:, None, None, None] / 100, (count, 2, 3, 1))
    return Dataset(images, np.arange(count), "numbered", "made by a test")


def numbers(batch: np.ndarray) -> list[int]:
    return [round(float(value) * 100) for value in batch[:, 0, 0, 0]]


def test_what_a_dataset_tells():
    data = numbered(5)
    assert len(data) == 5
    assert data.image_shape == (2, 3, 1)
    assert data.images.flags.c_contiguous
    assert repr(data) == "Dataset(name='numbered', source='made by a test')"


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((2, 3, 3, 1)), r"float32 NumPy array, not float64: images\.astype\(numpy\.float32\)$"),
        (np.zeros((2, 3, 3, 1), np.uint8), r"not uint8: images\.astype\(numpy\.float32\) / 127\.5 − 1$"),
        ([[0.0]], "float32 NumPy array, not list"),
        (np.zeros((2, 9), np.float32), r"shape \(2, 9\), but \(N, H, W, C\)"),
        (np.zeros((0, 3, 3, 1), np.float32), r"no images, the shape is \(0, 3, 3, 1\)"),
        (np.zeros((2, 4, 3, 2), np.float32), r"C must be 1 or 3\.$"),
        (np.zeros((2, 3, 9, 9), np.float32), r"transpose\(0, 2, 3, 1\)"),
    ],
)
def test_wrong_images_are_refused(images, message):
    with pytest.raises(DataError, match=message):
        Dataset(images, None, "bad", "")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.nan, r"image 1 has the value nan at position \(2, 0, 0\)\. Images must be finite"),
        (np.inf, r"image 1 has the value inf at position \(2, 0, 0\)\. Images must be finite"),
        (-np.inf, r"image 1 has the value -inf at position \(2, 0, 0\)\. Images must be finite"),
        (1.5, r"image 1 has the value 1\.5 at position \(2, 0, 0\), but values must lie in \[−1, 1\]"),
        (-1.25, r"these lie in \[-1\.25, 0\]"),
    ],
)
def test_the_first_bad_value_is_named(value, message):
    images = np.zeros((3, 4, 4, 1), np.float32)
    images[1, 2, 0, 0] = images[2, 0, 0, 0] = value
    with pytest.raises(DataError, match=message):
        Dataset(images, None, "bad", "")


@pytest.mark.parametrize(
    ("labels", "message"),
    [(np.zeros(2, np.int32), "not int32"), (np.zeros(3, np.int64), r"shape \(3,\), but 2 images need \(2,\)")],
)
def test_wrong_labels_are_refused(labels, message):
    with pytest.raises(DataError, match=message):
        Dataset(np.zeros((2, 3, 3, 1), np.float32), labels, "bad", "")


def test_bytes_reach_both_ends_exactly():
    values = from_bytes(np.array([0, 51, 255], np.uint8))
    assert values.dtype == np.float32
    assert values.tolist() == [-1.0, np.float32(51 / 127.5 - 1), 1.0]


def test_every_epoch_is_a_permutation_of_its_own():
    data = numbered(12)
    batches = list(itertools.islice(data.batches(4, seed=1), 6))
    first, second = (numbers(np.concatenate(half)) for half in (batches[:3], batches[3:]))
    assert sorted(first) == sorted(second) == list(range(12))
    assert first != second
    assert first != list(range(12))
    assert all(batch.shape == (4, 2, 3, 1) and batch.dtype == np.float32 for batch in batches)


def test_an_incomplete_batch_is_dropped():
    seen = numbers(np.concatenate(list(itertools.islice(numbered(11).batches(4, seed=1), 2))))
    assert len(set(seen)) == 8
    third = next(itertools.islice(numbered(11).batches(4, seed=1), 2, None))
    assert third.shape == (4, 2, 3, 1)


def test_the_seed_decides_the_order():
    data = numbered(50)
    same, again, other = (next(data.batches(20, seed=seed)).tobytes() for seed in (3, 3, 4))
    assert same == again
    assert same != other


@pytest.mark.parametrize("start", [0, 1, 2, 3, 7, 30])
def test_start_skips_as_iterating_does(start):
    data = numbered(11)
    walked = itertools.islice(data.batches(4, seed=9), start, start + 5)
    skipped = itertools.islice(data.batches(4, seed=9, start=start), 5)
    assert [batch.tobytes() for batch in walked] == [batch.tobytes() for batch in skipped]


def test_start_is_free():
    # Walking there would take hours.
    assert next(numbered(10).batches(5, seed=0, start=10**12)).shape == (5, 2, 3, 1)


def test_writing_into_a_batch_leaves_the_data_alone():
    data = numbered(4)
    next(data.batches(4, seed=0))[:] = -1
    assert data.images.min() == 0


def test_a_batch_larger_than_the_data_is_refused_at_once():
    with pytest.raises(DataError, match=r"a batch of 6 images is larger than the data, 5 images.*at most 5"):
        numbered(5).batches(6, seed=0)


@pytest.mark.parametrize(("batch_size", "start"), [(0, 0), (2, -1)])
def test_batches_refuses_numbers_out_of_range(batch_size, start):
    with pytest.raises(SettingError, match=re.escape(f"batch_size={batch_size}, start={start}")):
        numbered(5).batches(batch_size, seed=0, start=start)


def test_the_fingerprint_follows_the_images():
    images = np.zeros((2, 2, 3, 1), np.float32)
    changed = images.copy()
    changed[1, 1, 2, 0] = 0.5
    one, same, other, turned = (
        Dataset(array, None, name, "").fingerprint
        for array, name in ((images, "a"), (images.copy(), "b"), (changed, "a"), (images.reshape(2, 3, 2, 1), "a"))
    )
    assert re.fullmatch("[0-9a-f]{64}", one)
    assert one == same
    assert len({one, other, turned}) == 3


def test_checked_count():
    assert checked_count(None, 7, "x") == 7
    assert checked_count(3, 7, "x") == 3
    with pytest.raises(DataError, match="8 images were asked for, but there are 7"):
        checked_count(8, 7, "x")
    with pytest.raises(SettingError, match="count=0"):
        checked_count(0, 7, "x")


def test_the_import_is_light():
    code = "import sys, tinygan.data; print([m for m in ('PIL', 'pooch', 'tqdm', 'requests') if m in sys.modules])"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.strip() == "[]"
