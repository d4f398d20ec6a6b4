"""Every operation, by the table in op_table.py; then what a table can't say: extremes, ties, and values at a kink."""

import decimal
import inspect

import numpy as np
import pytest
from op_table import OP_TABLE

import tinygan as tg
from tinygan import autograd, ops
from tinygan.testing import CHECKS, OpCase, check_gpu_equals_cpu

CASES = pytest.mark.parametrize("case", OP_TABLE, ids=lambda case: case.name)


@CASES
@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_case(case, check):
    check(case)


@CASES
def test_on_the_stand_in(case, fake_gpu):
    check_gpu_equals_cpu(case)


@CASES
def test_nothing_leaves_the_device(case, fake_gpu):
    leaves = [tg.Tensor(a, requires_grad=True) for a in case.inputs()]
    before = fake_gpu.device_to_host_copies
    result = case.function(*leaves)
    first = tg.grad((result * result).sum(), leaves, create_graph=True)
    if any(g.requires_grad for g in first):
        tg.grad(sum((g.sum() for g in first), start=tg.Tensor(np.float64(0), dtype="float64")), leaves)
    # A mask has as many results as it has places that are true: how many, the host has to ask.
    asked = 3 if "mask" in case.name or "places" in case.name else 0
    assert fake_gpu.device_to_host_copies - before <= asked * 3


@pytest.mark.gpu
@CASES
def test_on_a_gpu(case, real_gpu):
    check_gpu_equals_cpu(case)


# ---------------------------------------------------------------- the table is complete


def test_every_function_has_a_row():
    """Whoever adds a function to tinygan.ops without a row in the table reads its name here."""
    functions = {name for name in ops.__all__ if not inspect.isclass(getattr(ops, name))}
    named = {case.name.split()[0].rstrip(",") for case in OP_TABLE}
    assert functions <= named, f"no row in op_table.py starts with: {sorted(functions - named)}"


def test_every_op_runs_in_the_table(monkeypatch):
    """The same for Op classes: each is called by some row, or by the derivative of one."""
    called = set()
    call = autograd.Op.__call__
    monkeypatch.setattr(autograd.Op, "__call__", lambda op, *x: (called.add(type(op)), call(op, *x))[1])
    for case in OP_TABLE:
        leaves = [tg.Tensor(a, requires_grad=True) for a in case.inputs()]
        tg.grad(case.function(*leaves).sum(), leaves)
    classes = {getattr(ops, name) for name in ops.__all__ if inspect.isclass(getattr(ops, name))}
    assert classes <= called, f"no row calls: {classes - called}"


def test_names_are_unique():
    names = [case.name for case in OP_TABLE]
    assert len(set(names)) == len(names)


def test_a_wrong_operation_fails_the_checks():
    """The checks themselves can fail: a row whose derivative is off by 1 % passes none of the gradient's."""

    class Square(tg.Op):
        def forward(self, x):
            return x * x

        def backward(self, grad):
            return grad * 2.02 * self.inputs[0]

    case = OpCase("square", lambda x: Square()(x), np.square, [(3,)])
    CHECKS["forward"](case)
    with pytest.raises(tg.errors.GradientError, match=r"ratio 1.01"):
        CHECKS["gradients"](case)


# ---------------------------------------------------------------- extremes

POINTS = [0.0, 1.0, -1.0, 20.0, -20.0, 100.0, -100.0, 1e4, -1e4]


def exactly(formula, *values):
    """The formula in 80 decimal digits, as a float."""
    with decimal.localcontext(decimal.Context(prec=80)):
        return float(formula(*map(decimal.Decimal, values)))


def sigma(x):
    return 1 / (1 + (-x).exp())


EXTREMES = {  # the function, its first and second derivative
    "softplus": (ops.softplus, lambda x: (1 + x.exp()).ln(), sigma, lambda x: sigma(x) * sigma(-x)),
    "sigmoid": (
        ops.sigmoid,
        sigma,
        lambda x: sigma(x) * sigma(-x),
        lambda x: sigma(x) * sigma(-x) * (1 - 2 * sigma(x)),
    ),
    "tanh": (
        ops.tanh,
        lambda x: 1 - 2 * sigma(-2 * x),
        lambda x: 4 * sigma(2 * x) * sigma(-2 * x),
        lambda x: -8 * sigma(2 * x) * sigma(-2 * x) * (1 - 2 * sigma(-2 * x)),
    ),
    "log_softmax of (x, 0)": (
        lambda x: ops.log_softmax(ops.stack([x, 0 * x], -1))[..., 0],
        lambda x: -(1 + (-x).exp()).ln(),
        lambda x: sigma(-x),
        lambda x: -sigma(x) * sigma(-x),
    ),
    "logsumexp of (x, 1)": (
        lambda x: ops.logsumexp(ops.stack([x, 0 * x + 1], -1), -1),
        lambda x: (x.exp() + decimal.Decimal(1).exp()).ln(),
        lambda x: sigma(x - 1),
        lambda x: sigma(x - 1) * sigma(1 - x),
    ),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("name", EXTREMES)
def test_extremes(name, dtype):
    """Values, first and second derivatives from 0 to ±10⁴: finite, and right to a few units in the last place."""
    function, *formulas = EXTREMES[name]
    x = tg.Tensor(np.array(POINTS, dtype), requires_grad=True)
    y = function(x)
    (first,) = tg.grad(y.sum(), x, create_graph=True)
    (second,) = tg.grad(first.sum(), x)
    eps = np.finfo(dtype).eps
    # What cancels keeps its digits after the point alone: tanh′ = 1 − y², log of nearly 1, σ″ at 0. The rest keeps all.
    cancels = {"tanh": (1, 2), "sigmoid": (2,), "log_softmax of (x, 0)": (0, 1, 2), "logsumexp of (x, 1)": (1, 2)}
    for order, (result, formula) in enumerate(zip((y, first, second), formulas, strict=True)):
        expected = np.array([exactly(formula, point) for point in POINTS])
        atol = 4 * eps if order in cancels.get(name, ()) else 10 * np.finfo(dtype).tiny
        assert np.isfinite(result.numpy()).all()
        np.testing.assert_allclose(result.numpy(), expected, rtol=30 * eps, atol=atol, err_msg=f"{name}, order {order}")


def test_softmax_family_doesnt_feel_a_shift():
    """10⁴ more on every logit costs no digits, though in float32 such a sum is rounded by 0.0005."""
    x = np.array([[0.0, -1.0, 2.0, 0.5]], np.float32)
    for function in (ops.softmax, ops.log_softmax):
        np.testing.assert_allclose(function(x + np.float32(8192)).numpy(), function(x).numpy(), rtol=2e-6)
    moved = tg.Tensor(x + np.float32(8192), requires_grad=True)
    np.testing.assert_allclose(tg.grad(ops.logsumexp(moved), moved)[0].numpy(), ops.softmax(x).numpy(), rtol=2e-6)
    with np.errstate(all="ignore"):  # nothing at all has the probability 0: its logarithm is −∞, not NaN
        assert ops.logsumexp(np.full(3, -np.inf)).item() == -np.inf
        assert ops.softmax(np.array([0.0, -np.inf])).numpy().tolist() == [1, 0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("sign", [1, -1])
def test_the_logistic_loss_at_extreme_logits(sign, dtype):
    """Law 3: −log σ(±logit) has a value and a gradient at any logit, with no warning on the way."""
    x = tg.Tensor(np.array(POINTS, dtype), requires_grad=True)
    loss = ops.softplus(sign * x).mean()
    (gradient,) = tg.grad(loss, x)
    expected = [sign * exactly(sigma, sign * p) / len(POINTS) for p in POINTS]
    np.testing.assert_allclose(gradient.numpy(), expected, rtol=1e-5, atol=1e-37)
    assert np.isfinite(loss.item())


# ---------------------------------------------------------------- ties and kinks


def gradient_of(function, *values):
    leaves = [tg.Tensor(np.array(v, np.float32), requires_grad=True) for v in values]
    return [g.numpy().tolist() for g in tg.grad(function(*leaves).sum(), leaves)]


def test_ties_share():
    assert gradient_of(ops.maximum, [1, 2, 3], [1, 3, 2]) == [[0.5, 0, 1], [0.5, 1, 0]]
    assert gradient_of(ops.minimum, [1, 2, 3], [1, 3, 2]) == [[0.5, 1, 0], [0.5, 0, 1]]
    assert gradient_of(lambda x: ops.max(x, 1), [[2, 1, 2, 0], [3, 3, 3, 3]]) == [[[0.5, 0, 0.5, 0], [0.25] * 4]]
    assert gradient_of(lambda x: ops.min(x, 1), [[2, 1, 1, 1], [0, 3, 3, 3]]) == [
        [[0, *[1 / np.float32(3)] * 3], [1, 0, 0, 0]]
    ]
    assert gradient_of(ops.max, [[5, 5], [1, 5]]) == [[[1 / np.float32(3)] * 2, [0, 1 / np.float32(3)]]]
    assert gradient_of(lambda x: ops.clip(x, -1, 1), [-2, -1, 0, 1, 2]) == [[0, 0.5, 1, 0.5, 0]]
    assert gradient_of(lambda x: ops.maximum(x, x), [1, -1]) == [[1, 1]]


def test_at_the_kink():
    """DESIGN §4: the slope is that of the negative side at exactly 0, and at −0 too."""
    points = [0.0, -0.0, 1e-30, -1e-30]
    assert gradient_of(ops.leaky_relu, points) == [[np.float32(0.2), np.float32(0.2), 1, np.float32(0.2)]]
    assert gradient_of(lambda x: ops.leaky_relu(x, 0.5), points) == [[0.5, 0.5, 1, 0.5]]
    assert gradient_of(ops.relu, points) == [[0, 0, 1, 0]]
    assert gradient_of(ops.abs, points) == [[0, 0, 1, -1]]
    assert gradient_of(lambda x: ops.leaky_relu(x, -2.0), points) == [[-2, -2, 1, -2]]
    assert gradient_of(lambda x: x**2, [0.0]) == [[0]] and gradient_of(lambda x: x**0, [0.0]) == [[0]]


def test_slopes_keep_their_side_in_the_second_derivative():
    g, x = (tg.Tensor(np.array(v, np.float32), requires_grad=True) for v in ([1.0, 1, 1], [0.0, 2, -2]))
    y = ops.leaky_relu(x, 0.25)
    (first,) = tg.grad(y, x, g, create_graph=True)
    assert tg.grad(first.sum(), g)[0].numpy().tolist() == [0.25, 1, 0.25]


def test_not_a_number_stays_one():
    """max(x, slope·x) must not swallow a NaN."""
    for function in (ops.leaky_relu, ops.relu, ops.tanh, ops.sigmoid, ops.softplus, ops.max, ops.sum, ops.logsumexp):
        with np.errstate(all="ignore"):
            assert np.isnan(function(tg.Tensor(np.array([1.0, np.nan], np.float32))).numpy()).any(), function
    one = ops.leaky_relu(np.array([np.inf, -np.inf], np.float32)).numpy()
    assert one.tolist() == [np.inf, -np.inf]


# ---------------------------------------------------------------- whole numbers, and what the inputs may be


@pytest.mark.parametrize(
    "function", [ops.tanh, ops.sigmoid, ops.softplus, ops.leaky_relu, ops.exp, ops.mean, ops.softmax]
)
def test_integers_become_float32(function):
    whole = np.array([[1, 2], [3, 4]])
    result = function(tg.Tensor(whole))
    assert result.dtype == np.float32
    np.testing.assert_allclose(result.numpy(), function(whole.astype(np.float32)).numpy(), rtol=1e-6)
    assert ops.dropout(tg.Tensor(whole), 0.3, np.random.default_rng(0)).dtype == np.float32


def test_small_integers_dont_wrap():
    assert ops.min(tg.Tensor(np.array([0, 5], np.uint8))).item() == 0
    assert ops.min(tg.Tensor(np.array([-128, 5], np.int8))).item() == -128
    assert ops.mean(tg.Tensor(np.array([200, 200], np.uint8))).item() == 200


@pytest.mark.parametrize(
    "function",
    [ops.sum, ops.mean, ops.exp, ops.max, ops.relu, ops.softmax, ops.transpose, lambda x: ops.reshape(x, -1)],
    ids=["sum", "mean", "exp", "max", "relu", "softmax", "transpose", "reshape"],
)
def test_lists_and_arrays_will_do(function):
    values = [[1.0, 2.0], [3.0, 5.0]]
    expected = function(tg.Tensor(values)).numpy()
    for operand in (values, np.array(values, np.float32)):
        np.testing.assert_array_equal(function(operand).numpy(), expected)


def test_numpy_numbers_are_numbers():
    x = tg.Tensor(np.arange(6.0))
    assert x.reshape(np.int64(2), np.int64(3)).sum(axis=np.int64(0)).shape == (3,)
    assert ops.reshape(x, np.int64(6)).shape == (6,)
    assert ops.conv(np.ones((1, 4, 4, 1)), np.ones((3, 3, 1, 1)), np.int64(1), np.int64(1)).shape == (1, 4, 4, 1)


def test_index_arrays_are_kept_as_they_were():
    """A shuffled-in-place permutation between forward and backward must not move the gradient."""
    order = np.array([0, 0, 1])
    x = tg.Tensor([1.0, 2.0, 3.0], requires_grad=True)
    y = x[order]
    order[:] = 2
    assert tg.grad(y.sum(), x)[0].numpy().tolist() == [2, 1, 0]


# ---------------------------------------------------------------- errors teach (law 9)

A = tg.Tensor(np.ones((3, 4), np.float32))
BAD = {
    "add": (lambda: A + np.ones((2, 4), np.float32), r"Add: inputs of shapes \(3, 4\) and \(2, 4\) don't fit"),
    "where's shapes": (lambda: ops.where(np.ones(5, bool), A, A), r"Where: inputs of shapes \(5,\) and \(3, 4\) and"),
    "where's condition": (lambda: ops.where(A, A, A), "condition is float32; compare"),
    "power": (lambda: A ** np.ones(4), "exponent is a number"),
    "power of a Tensor": (lambda: A ** tg.Tensor(2.0, requires_grad=True), r"exp\(p \* log\(x\)\)"),
    "mix": (lambda: A * np.ones(4), "Mul: float32 and float64 don't mix; convert one"),
    "matmul": (lambda: A @ A,
               r"\(3, 4\) @ \(3, 4\): the last axis of the left is 4 long, the rows of the right are 3. Is one"),
    "matmul of a number": (lambda: ops.matmul(A, tg.Tensor(2.0)), r"scalars multiply with \*"),
    "matmul's batches": (lambda: ops.matmul(np.ones((2, 3, 4)), np.ones((3, 4, 1))), r"Matmul: inputs of shapes"),
    "reshape": (lambda: A.reshape(5, -1), r"shape \(3, 4\) has 12 elements, which don't fit into \(5, -1\)"),
    "reshape by negatives": (lambda: A.reshape(-3, -4), r"don't fit into \(-3, -4\)"),
    "transpose": (lambda: A.transpose(0, 0), "name each axis from 0 to 1 once"),
    "broadcast_to": (lambda: ops.broadcast_to(A, (3, 5)), r"\(3, 4\) doesn't broadcast to \(3, 5\)"),
    "broadcast_to less": (lambda: ops.broadcast_to(A, (4,)), r"\(3, 4\) doesn't broadcast to \(4,\)"),
    "concatenate": (lambda: ops.concatenate([A, A.T]), r"the other axes differ in \(3, 4\) and \(4, 3\)"),
    "concatenate axis": (lambda: ops.concatenate([A, A], 2), r"axis 2 of shape \(3, 4\)"),
    "concatenate nothing": (lambda: ops.concatenate([]), "at least one"),
    "stack": (lambda: ops.stack([A, A.T]), r"the shapes differ: \(3, 4\) and \(4, 3\)"),
    "stack axis": (lambda: ops.stack([A], 3), "axis 3"),
    "stack nothing": (lambda: ops.stack([]), "of 0 Tensors"),
    "pad": (lambda: ops.pad(A, [(0, 1)]), "before, after"),
    "pad less than nothing": (lambda: ops.pad(A, -1), "≥ 0"),
    "sum axis": (lambda: A.sum(2), r"sum: axis 2 of shape \(3, 4\); axes are -2 to 1"),
    "sum axis twice": (lambda: A.mean((0, -2)), "each once"),
    "mean of nothing": (lambda: ops.mean(np.ones((0, 2)), 0), r"axis 0 of shape \(0, 2\): there is nothing"),
    "take": (lambda: ops.take(A, [0], 2), r"axis 2 of shape \(3, 4\)"),
    "dropout": (lambda: ops.dropout(A, 1.0), "rate 1.0; a number from 0"),
    "batch_norm": (lambda: ops.batch_norm(A, np.ones(3, "f4"), np.ones(4, "f4")),
                   r"x \(…, C\) = \(3, 4\) needs .* \(3,\) and \(4,\)"),
    "scale_and_shift": (lambda: ops.scale_and_shift(A, np.ones(3, "f4"), np.ones(4, "f4")),
                        r"x \(…, C\) = \(3, 4\) needs scale and shift \(C,\); they are \(3,\) and \(4,\)"),
    "batch_norm of one": (lambda: ops.batch_norm(A[:1], A[0], A[0]), "1 value a feature, whose variance is 0"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_errors_name_what_is_wrong(name):
    function, message = BAD[name]
    with pytest.raises(tg.errors.TinyganError, match=message):
        function()


def test_an_index_out_of_bounds():
    with pytest.raises(IndexError):
        A[3]
    with pytest.raises(IndexError):
        ops.take(A, [0, 4], 1)


@pytest.mark.parametrize("function", [ops.abs, ops.relu, ops.max, ops.min, lambda x: ops.maximum(x, 0)])
def test_what_is_not_analytic_has_no_complex_step(function):
    with pytest.raises(tg.errors.DTypeError, match=r"not analytic.*complex_step=False"):
        function(tg.Tensor(np.array([1 + 1j])))


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int64", "bool"])
@pytest.mark.parametrize("name", ["exp", "sqrt", "sigmoid", "softplus", "tanh", "softmax", "log_softmax", "logsumexp"])
def test_integers_are_computed_as_float32(name, dtype):
    """NumPy makes float16 or float64 of integers, and lets small ones wrap around."""
    function, values = getattr(tg.ops, name), np.array([0, 1], dtype)
    result = function(tg.Tensor(values))
    assert result.dtype == np.float32
    expected = function(tg.Tensor(values.astype(np.float32))).numpy()
    np.testing.assert_allclose(result.numpy(), expected, rtol=1e-6)


def test_a_list_beside_integers_is_float32():
    assert tg.ops.add(tg.Tensor([1, 2]), [0.5, 0.5]).dtype == np.float32


def test_transpose_takes_numpy_integers():
    assert tg.Tensor(np.zeros((2, 3))).transpose(np.int64(1), np.int64(0)).shape == (3, 2)
