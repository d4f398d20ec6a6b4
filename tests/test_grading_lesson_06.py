"""Mistakes in the exercises of lessons 6 and 7 that the bank has no room for."""

from dataclasses import replace

import pytest

from tinygan import grading
from tinygan.grading import lesson_06
from tinygan.grading.lesson_07 import HEALTHY
from tinygan.ops import softplus


def number(G, D, optimizer, real, z):
    return lesson_06.discriminator_step(G, D, optimizer, real, z).item()


def half(G, D, optimizer, real, z):
    loss = (softplus(-D(real)).mean() + softplus(D(G(z).detach())).mean()) / 2
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.detach()


def zero_grad_too_late(G, D, optimizer, real, z):
    loss = softplus(-D(real)).mean() + softplus(D(G(z).detach())).mean()
    loss.backward()
    optimizer.zero_grad()
    optimizer.step()
    return loss.detach()


def frozen_for_good(G, D, optimizer, z):
    for parameter in D.parameters():
        parameter.requires_grad = False
    return lesson_06.generator_step(G, D, optimizer, z)


def one_beta(name, recipe):
    return replace(HEALTHY, betas=0.5) if name == "B" else replace(recipe, **{"A": {"d_lr": 8e-3}}.get(name, {}))


@pytest.mark.parametrize(
    ("exercise", "answer", "phrase"),
    [
        ("L06-ex1", number, "as a Tensor"),
        ("L06-ex1", half, "half"),
        ("L06-ex1", zero_grad_too_late, "zero_grad come after backward"),
        ("L06-ex2", frozen_for_good, "switched off requires_grad"),
        ("L07-ex2", one_beta, "pair"),
    ],
)
def test_more_mistakes(exercise, answer, phrase):
    with pytest.raises(grading.WrongAnswer, match=phrase):
        grading.check(exercise, answer)
