"""Lesson 1, the formula: both players' losses from logits, and V(D, G) of two densities."""

from typing import Any

import numpy as np

from .exercise import WrongAnswer, exercise, expect, expect_close

EXTREME = np.array([1000.0, -1000.0])
SIGMOID = (
    "A sigmoid rounds to exactly 0 or 1 there, or its exp overflows, and the log is lost. "
    "Never compute the probability: use softplus (no clip, no + 1e-12)"
)


def softplus(logits: Any) -> Any:
    return np.logaddexp(0, logits)


def integral(values: Any, x: Any) -> Any:
    return np.sum((values[1:] + values[:-1]) / 2 * np.diff(x))


def discriminator_loss(real_logits: Any, fake_logits: Any) -> Any:
    return np.mean(softplus(-real_logits)) + np.mean(softplus(fake_logits))


def value_on_grid(x: Any, p: Any, q: Any, logits: Any) -> Any:
    return integral(-p * softplus(-logits) - q * softplus(logits), x)


def minimax_generator_loss(fake_logits: Any) -> Any:
    return -np.mean(softplus(fake_logits))


def generator_loss(fake_logits: Any) -> Any:
    return np.mean(softplus(-fake_logits))


def _expect_number(found: Any, wanted: Any, what: str, mistakes: dict[str, Any], missing: str = "a mean") -> None:
    """Raise WrongAnswer unless `found` is the number `wanted`. mistakes: what to say -> the number that it explains."""
    expect(found is not None, f"{what} is None: is the return missing?")
    shape = np.shape(found)
    expect(shape == (), f"{what} has shape {shape}, expected one number. Is {missing} missing?")
    expect(
        np.isfinite(found),
        f"{what} is {found}. Was the log of a logit taken? A logit is no probability: it may be 0 or negative. "
        "log D is −softplus(−l), log(1 − D) is −softplus(l)",
    )
    for sentence, number in mistakes.items():
        if np.isclose(found, number, rtol=1e-9, atol=0):
            raise WrongAnswer(f"{what} is {float(found):.6g}, expected {float(wanted):.6g}. {sentence}")
    expect_close(found, wanted, what)


@exercise("L01-ex1", discriminator_loss)
def _check_discriminator_loss(answer: Any, rng: np.random.Generator) -> None:
    real, fake = rng.normal(1, 2, 5), rng.normal(-1, 2, 3)
    r, f = softplus(-real), softplus(fake)
    wanted = discriminator_loss(real, fake)
    mistakes = {
        "That is the sum over each batch, where a mean belongs": r.sum() + f.sum(),
        "That is V itself; D minimises −V, so the sign is wrong": -wanted,
        "The labels are swapped: this D is rewarded for calling fakes real": discriminator_loss(-real, -fake),
        "That is one mean over both batches; each has a mean of its own, and they are added": np.r_[r, f].mean(),
        "That is half of it: the two means are added, not averaged": wanted / 2,
        "The term of the fakes is missing": r.mean(),
        "The term of the real examples is missing": f.mean(),
        "Both terms use log D: the fakes' term is log(1 − D) = −softplus(f)": r.mean() + softplus(-fake).mean(),
    }
    with np.errstate(all="ignore"):
        try:
            found = answer(real, fake)
        except ValueError as error:
            raise WrongAnswer(
                f"with 5 real and 3 fake logits discriminator_loss stopped with ValueError: {error}. The batches may "
                "differ in size: take the mean of each, then add the two numbers"
            ) from None
        _expect_number(found, wanted, "your loss of 5 real and 3 fake logits", mistakes)
        _expect_number(answer(np.zeros(4), np.zeros(4)), np.log(4), "your loss at logits 0 (D = ½ everywhere)", {})
        extreme = answer(EXTREME, EXTREME)
        expect(np.isclose(extreme, 1000.0), f"at logits of ±1000 your loss is {extreme}, expected 1000. {SIGMOID}")
        _expect_number(
            answer(real[:, None], fake[:, None]), wanted, "your loss of logits of shape (5, 1) and (3, 1)", mistakes
        )


@exercise("L01-ex2", value_on_grid)
def _check_value_on_grid(answer: Any, rng: np.random.Generator) -> None:
    x = np.sort(np.r_[-9, rng.uniform(-9, 9, 800), 9])  # not evenly spaced
    mean, std = rng.uniform(0.5, 1.5), rng.uniform(0.5, 0.8)
    p, q = (np.exp(-(((x - m) / s) ** 2) / 2) / (s * np.sqrt(2 * np.pi)) for m, s in ((0.0, 1.0), (mean, std)))
    logits = rng.normal(0, 1) + 0.7 * x
    real, fake = -softplus(-logits), -softplus(logits)
    best = np.log(p) - np.log(q)
    wanted = value_on_grid(x, p, q, logits)
    values = p * real + q * fake
    mistakes = {
        "p and q are swapped: log D belongs to the real density p, log(1 − D) to q": integral(q * real + p * fake, x),
        "That is −V; here V itself is asked for": -wanted,
        "The densities are missing: log D is weighted by p, log(1 − D) by q": integral(real + fake, x),
        "That is a bare sum over the grid; an integral weighs each place by its width: use integral": values.sum(),
        "That is a mean over the grid; an integral weighs each place by its width: use integral": values.mean(),
        "That takes all places for evenly spaced, but x is not: use integral": values.sum() * (x[1] - x[0]),
        "Both terms use log D: the fakes' term is log(1 − D) = −softplus(l)": integral((p + q) * real, x),
        "That is V of the best D; use the logits that are given": value_on_grid(x, p, q, best),
    }
    with np.errstate(all="ignore"):
        _expect_number(answer(x, p, q, logits), wanted, "V of your function", mistakes, "the integral")
        half = answer(x, p, q, np.zeros_like(x))
        close = np.isclose(half, value_on_grid(x, p, q, np.zeros_like(x)))
        expect(close, f"where D says ½ everywhere (logits 0) V is {half}, expected −log 4 for any p and q")
        sure = np.where(x < 0, 1000.0, -1000.0)
        v, wanted = answer(x, p, q, sure), value_on_grid(x, p, q, sure)
        expect(np.isclose(v, wanted), f"with logits of ±1000 your V is {v}, expected {wanted:.6g}. {SIGMOID}")


@exercise("L01-ex3", minimax_generator_loss, generator_loss)
def _check_generator_losses(minimax: Any, non_saturating: Any, rng: np.random.Generator) -> None:
    fake = rng.normal(-1, 2, 7)
    s, t = softplus(-fake), softplus(fake)  # −log D and −log(1 − D)
    a_sum = "That is a sum over the batch, where a mean belongs"
    for_minimax = {
        a_sum: -t.sum(),
        "The sign is wrong: −log(1 − D) is what D minimises; G minimises log(1 − D)": t.mean(),
        "That is −log D, the non-saturating loss; minimax is log(1 − D)": s.mean(),
        "That is log D; minimising it makes the fakes look fake": -s.mean(),
    }
    for_non_saturating = {
        a_sum: s.sum(),
        "That is log(1 − D), minimax, with no slope where D is sure; non-saturating is −log D": -t.mean(),
        "The sign is wrong: minimising log D makes the fakes look fake; −log D is asked for": -s.mean(),
        "That is −log(1 − D), D's own loss at the fakes: G would help D. Non-saturating is −log D": t.mean(),
    }
    for answer, name, wanted, mistakes in (
        (minimax, "minimax_generator_loss", -t.mean(), for_minimax),
        (non_saturating, "generator_loss", s.mean(), for_non_saturating),
    ):
        with np.errstate(all="ignore"):
            _expect_number(answer(fake), wanted, f"your {name} of 7 logits", mistakes)
            _expect_number(answer(fake[:, None]), wanted, f"your {name} of logits of shape (7, 1)", mistakes)
            extreme, right = answer(EXTREME), 500 * np.sign(wanted)
            expect(np.isclose(extreme, right), f"{name} at logits of ±1000 is {extreme}, expected {right}. {SIGMOID}")
