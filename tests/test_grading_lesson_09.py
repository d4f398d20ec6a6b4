"""Lesson 9's checks: other right designs pass, and what the bank of wrong answers leaves out is told apart."""

import numpy as np
import pytest

from tinygan import losses, nn
from tinygan.grading import WrongAnswer, check, lesson_09


def norms_after_reshape(latent_size, rng):
    return nn.Sequential(
        nn.Dense(latent_size, 7 * 7 * 48, rng=rng),
        nn.Reshape(7, 7, 48),
        nn.BatchNorm(48),
        nn.ReLU(),
        nn.ConvTranspose(48, 32, 5, stride=2, padding="same", rng=rng),
        nn.BatchNorm(32),
        nn.ReLU(),
        nn.ConvTranspose(32, 16, 4, stride=2, padding="same", rng=rng),
        nn.BatchNorm(16),
        nn.LeakyReLU(0.2),
        nn.Conv(16, 1, 3, padding="same", rng=rng),
        nn.Tanh(),
    )


class Custom(nn.Module):
    """The reference, as a module of its own."""

    def __init__(self, latent_size, rng):
        self.inner = lesson_09.build_generator(latent_size, rng)

    def forward(self, z):
        return self.inner(z)


def ends_in(*last):
    def build_generator(latent_size, rng):
        return nn.Sequential(*lesson_09.build_generator(latent_size, rng).layers[:-1], *last)

    return build_generator


def without(kind):
    def build_generator(latent_size, rng):
        layers = lesson_09.build_generator(latent_size, rng).layers
        return nn.Sequential(*(layer for layer in layers if not isinstance(layer, kind)))

    return build_generator


def activation_first(latent_size, rng):
    layers = list(lesson_09.build_generator(latent_size, rng).layers)
    layers[5], layers[6] = layers[6], layers[5]
    return nn.Sequential(*layers)


@pytest.mark.parametrize("answer", [norms_after_reshape, Custom])
@pytest.mark.parametrize("hidden", [False, True])
def test_other_designs_pass(answer, hidden):
    check("L09-ex1", answer, hidden=hidden)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda latent_size, rng: None, "Is a return missing"),
        (lambda latent_size, rng: lesson_09.build_generator(latent_size, np.random.default_rng()), "pass rng=rng"),
        (ends_in(nn.Sigmoid()), "can't paint black"),
        (without(nn.LeakyReLU), "activation is missing"),
        (activation_first, "BatchNorm is asked first"),
        (ends_in(nn.BatchNorm(1), nn.Tanh()), "follows the last layer"),
        (lambda n, rng: nn.Sequential(nn.Dense(n, 784, rng=rng), nn.Reshape(28, 28, 1), nn.Tanh()), "1 layer"),
        (lambda n, rng: lesson_09.build_generator(2 * n, rng), "don't go through"),
        (lambda n, rng: lesson_09.build_generator(64, rng), r"latents of shape \(16, 10\) don't go through"),
    ],
)
def test_generators_that_the_bank_leaves_out(answer, words):
    with pytest.raises(WrongAnswer, match=words):
        check("L09-ex1", answer)


def by_objective(real_output, fake_output):
    objective = losses.non_saturating
    return objective.discriminator(real_output, fake_output), objective.generator(fake_output)


def test_tinygans_own_objective_mends_the_losses():
    check("L09-ex2", lambda rng: lesson_09.mended_discriminator(rng), by_objective)


@pytest.mark.parametrize(
    ("player_losses", "words"),
    [
        (lambda real, fake: None, "expected a pair"),
        (lambda real, fake: lesson_09.mended_losses(real, fake)[0], "expected a pair"),
        (lambda real, fake: lesson_09.mended_losses(real, fake)[::-1], "other way round"),
        (lambda real, fake: tuple(loss.item() for loss in lesson_09.mended_losses(real, fake)), "expected two Tensors"),
        (lambda real, fake: tuple(2 * loss for loss in lesson_09.mended_losses(real, fake)), "Exactly 2|D's loss"),
        (lambda real, fake: lesson_09.mended_losses(real, fake.detach()), "gradient of D's loss in the fake"),
    ],
)
def test_losses_that_the_bank_leaves_out(player_losses, words):
    with pytest.raises(WrongAnswer, match=words):
        check("L09-ex2", lambda rng: lesson_09.mended_discriminator(rng), player_losses)


@pytest.mark.parametrize("last", [nn.ReLU(), nn.LeakyReLU(0.2)])
def test_a_discriminator_that_ends_in_an_activation_is_refused(last):
    def mended_discriminator(rng):
        return nn.Sequential(*lesson_09.mended_discriminator(rng).layers, last)

    with pytest.raises(WrongAnswer, match="Take the last activation away"):
        check("L09-ex2", mended_discriminator, by_objective)
