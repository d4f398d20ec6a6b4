"""Kernels for CuPy: where plain array code would start a kernel a step, one kernel, in CUDA C for a single element.

What each computes is said by its plain twin of the same name in `plain_kernels`; some are the plain ones themselves, as
CuPy has nothing better. In the C code T is the dtype of the arrays.
"""

from collections.abc import Callable
from functools import cache, wraps
from typing import Any

from ..backend import Array, array_library
from . import plain_kernels as plain
from .blocks import Blocks
from .geometry import Padding, Pair
from .plain_kernels import conv as conv
from .plain_kernels import conv_filter_gradient as conv_filter_gradient
from .plain_kernels import matmul as matmul
from .plain_kernels import sum as sum
from .plain_kernels import tanh as tanh

Kernel = Callable[..., Any]


def for_floats(kernel: Kernel) -> Kernel:
    """The kernel, but its plain twin for numbers that aren't real: complex ones, which checks of gradients use."""
    twin: Kernel = getattr(plain, kernel.__name__)

    @wraps(kernel)
    def choose(first: Array, *rest: Any) -> Any:
        return (kernel if first.dtype.kind == "f" else twin)(first, *rest)

    return choose


def each(name: str, inputs: str, outputs: str, body: str, *arguments: Any) -> Any:
    """For each element of the inputs, broadcast: the body, which sets the outputs, in place where they are given."""
    return _elementwise(array_library(arguments[0]), name, inputs, outputs, body)(*arguments)


@cache
def _elementwise(cupy: Any, name: str, inputs: str, outputs: str, body: str) -> Any:
    return cupy.ElementwiseKernel(_typed(inputs), _typed(outputs), body, f"tinygan_{name}")


def sum_rows(name: str, inputs: str, term: str, *arguments: Array) -> Array:
    """The term, summed over all axes but the last of the first argument."""
    axes = tuple(range(arguments[0].ndim - 1))
    total: Array = _reduction(array_library(*arguments), name, inputs, term)(*arguments, axis=axes)
    return total


@cache
def _reduction(cupy: Any, name: str, inputs: str, term: str) -> Any:
    return cupy.ReductionKernel(_typed(inputs), "T total", term, "a + b", "total = a", "0", f"tinygan_{name}")


def _typed(names: str) -> str:
    return ", ".join(f"T {name}" for name in names.split())


# ---------------------------------------------------------------- activations


@for_floats
def sigmoid(x: Array) -> Array:
    return each("sigmoid", "x", "y", "y = 1 / (1 + exp(-x))", x)


@for_floats
def softplus(x: Array) -> Array:
    return each("softplus", "x", "y", "y = (x > 0 ? x : T(0)) + log1p(exp(x > 0 ? -x : x))", x)


@for_floats
def leaky_relu(x: Array, slope: float) -> Array:
    return each("leaky_relu", "x slope", "y", "y = x > 0 ? x : slope * x", x, slope)


@for_floats
def leaky_relu_gradient(grad: Array, x: Array, slope: float) -> Array:
    return each("leaky_relu_gradient", "g x slope", "y", "y = x > 0 ? g : slope * g", grad, x, slope)


# ---------------------------------------------------------------- convolution: x (N, H, W, C), w (KH, KW, C, O)


def conv_input_gradient(
    grad: Array, w: Array, stride: Pair, padding: Padding, size: Pair, bias: Array | float = 0
) -> Array:
    """A convolution of stride 1 that gives blocks of stride × stride pixels, in place of patches added one by one."""
    blocks = Blocks.of(size, w.shape[:2], stride, padding)
    if min(map(min, blocks.outer)) < 0:  # there is more padding than kernel, which is to be cut off
        return plain.conv_input_gradient(grad, w, stride, padding, size, bias)
    pixels = blocks.as_images(conv(grad, blocks.upside_down(w), (1, 1), blocks.outer))
    n, rows, down, cols, across, channels = pixels.shape
    return pixels.reshape(n, rows * down, cols * across, channels)[:, : size[0], : size[1]] + bias


# ---------------------------------------------------------------- batch normalisation: x (…, C)


@for_floats
def batch_statistics(x: Array) -> tuple[Array, Array]:
    mean = x.mean(axis=tuple(range(x.ndim - 1)))
    squares = sum_rows("batch_statistics", "x mean", "(x - mean) * (x - mean)", x, mean)
    return mean, squares / (x.size // x.shape[-1])


@for_floats
def batch_norm(x: Array, gamma: Array, beta: Array, mean: Array, variance: Array, eps: float) -> Array:
    inputs, body = "x gamma beta mean variance eps", "y = (x - mean) * (gamma / sqrt(variance + eps)) + beta"
    return each("batch_norm", inputs, "y", body, x, gamma, beta, mean, variance, eps)


@for_floats
def scale_and_shift(x: Array, scale: Array, shift: Array) -> Array:
    return each("scale_and_shift", "x scale shift", "y", "y = x * scale + shift", x, scale, shift)


@for_floats
def batch_norm_sums(grad: Array, x: Array, mean: Array, variance: Array, eps: float) -> tuple[Array, Array]:
    products = sum_rows("batch_norm_sums", "g x mean", "g * (x - mean)", grad, x, mean)
    return products * (variance + eps) ** -0.5, grad.sum(axis=tuple(range(x.ndim - 1)))


@for_floats
def batch_norm_gradient(
    grad: Array,
    x: Array,
    gamma: Array,
    mean: Array,
    variance: Array,
    eps: float,
    grad_gamma: Array,
    grad_beta: Array,
    count: int,
) -> Array:
    inputs = "g x gamma mean variance eps grad_gamma grad_beta count"
    body = """
        T inverse = 1 / sqrt(variance + eps);
        y = gamma * inverse * (g - grad_beta / count - (x - mean) * inverse * (grad_gamma / count))
    """
    arguments = grad, x, gamma, mean, variance, eps, grad_gamma, grad_beta, count
    return each("batch_norm_gradient", inputs, "y", body, *arguments)


# ---------------------------------------------------------------- spectral normalisation: w (M, N), v (M,), u (N,)


@for_floats
def spectral_norm_gradient(grad: Array, w: Array, v: Array, u: Array, sigma: Array, size: float) -> Array:
    inputs, body = "g inner v u sigma size", "y = size / sigma * (g - inner / sigma * v * u)"
    return each("spectral_norm_gradient", inputs, "y", body, grad, (grad * w).sum(), v[:, None], u, sigma, size)


# ---------------------------------------------------------------- optimisers: in place


@for_floats
def sgd_step(parameter: Array, grad: Array, velocity: Array | None, lr: float, momentum: float) -> None:
    if velocity is None:
        each("sgd_step", "g lr", "theta", "theta -= lr * g", grad, lr, parameter)
    else:
        body = "velocity = momentum * velocity + g; theta -= lr * velocity"
        each("sgd_step", "g lr momentum", "velocity theta", body, grad, lr, momentum, velocity, parameter)


@for_floats
def adam_step(
    parameter: Array, grad: Array, m: Array, v: Array, lr: float, betas: tuple[float, float], eps: float, step: int
) -> None:
    beta1, beta2 = betas
    rate, scale = lr / (1 - beta1**step), (1 - beta2**step) ** -0.5
    body = """
        m = beta1 * m + (1 - beta1) * g;
        v = beta2 * v + (1 - beta2) * g * g;
        theta -= rate * m / (scale * sqrt(v) + eps)
    """
    arguments = grad, beta1, beta2, rate, scale, eps, m, v, parameter
    each("adam_step", "g beta1 beta2 rate scale eps", "m v theta", body, *arguments)


@for_floats
def average_step(average: Array, value: Array, decay: float) -> None:
    each("average_step", "x decay", "average", "average = decay * average + (1 - decay) * x", value, decay, average)
