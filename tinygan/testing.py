"""For tests: gradient checks of any engine, and the checks that every operation of an engine should pass.

    from tinygan.testing import OpCase, check_case, gradcheck_arrays

A new operation is one OpCase; `check_case` runs every check that applies to it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import backend
from .autograd import Tensor, grad, no_grad
from .gradcheck import gradcheck, gradcheck_arrays

__all__ = ["CHECKS", "OpCase", "check_case", "gradcheck", "gradcheck_arrays"]


@dataclass(frozen=True)
class OpCase:
    """One operation with sample inputs: a row of the table that drives the tests.

    name: for the report.   function: of Tensors.   reference: the same in NumPy, in its most naive form.
    shapes: of the inputs.   domain: (low, high) of their values.   kinks: values to keep away from.
    analytic: whether the complex step applies.   float32_rtol: how far float32 may be from float64.
    """

    name: str
    function: Callable[..., Tensor]
    reference: Callable[..., Any]
    shapes: Sequence[tuple[int, ...]]
    domain: tuple[float, float] = (-2.0, 2.0)
    kinks: Sequence[float] = ()
    analytic: bool = True
    float32_rtol: float = 1e-5

    def inputs(self, dtype: Any = np.float64, seed: int = 0) -> list[np.ndarray[Any, Any]]:
        """Random arrays of `shapes` within the domain, at least 0.05 away from the kinks."""
        rng = np.random.default_rng(seed)
        arrays = []
        for shape in self.shapes:
            a = rng.uniform(*self.domain, shape)
            for kink in self.kinks:
                near = np.abs(a - kink) < 0.05
                a = np.where(near, kink + np.where(a >= kink, 0.05, -0.05), a)
            arrays.append(a.astype(dtype))
        return arrays


def _cotangent(result: Tensor) -> Tensor:
    """∂L/∂result for the check of a gradient: the same random numbers each time, on its device and in its dtype."""
    return Tensor(np.random.default_rng(1).standard_normal(result.shape).astype(result.dtype))


def check_forward(case: OpCase) -> None:
    """The values are those of the naive NumPy expression."""
    arrays = case.inputs()
    result = case.function(*map(Tensor, arrays)).numpy()
    expected = np.asarray(case.reference(*arrays))
    assert result.shape == expected.shape, f"{case.name}: shape {result.shape}, expected {expected.shape}"
    np.testing.assert_allclose(result, expected, rtol=1e-12, atol=1e-12, err_msg=case.name)


def check_gradients(case: OpCase) -> None:
    """First and second derivatives against central differences, and the complex step where it applies."""
    gradcheck(case.function, [Tensor(a) for a in case.inputs()], order=2, complex_step=case.analytic)


def check_dtype_and_shape(case: OpCase) -> None:
    """float32 in, float32 out, result and gradients; a gradient has its input's shape; likewise float64."""
    for dtype in (np.float32, np.float64):
        leaves = [Tensor(a, requires_grad=True) for a in case.inputs(dtype)]
        result = case.function(*leaves)
        assert result.dtype == dtype, f"{case.name}: {np.dtype(dtype)} in, {result.dtype} out"
        first = grad(result, leaves, _cotangent(result), create_graph=True)
        recorded = [g for g in first if g.requires_grad]
        second = [grad((g * g).sum(), leaves, retain_graph=True) for g in recorded]
        for gradients in (first, *second):
            for x, g in zip(leaves, gradients, strict=True):
                found = f"{case.name}: gradient {g.dtype}{g.shape} of {x.dtype}{x.shape}"
                assert (g.dtype, g.shape) == (x.dtype, x.shape), found


def check_float32_close_to_float64(case: OpCase) -> None:
    """float32 loses digits, not the result."""
    results = []
    for dtype in (np.float32, np.float64):
        leaves = [Tensor(a.astype(dtype), requires_grad=True) for a in case.inputs(np.float32)]
        result = case.function(*leaves)
        results.append([result.numpy(), *(g.numpy() for g in grad(result, leaves, _cotangent(result)))])
    for narrow, wide in zip(*results, strict=True):
        atol = case.float32_rtol * np.abs(wide).max(initial=1e-30)
        np.testing.assert_allclose(narrow, wide, rtol=case.float32_rtol, atol=atol, err_msg=case.name)


def check_non_contiguous(case: OpCase) -> None:
    """Values that lie scattered in memory (here: every other one, axes reversed) give the same result and gradients."""
    arrays = case.inputs()
    scattered = []
    for a in arrays:
        room = np.zeros(tuple(2 * n for n in reversed(a.shape)))
        every_other: Any = (..., *(slice(None, None, 2),) * a.ndim)
        view = room[every_other]
        view[...] = a.T
        scattered.append(view.T)
    results = []
    for version in (arrays, scattered):
        leaves = [Tensor(np.zeros_like(a), requires_grad=True) for a in version]
        for leaf, a in zip(leaves, version, strict=True):
            leaf._array = a  # past the constructor, whose copy would be contiguous
        result = case.function(*leaves)
        results.append([result.numpy(), *(g.numpy() for g in grad(result, leaves, _cotangent(result)))])
    for plain, other in zip(*results, strict=True):
        np.testing.assert_allclose(other, plain, rtol=1e-12, atol=1e-12, err_msg=case.name)


def check_inputs_unchanged(case: OpCase) -> None:
    """Neither forward nor backward writes into the inputs."""
    leaves = [Tensor(a, requires_grad=True) for a in case.inputs()]
    before = [x.numpy() for x in leaves]
    grad(case.function(*leaves).sum(), leaves)
    for x, old in zip(leaves, before, strict=True):
        assert np.array_equal(x.numpy(), old), f"{case.name} changed its input"


def check_gpu_equals_cpu(case: OpCase) -> None:
    """The same values and gradients on the device chosen by tg.use("gpu") as on the CPU, without leaving it."""
    results = []
    device = backend.device()
    try:
        for place in ("cpu", "gpu"):
            backend.use(place)
            leaves = [Tensor(a, requires_grad=True) for a in case.inputs()]
            result = case.function(*leaves)
            first = grad(result, leaves, _cotangent(result), create_graph=True)
            assert {result.device, *(g.device for g in first)} == {place}, f"{case.name}: left the {place}"
            results.append([result.numpy(), *(g.numpy() for g in first)])
    finally:
        backend.use(device)
    for cpu, gpu in zip(*results, strict=True):
        np.testing.assert_allclose(gpu, cpu, rtol=1e-9, atol=1e-11, err_msg=case.name)


def check_no_grad_records_nothing(case: OpCase) -> None:
    """Under no_grad the result stands alone."""
    with no_grad():
        result = case.function(*(Tensor(a, requires_grad=True) for a in case.inputs()))
    assert not result.requires_grad and result.op is None, f"{case.name}: recorded under no_grad"


CHECKS: dict[str, Callable[[OpCase], None]] = {
    check.__name__.removeprefix("check_"): check
    for check in (
        check_forward,
        check_gradients,
        check_dtype_and_shape,
        check_float32_close_to_float64,
        check_non_contiguous,
        check_inputs_unchanged,
        check_no_grad_records_nothing,
    )
}


def check_case(case: OpCase) -> None:
    """Every check that needs no GPU. Raises AssertionError, or its kin GradientError, naming the case."""
    for check in CHECKS.values():
        check(case)
