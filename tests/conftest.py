"""What all tests share: the stand-in for CuPy as a fixture, and settings that are put back after each test."""

import signal
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for op_table and fake_cupy, also where the tests run from elsewhere

import fake_cupy

import tinygan as tg
from tinygan import backend, threads

# A shell starts what runs in its background with Ctrl-C ignored, and tests send it to themselves and to their children.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def same_settings_afterwards():
    """Device and number of threads are the process's own: no test may leave them changed."""
    device, count = backend.device(), threads._count
    yield
    backend.use(device)
    if threads._count != count:
        tg.set_threads(count)


@pytest.fixture
def fake_gpu():
    """tg.use("gpu") with the strict stand-in for CuPy (tests/fake_cupy.py); gives its module, with the two counters."""
    with fake_cupy.install():
        tg.use("gpu")
        try:
            yield fake_cupy
        finally:
            tg.use("cpu")


@pytest.fixture
def real_gpu():
    """tg.use("gpu") on a device; skips, saying why, where none is usable."""
    if problem := backend.gpu_problem():
        pytest.skip(problem)
    tg.use("gpu")
    yield
    tg.use("cpu")
