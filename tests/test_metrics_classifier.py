"""The reference classifier: the file that ships, what it reads, and that its training learns."""

import hashlib
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from tinygan import Tensor, checkpoint, data, metrics
from tinygan.errors import DataError, FileError, NonFiniteError, SettingError, ShapeError
from tinygan.metrics import classifier, train_classifier

FILE = Path(classifier.__file__).with_name(f"{classifier.ID}.npz")
needs_mnist = pytest.mark.skipif(
    not (Path(os.environ.get("TINYGAN_DATA", "")) / "mnist").is_dir() or not os.environ.get("TINYGAN_DATA"),
    reason="needs the real MNIST: set TINYGAN_DATA to a folder that has mnist/",
)


@pytest.mark.smoke
def test_the_shipped_file_is_the_one_that_the_id_stands_for():
    assert hashlib.sha256(FILE.read_bytes()).hexdigest() == classifier.SHA256
    assert FILE.stat().st_size < 300_000
    header = checkpoint.load(FILE)[1]
    assert header["id"] == classifier.ID and header["accuracy"] >= 0.99
    assert not metrics.load_classifier().training and metrics.load_classifier() is metrics.load_classifier()


def test_a_changed_or_missing_file_is_refused(tmp_path, monkeypatch):
    load = metrics.load_classifier.__wrapped__
    monkeypatch.setattr(classifier, "__file__", str(tmp_path / "classifier.py"))
    with pytest.raises(FileError, match=r"could not read .*mnist-cnn-1\.npz: No such file"):
        load()
    shutil.copy(FILE, tmp_path)
    load()
    content = bytearray(FILE.read_bytes())
    content[100_000] ^= 1
    (tmp_path / FILE.name).write_bytes(content)
    with pytest.raises(DataError, match=rf"its SHA-256 is [0-9a-f]{{64}}, but mnist-cnn-1 has {classifier.SHA256}"):
        load()


def test_a_reading():
    images, labels = data.load("digits", count=700).images, data.load("digits", count=700).labels
    reading = metrics.read(images)
    assert reading.features.shape == (700, 64) and reading.probabilities.shape == (700, 10)
    assert reading.features.dtype == reading.probabilities.dtype == np.float64
    assert reading.probabilities.sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert (reading.predicted == labels).mean() > 0.8  # drawn digits, which it was never shown
    alone = metrics.read(images[600:])  # in another batch
    assert alone.features == pytest.approx(reading.features[600:], abs=1e-4)


def test_images_that_it_cannot_read():
    image = np.zeros((2, 28, 28, 1), np.float32)
    for wrong in (image[:, :, :27], image[..., 0], image[:0], np.zeros((2, 28, 28, 3), np.float32)):
        with pytest.raises(ShapeError, match=r"reads images \(N, 28, 28, 1\).*" + str(wrong.shape[1])):
            metrics.read(wrong)
    image[1, 3, 4, 0] = np.nan
    with pytest.raises(NonFiniteError, match="image 1 of 2"):
        metrics.read(image)


@needs_mnist
def test_real_digits():
    """What the docstrings and the issue promise of the shipped classifier, on the real test set."""
    test = data.load("mnist", split="test")
    reading = metrics.read(test.images)
    assert metrics.conditional_accuracy(reading.predicted, test.labels) >= 0.99
    if len(test) == 10_000:
        assert metrics.classifier_score(reading.probabilities) == pytest.approx(9.8, abs=0.05)
    report = metrics.stacked_report(metrics.stack(test.images, 4000))
    assert report.modes > 900 and report.kl < 0.2


# ---------------------------------------------------------------- its training


def test_shifted_moves_each_image_on_its_own():
    images = np.full((40, 5, 5, 1), -1, np.float32)
    images[:, 2, 2] = 1
    moved = train_classifier.shifted(images, np.random.default_rng(0), 2)
    assert moved.shape == images.shape and (moved.sum(axis=(1, 2, 3)) == -23).all()
    places = {tuple(place) for place in np.argwhere(moved[..., 0] == 1)[:, 1:]}
    assert len(places) > 15
    assert np.array_equal(train_classifier.shifted(images, np.random.default_rng(0), 0), images)


def test_cross_entropy_by_hand():
    logits = np.log(np.array([[0.5, 0.25, *[0.03125] * 8], [0.1] * 10], np.float32))
    loss = train_classifier.cross_entropy(Tensor(logits), np.array([1, 7]))
    assert loss.item() == pytest.approx((np.log(4) + np.log(10)) / 2, rel=1e-6)


def test_training_learns_and_repeats(tmp_path, monkeypatch, capsys):
    """The whole command, on a few drawn digits in place of MNIST."""
    drawn = {split: data.load("digits", split=split, count=600) for split in ("train", "test")}
    monkeypatch.setattr(train_classifier.data, "load", lambda name, split="train": drawn[split])
    for name in ("a.npz", "b.npz"):
        train_classifier.main(["--out", str(tmp_path / name), "--epochs", "6"])
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    said = capsys.readouterr().out
    assert hashlib.sha256((tmp_path / "a.npz").read_bytes()).hexdigest() in said
    header = checkpoint.load(tmp_path / "a.npz")[1]
    assert header["accuracy"] > 0.8 and f"{header['accuracy']:.2%} of 600 test images" in said


# ---------------------------------------------------------------- stacked digits


def test_stacked_modes_by_hand():
    """Of two images read as 1, 2, 3 and 1, 2, 4 the modes are 123 and 124."""
    digits = data.load("digits", count=300)
    grey = digits.images[metrics.read(digits.images).predicted == digits.labels]
    classes = metrics.read(grey).predicted
    of = {c: grey[np.argmax(classes == c)] for c in range(10)}
    images = np.stack([np.concatenate([of[1], of[2], of[c]], axis=-1) for c in (3, 3, 4, 4)])
    report = metrics.stacked_report(images)
    assert report.modes == 2 and report.kl == pytest.approx(np.log(500))
    assert metrics.stacked_report(images[:1]).kl == pytest.approx(np.log(1000))


def test_stack():
    images = data.load("digits", count=50).images
    made = metrics.stack(images, 7, seed=1)
    assert made.shape == (7, 28, 28, 3) and made.dtype == np.float32 and made.flags.c_contiguous
    for image in made:
        for channel in range(3):
            assert (images[..., 0] == image[..., channel]).all(axis=(1, 2)).any()
    with pytest.raises(ShapeError, match="a digit in each channel"):
        metrics.stacked_report(images)
    with pytest.raises(ShapeError, match=r"\(N, 28, 28, 1\)"):
        metrics.stacked_report(np.zeros((2, 32, 32, 3), np.float32))
    with pytest.raises(SettingError, match="n=0"):
        metrics.stack(images, 0)
