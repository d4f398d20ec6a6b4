"""Lesson 2, which way is down: gradients by central differences, and the place where a gradient differs from them."""

from collections.abc import Callable
from typing import Any

import numpy as np

from .exercise import WrongAnswer, exercise, expect, expect_close

Function = Callable[[Any], Any]


def numeric_gradient(f: Any, x: Any, h: float = 1e-5) -> Any:
    x = np.array(x, dtype=np.float64)
    gradient = np.empty_like(x)
    for index in np.ndindex(x.shape):
        middle = x[index]
        x[index] = middle + h
        right = f(x)
        x[index] = middle - h
        left = f(x)
        x[index] = middle
        gradient[index] = (right - left) / (2 * h)
    return gradient


def wrong_place(a: Any, n: Any, rtol: float = 1e-6, atol: float = 1e-8) -> Any:
    if a.shape != n.shape:
        raise ValueError(f"the gradient has shape {a.shape}, its input {n.shape}")
    error = np.abs(a - n)
    if np.all(error <= atol + rtol * np.max(np.abs(n))):
        return None
    return tuple(int(i) for i in np.unravel_index(np.argmax(error), error.shape))


def _only_float64(f: Function, shape: tuple[int, ...] | None = None) -> Function:
    """f, but strict about what it is called with."""

    def strict(x: Any) -> Any:
        dtype = getattr(x, "dtype", None)
        if dtype != np.float64:
            raise WrongAnswer(
                f"f was called with {dtype or type(x).__name__}: x + h loses its digits there (float32 keeps 7 of "
                "them, a whole number none). Copy x as float64 first"
            )
        if shape is not None and np.shape(x) != shape:
            raise WrongAnswer(
                f"f was called with an array of shape {np.shape(x)}, expected {shape}: f takes the whole array, "
                "in which one entry has been moved"
            )
        return f(x)

    return strict


def _rough(x: Any) -> Any:
    """A function whose slopes show by which step they were measured, and in which each entry acts on all slopes."""
    return np.sum(x**3) + np.sum(x) ** 2


def _mistakes(x: Any, h: float) -> dict[str, Any]:
    """What to say -> the slopes of _rough at x that this mistake gives; they differ clearly if h is large."""

    def moved(step: float) -> Any:
        steps = step * np.eye(x.size).reshape(x.size, *x.shape)
        return np.array([_rough(x + s) for s in steps]).reshape(x.shape)

    right, left, middle = moved(h), moved(-h), _rough(x)
    rows = [h * (np.arange(len(x)) == i)[:, None] for i in range(len(x))]  # each moves a whole row
    first = np.zeros_like(x)
    first.flat[0] = ((right - left) / (2 * h)).flat[0]
    return {
        "That is the forward difference; the central one takes f(x − h), not f(x), and 2h": (right - middle) / h,
        "That is the backward difference; the central one goes to both sides": (middle - left) / h,
        "That is twice as much: x + h and x − h are 2h apart, not h": (right - left) / h,
        "That is half as much: divide by 2h once": (right - left) / (4 * h),
        "That is minus as much: right minus left, not left minus right": (left - right) / (2 * h),
        "That is h² times as much: in (…) / 2 * h Python divides by 2 and then multiplies by h; write / (2 * h)": (
            (right - left) / 2 * h
        ),
        "Whole rows were moved: x[i] is a row if x has two axes. Go through np.ndindex(x.shape)": np.array(
            [np.full(x.shape[1], _rough(x + row) - _rough(x - row)) / (2 * h) for row in rows]
        ),
        "Only the first entry was measured: is the return inside of the loop?": first,
        "That was measured with steps of h/2": (moved(h / 2) - moved(-h / 2)) / h,
        "That was measured with another step than the h it was given": numeric_gradient(_rough, x),
    }


def _expect_gradient(found: Any, wanted: Any, what: str, mistakes: dict[str, Any]) -> None:
    expect(found is not None, f"{what} is None: is the return missing?")
    found = np.asarray(found)
    expect(
        found.shape == wanted.shape,
        f"{what} has shape {found.shape}, but x has {wanted.shape}, and a gradient has the shape of its input: move "
        "one entry at a time, and put its slope at the same index",
    )
    expect(found.dtype == np.float64, f"{what} is {found.dtype}, expected float64")
    for sentence, values in mistakes.items():
        expect(not np.allclose(found, values, rtol=1e-9, atol=0), f"{what} is wrong. {sentence}.")
    right = np.isclose(found, wanted, rtol=1e-6).ravel()
    expect(
        right.all() or len(right) == 1 or not right[0] or right[1:].any(),
        f"{what} is right at the first entry and at no other. Is each entry put back before the next one is moved?",
    )
    expect_close(found, wanted, what)


@exercise("L02-ex1", numeric_gradient)
def _check_numeric_gradient(answer: Any, rng: np.random.Generator) -> None:
    x = rng.uniform(0.5, 2, (4, 5))
    f = _only_float64(_rough, x.shape)
    before = x.copy()
    answer(f, x)
    expect(
        np.array_equal(x, before),
        f"x was changed: it came back off by up to {np.abs(x - before).max():.1e}. Work on a copy, "
        "and put the saved value back: + h, − 2h, + h doesn't, as each step rounds",
    )
    x = x[:2, :3].copy()
    f = _only_float64(_rough, x.shape)
    wanted = numeric_gradient(_rough, x, h=0.25)
    _expect_gradient(answer(f, x, h=0.25), wanted, "your gradient of a cubic function at h = 0.25", _mistakes(x, 0.25))

    def wave(x: Any) -> Any:
        return np.sin(np.sum(x * np.cos(x)))

    def wave_gradient(x: Any) -> Any:
        return np.cos(np.sum(x * np.cos(x))) * (np.cos(x) - x * np.sin(x))

    f = _only_float64(wave)
    for what, x in {
        "of shape ()": np.array(rng.uniform(0.5, 2)),
        "of float64 numbers": rng.uniform(0.5, 2, (3, 2)),
        "of float32 numbers": rng.uniform(0.5, 2, 4).astype(np.float32),
        "of integers": np.array([1, 2, -3]),
        "that is transposed in memory (there x.reshape(-1) and x.ravel() are copies)": rng.uniform(0.5, 2, (2, 3)).T,
    }.items():
        before = x.copy()
        found = answer(f, x)
        expect(np.array_equal(x, before), f"x was changed: an array {what}. Work on a copy")
        _expect_gradient(found, wave_gradient(x.astype(np.float64)), f"your gradient, for an array {what},", {})


@exercise("L02-ex2", wrong_place)
def _check_wrong_place(answer: Any, rng: np.random.Generator) -> None:
    n = rng.uniform(0.5, 2, (3, 4)) * rng.choice([-1, 1], (3, 4))
    n[0, 0] = 0
    index = (int(rng.integers(1, 3)), int(rng.integers(1, 4)))

    def but(place: tuple[int, ...], by: float, n: Any = n) -> Any:
        a = n.copy()
        a[place] += by
        return a

    def call(*arguments: Any) -> Any:
        found = answer(*arguments)
        return tuple(int(i) for i in found) if isinstance(found, tuple) else found

    def expect_right(a: Any, n: Any, hint: str) -> None:
        found = call(a, n)
        expect(found is None, f"a right gradient is called wrong at {found!r}, expected None: {hint}")

    def expect_wrong(a: Any, n: Any, place: tuple[int, ...], hint: str) -> None:
        found = call(a, n)
        expect(found is not None, f"a wrong gradient passes, expected {place}: {hint}")
        expect(
            isinstance(found, tuple) and len(found) == len(place),
            f"the place is {found!r}, expected a tuple of {len(place)} whole numbers such as {place}: unravel_index?",
        )
        expect(found == place, f"the place is {found}, expected {place}: {hint}")

    with np.errstate(all="ignore"):
        expect_right(n.copy(), n, "it is equal to the measured one")
        expect_right(n * (1 + 1e-9), n, "it differs by rounding only")
        expect_wrong(but(index, 0.1), n, index, "one entry is too large by 0.1")
        expect_wrong(but(index, -0.1), n, index, "one entry is too small by 0.1. Is the absolute value taken?")
        expect_wrong(but((0, 1), 0.01, but(index, -0.3)), n, index, "of two wrong entries, the worse one counts")
        expect_wrong(but(index, np.nan), n, index, "one entry is nan, and every comparison with nan is False")
        expect_right(but((0, 0), 5e-7), n, "5e-7 of difference where the largest slope is above 0.5 is rounding")
        m = -np.abs(n)
        expect_right(but((0, 0), 5e-7, m), m, "the largest slope is the one with the largest absolute value")
        expect_right(1e6 * n * (1 + 1e-8), 1e6 * n, "with slopes of a million, differences of 0.01 are rounding")
        expect_wrong(1e-4 * but(index, 0.01), 1e-4 * n, index, "small slopes of 1e-4, one off by 1 %")
        many = rng.uniform(0.5, 2, 5000)
        expect_wrong(but((4321,), 1e-3, many), many, (4321,), "one of 5,000 is off by 0.001. A mean hides that")
        expect_right(np.zeros(3), np.zeros(3), "all slopes are 0, and so are the measured ones")
        expect_wrong(np.array(1.0), np.array(2.0), (), "shape (), where the only index is ()")
        coarse = answer(but(index, 1e-4), n, rtol=0.1)
        expect(coarse is None, f"with rtol=0.1 a difference of 1e-4 passes; is the argument used? Got {coarse!r}")
        for shape in ((4, 1), (1,), (2, 2)):
            _expect_refusal(answer, np.ones(shape), np.ones(4))


def _expect_refusal(answer: Any, a: Any, n: Any) -> None:
    try:
        found = answer(a, n)
    except ValueError:
        return
    raise WrongAnswer(
        f"a gradient of shape {a.shape} for an input of shape {n.shape} gave {found!r}, expected a ValueError: "
        "NumPy stretches shapes that differ (broadcasting), so compare a.shape with n.shape first"
    )
