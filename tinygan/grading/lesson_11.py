"""Lesson 11, critics and second derivatives: the slope of a critic, the penalty on it, and a critic that bears it."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..autograd import Tensor, grad
from ..errors import TinyganError
from ..nn import Dense, LeakyReLU, Module, Sequential
from ..nn.init import he
from ..ops import Sigmoid, Tanh, concatenate, reshape, sqrt, tanh
from ..optim import Adam
from .exercise import WrongAnswer, exercise, expect, expect_close

Array = NDArray[Any]
Critic = Callable[[Tensor], Tensor]
NO_GRAPH = (
    "its gradient with respect to the critic's weights can't be taken: the slope came out as mere numbers, so the "
    "penalty would have a value, and nobody would learn from it. Ask for the slope's own graph: "
    "tg.grad(…, create_graph=True), and compute on with Tensors"
)


def _normal(rng: np.random.Generator, *shape: int) -> Tensor:
    return Tensor(rng.standard_normal(shape))


def _expect_tensor(found: Any, what: str) -> None:
    expect(found is not None, f"{what} is None: is the return missing?")
    expect(isinstance(found, Tensor), f"{what} is {type(found).__name__}; {NO_GRAPH}")


def _expect_value(found: Tensor, wanted: Array, what: str, mistakes: Mapping[str, Array]) -> None:
    """Raise WrongAnswer unless the values agree; mistakes: what to say -> what it gives."""
    for sentence, wrong in mistakes.items():
        if found.shape == wrong.shape and np.allclose(found.numpy(), wrong, rtol=1e-5, atol=1e-6):
            if found.shape == wanted.shape and np.allclose(wrong, wanted, rtol=1e-5, atol=1e-6):
                continue
            raise WrongAnswer(f"{what} is wrong. {sentence}")
    expect_close(found, wanted, what, rtol=1e-5, atol=1e-6)


def _expect_gradient(found: Tensor, wanted: Tensor, weight: Tensor, what: str) -> None:
    """Raise WrongAnswer unless both have the same gradient with respect to the critic's weight."""
    expect(found.requires_grad, f"{what} is right, but {NO_GRAPH}")
    (expected,) = grad(wanted.sum(), weight)
    (got,) = grad(found.sum(), weight)
    expect(got.numpy().any() or not expected.numpy().any(), f"{what} is right, but {NO_GRAPH}")
    expect_close(got, expected.numpy(), f"the gradient of {what} with respect to the critic's weights", 1e-5, 1e-7)


# ------------------------------------------------ exercise 1


def slope(critic: Critic, x: Tensor) -> Tensor:
    x = x.detach()
    x.requires_grad = True
    (gradient,) = grad(critic(x).sum(), x, create_graph=True)
    return sqrt(reshape(gradient**2, (len(x), -1)).sum(1) + 1e-12)


def _mistakes_of_slope(critic: Critic, x: Tensor) -> dict[str, Array]:
    x = x.detach()
    x.requires_grad = True
    g = grad(critic(x).sum(), x)[0].numpy()
    flat = g.reshape(len(g), -1)
    norm = np.sqrt((flat**2).sum(axis=1))
    return {
        "The norm was taken over the channels (the last axis) alone, one for each pixel; all features of an example "
        "make one vector: reshape to (N, −1) first": np.sqrt((g**2).sum(axis=-1)),
        "It is one norm of all examples together; each example has a slope of its own": np.sqrt((g**2).sum()),
        "The mean over the examples was taken before the norm: gradients that point in opposite directions cancel. "
        "First the norm of each example": np.sqrt((flat.mean(axis=0) ** 2).sum()),
        "It is the mean of the slopes; one number for each example is expected, (N,)": norm.mean(),
        "They are N times too small: the gradient of the *mean* of the critic's outputs, where each is needed by "
        "itself. Take that of their sum": norm / len(g),
        "That is the squared norm: the root is missing": norm**2,
        "That is the sum of the absolute values, |g₁| + |g₂| + …; the slope is the root of the sum of squares": abs(
            flat
        ).sum(axis=1),
        "That is the root of the mean of the squares; take their sum": np.sqrt((flat**2).mean(axis=1)),
    }


@exercise("L11-ex1", slope)
def _check_slope(answer: Any, rng: np.random.Generator) -> None:
    for what, shape in (("points (5, 3)", (5, 3)), ("images (4, 3, 2, 2)", (4, 3, 2, 2))):
        x, weight = _normal(rng, *shape), _normal(rng, int(np.prod(shape[1:])), 6)
        weight.requires_grad = True

        def critic(x: Tensor, weight: Tensor = weight) -> Tensor:
            return tanh(reshape(x, (len(x), -1)) @ weight).sum(1)

        wanted = slope(critic, x)
        found = answer(critic, x)
        what = f"the slope at {what}"
        _expect_tensor(found, what)
        _expect_value(found, wanted.numpy(), what, _mistakes_of_slope(critic, x))
        _expect_gradient(found, wanted, weight, what)
    flat = Tensor(np.zeros((2, 1)), requires_grad=True)
    found = answer(lambda x: x @ flat, _normal(rng, 4, 2))
    with np.errstate(all="ignore"):
        (gradient,) = grad(found.sum(), flat)
    expect(
        np.isfinite(gradient.numpy()).all(),
        "where the critic is flat the slope's gradient is not finite, since the derivative of √ at 0 is infinite. "
        "Add 1e-12 under the root",
    )


# ------------------------------------------------ exercise 2


def gradient_penalty(critic: Critic, real: Tensor, fake: Tensor, rng: np.random.Generator) -> Tensor:
    epsilon = rng.random((len(real),) + (1,) * (real.ndim - 1)).astype(real.dtype)
    between = epsilon * real + (1 - epsilon) * fake
    return ((slope(critic, between) - 1) ** 2).mean()


def _expect_points_between(points: Array, n: int) -> None:
    """The points are ε where real is 1 and fake is 0: one ε an example, spread over 0 to 1."""
    expect(
        len(points) == n,
        f"the critic was asked at {len(points)} points; of {n} real and {n} fake examples there are {n} between",
    )
    epsilon = points.reshape(n, -1)
    expect(
        not np.allclose(epsilon, 1),
        "ε is always 1: the critic is asked at the real points only. Between real and fake it may be as steep as it "
        "likes, and that is where the fakes will go",
    )
    expect(not np.allclose(epsilon, 0), "ε is always 0: the critic is asked at the fakes only; draw ε between 0 and 1")
    expect(
        np.ptp(epsilon, axis=1).max() < 1e-6,
        "within one example the features have different ε, so that the point lies in the box between real and fake, "
        "but not on the line. Draw one ε an example, of shape (N, 1, …), which broadcasts",
    )
    epsilon = epsilon[:, 0]
    expect(
        np.ptp(epsilon) > 1e-6,
        f"all examples have the same ε, {epsilon[0]:.3g}: draw one for each, of shape (N, 1, …)",
    )
    expect(
        -1e-6 <= epsilon.min() < 0.1 and 0.9 < epsilon.max() <= 1 + 1e-6 and abs(epsilon.mean() - 0.5) < 0.12,
        f"ε goes from {epsilon.min():.3g} to {epsilon.max():.3g}, with the mean {epsilon.mean():.3g}; it should be "
        "uniform from 0 to 1: rng.random",
    )


@exercise("L11-ex2", gradient_penalty)
def _check_gradient_penalty(answer: Any, rng: np.random.Generator) -> None:
    weight = Tensor(0.2 * rng.standard_normal((6, 5)), requires_grad=True)
    seen: list[Tensor] = []

    def critic(x: Tensor) -> Tensor:
        seen.append(x)
        return tanh(reshape(x, (len(x), -1)) @ weight).sum(1)

    for shape in ((200, 6), (200, 3, 1, 2)):
        seen.clear()
        answer(critic, Tensor(np.ones(shape)), Tensor(np.zeros(shape)), np.random.default_rng(int(rng.integers(999))))
        expect(seen, "the critic was not asked at any point")
        expect(
            seen[0].shape[1:] == shape[1:],
            f"for examples of shape {shape[1:]} the critic was asked at points of shape {seen[0].shape[1:]}: ε has to "
            "broadcast, (N, 1, …) with as many axes as real",
        )
        _expect_points_between(seen[0].numpy(), 200)
    seen.clear()
    found = answer(critic, _normal(rng, 8, 6), _normal(rng, 8, 6) + 2, np.random.default_rng(1))
    _expect_tensor(found, "the penalty")
    slopes = slope(critic, seen[0])
    wanted = ((slopes - 1) ** 2).mean()
    values = slopes.numpy()
    mistakes = {
        "The mean over the examples comes first: one that is too steep makes up for one that is too flat. First "
        "(slope − 1)² of each, then the mean": (values.mean() - 1) ** 2,
        "That is the mean of (slope² − 1)²: the root of the slope is missing": ((values**2 - 1) ** 2).mean(),
        "That is the mean of slope²: it pulls the slope to 0, not to 1": (values**2).mean(),
        "That is one-sided: slopes below 1 are not counted; (slope − 1)² is asked for": (
            np.maximum(values - 1, 0) ** 2
        ).mean(),
        "That is a sum over the examples, where a mean is asked for": ((values - 1) ** 2).sum(),
        "That is one number for each example; their mean is asked for": (values - 1) ** 2,
        "That is the mean of |slope − 1|; it has to be squared": abs(values - 1).mean(),
        "λ is in it already: leave the weight to the loss": 10 * wanted.numpy(),
    }
    _expect_value(found, wanted.numpy(), "the penalty", mistakes)
    _expect_gradient(found, wanted, weight, "the penalty")


# ------------------------------------------------ exercise 3


def build_critic(features: int, rng: np.random.Generator) -> Module:
    return Sequential(
        Dense(features, 64, init=he(0.2), rng=rng),
        LeakyReLU(0.2),
        Dense(64, 64, init=he(0.2), rng=rng),
        LeakyReLU(0.2),
        Dense(64, 1, init=he(0.2), rng=rng),
    )


def _points(n: int, middle: float, rng: np.random.Generator) -> Tensor:
    return Tensor((middle + 0.3 * rng.standard_normal((n, 3))).astype(np.float32))


@exercise("L11-ex3", build_critic)
def _check_build_critic(answer: Any, rng: np.random.Generator) -> None:
    critic = answer(3, np.random.default_rng(5))
    expect(isinstance(critic, Module), f"build_critic gives {type(critic).__name__}; an nn.Sequential(…) is expected")
    x = _points(6, 0.0, rng)
    outputs = critic(x)
    expect(
        outputs.shape == (6, 1), f"for 6 examples the critic gives the shape {outputs.shape}; one number each, (6, 1)"
    )
    _expect_each_by_itself(critic, x)
    expect(
        not isinstance(outputs.op, Sigmoid | Tanh),
        f"the critic ends in a {type(outputs.op).__name__}, which squashes it into a few numbers and flattens it far "
        "out. A critic isn't a probability: let the last layer be a Dense one, with nothing after it",
    )
    other = _points(6, 0.0, rng)
    bend = critic(x + other).numpy() - outputs.numpy() - critic(other).numpy() + critic(0 * x).numpy()
    expect(
        abs(bend).max() > 1e-4,
        "this critic is linear: without an activation between them, Dense layers in a row are one. Put LeakyReLU "
        "between them",
    )
    again = answer(3, np.random.default_rng(5))(x)
    expect(
        np.array_equal(outputs.numpy(), again.numpy()),
        "the same seed gave two different critics: hand rng=rng to each layer that has weights",
    )
    _expect_it_learns(critic, rng)


def _expect_each_by_itself(critic: Module, x: Tensor) -> None:
    """An example's slope is the same whether the others are there or not."""
    try:
        alone = concatenate([slope(critic, x[i : i + 1]) for i in range(len(x))], axis=0).numpy()
    except TinyganError as error:
        alone = np.full(len(x), np.nan)
        why = f" (Alone, it stops with: {error})"
    else:
        why = ""
    together = slope(critic, x).numpy()
    expect(
        np.allclose(alone, together, rtol=1e-3, atol=1e-5),
        "the critic's slope at an example depends on the other examples of the batch: that is what BatchNorm does. "
        "Then the penalty, which is on each example by itself, means nothing. Leave it out, or take nn.LayerNorm" + why,
    )


def _expect_it_learns(critic: Module, rng: np.random.Generator) -> None:
    """150 steps with the penalty between two clouds take the slope to about 1."""
    optimizer = Adam(critic.parameters(), 2e-3, (0.5, 0.9))
    for _ in range(150):
        real, fake = _points(32, 1.0, rng), _points(32, -1.0, rng)
        loss = critic(fake).mean() - critic(real).mean() + 10 * gradient_penalty(critic, real, fake, rng)
        optimizer.zero_grad()
        loss.backward(inputs=optimizer.params)
        optimizer.step()
    real, fake = _points(64, 1.0, rng), _points(64, -1.0, rng)
    mean = float(slope(critic, 0.5 * real + 0.5 * fake).mean().item())
    expect(
        0.7 < mean < 1.6,
        f"after 150 steps with the penalty the slope between real and fake is {mean:.3g}, about 1 is expected: two "
        "hidden layers of 32 to 128 units with LeakyReLU do it",
    )
