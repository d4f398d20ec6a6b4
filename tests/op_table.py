"""The table that drives the tests of all operations: one row for each, and for each variant worth a test of its own.

A row's reference says the same in NumPy, as naively as possible. To add an operation, add a row (see test_ops.py for
what is then checked).
"""

import itertools

import numpy as np

from tinygan import Tensor, backend, ops
from tinygan.ops.convolution import conv_and_bias, conv_transpose_and_bias
from tinygan.testing import OpCase

# ---------------------------------------------------------------- references that need more than a line


def pairs(padding, rank):
    """Any padding but "same" as (before, after) for each axis."""
    entries = [padding] * rank if isinstance(padding, int) else padding
    return [(p, p) if isinstance(p, int) else tuple(p) for p in entries]


def naive_conv(x, w, stride=1, padding=0):
    """By explicit loops over outputs; "same" by its definition, ⌈n/s⌉ outputs, the odd zero at the end."""
    rank = w.ndim - 2
    strides = [stride] * rank if isinstance(stride, int) else stride
    sizes, kernel = x.shape[1:-1], w.shape[:rank]
    if padding == "same":
        outputs = [-(-n // s) for n, s in zip(sizes, strides, strict=True)]
        total = [max((o - 1) * s + k - n, 0) for o, s, k, n in zip(outputs, strides, kernel, sizes, strict=True)]
        around = [(t // 2, t - t // 2) for t in total]
    else:
        around = pairs(padding, rank)
        outputs = [(n + a + b - k) // s + 1 for n, (a, b), k, s in zip(sizes, around, kernel, strides, strict=True)]
    x = np.pad(x, [(0, 0), *around, (0, 0)])
    y = np.zeros((x.shape[0], *outputs, w.shape[-1]))
    for place in itertools.product(*map(range, outputs)):
        window = tuple(slice(i * s, i * s + k) for i, s, k in zip(place, strides, kernel, strict=True))
        for n in range(x.shape[0]):
            for o in range(w.shape[-1]):
                y[(n, *place, o)] = (x[(n, *window)] * w[..., o]).sum()
    return y


def naive_conv_transpose(x, w, stride=1, padding=0, output_padding=0):
    """Each value of x stamps w onto the output, whose border is then cut off; w is (*kernel, out, in)."""
    rank = w.ndim - 2
    strides = [stride] * rank if isinstance(stride, int) else stride
    extra = [output_padding] * rank if isinstance(output_padding, int) else output_padding
    sizes, kernel = x.shape[1:-1], w.shape[:rank]
    if padding == "same":
        total = [max(k - s, 0) for k, s in zip(kernel, strides, strict=True)]
        around = [(t // 2, t - t // 2) for t in total]
        full = [max(n * s, (n - 1) * s + k) for n, s, k in zip(sizes, strides, kernel, strict=True)]
    else:
        around = pairs(padding, rank)
        full = [(n - 1) * s + k + e for n, s, k, e in zip(sizes, strides, kernel, extra, strict=True)]
    y = np.zeros((x.shape[0], *full, w.shape[-2]))
    for place in itertools.product(*map(range, sizes)):
        window = tuple(slice(i * s, i * s + k) for i, s, k in zip(place, strides, kernel, strict=True))
        for n in range(x.shape[0]):
            y[(n, *window)] += w @ x[(n, *place)]
    return y[(slice(None), *(slice(a, n - b) for (a, b), n in zip(around, full, strict=True)))]


def naive_filter_gradient(x, g, kernel, stride, padding):
    """∂⟨conv(x, w), g⟩/∂w, one entry of w at a time: conv is linear in w."""
    shape = (*kernel, x.shape[-1], g.shape[-1])
    result = np.zeros(shape)
    for index in np.ndindex(shape):
        w = np.zeros(shape)
        w[index] = 1
        result[index] = (naive_conv(x, w, stride, padding) * g).sum()
    return result


def constant_like(x, values):
    """A Tensor of these values, where x is and in its dtype."""
    return Tensor(np.array(values), dtype=x.dtype)


def naive_batch_norm(x, gamma, beta, eps=1e-5):
    y = np.empty_like(x)
    for c in range(x.shape[-1]):
        column = x[..., c]
        y[..., c] = gamma[c] * (column - column.mean()) / np.sqrt(column.var() + eps) + beta[c]
    return y


def naive_scatter(index, shape):
    def reference(x):
        y = np.zeros(shape)
        for place, value in zip(np.arange(y.size).reshape(shape)[index].ravel(), x.ravel(), strict=True):
            y.ravel()[place] += value
        return y

    return reference


def mask(shape, rate, seed):
    return (np.random.default_rng(seed).random(shape, np.float32) >= rate) / (1 - rate)


def striped(a, b):
    """A condition of their common shape: true, false, true, …"""
    shape = np.broadcast_shapes(a.shape, b.shape)
    return (np.arange(np.prod(shape, dtype=int)) % 2 == 0).reshape(shape)


def beside(index, x):
    """The arrays in this index where x is."""
    return tuple(backend.to_device(i, x.device) if isinstance(i, np.ndarray) else i for i in index)


def logistic(x):
    return 1 / (1 + np.exp(-x))


def naive_softmax(x, axis=-1):
    return np.exp(x) / np.exp(x).sum(axis=axis, keepdims=True)


ROWS = np.array([2, 0, 2, 1, 2])  # with repeats: their gradients add up
GRID = np.array([[0, 2], [2, 2]])
PICK = np.array([[True, False, True, False], [False, False, True, True], [True, True, False, False]])
POSITIVE = (0.3, 3.0)

# ---------------------------------------------------------------- the table

OP_TABLE: list[OpCase] = []


def row(name, function, reference, *shapes, **settings):
    OP_TABLE.append(OpCase(name, function, reference, shapes, **settings))


# Two operands. The shapes: alike, broadcast both ways, against a number of axes less, against no axes.
BROADCASTS = (((3, 4), (3, 4)), ((3, 1, 4), (2, 1)), ((4,), (2, 3, 4)), ((2, 3), ()), ((1, 1), (1,)))
for a, b in BROADCASTS:
    row(f"add {a} {b}", ops.add, lambda a, b: a + b, a, b)
    row(f"sub {a} {b}", ops.sub, lambda a, b: a - b, a, b)
    row(f"mul {a} {b}", ops.mul, lambda a, b: a * b, a, b)
    row(f"div {a} {b}", ops.div, lambda a, b: a / b, a, b, domain=POSITIVE)
    row(f"maximum {a} {b}", ops.maximum, np.maximum, a, b, analytic=False)
    row(f"minimum {a} {b}", ops.minimum, np.minimum, a, b, analytic=False)
    row(f"where {a} {b}", lambda a, b: ops.where(striped(a, b), a, b), lambda a, b: np.where(striped(a, b), a, b), a, b)
row("where, condition broadcast", lambda a, b: ops.where([[True], [False]], a, b),
    lambda a, b: np.where([[True], [False]], a, b), (3,), (2, 3))  # fmt: skip
row("div of negatives", lambda a, b: -a / -b, lambda a, b: a / b, (3, 2), (2,), domain=POSITIVE)
row("add itself", lambda a: a + a, lambda a: 2 * a, (3,))
row("mul itself", lambda a: a * a, lambda a: a**2, (2, 3))
row("div by itself + 1", lambda a: a / (a + 1), lambda a: a / (a + 1), (4,), domain=POSITIVE)
row("sub from a number", lambda a: 1 - a, lambda a: 1 - a, (2, 2))
row("div of a number", lambda a: 2 / a, lambda a: 2 / a, (5,), domain=POSITIVE)
row("mul array @ left", lambda a: np.arange(3.0, dtype=str(a.dtype)) * a, lambda a: np.arange(3.0) * a, (2, 3))
row("where on a comparison", lambda a: ops.where(a > 0, a * a, -3 * a), lambda a: np.where(a > 0, a * a, -3 * a),
    (3, 4), kinks=(0.0,), analytic=False)  # fmt: skip

# One operand, element by element.
row("neg", ops.neg, lambda x: -x, (3, 2))
row("exp", ops.exp, np.exp, (3, 2))
row("log", ops.log, np.log, (3, 2), domain=POSITIVE)
row("sqrt", ops.sqrt, np.sqrt, (3, 2), domain=POSITIVE)
row("abs", ops.abs, np.abs, (3, 4), kinks=(0.0,), analytic=False)
row("power 2", lambda x: x**2, lambda x: x * x, (2, 3))
row("power 3", lambda x: ops.power(x, 3), lambda x: x * x * x, (5,))
row("power 1", lambda x: ops.power(x, 1), lambda x: x, (5,))
row("power 0", lambda x: ops.power(x, 0) + x, lambda x: 1 + x, (5,))
row("power −2", lambda x: x**-2, lambda x: 1 / (x * x), (5,), domain=POSITIVE)
row("power ½", lambda x: x**0.5, np.sqrt, (5,), domain=POSITIVE)
row("power 2.7", lambda x: x**2.7, lambda x: np.exp(2.7 * np.log(x)), (5,), domain=POSITIVE)
row("clip", lambda x: ops.clip(x, -1, 0.5), lambda x: np.clip(x, -1, 0.5), (4, 5), kinks=(-1, 0.5), analytic=False)
row("tanh", ops.tanh, np.tanh, (3, 4))
row("sigmoid", ops.sigmoid, logistic, (3, 4))
row("softplus", ops.softplus, lambda x: np.log(1 + np.exp(x)), (3, 4))
row("relu", ops.relu, lambda x: np.maximum(x, 0), (4, 4), kinks=(0.0,), analytic=False)
for slope in (0.2, 0.0, 1.0, 1.5, -0.3):
    row(f"leaky_relu {slope}", lambda x, slope=slope: ops.leaky_relu(x, slope),
        lambda x, slope=slope: np.where(x > 0, x, slope * x), (4, 4), kinks=(0.0,), analytic=False)  # fmt: skip
    row(f"LeakyReLUGradient {slope}", lambda g, x, slope=slope: ops.LeakyReLUGradient(slope)(g, x),
        lambda g, x, slope=slope: g * np.where(x > 0, 1, slope), (4, 4), (4, 4), kinks=(0.0,),
        analytic=slope == 0.2)  # fmt: skip
row("dropout", lambda x: ops.dropout(x, 0.4, np.random.default_rng(7)), lambda x: x * mask(x.shape, 0.4, 7), (5, 6))
row("dropout of nothing", lambda x: ops.dropout(x, 0.0, np.random.default_rng(7)), lambda x: x, (5,))

# Sums and their kin.
for axis, keepdims in (
    (None, False),
    (None, True),
    (0, False),
    (-1, True),
    ((0, 1), False),
    ((0, 2), True),
    ((), True),
):
    settings = {"axis": axis, "keepdims": keepdims}
    variant = f"axis={axis}" + ", keepdims" * keepdims
    row(f"sum {variant}", lambda x, s=settings: ops.sum(x, **s), lambda x, s=settings: np.sum(x, **s), (2, 3, 4))
    row(f"mean {variant}", lambda x, s=settings: x.mean(**s), lambda x, s=settings: np.mean(x, **s), (2, 3, 4))
    row(f"max {variant}", lambda x, s=settings: ops.max(x, **s), lambda x, s=settings: np.max(x, **s), (2, 3, 4),
        analytic=False)  # fmt: skip
    row(f"min {variant}", lambda x, s=settings: ops.min(x, **s), lambda x, s=settings: np.min(x, **s), (2, 3, 4),
        analytic=False)  # fmt: skip
    row(f"logsumexp {variant}", lambda x, s=settings: ops.logsumexp(x, **s),
        lambda x, s=settings: np.log(np.sum(np.exp(x), **s)), (2, 3, 4))  # fmt: skip
row("sum of a number", ops.sum, np.sum, ())
row("sum of a vector", ops.sum, np.sum, (5,))
row("mean of squares", lambda x: ops.mean(x * x), lambda x: (x * x).mean(), (3, 2))
for axis in (-1, 0):
    row(f"softmax axis={axis}", lambda x, axis=axis: ops.softmax(x, axis), lambda x, axis=axis: naive_softmax(x, axis),
        (3, 4))  # fmt: skip
    row(f"log_softmax axis={axis}", lambda x, axis=axis: ops.log_softmax(x, axis),
        lambda x, axis=axis: np.log(naive_softmax(x, axis)), (3, 4))  # fmt: skip

# Products.
for a, b in (((3, 4), (4, 2)), ((4,), (4,)), ((3, 4), (4,)), ((4,), (4, 2)), ((2, 3, 4), (4, 5)),
             ((2, 3, 4), (2, 4, 5)),
             ((2, 1, 3, 4), (5, 4, 2)), ((4,), (2, 4, 3)), ((2, 3, 4), (4,)), ((1, 1), (1, 1))):  # fmt: skip
    row(f"matmul {a} {b}", ops.matmul, np.matmul, a, b)
row("matmul with its transpose", lambda x: x @ x.T, lambda x: x @ x.T, (3, 2))

# The same numbers in other places.
row("reshape", lambda x: ops.reshape(x, (3, 4)), lambda x: x.reshape(3, 4), (2, 6))
row("reshape −1", lambda x: x.reshape(3, -1) * x.reshape(-1, 4), lambda x: x.reshape(3, -1) ** 2, (2, 6))
row("reshape to no axes", lambda x: x.reshape(()), lambda x: x.reshape(()), (1, 1))
row("transpose", ops.transpose, np.transpose, (2, 3, 4))
row("transpose axes", lambda x: ops.transpose(x, (1, -1, 0)), lambda x: x.transpose(1, 2, 0), (2, 3, 4))
for have, wanted in (((3, 1), (3, 4)), ((4,), (2, 3, 4)), ((), (2, 2)), ((2, 1, 3), (2, 1, 3))):
    row(f"broadcast_to {have} {wanted}", lambda x, wanted=wanted: ops.broadcast_to(x, wanted),
        lambda x, wanted=wanted: np.broadcast_to(x, wanted), have)  # fmt: skip
row("concatenate", lambda a, b, c: ops.concatenate([a, b, c]), lambda *abc: np.concatenate(abc), (1, 3), (2, 3), (3, 3))
row("concatenate axis −1", lambda a, b: ops.concatenate([a, b, a], -1), lambda a, b: np.concatenate([a, b, a], -1),
    (2, 3), (2, 1))  # fmt: skip
row("concatenate with an array", lambda a: ops.concatenate([np.ones((1, 2), str(a.dtype)), a]),
    lambda a: np.concatenate([np.ones((1, 2)), a]), (2, 2))  # fmt: skip
row("stack", lambda a, b: ops.stack([a, b, a]), lambda a, b: np.stack([a, b, a]), (2, 3), (2, 3))
row("stack axis −1", lambda a, b: ops.stack([a, b], -1), lambda a, b: np.stack([a, b], -1), (2, 3), (2, 3))
row("stack numbers", lambda a, b: ops.stack([a, b]), lambda a, b: np.stack([a, b]), (), ())
row("pad", lambda x: ops.pad(x, 1), lambda x: np.pad(x, 1), (2, 3))
row("pad each side", lambda x: ops.pad(x, ((0, 2), (1, 0))), lambda x: np.pad(x, ((0, 2), (1, 0))), (2, 3))
for name, index in {
    "a number": 1, "a negative number": -1, "slices": (slice(None), slice(1, 3)), "steps": (slice(None, None, -2),),
    "None and ...": (None, ..., 0), "rows with repeats": ROWS, "a list": [2, 2, 0], "a grid": GRID,
    "a tuple in a tuple": ((1, 1, 0),), "pairs with repeats": (ROWS, ROWS[::-1]),
    "rows of a slice": (slice(1, 2), GRID),
    "a mask": PICK, "a mask of rows": np.array([True, False, True]), "one element": (1, 2),
    "an empty slice": slice(2, 2),
    "None between": (ROWS, None, slice(0, 2)), "a range": range(2), "a NumPy number": np.int64(2),
}.items():  # fmt: skip
    row(
        f"getitem {name}", lambda x, index=index: ops.getitem(x, index) * 2, lambda x, index=index: x[index] * 2, (3, 4)
    )
row("getitem of a Tensor's places", lambda x: x[(x > 0).detach()] * 1, lambda x: x[x > 0], (3, 4), kinks=(0.0,),
    analytic=False)  # fmt: skip
row("take", lambda x: ops.take(x, ROWS), lambda x: np.take(x, ROWS, 0), (3, 4))
row("take axis −1", lambda x: ops.take(x, [[0, 0], [3, 1]], -1), lambda x: np.take(x, [[0, 0], [3, 1]], -1), (3, 4))
for name, index in {"rows": (ROWS,), "slices": (slice(None), slice(0, 4, 2)), "pairs": (ROWS, ROWS)}.items():
    shape = np.zeros((3, 4))[index].shape
    row(
        f"Scatter {name}",
        lambda x, index=index: ops.Scatter(beside(index, x), (3, 4))(x),
        naive_scatter(index, (3, 4)),
        shape,
    )

# Convolutions: x (N, H, W, C), w (KH, KW, C, O).
for x, w, stride, padding in (
    ((2, 5, 6, 2), (3, 3, 2, 3), 1, 0),
    ((2, 5, 6, 2), (3, 2, 2, 1), 2, 1),
    ((1, 7, 5, 1), (4, 4, 1, 2), (2, 1), "same"),
    ((1, 6, 6, 2), (5, 5, 2, 2), 2, "same"),
    ((2, 7, 7, 1), (1, 2, 1, 2), 3, 0),  # the kernel is smaller than the stride: some of x is never seen
    ((1, 4, 5, 2), (3, 3, 2, 2), (1, 2), ((0, 2), (1, 0))),
    ((1, 2, 3, 1), (4, 5, 1, 1), 1, 2),  # the kernel is larger than the image
    ((2, 8, 2), (3, 2, 3), 2, 1),
    ((2, 7, 1), (4, 1, 2), 3, "same"),
    ((1, 5, 2), (2, 2, 1), 3, ((2, 0),)),
):
    name = f"{x} {w} stride {stride} padding {padding}"
    row(f"conv {name}", lambda x, w, s=stride, p=padding: ops.conv(x, w, s, p),
        lambda x, w, s=stride, p=padding: naive_conv(x, w, s, p), x, w)  # fmt: skip
for x, w, stride, padding, extra in (
    ((2, 3, 4, 3), (3, 3, 2, 3), 1, 0, 0),
    ((1, 3, 3, 2), (4, 4, 1, 2), 2, "same", 0),
    ((2, 2, 3, 1), (5, 5, 2, 1), 2, "same", 0),
    ((1, 3, 2, 2), (3, 2, 1, 2), 2, 1, 1),
    ((1, 2, 2, 1), (1, 2, 2, 1), 3, "same", 0),  # holes that no value reaches
    ((1, 3, 3, 1), (3, 4, 2, 1), (3, 2), ((0, 1), (2, 1)), (2, 0)),
    ((2, 4, 2), (3, 1, 2), 2, 1, 1),
    ((1, 3, 1), (2, 2, 1), 3, "same", 0),
):
    name = f"{x} {w} stride {stride} padding {padding} output_padding {extra}"
    row(f"conv_transpose {name}", lambda x, w, s=stride, p=padding, e=extra: ops.conv_transpose(x, w, s, p, e),
        lambda x, w, s=stride, p=padding, e=extra: naive_conv_transpose(x, w, s, p, e), x, w)  # fmt: skip
row("conv with a bias", lambda x, w, b: conv_and_bias(x, w, b, 2, 1),
    lambda x, w, b: naive_conv(x, w, 2, 1) + b, (2, 5, 4, 2), (3, 3, 2, 3), (3,))  # fmt: skip
row("conv_transpose with a bias", lambda x, w, b: conv_transpose_and_bias(x, w, b, 2, "same", 0),
    lambda x, w, b: naive_conv_transpose(x, w, 2, "same") + b, (2, 3, 2, 2), (4, 4, 3, 2), (3,))  # fmt: skip
row("ConvInputGradient", lambda g, w: ops.ConvInputGradient((2, 1), ((1, 0), (1, 1)), (7, 4))(g, w),
    lambda g, w: naive_conv_transpose(g, w, (2, 1), ((1, 0), (1, 1)), (1, 0)), (2, 3, 4, 2), (3, 3, 2, 2))  # fmt: skip
row("ConvFilterGradient", lambda x, g: ops.ConvFilterGradient((2, 1), ((1, 0), (1, 1)), (3, 3))(x, g),
    lambda x, g: naive_filter_gradient(x, g, (3, 3), (2, 1), ((1, 0), (1, 1))), (2, 5, 4, 2), (2, 2, 4, 3))  # fmt: skip

# Batch normalisation.
for shape in ((6, 3), (2, 3, 2), (2, 3, 3, 2), (2, 1)):
    c = shape[-1:]
    # Of two values the normalised ones are ±1 whatever they are: ∂y/∂x is but rounding.
    row(f"batch_norm {shape}", ops.batch_norm, naive_batch_norm, shape, c, c,
        float32_rtol=0.05 if shape == (2, 1) else 1e-4)  # fmt: skip
row("batch_norm eps", lambda x, g, b: ops.batch_norm(x, g, b, 0.1), lambda x, g, b: naive_batch_norm(x, g, b, 0.1),
    (5, 2), (2,), (2,))  # fmt: skip
row("batch_norm of x, γ = x's sum", lambda x: ops.batch_norm(x, x.sum(0), x[0]),
    lambda x: naive_batch_norm(x, x.sum(0), x[0]), (4, 2), float32_rtol=1e-4)  # fmt: skip
row("batch_norm, γ is β", lambda x, g: ops.batch_norm(x, g, g), lambda x, g: naive_batch_norm(x, g, g), (4, 2), (2,))
for shape in ((6, 3), (3,), (2, 3, 2), (2, 3, 3, 1)):
    row(f"scale_and_shift {shape}", ops.scale_and_shift, lambda x, a, b: a * x + b, shape, shape[-1:], shape[-1:])
row("scale_and_shift, scale is shift", lambda x, a: ops.scale_and_shift(x, a, a), lambda x, a: a * x + a, (4, 2), (2,))

# Spectral normalisation.
row("spectral_norm", lambda w: ops.spectral_norm(w, constant_like(w, [0.6, 0, 0.8])),
    lambda w: w / np.linalg.norm(w @ [0.6, 0, 0.8]), (4, 3))  # fmt: skip
row("spectral_norm to 2, of a column", lambda w: ops.spectral_norm(w, constant_like(w, [-3]), 2),
    lambda w: 2 * w / np.linalg.norm(w), (5, 1))  # fmt: skip

# What losses are made of.
row("−log σ", lambda x: ops.softplus(-x).mean(), lambda x: -np.log(logistic(x)).mean(), (5, 1))
row("−log(1 − σ)", lambda x: ops.softplus(x).mean(), lambda x: -np.log(1 - logistic(x)).mean(), (5, 1))
row("minimax", lambda real, fake: ops.softplus(-real).mean() + ops.softplus(fake).mean(),
    lambda real, fake: -np.log(logistic(real)).mean() - np.log(1 - logistic(fake)).mean(), (4, 1), (3, 1))  # fmt: skip
row(
    "hinge", lambda x: ops.relu(1 - x).mean(), lambda x: np.maximum(1 - x, 0).mean(), (6,), kinks=(1.0,), analytic=False
)
row("norm", lambda x: ops.sqrt((x * x).sum(1)), lambda x: np.sqrt((x * x).sum(1)), (3, 4))
