"""The reference classifier: a small network, trained by tinygan itself, whose features the metrics compare.

It ships with the package, so that judging samples downloads nothing. Its id stands in the name of each distance it
gives: numbers of different classifiers can't be compared, nor any of them with a FID, which is Inception's.
"""

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import checkpoint, ops
from ..autograd import Tensor, no_grad
from ..errors import DataError, FileError, NonFiniteError, ShapeError
from ..gan import place_like
from ..nn import BatchNorm, Conv, Dense, Flatten, LeakyReLU, Module, Sequential
from ..nn.init import he

ID = "mnist-cnn-1"
SHA256 = "c1ab5fd34e7b45ec0a19633a42f92e2b8878e206ba715afdcf620d12b8049a26"
IMAGE_SHAPE = (28, 28, 1)
CLASSES = 10
FEATURES = 64
BATCH = 500

Floats = NDArray[np.float64]


class Classifier(Module):
    """Three convolutions of stride 2, 28 -> 14 -> 7 -> 4, then 64 features, then a logit for each of ten classes."""

    def __init__(self, rng: np.random.Generator | None = None):
        self.to_features = Sequential(
            Conv(1, 16, 4, stride=2, padding="same", bias=False, init=he(), rng=rng),
            BatchNorm(16),
            LeakyReLU(0.1),
            Conv(16, 32, 4, stride=2, padding="same", bias=False, init=he(), rng=rng),
            BatchNorm(32),
            LeakyReLU(0.1),
            Conv(32, 32, 4, stride=2, padding="same", bias=False, init=he(), rng=rng),
            BatchNorm(32),
            LeakyReLU(0.1),
            Flatten(),
            Dense(4 * 4 * 32, FEATURES, bias=False, rng=rng),
            BatchNorm(FEATURES),
            LeakyReLU(0.1),
        )
        self.to_logits = Dense(FEATURES, CLASSES, rng=rng)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.to_logits(self.to_features(x))
        return logits


@dataclass(frozen=True)
class Reading:
    """What a classifier reads in N images: features (N, 64) and probabilities of the classes (N, 10), float64."""

    features: Floats
    probabilities: Floats

    @property
    def predicted(self) -> NDArray[np.int64]:
        """The likeliest class of each image, (N,)."""
        likeliest: NDArray[np.int64] = self.probabilities.argmax(axis=1)
        return likeliest


@cache
def load_classifier() -> Classifier:
    """The shipped classifier in evaluation mode, on the CPU.

    Raises FileError where its file is missing, DataError where it isn't, to the bit, the one that ID stands for.
    """
    path = Path(__file__).with_name(f"{ID}.npz")
    try:
        found = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise FileError(f"could not read {path}: {error.strerror}. Install tinygan again.") from error
    if found != SHA256:
        raise DataError(f"{path}: its SHA-256 is {found}, but {ID} has {SHA256}. Install tinygan again.")
    classifier = Classifier()
    classifier.load_state_dict(checkpoint.load(path)[0])
    classifier.eval()
    return classifier


def read(images: NDArray[Any], classifier: Classifier | None = None) -> Reading:
    """Show images (N, 28, 28, 1) in [−1, 1] to the classifier, the shipped one unless another is given.

    Raises ShapeError for images of another size, NonFiniteError for NaN or infinity.
    """
    if images.ndim != 4 or images.shape[1:] != IMAGE_SHAPE or not len(images):
        raise ShapeError(
            f"{ID} reads images (N, 28, 28, 1), at least one, but these have the shape {images.shape}. "
            "It knows digits alone: resize them, and make them grey, if they are digits."
        )
    if not np.isfinite(images).all():
        bad = int(np.argwhere(~np.isfinite(images))[0, 0])
        raise NonFiniteError(f"image {bad} of {len(images)} holds a NaN or an infinity: has the generator diverged?")
    classifier = load_classifier() if classifier is None else classifier
    features, probabilities = [], []
    with no_grad():
        for start in range(0, len(images), BATCH):
            h = classifier.to_features(place_like(classifier, images[start : start + BATCH]))
            features.append(h.numpy())
            probabilities.append(ops.exp(ops.log_softmax(classifier.to_logits(h))).numpy())
    return Reading(np.concatenate(features).astype(np.float64), np.concatenate(probabilities).astype(np.float64))
