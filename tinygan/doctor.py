"""What this machine has, and one hint for each thing that could be better."""

import importlib
import importlib.util
import os
import platform
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from . import backend
from ._version import __version__
from .data import load
from .errors import TinyganError
from .threads import thread_count

AVX512_KERNELS = ("SkylakeX", "Cooperlake", "SapphireRapids")  # what OpenBLAS calls its AVX-512 code
PACKAGES = ("numpy", "cupy", "matplotlib", "PIL", "tqdm", "pooch", "threadpoolctl")

Finding = tuple[str, str, str]  # what, how it stands, a hint or ""


def examine() -> Iterator[Finding]:
    """Each finding as (what, how it stands, hint); the hint is empty where nothing is to be done."""
    yield "tinygan", f"{__version__}, Python {platform.python_version()}, {platform.system()} {platform.machine()}", ""
    yield "packages", ", ".join(f"{name} {_version(name)}" for name in PACKAGES), _missing_hint()
    yield from _blas()
    yield "threads", f"{thread_count()} for tinygan's kernels", ""
    problem = backend.gpu_problem()
    yield "GPU", "none" if problem else backend.gpu_name(), problem or ""
    for name in ("mnist", "fashion-mnist"):
        yield _data(name)


def report() -> str:
    """The findings as text."""
    lines = []
    for what, state, hint in examine():
        lines.append(f"{what:<14}{state}")
        if hint:
            lines.append(f"{'':<14}→ {hint}")
    return "\n".join(lines)


def _version(package: str) -> str:
    if package not in sys.modules and importlib.util.find_spec(package) is None:
        return "missing"
    return str(getattr(importlib.import_module(package), "__version__", "?"))


def _missing_hint() -> str:
    missing = [name for name in PACKAGES if name != "cupy" and _version(name) == "missing"]
    return f"Install what is missing: {', '.join(missing)}." if missing else ""


def _blas() -> Iterator[Finding]:
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        yield "BLAS", "unknown: threadpoolctl is missing", "Install threadpoolctl, so that tinygan can use all cores."
        return
    _ = np.ones((2, 2)) @ np.ones((2, 2))
    libraries: list[dict[str, Any]] = [lib for lib in threadpool_info() if lib["user_api"] == "blas"]
    if not libraries:
        yield "BLAS", "not recognised by threadpoolctl", ""
    for lib in libraries:
        kernel = lib.get("architecture") or "unknown"
        state = (
            f"{lib['internal_api']} {lib['version'] or ''}, kernel {kernel}, {lib['num_threads']} threads of its own"
        )
        yield "BLAS", state, _kernel_hint(lib["internal_api"], kernel)


def _kernel_hint(library: str, kernel: str) -> str:
    """OpenBLAS falls back to slower code on CPUs that are newer than it is."""
    if library != "openblas" or kernel in AVX512_KERNELS or "avx512f" not in _cpu_flags():
        return ""
    if "OPENBLAS_CORETYPE" in os.environ:
        return f"OPENBLAS_CORETYPE={os.environ['OPENBLAS_CORETYPE']} holds BLAS below what this CPU can (AVX-512)."
    return "This CPU has AVX-512, but BLAS doesn't use it. Try OPENBLAS_CORETYPE=SkylakeX in the environment."


def _cpu_flags() -> set[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return set()
    return next((set(line.split()) for line in lines if line.startswith("flags")), set())


def _data(name: str) -> Finding:
    """Found without asking the network."""
    before = os.environ.get("TINYGAN_OFFLINE")
    os.environ["TINYGAN_OFFLINE"] = "1"
    try:
        return name, f"found: {load(name).source}", ""
    except TinyganError:
        hint = (
            "It is fetched when first asked for; or set TINYGAN_DATA to a folder that has it. `digits` needs neither."
        )
        return name, "not here yet", hint
    finally:
        if before is None:
            del os.environ["TINYGAN_OFFLINE"]
        else:
            os.environ["TINYGAN_OFFLINE"] = before
