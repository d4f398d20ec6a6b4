"""What the classifier says of samples: which classes there are, how sure it is, how both together score."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, ShapeError
from .features import Floats, checked


def class_shares(predicted: NDArray[np.int64], classes: int = 10) -> Floats:
    """The share of each class among predictions (N,), (classes,): 1/10 each is ideal, 0 a class that is missing."""
    if predicted.ndim != 1 or not len(predicted):
        raise DataError(f"class shares: predictions (N,) of at least one image are needed, got {predicted.shape}")
    shares: Floats = np.bincount(predicted, minlength=classes) / len(predicted)
    return shares


def distance_from_uniform(shares: Floats) -> float:
    """½ Σ |p_c − 1/C|: the share of samples that would have to be of another class for all to be equally common.

    The total variation between the shares p and the uniform distribution. Range: 0 to 1 − 1/C, a single class.
    """
    return float(np.abs(shares - 1 / len(shares)).sum() / 2)


def mean_confidence(probabilities: NDArray[Any]) -> float:
    """mean over the samples of max_c p(c|x), for probabilities (N, C). Range: 1/C to 1, sure of each."""
    (probabilities,) = checked("mean confidence", probabilities)
    return float(probabilities.max(axis=1).mean())


def classifier_score(probabilities: NDArray[Any]) -> float:
    """exp E_x KL(p(c|x) ‖ p(c)), p(c) = E_x p(c|x), for probabilities (N, C).

    Salimans et al. 2016 (arXiv 1606.03498), section 4, there the "Inception score". Range: 1, where all samples are
    read alike, to C, where each is read surely and all classes are equally common; real digits have 9.8.
    It doesn't notice one perfect image a class, and takes nonsense that is surely read for good: one number of many.
    """
    (p,) = checked("classifier score", probabilities)
    marginal = p.mean(axis=0)
    # 0 · log 0 = 0, and a class of marginal 0 has probability 0 everywhere
    ratio = np.divide(p, marginal, out=np.ones_like(p), where=p > 0)
    return float(np.exp((p * np.log(ratio)).sum(axis=1).mean()))


def conditional_accuracy(predicted: NDArray[np.int64], labels: NDArray[np.int64] | None) -> float:
    """The share of samples that are read as the class they were asked to be; both (N,). Range: 0 to 1.

    Odena et al. 2017 (arXiv 1610.09585). Raises DataError without labels, ShapeError where they are not N.
    """
    if labels is None:
        raise DataError(
            "conditional accuracy: these samples have no labels, as the model that drew them was asked for no class. "
            "Give a .npz with images and labels"
        )
    if predicted.shape != labels.shape:
        raise ShapeError(f"conditional accuracy: predictions {predicted.shape}, but labels {labels.shape}")
    return float((predicted == labels).mean())
