"""Lesson 1's checks: mistakes that the wrong-answer bank has no room for."""

import numpy as np
import pytest

from tinygan.grading import WrongAnswer, lesson_01
from tinygan.grading.exercise import find_exercise
from tinygan.grading.lesson_01 import softplus


def means_forgotten(real_logits, fake_logits):
    return softplus(-real_logits) + softplus(fake_logits)


def log_of_logits(real_logits, fake_logits):
    return -np.mean(np.log(real_logits)) - np.mean(np.log(1 - fake_logits))


def integral_forgotten(x, p, q, logits):
    return -p * softplus(-logits) - q * softplus(logits)


@pytest.mark.parametrize(
    "name, answer, words",
    [
        ("L01-ex1", means_forgotten, "take the mean of each"),
        ("L01-ex1", log_of_logits, "A logit is no probability"),
        ("L01-ex2", integral_forgotten, "Is the integral missing"),
    ],
)
def test_more_mistakes(name, answer, words):
    with pytest.raises(WrongAnswer, match=words):
        find_exercise(name).checker(answer, np.random.default_rng(0))


@pytest.mark.parametrize("name", ["L01-ex1", "L01-ex2", "L01-ex3"])
def test_the_reference_passes_whatever_is_drawn(name):
    found = find_exercise(name)
    for seed in range(20):
        found.checker(*found.references.values(), np.random.default_rng(seed))


def test_the_reference_keeps_its_digits_at_any_logit():
    assert lesson_01.discriminator_loss(np.array([-1000.0]), np.array([1000.0])) == 2000
