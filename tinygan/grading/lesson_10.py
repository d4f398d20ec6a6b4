"""Lesson 10, how good is it: the Fréchet distance of two Gaussians, its floor, and a test for copies."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..metrics import frechet_distance
from .exercise import WrongAnswer, exercise, expect

Floats = NDArray[np.float64]
Images = NDArray[np.float32]


def _number(found: Any, what: str) -> float:
    """What the learner gives as a float, if it is one real, finite number."""
    expect(found is not None, f"{what} is None: is the return missing?")
    expect(np.shape(found) == (), f"{what} has shape {np.shape(found)}; one number is expected")
    expect(
        not np.iscomplexobj(found),
        f"{what} is {found}, a complex number: rounding made an eigenvalue a little negative, or complex, and its root "
        "followed. Take the root of a symmetric matrix, by np.linalg.eigh, with eigenvalues below 0 set to 0",
    )
    number = float(found)
    expect(
        np.isfinite(number),
        f"{what} is {number}: was the root taken of a number that rounding made negative, or of a negative entry of a "
        "matrix? Take it of the eigenvalues of a symmetric matrix, and set those below 0 to 0 first",
    )
    return number


def _expect_number(found: Any, wanted: float, what: str, mistakes: Mapping[str, float], tolerance: float) -> None:
    """Raise WrongAnswer unless found is wanted; mistakes: what to say -> the number that this mistake gives."""
    number = _number(found, what)
    if abs(number - wanted) <= tolerance:
        return
    for sentence, wrong in mistakes.items():
        if abs(number - wrong) <= tolerance:
            raise WrongAnswer(f"{what} is {number:.6g}, expected {wanted:.6g}. {sentence}")
    raise WrongAnswer(f"{what} is {number:.6g}, expected {wanted:.6g}")


# ------------------------------------------------ exercise 1


def root(matrix: Floats) -> Floats:
    """The symmetric root of a symmetric matrix ≥ 0: eigenvalues below 0, which come from rounding, are 0."""
    values, vectors = np.linalg.eigh(matrix)
    symmetric: Floats = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
    return symmetric


def gaussian_distance(mean_a: Floats, covariance_a: Floats, mean_b: Floats, covariance_b: Floats) -> float:
    half = root(covariance_a)
    cross = root(half @ covariance_b @ half)
    return float(np.sum((mean_a - mean_b) ** 2) + np.trace(covariance_a + covariance_b - 2 * cross))


def _mistakes_of_distance(mean_a: Floats, a: Floats, mean_b: Floats, b: Floats) -> dict[str, float]:
    """What to say of a distance -> the distance that this mistake gives."""
    shift = float(np.sum((mean_a - mean_b) ** 2))
    half = root(a)
    traces, cross = float(np.trace(a) + np.trace(b)), float(np.trace(root(half @ b @ half)))
    right = shift + traces - 2 * cross
    with np.errstate(invalid="ignore"):
        entries = float(np.trace(np.sqrt(a @ b)))
    return {
        "Only the means are compared: the term with the covariances is missing": shift,
        "Only the covariances are compared: the distance of the means is missing": traces - 2 * cross,
        "The root's term is missing: two equal Gaussians would not be at distance 0": shift + traces,
        "The root's trace counts twice: −2 (Σ_a Σ_b)^½": shift + traces - cross,
        "That is d, its square d² is asked for": right**0.5,
        "The means' distance has to be squared": shift**0.5 + traces - 2 * cross,
        "You multiply the roots of both covariances, Σ_a^½ Σ_b^½; the root of their product is another matrix unless "
        "they commute": shift + traces - 2 * float(np.trace(half @ root(b))),
        "np.sqrt takes the root of each entry; the root R of a matrix M is one with R R = M": shift
        + traces
        - 2 * entries,
    }


@exercise("L10-ex1", gaussian_distance)
def _check_gaussian_distance(answer: Any, rng: np.random.Generator) -> None:
    def covariance(d: int, rank: int) -> Floats:
        factor = rng.standard_normal((d, rank))
        product: Floats = factor @ factor.T
        return product

    one = (rng.uniform(1, 2, 1), np.array([[4.0]]), rng.uniform(4, 5, 1), np.array([[0.25]]))
    turned = (rng.standard_normal(3), covariance(3, 5), rng.standard_normal(3), covariance(3, 5))
    flat = (rng.standard_normal(6), covariance(6, 2), rng.standard_normal(6), covariance(6, 3))
    for what, gaussians in (
        ("one dimension, variances 4 and ¼", one),
        ("three dimensions", turned),
        ("six dimensions, covariances of rank 2 and 3", flat),
    ):
        wanted = gaussian_distance(*gaussians)
        found = answer(*(array.copy() for array in gaussians))
        # a singular product has eigenvalues of 1e-16 in place of 0, whose roots are 1e-8
        _expect_number(found, wanted, f"d² in {what}", _mistakes_of_distance(*gaussians), 1e-4 * (1 + wanted))
    mean, same = rng.standard_normal(6), covariance(6, 2)
    _expect_number(answer(mean, same, mean, same), 0.0, "d² of a Gaussian from itself", {}, 1e-4)


# ------------------------------------------------ exercise 2


def distance_and_floor(fake: Floats, reference: Floats, real: Floats) -> tuple[float, float]:
    if len(real) < len(fake):
        raise ValueError(f"{len(fake)} fakes, but only {len(real)} real ones for the floor: take fewer fakes")
    return frechet_distance(fake, reference), frechet_distance(real[: len(fake)], reference)


@exercise("L10-ex2", distance_and_floor)
def _check_distance_and_floor(answer: Any, rng: np.random.Generator) -> None:
    fake, reference, real = rng.normal(0.2, 1.1, (60, 4)), rng.normal(0, 1, (400, 4)), rng.normal(0, 1, (300, 4))
    found = answer(fake, reference, real)
    expect(
        isinstance(found, tuple | list) and len(found) == 2,
        f"two numbers are expected, the distance and the floor: return distance, floor. You give {found!r}",
    )
    distance, floor = distance_and_floor(fake, reference, real)
    mistakes = {
        "The reference was cut to the number of fakes: both distances need all of it": frechet_distance(
            fake, reference[:60]
        ),
        "That is the distance from `real`; both numbers are measured from the reference": frechet_distance(fake, real),
        "That is the distance from the first rows of `real`; both are measured from the reference": frechet_distance(
            fake, real[:60]
        ),
        "That is the floor: which comes first?": floor,
    }
    _expect_number(found[0], distance, "the distance of 60 fakes from 400", mistakes, 1e-6)
    mistakes = {
        "That is the floor of all 300 real ones, but the fakes are 60: N differs, and with it the bias. Take as many "
        "real ones as there are fakes": frechet_distance(real, reference),
        "The reference was cut to the number of fakes: both distances need all of it": frechet_distance(
            real[:60], reference[:60]
        ),
        "These real ones are rows of the reference itself, so that they are nearer to it than any others: take them "
        "from `real`": frechet_distance(reference[:60], reference),
        "That is the distance of `real` from the fakes; the floor knows no fakes, but their number": frechet_distance(
            real[:60], fake
        ),
    }
    _expect_number(found[1], floor, "the floor at N = 60", mistakes, 1e-6)
    try:
        few = answer(fake, reference, real[:40])
    except ValueError:
        return
    raise WrongAnswer(
        f"for 60 fakes and only 40 real ones you give {few!r}: a floor at another N, since real[:60] of 40 rows has 40 "
        "rows. Raise ValueError there"
    )


# ------------------------------------------------ exercise 3


def share_near_training(samples: Images, train: Images, held_out: Images) -> float:
    flat = [np.reshape(images, (len(images), -1)) for images in (samples, train, held_out)]
    to_train, to_held_out = (
        (flat[0] ** 2).sum(axis=1)[:, None] + (other**2).sum(axis=1) - 2 * flat[0] @ other.T for other in flat[1:]
    )
    return float((to_train.min(axis=1) < to_held_out.min(axis=1)).mean())


@exercise("L10-ex3", share_near_training)
def _check_share_near_training(answer: Any, rng: np.random.Generator) -> None:
    def images(n: int) -> Images:
        return rng.uniform(-1, 1, (n, 6, 5, 1)).astype(np.float32)

    train, held_out = images(30), images(20)
    brightness = np.linspace(-0.3, 0.3, 12, dtype=np.float32)[:, None, None, None]
    samples = np.concatenate([train[:3], train[3:7] + brightness[3:7], held_out[:5] + brightness[7:]])
    order = rng.permutation(len(samples))
    distances = [((samples[:, None] - real[None]) ** 2).sum(axis=(2, 3, 4)) for real in (train, held_out)]
    near_training, near_held_out = (d.min(axis=0) for d in distances)  # of each real image
    means = [abs(samples.mean((1, 2, 3))[:, None] - real.mean((1, 2, 3))).min(axis=1) for real in (train, held_out)]
    mistakes = {
        "That is the share of samples that are nearest to a *held-out* image": 5 / 12,
        "Only exact copies are counted; a copy with a little noise is one too: compare distances": 3 / 12,
        "That is the number of samples; the share is asked for: divide by how many samples there are": 7,
        "The mean goes over all pairs; of each sample only the nearest counts: .min(axis=1)": float(
            (distances[0].mean(axis=1) < distances[1].mean(axis=1)).mean()
        ),
        "Images were compared by their mean brightness; take the difference pixel by pixel, square it, then sum": float(
            (means[0] < means[1]).mean()
        ),
        "That compares the real images' nearest samples; for each *sample* look for the nearest real image": float(
            near_training.mean() < near_held_out.mean()
        ),
    }
    found = answer(samples[order], train, held_out)
    _expect_number(found, 7 / 12, "the share of 12 samples, 7 of them near a training image,", mistakes, 1e-6)
    found = answer(held_out[:4], train, held_out[:10])
    _expect_number(found, 0.0, "the share of 4 samples that are copies of held-out images", {}, 1e-6)
