"""What an exercise is: names to define, a check that answers with a sentence, and a reference answer."""

import importlib.util
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..autograd import Tensor
from ..errors import GradientError, SettingError
from ..gradcheck import guess


class WrongAnswer(AssertionError):
    """An answer is not right; the message says what was seen, what was expected, and where to look."""


@dataclass(frozen=True)
class Exercise:
    """name: such as "L03-ex1".   references: answers that pass, by the names that a learner defines.

    checker: takes the learner's answers in that order, and a generator to draw examples from; raises WrongAnswer.
    """

    name: str
    references: dict[str, Any]
    checker: Callable[..., None]


EXERCISES: dict[str, Exercise] = {}
_passed: dict[str, tuple[Any, ...]] = {}  # the answers that passed last, by exercise


def exercise(name: str, *references: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Enter the decorated checker as that of exercise `name`, whose right answers are `references`."""

    def enter(checker: Callable[..., None]) -> Callable[..., None]:
        EXERCISES[name] = Exercise(name, {r.__name__: r for r in references}, checker)
        return checker

    return enter


def find_exercise(name: str) -> Exercise:
    """The exercise called `name`, from its lesson's module unless entered already. SettingError if there is none."""
    module = f"{__package__}.lesson_{name[1:3]}"
    if name not in EXERCISES and name[1:3].isdigit() and importlib.util.find_spec(module):
        importlib.import_module(module)
    if name not in EXERCISES:
        raise SettingError(f"there is no exercise {name!r}; names are like 'L03-ex1'")
    return EXERCISES[name]


def check(name: str, *answers: Any, hidden: bool = False) -> None:
    """Raise WrongAnswer unless `answers` solve the exercise. Hidden checks draw other examples than public ones."""
    found = find_exercise(name)
    rng = np.random.default_rng([zlib.crc32(name.encode()), hidden])
    _passed.pop(name, None)
    expect(
        not any(a is b for a, b in zip(answers, found.references.values(), strict=False)),
        f"{name}: this is the lesson's own answer, which go_on put there. Run your answer cell again, then this one",
    )
    try:
        found.checker(*answers, rng)
    except (WrongAnswer, NotImplementedError):
        raise
    except GradientError as error:
        raise WrongAnswer(str(error)) from None
    except Exception as error:
        wanted = ", ".join(found.references)
        raise WrongAnswer(f"{wanted} stopped with {type(error).__name__}: {error}") from error
    _passed[name] = answers
    if not hidden:
        print(f"{name}: right.")


def go_on(name: str, namespace: dict[str, Any]) -> None:
    """Put the reference answers of an exercise into a notebook's namespace, unless its own have passed the check."""
    references = find_exercise(name).references
    own = tuple(namespace.get(answer) for answer in references)
    passed = _passed.get(name, ())
    if len(passed) == len(own) and all(a is b for a, b in zip(passed, own, strict=True)):
        return
    namespace.update(references)
    print(f"{name} is not solved yet: the lesson goes on with the reference answer of {', '.join(references)}.")


def expect(condition: Any, message: str) -> None:
    """Raise WrongAnswer with `message` unless the condition holds."""
    if not condition:
        raise WrongAnswer(message)


def expect_close(found: Any, wanted: Any, what: str, rtol: float = 1e-6, atol: float = 1e-9) -> None:
    """Raise WrongAnswer, with both numbers and a guess at the mistake, unless `found` is `wanted`: value and shape."""
    expect(found is not None, f"{what} is None: is a return missing?")
    try:
        found = np.asarray(found.numpy() if isinstance(found, Tensor) else found, np.float64)
    except (TypeError, ValueError):
        raise WrongAnswer(f"{what} is {found!r}, a number or an array of numbers was expected") from None
    wanted = np.asarray(wanted, np.float64)
    expect(
        found.shape == wanted.shape,
        f"{what} has shape {found.shape}, expected {wanted.shape}. {guess(found, wanted, rtol)}",
    )
    error = np.abs(found - wanted) / (atol + rtol * np.maximum(np.abs(wanted), np.abs(wanted).max(initial=0.0)))
    if found.size and not error.max() <= 1:
        worst = np.unravel_index(np.argmax(np.nan_to_num(error, nan=np.inf)), wanted.shape)
        place = f" at index {tuple(map(int, worst))}" if wanted.ndim else ""
        raise WrongAnswer(
            f"{what} is {found[worst]:.6g}{place}, expected {wanted[worst]:.6g}. {guess(found, wanted, rtol)}"
        )
