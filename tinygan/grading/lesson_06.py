"""Lesson 6, first GAN: one step of D and one step of G, each with the other left as it was."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np

from ..autograd import Tensor
from ..errors import GraphError
from ..nn import Dense, LeakyReLU, Module, Sequential
from ..ops import concatenate, softplus
from ..optim import SGD, Optimizer
from .exercise import WrongAnswer, exercise, expect, expect_close

LR = 0.5
Weights = list[np.ndarray[Any, Any]]


def discriminator_step(G: Module, D: Module, optimizer: Optimizer, real: Tensor, z: Tensor) -> Tensor:
    fake = G(z).detach()
    loss = softplus(-D(real)).mean() + softplus(D(fake)).mean()
    optimizer.zero_grad()
    loss.backward(inputs=optimizer.params)
    optimizer.step()
    return loss.detach()


def generator_step(G: Module, D: Module, optimizer: Optimizer, z: Tensor) -> Tensor:
    loss = softplus(-D(G(z))).mean()
    optimizer.zero_grad()
    loss.backward(inputs=optimizer.params)
    optimizer.step()
    return loss.detach()


class Watched(Sequential):
    """A network that remembers whether what it was given was recorded."""

    def __init__(self, *layers: Module):
        super().__init__(*layers)
        self.given: list[bool] = []

    def forward(self, x: Tensor) -> Tensor:
        self.given.append(x.requires_grad)
        return super().forward(x)


def _players(rng: np.random.Generator) -> tuple[Module, Watched]:
    """Untrained G, 3 latents -> 2 numbers, and D, 2 numbers -> 1 logit."""
    G = Sequential(Dense(3, 8, rng=rng), LeakyReLU(0.2), Dense(8, 2, rng=rng))
    return G, Watched(Dense(2, 8, rng=rng), LeakyReLU(0.2), Dense(8, 1, rng=rng))


def _normal(rng: np.random.Generator, *shape: int) -> Tensor:
    return Tensor(rng.standard_normal(shape).astype(np.float32))


def _weights(module: Module) -> Weights:
    return [p.numpy() for p in module.parameters()]


def _same(a: Weights, b: Weights) -> bool:
    """To the byte."""
    return all(x.tobytes() == y.tobytes() for x, y in zip(a, b, strict=True))


def _close(a: Weights, b: Weights) -> bool:
    return all(np.allclose(x, y, rtol=1e-4, atol=1e-6) for x, y in zip(a, b, strict=True))


def _run(what: str, step: Callable[..., Any], *arguments: Any) -> Any:
    """The step's result; a stale graph is explained."""
    try:
        return step(*arguments)
    except GraphError as error:
        if "stale" not in str(error):
            raise
        raise WrongAnswer(
            f"{what} changed weights, and then ran backward through logits computed before that change. In one step: "
            f"first all logits and one loss, then zero_grad, backward and step, each once. tinygan says: {error}"
        ) from None


def _expect_moved(
    what: str, found: Weights, before: Weights, wanted: Weights, mistakes: dict[str, Weights], turn: int
) -> None:
    """Raise WrongAnswer unless the weights moved as the reference's. mistakes: what to say -> weights that it gives."""
    if _close(found, wanted):
        return
    expect(
        not _same(found, before),
        f"{what} has not moved at all: is optimizer.step() missing, does zero_grad come after backward, or did no "
        "gradient reach it (a detach too many)?",
    )
    for sentence, weights in mistakes.items():
        if _close(found, weights):
            raise WrongAnswer(f"{what} moved, but not down its own loss. {sentence}")
    if turn:
        raise WrongAnswer(
            f"{what}'s first step was right, the second one is not: the gradient of the first was still there, and the "
            "second was added to it. Call optimizer.zero_grad() before backward"
        )
    found_step, wanted_step = (
        np.concatenate([(b - a).ravel() for a, b in zip(before, after, strict=True)]) for after in (found, wanted)
    )
    expect_close(found_step, wanted_step, f"{what}'s change of weights", rtol=1e-4, atol=1e-6)


def _expect_untouched(who: str, mover: str, module: Module, before: Weights, cure: str) -> None:
    expect(
        _same(_weights(module), before),
        f"{mover}'s step also changed {who}'s weights; {who} has to stay as it was, to the byte. Only the optimizer "
        f"that is handed in may step, and it holds {mover}'s weights alone",
    )
    expect(
        all(p.requires_grad for p in module.parameters()),
        f"{mover}'s step switched off requires_grad in {who}, which can't learn any more. {cure}",
    )
    left = sum(p.grad is not None for p in module.parameters())
    expect(
        not left,
        f"{mover}'s step left gradients in {left} of {who}'s weight arrays. If {who}'s optimizer doesn't clear them, "
        f"{who} will step along them. {cure}",
    )


def _expect_loss(found: Any, wanted: Tensor, who: str) -> None:
    expect(found is not None, f"{who}'s step returned None: is the return missing?")
    expect(
        isinstance(found, Tensor),
        f"{who}'s step returned {type(found).__name__}; the loss is wanted as a Tensor, loss.detach()",
    )
    expect_close(found, wanted.item(), f"the loss that {who}'s step returned", rtol=1e-4, atol=1e-6)


def _after(module: Module, loss: Callable[[Module], Tensor]) -> Weights:
    """The weights of a copy of the module after one step of SGD down that loss."""
    twin = copy.deepcopy(module)
    optimizer = SGD(twin.parameters(), LR)
    loss(twin).backward(inputs=optimizer.params)
    optimizer.step()
    return _weights(twin)


def _mistakes_of_d(D: Module, real: Tensor, fake: Tensor) -> dict[str, Weights]:
    """What to say of D's weights after its step -> the weights that this mistake gives."""

    def real_term(D: Module) -> Tensor:
        return softplus(-D(real))

    def fake_term(D: Module) -> Tensor:
        return softplus(D(fake))

    def together(D: Module) -> Tensor:
        return concatenate([real_term(D), fake_term(D)], axis=0).mean()

    return {
        "It is one mean over real and fake together: of 7 real and 4 fake examples the real ones then count more. "
        "Each batch has a mean of its own, and the two are added": _after(D, together),
        "The labels are swapped: this D learns to call fakes real": _after(
            D, lambda D: softplus(D(real)).mean() + softplus(-D(fake)).mean()
        ),
        "It went up its loss, not down; run backward from the loss itself, without a minus": _after(
            D, lambda D: -real_term(D).mean() - fake_term(D).mean()
        ),
        "It went down G's loss, −log D(G(z)): D helps G to fool it": _after(D, lambda D: softplus(-D(fake)).mean()),
        "The fakes' term is missing: D is taught to say “real” to everything": _after(D, lambda D: real_term(D).mean()),
        "The real examples' term is missing: D is taught to say “fake” to everything": _after(
            D, lambda D: fake_term(D).mean()
        ),
        "It is half of the loss that is asked for: the two means are added, not averaged": _after(
            D, lambda D: (real_term(D).mean() + fake_term(D).mean()) / 2
        ),
        "It is a sum over each batch, where a mean belongs": _after(
            D, lambda D: real_term(D).sum() + fake_term(D).sum()
        ),
    }


def _mistakes_of_g(G: Module, D: Module, z: Tensor) -> dict[str, Weights]:
    """The same for G."""
    return {
        "The label is wrong: it went down −log(1 − D(G(z))), which is D's aim, so its fakes look more fake. "
        "G wants D to say “real”: minimise softplus(−logits)": _after(G, lambda G: softplus(D(G(z))).mean()),
        "It went down log(1 − D(G(z))), the minimax loss; the non-saturating one, −log D(G(z)), is asked for": _after(
            G, lambda G: -softplus(D(G(z))).mean()
        ),
        "It went up its loss, not down: it minimises log D(G(z)), so D calls its fakes fake": _after(
            G, lambda G: -softplus(-D(G(z))).mean()
        ),
        "It is a sum over the batch, where a mean belongs": _after(G, lambda G: softplus(-D(G(z))).sum()),
    }


@exercise("L06-ex1", discriminator_step)
def _check_discriminator_step(answer: Any, rng: np.random.Generator) -> None:
    G, D = _players(rng)
    twin = copy.deepcopy(D)
    optimizer, reference = SGD(D.parameters(), LR), SGD(twin.parameters(), LR)
    for turn in range(2):
        real, z = _normal(rng, 7, 2) + 1, _normal(rng, 4, 3)
        g_before, before = _weights(G), _weights(twin)
        mistakes = _mistakes_of_d(twin, real, G(z).detach())
        wanted = discriminator_step(G, twin, reference, real, z)
        D.given.clear()
        loss = _run("D's step", answer, G, D, optimizer, real, z)
        _expect_untouched("G", "D", G, g_before, "Cut the fakes off: fake = G(z).detach()")
        _expect_moved("D", _weights(D), before, _weights(twin), mistakes, turn)
        expect(
            not any(D.given),
            "D moved as it should, but the fakes it was given still carry G's graph: they require gradients, so the "
            "whole way back through G was recorded for nothing. Cut them off: fake = G(z).detach()",
        )
        _expect_loss(loss, wanted, "D")


@exercise("L06-ex2", generator_step)
def _check_generator_step(answer: Any, rng: np.random.Generator) -> None:
    G, D = _players(rng)
    twin = copy.deepcopy(G)
    optimizer, reference = SGD(G.parameters(), LR), SGD(twin.parameters(), LR)
    for turn in range(2):
        z = _normal(rng, 5, 3)
        d_before, before = _weights(D), _weights(twin)
        mistakes = _mistakes_of_g(twin, D, z)
        wanted = generator_step(twin, D, reference, z)
        loss = _run("G's step", answer, G, D, optimizer, z)
        _expect_untouched("D", "G", D, d_before, "Ask for G's gradients alone: loss.backward(inputs=optimizer.params)")
        _expect_moved("G", _weights(G), before, _weights(twin), mistakes, turn)
        _expect_loss(loss, wanted, "G")
