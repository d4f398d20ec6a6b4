"""The fast kernels against their plain twins (plain_kernels, run on NumPy arrays): numbers, threads, memory."""

import inspect
import threading

import numpy as np
import pytest

import tinygan as tg
from tinygan import backend
from tinygan.kernels import numpy_fourier, numpy_kernels, plain_kernels

PAD = ((1, 2), (0, 1))
TYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])


def draw(*shapes, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape) for shape in shapes]


def conv_arguments(n, size, channels, out, kernel, stride, padding):
    x, w = draw((n, *size, channels), (*kernel, channels, out))
    y = plain_kernels.conv(x, w, stride, padding)
    (grad,) = draw(y.shape, seed=1)
    return x, w, grad


FOURIER = [  # more images than are transformed at a time; a kernel as large as its image; stride 2
    (140, (5, 5), 20, 24, (5, 5), (1, 1), ((2, 2), (2, 2))),
    (70, (5, 4), 40, 30, (5, 4), (1, 1), ((4, 3), (3, 2))),
    (150, (8, 8), 12, 40, (6, 6), (2, 2), ((2, 3), (3, 2))),
]


def cases():
    """(kernel's name, its arguments): one image, odd batches, batches that straddle chunks, channels from 1 to many."""
    for size in (1, 7, 2**15 + 3, 2**20 + 1):
        x, g = draw((size,), (size,))
        for name in ("tanh", "sigmoid", "softplus"):
            yield name, (3 * x,)
        for slope in (0.2, 0.0, 1.5, -0.5):
            yield "leaky_relu", (x, slope)
            yield "leaky_relu_gradient", (g, x, slope)
    for shape in ((2, 1), (3, 5), (64, 3, 3, 16), (300_001, 3), (10_007, 6), (5, 4001), (33, 7, 7, 32)):
        x, g, gamma, beta = draw(shape, shape, shape[-1:], shape[-1:])
        x = 3 * x + 5
        mean, variance = x.mean(axis=tuple(range(x.ndim - 1))), x.var(axis=tuple(range(x.ndim - 1)))
        yield "batch_statistics", (x,)
        yield "batch_norm", (x, gamma, beta, mean, variance, 1e-5)
        yield "scale_and_shift", (x, gamma, beta)
        yield "batch_norm_sums", (g, x, mean, variance, 1e-5)
        sums = plain_kernels.batch_norm_sums(g, x, mean, variance, 1e-5)
        yield "batch_norm_gradient", (g, x, gamma, mean, variance, 1e-5, *sums, x.size // x.shape[-1])
        yield "sum", (x, tuple(range(x.ndim - 1)), False)
        yield "sum", (x, tuple(range(x.ndim - 1)), True)
        yield "sum", (x, tuple(range(x.ndim)), False)
        yield "sum", (x, (0,), False)
        yield "sum", (x, (x.ndim - 1,), True)
        yield "sum", (x, (), False)
    for m, n in ((1, 1), (6, 4), (50_001, 9), (3136, 128)):
        yield "spectral_norm_gradient", (*draw((m, n), (m, n), (m,), (n,)), np.float64(3.0), 2.0)
    for m, k, n in ((1, 1, 1), (3, 5, 7), (129, 64, 33), (2000, 3, 1), (5, 70, 1000), (64, 784, 512), (257, 1, 300)):
        yield "matmul", tuple(draw((m, k), (k, n)))
    for m, k, n in ((64, 96, 160), (40, 33, 50), (100, 96, 160), (160, 96, 64)):  # with a transposed matrix
        a, b = draw((m, k), (n, k))
        yield "matmul", (a, b.T)
        yield "matmul", (b, a.T)
    yield "matmul", tuple(draw((4, 3, 5), (5, 2)))
    yield "matmul", tuple(draw((4, 3, 5), (4, 5, 2)))
    for n, size, channels, out, kernel, stride, padding in (
        (1, (5, 6), 1, 1, (1, 1), (1, 1), ((0, 0), (0, 0))),
        (1, (28, 28), 1, 32, (4, 4), (2, 2), ((1, 1), (1, 1))),
        (7, (9, 8), 3, 2, (3, 2), (2, 1), PAD),
        (33, (14, 14), 32, 16, (4, 4), (2, 2), ((1, 1), (1, 1))),
        (65, (1, 20), 4, 3, (1, 5), (1, 3), ((0, 0), (2, 2))),
        (3, (5, 5), 2, 3, (1, 2), (3, 3), ((0, 0), (0, 0))),
        (9, (3, 3), 2, 2, (5, 5), (1, 1), ((2, 2), (2, 2))),
        (130, (28, 28), 1, 8, (5, 5), (1, 1), ((2, 2), (2, 2))),
        (8, (7, 7), 64, 1, (5, 5), (2, 2), ((2, 2), (2, 2))),
        (0, (5, 5), 2, 3, (3, 3), (1, 1), ((1, 1), (1, 1))),
        (5, (11, 10), 6, 9, (6, 4), (2, 2), ((4, 3), (1, 5))),
        (4, (10, 9), 3, 5, (3, 3), (3, 3), ((2, 0), (0, 1))),
        (6, (12, 9), 9, 4, (4, 3), (2, 1), ((0, 5), (2, 0))),
        *FOURIER,
    ):
        x, w, grad = conv_arguments(n, size, channels, out, kernel, stride, padding)
        b, c = draw((out,), (channels,))
        yield "conv", (x, w, stride, padding)
        yield "conv", (x, w, stride, padding, b)
        yield "conv_input_gradient", (grad, w, stride, padding, size)
        yield "conv_input_gradient", (grad, w, stride, padding, size, c)
        yield "conv_filter_gradient", (x, grad, stride, padding, kernel)
    for size in (1, 1000, 300_001):
        theta, g, m, v = draw((size,), (size,), (size,), (size,))
        yield "adam_step", (theta, g, m, v * v, 1e-2, (0.5, 0.99), 1e-8, 3)
        yield "sgd_step", (theta, g, m, 1e-2, 0.9)
        yield "sgd_step", (theta, g, None, 1e-2, 0.0)
        yield "average_step", (theta, g, 0.9)


CASES = list(cases())


def cases_where(condition):
    """A mark for the cases of which condition(name, how many numbers go in) holds."""
    chosen = []
    for i, (name, arguments) in enumerate(CASES):
        if condition(name, sum(a.size for a in arguments if isinstance(a, np.ndarray))):
            shape = "x".join(map(str, arguments[0].shape))
            chosen.append(pytest.param(name, arguments, id=f"{name}-{shape}-{i}"))
    return pytest.mark.parametrize("name, arguments", chosen)


def in_place(name):
    return name.endswith("_step")


ALL = cases_where(lambda name, size: True)
SMALL = cases_where(lambda name, size: not in_place(name) and size < 300_000)


SMALLER = cases_where(lambda name, size: size < 30_000)


def convert(arguments, dtype):
    return [a.astype(dtype) if isinstance(a, np.ndarray) else a for a in arguments]


def run(module, name, arguments):
    """What the kernel gives, or, where it works in place, its arguments afterwards: a list of arrays."""
    arguments = [a.copy() if is_array(a) else a for a in arguments]
    with np.errstate(over="ignore"):
        result = getattr(module, name)(*arguments)
    if result is None:
        return [a for a in arguments if is_array(a)]
    return [a if is_array(a) else np.asarray(a) for a in (result if isinstance(result, tuple) else (result,))]


def is_array(value):
    """Of NumPy or CuPy; not a NumPy scalar."""
    return hasattr(value, "ndim") and not isinstance(value, np.generic)


def scale_of(name, arguments, result):
    """How large the numbers are that a result was summed from; batch norm's gradient cancels down from its input."""
    source = arguments[0] if name == "batch_norm_gradient" else result
    return max(np.abs(result).max(initial=0.0), np.abs(source).max(initial=0.0))


def public(module):
    functions = {name: f for name, f in vars(module).items() if inspect.isfunction(f) and not name.startswith("_")}
    return {
        n: f
        for n, f in functions.items()
        if f.__module__.startswith("tinygan.kernels.") and not f.__module__.endswith(("geometry", "chunks"))
    }


HELPERS = {"pad_images", "im2col", "col2im"}  # of the simple conv, for students to read; the fast one has its own


def test_both_modules_have_every_kernel():
    fast, simple = public(numpy_kernels), public(plain_kernels)
    assert set(simple) - HELPERS == set(fast) - HELPERS
    for name in set(fast) - HELPERS:
        ours, theirs = (inspect.signature(f) for f in (fast[name], simple[name]))
        assert list(ours.parameters) == list(theirs.parameters), name
        assert [p.default for p in ours.parameters.values()] == [p.default for p in theirs.parameters.values()], name
    assert {name for name, _ in CASES} == set(simple) - HELPERS, "a kernel has no case here"


@TYPES
@ALL
def test_fast_equals_simple(name, arguments, dtype):
    expected = run(plain_kernels, name, convert(arguments, np.float64))
    result = run(numpy_kernels, name, convert(arguments, dtype))
    # Sums over n numbers lose up to √n units of the last place, batch norm's gradient has differences of such sums.
    tolerance = 1e-12 if dtype == np.float64 else 2e-5
    assert len(result) == len(expected)
    for r, e in zip(result, expected, strict=True):
        assert r.dtype == dtype and r.shape == e.shape
        scale = 0 if name in ("tanh", "sigmoid", "softplus", "leaky_relu") else scale_of(name, arguments, e)
        np.testing.assert_allclose(r, e, rtol=tolerance, atol=tolerance * scale)


def test_some_of_these_convolutions_are_by_fourier_transforms():
    for n, size, channels, out, kernel, stride, padding in FOURIER:
        assert numpy_fourier.is_faster((n, *size, channels), (*kernel, channels, out), stride, padding)
    assert not numpy_fourier.is_faster((64, 14, 14, 32), (4, 4, 32, 64), (2, 2), ((1, 1), (1, 1)))
    wide = (33, 33, 64, 64), (1, 1), ((16, 16), (16, 16))
    assert numpy_fourier.is_faster((8, 16, 16, 64), *wide)
    assert not numpy_fourier.is_faster((8, 64, 64, 64), *wide), "its matrices would take hundreds of MB"


@TYPES
@pytest.mark.parametrize(
    "size, kernel, stride, padding",
    [
        ((7, 7), (5, 5), (1, 1), ((2, 2), (2, 2))),
        ((4, 6), (3, 4), (1, 1), ((1, 2), (0, 3))),
        ((5, 5), (5, 5), (1, 1), ((0, 0), (0, 0))),
        ((1, 9), (1, 7), (1, 1), ((0, 0), (6, 0))),
        ((14, 12), (5, 5), (2, 2), ((1, 2), (2, 2))),
        ((15, 12), (5, 3), (3, 2), ((4, 0), (2, 0))),
        ((15, 12), (2, 3), (3, 1), ((0, 0), (1, 2))),
        ((12, 12), (1, 2), (3, 3), ((0, 0), (0, 0))),
        ((2, 2), (2, 2), (2, 2), ((0, 1), (1, 1))),
    ],
)
def test_convolutions_by_fourier_transforms_of_any_geometry(size, kernel, stride, padding, dtype):
    """Also of those for which it isn't faster."""
    x, w, grad = conv_arguments(37, size, 3, 4, kernel, stride, padding)
    b, c = draw((4,), (3,))
    for name, arguments in (
        ("conv", (x, w, stride, padding, b)),
        ("conv_input_gradient", (grad, w, stride, padding, size, c)),
        ("conv_filter_gradient", (x, grad, stride, padding, kernel)),
    ):
        expected = run(plain_kernels, name, arguments)[0]
        result = run(numpy_fourier, name, convert(arguments, dtype))[0]
        tolerance = 1e-12 if dtype == np.float64 else 2e-5
        assert result.dtype == dtype and result.shape == expected.shape
        np.testing.assert_allclose(result, expected, rtol=0, atol=tolerance * np.abs(expected).max())


def scattered(a):
    """The same values, every other element of a larger array with its axes reversed: contiguous in no way."""
    room = np.full(tuple(2 * n for n in reversed(a.shape)), np.nan, a.dtype)
    every_other = (..., *(slice(None, None, 2),) * a.ndim)
    view = room[every_other]
    view[...] = a.T
    return view.T


@SMALL
def test_scattered_inputs(name, arguments):
    expected = getattr(plain_kernels, name)(*arguments)
    inputs = [scattered(a) if isinstance(a, np.ndarray) else a for a in arguments]
    before = [a.copy() if isinstance(a, np.ndarray) else a for a in inputs]
    result = getattr(numpy_kernels, name)(*inputs)
    for a, b in zip(inputs, before, strict=True):
        assert np.array_equal(a, b), "an input was changed"
    for r, e in zip(*((x if isinstance(x, tuple) else (x,)) for x in (result, expected)), strict=True):
        np.testing.assert_allclose(r, e, rtol=1e-12, atol=1e-12 * scale_of(name, arguments, e))


@SMALL
def test_flipped_and_broadcast_inputs(name, arguments):
    """Negative and zero strides: a gradient that came from a sum is such a view."""
    for view in (
        lambda a: a[::-1],
        lambda a: np.broadcast_to(a.reshape(-1)[:1].reshape((1,) * a.ndim), a.shape) if a.size else a,
    ):
        inputs = [view(arguments[0]), *arguments[1:]]
        result, expected = getattr(numpy_kernels, name)(*inputs), getattr(plain_kernels, name)(*inputs)
        for r, e in zip(*((x if isinstance(x, tuple) else (x,)) for x in (result, expected)), strict=True):
            # The variance of equal numbers is rounding, which 1/√(v + ε) makes larger.
            tolerance = 1e-9 if "batch_norm" in name else 1e-12
            np.testing.assert_allclose(r, e, rtol=tolerance, atol=tolerance * (1 + np.abs(e).max(initial=0.0)))


# ---------------------------------------------------------------- CuPy's kernels


def run_on_gpu(name, arguments):
    """What the kernel for CuPy gives for copies of these arrays on the device, back on the host."""
    from tinygan.kernels import cupy_kernels

    there = [backend.to_device(a, "gpu") if is_array(a) else a for a in arguments]
    return [backend.to_host(a) for a in run(cupy_kernels, name, there)]


def check_gpu(name, arguments, dtype):
    expected = run(plain_kernels, name, convert(arguments, np.float64))
    tolerance = 1e-12 if dtype == np.float64 else 2e-5
    for r, e in zip(run_on_gpu(name, convert(arguments, dtype)), expected, strict=True):
        assert r.dtype == dtype and r.shape == e.shape
        np.testing.assert_allclose(r, e, rtol=tolerance, atol=tolerance * scale_of(name, arguments, e))


@TYPES
@SMALLER
def test_cupy_equals_plain_on_the_stand_in(name, arguments, dtype, fake_gpu):
    check_gpu(name, arguments, dtype)


@TYPES
@ALL
@pytest.mark.gpu
def test_cupy_equals_plain(name, arguments, dtype, real_gpu):
    check_gpu(name, arguments, dtype)


def test_cupy_has_every_kernel(fake_gpu):
    from tinygan.kernels import cupy_kernels

    ours, plain = public(cupy_kernels), public(plain_kernels)
    assert set(plain) - HELPERS == set(ours) - {"each", "sum_rows", "for_floats"}
    for name in set(plain) - HELPERS:
        assert list(inspect.signature(ours[name]).parameters) == list(inspect.signature(plain[name]).parameters), name


def test_cupy_starts_no_kernel_for_each_place_of_a_filter(fake_gpu, monkeypatch):
    """The input's gradient of a 5×5 filter would be 25 additions one after the other."""
    added = []
    monkeypatch.setattr(type(fake_gpu.cupy.zeros(1)), "__iadd__", lambda a, b: added.append(1))
    _, w, grad = (a.astype(np.float32) for a in conv_arguments(3, (14, 14), 4, 8, (5, 5), (2, 2), ((1, 2), (1, 2))))
    run_on_gpu("conv_input_gradient", (grad, w, (2, 2), ((1, 2), (1, 2)), (14, 14)))
    assert not added


# ---------------------------------------------------------------- the same bytes for any number of threads (law 7)


@TYPES
@ALL
def test_same_bytes_for_any_number_of_threads(name, arguments, dtype):
    inputs = convert(arguments, dtype)
    results = []
    for count in (1, 2, 3):
        tg.set_threads(count)
        results.append([a.tobytes() for a in run(numpy_kernels, name, inputs)])
    assert results[0] == results[1] == results[2]


def test_same_bytes_again_and_again():
    """Which thread takes which chunk varies from run to run."""
    tg.set_threads(2)
    for name in ("conv_filter_gradient", "conv_input_gradient", "conv", "batch_norm_gradient", "sum", "matmul"):
        arguments = max((args for n, args in CASES if n == name), key=lambda args: args[0].size)
        first = [a.tobytes() for a in run(numpy_kernels, name, convert(arguments, np.float32))]
        for _ in range(5):
            assert [a.tobytes() for a in run(numpy_kernels, name, convert(arguments, np.float32))] == first


# ---------------------------------------------------------------- memory


@cases_where(lambda name, size: not in_place(name))
def test_scratch_memory_never_escapes(name, arguments):
    """Two results share no memory with each other or an input, and don't change when the kernel runs again."""
    inputs = convert(arguments, np.float32)
    first = [
        np.asarray(a) for a in (lambda r: r if isinstance(r, tuple) else (r,))(getattr(numpy_kernels, name)(*inputs))
    ]
    copies = [a.copy() for a in first]
    others = [-a if isinstance(a, np.ndarray) else a for a in inputs]
    for i in {"batch_norm": [4], "batch_norm_sums": [3], "batch_norm_gradient": [4]}.get(name, []):
        others[i] = inputs[i]  # a variance
    with np.errstate(over="ignore"):
        second = getattr(numpy_kernels, name)(*others)
    second = [np.asarray(a) for a in (second if isinstance(second, tuple) else (second,))]
    for a, old in zip(first, copies, strict=True):
        assert np.array_equal(a, old)
        assert a.flags.writeable
        for b in (*second, *(i for i in inputs if isinstance(i, np.ndarray))):
            assert not np.may_share_memory(a, b)
    for i, a in enumerate(first):
        assert not any(np.may_share_memory(a, b) for b in first[:i])


def test_two_user_threads_at_once():
    """Sampling while training: kernels called from several threads don't step on each other's scratch memory."""
    tg.set_threads(2)
    x, w, _ = conv_arguments(16, (14, 14), 8, 16, (4, 4), (2, 2), ((1, 1), (1, 1)))
    expected = numpy_kernels.conv(x, w, (2, 2), ((1, 1), (1, 1))).tobytes()
    wrong = []

    def work():
        for _ in range(20):
            if numpy_kernels.conv(x, w, (2, 2), ((1, 1), (1, 1))).tobytes() != expected:
                wrong.append(threading.current_thread().name)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong
