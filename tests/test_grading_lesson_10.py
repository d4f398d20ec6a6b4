"""Answers to lesson 10 that are right in other ways, and mistakes that the bank has no room for."""

import numpy as np
import pytest

from tinygan import grading, metrics
from tinygan.grading import lesson_10


def by_eigenvalues(mean_a, covariance_a, mean_b, covariance_b):
    eigenvalues = np.linalg.eigvals(covariance_a @ covariance_b).real.clip(min=0)
    cross = np.sqrt(eigenvalues).sum()
    return np.sum((mean_a - mean_b) ** 2) + np.trace(covariance_a) + np.trace(covariance_b) - 2 * cross


def in_a_loop(samples, train, held_out):
    count = 0
    for sample in samples:
        near, far = (((others - sample) ** 2).sum(axis=(1, 2, 3)).min() for others in (train, held_out))
        count += near < far
    return count / len(samples)


@pytest.mark.parametrize(
    ("exercise", "answer"),
    [("L10-ex1", by_eigenvalues), ("L10-ex1", metrics.gaussian_distance), ("L10-ex3", in_a_loop)],
)
def test_other_ways_to_be_right(exercise, answer):
    grading.check(exercise, answer)


def covariances_only(mean_a, covariance_a, mean_b, covariance_b):
    return lesson_10.gaussian_distance(0 * mean_a, covariance_a, 0 * mean_b, covariance_b)


def not_squared(*gaussians):
    return np.sqrt(lesson_10.gaussian_distance(*gaussians))


def complex_number(*gaussians):
    return complex(lesson_10.gaussian_distance(*gaussians))


def matrix(mean_a, covariance_a, mean_b, covariance_b):
    return covariance_a + covariance_b


def nothing(*gaussians):
    pass


def one_number(fake, reference, real):
    return lesson_10.distance_and_floor(fake, reference, real)[0]


def swapped(fake, reference, real):
    return lesson_10.distance_and_floor(fake, reference, real)[::-1]


def from_the_fakes(fake, reference, real):
    return metrics.frechet_distance(fake, reference), metrics.frechet_distance(real[: len(fake)], fake)


def one_pixel(samples, train, held_out):
    return lesson_10.share_near_training(samples[:, :1, :1], train[:, :1, :1], held_out[:, :1, :1])


@pytest.mark.parametrize(
    ("exercise", "answer", "phrase"),
    [
        ("L10-ex1", covariances_only, "distance of the means is missing"),
        ("L10-ex1", not_squared, "its square d² is asked for"),
        ("L10-ex1", complex_number, "a complex number"),
        ("L10-ex1", matrix, r"has shape \(1, 1\); one number"),
        ("L10-ex1", nothing, "is the return missing"),
        ("L10-ex2", one_number, "two numbers are expected"),
        ("L10-ex2", swapped, "which comes first"),
        ("L10-ex2", from_the_fakes, "the floor knows no fakes"),
        ("L10-ex3", one_pixel, "expected 0.58"),
    ],
)
def test_more_mistakes(exercise, answer, phrase):
    with pytest.raises(grading.WrongAnswer, match=phrase):
        grading.check(exercise, answer)
