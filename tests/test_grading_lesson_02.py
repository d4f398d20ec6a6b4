"""Lesson 2's checks: mistakes that the wrong-answer bank has no room for."""

import numpy as np
import pytest

from tinygan.grading import WrongAnswer
from tinygan.grading.exercise import find_exercise


def whole_rows(f, x, h=1e-5):
    gradient = np.zeros_like(x)
    for i in range(len(x)):
        right, left = x.copy(), x.copy()
        right[i] += h
        left[i] -= h
        gradient[i] = (f(right) - f(left)) / (2 * h)
    return gradient


def one_number_at_a_time(f, x, h=1e-5):
    gradient = np.empty(x.shape)
    for index in np.ndindex(x.shape):
        gradient[index] = (f(np.array(x[index] + h)) - f(np.array(x[index] - h))) / (2 * h)
    return gradient


def no_brackets(f, x, h=1e-5):
    x = np.array(x, np.float64)
    gradient = np.empty(x.shape)
    for index in np.ndindex(x.shape):
        middle = x[index]
        x[index] = middle + h
        right = f(x)
        x[index] = middle - h
        gradient[index] = (right - f(x)) / 2 * h
        x[index] = middle
    return gradient


def flat_index(a, n, rtol=1e-6, atol=1e-8):
    if a.shape != n.shape:
        raise ValueError
    error = np.abs(a - n)
    return None if np.all(error <= atol + rtol * np.max(np.abs(n))) else np.argmax(error)


@pytest.mark.parametrize(
    "name, answer, words",
    [
        ("L02-ex1", whole_rows, "Whole rows were moved"),
        ("L02-ex1", one_number_at_a_time, "f takes the whole array"),
        ("L02-ex1", no_brackets, r"write / \(2 \* h\)"),
        ("L02-ex2", flat_index, "unravel_index"),
    ],
)
def test_more_mistakes(name, answer, words):
    with pytest.raises(WrongAnswer, match=words):
        find_exercise(name).checker(answer, np.random.default_rng(0))


@pytest.mark.parametrize("name", ["L02-ex1", "L02-ex2"])
def test_the_reference_passes_whatever_is_drawn(name):
    found = find_exercise(name)
    for seed in range(20):
        found.checker(*found.references.values(), np.random.default_rng(seed))
