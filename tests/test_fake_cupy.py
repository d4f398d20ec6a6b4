"""The stand-in for CuPy refuses what CuPy refuses, counts copies, and computes what NumPy computes."""

import copy
import importlib
import importlib.util
import inspect
import math
import operator
import pickle
import sys

import fake_cupy
import numpy as np
import pytest

HOST = np.arange(6, dtype=np.float32).reshape(2, 3) - 2
OPERATORS = [operator.add, operator.sub, operator.mul, operator.truediv, operator.pow, operator.lt, operator.ge]


@pytest.fixture
def cp():
    with fake_cupy.install() as cupy:
        yield cupy


@pytest.fixture
def a(cp):
    return cp.asarray(HOST)


def check(actual, expected):
    """`actual` is on the device, `expected` is NumPy's: same shape, dtype and numbers."""
    assert type(actual) is fake_cupy.ndarray
    assert (actual.shape, actual.dtype) == (np.shape(expected), np.asarray(expected).dtype)
    np.testing.assert_array_equal(actual.get(), expected)


# ---------------------------------------------------------------- installing


@pytest.mark.parametrize("before", [None, "something else"])
def test_install_puts_back_what_stood_there(monkeypatch, before):
    monkeypatch.setitem(sys.modules, "cupy", before)
    monkeypatch.delitem(sys.modules, "cupyx", raising=False)
    with fake_cupy.install() as cupy:
        assert importlib.import_module("cupy") is cupy
        assert importlib.import_module("cupy.lib.stride_tricks") is cupy.lib.stride_tricks
        assert importlib.util.find_spec("cupyx") is not None
    assert sys.modules["cupy"] is before
    assert "cupyx" not in sys.modules


@pytest.mark.parametrize("name", ["errstate", "nditer", "random", "no_such_name"])
def test_unknown_names_are_absent(cp, name):
    with pytest.raises(AttributeError, match=f"doesn't offer '{name}'"):
        getattr(cp, name)


def test_what_is_about_the_device_is_there(cp, a):
    assert cp.cuda.runtime.getDeviceCount() == 1
    assert cp.cuda.runtime.getDeviceProperties(0)["name"]
    with cp.cuda.Device(0) as device, cp.cuda.Stream():
        assert a.device == device
    cp.cuda.get_current_stream().synchronize()
    assert cp.get_default_memory_pool().used_bytes() == 0
    assert cp.get_array_module(HOST, a) is cp
    assert cp.get_array_module(HOST) is np
    with pytest.raises(NotImplementedError, match="ElementwiseKernel it has"):
        cp.RawKernel("", "kernel")


def test_kernels_in_cuda_c_are_run(cp, a):
    """Arguments are broadcast, outputs made where none are given; T is the arrays' dtype."""
    kernel = cp.ElementwiseKernel("T x, T c", "T y, T z", "T t = x > 0 ? sqrt(x) : T(0); y = t * c; z += x", "f")
    y, z = kernel(a, cp.asarray(np.float32([1, 2, 3])), cp.empty_like(a), old := a.copy())
    check(y, np.sqrt(np.maximum(HOST, 0)) * np.float32([1, 2, 3]))
    assert z is old
    check(z, 2 * HOST)
    check(cp.ElementwiseKernel("T x", "T y", "y = 2 * x")(a.astype(cp.float64)), 2 * HOST.astype(np.float64))
    total = cp.ReductionKernel("T x, T c", "T y", "c * x", "a + b", "y = a", "0")(a, 3.0, axis=(0,))
    check(total, 3 * HOST.sum(axis=0))


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda cp, a: cp.ElementwiseKernel("T x", "T y", "y = nonsense(x)")(a), SyntaxError, "no C\\+\\+"),
        (lambda cp, a: cp.ElementwiseKernel("T i", "T y", "y = i"), ValueError, "keep for itself"),
        (lambda cp, a: cp.ElementwiseKernel("float32 x", "T y", "y = x"), ValueError, "'T name' each"),
        (lambda cp, a: cp.ElementwiseKernel("T x", "T y", "y = x")(HOST), TypeError, "Unsupported type"),
        (lambda cp, a: cp.ElementwiseKernel("T x", "T y", "y = x")(a, a[0]), ValueError, "an output of shape"),
        (lambda cp, a: cp.ElementwiseKernel("T x", "T y", "y = x")(a > 0), TypeError, "T can't be"),
        (lambda cp, a: cp.ElementwiseKernel("T x, T z", "T y", "y = x")(a, a.astype(cp.float64)), TypeError, "T can't"),
        (lambda cp, a: cp.ElementwiseKernel("T x, T z", "T y", "y = x")(a), TypeError, "1 arguments for"),
        (lambda cp, a: cp.ReductionKernel("T x", "T y", "x", "max(a, b)", "y = a", "0"), NotImplementedError, "sums"),
    ],
)
def test_kernels_that_cupy_would_refuse(cp, a, make, error, match):
    with pytest.raises(error, match=match):
        make(cp, a)


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize("convert", [np.asarray, np.array, lambda a: np.asarray([a, a]), lambda a: np.asarray(a[0, 0])])
def test_implicit_conversion_is_refused(a, convert):
    with pytest.raises(TypeError, match="Implicit conversion"):
        convert(a)


@pytest.mark.parametrize("name", ["exp", "sum", "shape", "result_type", "concatenate"])
def test_numpy_functions_are_refused_by_name(a, name):
    with pytest.raises(TypeError, match=rf"np\.{name} was called .* use cupy\.{name}"):
        getattr(np, name)([a, a] if name == "concatenate" else a)


@pytest.mark.parametrize("host", [HOST, np.array(2.0), [1.0, 2.0, 3.0], None], ids=["host", "0-d host", "list", "None"])
@pytest.mark.parametrize("op", OPERATORS)
def test_operators_refuse_what_is_not_on_the_device(a, op, host):
    with pytest.raises(TypeError, match="Unsupported type"):
        op(a, host)
    with pytest.raises(TypeError, match="Unsupported type"):
        op(host, a)


MIXING = {
    "in place": lambda cp, a: operator.iadd(a, HOST),
    "in place on the host": lambda cp, a: operator.iadd(HOST.copy(), a),
    "setitem": lambda cp, a: operator.setitem(a, slice(None), HOST),
    "setitem on the host": lambda cp, a: operator.setitem(HOST.copy(), 0, a[0]),
    "index": lambda cp, a: a[np.array([0, 1])],
    "comparison": lambda cp, a: a == HOST,
    "ufunc": lambda cp, a: cp.maximum(a, HOST),
    "ufunc of a list": lambda cp, a: cp.exp([1.0]),
    "function": lambda cp, a: cp.sum(HOST),
    "function of a scalar": lambda cp, a: cp.sum(1.0),
    "where": lambda cp, a: cp.where(a > 0, a, np.array(0.0)),
    "condition": lambda cp, a: cp.where(True, a, a),
    "in a list": lambda cp, a: cp.concatenate([a, HOST]),
    "list in a list": lambda cp, a: cp.stack([a, [[1, 2, 3], [4, 5, 6]]]),
    "einsum": lambda cp, a: cp.einsum("ij,ij->", a, HOST),
    "matmul": lambda cp, a: a @ HOST.T,
    "out": lambda cp, a: cp.exp(a, out=HOST.copy()),
    "out of NumPy": lambda cp, a: np.add(np.float32(1), a, out=HOST.copy()),
    "add.at": lambda cp, a: cp.add.at(a, cp.asarray([0]), HOST[0]),
    "fill": lambda cp, a: a.fill(np.array(1.0)),
}


@pytest.mark.parametrize("mix", MIXING.values(), ids=MIXING)
def test_host_and_device_never_mix(cp, a, mix):
    with pytest.raises(TypeError, match=r"Unsupported type|Implicit conversion"):
        mix(cp, a)
    check(a, HOST)


LACKING = {
    "where of a ufunc": lambda cp, a: cp.exp(a, where=a > 0),
    "where of a reduction": lambda cp, a: cp.sum(a, where=a > 0),
    "initial": lambda cp, a: a.max(initial=0),
    "out of einsum": lambda cp, a: cp.einsum("ij->i", a, out=cp.empty(2)),
    "mode of take": lambda cp, a: cp.take(a, 0, mode="clip"),
    "writeable of as_strided": lambda cp, a: cp.lib.stride_tricks.as_strided(a, writeable=False),
    "index as a number": lambda cp, a: range(a.argmax()),
    "hash": lambda cp, a: hash(a),
    "bytes as an array": lambda cp, a: memoryview(a),
}


@pytest.mark.parametrize("use", LACKING.values(), ids=LACKING)
def test_what_cupy_lacks_is_refused(cp, a, use):
    with pytest.raises(TypeError):
        use(cp, a)


def test_arrays_have_nothing_to_set_and_numbers_alone(cp, a):
    with pytest.raises(AttributeError):
        a.note = "mine"
    with pytest.raises(AttributeError):
        a.flags.writeable = False
    for strange in ("text", None, [object()]):
        with pytest.raises(ValueError, match="Unsupported dtype"):
            cp.asarray(strange)
    with pytest.raises(ValueError, match="Unsupported dtype"):
        a.astype(object)


def test_an_operand_that_knows_better_takes_over(a):
    class Tensor:
        __array_ufunc__ = None

        def __radd__(self, other):
            return "mine"

    class Prior:
        __array_priority__ = 1000

        def __rmul__(self, other):
            return "mine too"

    assert a + Tensor() == "mine"
    assert a * Prior() == "mine too"


# ---------------------------------------------------------------- arrays, 0-d arrays, copies


def test_there_are_no_scalars(cp, a):
    for value in (a.sum(), cp.max(a), a[0, 0], a[0][1], a.sum() + a[0, 0], cp.exp(1.0), cp.count_nonzero(a)):
        assert type(value) is fake_cupy.ndarray
        assert value.shape == ()
    check(a.sum(), HOST.sum())
    check(cp.where(a > 0, a.max(), 0), np.where(HOST > 0, HOST.max(), 0))


def test_device_to_host_copies_are_counted(cp, a):
    mask = a > 0
    one = a[0, 1]
    ways = [float, int, bool, repr, str, math.sqrt, cp.asnumpy, pickle.dumps, "{:.1f}".format]
    ways += [lambda x: x.item(), lambda x: x.get(), lambda x: x.tolist(), lambda x: a[mask], lambda x: cp.where(mask)]
    ways += [lambda x: mask.nonzero(), lambda x: operator.setitem(HOST.copy(), (0, 0), x)]
    one.fill(1)
    for way in ways:
        before = fake_cupy.device_to_host_copies
        way(one)
        assert fake_cupy.device_to_host_copies == before + 1, way


def test_work_on_the_device_copies_nothing(cp, a):
    before = fake_cupy.device_to_host_copies, fake_cupy.host_to_device_copies
    b = cp.asarray(a) + cp.zeros((2, 3)) * 2
    b[0] = a.mean(axis=0)
    b[b > 1] = 0
    b += cp.where(a > 0, a, 0)[cp.arange(2)]
    assert len(list(b)) == 2
    assert cp.array(b, copy=True).base is None
    assert (fake_cupy.device_to_host_copies, fake_cupy.host_to_device_copies) == before
    for lift in (cp.asarray, cp.array):
        lift(HOST)
    a.set(HOST)
    assert fake_cupy.host_to_device_copies == before[1] + 3
    with fake_cupy.install():
        assert (fake_cupy.device_to_host_copies, fake_cupy.host_to_device_copies) == (0, 0)


def test_copies_are_copies_and_views_are_views(cp):
    host = HOST.copy()
    a = cp.asarray(host)
    got = a.get()
    copies = [a.copy(), copy.copy(a), copy.deepcopy(a), cp.array(a), a.astype(a.dtype), a.flatten()]
    views = [a[...], a.reshape(3, 2), a.T, a.ravel(), a.view(), a[0, 0], cp.lib.stride_tricks.as_strided(a)]
    host[:] = 7
    check(a, HOST)
    a[0, 0] = 9
    assert got[0, 0] == HOST[0, 0]
    assert all(array.ravel()[0].item() == HOST[0, 0] and array.base is None for array in copies)
    assert all(array.ravel()[0].item() == 9 and array.base is not None for array in views)
    assert all(cp.shares_memory(a, view) and not view.flags.owndata for view in views)
    views[5][...] = 5  # a single element is a view too
    assert a[0, 0].item() == 5
    assert cp.asarray(a) is a
    assert a.astype(a.dtype, copy=False) is a
    assert a.data.ptr == a[0].data.ptr != a[1].data.ptr
    assert a.flags.c_contiguous
    assert not a.T.flags.c_contiguous


def test_get_into_an_array_and_pickle(a):
    out = np.empty_like(HOST)
    assert a.get(out=out) is out
    np.testing.assert_array_equal(out, HOST)
    with pytest.raises(ValueError, match="float64"):
        a.get(out=np.empty((2, 3)))
    check(pickle.loads(pickle.dumps(a)), HOST)


# ---------------------------------------------------------------- results

SAMPLES = {
    "operators": lambda xp, a: -(abs(a) ** 2) / 3 + (1 - a) * 2 - 1 / (a + 9) % 2,
    "NumPy scalar at the left": lambda xp, a: np.float32(2) * a + np.float64(1),
    "comparison": lambda xp, a: ((a >= 0) & (a != 1)) | ~(a < 2),
    "matmul": lambda xp, a: a @ a.T,
    "weak scalars": lambda xp, a: a * 0.1 + 1,
    "promotion": lambda xp, a: a + a.astype(xp.float64).sum(),
    "silent overflow": lambda xp, a: xp.where(xp.isfinite(xp.exp(a * 1e5)), 0, xp.log1p(xp.square(a)) / 2),
    "ufuncs": lambda xp, a: xp.logaddexp(xp.maximum(a, 0), xp.tanh(a)) * xp.sign(a),
    "mean, var": lambda xp, a: a.mean(axis=0) + xp.var(a, axis=0, keepdims=True),
    "any, all": lambda xp, a: xp.any(a > 2, axis=1) == (a > 2).all(axis=1),
    "prod, cumsum": lambda xp, a: a.cumsum(axis=1) + xp.prod(a),
    "index": lambda xp, a: a[:, None, ::-2] + a[..., 1:2, None],
    "fancy index": lambda xp, a: a[xp.arange(2), a.argmax(axis=1)] + a[a > 1][:1] + a[[1, 0], -1],
    "take": lambda xp, a: xp.take(a, xp.arange(2), axis=1) + xp.take_along_axis(a, xp.argmin(a, axis=1)[:, None], 1),
    "shape": lambda xp, a: xp.moveaxis(a.reshape(1, 2, 3).transpose(2, 0, 1), 0, -1).swapaxes(0, 1).squeeze(),
    "joining": lambda xp, a: xp.concatenate([a, xp.stack([a, 2 * a])[1]], axis=1),
    "pad, roll, flip": lambda xp, a: xp.pad(xp.roll(xp.flip(a, 1), 1), ((0, 1), (2, 0)), constant_values=3),
    "repeat, tile": lambda xp, a: xp.repeat(a, 2, axis=0) + xp.tile(a, (2, 1)),
    "broadcast": lambda xp, a: xp.ascontiguousarray(xp.broadcast_to(xp.expand_dims(a, 1), (2, 4, 3))),
    "einsum": lambda xp, a: xp.einsum("ij,kj->ik", a, a) + xp.tensordot(a, a, axes=((1,), (1,))),
    "windows": lambda xp, a: xp.lib.stride_tricks.sliding_window_view(a, 2, axis=1).sum(axis=-1),
    "strides": lambda xp, a: xp.lib.stride_tricks.as_strided(a, (2, 2), (a.strides[0], 4)),
    "creation": lambda xp, a: xp.full_like(a, 2) + xp.eye(2, 3, dtype=xp.float32) + xp.zeros_like(a, dtype=xp.int8),
    "defaults": lambda xp, a: xp.ones((2, 1)) + xp.arange(3),
    "clip": lambda xp, a: xp.clip(a, -1, 1) + a.clip(0, 2),
    "complex": lambda xp, a: (a * 1j).imag + (a + 1j).real + a.imag,
    "array_equal": lambda xp, a: xp.array_equal(a, a + 0),
}


@pytest.mark.parametrize("compute", SAMPLES.values(), ids=SAMPLES)
def test_results_are_those_of_numpy(cp, a, compute):
    with np.errstate(all="ignore"):
        expected = compute(np, HOST)
    check(compute(cp, a), expected)


def test_questions_have_plain_answers(cp, a):
    assert cp.result_type(a, cp.float64, 1) == np.float64
    assert cp.iscomplexobj(a) is False
    assert cp.dtype("f4") == a.dtype == cp.float32
    assert (a.ndim, a.size, a.nbytes, a.itemsize, len(a)) == (2, 6, 24, 4, 2)


def test_writing_in_place(cp, a):
    b = a
    b += 1
    b *= a
    assert b is a
    check(a, (HOST + 1) ** 2)
    out = cp.empty_like(a)
    assert cp.exp(a, out=out) is cp.exp(a, out) is out
    check(out, np.exp((HOST + 1) ** 2))
    total = cp.zeros(())
    assert cp.sum(a, out=total) is total
    check(total, np.float64(31))
    cp.add.at(a, (cp.asarray([0, 0, 1]), 0), 1)
    a.scatter_add(1, a[1])
    check(a, np.float32([[3, 0, 1], [10, 18, 32]]))
    with pytest.raises(TypeError, match="same_kind"):
        cp.arange(3).__iadd__(0.5)


# ---------------------------------------------------------------- against CuPy, where that is installed (no GPU needed)


def real_cupy():
    if importlib.util.find_spec("cupy") is None:
        pytest.skip("CuPy is not installed")
    return importlib.import_module("cupy")


def test_cupy_has_every_name_and_argument_that_the_stand_in_offers():
    cupy = real_cupy()
    offered = {(real, name) for real in [cupy.ndarray] for name in vars(fake_cupy.ndarray) if name != "_raw"}
    for name, module in fake_cupy.MODULES.items():
        offered |= {(importlib.import_module(name), member) for member in vars(module)}
    assert not [name for name in offered if not hasattr(*name)]
    for table in (fake_cupy.FUNCTIONS, fake_cupy.CREATION, fake_cupy.QUESTIONS, fake_cupy.STRIDE_TRICKS):
        for arguments, names in table.items():
            wanted = inspect.signature(eval(f"lambda {arguments}: None")).parameters
            for name in names.split():
                taken = inspect.signature(getattr(cupy, name, None) or getattr(cupy.lib.stride_tricks, name)).parameters
                open_end = any(parameter.kind is parameter.VAR_KEYWORD for parameter in taken.values())
                assert open_end or wanted.keys() <= taken.keys(), name
