"""Make the reference classifier again: python -m tinygan.metrics.train_classifier --out mnist-cnn-1.npz

The same seed gives the same bytes on the same machine. Elsewhere another BLAS may round otherwise, so a classifier
made there is a good one, but another: to ship it, give it an id of its own, and change ID and SHA256 together.
"""

import argparse
import hashlib
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .. import backend, checkpoint, data, ops
from ..autograd import Tensor
from ..data.dataset import Images, Labels
from ..optim import Adam
from .classifier import CLASSES, ID, Classifier, read

EPOCHS = 12
BATCH = 100
LR = 3e-3
SHIFT = 2  # pixels, each way: where a digit stands is no part of what it is


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tinygan.metrics.train_classifier", description=__doc__)
    parser.add_argument("--out", default=f"{ID}.npz", metavar="FILE.npz", help=f"(default: {ID}.npz)")
    parser.add_argument("--epochs", type=int, default=EPOCHS, metavar="N", help=f"(default: {EPOCHS})")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="(default: 0)")
    options = parser.parse_args(arguments)
    train_set, test_set = data.load("mnist"), data.load("mnist", split="test")
    assert train_set.labels is not None and test_set.labels is not None  # MNIST's are always there
    classifier = train(train_set.images, train_set.labels, options.epochs, options.seed)
    accuracy = float((read(test_set.images, classifier).predicted == test_set.labels).mean())
    header = {"id": ID, "seed": options.seed, "epochs": options.epochs, "accuracy": accuracy}
    checkpoint.save(options.out, classifier.state_dict(), header)
    digest = hashlib.sha256(Path(options.out).read_bytes()).hexdigest()
    print(f"{options.out}: {accuracy:.2%} of {len(test_set)} test images are read rightly; SHA-256 {digest}")


def train(images: Images, labels: Labels, epochs: int = EPOCHS, seed: int = 0, batch: int = BATCH) -> Classifier:
    """A classifier of images (N, 28, 28, 1), labels (N,) in 0 … 9, in evaluation mode after `epochs` passes.

    Minimises the cross-entropy by Adam; the learning rate falls to 0 along half a cosine.
    """
    classifier = Classifier(backend.generator(seed, "weights of the classifier"))
    optimizer = Adam(classifier.parameters(), LR)
    steps = len(images) // batch
    for epoch in range(epochs):
        rng = backend.generator(seed, "classifier", epoch)
        order = rng.permutation(len(images))
        total = 0.0
        for step in range(steps):
            chosen = order[step * batch : (step + 1) * batch]
            optimizer.lr = LR * (1 + math.cos(math.pi * (epoch + step / steps) / epochs)) / 2
            loss = cross_entropy(classifier(Tensor(shifted(images[chosen], rng))), labels[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()
        print(f"epoch {epoch + 1} of {epochs}: cross-entropy {total / steps:.4f}", flush=True)
    classifier.eval()
    return classifier


def cross_entropy(logits: Tensor, labels: Labels) -> Tensor:
    """−mean log p(label), with p = softmax(logits). Shapes: (N, 10) and (N,) -> ()."""
    wanted = Tensor(np.eye(CLASSES, dtype=np.float32)[labels])
    return -ops.sum(wanted * ops.log_softmax(logits)) / len(labels)


def shifted(images: Images, rng: np.random.Generator, most: int = SHIFT) -> Images:
    """Each image moved by up to `most` pixels down and across, black moving in. (N, H, W, C) -> the same shape."""
    n, height, width, _ = images.shape
    padded = np.pad(images, ((0, 0), (most, most), (most, most), (0, 0)), constant_values=-1)
    down, across = rng.integers(0, 2 * most + 1, (2, n))
    rows = down[:, None] + np.arange(height)
    columns = across[:, None] + np.arange(width)
    moved: Images = padded[np.arange(n)[:, None, None], rows[:, :, None], columns[:, None, :]]
    return moved


if __name__ == "__main__":
    main()
