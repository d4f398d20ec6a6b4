"""Lesson 5, "Layers that learn": what it adds to the engine of lesson 4, and the checks of what is left to the reader.

The engine is printed in lessons 3 to 5 as a learner would write it, so it goes without annotations.
"""

# mypy: allow-untyped-defs, allow-untyped-calls

from typing import Any

import numpy as np

from ..errors import GradientError
from ..gradcheck import gradcheck_arrays
from .exercise import WrongAnswer, exercise, expect, expect_close
from .lesson_03 import Op, Tensor
from .lesson_04 import enter_operators


class LeakyReLU(Op):
    """y = x for x > 0, else slope · x.   ∂L/∂x = ∂L/∂y for x > 0, else slope · ∂L/∂y."""

    def __init__(self, slope):
        self.slope = slope

    def forward(self, x):
        return np.where(x > 0, x, self.slope * x)

    def backward(self, grad):
        (x,) = self.inputs
        return (np.where(x.data > 0, grad, self.slope * grad),)


class Sqrt(Op):
    """y = √x.   ∂L/∂x = ∂L/∂y / (2y)."""

    def forward(self, x):
        return np.sqrt(x)

    def backward(self, grad):
        return (grad / (2 * self.output.data),)


def leaky_relu(x, slope=0.2):
    return LeakyReLU(slope)(x)


def sqrt(x):
    return Sqrt()(x)


def he(rng, fan_in, fan_out, slope=0.0):
    """Weights (fan_in, fan_out) that keep the spread through a layer and a LeakyReLU of that slope."""
    std = np.sqrt(2 / ((1 + slope**2) * fan_in))
    return (std * rng.standard_normal((fan_in, fan_out))).astype(np.float32)


def batch_norm(x, gamma, beta, eps=1e-5):
    """Each feature (last axis) shifted and scaled to mean beta and deviation gamma over the batch."""
    axes = tuple(range(x.data.ndim - 1))
    centred = x - x.mean(axes)
    variance = (centred * centred).mean(axes)
    return gamma * centred / sqrt(variance + eps) + beta


def adam_step(params, grads, state, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
    """Change each array of params in place, by one step of Adam."""
    beta1, beta2 = betas
    if not state:
        state["t"] = 0
        state["m"] = [np.zeros_like(parameter) for parameter in params]
        state["v"] = [np.zeros_like(parameter) for parameter in params]
    state["t"] += 1
    for parameter, grad, m, v in zip(params, grads, state["m"], state["v"], strict=True):
        m[...] = beta1 * m + (1 - beta1) * grad
        v[...] = beta2 * v + (1 - beta2) * grad**2
        m_hat = m / (1 - beta1 ** state["t"])
        v_hat = v / (1 - beta2 ** state["t"])
        parameter -= lr * m_hat / (np.sqrt(v_hat) + eps)


@exercise("L05-ex1", he)
def _check_he(answer: Any, rng: Any) -> None:
    seed = int(rng.integers(1 << 30))

    def draw(seed: int, fan_in: int, fan_out: int, **slope: float) -> Any:
        return answer(np.random.default_rng(seed), fan_in, fan_out, **slope)

    weights = draw(seed, 400, 150)
    expect(
        np.shape(weights) == (400, 150),
        f"he(rng, 400, 150) has shape {np.shape(weights)}, expected (fan_in, fan_out) = (400, 150)",
    )
    expect(
        np.array_equal(weights, draw(seed, 400, 150)) and not np.array_equal(weights, draw(seed + 1, 400, 150)),
        "draw from the rng that is given: the same seed must give the same weights, another seed others",
    )
    for slope in (0.0, 0.5):
        weights = np.asarray(draw(seed, 400, 150, slope=slope), np.float64)
        wanted, found = float(np.sqrt(2 / ((1 + slope**2) * 400))), float(weights.std())
        for wrong, why in (
            (wanted**2, "that is the variance; the factor in front of standard_normal is its square root"),
            (np.sqrt(2 / ((1 + slope**2) * 150)), "that is for fan_out; an output is a sum over its fan_in inputs"),
            (np.sqrt(1 / 400), "the 2 is missing: ReLU throws half of the spread away"),
            (np.sqrt(2 / 400), "the slope is not taken into account"),
            (np.sqrt(2 / ((1 + slope) * 400)), "the slope counts squared"),
            (np.sqrt(2 / ((1 + slope) ** 2 * 400)), "the formula has 1 + slope², not (1 + slope)²"),
            (wanted / np.sqrt(3), "a uniform distribution up to b has the deviation b/√3; draw from the normal one"),
        ):
            if abs(wanted / wrong - 1) > 0.03:
                expect(
                    abs(found / wrong - 1) > 0.02,
                    f"for fan_in = 400, fan_out = 150 and slope = {slope}, the weights' deviation is {found:.4f}, "
                    f"expected {wanted:.4f}: {why}",
                )
        expect_close(found, wanted, f"the deviation of he(rng, 400, 150, slope={slope})", rtol=0.02)
        expect(abs(weights.mean()) < wanted / 20, f"the weights' mean is {weights.mean():.3g}, expected 0")
        kurtosis = np.mean((weights / found) ** 4)
        expect(
            2.8 < kurtosis < 3.2, "the deviation is right, but the distribution isn't normal: use rng.standard_normal"
        )
    dtype = getattr(draw(seed, 3, 2), "dtype", None)
    expect(dtype == np.float32, f"the weights are {dtype}, expected float32: end with .astype(np.float32)")


def _plain_batch_norm(x: Any, gamma: Any, beta: Any, eps: float = 1e-5) -> Any:
    axes = tuple(range(x.ndim - 1))
    return gamma * (x - x.mean(axes)) / np.sqrt(x.var(axes) + eps) + beta


@exercise("L05-ex2", batch_norm)
def _check_batch_norm(answer: Any, rng: Any) -> None:
    enter_operators()  # lesson 4 may have run in this process, and entered its reader's
    _check_place_of_eps(answer, rng.normal(0, 0.5, (5, 3)))
    for shape, eps in (((4, 3), 1e-5), ((6, 6), 1e-5), ((2, 3, 2, 4), 1e-5), ((5, 3), 0.3)):
        x = rng.normal(2, 3, shape)
        gamma, beta = rng.uniform(0.5, 1.5, shape[-1]), rng.standard_normal(shape[-1])
        _check_batch_norm_values(answer, x, gamma, beta, eps)
    x, gamma, beta = rng.standard_normal((4, 3)), rng.uniform(0.5, 1.5, 3), rng.standard_normal(3)
    weights = rng.standard_normal((4, 3))  # without them the sum over the batch would not depend on x at all

    def gradient(*arrays: Any) -> Any:
        leaves = [Tensor(a, requires_grad=True) for a in arrays]
        (answer(*leaves) * weights).backward()
        return [np.zeros_like(a) if leaf.grad is None else leaf.grad for leaf, a in zip(leaves, arrays, strict=True)]

    try:
        gradcheck_arrays(lambda *a: _plain_batch_norm(*a) * weights, gradient, [x, gamma, beta])
    except GradientError as error:
        expect(
            False,
            "the values are right, the gradient is not: the mean and the variance depend on x too, and the engine only "
            f"knows if they are computed by Tensors, not from x.data. ({error})",
        )


def _call_batch_norm(answer: Any, x: Any, gamma: Any, beta: Any, eps: float) -> Any:
    try:
        y = answer(*[Tensor(a, requires_grad=True) for a in (x, gamma, beta)], eps=eps)
    except TypeError as error:
        hint = "NumPy's functions know nothing of these Tensors: write sqrt, not np.sqrt, and x.mean, not np.mean"
        raise WrongAnswer(f"batch_norm stopped with TypeError: {error}. {hint}") from None
    expect(
        hasattr(y, "data") and hasattr(y, "op"),
        f"batch_norm gave {type(y).__name__}, a Tensor is expected: is a return missing? Or is x.data used, and "
        "not x itself?",
    )
    return y


def _check_batch_norm_values(answer: Any, x: Any, gamma: Any, beta: Any, eps: float) -> None:
    y = _call_batch_norm(answer, x, gamma, beta, eps)
    shape, axes = x.shape, tuple(range(x.ndim - 1))
    expect(y.data.shape == shape, f"for x of shape {shape} the result has shape {y.data.shape}; it is like x")
    n = x.size // shape[-1]
    centred, variance = x - x.mean(axes), x.var(axes)
    wrongs = {
        f"the variance is divided by n − 1 = {n - 1}. That estimates another batch's; this batch gets the deviation 1 "
        f"when its own mean of squares, over all n = {n}, is used": centred / np.sqrt(variance * n / (n - 1) + eps),
        "it is divided by the variance: a deviation is its square root": centred / (variance + eps),
        "the mean is not subtracted": x / np.sqrt(variance + eps),
        "each example (row) is normalised over its features; BatchNorm takes each feature, the last axis, over the "
        "examples": (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + eps),
        "the statistics are taken over axis 0 alone; an image has rows and columns besides: all axes but the last": (
            x - x.mean(0)
        )
        / np.sqrt(x.var(0) + eps),
        "one mean and one variance for all features together; each feature has its own": (x - x.mean())
        / np.sqrt(x.var() + eps),
    }
    for why, normalised in wrongs.items():
        if not np.allclose(normalised, centred / np.sqrt(variance + eps)):
            expect(not np.allclose(y.data, gamma * normalised + beta), f"for x of shape {shape}: {why}")
    if np.allclose(y.data, centred / np.sqrt(variance + eps)):
        expect(False, "the normalised x is right; multiply it by gamma and add beta")
    expect_close(y.data, _plain_batch_norm(x, gamma, beta, eps), f"batch_norm of an x of shape {shape}, eps = {eps}")


def _check_place_of_eps(answer: Any, x: Any) -> None:
    """With an eps as large as the variance, it matters where it stands."""
    one, zero, eps = np.ones(x.shape[1]), np.zeros(x.shape[1]), 0.3
    found = _call_batch_norm(answer, x, one, zero, eps).data
    centred, deviation = x - x.mean(0), x.std(0)
    expect(
        not np.allclose(found, centred / (deviation + eps)),
        "eps stands outside of the root: in BatchNorm it is √(v + eps) (in Adam it is the other way round)",
    )
    expect(
        not np.allclose(found, centred / deviation) and not np.allclose(found, centred / np.sqrt(deviation**2 + 1e-5)),
        "the eps that is given is not used",
    )


@exercise("L05-ex3", adam_step)
def _check_adam_step(answer: Any, rng: Any) -> None:
    start, grads = rng.standard_normal((2, 3)), rng.standard_normal((6, 2, 3))
    _check_first_step(answer, start[0], grads[0, 0])
    found, wanted = _run_adam(answer, start[:1], grads[:, :1]), _run_adam(adam_step, start[:1], grads[:, :1])
    (swapped,) = _run_adam(adam_step, start[:1], grads[:, :1], betas=(0.9, 0.8))
    expect(not np.allclose(found[0], swapped), "the betas are swapped: β₁ = betas[0] goes with m, β₂ = betas[1] with v")
    expect_close(found[0], wanted[0], "one parameter after 6 steps (the first one was right)")
    _check_adam_eps(answer, start[:1], 1e-5 * grads[:, :1])
    found, wanted = _run_adam(answer, start, grads), _run_adam(adam_step, start, grads)
    expect(
        all(np.allclose(f, w) for f, w in zip(found, wanted, strict=True)),
        "one parameter alone goes right, two of the same shape don't: each parameter needs an m and a v of its own, "
        "and t counts calls of adam_step, not parameters",
    )
    again = _run_adam(answer, start, grads)
    expect(
        all(np.array_equal(f, a) for f, a in zip(found, again, strict=True)),
        "with a new, empty state the same steps come out differently: something is kept outside of `state`",
    )
    mixed = [np.ones((2, 3), np.float32), np.ones(4, np.float32)]
    answer(mixed, [np.ones_like(p) for p in mixed], {})
    expect(all(p.dtype == np.float32 for p in mixed), "float32 parameters became something else")


def _run_adam(step: Any, start: Any, grads: Any, **settings: Any) -> Any:
    """Parameters that begin at start (P, 3) after one step for each of grads (T, P, 3)."""
    params: list[Any] = [p.copy() for p in start]
    state: dict[str, Any] = {}
    for gradients in grads:
        given = [g.copy() for g in gradients]
        step(params, given, state, **{"lr": 0.1, "betas": (0.8, 0.9), **settings})
        expect(np.array_equal(given, gradients), "adam_step changed the gradients; write m = ... + (1 - beta1) * grad")
    return params


def _check_first_step(answer: Any, start: Any, grad: Any) -> None:
    params, before = [start.copy()], start.copy()
    answer(params, [grad.copy()], {}, lr=0.1, betas=(0.8, 0.9))
    moved = params[0] - before
    expect(
        np.isfinite(moved).all(),
        f"the first step is {moved}. Either v is negative and has no root (v averages squares, g²), or 1 − βᵗ is 0 "
        "(t is 1 in the first step, not 0)",
    )
    expect(
        moved.any(),
        "after adam_step the parameter is what it was: change the array in place, as in parameter -= ... "
        "(parameter = parameter - ... only gives a new array the old name)",
    )
    expect(
        not np.allclose(moved, 0.1 * np.sign(grad), rtol=1e-4),
        "the step goes uphill: it is subtracted, θ ← θ − lr · ...",
    )
    ratio = moved / (-0.1 * np.sign(grad))
    factor = 0.2 / np.sqrt(0.1)
    for wrong, why in (
        (factor, "there is no bias correction: m and v start at 0, so after one step m = (1 − β₁) g is much too small, "
                 "and v = (1 − β₂) g² as well. Divide m by 1 − β₁ᵗ and v by 1 − β₂ᵗ"),
        (0.2, "m is not corrected, only v: divide m by 1 − β₁ᵗ"),
        (1 / np.sqrt(0.1), "v is not corrected, only m: divide v by 1 − β₂ᵗ"),
    ):  # fmt: skip
        expect(
            not np.allclose(ratio, wrong, rtol=1e-3),
            "the first step should be lr = 0.1 long in each coordinate, whatever the gradient; here it is "
            f"{ratio[0]:.4g} times that. {why[0].upper()}{why[1:]}",
        )
    expect(
        not np.allclose(moved, -0.1 * grad / grad**2, rtol=1e-3),
        "m̂ is divided by v̂ itself; divide by its square root",
    )
    expect_close(moved, -0.1 * np.sign(grad), "the first step, which is lr · sign(gradient) but for eps,", rtol=1e-4)


def _check_adam_eps(answer: Any, start: Any, grads: Any) -> None:
    """With gradients as small as eps, it matters where it stands."""
    settings = {"eps": 1e-5}
    found, wanted = (_run_adam(step, start, grads, **settings)[0] for step in (answer, adam_step))
    inside = _run_adam(_adam_eps_inside, start, grads, **settings)[0]
    early = _run_adam(_adam_eps_early, start, grads, **settings)[0]
    expect(
        not np.allclose(found, inside),
        "eps stands inside the root, √(v̂ + eps): with eps = 1e-5 and gradients of that size, hardly a step is made. "
        "It belongs outside, √v̂ + eps",
    )
    expect(
        not np.allclose(found, early),
        "eps is added before the bias correction: correct v first, then take the root, then add eps",
    )
    expect_close(found, wanted, "with gradients as small as eps, one parameter after 6 steps")


def _adam_eps_inside(params: Any, grads: Any, state: Any, lr: float, betas: Any, eps: float) -> None:
    (parameter,), (grad,) = params, grads
    t = state["t"] = state.get("t", 0) + 1
    m = state["m"] = betas[0] * state.get("m", 0) + (1 - betas[0]) * grad
    v = state["v"] = betas[1] * state.get("v", 0) + (1 - betas[1]) * grad**2
    parameter -= lr * m / (1 - betas[0] ** t) / np.sqrt(v / (1 - betas[1] ** t) + eps)


def _adam_eps_early(params: Any, grads: Any, state: Any, lr: float, betas: Any, eps: float) -> None:
    (parameter,), (grad,) = params, grads
    t = state["t"] = state.get("t", 0) + 1
    m = state["m"] = betas[0] * state.get("m", 0) + (1 - betas[0]) * grad
    v = state["v"] = betas[1] * state.get("v", 0) + (1 - betas[1]) * grad**2
    parameter -= lr * m / (1 - betas[0] ** t) / ((np.sqrt(v) + eps) / np.sqrt(1 - betas[1] ** t))
