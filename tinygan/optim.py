"""Optimisers by hand: how a gradient becomes a step. They change parameters in place, which ages recorded graphs."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from . import backend
from .autograd import Tensor
from .backend import Array
from .errors import SettingError, ShapeError
from .kernels import kernels_for


class Optimizer:
    """Holds parameters, a learning rate, and for each parameter the arrays named in `slots`, which start at 0."""

    slots: tuple[str, ...] = ()

    def __init__(self, params: Iterable[Tensor], lr: float):
        self.params = list(params)
        if not self.params:
            raise SettingError(f"{type(self).__name__}: no parameters were given; pass model.parameters()")
        if not lr > 0:
            raise SettingError(f"{type(self).__name__}: lr={lr}; a number above 0 is expected")
        self.lr = lr
        self.steps = 0
        self._state: list[dict[str, Array]] = [{} for _ in self.params]

    def step(self) -> None:
        """One step for every parameter that has a gradient."""
        self.steps += 1
        for parameter, state in zip(self.params, self._state, strict=True):
            if parameter.grad is None:
                continue
            array, grad = parameter.writable(), parameter.grad._array
            for slot in self.slots:
                if slot not in state:
                    state[slot] = backend.array_library(array).zeros_like(array)
            self.update(array, grad, state)

    def describe(self) -> str:
        """The kind and its numbers: `Adam(lr=0.002, betas=(0.5, 0.99), eps=1e-08)`."""
        numbers = {k: v for k, v in vars(self).items() if k in ("lr", "momentum", "betas", "eps")}
        return f"{type(self).__name__}({', '.join(f'{k}={v}' for k, v in numbers.items())})"

    def update(self, parameter: Array, grad: Array, state: dict[str, Array]) -> None:
        """Change `parameter` and the slots in `state`, in place."""
        raise NotImplementedError

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for parameter in self.params:
            parameter.grad = None

    def state_dict(self) -> dict[str, np.ndarray[Any, Any]]:
        """Copies of everything that has to be kept to go on later, by name."""
        slots = ((f"{i}.{slot}", array) for i, state in enumerate(self._state) for slot, array in state.items())
        return {
            "steps": np.array(self.steps, np.int64),
            **{name: np.array(backend.to_host(array)) for name, array in slots},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state_dict of an optimizer of the same kind and parameters; else ShapeError, nothing changed."""
        loaded: list[dict[str, Array]] = [{} for _ in self.params]
        rest = dict(state)
        steps = rest.pop("steps", None)
        for i, (parameter, slots) in enumerate(zip(self.params, loaded, strict=True)):
            names = {f"{i}.{slot}": slot for slot in self.slots}
            if rest.keys().isdisjoint(names):
                continue  # it has had no gradient yet
            for name, slot in names.items():
                if name not in rest:
                    raise ShapeError(f"load_state_dict: {name!r} is missing")
                array = np.array(rest.pop(name), parameter.dtype)
                if array.shape != parameter.shape:
                    raise ShapeError(f"load_state_dict: {name} has shape {array.shape}, {parameter.shape} is expected")
                slots[slot] = backend.to_device(array, parameter.device)
        if steps is None or rest:
            problem = f"{min(rest)!r} is not of" if rest else "'steps' is missing for"
            raise ShapeError(f"load_state_dict: {problem} this {type(self).__name__} of {len(self.params)} parameters")
        self._state, self.steps = loaded, step_count("steps", steps)


def falling(step: int, steps: int, share: float) -> float:
    """The factor of a learning rate that stays, then falls linearly to 0 over this last share of the steps."""
    return min(1.0, (steps - step) / steps / share) if share else 1.0


def step_count(name: str, value: Any) -> int:
    """A number of steps out of a state_dict. Raises ShapeError for anything but one whole number ≥ 0."""
    array = np.asarray(value)
    if array.shape or array.dtype.kind not in "iu" or array < 0:
        raise ShapeError(f"load_state_dict: {name} is no whole number of at least 0, but {array.dtype} {array.shape}")
    return int(array)


class SGD(Optimizer):
    """velocity ← momentum · velocity + g;  θ ← θ − lr · velocity. Without momentum: θ ← θ − lr · g."""

    def __init__(self, params: Iterable[Tensor], lr: float, momentum: float = 0.0):
        super().__init__(params, lr)
        if not 0 <= momentum < 1:
            raise SettingError(f"SGD: momentum={momentum}; a number from 0 up to, but not including, 1 is expected")
        self.momentum = momentum
        self.slots = ("velocity",) if momentum else ()

    def update(self, parameter: Array, grad: Array, state: dict[str, Array]) -> None:
        kernels_for(parameter).sgd_step(parameter, grad, state.get("velocity"), self.lr, self.momentum)


class Adam(Optimizer):
    """m ← β₁m + (1 − β₁)g,  v ← β₂v + (1 − β₂)g²,  θ ← θ − lr · m̂/(√v̂ + ε). Kingma & Ba 2015, algorithm 1.

    m̂ = m/(1 − β₁ᵗ) and v̂ = v/(1 − β₂ᵗ) mend the bias of the start at 0; ε stands outside the root. t counts the steps.
    """

    slots = ("m", "v")

    def __init__(
        self, params: Iterable[Tensor], lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8
    ):
        super().__init__(params, lr)
        if not all(0 <= beta < 1 for beta in betas):
            raise SettingError(f"Adam: betas={betas}; two numbers from 0 up to, but not including, 1 are expected")
        self.betas, self.eps = betas, eps

    def update(self, parameter: Array, grad: Array, state: dict[str, Array]) -> None:
        kernels_for(parameter).adam_step(
            parameter, grad, state["m"], state["v"], self.lr, self.betas, self.eps, self.steps
        )
