"""A strict stand-in for CuPy over NumPy: a test double, no product code. It computes on the CPU.

    with fake_cupy.install() as cupy: ...     # `import cupy` gives the stand-in until the block ends

It is there to catch, without a GPU, what would fail or be slow on one: host and device arrays that meet, stray
calls of NumPy functions, names and arguments that CuPy lacks, and (by the two counters) copies nobody asked for.
Kernels in CUDA C are compiled as C++ and run on the CPU, so what they compute is tested here, too.
Where it differs from CuPy it is meant to be the stricter one:

- CuPy forwards np.exp(a) to cupy.exp(a); here NumPy may be called only with a NumPy scalar beside the array, since
  np.float32(2) * a looks just like that.
- CuPy copies a[:] = host where shape and dtype agree, takes host arrays as indices and wraps indices that are out
  of bounds, and what its broadcast_to gives can be written to. All of these are refused here.
- `x.base` shares its memory with the array that x was cut from, but is another object.
"""

import contextlib
import ctypes
import functools
import importlib.machinery
import inspect
import operator
import shutil
import subprocess
import sys
import tempfile
import types
from collections import namedtuple

import numpy as np

device_to_host_copies = 0  # .get() .item() float() bool() repr() asnumpy …; a[mask] and nonzero() wait for the GPU too
host_to_device_copies = 0  # array, asarray and .set() of anything that is not on the device yet


def _count(direction):
    globals()[direction + "_copies"] += 1


# ---------------------------------------------------------------- crossing the border

_SCALARS = (int, float, complex, np.generic)
_SETTINGS = (str, slice, np.dtype, type, type(None), type(Ellipsis))


def _operand(value):
    """The NumPy array inside a device array; scalars as they are; nothing else is let in."""
    if isinstance(value, ndarray):
        return value._raw
    if isinstance(value, _SCALARS):
        return value
    raise TypeError(f"Unsupported type {type(value)}")


def _argument(value):
    """Like `_operand`, but settings (a dtype, a mode) and lists of numbers or of device arrays may pass too."""
    if isinstance(value, list | tuple):
        mixed = any(isinstance(item, ndarray) for item in value) and any(isinstance(i, _SCALARS) for i in value)
        return _operand(value) if mixed else type(value)([_argument(item) for item in value])
    return value if isinstance(value, _SETTINGS) else _operand(value)


def _wrap(result, known=()):
    """A device array around NumPy's result: 0-d in place of a scalar, the very object where it is one of `known`."""
    for array in known:
        if isinstance(array, ndarray) and array._raw is result:
            return array
    if isinstance(result, list | tuple):
        return type(result)([_wrap(item) for item in result])
    array = object.__new__(ndarray)
    array._raw = np.asarray(result)
    if array.dtype.char not in "?bhilqBHILQefdFD":
        raise ValueError(f"Unsupported dtype {array.dtype}")
    return array


def _key(key):
    """The index for NumPy; a trailing `...` makes a single element a 0-d view, as CuPy gives it."""
    key = tuple(_argument(k) for k in (key if isinstance(key, tuple) else (key,)))
    return key if any(k is Ellipsis for k in key) else (*key, Ellipsis)


def _function(name, signature, compute, enter=_argument, subject=True, leave=_wrap):
    """`compute` of NumPy's as a function on device arrays that takes the arguments in `signature` and no others.

    With `subject`, the first argument (after einsum's subscripts) has to be a device array or a list of them.
    """
    signature = inspect.signature(eval(f"lambda {signature}: None"))

    def function(*args, **kwargs):
        try:
            signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"cupy.{name}{signature}: {error}") from None
        if subject:
            first = args[1 if name == "einsum" else 0]
            for item in first if isinstance(first, list | tuple) else [first]:
                if not isinstance(item, ndarray):
                    raise TypeError(f"cupy.{name}: Unsupported type {type(item)}")
        if name == "nonzero" or (name == "where" and len(args) == 1):
            _count("device_to_host")  # the size of the result has to be known
        with np.errstate(all="ignore"):  # a GPU gives no warnings
            settings = {key: _argument(value) for key, value in kwargs.items()}
            return leave(compute(*[enter(value) for value in args], **settings), (*args, *kwargs.values()))

    function.__name__ = function.__qualname__ = name
    return function


# ---------------------------------------------------------------- the array

Flags = namedtuple("Flags", "c_contiguous f_contiguous owndata")  # nothing to set: CuPy knows no read-only arrays


class ndarray:
    """An array "on the device". Like CuPy's it has no __dict__, no hash, no __index__ and takes no weak references."""

    __slots__ = ("_raw",)
    __array_priority__ = 100
    __hash__ = None

    def __init__(self, shape, dtype=float, order="C"):
        self._raw = _wrap(np.empty(shape, dtype, order))._raw

    # What NumPy asks of a stranger

    def __array__(self, dtype=None, copy=None):
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()` to make one.")

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        for value in (*inputs, *kwargs.get("out", ())):
            if isinstance(value, np.ndarray):
                raise TypeError(f"Unsupported type {type(value)} in np.{ufunc.__name__} beside a cupy.ndarray")
        if method == "__call__" and any(isinstance(value, np.generic) for value in inputs):
            return getattr(cupy, ufunc.__name__)(*inputs, **kwargs)
        raise TypeError(f"np.{ufunc.__name__} was called with a cupy.ndarray: use cupy.{ufunc.__name__}")

    def __array_function__(self, func, types, args, kwargs):
        raise TypeError(f"np.{func.__name__} was called with a cupy.ndarray: use cupy.{func.__name__}")

    # To the host and back; more below

    def get(self, stream=None, order="C", out=None):
        _count("device_to_host")
        if out is None:
            return np.array(self._raw, order=order)
        if (out.shape, out.dtype) != (self.shape, self.dtype):
            raise ValueError(f"get: out is {out.dtype}{out.shape}, the array {self.dtype}{self.shape}")
        out[...] = self._raw
        return out

    def set(self, arr, stream=None):
        if not isinstance(arr, np.ndarray) or (arr.shape, arr.dtype) != (self.shape, self.dtype):
            raise TypeError("Only a numpy.ndarray of the same shape and dtype can be set to cupy.ndarray")
        _count("host_to_device")
        self._raw[...] = arr

    def item(self):
        return self.get().item()

    def __reduce__(self):
        return cupy.asarray, (self.get(),)

    # On the device; more below

    def __getitem__(self, key):
        if any(isinstance(k, ndarray) and k.dtype == bool for k in (key if isinstance(key, tuple) else (key,))):
            _count("device_to_host")  # the size of the result has to be known
        return _wrap(self._raw[_key(key)])

    def __setitem__(self, key, value):
        with np.errstate(all="ignore"):
            self._raw[_key(key)] = _operand(value)

    def scatter_add(self, slices, value):
        np.add.at(self._raw, _key(slices), _operand(value))

    def fill(self, value):
        self._raw.fill(_operand(value))

    def __len__(self):
        return len(self._raw)

    def __iter__(self):
        return iter([self[i] for i in range(len(self))])

    def __deepcopy__(self, memo):
        return self.copy()

    @property
    def base(self):
        root = self._raw
        while getattr(root, "base", None) is not None:
            root = root.base
        return None if root is self._raw else _wrap(root)

    device = property(lambda self: cuda.Device())
    data = property(lambda self: types.SimpleNamespace(ptr=self._raw.ctypes.data, device=self.device))
    flags = property(lambda self: Flags(self._raw.flags.c_contiguous, self._raw.flags.f_contiguous, self.base is None))


def _same_on_host(name):
    return lambda self, *spec: getattr(self.get(), name)(*spec)


def _same_on_device(name):
    def method(self, *args, **kwargs):
        with np.errstate(all="ignore"):
            return _wrap(getattr(self._raw, name)(*_argument(args), **kwargs), [self])

    return method


def _part(name):
    return property(lambda self: _wrap(getattr(self._raw, name), [self]))


for _names, _make in {
    "tolist tobytes __float__ __int__ __complex__ __bool__ __repr__ __str__ __format__": _same_on_host,
    "reshape transpose astype copy __copy__ flatten view": _same_on_device,
    "T real imag": _part,
    "shape dtype ndim size nbytes itemsize strides": lambda name: property(operator.attrgetter("_raw." + name)),
}.items():
    for _name in _names.split():
        setattr(ndarray, _name, _make(_name))

# ---------------------------------------------------------------- the modules


class _Idle:
    """A device, a stream, a memory pool: whatever is asked of it has been done already."""

    id, compute_capability, mem_info = 0, "80", (1 << 30, 1 << 30)

    def __init__(self, *args, **kwargs):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def __eq__(self, other):
        return type(self) is type(other)

    def __hash__(self):
        return 0

    def synchronize(self):
        pass

    def used_bytes(self):
        return 0

    use = free_all_blocks = synchronize
    total_bytes = free_bytes = n_free_blocks = used_bytes


class _Module(types.ModuleType):
    def __init__(self, name, **members):
        super().__init__(name, "A stand-in for tests: see tests/fake_cupy.py.")
        self.__spec__ = importlib.machinery.ModuleSpec(name, None)
        self.__dict__.update(members)

    def __getattr__(self, name):
        where = f"the stand-in for {self.__name__} (tests/fake_cupy.py)"
        raise AttributeError(f"{where} doesn't offer {name!r}: check that CuPy has it, then add it")


def _array(obj, dtype=None, copy=True, order="K", subok=False, ndmin=0):
    if not isinstance(obj, ndarray):
        _count("host_to_device")
        return _wrap(np.array(obj, dtype, order=order, ndmin=ndmin))
    same = not copy and dtype in (None, obj.dtype) and order in (None, "K") and obj.ndim >= ndmin
    return obj if same else _wrap(np.array(obj._raw, dtype, order=order, ndmin=ndmin))


def _asarray(a, dtype=None, order=None, *, copy=None):
    return _array(a, dtype, copy, order or "K")


def _asnumpy(a, stream=None, order="C", out=None):
    return a.get(stream, order, out) if isinstance(a, ndarray) else np.asarray(a, order=order)


# ---------------------------------------------------------------- kernels in CUDA C: compiled as C++ for the CPU


@functools.cache
def _compiled(inputs, outputs, body, dtype):
    """A function (n, pointers) that runs the body for n elements: what is in it has to be C++ as well as CUDA C."""
    compiler = shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        raise RuntimeError("kernels in CUDA C run on the stand-in as C++, but no compiler is found: c++, g++, clang++")
    inside = [f"const T {name} = arrays[{k}][element];" for k, name in enumerate(inputs)]
    inside += [f"T& {name} = arrays[{len(inputs) + k}][element];" for k, name in enumerate(outputs)]
    source = f"""
        #include <cmath>
        using namespace std;
        typedef {"float" if dtype == np.float32 else "double"} T;
        extern "C" void run(long count, T** arrays) {{
            for (long element = 0; element < count; element++) {{ {" ".join(inside)} {body}; }}
        }}"""
    with tempfile.TemporaryDirectory() as folder:
        command = [compiler, "-x", "c++", "-", "-O1", "-shared", "-fPIC", "-Werror=return-type", "-o", f"{folder}/k.so"]
        done = subprocess.run(command, input=source, capture_output=True, text=True)
        if done.returncode:
            raise SyntaxError(f"the kernel is no C++: {done.stderr}\n{source}")
        return ctypes.CDLL(f"{folder}/k.so").run


def _names(params):
    """The names in "T x, T slope": T stands for the dtype of the arrays, the only type that the stand-in knows."""
    pairs = [param.split() for param in params.split(",")]
    if any(len(pair) != 2 or pair[0] != "T" or pair[1] in ("n", "i") or pair[1][0] == "_" for pair in pairs):
        raise ValueError(f"parameters of a kernel: 'T name' each, of names that CuPy doesn't keep for itself: {params}")
    return [name for _, name in pairs]


class ElementwiseKernel:
    def __init__(self, in_params, out_params, operation, name="kernel"):
        self.inputs, self.outputs, self.operation, self.name = _names(in_params), _names(out_params), operation, name
        if not name.isidentifier():
            raise ValueError(f"{name!r} is no name of a C function")

    def __call__(self, *args):
        if len(args) not in (len(self.inputs), len(self.inputs) + len(self.outputs)):
            raise TypeError(f"{self.name}: {len(args)} arguments for {self.inputs} and {self.outputs}")
        raw = [_operand(arg) for arg in args]
        dtypes = {arg.dtype for arg in args if isinstance(arg, ndarray)}
        if len(dtypes) != 1 or not dtypes <= {np.dtype(np.float32), np.dtype(np.float64)}:
            raise TypeError(f"{self.name}: T can't be of {dtypes}")
        (dtype,) = dtypes
        read, written = raw[: len(self.inputs)], raw[len(self.inputs) :]
        shape = np.broadcast_shapes(*(np.shape(value) for value in read))
        for value in written:
            if np.shape(value) != shape:
                raise ValueError(f"{self.name}: an output of shape {np.shape(value)} for elements of shape {shape}")
        read = [np.array(np.broadcast_to(np.asarray(value, dtype), shape), order="C") for value in read]
        results = [np.array(value, order="C") for value in written] or [np.empty(shape, dtype) for _ in self.outputs]
        pointers = (ctypes.c_void_p * len(args + tuple(self.outputs)))(*(a.ctypes.data for a in (*read, *results)))
        run = _compiled(tuple(self.inputs), tuple(self.outputs), self.operation, dtype)
        run(ctypes.c_long(results[0].size), pointers)
        for value, result in zip(written, results, strict=False):
            value[...] = result
        given = args[len(self.inputs) :] or tuple(_wrap(result) for result in results)
        return given[0] if len(given) == 1 else given


class ReductionKernel:
    """Sums alone."""

    def __init__(self, in_params, out_params, map_expr, reduce_expr, post_map_expr, identity, name="kernel"):
        (out,) = _names(out_params)
        if (reduce_expr, post_map_expr, identity) != ("a + b", f"{out} = a", "0"):
            raise NotImplementedError("the stand-in's reductions are sums")
        self.terms = ElementwiseKernel(in_params, out_params, f"{out} = {map_expr}", name)

    def __call__(self, *args, axis=None, keepdims=False):
        return self.terms(*args).sum(axis=axis, keepdims=keepdims)


def _no_kernel(*args, **kwargs):
    raise NotImplementedError("the stand-in has no such kernels; ElementwiseKernel it has")


_PROPERTIES = {"name": b"stand-in over NumPy", "totalGlobalMem": 1 << 30, "major": 8, "minor": 0}
runtime = _Module("cupy.cuda.runtime", getDevice=lambda: 0, getDeviceCount=lambda: 1, deviceSynchronize=lambda: None)
runtime.getDeviceProperties = lambda device: dict(_PROPERTIES)
runtime.CUDARuntimeError = type("CUDARuntimeError", (RuntimeError,), {})
cuda = _Module("cupy.cuda", runtime=runtime, is_available=lambda: True)
cuda.Device, cuda.Stream, cuda.MemoryPool = (type(name, (_Idle,), {}) for name in ("Device", "Stream", "MemoryPool"))
cuda.Stream.null = cuda.Stream()
cuda.get_current_stream = lambda: cuda.Stream.null
stride_tricks = _Module("cupy.lib.stride_tricks")
lib = _Module("cupy.lib", stride_tricks=stride_tricks)
cupy = _Module("cupy", __version__="14.0.0+stand.in", ndarray=ndarray, cuda=cuda, lib=lib)
cupy.array, cupy.asarray, cupy.asnumpy, cupy.is_available = _array, _asarray, _asnumpy, cuda.is_available
cupy.ElementwiseKernel, cupy.ReductionKernel, cupy.RawKernel = ElementwiseKernel, ReductionKernel, _no_kernel
cupy.get_default_memory_pool = cuda.MemoryPool
cupy.get_array_module = lambda *args: cupy if any(isinstance(arg, ndarray) for arg in args) else np

# ---------------------------------------------------------------- what CuPy has, by the arguments that it takes

UFUNCS = """add subtract multiply divide true_divide floor_divide remainder power matmul negative positive absolute abs
exp log log1p expm1 sqrt tanh sin cos sign square reciprocal logaddexp maximum minimum floor ceil rint isfinite isnan
isinf signbit copysign equal not_equal less less_equal greater greater_equal logical_and logical_or logical_xor
logical_not bitwise_and bitwise_or bitwise_xor invert conj"""
FUNCTIONS = {
    "a, axis=None, dtype=None, out=None, keepdims=False": "sum mean prod",
    "a, axis=None, dtype=None, out=None, ddof=0, keepdims=False": "var std",
    "a, axis=None, out=None, keepdims=False": "max min amax amin any all",
    "a, axis=None, *, out=None, keepdims=False": "argmax argmin",
    "a, axis=None, dtype=None, out=None": "cumsum",
    "a, axis=None": "squeeze flip count_nonzero",
    "a, axis": "expand_dims",
    "a": "nonzero",
    "a, newshape, order='C'": "reshape",
    "a, order='C'": "ravel",
    "a, axes=None": "transpose",
    "a, source, destination": "moveaxis",
    "a, axis1, axis2": "swapaxes",
    "array, shape": "broadcast_to",
    "tup, axis=0, out=None, *, dtype=None, casting='same_kind'": "concatenate stack",
    "array, pad_width, mode='constant', *, constant_values=0": "pad",
    "a, dtype=None": "ascontiguousarray",
    "a, shift, axis=None": "roll",
    "a, repeats, axis=None": "repeat",
    "A, reps": "tile",
    "a, b, out=None": "dot",
    "a, b, axes=2": "tensordot",
    "*operands, dtype=None, optimize=False": "einsum",
    "condition, x=None, y=None": "where",
    "a, indices, axis=None, out=None": "take",
    "a, indices, axis": "take_along_axis",
    "a, a_min, a_max, out=None": "clip",
    "a1, a2, equal_nan=False": "array_equal",
    "a, b, rtol=1e-05, atol=1e-08, equal_nan=False": "allclose",
    "a, dtype=None, order='K', subok=None, shape=None": "zeros_like ones_like",
    "prototype, dtype=None, order='K', subok=None, shape=None": "empty_like",
    "a, fill_value, dtype=None, order='K', subok=None, shape=None": "full_like",
}
CREATION = {
    "shape, dtype=float, order='C'": "zeros ones empty",
    "shape, fill_value, dtype=None, order='C'": "full",
    "start, stop=None, step=1, dtype=None": "arange",
    "start, stop, num=50, endpoint=True, retstep=False, dtype=None": "linspace",
    "N, M=None, k=0, dtype=float, order='C'": "eye",
}
STRIDE_TRICKS = {"x, shape=None, strides=None": "as_strided", "x, window_shape, axis=None": "sliding_window_view"}
QUESTIONS = {
    "x": "iscomplexobj",
    "*arrays_and_dtypes": "result_type",
    "a, b, max_work=None": "shares_memory may_share_memory",
}
CONSTANTS = """float16 float32 float64 int8 int16 int32 int64 uint8 uint16 uint32 uint64 bool_ complex64 complex128 intp
dtype generic number integer floating inexact finfo iinfo issubdtype promote_types newaxis pi e inf nan"""
METHODS = """sum mean prod var std max min any all argmax argmin cumsum squeeze nonzero ravel swapaxes repeat dot take
clip conj"""
ARITHMETIC = {"add": "add", "sub": "subtract", "mul": "multiply", "truediv": "true_divide", "pow": "power"}
ARITHMETIC |= {"floordiv": "floor_divide", "mod": "remainder", "matmul": "matmul"}
ARITHMETIC |= {"and": "bitwise_and", "or": "bitwise_or", "xor": "bitwise_xor"}
COMPARISON = {"eq": "equal", "ne": "not_equal", "lt": "less", "gt": "greater"}
COMPARISON |= {"le": "less_equal", "ge": "greater_equal"}
UNARY = {"neg": "negative", "pos": "positive", "abs": "absolute", "invert": "invert"}


def _fill(module, library, table, **options):
    for signature, names in table.items():
        for name in names.split():
            setattr(module, name, _function(name, signature, getattr(library, name), **options))


def _binary(ufunc, reflected=False):
    def method(self, other):
        # Like CuPy, leave it to the other side where that says that it knows better.
        prior = getattr(other, "__array_priority__", 0) > self.__array_priority__
        if getattr(other, "__array_ufunc__", None if prior else ufunc) is None:
            return NotImplemented
        return ufunc(other, self) if reflected else ufunc(self, other)

    return method


def _in_place(ufunc):
    return lambda self, other: ufunc(self, other, out=self)


def _unary(ufunc):
    return lambda self: ufunc(self)


_fill(cupy, np, FUNCTIONS)
_fill(cupy, np, CREATION, subject=False)
_fill(cupy, np, QUESTIONS, subject=False, leave=lambda result, known: result)
_fill(stride_tricks, np.lib.stride_tricks, STRIDE_TRICKS)
for _name in UFUNCS.split():
    _inputs = "x, /" if getattr(np, _name).nin == 1 else "x1, x2, /"
    _fill(cupy, np, {f"{_inputs}, out=None, *, casting='same_kind', dtype=None": _name}, enter=_operand, subject=False)
cupy.add.at = lambda a, indices, b: a.scatter_add(indices, b)
for _name in CONSTANTS.split():
    setattr(cupy, _name, getattr(np, _name))
for _name in METHODS.split():
    setattr(ndarray, _name, getattr(cupy, _name))
for _name, _ufunc in (ARITHMETIC | COMPARISON).items():
    setattr(ndarray, f"__{_name}__", _binary(getattr(cupy, _ufunc)))
for _name, _ufunc in ARITHMETIC.items():
    setattr(ndarray, f"__r{_name}__", _binary(getattr(cupy, _ufunc), reflected=True))
    if _name != "matmul":  # CuPy has no in-place matmul: a @= b makes a new array
        setattr(ndarray, f"__i{_name}__", _in_place(getattr(cupy, _ufunc)))
for _name, _ufunc in UNARY.items():
    setattr(ndarray, f"__{_name}__", _unary(getattr(cupy, _ufunc)))

cupyx = _Module("cupyx", scatter_add=ndarray.scatter_add)
MODULES = {module.__name__: module for module in (cupy, cuda, runtime, lib, stride_tricks, cupyx)}


@contextlib.contextmanager
def install():
    """Let `import cupy` (and cupyx) give the stand-in, both counters at 0; at the end put back what stood there."""
    global device_to_host_copies, host_to_device_copies
    device_to_host_copies = host_to_device_copies = 0
    before = {name: sys.modules[name] for name in MODULES if name in sys.modules}
    sys.modules.update(MODULES)
    try:
        yield cupy
    finally:
        for name in MODULES:
            sys.modules.pop(name, None)
        sys.modules.update(before)
