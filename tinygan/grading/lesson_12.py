"""Lesson 12, the museum of bugs: ten functions that frameworks had wrong, and how each is told from the right one."""

from collections.abc import Callable
from typing import Any

import numpy as np

from .. import ops
from ..autograd import Op, Tensor, grad
from ..errors import GradientError
from ..gradcheck import gradcheck, gradcheck_arrays
from .exercise import exercise, expect, expect_close

Floats = np.ndarray[Any, Any]


# ------------------------------------------------ the wrong function


def sigmoid(x: Floats) -> Any:
    return 0.5 * (np.tanh(x / 2) + 1)


@exercise("L12-ex1", sigmoid)
def _check_sigmoid(answer: Any, rng: np.random.Generator) -> None:
    x = rng.uniform(-4, 4, 9)
    with np.errstate(all="ignore"):
        found, far = _array(answer(x), "sigmoid(x)"), np.asarray(answer(np.array([-1e3, 1e3])))
    right = 1 / (1 + np.exp(-x))
    for factor in (2, 0.5):
        same = found.shape == x.shape and np.allclose(found, 1 / (1 + np.exp(-factor * x)))
        expect(
            not same,
            f"sigmoid(x) is σ({factor}x): its slope at 0 is {factor / 4:g}, that of σ is 1/4. What is in tanh?",
        )
    inside = bool(((found > 0) & (found < 1)).all())
    expect(inside, f"sigmoid(x) runs from {found.min():.3g} to {found.max():.3g}; σ lies between 0 and 1. Parentheses?")
    expect_close(found, right, "sigmoid(x)")
    expect(np.isfinite(far).all(), f"sigmoid of −1000 and 1000 is {far}; it is 0 and 1. Which exponential overflows?")
    expect_close(far, [0.0, 1.0], "sigmoid of −1000 and 1000")


def real_loss_and_probability(logits: Tensor) -> tuple[Tensor, Tensor]:
    return ops.softplus(-logits).mean(), ops.sigmoid(logits)


@exercise("L12-ex2", real_loss_and_probability)
def _check_real_loss(answer: Any, rng: np.random.Generator) -> None:
    values = rng.uniform(-4, 4, 6)
    logits = Tensor(values, requires_grad=True)
    loss, probability = _two(answer(logits), "(loss, probability)")
    for name, found, shape in (("loss", loss, ()), ("probability", probability, (6,))):
        _expect_tensor(found, f"the {name}")
        expect(
            found.shape == shape, f"the {name} has shape {found.shape}, expected {shape}: the loss comes first, a mean"
        )
    double = np.logaddexp(0, -_sigmoid(values)).mean()
    expect(
        not np.allclose(_array(loss), double),
        "the loss is still −log σ(σ(l)): it can't fall below 0.313 however sure D is. The loss takes the logits, "
        "the probability is only for people",
    )
    swapped = np.allclose(_array(loss), np.logaddexp(0, values).mean())
    expect(not swapped, "the loss is −log(1 − D), that of fake images; real ones have −log D = softplus(−l)")
    summed = np.allclose(_array(loss), np.logaddexp(0, -values).sum())
    expect(not summed, "the loss is the sum over the batch: a sum taken for a mean?")
    expect_close(loss, np.logaddexp(0, -values).mean(), "the loss")
    expect_close(probability, _sigmoid(values), "the probability")
    expect_close(grad(loss, logits)[0], -_sigmoid(-values) / 6, "the gradient of the loss")
    with np.errstate(all="ignore"):
        far, _ = answer(Tensor(np.array([-1e3, 1e3])))
    expect_close(far, 500.0, "the loss at the logits −1000 and 1000")


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    return (ops.softplus(logits) - labels * logits).mean()


@exercise("L12-ex3", cross_entropy)
def _check_cross_entropy(answer: Any, rng: np.random.Generator) -> None:
    def derived(values: Floats) -> tuple[Tensor, Floats]:
        logits, labels = Tensor(values, requires_grad=True), Tensor((np.arange(len(values)) % 2).astype(float))
        with np.errstate(all="ignore"):
            loss = answer(logits, labels)
            expect(isinstance(loss, Tensor), f"cross_entropy gave {loss!r}; a Tensor is expected")
            return loss, grad(loss, logits)[0].numpy() if loss.requires_grad else np.zeros_like(values)

    for values in (
        rng.uniform(-4, 4, 6),
        np.array([50.0, -50.0]),
        np.array([1e3, -1e3]),
    ):  # the last two: sure, and wrong
        labels = np.arange(len(values)) % 2
        (loss, gradient), size = derived(values), np.abs(values).max()
        what = f"at logits {values} with labels {labels}" if size >= 50 else "at ordinary logits"
        expect(
            size < 50 or gradient.any(),
            f"the gradient {what} is 0: D is sure and wrong, and learns nothing. A clip is flat wherever it clips, "
            "however wide it is: write the loss on the logits themselves, with softplus",
        )
        swapped = np.allclose(loss.numpy(), np.mean(np.logaddexp(0, values) - (1 - labels) * values))
        summed = np.allclose(loss.numpy(), np.sum(np.logaddexp(0, values) - labels * values))
        expect(not summed, f"the loss {what} is the sum over the batch: a sum taken for a mean?")
        expect(not swapped or size >= 50, "the labels are exchanged: where the label is 1, the loss is softplus(−l)")
        expect_close(loss, np.mean(np.logaddexp(0, values) - labels * values), f"the loss {what}")
        expect_close(gradient, (_sigmoid(values) - labels) / len(values), f"the gradient {what}")


# ------------------------------------------------ the wrong gradient


def scale_and_shift_gradient(g: Floats, x: Floats, gamma: Floats) -> tuple[Floats, Floats, Floats]:
    axes = tuple(range(x.ndim - 1))
    return g * gamma, (g * x).sum(axis=axes), g.sum(axis=axes)


@exercise("L12-ex4", scale_and_shift_gradient)
def _check_scale_and_shift(answer: Any, rng: np.random.Generator) -> None:
    for shape in ((4, 3), (2, 3, 2, 4)):
        x, gamma, beta = rng.standard_normal(shape), *rng.standard_normal((2, shape[-1]))
        g = rng.standard_normal(shape)
        gradients = answer(g, x, gamma)
        three = isinstance(gradients, tuple | list) and len(gradients) == 3
        expect(three, f"a {type(gradients).__name__} came back; three arrays are expected, the gradients of x, γ and β")
        wanted = (("x", g * gamma), ("gamma", g * x), ("beta", g))
        for (name, whole), found, like in zip(wanted, gradients, (x, gamma, beta), strict=True):
            expect(
                np.shape(found) == like.shape,
                f"the gradient of {name} has shape {np.shape(found)}, {name} itself has {like.shape} (x is {shape}): "
                "what was broadcast forward is summed backward, over every axis but the last, and no axis is kept",
            )
            right = whole if name == "x" else whole.reshape(-1, shape[-1]).sum(axis=0)
            expect_close(found, right, f"the gradient of {name} (∂y/∂x = γ, ∂y/∂γ = x) for x of shape {shape}")


def count_users(output: Any) -> dict[Any, int]:
    users, waiting = {output: 0}, [output]
    while waiting:
        for x in waiting.pop().inputs:
            if x not in users:
                users[x] = 0
                waiting.append(x)
            users[x] += 1
    return users


class _Node:
    """As the lesson's Node, as far as counting goes."""

    def __init__(self, name: str, *inputs: Any):
        self.name, self.value, self.inputs, self.slopes, self.users = name, 1.0, inputs, (1.0,) * len(inputs), 0
        for x in inputs:
            x.users += 1

    def __repr__(self) -> str:
        return self.name


@exercise("L12-ex5", count_users)
def _check_count_users(answer: Any, rng: np.random.Generator) -> None:
    w, x = _Node("w"), _Node("x")
    a = _Node("a", w, x)
    loss = _Node("loss", a, a)
    side = _Node("side", a, w, w)
    _compare_counts(answer(loss), {loss: 0, a: 2, w: 1, x: 1}, "a = w·x, loss = a·a", side)
    _compare_counts(answer(side), {side: 0, a: 1, w: 3, x: 1}, "a = w·x, side = a·w·w", loss)
    p = _Node("p", a, x)
    q = _Node("q", a, p)
    diamond = _Node("out", q, p)
    _compare_counts(
        answer(diamond), {diamond: 0, q: 1, p: 2, a: 2, w: 1, x: 2}, "a = w·x, p = a·x, q = a·p, out = q·p", loss
    )
    chain = _Node("start")
    for i in range(10_000):
        chain = _Node(f"link {i}", chain)
    try:
        counts = answer(chain)
    except RecursionError:
        expect(False, "RecursionError on a chain of 10,000 nodes: keep a list of nodes still to visit instead")
    expect(len(counts) == 10_001, f"a chain of 10,001 nodes gave {len(counts)} entries")


def _compare_counts(found: Any, wanted: dict[Any, int], graph: str, elsewhere: Any) -> None:
    expect(isinstance(found, dict), f"count_users gave {type(found).__name__}, a dict from node to number is expected")
    expect(elsewhere not in found, f"{graph}: {elsewhere!r} doesn't lead to the output, but it was counted")
    missing = [node for node in wanted if node not in found]
    expect(not missing, f"{graph}: {missing} is not among the keys; every node on the way counts, the output (0) too")
    for node, count in wanted.items():
        if found[node] != count:
            hint = "a node that is visited twice counts its inputs twice" if found[node] > count else "a·a uses a twice"
            if not count:
                hint = "it is the end of the way: nobody there uses it (count the users of a node, not its inputs)"
            if found[node] == node.users:
                hint = f"{elsewhere!r} is a side branch: it never sends a gradient, so nobody may wait for it"
            expect(False, f"{graph}: {node!r} is counted {found[node]} times, expected {count}; {hint}")


def linear(x: Floats, w: Floats) -> tuple[Floats, Callable[[Floats], tuple[Floats, Floats]]]:
    x, w = x.copy(), w.copy()
    return x @ w, lambda g: (g @ w.T, x.T @ g)


@exercise("L12-ex6", linear)
def _check_linear(answer: Any, rng: np.random.Generator) -> None:
    x, w, g = rng.standard_normal((3, 4)), rng.standard_normal((4, 2)), rng.standard_normal((3, 2))
    y, backward = _two(answer(x, w), "(y, backward)")
    expect_close(y, x @ w, "y")
    wanted = g @ w.T, x.T @ g
    for name, found, right in zip("xw", _two(backward(g), "(∂L/∂x, ∂L/∂w)"), wanted, strict=True):
        expect_close(found, right, f"the gradient of {name}, when nothing was changed,")
    for changed, other in ((w, "x"), (x, "w")):
        before = changed.copy()
        changed += rng.standard_normal(changed.shape)
        name = "w" if changed is w else "x"
        for found, right in zip(_two(backward(g), "(∂L/∂x, ∂L/∂w)"), wanted, strict=True):
            expect(
                np.shape(found) == right.shape and np.allclose(found, right),
                f"{name} was changed in place after forward, and the gradient of {other} with it: it is that of "
                f"a y that was never computed. Keep a copy of {name}, made in forward (a view, or np.asarray, is none)",
            )
        changed[...] = before


def max_gradient(g: Floats, x: Floats) -> Floats:
    is_max = x == x.max(axis=-1, keepdims=True)
    share: Floats = g[:, None] * is_max / is_max.sum(axis=-1, keepdims=True)
    return share


@exercise("L12-ex7", max_gradient)
def _check_max(answer: Any, rng: np.random.Generator) -> None:
    x, g = rng.standard_normal((4, 5)), rng.uniform(1, 2, 4)
    for ties in (1, 2, 3):
        x[0, :ties] = x.max() + 1
        found = answer(g, x)
        expect(not isinstance(found, Tensor), "the gradient is a Tensor, a NumPy array is asked for")
        found = _array(found, "the gradient")
        expect(found.shape == x.shape, f"the gradient has shape {found.shape}, x has {x.shape}")
        expect(found[0, 0] != 0, "the largest number of a row got no gradient: who moves the maximum?")
        total = found[0].sum() / g[0]
        expect(
            ties > 1 or np.isclose(total, 1),
            f"the gradient of a row without ties adds up to {total:.3g} times its g: all of g goes to the largest",
        )
        expect(
            np.isclose(total, 1),
            f"with {ties} tied for the largest of a row, its gradient adds up to {total:.3g} times g; it is 1 times, "
            "since all of the tied rise by dt when the maximum does. Divide by the number of ties in that row",
        )
        expect(
            np.allclose(found[0, :ties], g[0] / ties),
            f"{ties} tie, and get {np.round(found[0, :ties] / g[0], 3)} of g: equal shares are asked for",
        )
        expect_close(found, max_gradient(g, x), "the gradient")
    x = rng.standard_normal((4, 5))
    gradcheck_arrays(lambda x: x.max(axis=-1), lambda x: answer(np.ones(4), x), [x])


# ------------------------------------------------ the wrong second derivative


def normalise_gradient(grad: Tensor, x: Tensor, eps: float) -> Tensor:
    centred = x - x.mean(axis=0)
    sigma = ops.sqrt((centred * centred).mean(axis=0) + eps)
    y = centred / sigma
    return (grad - grad.mean(axis=0) - y * (grad * y).mean(axis=0)) / sigma


@exercise("L12-ex8", normalise_gradient)
def _check_normalise(answer: Any, rng: np.random.Generator) -> None:
    class Normalise(Op):
        def forward(self, x: Floats) -> Any:
            return (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + 0.1)

        def backward(self, grad: Tensor) -> Any:
            return _expect_tensor(answer(grad, self.inputs[0], 0.1), "∂L/∂x")

    x = Tensor(rng.standard_normal((4, 2)))
    try:
        gradcheck(lambda x: Normalise()(x), [x], order=1)
    except GradientError as error:
        expect(False, f"the gradient itself is wrong; it is (g − mean(g) − y · mean(g · y)) / σ. {error}")
    try:
        gradcheck(lambda x: Normalise()(x), [x], order=2)
    except GradientError as error:
        expect(
            False,
            "the gradient is right, but the gradient of the gradient isn't: μ, σ or y enters as a constant (numpy(), "
            f"detach, Tensor(array)), though it depends on x. Compute all of them from x, in Tensors. {error}",
        )


# ------------------------------------------------ right numbers, and still wrong


def adam_step(theta: Floats, m_hat: Floats, v_hat: Floats, lr: float, eps: float) -> Floats:
    return theta - lr * m_hat / (np.sqrt(v_hat) + eps)


@exercise("L12-ex9", adam_step)
def _check_adam(answer: Any, rng: np.random.Generator) -> None:
    theta, m = rng.standard_normal((2, 5))
    with np.errstate(all="ignore"):
        idle = _array(answer(theta.copy(), np.zeros(5), np.zeros(5), 0.1, 1e-8), "the new θ")
    expect(idle.shape == theta.shape, f"the new θ has shape {idle.shape}, θ has {theta.shape}")
    expect(
        np.isfinite(idle).all(),
        f"a parameter whose gradient was always 0 becomes {idle[0]}: 0/√0, before eps was added. Parentheses?",
    )
    expect_close(idle, theta, "a parameter whose gradient was always 0, after the step,", rtol=1e-12, atol=0)
    v = rng.uniform(0.5, 2, 5)
    for eps in (0.5, 1e-8):  # a large one shows where it stands
        change = np.asarray(answer(theta.copy(), m, v, 0.1, eps)) - theta
        inside = np.allclose(change, -0.1 * m / np.sqrt(v + eps))
        expect(eps < 0.5 or not inside, "eps stands inside the root; the paper has √v̂ + eps")
        expect_close(change, -0.1 * m / (np.sqrt(v) + eps), f"θ after the step − θ, with eps = {eps},", rtol=1e-11)


def leaky_relu_gradient(g: Floats, x: Floats, slope: float) -> Floats:
    return np.where(x > 0, g, slope * g)


@exercise("L12-ex10", leaky_relu_gradient)
def _check_leaky_relu(answer: Any, rng: np.random.Generator) -> None:
    for dtype in (np.float64, np.float32):
        x, g = rng.standard_normal((2, 4, 3)).astype(dtype)
        x[0, 0] = 0.0
        right = g * np.where(x > 0, 1.0, 0.2)
        given = g.copy(), x.copy()
        found = _array(answer(*given, 0.2), "the gradient")
        same = all(np.array_equal(a, b) for a, b in zip(given, (g, x), strict=True))
        expect(same, "g or x was changed in place, but others read them too: write into a new array")
        hint = (
            "; np.where(…, 1.0, slope) makes float64 of any input" if dtype == np.float32 else ", its digits are lost"
        )
        expect(found.dtype == dtype, f"g and x are {np.dtype(dtype)}, the gradient is {found.dtype}{hint}")
        only_there = found.shape == x.shape and np.allclose(found[x != 0], right[x != 0])
        expect(not only_there or np.allclose(found, right), "at exactly x = 0 the slope is `slope`, not 1")
        expect_close(found, right, "the gradient")


# ------------------------------------------------


def _sigmoid(x: Floats) -> Any:
    return np.exp(-np.logaddexp(0, -x))


def _array(value: Any, what: str = "the answer") -> Any:
    expect(value is not None, f"{what} is None: is a return missing?")
    return value.numpy() if isinstance(value, Tensor) else np.asarray(value)


def _expect_tensor(value: Any, what: str) -> Tensor:
    expect(
        isinstance(value, Tensor), f"{what} is {type(value).__name__}, expected a Tensor, as gradients flow through it"
    )
    return value  # type: ignore[no-any-return]


def _two(values: Any, what: str) -> Any:
    expect(
        isinstance(values, tuple | list) and len(values) == 2,
        f"a {type(values).__name__} came back; a pair, {what}, is expected",
    )
    return values
