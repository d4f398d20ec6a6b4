"""Answers to lesson 11 that are right in other ways, and mistakes that the bank has no room for."""

import pytest

import tinygan as tg
from tinygan import grading, nn, ops
from tinygan.grading import lesson_11


def with_layer_norm(features, rng):
    return nn.Sequential(
        nn.Dense(features, 64, rng=rng),
        nn.LayerNorm(64),
        nn.LeakyReLU(0.2),
        nn.Dense(64, 64, rng=rng),
        nn.LeakyReLU(0.2),
        nn.Dense(64, 1, rng=rng),
    )


def with_tanh(features, rng):
    layers = [nn.Dense(features, 64, rng=rng), nn.Tanh(), nn.Dense(64, 64, rng=rng), nn.Tanh()]
    return nn.Sequential(*layers, nn.Dense(64, 1, rng=rng))


@pytest.mark.parametrize("critic", [with_layer_norm, with_tanh])
def test_other_critics_that_do(critic):
    grading.check("L11-ex3", critic)


def one_norm_for_all(critic, x):
    x = x.detach()
    x.requires_grad = True
    (gradient,) = tg.grad(critic(x).sum(), x, create_graph=True)
    return ops.sqrt((gradient**2).sum() + 1e-12)


def absolute(critic, x):
    x = x.detach()
    x.requires_grad = True
    (gradient,) = tg.grad(critic(x).sum(), x, create_graph=True)
    return ops.abs(gradient).reshape(len(x), -1).sum(1)


def array(critic, x):
    return lesson_11.slope(critic, x).numpy()


def one_sided(critic, real, fake, rng):
    epsilon = rng.random((len(real),) + (1,) * (real.ndim - 1))
    return (ops.relu(lesson_11.slope(critic, epsilon * real + (1 - epsilon) * fake) - 1) ** 2).mean()


def weighted(critic, real, fake, rng):
    return 10 * lesson_11.gradient_penalty(critic, real, fake, rng)


def halves(critic, real, fake, rng):
    epsilon = 0.4 + 0.2 * rng.random((len(real),) + (1,) * (real.ndim - 1))
    return ((lesson_11.slope(critic, epsilon * real + (1 - epsilon) * fake) - 1) ** 2).mean()


def both_ends(critic, real, fake, rng):
    return ((lesson_11.slope(critic, ops.concatenate([real, fake], axis=0)) - 1) ** 2).mean()


def two_outputs(features, rng):
    return nn.Dense(features, 2, rng=rng)


class Faint(nn.Module):
    """A critic with hardly any slope, and no way to get more."""

    def __init__(self, rng):
        self.critic = with_tanh(3, rng)

    def forward(self, x):
        return 0.01 * ops.tanh(self.critic(x)) + 0.001 * self.critic(x)


def faint(features, rng):
    return Faint(rng)


@pytest.mark.parametrize(
    ("exercise", "answer", "phrase"),
    [
        ("L11-ex1", one_norm_for_all, "one norm of all examples together"),
        ("L11-ex1", absolute, "sum of the absolute values"),
        ("L11-ex1", array, "is ndarray; its gradient"),
        ("L11-ex2", one_sided, "one-sided"),
        ("L11-ex2", weighted, "λ is in it already"),
        ("L11-ex2", halves, "uniform from 0 to 1"),
        ("L11-ex2", both_ends, "asked at 400 points"),
        ("L11-ex3", two_outputs, "one number each"),
        ("L11-ex3", faint, "after 150 steps with the penalty the slope"),
    ],
)
def test_more_mistakes(exercise, answer, phrase):
    with pytest.raises(grading.WrongAnswer, match=phrase):
        grading.check(exercise, answer)
