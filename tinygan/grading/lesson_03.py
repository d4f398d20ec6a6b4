"""Lesson 3, "A tape": the engine that its reader builds, and the checks of what is left to the reader.

The engine is printed in lessons 3 to 5 as a learner would write it, so it goes without annotations.
"""

# mypy: allow-untyped-defs, allow-untyped-calls

from collections.abc import Callable
from typing import Any

import numpy as np

from ..gradcheck import gradcheck_arrays
from .exercise import WrongAnswer, exercise, expect, expect_close

OPERATORS: dict[str, Callable[..., Any]] = {}  # what +, * and their kin call, by name


class Tensor:
    """An array that remembers which operation made it."""

    __array_ufunc__ = None  # so that array * tensor is left to Tensor.__rmul__

    def __init__(self, data, requires_grad=False):
        data = np.asarray(data)
        self.data = data if data.dtype.kind == "f" else data.astype(float)
        self.requires_grad = requires_grad  # is its gradient wanted?
        self.grad = None  # ∂L/∂self, once a backward pass has put it here
        self.op = None  # the Op that made this Tensor; None for a leaf

    def backward(self):
        backward(self)

    # fmt: off
    def __add__(self, other): return OPERATORS["add"](self, other)
    def __mul__(self, other): return OPERATORS["mul"](self, other)
    def __truediv__(self, other): return OPERATORS["div"](self, other)
    def __rtruediv__(self, other): return OPERATORS["div"](other, self)
    def __neg__(self): return self * -1.0
    def __sub__(self, other): return self + -other
    def __rsub__(self, other): return -self + other
    __radd__, __rmul__ = __add__, __mul__

    # lesson 4 enters these three
    def __matmul__(self, other): return OPERATORS["matmul"](self, other)
    def sum(self, axis=None, keepdims=False): return OPERATORS["sum"](self, axis, keepdims)
    def mean(self, axis=None, keepdims=False): return OPERATORS["mean"](self, axis, keepdims)
    # fmt: on


class Op:
    """One operation. A subclass says what it computes, and its derivative."""

    def forward(self, *arrays):
        """Gives the result, an array."""
        raise NotImplementedError

    def backward(self, grad):
        """Gives a tuple: ∂L/∂input for each input, where grad = ∂L/∂output."""
        raise NotImplementedError

    def __call__(self, *operands):
        dtype = next(x.data.dtype for x in operands if isinstance(x, Tensor))
        self.inputs = tuple(x if isinstance(x, Tensor) else Tensor(np.asarray(x, dtype)) for x in operands)
        output = Tensor(self.forward(*[x.data for x in self.inputs]))
        if any(x.requires_grad for x in self.inputs):
            output.requires_grad = True
            output.op, self.output = self, output
        return output


class Add(Op):
    """y = a + b.   ∂L/∂a = ∂L/∂y, ∂L/∂b = ∂L/∂y."""

    def forward(self, a, b):
        return a + b

    def backward(self, grad):
        return grad, grad


class Mul(Op):
    """y = a · b.   ∂L/∂a = ∂L/∂y · b, ∂L/∂b = ∂L/∂y · a."""

    def forward(self, a, b):
        return a * b

    def backward(self, grad):
        a, b = self.inputs
        return grad * b.data, grad * a.data


class Tanh(Op):
    """y = tanh x.   ∂L/∂x = ∂L/∂y · (1 − y²)."""

    def forward(self, x):
        return np.tanh(x)

    def backward(self, grad):
        y = self.output.data
        return (grad * (1 - y * y),)


class Softplus(Op):
    """y = log(1 + eˣ).   ∂L/∂x = ∂L/∂y · σ(x)."""

    def forward(self, x):
        return np.logaddexp(np.zeros_like(x), x)

    def backward(self, grad):
        (x,) = self.inputs
        return (grad * (1 + np.tanh(x.data / 2)) / 2,)  # σ(x) = (1 + tanh(x/2)) / 2, which can't overflow


def div_backward(grad, a, b):
    """∂L/∂a and ∂L/∂b of y = a / b, where grad = ∂L/∂y."""
    return grad / b, -grad * a / b**2


class Div(Op):
    """y = a / b.   ∂L/∂a = ∂L/∂y / b, ∂L/∂b = −∂L/∂y · a / b²."""

    def forward(self, a, b):
        return a / b

    def backward(self, grad):
        a, b = self.inputs
        return div_backward(grad, a.data, b.data)


def tanh(x):
    return Tanh()(x)


def softplus(x):
    return Softplus()(x)


OPERATORS.update(
    add=lambda a, b: Add()(a, b),
    mul=lambda a, b: Mul()(a, b),
    div=lambda a, b: Div()(a, b),
)


def count_users(output):
    """How often each Tensor that leads to `output` is used as an input on the way there."""
    users, stack = {output: 0}, [output]
    while stack:
        tensor = stack.pop()
        for x in tensor.op.inputs if tensor.op is not None else ():
            if x.requires_grad:
                if x not in users:  # seen for the first time
                    users[x] = 0
                    stack.append(x)
                users[x] += 1
    return users


def backward(output):
    """Add the gradient of output's sum to `.grad` of every leaf that requires gradients."""
    users = count_users(output)
    gradients = {output: np.ones_like(output.data)}
    ready = [output]
    while ready:
        tensor = ready.pop()
        gradient = gradients.pop(tensor)
        if tensor.op is None:
            tensor.grad = gradient if tensor.grad is None else tensor.grad + gradient
            continue
        for x, part in zip(tensor.op.inputs, tensor.op.backward(gradient), strict=True):
            if x.requires_grad:
                gradients[x] = gradients[x] + part if x in gradients else part
                users[x] -= 1
                if users[x] == 0:
                    ready.append(x)


@exercise("L03-ex1", div_backward)
def _check_div_backward(answer: Any, rng: Any) -> None:
    grad, a, b = rng.standard_normal(3), rng.standard_normal(3), rng.uniform(0.5, 2, 3)
    given = grad.copy(), a.copy(), b.copy()
    found = answer(*given)
    expect(
        all(np.array_equal(x, y) for x, y in zip(given, (grad, a, b), strict=True)),
        "div_backward changed an array that it was given, and others still need it: write grad / b, not grad /= b",
    )
    expect(
        isinstance(found, tuple | list) and len(found) == 2,
        f"div_backward gave {found!r}; two gradients are expected: return one for a, one for b",
    )
    ones = np.ones(3)
    if np.allclose(found, answer(ones, a, b)) and np.allclose(found, div_backward(ones, a, b)):
        expect(False, "these are ∂y/∂a and ∂y/∂b. By the chain rule ∂L/∂a = ∂L/∂y · ∂y/∂a: multiply both by grad")
    wanted = div_backward(grad, a, b)
    if np.allclose(found[0], wanted[1]) and np.allclose(found[1], wanted[0]):
        expect(False, "the two gradients are right, but swapped: that of a comes first")
    expect_close(found[0], wanted[0], "∂L/∂a")
    if np.allclose(found[1], -grad * a / b):
        expect(False, "∂L/∂b: the derivative of 1/b is −1/b²: a square is missing below the line")
    expect_close(found[1], wanted[1], "∂L/∂b")
    gradcheck_arrays(lambda a, b: a / b, lambda a, b: answer(np.ones_like(a), a, b), [a, b])


class _Counted(Add):
    """a + b, which counts how often it was asked for its derivative."""

    calls = 0

    def backward(self, grad):
        type(self).calls += 1
        return grad, grad


def _gradients(answer, f, *arrays):
    """f's Tensor, and what answer() leaves in `.grad` of leaves made of `arrays`."""
    leaves = [Tensor(a, requires_grad=True) for a in arrays]
    output = f(*leaves)
    answer(output)
    for name, leaf in zip("abcd", leaves, strict=False):
        expect(
            leaf.grad is not None,
            f"after backward(output) the .grad of leaf {name} is still None: when a leaf (its op is None) has "
            "its whole gradient, put it into leaf.grad",
        )
    return output, [leaf.grad for leaf in leaves]


@exercise("L03-ex2", backward)
def _check_backward(answer: Any, rng: Any) -> None:
    a, b = rng.uniform(0.5, 1.5, (2, 3))
    _check_one_path(answer, a, b)
    _check_fan_out(answer)
    _check_order(answer, a)
    _check_second_call(answer, a)
    _check_arrays_are_left_alone(answer, a, b)
    _check_long_chain(answer)

    def f(a, b):
        c = a * b + tanh(a)
        return softplus(c / b) * c - 2.0 * a

    def gradient(a, b):
        return _gradients(answer, f, a, b)[1]

    gradcheck_arrays(lambda a, b: f(Tensor(a), Tensor(b)).data, gradient, [a, b])


def _check_one_path(answer: Any, a: Any, b: Any) -> None:
    """No Tensor is used twice; one is a constant; and an output that is itself a leaf."""
    _, (found, other) = _gradients(answer, lambda a, b: a * b, a, b)
    expect_close(found, b, "with y = a * b, the gradient of a")
    expect_close(other, a, "with y = a * b, the gradient of b")
    constant = Tensor(b)
    try:
        _gradients(answer, lambda a: a * constant, a)
    except KeyError:
        raise WrongAnswer(
            "with y = a * b, where b is a constant, backward stopped with a KeyError: count_users leaves constants "
            "out, so send messages only to inputs that have requires_grad"
        ) from None
    expect(constant.grad is None, "a Tensor made without requires_grad=True was given a .grad; leave those out")
    _, (alone,) = _gradients(answer, lambda a: a, a)
    expect_close(alone, np.ones(3), "with y = a, nothing computed at all, the gradient of a")


def _check_fan_out(answer: Any) -> None:
    """b = a + a; c = b + b: each of the usual mistakes gives a number of its own."""
    _, (found,) = _gradients(answer, lambda a: a + a, 3.0)
    expect(
        not np.allclose(found, 1),
        "with b = a + a, the gradient of a is 1, and should be 2: the second message replaced the first. "
        "Where two messages meet, add them (a + where an = stands?)",
    )

    def diamond(a):
        b = a + a
        return b + b

    _, (found,) = _gradients(answer, diamond, 3.0)
    for wrong, why in (
        (6.0, "b passed on its first message at once, and then the sum of both: 2·1 + 2·2"),
        (2.0, "b passed on its first message and was then closed: the second one never reached a"),
    ):
        expect(
            not np.allclose(found, wrong),
            f"with b = a + a; c = b + b, the gradient of a is {wrong:g}, and should be 4: {why}. "
            "Wait until all users of b have reported: that is what count_users is for",
        )
    expect(
        np.allclose(found, 4),
        f"with b = a + a; c = b + b, the gradient of a is {found}, and should be 4. Does each Tensor become ready "
        "once, when its users[x] has come down to 0, and send its messages only then?",
    )


def _check_order(answer: Any, a: Any) -> None:
    """Paths of different length, in both orders of the operands; users that don't lead to the output; many paths."""
    for name, f in (
        ("y = b + tanh(b)", lambda b: b + tanh(b)),
        ("y = tanh(b) + b", lambda b: tanh(b) + b),
        ("y = b + tanh(tanh(b) * b)", lambda b: b + tanh(tanh(b) * b)),
        ("y = tanh(tanh(b) * b) + b", lambda b: tanh(tanh(b) * b) + b),
    ):
        _, (found,) = _gradients(answer, lambda a, f=f: f(a * a), a)
        leaf = Tensor(a, requires_grad=True)
        backward(f(leaf * leaf))
        expect_close(
            found,
            leaf.grad,
            f"with b = a * a; {name}, b hears from a near user and from a far one, and has to wait for both. "
            "The gradient of a",
        )

    def with_side_branch(a):
        b = a * a
        tanh(b)  # nobody uses this
        return b * 3.0

    _, (found,) = _gradients(answer, with_side_branch, a)
    expect_close(
        found, 6 * a, "with a result that doesn't lead to the output (it will never report), the gradient of a"
    )

    def ladder(a):
        for _ in range(12):
            a = _Counted()(a, a)
        return a

    _Counted.calls = 0
    _, (found,) = _gradients(answer, ladder, 1.0)
    expect_close(found, 2.0**12, "after doubling 12 times, the gradient of a")
    expect(
        _Counted.calls == 12,
        f"12 operations, but an op's backward() was called {_Counted.calls} times: that is once for every path, and "
        "paths double at each fork. Visit each Tensor once, when it has its whole gradient",
    )


def _check_arrays_are_left_alone(answer: Any, a: Any, b: Any) -> None:
    """Ops such as + hand one and the same array to both sides: adding in place would change both."""
    output, (found, other) = _gradients(answer, lambda a, b: (a + b) + a, a, b)
    advice = ". Add hands the same array to both of its inputs, so += on it changes both: write g = g + part"
    if not np.allclose(other, 1) or not np.allclose(found, 2):
        expect(
            False,
            f"with y = (a + b) + a, the gradients of a and b are {found[0]:g} and {other[0]:g}, not 2 and 1{advice}",
        )
    expect_close(output.data, a + b + a, "after backward(), the value of the output")
    x: Any = Tensor(a, requires_grad=True)
    y: Any = Tensor(b, requires_grad=True)
    for _ in range(2):
        answer(x + y)
    if not np.allclose(x.grad, 2) or not np.allclose(y.grad, 2):
        expect(False, f"after backward(a + b) twice, .grad is {x.grad[0]:g} and {y.grad[0]:g}, not 2 and 2{advice}")


def _check_second_call(answer: Any, a: Any) -> None:
    """A second pass adds what the first one added; nothing else is left over from it."""

    def f(a):
        b = a * a
        return b * b

    output, (first,) = _gradients(answer, f, a)
    first = np.array(first)
    leaf = output.op.inputs[0].op.inputs[0]
    answer(output)
    second = np.array(leaf.grad) - first
    expect(
        not np.allclose(second, 0),
        "a second backward(output) left the leaf's gradient as it was: it should be added to what is there. (Whoever "
        "wants a fresh start sets leaf.grad = None)",
    )
    expect(
        np.allclose(second, first),
        f"a second backward(output) should add the same gradient again, but added {second[0] / first[0]:.3g} times as "
        "much: something was left over from the first call. Tensors in between must start from nothing in each call: "
        "keep their sums in a dict of this call, not in .grad",
    )
    b = leaf * leaf
    leaf.grad = None
    answer(b * 3.0)
    answer(b * 5.0)
    expect_close(leaf.grad, 16 * a, "after b = a * a, (b * 3).backward() and (b * 5).backward(), the gradient of a")


def _check_long_chain(answer: Any) -> None:
    def chain(a):
        for _ in range(10_000):
            a = a * 1.0001
        return a

    try:
        _, (found,) = _gradients(answer, chain, 1.0)
    except RecursionError:
        found = None
    expect(
        found is not None,
        "RecursionError in a chain of 10,000 operations: a function that calls itself once for each operation is too "
        "deep for Python. Keep a list of Tensors that are ready, and loop until it is empty",
    )
    expect_close(found, 1.0001**10_000, "after 10,000 multiplications by 1.0001, the gradient of a")
