"""Is a gradient right? Compare it with what the function does when its inputs are moved a little."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from . import ops
from .autograd import Tensor, grad, no_grad, wrap
from .errors import DTypeError, GradientError, SettingError

Float64s = list[np.ndarray[Any, Any]]

EPS = 1e-5
RTOL = 1e-6
ATOL = 1e-8
COMPLEX_STEP = 1e-30
COMPLEX_RTOL, COMPLEX_ATOL = 1e-10, 1e-13  # the complex step subtracts nothing, so it is right to the last digits


def gradcheck(
    fn: Callable[..., Tensor],
    inputs: Tensor | Sequence[Tensor],
    order: int = 2,
    *,
    eps: float = EPS,
    rtol: float = RTOL,
    atol: float = ATOL,
    complex_step: bool = False,
    seed: int = 0,
) -> None:
    """Raise GradientError, with a report, unless the derivatives of fn(*inputs) are right up to `order` (1 or 2).

    Checked is L = Σ c · fn(*inputs) for a random cotangent c, by central differences (L(x + h) − L(x − h)) / 2h at
    h = eps · max(1, |x|): the gradient as training takes it and as it is recorded with create_graph=True, both
    in each input; at order 2 the derivatives of that gradient too, in each input and in c.
    complex_step: also against Im L(x + i·10⁻³⁰)/10⁻³⁰, exact to rounding (Squire & Trapp 1998); fn must be analytic.
    Inputs must be float64 (DTypeError otherwise: differences of float32 numbers keep too few digits). Where fn
    has a kink within h of an input, the report says so: there is no derivative to compare with.
    """
    tensors = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    for i, x in enumerate(tensors):
        if x.dtype != np.float64:
            raise DTypeError(
                f"gradcheck: input {i} is {x.dtype}; only float64 has the digits that differences need. "
                "Make it Tensor(array, dtype='float64'), and a module float64 by .to('float64')"
            )
    if order not in (1, 2):
        raise SettingError(f"gradcheck: order={order!r}; 1 or 2 is expected")
    arrays = [x.numpy() for x in tensors]
    rng = np.random.default_rng(seed)
    with no_grad():
        output = fn(*tensors)
        if not np.array_equal(output.numpy(), fn(*tensors).numpy(), equal_nan=True):
            raise GradientError("fn gives another result each time; make its random generator anew inside of it")
    cotangent = rng.standard_normal(output.shape)

    def loss(*arrays: np.ndarray[Any, Any]) -> float:
        with no_grad():
            y = fn(*map(Tensor, arrays)).numpy()
        return float((y * cotangent).sum())

    numeric = numeric_gradient(loss, arrays, eps)
    for create_graph in (False, True):
        _compare(f"create_graph={create_graph}", _gradient(fn, arrays, cotangent, create_graph), numeric, rtol, atol)
    if complex_step:
        exact = _complex_gradient(fn, arrays, cotangent)
        _compare("complex step", _gradient(fn, arrays, cotangent, False), exact, COMPLEX_RTOL, COMPLEX_ATOL)
    if order > 1:
        weights = [rng.standard_normal(a.shape) for a in arrays]

        def slope(*inputs: Tensor) -> Tensor:
            """Σ wᵢ · ∂L/∂xᵢ, as a function of the inputs and of the cotangent."""
            *xs, c = inputs
            output = fn(*xs)
            if not output.requires_grad:
                return Tensor(np.float64(0), dtype=np.float64)
            gradients = grad(output, xs, c, create_graph=True)
            parts = [(g * w).sum() for g, w in zip(gradients, weights, strict=True)]
            return ops.sum(ops.stack(parts))

        _check_second_order(slope, [*arrays, cotangent], eps, rtol, atol)


def _check_second_order(slope: Callable[..., Tensor], arrays: Float64s, eps: float, rtol: float, atol: float) -> None:
    def value(*arrays: np.ndarray[Any, Any]) -> float:
        return slope(*(Tensor(a, requires_grad=True) for a in arrays)).item()

    leaves = [Tensor(a, requires_grad=True) for a in arrays]
    result = slope(*leaves)
    analytic = [g.numpy() for g in grad(result, leaves)] if result.requires_grad else [np.zeros_like(a) for a in arrays]
    _compare("second order", analytic, numeric_gradient(value, arrays, eps), rtol, atol)


def _gradient(fn: Callable[..., Tensor], arrays: Float64s, cotangent: Any, create_graph: bool) -> Float64s:
    leaves = [Tensor(a, requires_grad=True) for a in arrays]
    output = fn(*leaves)
    if not output.requires_grad:  # cut off from all of its inputs: the report will say so
        return [np.zeros_like(a) for a in arrays]
    return [g.numpy() for g in grad(output, leaves, Tensor(cotangent), create_graph=create_graph)]


def _complex_gradient(fn: Callable[..., Tensor], arrays: Float64s, cotangent: Any) -> Float64s:
    gradients = [np.empty_like(a) for a in arrays]
    for k, gradient in enumerate(gradients):
        for index in np.ndindex(gradient.shape):
            moved = [a.astype(np.complex128) if i == k else a for i, a in enumerate(arrays)]
            moved[k][index] += 1j * COMPLEX_STEP
            with no_grad():
                y = fn(*(wrap(a) for a in moved)).numpy()
            gradient[index] = (y.imag * cotangent).sum() / COMPLEX_STEP
    return gradients


def numeric_gradient(f: Callable[..., float], arrays: Float64s, eps: float = EPS) -> Float64s:
    """∂f/∂x for each number x in `arrays`, by central differences. Raises GradientError at a kink of f."""

    def moved(k: int, index: tuple[int, ...], step: float) -> float:
        copies = [a.copy() for a in arrays]
        copies[k][index] += step
        return float(f(*copies))

    gradients = [np.empty_like(a) for a in arrays]
    centre = float(f(*arrays))
    for k, array in enumerate(arrays):
        for index in np.ndindex(array.shape):
            h = eps * max(1.0, abs(array[index]))
            right, left = (moved(k, index, h) - centre) / h, (centre - moved(k, index, -h)) / h
            gradients[k][index] = (right + left) / 2
            # Smooth functions have slopes right and left that differ by h·f″; at a kink they differ however small h is.
            if abs(right - left) > 1e-3 * max(1.0, abs(right), abs(left)):
                h /= 10
                nearer = abs((moved(k, index, h) - centre) / h - (centre - moved(k, index, -h)) / h)
                if nearer > 0.5 * abs(right - left) or nearer < 1e-3 * abs(right - left):
                    raise GradientError(
                        f"kink at input {k}, index {index}, x = {array[index]:.6g}: the slope is {left:.6g} on the "
                        f"left and {right:.6g} on the right, so there is no derivative to check. Move this input away"
                    )
    return gradients


def gradcheck_arrays(
    f: Callable[..., Any],
    gradient: Callable[..., Any],
    arrays: Any,
    *,
    eps: float = EPS,
    rtol: float = RTOL,
    atol: float = ATOL,
) -> None:
    """Raise GradientError, with a report, unless gradient(*arrays) is the gradient of Σ f(*arrays): for any engine.

    f takes NumPy arrays of float64 and gives an array or a number; `gradient` takes the same and gives one array
    for each of them (a lone one may come bare). f must not change its arguments.
    """
    arrays = [arrays] if isinstance(arrays, np.ndarray) else list(arrays)
    for i, a in enumerate(arrays):
        if getattr(a, "dtype", None) != np.float64:
            raise DTypeError(f"gradcheck_arrays: input {i} is not a float64 array; convert it by astype('float64')")
    _call_unchanged("f", f, arrays)
    result = _call_unchanged("gradient", gradient, arrays)
    numeric = numeric_gradient(lambda *xs: float(np.sum(f(*xs))), arrays, eps)
    analytic = [result] if isinstance(result, np.ndarray | float | np.generic) else list(result)
    if len(analytic) != len(arrays):
        raise GradientError(f"gradient() gave {len(analytic)} arrays for {len(arrays)} inputs")
    _compare("your gradient", [np.asarray(a) for a in analytic], numeric, rtol, atol)


def _call_unchanged(name: str, function: Callable[..., Any], arrays: Float64s) -> Any:
    """function(*arrays). Raises GradientError if that changed the arrays."""
    before = [a.copy() for a in arrays]
    result = function(*arrays)
    if any(not np.array_equal(a, b, equal_nan=True) for a, b in zip(arrays, before, strict=True)):
        raise GradientError(f"{name}() changed its input; work on a copy")
    return result


def _compare(what: str, analytic: Float64s, numeric: Float64s, rtol: float, atol: float) -> None:
    for k, (a, n) in enumerate(zip(analytic, numeric, strict=True)):
        if a.shape != n.shape:
            raise GradientError(
                f"{what}: the gradient of input {k} has shape {a.shape}, the input has {n.shape}. "
                f"{guess(a, n, rtol)} A gradient has the shape of its input."
            )
        # Relative to the largest entry as well: a sum over many numbers carries the rounding error of the largest.
        error = np.abs(a - n) / (atol + rtol * np.maximum(np.abs(n), np.abs(n).max(initial=0.0)))
        if error.size and not error.max() <= 1:
            worst = np.unravel_index(np.argmax(np.nan_to_num(error, nan=np.inf)), n.shape)
            ratio = a[worst] / n[worst] if n[worst] else np.inf
            raise GradientError(
                f"{what}: the gradient of input {k}, shape {n.shape}, is wrong at {int((~(error <= 1)).sum())} of "
                f"{n.size} places. Worst at index {tuple(map(int, worst))}: analytic {a[worst]:.8g}, "
                f"numeric {n[worst]:.8g}, ratio {ratio:.6g}. {guess(a, n, rtol)}"
            )


def guess(analytic: Any, numeric: Any, rtol: float) -> str:
    """A sentence on what kind of mistake this looks like."""

    def equal(a: Any, b: Any) -> bool:
        return bool(a.shape == b.shape and np.allclose(a, b, rtol=100 * rtol, atol=1e-7))

    if not np.isfinite(analytic).all():
        return "It holds NaN or infinity."
    for axis in range(analytic.ndim):
        for keepdims in (False, True):
            if analytic.shape != numeric.shape and equal(analytic.sum(axis=axis, keepdims=keepdims), numeric):
                return f"Sum missing over axis {axis}?"
    if analytic.ndim > 1 and equal(np.swapaxes(analytic, -1, -2), numeric):
        return "Transposed?"
    if analytic.shape != numeric.shape:
        return "Compare the axes one by one."
    if not analytic.any():
        return "It is 0 everywhere: is the input cut off from the output (detached, or used as an array)?"
    significant = np.abs(numeric) > 1e-6
    ratios = analytic[significant] / numeric[significant]
    if not ratios.size or not np.allclose(ratios, ratios[0], rtol=1e-4):
        return "The ratio differs from place to place: the formula itself, or which place gets what, is wrong."
    ratio = float(ratios[0])
    if abs(ratio - 1) < 1e-4:
        return "Nearly right: a small term is missing, the function is rough here, or digits got lost."
    if abs(ratio + 1) < 1e-4:
        return "Exactly −1 times the numeric one everywhere: a sign?"
    if abs(ratio - 2) < 1e-4:
        return "Exactly 2 everywhere: accumulated twice?"
    if abs(ratio - 0.5) < 1e-4:
        return "Exactly ½ everywhere: is one of two uses missing, or a square's factor 2?"
    if ratios.size == 1:  # one number is no pattern
        return f"The ratio is {ratio:.4g}."
    return f"The ratio is {ratio:.4g} everywhere: a constant factor, such as a mean taken for a sum?"
