"""The tape: what was computed is recorded, then walked backwards by the chain rule.

A Tensor holds an array and the Op that made it; an Op holds the Tensors it was made from. `backward` visits
each Tensor once, after all its users, and adds what they send back. Since an Op's `backward` is written in
Tensors too, the gradient is itself recorded when asked (`create_graph=True`), and so has gradients in turn.
"""

from __future__ import annotations

import contextvars
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeGuard, TypeVar, Union

import numpy as np

from . import backend, debugging
from .backend import Array
from .errors import DeviceError, DTypeError, GraphError, ShapeError, TinyganError

Operand = Union["Tensor", Array, float]
Axes = int | tuple[int, ...] | None
Value = TypeVar("Value")

_recording = contextvars.ContextVar("recording", default=True)
# Whether debug() is on; during a backward pass, the Op that is being differentiated.
_debugging: contextvars.ContextVar[bool | Op] = contextvars.ContextVar("debugging", default=False)

# Tensor's operators and methods, by name. They belong to the floor above, which puts them here (ops/__init__.py).
OPERATORS: dict[str, Callable[..., Tensor]] = {}

_FLOAT64 = np.dtype(np.float64)
_DTYPES = ("float32", "float64", "int8", "int16", "int32", "int64", "uint8", "bool", "complex128")


class Tensor:
    """An array that can be differentiated with respect to.

    `array` is copied (so that nobody can change it unseen) to the device chosen by `tg.use`. Arrays keep their
    dtype; Python numbers and lists with a decimal point become float32. `grad` is None until a backward pass
    gives it a Tensor of the same shape and dtype. Raises DTypeError for dtypes other than float32, float64,
    integers and bool, and for integers with requires_grad=True.
    """

    __slots__ = ("__weakref__", "_array", "_hooks", "_version", "grad", "op", "requires_grad")
    __array_ufunc__ = None  # so that array * tensor is left to Tensor.__rmul__

    _array: Array
    _version: list[int]  # how often the values were changed; one list for all Tensors that share the memory
    _hooks: tuple[Callable[[Tensor], object], ...]
    grad: Tensor | None
    op: Op | None  # what made this Tensor; None for a leaf

    def __init__(self, array: Any, requires_grad: bool = False, dtype: Any = None):
        weak = dtype is None and not isinstance(array, Tensor)
        array = array._array if isinstance(array, Tensor) else array
        if not is_array(array):
            array = np.array(array)
            if array.dtype.kind == "f" and weak:
                array = array.astype(np.float32)
        if dtype is not None:
            array = array.astype(dtype)
        if array.dtype.name not in _DTYPES:
            raise DTypeError(f"Tensor: dtype {array.dtype} is not supported; convert to float32 (or float64) first")
        if requires_grad and array.dtype.kind != "f":
            raise DTypeError(
                f"Tensor: {array.dtype} can't require gradients; give floats, as in array.astype('float32')"
            )
        self._set(backend.to_device(array, backend.device()).copy())
        self.requires_grad = requires_grad

    def _set(self, array: Array) -> None:
        self._array, self._version, self._hooks = array, [0], ()
        self.grad, self.op, self.requires_grad = None, None, False

    # ------------------------------------------------ what it holds

    @property
    def data(self) -> Array:
        """The array itself, read-only on the CPU. To change a leaf's values, call `assign`."""
        if not isinstance(self._array, np.ndarray):
            return self._array
        view = self._array.view()
        view.flags.writeable = False
        return view

    @property
    def shape(self) -> tuple[int, ...]:
        return self._array.shape  # type: ignore[no-any-return]

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._array.dtype  # type: ignore[no-any-return]

    @property
    def ndim(self) -> int:
        return self._array.ndim  # type: ignore[no-any-return]

    @property
    def size(self) -> int:
        return self._array.size  # type: ignore[no-any-return]

    @property
    def device(self) -> str:
        return backend.device_of(self._array)

    def numpy(self) -> np.ndarray[Any, Any]:
        """A copy as a NumPy array."""
        return np.array(backend.to_host(self._array))

    def item(self) -> float:
        """The value of a Tensor with one element, as a Python number."""
        if self.size != 1:
            raise ShapeError(f"item(): one element is needed, the shape is {self.shape}; pick one, or take .mean()")
        return self._array.item()  # type: ignore[no-any-return]

    def detach(self) -> Tensor:
        """The same values (the same memory, too), cut off from the graph."""
        detached = wrap(self._array)
        detached._version = self._version
        return detached

    def assign(self, array: Operand) -> None:
        """Write new values into this leaf, in place. Graphs recorded before refuse to run backward afterwards."""
        array = array._array if isinstance(array, Tensor) else array
        if self.op is not None:
            raise GraphError("assign: only leaves (parameters, inputs) can be changed, and this Tensor was computed")
        if np.shape(array) not in (self.shape, ()):
            raise ShapeError(f"assign: shape {np.shape(array)} into a Tensor of shape {self.shape}")
        self.writable()[...] = backend.to_device(array, self.device) if is_array(array) else array

    def writable(self) -> Array:
        """The array itself, for whoever is about to change it in place (an optimizer). It counts as changed."""
        self._version[0] += 1
        if isinstance(self._array, np.generic):  # what a full reduction gives, which nothing can be written into
            self._array = np.array(self._array)
        return self._array

    def register_hook(self, hook: Callable[[Tensor], object]) -> Callable[[], None]:
        """Call hook(self) whenever a backward pass has completed this leaf's `grad`. Returns what removes it."""
        self._hooks += (hook,)  # a new tuple, so that a hook may remove itself

        def remove() -> None:
            hooks = list(self._hooks)
            hooks.remove(hook)
            self._hooks = tuple(hooks)

        return remove

    def backward(
        self,
        grad_output: Operand | None = None,
        create_graph: bool = False,
        retain_graph: bool = False,
        inputs: Iterable[Tensor] | None = None,
    ) -> None:
        """Add ∂self/∂leaf to `.grad` of every leaf that requires gradients, or of `inputs` alone.

        grad_output: ∂L/∂self, like self; may be left out where self has one element (then it is 1).
        create_graph: record the gradient too, so that it can be differentiated again (implies retain_graph).
        retain_graph: keep the graph for a second backward pass; else its memory is freed as it is used.
        inputs: visit only what leads to these. Those that self doesn't depend on get zeros.
        Raises GraphError where the graph is missing, freed, or stale (a parameter changed since).
        """
        wanted = None if inputs is None else list(inputs)

        def deliver(tensor: Tensor, gradient: Tensor) -> None:
            if tensor.grad is not None:
                tensor.grad = tensor.grad + gradient if create_graph else wrap(tensor.grad._array + gradient._array)
            else:  # a copy, since ops such as + pass one and the same array to both sides
                tensor.grad = gradient if create_graph else wrap(gradient._array.copy())
            for hook in tensor._hooks:
                hook(tensor)

        _run_backward(self, grad_output, wanted, create_graph, retain_graph or create_graph, deliver)

    # ------------------------------------------------ operators, from the floor above

    # fmt: off
    def __add__(self, other: Operand) -> Tensor: return OPERATORS["add"](self, other)
    def __radd__(self, other: Operand) -> Tensor: return OPERATORS["add"](other, self)
    def __sub__(self, other: Operand) -> Tensor: return OPERATORS["sub"](self, other)
    def __rsub__(self, other: Operand) -> Tensor: return OPERATORS["sub"](other, self)
    def __mul__(self, other: Operand) -> Tensor: return OPERATORS["mul"](self, other)
    def __rmul__(self, other: Operand) -> Tensor: return OPERATORS["mul"](other, self)
    def __truediv__(self, other: Operand) -> Tensor: return OPERATORS["div"](self, other)
    def __rtruediv__(self, other: Operand) -> Tensor: return OPERATORS["div"](other, self)
    def __matmul__(self, other: Operand) -> Tensor: return OPERATORS["matmul"](self, other)
    def __rmatmul__(self, other: Operand) -> Tensor: return OPERATORS["matmul"](other, self)
    def __pow__(self, exponent: float) -> Tensor: return OPERATORS["power"](self, exponent)
    def __neg__(self) -> Tensor: return OPERATORS["neg"](self)
    def __abs__(self) -> Tensor: return OPERATORS["abs"](self)
    def __getitem__(self, index: Any) -> Tensor: return OPERATORS["getitem"](self, index)

    # Comparisons have no derivative: they give Tensors of bool.
    def __gt__(self, other: Operand) -> Tensor: return wrap(self._array > raw(other))
    def __ge__(self, other: Operand) -> Tensor: return wrap(self._array >= raw(other))
    def __lt__(self, other: Operand) -> Tensor: return wrap(self._array < raw(other))
    def __le__(self, other: Operand) -> Tensor: return wrap(self._array <= raw(other))
    def __eq__(self, other: Operand) -> Tensor: return wrap(self._array == raw(other))  # type: ignore[override]
    def __ne__(self, other: Operand) -> Tensor: return wrap(self._array != raw(other))  # type: ignore[override]
    __hash__ = object.__hash__

    def __bool__(self) -> bool: return bool(self.item())
    def __float__(self) -> float: return float(self.item())
    def __int__(self) -> int: return int(self.item())
    # fmt: on

    def reshape(self, *shape: Any) -> Tensor:
        """The same values in another shape; one −1 stands for what is left. See ops.reshape."""
        return OPERATORS["reshape"](self, shape[0] if len(shape) == 1 and not isinstance(shape[0], int) else shape)

    def transpose(self, *axes: Any) -> Tensor:
        """The axes in another order; reversed where none is given. See ops.transpose."""
        order = axes[0] if len(axes) == 1 and not isinstance(axes[0], int) else axes or None
        return OPERATORS["transpose"](self, order)

    @property
    def T(self) -> Tensor:
        return self.transpose()

    def sum(self, axis: Axes = None, keepdims: bool = False) -> Tensor:
        """Σ over `axis` (all axes if None). See ops.sum."""
        return OPERATORS["sum"](self, axis, keepdims)

    def mean(self, axis: Axes = None, keepdims: bool = False) -> Tensor:
        """The mean over `axis` (all axes if None). See ops.mean."""
        return OPERATORS["mean"](self, axis, keepdims)

    def max(self, axis: Axes = None, keepdims: bool = False) -> Tensor:
        """The largest over `axis` (all axes if None). See ops.max."""
        return OPERATORS["max"](self, axis, keepdims)

    def min(self, axis: Axes = None, keepdims: bool = False) -> Tensor:
        """The smallest over `axis` (all axes if None). See ops.min."""
        return OPERATORS["min"](self, axis, keepdims)

    def __len__(self) -> int:
        if self.ndim == 0:
            raise ShapeError("len() of a Tensor without axes, shape ()")
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        return (self[i] for i in range(len(self)))

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError(
            "NumPy can't record gradients: use tinygan.ops on Tensors, or tensor.numpy() for a copy of the values"
        )

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        copied = type(self).__new__(type(self))
        copied._set(self._array.copy())
        copied.requires_grad = self.requires_grad
        return copied

    def __repr__(self) -> str:
        values = np.array2string(self.numpy(), separator=", ", prefix="Tensor(", threshold=100)
        marks = [str(self.dtype)] + ["gpu"] * (self.device == "gpu") + ["requires_grad"] * self.requires_grad
        return f"Tensor({values}, {', '.join(marks)})"


def is_array(value: object) -> TypeGuard[Array]:
    return isinstance(value, np.ndarray) or backend.is_on_gpu(value)


def wrap(array: Array) -> Tensor:
    """A Tensor around this very array, which nobody else may change afterwards."""
    tensor = Tensor.__new__(Tensor)
    tensor._set(array)
    return tensor


def raw(value: Operand) -> Array:
    """The array inside, for reading."""
    if isinstance(value, list | tuple):
        return np.array(value)
    return value._array if isinstance(value, Tensor) else value


class Op:
    """One differentiable operation; once called, one node of the tape. Make a new one for each call.

    A subclass says what the operation is:  forward(*arrays) -> array, on raw arrays;
    and its derivative:  backward(grad) -> ∂L/∂input for each input, on Tensors, where grad = ∂L/∂output.
    Each is a Tensor, None (no gradient), or a function without arguments that is called only if that gradient
    is wanted. `self.inputs` and `self.output` are there to be used. A gradient comes back in its input's
    shape: axes along which an input was broadcast are summed for you.

    An op that is fused for speed, whose `backward` gives constants made by a kernel, has `composed` besides: the
    same operation in primitive ops. The engine differentiates that one when the gradient is to be recorded.
    """

    inputs: tuple[Tensor, ...] = ()
    composed: Callable[..., Tensor] | None = None
    view = False  # whether the result may be its input's memory, seen differently
    _versions: list[int]
    _output: weakref.ref[Tensor]
    _called = False
    _freed = False
    _line = "a line that is unknown (record under tg.debug() to know it)"

    def forward(self, *arrays: Array) -> Array:
        raise NotImplementedError(f"{self.name}.forward")

    def backward(self, grad: Tensor) -> Any:
        raise NotImplementedError(f"{self.name}.backward")

    @property
    def name(self) -> str:
        return type(self).__name__

    @property
    def output(self) -> Tensor:
        """The result. Held weakly, as it holds this op; in `backward` it is always alive."""
        output = self._output()
        if output is None:
            raise GraphError(f"{self.name}: its output is gone")
        return output

    def __call__(self, *operands: Operand) -> Tensor:
        if self._called:
            raise GraphError(f"{self.name}: this Op was called before; each call needs an Op of its own")
        self._called = True
        inputs = _as_tensors(self, operands)
        try:
            result = self.forward(*[x._array for x in inputs])
        except ValueError as error:  # of the array library's, which knows no names
            if len(inputs) < 2 or isinstance(error, TinyganError):
                raise
            shapes = " and ".join(str(x.shape) for x in inputs)
            raise ShapeError(f"{self.name}: inputs of shapes {shapes} don't fit: {error}") from error
        if result.dtype is _FLOAT64 and all(x.dtype.kind in "biu" for x in inputs):
            result = result.astype(np.float32)  # NumPy makes float64 of integers: 1 / 2, mean
        output = wrap(result)
        if _debugging.get():
            self._check_finite(result)
        if _recording.get() and result.dtype.kind == "f" and True in [x.requires_grad for x in inputs]:
            self.inputs, self._versions = inputs, [x._version[0] for x in inputs]
            self._output = weakref.ref(output)
            output.op, output.requires_grad = self, True
        if self.view and backend.shares_memory(result, inputs[0]._array):
            output._version = inputs[0]._version
        return output

    def _check_finite(self, result: Array) -> None:
        differentiated = _debugging.get()
        if isinstance(differentiated, Op):  # this call is part of its backward
            self._line, where = differentiated._line, differentiated._where()
        else:
            self._line = debugging.line_of_the_user()
            where = f"{self.name}, forward, at {self._line}"
        debugging.check_finite(result, where)

    def _where(self) -> str:
        return f"{self.name}, backward, of the call at {self._line}"

    def _check_usable(self) -> None:
        if self._freed:
            raise GraphError(
                f"backward a second time through {self.name}, whose graph was freed by the first: "
                "pass retain_graph=True to the first, or recompute"
            )
        if [x._version[0] for x in self.inputs] == self._versions:
            return
        for i, (x, version) in enumerate(zip(self.inputs, self._versions, strict=True)):
            if x._version[0] != version:
                raise GraphError(
                    f"stale graph: input {i} of {self.name}, shape {x.shape}, was changed (by an optimizer's step?) "
                    "after this graph was recorded. Compute the loss again after the change, or run backward before it"
                )

    def _release(self) -> None:
        """Let go of inputs and everything that forward saved."""
        self.__dict__.clear()
        self._called = self._freed = True


class Alias(Op):
    """y = x, as a Tensor of its own.   ∂L/∂x = ∂L/∂y.   Shapes: any; y like x."""

    view = True

    def forward(self, x: Array) -> Array:
        return x

    def backward(self, grad: Tensor) -> Tensor:
        return grad


def _as_tensors(op: Op, operands: tuple[Any, ...]) -> tuple[Tensor, ...]:
    """The operands as Tensors of one float dtype, on one device. Scalars, lists and integers take that dtype."""
    kind = dtype = None  # of the first Tensor: nearly always of the others, too
    scalars = False
    for x in operands:
        if isinstance(x, Tensor):
            array = x._array
            if dtype is None:
                kind, dtype = type(array), array.dtype
            elif array.dtype is not dtype or type(array) is not kind:
                break
        elif type(x) is float or type(x) is int:
            scalars = True
        else:
            break
    else:
        if not scalars:
            return operands
        if dtype is not None and dtype.kind == "f":
            return tuple([x if isinstance(x, Tensor) else wrap(dtype.type(x)) for x in operands])
    floats = {x.dtype for x in operands if (isinstance(x, Tensor) or is_array(x)) and x.dtype.kind in "fc"}
    if np.dtype(np.complex128) in floats:  # only in gradcheck's complex step, beside float64 constants
        floats.discard(np.dtype(np.float64))
    if len(floats) > 1:
        names = " and ".join(sorted(map(str, floats)))
        raise DTypeError(f"{op.name}: {names} don't mix; convert one of them, as in Tensor(array, dtype='float32')")
    if not floats:
        weak = [np.array(x) for x in operands if not (isinstance(x, Tensor) or is_array(x))]
        floats = {np.dtype(np.float32) for x in weak if x.dtype.kind == "f"}
    dtype = floats.pop() if floats else None
    tensors = tuple(_as_tensor(x, dtype) for x in operands)
    if len({x.device for x in tensors if not isinstance(x._array, np.generic)}) > 1:
        raise DeviceError(f"{op.name}: its inputs lie on different devices; move them together with .to(device)")
    return tensors


def _as_tensor(x: Operand, dtype: np.dtype[Any] | None) -> Tensor:
    if not isinstance(x, Tensor):
        if isinstance(x, int | float | complex | np.number) and not isinstance(x, bool):
            # A NumPy scalar rather than an array, since that mixes with arrays on any device.
            return wrap(np.array(x)[()] if dtype is None else dtype.type(x))
        # a list keeps all its digits until it is known which are wanted
        x = Tensor(x if dtype is None or is_array(x) else np.array(x))
    return x if dtype is None or x.dtype == dtype or x.dtype.kind == "b" else wrap(x._array.astype(dtype))


@contextmanager
def _setting(variable: contextvars.ContextVar[Value], value: Value) -> Iterator[None]:
    """Within this block (of this thread, or task) the variable has this value."""
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)


@contextmanager
def no_grad() -> Iterator[None]:
    """Within this block (of this thread, or task) nothing is recorded."""
    with _setting(_recording, False):
        yield


@contextmanager
def enable_grad() -> Iterator[None]:
    """Within this block operations are recorded, within no_grad() as well: where a derivative is part of a formula."""
    with _setting(_recording, True):
        yield


@contextmanager
def debug() -> Iterator[None]:
    """Within this block, the first NaN or infinity raises NonFiniteError, forward or backward.

    The message names the op and the line of your code that called it. Slower: every result is looked through.
    """
    with _setting(_debugging, True):
        yield


def grad(
    output: Tensor,
    inputs: Tensor | Sequence[Tensor],
    grad_output: Operand | None = None,
    create_graph: bool = False,
    retain_graph: bool | None = None,
) -> tuple[Tensor, ...]:
    """∂output/∂input for each of `inputs`, as a tuple; `.grad` of nothing is touched.

    Arguments as in Tensor.backward; retain_graph defaults to create_graph. Raises GraphError where an input
    doesn't require gradients; one that `output` doesn't depend on gets zeros.
    """
    wanted = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    gradients: dict[int, Tensor] = {}

    def deliver(tensor: Tensor, gradient: Tensor) -> None:
        gradients[id(tensor)] = gradient

    _run_backward(output, grad_output, wanted, create_graph, bool(retain_graph) or create_graph, deliver)
    return tuple(gradients[id(x)] for x in wanted)


def _run_backward(
    output: Tensor,
    grad_output: Operand | None,
    wanted: list[Tensor] | None,
    create_graph: bool,
    retain_graph: bool,
    deliver: Callable[[Tensor, Tensor], None],
) -> None:
    """Walk from `output` towards the wanted Tensors (None: all leaves), each after all its users.

    deliver(tensor, gradient) is called as soon as a wanted Tensor's gradient is complete.
    """
    for x in wanted or ():
        if not x.requires_grad:
            raise GraphError(f"an input of shape {x.shape} doesn't require gradients; make it with requires_grad=True")
    if not output.requires_grad:
        raise GraphError(
            "nothing was recorded: this Tensor depends on no Tensor with requires_grad=True, "
            "or was computed under no_grad(), or detached"
        )
    grad_output = _checked_grad_output(output, grad_output)
    missing = {id(x): x for x in wanted or ()}
    wanted_ids = set(missing)
    users = _count_users(output, None if wanted is None else _leading(output, wanted_ids))
    with _setting(_recording, create_graph), _setting(_debugging, _debugging.get()):
        for tensor, gradient in _sweep(output, grad_output, users, create_graph, retain_graph):
            if id(tensor) in wanted_ids or (wanted is None and tensor.op is None):
                missing.pop(id(tensor), None)
                deliver(tensor, gradient)
        for x in missing.values():
            deliver(x, wrap(backend.array_library(x._array).zeros_like(x._array)))


def _checked_grad_output(output: Tensor, grad_output: Operand | None) -> Tensor:
    if grad_output is None:
        if output.size != 1:
            raise ShapeError(
                f"backward from a Tensor of shape {output.shape}: give grad_output of that shape, "
                "or reduce to one number first, as in y.mean().backward()"
            )
        return wrap(backend.array_library(output._array).ones_like(output._array))
    if not isinstance(grad_output, Tensor):
        grad_output = Tensor(grad_output, dtype=None if is_array(grad_output) else output.dtype)
    if grad_output.shape != output.shape or grad_output.dtype != output.dtype:
        raise ShapeError(
            f"grad_output is {grad_output.dtype} of shape {grad_output.shape}, "
            f"but the output is {output.dtype} of shape {output.shape}"
        )
    return grad_output


def _leading(output: Tensor, wanted_ids: set[int]) -> set[int]:
    """The ids of those Tensors from `output` on that lead to a wanted one, or are one."""
    leading: set[int] = set()
    seen: set[int] = set()
    stack = [(output, False)]
    while stack:  # depth first, without recursion: a Tensor is finished after all that it was made from
        tensor, finished = stack.pop()
        key, op = id(tensor), tensor.op
        inputs = () if op is None else op.inputs
        if finished:
            if key in wanted_ids or any(id(x) in leading for x in inputs):
                leading.add(key)
        elif key not in seen:
            seen.add(key)
            if op is not None:
                op._check_usable()
            stack.append((tensor, True))
            stack.extend([(x, False) for x in inputs if id(x) not in seen])
    return leading


def _count_users(output: Tensor, leading: set[int] | None) -> dict[int, int]:
    """By id, how often each Tensor that leads to a wanted one (None: to any leaf) is used on the way from `output`."""
    users = {id(output): 0}
    stack = [output]
    while stack:
        op = stack.pop().op
        if op is None:
            continue
        if leading is None:  # else it was checked on the way
            op._check_usable()
        for x in op.inputs:
            key = id(x)
            if key in users:
                users[key] += 1
            elif (x.requires_grad or x.op is not None) if leading is None else key in leading:
                users[key] = 1
                stack.append(x)
    return users


def _sweep(
    output: Tensor, grad_output: Tensor, users: dict[int, int], create_graph: bool, retain_graph: bool
) -> Iterator[tuple[Tensor, Tensor]]:
    """Each Tensor with its complete gradient, once its last user has sent its part."""
    gradients = {id(output): grad_output}
    ready, debugged = [output], _debugging.get()
    while ready:
        tensor = ready.pop()
        gradient = gradients.pop(id(tensor), None)  # None where no user sent any
        if gradient is not None:
            yield tensor, gradient
        op = tensor.op
        if op is None or users.keys().isdisjoint([id(x) for x in op.inputs]):
            continue
        if debugged:
            _debugging.set(op)
        for x, part in zip(op.inputs, _parts(op, gradient, create_graph), strict=True):
            key = id(x)
            if key not in users:
                continue
            part = _input_gradient(op, x, part)
            if part is not None:
                gradients[key] = _sum(gradients[key], part, create_graph) if key in gradients else part
            users[key] -= 1
            if users[key] == 0:
                ready.append(x)
        if debugged:
            _debugging.set(debugged)
        if not retain_graph:
            op._release()


def _sum(a: Tensor, b: Tensor, create_graph: bool) -> Tensor:
    """Two parts of a gradient together; where nothing is recorded or looked through, without the tape."""
    return a + b if create_graph or _debugging.get() else wrap(a._array + b._array)


def _parts(op: Op, grad: Tensor | None, create_graph: bool) -> tuple[Any, ...]:
    """What `op.backward` gives, a part for each input; where no gradient has come, none goes on."""
    if grad is None:
        return (None,) * len(op.inputs)
    parts = _through_composed(op, grad) if create_graph and op.composed is not None else op.backward(grad)
    if not isinstance(parts, tuple):
        parts = (parts,)
    if len(parts) != len(op.inputs):
        raise GraphError(f"{op.name}.backward gave {len(parts)} gradients for {len(op.inputs)} inputs")
    return parts


def _input_gradient(op: Op, x: Tensor, part: Any) -> Tensor | None:
    """The gradient that this part stands for in x's shape, once it is seen to be in its dtype."""
    gradient: Tensor | None = part() if callable(part) else part
    if gradient is None:
        return None
    if gradient._array.shape != x._array.shape:  # every broadcast forward is a sum backward
        added = gradient.ndim - x.ndim
        shape = (1,) * added + x.shape
        if len(shape) != gradient.ndim or any(n not in (1, m) for n, m in zip(shape, gradient.shape, strict=True)):
            raise ShapeError(f"{op.name}.backward gave shape {gradient.shape} for an input of shape {x.shape}")
        repeated = tuple(i for i, n in enumerate(shape) if i < added or n != gradient.shape[i])
        gradient = gradient.sum(repeated).reshape(x.shape)
    if gradient._array.dtype != x._array.dtype:
        raise DTypeError(f"{op.name}.backward gave {gradient.dtype} for an input of {x.dtype}")
    if _debugging.get():
        debugging.check_finite(gradient._array, op._where())
    return gradient


def _through_composed(op: Op, gradient: Tensor) -> tuple[Tensor | None, ...]:
    """The gradients of a fused op by differentiating its `composed` twin, recorded.

    It runs on aliases of the inputs, and only derivatives with respect to those are taken: where one input
    depends on another, or is given twice, the path between them is not counted here as well.
    """
    assert op.composed is not None
    aliases = [Alias()(x) for x in op.inputs]
    wanted = [alias for alias in aliases if alias.requires_grad]
    gradients = iter(grad(op.composed(*aliases), wanted, gradient, create_graph=True))
    return tuple(next(gradients) if alias.requires_grad else None for alias in aliases)
