"""The gradient check, checked: right functions pass, each of a bank of wrong ones fails with the right guess."""

import numpy as np
import pytest

import tinygan as tg
from tinygan import ops
from tinygan.errors import DTypeError, GradientError, SettingError
from tinygan.gradcheck import gradcheck_arrays, numeric_gradient
from tinygan.testing import gradcheck


def tensor(*shape, seed=0):
    return tg.Tensor(np.random.default_rng(seed).uniform(0.5, 2.0, shape))


def make(forward, backward, composed=None):
    """A function of Tensors whose derivative is what `backward(op, grad)` says, right or wrong."""

    class Made(tg.Op):
        def forward(self, *arrays):
            return forward(*arrays)

        def backward(self, grad):
            return backward(self, grad)

    if composed is not None:
        Made.composed = staticmethod(composed)
    return lambda *x: Made()(*x)


RIGHT = {
    "polynomial": (lambda x: x**3 - 2 * x, [(3,)]),
    "two inputs": (lambda a, b: ops.tanh(a @ b), [(2, 3), (3, 2)]),
    "an input that isn't used": (lambda a, b: a * a, [(2,), (3,)]),
    "linear": (lambda x: 3 * x, [(2, 2)]),
    "a number": (lambda x: (x * x).sum(), [(2, 2)]),
    "no axes": (lambda x: ops.exp(x), [()]),
    "empty": (lambda x: x * 2, [(0, 3)]),
    "much curved": (lambda x: ops.exp(5 * x), [(3,)]),
    "large": (lambda x: 1e6 * x * x, [(3,)]),
}


@pytest.mark.parametrize("name", RIGHT)
@pytest.mark.parametrize("order", [1, 2])
def test_right_ones_pass(name, order):
    function, shapes = RIGHT[name]
    gradcheck(function, [tensor(*s, seed=i) for i, s in enumerate(shapes)], order, complex_step=True)


def test_what_it_returns_and_touches():
    x = tg.Tensor(np.array([1.0, 2.0]), requires_grad=True)
    assert gradcheck(ops.exp, x) is None
    assert x.grad is None and x.numpy().tolist() == [1, 2]


def test_on_top_level():
    assert tg.gradcheck is gradcheck


WRONG = {  # what is wrong with ∂(x²) and its kin, and what the report has to guess
    "twice": (make(np.square, lambda op, g: g * 4 * op.inputs[0]), [(3,)], "ratio 2. Exactly 2 .*: accumulated twice"),
    "half": (make(np.square, lambda op, g: g * op.inputs[0]), [(3,)], "Exactly ½ everywhere"),
    "sign": (make(np.square, lambda op, g: g * -2 * op.inputs[0]), [(3,)], "Exactly −1 times .*: a sign"),
    "transposed": (make(lambda x: (x * x).T.copy(), lambda op, g: 2 * g * op.inputs[0]), [(3, 3)], "index"),
    "transposed result": (make(np.square, lambda op, g: (g * 2 * op.inputs[0]).T), [(3, 3)], "Transposed"),
    "factor": (make(lambda x: x.mean(keepdims=True), lambda op, g: ops.broadcast_to(g, (2, 5))), [(2, 5)],
               "The ratio is 10 everywhere: a constant factor, such as a mean taken for a sum"),
    "zero": (make(np.square, lambda op, g: None), [(3,)], "0 everywhere: is the input cut off"),
    "detached": (lambda x: x.detach() ** 2, [(3,)], "cut off from the output .detached"),
    "half detached": (lambda x: x * x.detach(), [(3,)], "Exactly ½ .*: is one of two uses missing"),
    "NaN": (make(np.square, lambda op, g: g * np.nan), [(3,)], "is wrong at 3 of 3 places.* It holds NaN or infinity"),
    "one place": (make(np.square, lambda op, g: g * 2 * op.inputs[0] * np.array([1.0, 1.0, 1.001])), [(3,)],
                  r"wrong at 1 of 3 places. Worst at index \(2,\).*ratio 1.001. The ratio differs"),
    "second input": (make(np.multiply, lambda op, g: (g * op.inputs[1], g * op.inputs[1])), [(3,), (3,)],
                     r"the gradient of input 1, shape \(3,\), is wrong"),
    "a forgotten broadcast": (make(lambda x: x + np.zeros((4, 3)), lambda op, g: g[0]), [(3,)], "differs from"),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("name", WRONG)
def test_wrong_ones_are_caught(name, order):
    function, shapes, report = WRONG[name]
    with pytest.raises(GradientError, match=report) as caught:
        gradcheck(function, [tensor(*s, seed=i) for i, s in enumerate(shapes)], order)
    message = str(caught.value)
    assert message.startswith("create_graph=False: the gradient of input")
    for word in ("shape (", "Worst at index (", "analytic ", "numeric ", "ratio "):
        assert word in message


def test_right_at_first_order_wrong_at_second():
    """As if the derivative's derivative were forgotten: ∂ computed on arrays, so the graph ends there."""
    cut = make(np.exp, lambda op, g: g * op.output.detach())
    gradcheck(cut, tensor(3), order=1)
    with pytest.raises(GradientError, match="second order: the gradient of input 0"):
        gradcheck(cut, tensor(3), order=2)
    assert issubclass(GradientError, AssertionError)


def test_batch_norm_with_a_wrong_second_derivative():
    """The well-known one: mean and variance as constants in the recorded gradient; the first derivative is right."""

    class HalfNorm(ops.BatchNorm):
        def composed(self, x, gamma, beta):  # right values and gradient …
            y = super().composed(x, gamma, beta)
            frozen = super().composed(x.detach(), gamma, beta)
            return y * 0 + frozen + super().composed(x, gamma.detach(), beta.detach()) - frozen.detach()

        def backward(self, grad):
            return super().backward(grad)

    inputs = [tensor(4, 2, seed=1), tensor(2, seed=2), tensor(2, seed=3)]
    gradcheck(lambda *x: HalfNorm(1e-5)(*x), inputs, order=1)
    with pytest.raises(GradientError, match="second order"):  # … whose mixed second derivative (x and γ) is lost
        gradcheck(lambda *x: HalfNorm(1e-5)(*x), inputs, order=2)


def test_composed_that_differs_from_the_kernel():
    """First order is done both ways: by the kernel, and through `composed`."""
    function = make(np.square, lambda op, g: g * 2 * op.inputs[0], composed=lambda x: x * x * 1.01)
    with pytest.raises(GradientError, match=r"create_graph=True: .*ratio 1.01"):
        gradcheck(function, tensor(3), order=1)


def test_complex_step_sees_what_differences_cant():
    """A relative error of 10⁻⁸ drowns in the rounding of differences; the complex step subtracts nothing."""
    function = make(lambda x: 0.1 * np.exp(x), lambda op, g: g * op.output * (1 + 1e-8))
    gradcheck(function, tensor(3), order=1)
    with pytest.raises(GradientError, match="complex step: the gradient of input 0"):
        gradcheck(function, tensor(3), order=1, complex_step=True)


def test_float32_is_refused():
    with pytest.raises(
        DTypeError, match=r"gradcheck: input 1 is float32; only float64 .* dtype='float64'.*\.to\('float64'\)"
    ):
        gradcheck(ops.add, [tensor(2), tg.Tensor([1.0, 2.0])])


@pytest.mark.parametrize(
    "function, at",
    [(ops.relu, 0.0), (ops.abs, 0.0), (lambda x: ops.maximum(x, 1.0), 1.0), (ops.relu, 4e-6), (ops.relu, -9e-6)],
)
def test_kinks_are_named(function, at):
    """Exactly there, and nearer than the step is wide."""
    x = tg.Tensor(np.array([-3.0, 2.0, at]))
    with pytest.raises(
        GradientError, match=r"kink at input 0, index \(2,\), x = .*: the slope is .* on the left and .* Move this"
    ):
        gradcheck(function, x, order=1)


def test_a_kink_in_the_first_derivative_is_found_at_second_order():
    def half_square(x):
        return ops.relu(x) * x

    x = tg.Tensor(np.array([1.0, 0.0]))
    gradcheck(half_square, x, order=1, atol=1e-4)  # differences of a parabola that ends here are off by h
    with pytest.raises(GradientError, match=r"Nearly right: .* the function is rough here"):
        gradcheck(half_square, x, order=1)
    with pytest.raises(GradientError, match=r"kink at input 0, index \(1,\)"):
        gradcheck(half_square, x, order=2, atol=1e-4)


def test_randomness_is_named():
    rng = np.random.default_rng(0)
    with pytest.raises(GradientError, match="another result each time"):
        gradcheck(lambda x: ops.dropout(x, 0.5, rng), tensor(20))


def test_order_three_isnt_silently_two():
    with pytest.raises(SettingError, match="order=3; 1 or 2"):
        gradcheck(ops.exp, tensor(2), order=3)


def test_the_seed_draws_the_cotangent():
    """An error that one cotangent misses: the sum of the gradient is right, its places are not."""
    function = make(lambda x: x * 1, lambda op, g: g[::-1])
    with pytest.raises(GradientError, match="differs from place to place"):
        gradcheck(function, tensor(3), seed=5)


# ---------------------------------------------------------------- for engines of one's own


def square(x):
    return x * x


def test_arrays_right():
    x, y = np.array([1.0, 2.0]), np.array([[3.0], [4.0]])
    gradcheck_arrays(square, lambda x: 2 * x, x)
    gradcheck_arrays(square, lambda x: [2 * x], [x])
    gradcheck_arrays(lambda a, b: a * b, lambda a, b: (np.full(2, b.sum()), np.full((2, 1), a.sum())), [x, y])
    gradcheck_arrays(lambda x: float(square(x).sum()), lambda x: 2 * x, x)
    gradcheck_arrays(np.sum, lambda x: 1.0, np.array(2.0))


def change(x):
    x *= 2
    return x


def lose(x):
    y = 2 * x
    y[0, 0] += 1
    return y


M = np.random.default_rng(0).uniform(1, 2, (3, 3))
ROW = np.array([1.0, 2.0, 3.0])
ARRAYS_WRONG = {
    "input changed": (square, change, M, r"gradient\(\) changed its input; work on a copy"),
    "input changed by f": (lambda x: change(x), lambda x: 2 * x, M, r"f\(\) changed its input"),
    "sum missing": (lambda b: M + b, lambda b: np.ones((3, 3)), ROW,
                    r"has shape \(3, 3\), the input has \(3,\). Sum missing over axis 0"),
    "sum missing, axis 1": (lambda b: M * b, lambda b: M, np.ones((3, 1)), "Sum missing over axis 1"),
    "shape": (square, lambda x: 2 * x[:2], ROW, r"has shape \(2,\), the input has \(3,\). Compare .* A gradient has"),
    "transposed": (square, lambda x: 2 * x.T, M, "Transposed"),
    "transposed shape": (square, lambda x: 2 * x.T, M[:2], r"has shape \(3, 2\), the input has \(2, 3\). Transposed"),
    "twice": (square, lambda x: 4 * x, M, "Exactly 2 everywhere: accumulated twice"),
    "sign": (square, lambda x: -2 * x, M, "a sign"),
    "mean": (lambda x: square(x).mean(), lambda x: 2 * x, M, "The ratio is 9 everywhere: .* a mean taken for a sum"),
    "one place": (square, lose, M, r"wrong at 1 of 9 places. Worst at index \(0, 0\)"),
    "too few": (np.add, lambda a, b: [a * 0 + 1], [M, M], "gave 1 arrays for 2 inputs"),
    "none at all": (np.add, lambda a, b: a * 0 + 1, [M, M], "gave 1 arrays for 2 inputs"),
    "zero": (square, np.zeros_like, M, "0 everywhere"),
    "NaN": (square, lambda x: x * np.nan, M, "NaN or infinity"),
    "kink": (np.abs, np.sign, np.array([1.0, 0.0]), r"kink at input 0, index \(1,\)"),
}  # fmt: skip


@pytest.mark.parametrize("name", ARRAYS_WRONG)
def test_arrays_wrong(name):
    f, gradient, arrays, report = ARRAYS_WRONG[name]
    arrays = [a.copy() for a in arrays] if isinstance(arrays, list) else arrays.copy()
    with pytest.raises(GradientError, match=report):
        gradcheck_arrays(f, gradient, arrays)


@pytest.mark.parametrize("value", [np.ones(2, np.float32), np.arange(3), 1.0])
def test_arrays_of_float64_alone(value):
    with pytest.raises(DTypeError, match=r"input 0 is not a float64 array; convert it by astype\('float64'\)"):
        gradcheck_arrays(square, lambda x: 2 * x, [value])


def test_numeric_gradient_is_accurate():
    x = np.random.default_rng(0).uniform(-2, 2, 5)
    (n,) = numeric_gradient(lambda x: float(np.sin(x).sum()), [x])
    np.testing.assert_allclose(n, np.cos(x), rtol=0, atol=1e-9)
