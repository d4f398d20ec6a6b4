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

    def update(self, parameter: Array, grad: Array, state: dict[str, Array]) -> None:
        """Change `parameter` and the slots in `state`, in place."""
        raise NotImplementedError

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for parameter in self.params:
            parameter.grad = None

    def state_dict(self) -> dict[str, np.ndarray[Any, Any]]:
        """Copies of everything that has to be kept to go on later, by name."""
        state = {f"{i}.{slot}": np.array(backend.to_host(a)) for i, s in enumerate(self._state) for slot, a in s.items()}
        return {"steps": np.array(self.steps), **state}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state_dict of an optimizer of the same kind and parameters; else ShapeError, nothing changed."""
        loaded: list[dict[str, Array]] = [{} for _ in self.params]
        for name, array in state.items():
            if name == "steps":
                continue
            number, _, slot = name.partition(".")
            if not number.isdigit() or int(number) >= len(self.params) or slot not in self.slots:
                raise ShapeError(f"load_state_dict: {name!r} is not of this {type(self).__name__}")
            parameter = self.params[int(number)]
            if array.shape != parameter.shape:
                raise ShapeError(f"load_state_dict: {name} has shape {array.shape}, {parameter.shape} is expected")
            loaded[int(number)][slot] = backend.to_device(np.array(array, parameter.dtype), parameter.device)
        self._state, self.steps = loaded, int(state["steps"])


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
