"""What the benchmarks count and say, and that tinygan's side computes what PyTorch's does (where that is installed)."""

import argparse
import importlib.util
import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest

HERE = Path(__file__).parent / "benchmarks"

pytestmark = pytest.mark.skipif(not HERE.exists(), reason="benchmarks are not part of the wheel")


@pytest.fixture
def bench(monkeypatch):
    """Import a module of tests/benchmarks by name; the path is as it was afterwards."""
    monkeypatch.syspath_prepend(str(HERE))
    before = set(sys.modules)
    yield importlib.import_module
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", None) and Path(sys.modules[name].__file__).parent == HERE:
            del sys.modules[name]


@pytest.fixture
def settings(tmp_path):
    images = np.random.default_rng(0).uniform(-1, 1, (16, 28, 28, 1)).astype(np.float32)
    np.save(tmp_path / "images.npy", images)
    return {"model": "small", "batch": 4, "threads": 1, "folder": str(tmp_path), "size": 28}


def test_the_products_of_a_dcgan_step(bench, settings):
    """At batch 128: 73.7 GFLOP by im2col, 55.7 without the products with the border's zeros."""
    side = bench("tinygan_side").Training({**settings, "model": "dcgan", "batch": 128 // 8})
    whole, inner = side.work()
    assert 8 * whole == pytest.approx(73.7, abs=0.05) and 8 * inner == pytest.approx(55.7, abs=0.05)


def test_products_of_a_layer_counted_one_by_one(bench):
    from tinygan.nn import Conv, ConvTranspose

    products = bench("tinygan_side").products
    # Each pixel of x and each tap that meets it: those are the ones of the adjoint of a convolution with ones.
    for layer, x_shape in ((Conv(2, 3, 5, 2, "same"), (1, 7, 7, 2)), (ConvTranspose(2, 3, 4, 2, "same"), (1, 5, 5, 2))):
        layer.weight.assign(1.0)
        x = np.ones(x_shape, np.float32)
        y = layer(x)
        whole, inner = products(layer, x.shape, y.shape)
        positions = math.prod((y if type(layer) is Conv else x).shape[1:3])
        assert whole == positions * math.prod(layer.kernel) * 6
        assert inner == y.numpy().sum()


@pytest.mark.parametrize("task", ["gan", "critic", "sampling", "ops"])
def test_tinygans_side_does_its_task(bench, settings, task, monkeypatch):
    module = bench("tinygan_side")
    monkeypatch.setattr(module, "SAMPLES", 70)
    side = module.TASKS[task](settings)
    first = side.first_look()
    assert list(first) == list(side.names) and all(map(math.isfinite, first.values()))
    assert all(math.isfinite(number.item()) for number in side.step())
    assert first == module.TASKS[task](settings).first_look()
    assert sum(side.parameters()) > 0


def test_tinygans_side_on_a_gpu(bench, settings, fake_gpu):
    """Here the stand-in. Nothing comes back from the device in a step but what is asked for."""
    module = bench("tinygan_side")
    on_cpu = module.Training(settings).first_look()
    side = module.Training({**settings, "device": "gpu"})
    assert side.first_look() == pytest.approx(on_cpu, rel=1e-4)
    before = fake_gpu.device_to_host_copies
    losses = side.step()
    module.wait()
    assert fake_gpu.device_to_host_copies == before
    assert all(math.isfinite(loss.item()) for loss in losses)
    assert module.facts()["blas"] == "stand-in over NumPy"


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="PyTorch is not installed")
@pytest.mark.parametrize("layout, passes", [("NCHW", 2), ("channels_last", 1)])
@pytest.mark.parametrize("task", ["gan", "critic", "sampling", "ops"])
def test_both_sides_agree(bench, settings, task, layout, passes, monkeypatch):
    sides = [bench(f"{who}_side").TASKS[task] for who in ("tinygan", "torch")]
    ours = sides[0](settings)
    first = ours.first_look()
    theirs = sides[1]({**settings, "layout": layout, "adam": "foreach", "passes": passes, "chunk": 4})
    assert ours.parameters() == theirs.parameters()
    assert theirs.first_look() == pytest.approx(first, rel=1e-4, abs=1e-7)


def test_bars_are_told(bench):
    pairing, config = bench("pairing"), bench("against_torch").CONFIGS["small-64"]

    def run(ours, theirs, memory=(90, 350)):
        p = pairing.Pairing.__new__(pairing.Pairing)
        p.config, p.options = config, argparse.Namespace(rounds=1)
        p.rounds = [pairing.Round([ours], [theirs], 0.0)]
        for name, mib in zip(("tinygan", "torch"), memory, strict=True):
            setattr(p, name, argparse.Namespace(start={"peak_mib": mib}, variant="NCHW"))
        return p

    assert (config.bar, config.stretch) == (0.80, 0.6)
    assert run(50, 100).verdict == "0.80: met, the stretch too" and run(50, 100).misses == []
    assert run(79, 100).verdict == "0.80: met"
    assert run(100, 100).verdict == "0.80: missed by 25 %" and run(100, 100).misses == ["ratio 1.00, bar 0.80"]
    assert run(50, 100, (400, 350)).misses == ["memory 400 MiB, PyTorch 350"]
    assert run(100, 100).row().startswith("| small | 64 | 100.00 | 100.00 | 1.000 | 0.80: missed by 25 % | 90 | 350 |")


def test_the_figure_of_the_growth(bench, tmp_path):
    from PIL import Image

    scaling = bench("scaling")
    points = [{"x": x, "tinygan": 2 + 0.5 * x, "torch": 1 + 0.25 * x} for x in (16, 64, 256)]
    assert scaling.line(points, "tinygan") == pytest.approx((2, 0.5, 0), abs=1e-6)
    said = scaling.table("batch", points)
    assert "| 16 | 10.0 | 5.0 | 2.00 | 625 | 312 |" in said and "tinygan 2.0 ms + 500.0 µs an image, within 0 %" in said
    scaling.draw({"batch": points, "area": points}, tmp_path / "f.png")
    with Image.open(tmp_path / "f.png") as picture:
        assert picture.size == (1080, 456)


def test_what_stands_in_the_pages_was_measured(bench):
    """The figure's data and both tables of RESULTS.md are the same numbers."""
    scaling, results = bench("scaling"), (HERE / "RESULTS.md").read_text(encoding="utf-8")
    for kind, points in json.loads(scaling.DATA.read_text(encoding="utf-8")).items():
        assert scaling.table(kind, points) in results, f"RESULTS.md lacks the table of {kind}: scaling.py tables"


def test_the_simple_kernels_are_taken_away_again(bench, settings):
    from tinygan.kernels import numpy_kernels

    module = bench("before_and_after")
    before = dict(vars(numpy_kernels))
    with module.simple_kernels():
        assert vars(numpy_kernels)["conv"].__module__.endswith("plain_kernels")
    assert vars(numpy_kernels) == before


def test_the_soak_tells_a_leak_from_what_is_under_way(bench):
    soak = bench("soak")
    calm = [{"MiB": 190.0, "files": 11, "threads": 4, "tensors": 75 + 61 * (i % 3)} for i in range(30)]
    assert soak.grown(calm) == []
    leaks = {"MiB": 0.5, "files": 0.2, "threads": 0.2, "tensors": 10}
    for key, rate in leaks.items():
        (problem,) = soak.grown([{**row, key: row[key] + rate * i} for i, row in enumerate(calm)])
        assert problem.startswith(f"{key}: ")
