"""Which array library and device, how many threads, and where random numbers come from.

Nothing here knows of gradients. Only this file and `kernels/` may import cupy.
"""

import contextvars
import importlib
import itertools
import os
import sys
import threading
import zlib
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from .errors import DeviceError, SettingError

Array = Any  # a numpy.ndarray, a cupy.ndarray, or a NumPy scalar (what a full reduction gives)

# ---------------------------------------------------------------- devices

DEVICES = ("cpu", "gpu")
_device = "cpu"


def use(device: str) -> None:
    """Choose where new Tensors live: "cpu" (NumPy) or "gpu" (CuPy, first CUDA device).

    Raises SettingError for another name, DeviceError where no GPU can be used (the message says why).
    """
    global _device
    if device not in DEVICES:
        raise SettingError(f"use({device!r}): the device is one of {', '.join(DEVICES)}")
    if device == "gpu" and (problem := gpu_problem()):
        raise DeviceError(problem)
    _device = device


def device() -> str:
    """The device where new Tensors live: "cpu" or "gpu"."""
    return _device


def gpu_problem() -> str | None:
    """Why no GPU can be used, in one sentence with a hint, or None where one can."""
    try:
        count = _cupy().cuda.runtime.getDeviceCount()
    except ImportError:
        return "no GPU: CuPy is not installed. Install the extra for your CUDA: tinygan[cuda12x] or tinygan[cuda13x]."
    except Exception as error:  # a missing driver surfaces as CuPy's own error classes
        return f"no GPU: CuPy is installed, but CUDA answers: {error}. Check the driver with nvidia-smi."
    return None if count else "no GPU: CuPy is installed, but finds no CUDA device. Check the driver with nvidia-smi."


def gpu_name() -> str:
    """What the GPU in use calls itself."""
    name = _cupy().cuda.runtime.getDeviceProperties(0)["name"]
    return name.decode() if isinstance(name, bytes) else str(name)


def _cupy() -> ModuleType:
    return importlib.import_module("cupy")


def is_on_gpu(array: Array) -> bool:
    # An array of CuPy's can only exist once cupy is loaded, so this never loads it.
    cupy = sys.modules.get("cupy")
    return cupy is not None and isinstance(array, cupy.ndarray)


def device_of(array: Array) -> str:
    return "gpu" if is_on_gpu(array) else "cpu"


def array_library(*arrays: Array) -> Any:
    """The library whose functions take these arrays: cupy if any of them is on the GPU, else numpy."""
    return _cupy() if any(map(is_on_gpu, arrays)) else np


def to_device(array: Array, device: str) -> Array:
    """`array` itself where it is on `device` already, else a copy there."""
    if device == device_of(array):
        return array
    return to_host(array) if device == "cpu" else _cupy().asarray(array)


def to_host(array: Array) -> Array:
    """The array as NumPy's (a copy where it was on the GPU)."""
    return _cupy().asnumpy(array) if is_on_gpu(array) else array


def shares_memory(a: Array, b: Array) -> bool:
    """Whether they lie in the same stretch of memory, so that a change of one may be seen in the other."""
    return bool(device_of(a) == device_of(b) and array_library(a).may_share_memory(a, b))


# ---------------------------------------------------------------- threads

# Numbers of malloc.h: blocks up to 32 MiB (the most it takes) come from the heap, whose top is kept up to 1 GiB.
MALLOC_SETTINGS = {"M_MMAP_THRESHOLD": (-3, 32 << 20), "M_TRIM_THRESHOLD": (-1, 1 << 30), "M_TOP_PAD": (-2, 64 << 20)}

_threads: int | None = None
_pool: Any = None
_blas_limit: Any = None
_in_worker = threading.local()


def set_threads(count: int | None) -> None:
    """Use `count` threads in NumPy kernels; None: $TINYGAN_THREADS, else as many as the process may use cores.

    The results are the same bytes for any count. BLAS itself is held at one thread, process-wide, from the
    first kernel on, since tinygan splits its work into chunks and multiplies those side by side.
    """
    global _threads
    if count is not None and (not isinstance(count, int) or count < 1):
        raise SettingError(f"set_threads({count!r}): a whole number of at least 1 is expected, or None")
    _threads = count
    _reset_pool()


def threads() -> int:
    """How many threads NumPy kernels use."""
    if _threads is not None:
        return _threads
    setting = os.environ.get("TINYGAN_THREADS", "")
    if setting:
        if not setting.isdecimal() or int(setting) < 1:
            raise SettingError(f"TINYGAN_THREADS={setting!r}: a whole number of at least 1 is expected")
        return int(setting)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def parallel_for(work: Callable[[int], object], count: int) -> None:
    """Run work(0) … work(count − 1) on all threads, in no set order; the first error is raised here.

    For results that don't depend on the number of threads, each index must be a piece of work of its own,
    cut by sizes alone, that writes to a place of its own.
    """
    _prepare_process()
    helpers = min(threads(), count) - 1
    pool = None if helpers < 1 or getattr(_in_worker, "yes", False) else _get_pool()
    if pool is None:
        for i in range(count):
            work(i)
        return
    indices = itertools.count()

    def drain() -> None:
        while (i := next(indices)) < count:
            work(i)

    futures = [pool.submit(contextvars.copy_context().run, drain) for _ in range(helpers)]
    try:
        drain()
    finally:
        errors = [future.exception() for future in futures]  # waits for all: nobody writes after we return
    for error in errors:
        if error is not None:
            raise error


def _get_pool() -> Any:
    """The pool of helper threads, or None where no thread can be started (a browser's Python)."""
    global _pool
    if _pool is None:
        try:
            from concurrent.futures import ThreadPoolExecutor

            pool = ThreadPoolExecutor(threads() - 1, "tinygan", initializer=_mark_worker)
            pool.submit(int).result()
            _pool = pool
        except (ImportError, RuntimeError):
            set_threads(1)
    return _pool


def _mark_worker() -> None:
    _in_worker.yes = True


def _prepare_process() -> None:
    """Once, before the first kernel: BLAS at one thread, and freed memory kept."""
    global _blas_limit
    if _blas_limit is None:
        _keep_freed_memory()
        try:
            from threadpoolctl import threadpool_limits

            _blas_limit = threadpool_limits(1, user_api="blas")
        except ImportError:
            _blas_limit = "threadpoolctl is missing: BLAS keeps its own number of threads"


def _keep_freed_memory() -> None:
    """Tell glibc to reuse large freed blocks instead of giving them back to the system.

    Each step needs the same sizes again, and every page that comes anew from the system costs a fault: thousands a
    step, for which threads wait for each other.
    """
    try:
        import ctypes

        mallopt = ctypes.CDLL(None).mallopt
    except (ImportError, OSError, AttributeError, TypeError):
        return  # not glibc
    for parameter, value in MALLOC_SETTINGS.values():
        mallopt(parameter, value)


def _reset_pool() -> None:
    global _pool
    if _pool is not None:
        _pool.shutdown(wait=False)
    _pool = None


def _forget_pool() -> None:
    global _pool
    _pool = None  # threads don't survive a fork, and to shut them down in the child would wait for ever


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)


# ---------------------------------------------------------------- random numbers


def generator(seed: int, stream: str, *key: int) -> np.random.Generator:
    """A generator of its own for a purpose (`stream`) and a position (`key`, such as step and chunk).

    Streams are derived, not carried on: generator(seed, "latent", step) is the same at any time, so that
    the state of a run is no more than its seed and its step. `seed` is a whole number ≥ 0.
    """
    if not isinstance(seed, int | np.integer) or seed < 0:
        raise SettingError(f"seed {seed!r}: a whole number of at least 0 is expected")
    # crc32 rather than hash(): the same in every process, whatever PYTHONHASHSEED
    spawn_key = (zlib.crc32(stream.encode()), *key)
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(int(seed), spawn_key=spawn_key)))


_package_generator = generator(0, "package")


def seed(number: int) -> None:
    """Start the package's own stream of random numbers anew: what layers draw from where `rng=None`."""
    global _package_generator
    _package_generator = generator(number, "package")


def generator_or_default(rng: np.random.Generator | None) -> np.random.Generator:
    """`rng`, or the package's own stream (see `seed`; it starts at seed 0) where that is None."""
    return _package_generator if rng is None else rng
