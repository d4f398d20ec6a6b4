"""Module: something with parameters, made of smaller such things."""

import contextvars
import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np

from .. import backend
from ..autograd import Tensor, no_grad, wrap
from ..errors import DeviceError, SettingError, ShapeError
from ..rows import Rows, generator_of_rows

Self = TypeVar("Self", bound="Module")
Look = Callable[["Module", Tensor], None]

_frozen = contextvars.ContextVar("frozen", default=False)
_look: contextvars.ContextVar["Look | None"] = contextvars.ContextVar("look", default=None)


class Parameter(Tensor):
    """A leaf that an optimizer changes."""

    __slots__ = ()

    def __init__(self, array: Any):
        super().__init__(array, requires_grad=True)


class Buffer(Tensor):
    """State that a layer itself keeps, such as running statistics: saved with the parameters, but without gradients."""

    __slots__ = ()


@contextmanager
def frozen() -> Iterator[None]:
    """Within this block (of this thread, or task) no layer writes a buffer: who looks on is left as it was."""
    token = _frozen.set(True)
    try:
        yield
    finally:
        _frozen.reset(token)


@contextmanager
def watched(look: Look) -> Iterator[None]:
    """Within this block (of this thread, or task) each module that was called is shown, with its output, to `look`."""
    token = _look.set(look)
    try:
        yield
    finally:
        _look.reset(token)


class Module:
    """Base of all layers and networks.

    A subclass sets Parameters, Buffers and other Modules (or lists of them) as attributes, in the order in which
    they are to be listed, and defines forward(x). Calling the module calls that.
    takes_labels: whether it is forward(x, labels), with labels (N,), whole numbers from 0: what each example should be.
    """

    training = True
    takes_labels = False

    def forward(self, x: Tensor, *labels: Any) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__}.forward")

    def __call__(self, x: Tensor, *labels: Any) -> Tensor:
        if len(labels) != self.takes_labels:
            expected = "takes labels besides: (x, labels)" if self.takes_labels else "takes no labels"
            raise SettingError(f"{type(self).__name__} {expected}; it was called with {1 + len(labels)} arguments")
        y = self.forward(x if isinstance(x, Tensor) else Tensor(x), *labels)
        look = _look.get()
        if look is not None:
            look(self, y)
        return y

    # ------------------------------------------------ what it is made of

    def _members(self) -> Iterator[tuple[str, Any]]:
        """(name, value) for each attribute, in the order of definition; the items of a list count by number."""
        for name, value in vars(self).items():
            if isinstance(value, list | tuple):
                yield from ((f"{name}.{i}", item) for i, item in enumerate(value))
            else:
                yield name, value

    def children(self) -> Iterator[tuple[str, "Module"]]:
        """(name, module) for each module directly inside, in the order of definition."""
        return ((name, value) for name, value in self._members() if isinstance(value, Module))

    def modules(self) -> Iterator["Module"]:
        """This module and all inside it, outer before inner."""
        yield self
        for _, child in self.children():
            yield from child.modules()

    def _named_tensors(self, kind: type[Tensor], prefix: str = "") -> Iterator[tuple[str, Tensor]]:
        for name, value in self._members():
            if isinstance(value, kind):
                yield prefix + name, value
            elif isinstance(value, Module):
                yield from value._named_tensors(kind, f"{prefix}{name}.")

    def named_parameters(self) -> dict[str, Parameter]:
        """Parameters by name, in the order of definition; one that is shared stands under its first name alone."""
        return _unique(self._named_tensors(Parameter))

    def parameters(self) -> list[Parameter]:
        """Parameters in the order of definition, each once."""
        return list(self.named_parameters().values())

    def named_buffers(self) -> dict[str, Buffer]:
        """Buffers by name, in the order of definition."""
        return _unique(self._named_tensors(Buffer))

    # ------------------------------------------------ modes and places

    @property
    def updates_buffers(self) -> bool:
        """Whether a forward pass may write this module's buffers: in training, unless `frozen`."""
        return self.training and not _frozen.get()

    def train(self: Self, training: bool = True) -> Self:
        """Set this module and all inside to training mode (batch statistics, dropout); gives the module back."""
        for module in self.modules():
            module.training = training
        return self

    def eval(self: Self) -> Self:
        """Set this module and all inside to evaluation mode (running statistics, no dropout); gives the module back."""
        return self.train(False)

    def reseed(self, seed: int, *key: int, rows: Rows | None = None) -> None:
        """Give each layer that draws random numbers as it runs a generator of its own, derived from seed and key.

        rows: which of a batch this module will be given, where it isn't all of it: they get the same numbers as in it.
        """
        for i, module in enumerate(self.modules()):
            if hasattr(module, "rng"):
                generator = backend.generator(seed, "dropout", *key, i)
                module.rng = generator if rows is None else generator_of_rows(generator, rows)

    def to(self: Self, target: Any) -> Self:
        """Move to a device ("cpu", "gpu") or convert to a float dtype ("float32", "float64"); gives the module back."""
        if target == "gpu" and (problem := backend.gpu_problem()):
            raise DeviceError(problem)
        if target not in (*backend.DEVICES, "float32", "float64", np.float32, np.float64):
            raise SettingError(f"to({target!r}): a device (cpu, gpu) or a dtype (float32, float64) is expected")
        for tensor in [*self.parameters(), *self.named_buffers().values()]:
            array = tensor.writable()
            tensor._array = backend.to_device(array, target) if target in backend.DEVICES else array.astype(target)
            tensor.grad = None
        return self

    # ------------------------------------------------ saving and loading

    def state_dict(self) -> dict[str, np.ndarray[Any, Any]]:
        """Copies of all parameters and buffers as NumPy arrays, by name."""
        return {name: tensor.numpy() for name, tensor in (self.named_parameters() | self.named_buffers()).items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over the values of a state_dict. Raises ShapeError, changing nothing, unless names and shapes agree."""
        own: dict[str, Tensor] = {**self.named_parameters(), **self.named_buffers()}
        missing, unknown = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
        if missing or unknown:
            raise ShapeError(
                f"load_state_dict: missing are {missing or 'none'}, not of this network are {unknown or 'none'}"
            )
        for name, tensor in own.items():
            if (shape := np.shape(state[name])) != tensor.shape:
                raise ShapeError(f"load_state_dict: {name} has shape {shape}, {tensor.shape} is expected")
        arrays = {name: np.asarray(state[name]).astype(tensor.dtype) for name, tensor in own.items()}
        for name, tensor in own.items():
            tensor.assign(arrays[name])

    # ------------------------------------------------ for people

    def describe(self) -> str:
        """What this layer is, in a few characters: `Conv(1 → 32, 4×4)`."""
        return type(self).__name__

    def summary(self, input_shape: tuple[int, ...] | None = None) -> str:
        """A table of the layers: output shapes (N stands for the batch) and numbers of parameters.

        input_shape: of one input, without the batch axis, as in (28, 28, 1); without it the shapes are left out.
        """
        shapes: dict[int, str] = {}
        if isinstance(input_shape, int):
            raise ShapeError(f"summary({input_shape}): the shape of one input is expected, such as ({input_shape},)")
        if input_shape is not None:
            # On a copy, so that neither mode nor statistics nor random numbers of this module are touched.
            like = next(iter(self.parameters()), Tensor(0.0))
            by_twin: dict[int, str] = {}

            def note(module: Module, y: Tensor) -> None:
                by_twin[id(module)] = str(("N", *y.shape[1:])).replace("'", "")

            with no_grad(), watched(note):
                twin = copy.deepcopy(self).eval()
                x = wrap(backend.to_device(np.zeros((1, *input_shape), like.dtype), like.device))
                twin(x, *[[0]] * self.takes_labels)
            pairs = zip(self.modules(), twin.modules(), strict=True)
            shapes = {id(ours): by_twin.get(id(other), "") for ours, other in pairs}
        own = [(m, [p.size for _, p in m._members() if isinstance(p, Parameter)]) for m in self.modules()]
        rows = [(m.describe(), shapes.get(id(m), ""), sum(sizes)) for m, sizes in own if sizes or not any(m.children())]
        wide = max(len(row[0]) for row in rows) + 2
        middle = max(len(row[1]) for row in rows) + 2
        lines = [f"{name:<{wide}}{shape:<{middle}}{count:>10,}" for name, shape, count in rows]
        total = sum(p.size for p in self.parameters())
        rule = "─" * (wide + middle + 10)
        header = f"{'layer':<{wide}}{'output' if shapes else '':<{middle}}{'parameters':>10}"
        return "\n".join([header, rule, *lines, rule, f"{'total':<{wide + middle}}{total:>10,}"])

    def __repr__(self) -> str:
        return self.describe()


class Sequential(Module):
    """Layers one after another. An error about shapes names the layer.

    If some of them take labels, it takes them too, and hands them to those.
    """

    def __init__(self, *layers: Module):
        for i, layer in enumerate(layers):
            if not isinstance(layer, Module):
                raise SettingError(f"Sequential: layer {i} is {layer!r}; a layer is expected, such as Tanh()")
        self.layers = list(layers)
        self.takes_labels = any(layer.takes_labels for layer in layers)

    def forward(self, x: Tensor, *labels: Any) -> Tensor:
        for i, layer in enumerate(self.layers):
            try:
                x = layer(x, *labels) if layer.takes_labels else layer(x)
            except ShapeError as error:
                before = f"the output of layer {i - 1}, {self.layers[i - 1].describe()}" if i else "the network's input"
                raise ShapeError(
                    f"layer {i}, {layer.describe()}, is given {before}, of shape {x.shape}: {error}"
                ) from error
        return x

    def describe(self) -> str:
        return f"Sequential({', '.join(layer.describe() for layer in self.layers)})"


def _unique(named: Iterator[tuple[str, Any]]) -> dict[str, Any]:
    first: dict[int, tuple[str, Any]] = {}
    for name, tensor in named:
        first.setdefault(id(tensor), (name, tensor))
    return dict(first.values())
