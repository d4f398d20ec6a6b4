"""Which array library and device, and where random numbers come from.

Nothing here knows of gradients. Only this file and `kernels/` may import cupy.
"""

import importlib
import sys
import zlib
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


def synchronize() -> None:
    """Wait until the GPU has done all that it was given, before something else than CuPy looks at its memory."""
    _cupy().cuda.get_current_stream().synchronize()


def shares_memory(a: Array, b: Array) -> bool:
    """Whether they lie in the same stretch of memory, so that a change of one may be seen in the other."""
    return bool(device_of(a) == device_of(b) and array_library(a).may_share_memory(a, b))


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
