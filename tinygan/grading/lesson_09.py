"""Lesson 9: a generator within a budget, and a discriminator whose loss fits its output."""

import copy
import itertools
import math
from typing import Any

import numpy as np

from .. import ops
from ..autograd import Tensor, grad, no_grad
from ..errors import ShapeError, TinyganError
from ..models import dcgan_discriminator
from ..nn import (
    BatchNorm,
    Conv,
    ConvTranspose,
    Dense,
    Dropout,
    Flatten,
    LeakyReLU,
    Module,
    Reshape,
    Sequential,
    Tanh,
)
from .exercise import WrongAnswer, exercise, expect, expect_close

IMAGE_SHAPE = (28, 28, 1)
LATENT_SIZE = 64
BUDGET = 250_000  # parameters


def build_generator(latent_size: int, rng: np.random.Generator) -> Module:
    """Latents -> 7×7 with 64 channels -> 14×14 with 32 -> 28×28 with 1."""
    return Sequential(
        Dense(latent_size, 7 * 7 * 64, bias=False, rng=rng),
        BatchNorm(7 * 7 * 64),
        LeakyReLU(0.2),
        Reshape(7, 7, 64),
        ConvTranspose(64, 32, 4, stride=2, padding="same", bias=False, rng=rng),
        BatchNorm(32),
        LeakyReLU(0.2),
        ConvTranspose(32, 1, 4, stride=2, padding="same", rng=rng),
        Tanh(),
    )


def mended_discriminator(rng: np.random.Generator) -> Module:
    """The tutorial's discriminator, that ends in a logit."""
    return dcgan_discriminator((28, 28, 1), rng)


def mended_losses(real_output: Tensor, fake_output: Tensor) -> tuple[Tensor, Tensor]:
    """D's loss and G's, from logits: the cross-entropy −log σ(±output), by softplus."""
    d_loss = ops.softplus(-real_output).mean() + ops.softplus(fake_output).mean()
    g_loss = ops.softplus(-fake_output).mean()
    return d_loss, g_loss


# ---------------------------------------------------------------- exercise 1: a generator


@exercise("L09-ex1", build_generator)
def _check_generator(answer: Any, rng: np.random.Generator) -> None:
    seed = int(rng.integers(1 << 30))
    generator, twin = (answer(LATENT_SIZE, np.random.default_rng(seed)) for _ in range(2))
    expect(
        isinstance(generator, Module),
        f"build_generator gave {type(generator).__name__}, expected a module, such as tg.nn.Sequential(…). Is a return "
        "missing?",
    )
    latents = Tensor(rng.standard_normal((16, LATENT_SIZE)), dtype=np.float32)
    images = _images(generator, latents)
    few = Tensor(rng.standard_normal((16, 10)), dtype=np.float32)
    _images(answer(10, np.random.default_rng(seed)), few)  # latent_size is what it is told
    _check_budget(generator)
    expect(
        all(
            np.array_equal(a.numpy(), b.numpy()) for a, b in zip(generator.parameters(), twin.parameters(), strict=True)
        ),
        "two generators built with the same rng differ: pass rng=rng to each layer that has weights",
    )
    _check_norms(generator)
    _check_alive(generator, latents, images, rng)
    _check_range(generator, latents)


def _images(generator: Module, latents: Tensor) -> np.ndarray[Any, Any]:
    """What G makes of the latents in training mode: (16, 28, 28, 1), without NaN."""
    try:
        with no_grad():
            images = generator(latents).numpy()
    except ShapeError as error:
        raise WrongAnswer(f"latents of shape {latents.shape} don't go through: {error}") from error
    expect(
        images.shape == (len(latents.data), *IMAGE_SHAPE),
        f"16 latents become an array of shape {images.shape}, expected {(16, *IMAGE_SHAPE)}. Each transposed "
        'convolution with stride=2 and padding="same" doubles height and width: 7 → 14 → 28',
    )
    expect(bool(np.isfinite(images).all()), "the images hold NaN or infinity before any training")
    return images


def _weighted(generator: Module) -> list[Dense | Conv]:
    """The layers that multiply by a weight, first to last."""
    return [module for module in generator.modules() if isinstance(module, Dense | Conv)]


def _check_budget(generator: Module) -> None:
    count = sum(p.size for p in generator.parameters())
    layers = sorted(_weighted(generator), key=lambda layer: layer.weight.size)
    largest = f"The largest layer is {layers[-1].describe()} with {layers[-1].weight.size:,}: " if layers else ""
    expect(
        count <= BUDGET,
        f"the generator has {count:,} parameters, the budget is {BUDGET:,}. {largest}fewer channels make it smaller",
    )


def _check_norms(generator: Module) -> None:
    """Between two layers with weights stand a BatchNorm and an activation."""
    layers = [module for module in generator.modules() if not any(module.children())]
    places = [i for i, layer in enumerate(layers) if isinstance(layer, Dense | Conv)]
    expect(
        len(places) > 1,
        f"the generator has {len(places)} layer(s) with weights; a Dense layer and transposed convolutions are asked",
    )
    for start, stop in itertools.pairwise(places):
        between = layers[start + 1 : stop]
        expect(
            any(isinstance(layer, BatchNorm) for layer in between),
            f"a BatchNorm is missing after {layers[start].describe()}: batch normalisation comes after each layer with "
            "weights but the last",
        )
        passive = (BatchNorm, Reshape, Flatten, Dropout)
        expect(
            any(not isinstance(layer, passive) for layer in between),
            f"an activation is missing between {layers[start].describe()} and {layers[stop].describe()}: without one, "
            "two linear layers are a single one. Put LeakyReLU(0.2) after the BatchNorm",
        )
        kinds = [layer for layer in between if not isinstance(layer, Reshape | Flatten | Dropout)]
        expect(
            isinstance(kinds[0], BatchNorm),
            f"after {layers[start].describe()} comes {kinds[0].describe()}, then a BatchNorm: the BatchNorm is asked "
            "first, then the activation",
        )
    expect(
        not any(isinstance(layer, BatchNorm) for layer in layers[places[-1] :]),
        "a BatchNorm follows the last layer with weights: it would force each batch's mean and spread of pixels on the "
        "images. Between that layer and Tanh() stands nothing",
    )


def _check_range(generator: Module, latents: Tensor) -> None:
    """Can G paint black (−1) and white (1), and nothing beyond? Tried with a far stronger last layer."""
    strong = copy.deepcopy(generator)
    last = _weighted(strong)[-1].weight
    last.assign(last.numpy() * 1e4)
    with no_grad():
        images = strong(latents).numpy()
    low, high = float(images.min()), float(images.max())
    expect(
        low < 0,
        f"the generator can't paint black: with stronger weights in its last layer its values lie in [{low:.3g}, "
        f"{high:.3g}], never below 0, but images lie in [−1, 1]. Does it end in a ReLU or a Sigmoid? End it in Tanh()",
    )
    expect(
        low >= -1 and high <= 1,
        f"the generator's values aren't scaled: with stronger weights in its last layer they lie in [{low:.3g}, "
        f"{high:.3g}], but images lie in [−1, 1]. End it in Tanh()",
    )
    expect(
        low < -0.9 and high > 0.9,
        f"the generator's values stay in [{low:.3g}, {high:.3g}] even with stronger weights in its last layer; black "
        "is −1 and white 1. End it in Tanh()",
    )


def _check_alive(generator: Module, latents: Tensor, images: np.ndarray[Any, Any], rng: np.random.Generator) -> None:
    """Does each latent give an image of its own, and does a gradient reach each weight?"""
    dead = "is a layer dead, such as one whose weights are all 0, or a ReLU that is never above 0?"
    output = generator(latents)
    weights = [layer.weight for layer in _weighted(generator)]
    gradients = grad(output, weights, Tensor(rng.standard_normal(output.shape), dtype=np.float32))
    for layer, gradient in zip(_weighted(generator), gradients, strict=True):
        expect(
            bool(gradient.numpy().any()),
            f"no gradient reaches {layer.describe()}: it would never learn. I{dead[1:]}",
        )
    expect(
        float(images.std(axis=0).max()) > 1e-4,
        f"all latents give the same image: {dead}",
    )


# ---------------------------------------------------------------- exercise 2: the much-copied variant


@exercise("L09-ex2", mended_discriminator, mended_losses)
def _check_mended(discriminator: Any, player_losses: Any, rng: np.random.Generator) -> None:
    d = discriminator(np.random.default_rng(int(rng.integers(1 << 30))))
    expect(
        isinstance(d, Module),
        f"mended_discriminator gave {type(d).__name__}, expected a module, tg.nn.Sequential(…). Is a return missing?",
    )
    x = rng.uniform(-1, 1, (8, *IMAGE_SHAPE)).astype(np.float32)
    with no_grad():
        d.eval()
        output = d(Tensor(np.concatenate([1e4 * x, -1e4 * x]))).numpy()
    expect(
        output.shape == (16, 1),
        f"mended_discriminator gives {output.shape} for 16 images, expected (16, 1): one logit an image",
    )
    low, high = float(output.min()), float(output.max())
    expect(
        not (low >= -1 and high <= 1),
        f"mended_discriminator's outputs lie in [{low:.3g}, {high:.3g}], however strong its input: something squashes "
        "them. from_logits=True takes logits, any number from −∞ to ∞. Take the last activation away",
    )
    last = [module for module in d.modules() if not any(module.children())][-1]
    expect(
        isinstance(last, Dense | Conv | Flatten | Reshape),
        f"mended_discriminator ends in {last.describe()}: a logit is what the Dense layer gives, with nothing after "
        "it. Take the last activation away",
    )
    for scale in (1.0, 20.0, 1000.0):
        logits = [(scale * rng.standard_normal((n, 1))).clip(-1e4, 1e4) for n in (8, 6)]
        _check_losses(player_losses, *logits)


def _check_losses(player_losses: Any, *logits: np.ndarray[Any, Any]) -> None:
    """D's loss and G's at these logits, and their gradients."""
    real, fake = (Tensor(values, requires_grad=True, dtype=np.float64) for values in logits)
    place = f"at logits up to ±{max(abs(values).max() for values in logits):.0f}"
    with np.errstate(all="ignore"):
        try:
            found = player_losses(real, fake)
        except TinyganError as error:
            raise WrongAnswer(f"mended_losses stopped with {type(error).__name__}: {error}") from error
    expect(
        isinstance(found, tuple | list) and len(found) == 2,
        f"mended_losses gave {type(found).__name__}, expected a pair: D's loss and G's",
    )
    expect(
        all(isinstance(loss, Tensor) for loss in found),
        f"mended_losses gave {' and '.join(type(loss).__name__ for loss in found)}, expected two Tensors: training "
        "needs their gradients",
    )
    wanted = mended_losses(real, fake)
    expect(
        not all(np.allclose(mine.numpy(), right.numpy()) for mine, right in zip(found, wanted[::-1], strict=True)),
        "the pair is the other way round: D's loss comes first, then G's",
    )
    squashed = mended_losses(ops.sigmoid(real), ops.sigmoid(fake))
    swapped = mended_losses(-real, -fake)
    for player, mine, right, double, turned in zip("DG", found, wanted, squashed, swapped, strict=True):
        value = float(np.asarray(mine.numpy() if isinstance(mine, Tensor) else mine).mean())
        expect(
            math.isfinite(value),
            f"{player}'s loss is {value} {place}: a logarithm was given 0 or less. Don't take the logarithm of an "
            "output or of a sigmoid: with from_logits=True the loss uses softplus, which is finite at any logit",
        )
        expect(
            not np.isclose(value, float(double), rtol=1e-6) or np.isclose(value, float(right), rtol=1e-6),
            f"{player}'s loss is {value:.6g} {place}, which is that of a sigmoid of the logits: from_logits=True "
            "applies the sigmoid itself. One of the two has to go",
        )
        expect(
            not np.isclose(value, float(turned), rtol=1e-6) or np.isclose(value, float(right), rtol=1e-6),
            f"{player}'s loss is {value:.6g} {place}: the labels are swapped. Real is 1, fake is 0, and G wants its "
            "fakes to be taken for 1",
        )
        expect_close(mine, right.numpy(), f"{player}'s loss {place}")
        for name, leaf in (("real", real), ("fake", fake))[player == "G" :]:
            with np.errstate(all="ignore"):
                (gradient,), (slope,) = grad(mine, [leaf], retain_graph=True), grad(right, [leaf], retain_graph=True)
            expect_close(gradient, slope.numpy(), f"the gradient of {player}'s loss in the {name} outputs {place}")
