"""Devices, threads, and where random numbers come from."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tinygan as tg
from tinygan import backend
from tinygan.errors import DeviceError, SettingError

PACKAGE = Path(tg.__file__).parent


def python(code, **environment):
    """What a fresh Python prints when it runs the code."""
    settings = {**os.environ, "PYTHONPATH": str(PACKAGE.parent), **environment}
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, env=settings, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


# ---------------------------------------------------------------- devices


def test_use_needs_a_known_name():
    for name in ("cuda", "GPU", None):
        with pytest.raises(SettingError, match=r"the device is one of cpu, gpu"):
            tg.use(name)
    assert backend.device() == "cpu"


def test_no_cupy(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)  # an import of it fails
    with pytest.raises(
        DeviceError, match=r"CuPy is not installed. Install the extra .* tinygan\[cuda12x\] or tinygan\[cuda13x\]"
    ):
        tg.use("gpu")
    assert backend.device() == "cpu" and tg.Tensor([1.0]).device == "cpu"


def test_cupy_without_a_device(fake_gpu, monkeypatch):
    tg.use("cpu")
    monkeypatch.setattr(fake_gpu.runtime, "getDeviceCount", lambda: 0)
    with pytest.raises(DeviceError, match=r"finds no CUDA device. Check the driver with nvidia-smi"):
        tg.use("gpu")


def test_cupy_without_a_driver(fake_gpu, monkeypatch):
    tg.use("cpu")

    def fail():
        raise fake_gpu.runtime.CUDARuntimeError("cudaErrorInsufficientDriver")

    monkeypatch.setattr(fake_gpu.runtime, "getDeviceCount", fail)
    with pytest.raises(DeviceError, match=r"CUDA answers: cudaErrorInsufficientDriver. Check the driver"):
        tg.use("gpu")


def test_on_the_stand_in(fake_gpu):
    assert backend.device() == "gpu" and backend.gpu_problem() is None
    x = tg.Tensor(np.array([1.0, 2.0], np.float32), requires_grad=True)
    assert x.device == "gpu" and x.detach().device == "gpu"
    (x * x).sum().backward()
    assert x.grad.device == "gpu" and x.grad.numpy().tolist() == [2, 4]
    x.assign(np.array([3.0, 4.0], np.float32))
    assert x.numpy().tolist() == [3, 4] and x.device == "gpu"
    array = backend.to_host(x.data)
    assert type(array) is np.ndarray and backend.to_host(array) is array
    assert backend.to_device(x.data, "gpu") is x.data
    tg.use("cpu")
    assert tg.Tensor(x).device == "cpu" and x.device == "gpu"  # what there is stays where it is


def test_a_missing_cupy_costs_no_import_on_the_cpu():
    assert "cupy" not in python("import sys, tinygan as tg; tg.Tensor([1.0]) * 2; print(*sys.modules)").split()


def test_shares_memory():
    a = np.zeros((4, 4))
    assert backend.shares_memory(a.T[1:], a) and not backend.shares_memory(a[[0]], a)


# ---------------------------------------------------------------- random numbers (law 7)

DRAW = """
import tinygan as tg
from tinygan import backend
print([float(backend.generator(7, s, *k).random()) for s in ("latent", "weights of G") for k in ((), (0,), (3, 1))])
tg.seed(5)
print(backend.generator_or_default(None).integers(1 << 60), hash("latent"))
"""


def test_streams_are_the_same_in_every_process():
    (a, b) = (python(DRAW, PYTHONHASHSEED=seed).splitlines() for seed in ("1", "2"))
    assert a[0] == b[0] and a[1].split()[0] == b[1].split()[0]
    assert a[1].split()[1] != b[1].split()[1]  # so the seeds of hash() did differ


def test_streams_keep_their_numbers():
    """A saved run goes on where it stopped only as long as these stay as they are."""
    assert backend.generator(0, "latent").integers(1 << 32, size=3).tolist() == [347719463, 364499230, 1349664965]


def test_streams_are_independent():
    keys = [(0, "a"), (0, "b"), (1, "a"), (0, "a", 0), (0, "a", 1), (0, "a", 0, 0), (2**40, "a")]
    draws = {tuple(backend.generator(*key).integers(1 << 60, size=2)) for key in keys}
    assert len(draws) == len(keys)
    assert backend.generator(0, "a", 3).random() == backend.generator(0, "a", 3).random()


@pytest.mark.parametrize("seed", [-1, 1.5, "0", None])
def test_bad_seeds(seed):
    for function in (lambda: backend.generator(seed, "x"), lambda: tg.seed(seed)):
        with pytest.raises(SettingError, match=r"seed .*: a whole number of at least 0 is expected"):
            function()


def test_seed_sets_the_packages_own_stream():
    draws = []
    for seed in (3, 3, 4, np.int64(3)):
        tg.seed(seed)
        draws.append(tg.ops.dropout(tg.Tensor(np.ones(50)), 0.5).numpy().tolist())
    assert draws[0] == draws[1] == draws[3] != draws[2]
    tg.seed(0)
    own = np.random.default_rng(1)
    assert backend.generator_or_default(own) is own
