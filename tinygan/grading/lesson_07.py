"""Lesson 7, when it breaks: a ring of eight Gaussians, how many of them a generator finds, and three broken runs."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from .. import losses
from ..autograd import Tensor, no_grad
from ..nn import Dense, LeakyReLU, Module, Sequential
from ..optim import Adam
from .exercise import WrongAnswer, exercise, expect

Points = np.ndarray[Any, Any]

MODES = 8
SIGMA = 0.05
ANGLES = 2 * np.pi * np.arange(MODES) / MODES
CENTRES = np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1)  # (8, 2), on the unit circle
BATCH, LATENT, SAMPLES = 64, 2, 800


@dataclass(frozen=True)
class Recipe:
    """The settings of one run. activation: between G's layers, "leaky_relu" or "none" (D always has LeakyReLU)."""

    objective: str = "non-saturating"
    activation: str = "leaky_relu"
    g_hidden: int = 64
    d_hidden: int = 64
    g_lr: float = 2e-3
    d_lr: float = 2e-3
    betas: tuple[float, float] = (0.5, 0.9)


@dataclass(frozen=True)
class Run:
    """What a training left: both losses of each step, (steps,), and 800 fakes every so many steps, (T, 800, 2)."""

    d_loss: Points
    g_loss: Points
    steps: Points
    samples: Points


def ring(n: int, rng: np.random.Generator) -> Points:
    """n real examples (n, 2): each from one of eight Gaussians, chosen at random."""
    return (CENTRES[rng.integers(MODES, size=n)] + SIGMA * rng.standard_normal((n, 2))).astype(np.float32)


def network(inputs: int, hidden: int, outputs: int, activation: str, rng: np.random.Generator) -> Module:
    """Two hidden layers, each with an activation after it unless that is "none"."""
    layers: list[Module] = []
    for size in (inputs, hidden):
        layers.append(Dense(size, hidden, rng=rng))
        if activation != "none":
            layers.append(LeakyReLU(0.2))
    return Sequential(*layers, Dense(hidden, outputs, rng=rng))


def train(recipe: Recipe, seed: int = 0, steps: int = 2000, every: int = 100) -> Run:
    """Train a GAN on the ring: the two steps of lesson 6, over and over."""
    rng = np.random.default_rng(seed)
    G = network(LATENT, recipe.g_hidden, 2, recipe.activation, rng)
    D = network(2, recipe.d_hidden, 1, "leaky_relu", rng)
    g_optimizer = Adam(G.parameters(), recipe.g_lr, recipe.betas)
    d_optimizer = Adam(D.parameters(), recipe.d_lr, recipe.betas)
    objective = losses.OBJECTIVES[recipe.objective]
    shown_z = rng.standard_normal((SAMPLES, LATENT)).astype(np.float32)  # the same z each time we look
    d_losses, g_losses, samples = [], [], []
    for step in range(steps + 1):
        if step % every == 0:
            with no_grad():
                samples.append(G(Tensor(shown_z)).numpy())
        real = Tensor(ring(BATCH, rng))
        with no_grad():
            fake = G(Tensor(rng.standard_normal((BATCH, LATENT)).astype(np.float32)))
        d_loss = objective.discriminator(D(real), D(fake))
        d_optimizer.zero_grad()
        d_loss.backward(inputs=d_optimizer.params)
        d_optimizer.step()
        z = Tensor(rng.standard_normal((BATCH, LATENT)).astype(np.float32))
        g_loss = objective.generator(D(G(z)))
        g_optimizer.zero_grad()
        g_loss.backward(inputs=g_optimizer.params)
        g_optimizer.step()
        d_losses.append(d_loss.item())
        g_losses.append(g_loss.item())
    return Run(np.array(d_losses), np.array(g_losses), np.arange(0, steps + 1, every), np.array(samples))


# ------------------------------------------------ exercise 1


def mode_coverage(samples: Points, centres: Points, sigma: float, least: int) -> int:
    distances = np.linalg.norm(samples[:, None, :] - centres[None, :, :], axis=2)
    nearest = distances.argmin(axis=1)
    good = distances.min(axis=1) <= 3 * sigma
    counts = [np.sum(good & (nearest == mode)) for mode in range(len(centres))]
    return int(sum(count >= least for count in counts))


def _around(centre: Points, n: int, low: float, high: float, rng: np.random.Generator) -> Points:
    """n points around a centre, at distances from low to high."""
    angle, radius = rng.uniform(0, 2 * np.pi, n), rng.uniform(low, high, n)
    return centre + np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)


def _expect_count(found: Any, wanted: int, what: str, mistakes: Mapping[str, float]) -> None:
    expect(found is not None, f"for {what} you give None: is the return missing?")
    expect(np.shape(found) == (), f"for {what} you give an array of shape {np.shape(found)}; one number is expected")
    for sentence, number in mistakes.items():
        if found != wanted and np.isclose(found, number):
            raise WrongAnswer(f"for {what} you give {found:.4g}, expected {wanted}. {sentence}")
    expect(found == wanted, f"for {what} you give {found}, expected {wanted}")


@exercise("L07-ex1", mode_coverage)
def _check_mode_coverage(answer: Any, rng: np.random.Generator) -> None:
    sigma, least = 0.05, 10
    # In each of eight modes: how many within σ, between 1.2 σ and 2.9 σ, and outside of 3.2 σ, but nearest to it.
    # Only outside; none; one; one too few; just enough; two that are enough thanks to the outer ones; and many.
    table = [(0, 0, 30), (0, 0, 0), (1, 0, 0), (9, 0, 0), (10, 0, 0), (0, 12, 0), (4, 9, 7), (15, 8, 0)]
    order = rng.permutation(len(table))
    parts = []
    for centre, row in zip(CENTRES, (table[i] for i in order), strict=True):
        for n, (low, high) in zip(row, ((0.1, 0.9), (1.2, 2.9), (3.2, 5.0)), strict=True):
            parts.append(_around(centre, n, low * sigma, high * sigma, rng))
    samples = rng.permutation(np.concatenate(parts))
    distances = np.linalg.norm(samples[:, None] - CENTRES, axis=2)
    good = int((distances.min(axis=1) <= 3 * sigma).sum())
    mistakes = {
        "Empty modes are counted too: a mode counts if at least `least` good samples lie there": len(CENTRES),
        "Samples far from every centre are counted for the nearest one; only those within 3σ of it are good": 5,
        "One stray sample is enough for your count; a mode needs at least `least` good ones": 6,
        "A mode with exactly `least` good samples is covered: ≥, not >": 3,
        "Your circle has radius σ; good is whatever lies within 3σ of the centre": 2,
        "That is the number of good samples; asked for is the number of modes": good,
        "That is the share of good samples; asked for is the number of modes": good / len(samples),
        "That is a share of the modes; asked for is their number": 4 / len(CENTRES),
    }
    _expect_count(
        answer(samples, CENTRES, sigma, least), 4, "a ring where 4 modes have 10 good samples or more", mistakes
    )
    one = _around(CENTRES[3], 200, 0, 2.9 * sigma, rng)
    _expect_count(answer(one, CENTRES, sigma, least), 1, "200 samples in a single mode", {})
    far = _around(np.zeros(2), 500, 0, 0.5, rng)
    _expect_count(answer(far, CENTRES, sigma, least), 0, "500 samples inside the ring, far from every mode", {})
    pair = np.array([[0.0, 0.0], [1.0, 0.0]])
    between = _around(np.array([0.4, 0.0]), 25, 0, 0.05, rng)
    twice = {"A sample near two modes was counted for both; it belongs to the nearest alone": 2}
    _expect_count(answer(between, pair, 0.3, least), 1, "25 samples near two modes, σ = 0.3, all nearer to one", twice)
    line = np.stack([np.arange(11.0), np.zeros(11)], axis=1)
    _expect_count(answer(np.repeat(line, 12, axis=0), line, sigma, least), 11, "eleven modes, each with 12 samples", {})


# ------------------------------------------------ exercise 2

HEALTHY = Recipe(g_hidden=32, d_hidden=32, g_lr=2e-3, d_lr=8e-3)
BROKEN = {
    "A": replace(HEALTHY, d_lr=5e-4),
    "B": replace(HEALTHY, betas=(0.9, 0.999)),
    "C": replace(HEALTHY, activation="none"),
}
HINTS = {
    "A": "Its fakes stay in one bunch and wander, and nobody drives them apart in time: which player is too slow? "
    "It may well be made the quicker of the two.",
    "B": "Its fakes are flung to and fro: which setting makes a player go on in the direction it had before?",
    "C": "Its fakes lie along one straight line or ellipse: what can Dense layers alone, in a row, do to a Gaussian?",
}
CHECK_STEPS, LEAST, ENOUGH = 400, 20, 5


def mend(name: str, recipe: Recipe) -> Recipe:
    cures: dict[str, dict[str, Any]] = {
        "A": {"d_lr": 8e-3},
        "B": {"betas": (0.5, 0.9)},
        "C": {"activation": "leaky_relu"},
    }
    return replace(recipe, **cures[name])


@exercise("L07-ex2", mend)
def _check_mend(answer: Any, rng: np.random.Generator) -> None:
    mended = {name: answer(name, recipe) for name, recipe in BROKEN.items()}
    for name, recipe in mended.items():
        _expect_one_change(name, BROKEN[name], recipe)
    for name, recipe in mended.items():
        with np.errstate(all="ignore"):
            run = train(recipe, int(rng.integers(1000)), CHECK_STEPS, CHECK_STEPS)
        modes = mode_coverage(run.samples[-1], CENTRES, SIGMA, LEAST)
        (changed,) = _changes(BROKEN[name], recipe)
        d_loss, g_loss = run.d_loss[-100:].mean(), run.g_loss[-100:].mean()
        expect(
            modes >= ENOUGH,
            f"run {name} with {changed} = {getattr(recipe, changed)!r} covers {modes} of 8 modes after {CHECK_STEPS} "
            f"steps, at least {ENOUGH} are expected. {HINTS[name]} (Its losses are D {d_loss:.3f}, G {g_loss:.3f}; "
            "they are no measure: judge by the modes.)",
        )


def _changes(before: Recipe, after: Recipe) -> list[str]:
    return [f.name for f in fields(Recipe) if getattr(before, f.name) != getattr(after, f.name)]


def _expect_one_change(name: str, broken: Recipe, recipe: Any) -> None:
    expect(
        isinstance(recipe, Recipe),
        f"mend({name!r}, recipe) gives {type(recipe).__name__}; a Recipe is expected: replace(recipe, setting=value)",
    )
    changed = _changes(broken, recipe)
    expect(changed, f"run {name} has the settings that it had: nothing was changed. {HINTS[name]}")
    expect(
        len(changed) == 1,
        f"in run {name} you changed {', '.join(changed)}; change one setting, else you don't know which one did it",
    )
    expect(recipe.objective in losses.OBJECTIVES, f"run {name}: there is no objective {recipe.objective!r}")
    expect(
        recipe.activation in ("leaky_relu", "none"),
        f"run {name}: activation {recipe.activation!r}; 'leaky_relu' or 'none' is expected",
    )
    expect(
        isinstance(recipe.betas, tuple | list) and len(recipe.betas) == 2,
        f"run {name}: betas is {recipe.betas!r}; a pair (β₁, β₂) is expected",
    )
    expect(
        max(recipe.g_hidden, recipe.d_hidden) <= 64, f"run {name}: more than 64 hidden units make the check too slow"
    )
