"""Where the time of a step goes, and that a profile changes nothing but the clock."""

import threading
import time

import numpy as np
import pytest

import tinygan as tg
from tinygan import autograd, cli, models, nn, profiling
from tinygan.data import Dataset
from tinygan.errors import SettingError
from tinygan.profiling import BATCH, LATENTS, LOSS, OPTIMIZER, TAPE, Profile, profile, profile_training


class Slow(tg.Op):
    """y = 2x, which takes its time."""

    def forward(self, x):
        time.sleep(0.02)
        return 2 * x

    def backward(self, grad):
        time.sleep(0.04)
        return grad * 2.0


class SlowLayer(nn.Module):
    def forward(self, x):
        return Slow()(x)


@pytest.fixture
def digits():
    images = np.random.default_rng(0).uniform(-1, 1, (40, 8, 8, 1)).astype(np.float32)
    return Dataset(images, None, "noise", "drawn here")


def test_time_goes_to_the_layer_that_spends_it_forward_and_backward():
    network = nn.Sequential(nn.Dense(3, 3), SlowLayer(), nn.Dense(3, 1))
    with profile(N=network) as p:
        network(np.ones((2, 3), np.float32)).sum().backward()
    slow = "N 1  SlowLayer"
    assert 20 <= p.of(part=slow, direction="forward") < 40 <= p.of(part=slow, direction="backward")
    assert p.of(part=slow) > 0.5 * p.of()
    assert p.parts == ["N 0  Dense(3 → 3)", slow, "N 2  Dense(3 → 1)"]
    assert all(p.of(part=part, direction=d) > 0 for part in p.parts for d in ("forward", "backward"))


def test_derivatives_of_derivatives_belong_to_their_layer():
    network = nn.Sequential(SlowLayer(), nn.Tanh())
    x = tg.Tensor(np.ones((2, 3), np.float32), requires_grad=True)
    with profile(N=network) as p:
        (g,) = tg.grad(network(x).sum(), x, create_graph=True)
        (g * g).sum().backward()
    assert p.of(part="N 0  SlowLayer", direction="backward") >= 80  # for the gradient, and for that of its Tanh's slope
    assert p.of(part="N 1  Tanh", direction="backward") > 0


def test_a_block_inside_is_not_counted_twice():
    p = Profile([])
    start = time.perf_counter()
    p._begin()
    with p.at(part="outer"):
        time.sleep(0.02)
        with p.at(part="inner"):
            time.sleep(0.03)
    p.lap()
    taken = 1e3 * (time.perf_counter() - start)
    assert p.of(part="inner") >= 30 and p.of(part="outer") >= 20
    assert p.of() <= taken, "the inner block was counted in the outer one as well"


def test_the_faster_half_of_the_laps_counts():
    p = Profile([])
    for milliseconds in (50, 2, 90, 4, 70):
        p.laps.append({profiling.Place("a"): milliseconds / 1e3})
    assert p.of() == pytest.approx((2 + 4 + 50) / 3)


@pytest.mark.parametrize("name", ["small", "mlp"])
def test_a_training_step_by_layer(name, digits):
    gan = models.build_gan(name, (8, 8, 1))
    p = profile_training(gan, digits, 8, steps=3, warm_up=1)
    assert len(p.laps) == 3 and (gan.d_steps, gan.g_steps) == (4, 4)
    for part in (*p.parts, BATCH, LATENTS, LOSS, TAPE, OPTIMIZER):
        assert p.of(part=part) > 0, part
    assert p.of(step="D's step") + p.of(step="G's step") + p.of(step="") == pytest.approx(p.of())
    # D's step sends no gradient into G, nor into the images
    for part in p.parts:
        if part != "D 0  Flatten":
            assert (p.of(part=part, direction="backward", step="D's step") == 0) == part.startswith("G"), part
    assert name == "small" or p.of(part="D 0  Flatten", direction="backward", step="D's step") == 0
    lines = str(p).splitlines()
    assert lines[0].split() == ["forward", "backward", "ms", "share"]
    layers = [*gan.generator.layers, *gan.discriminator.layers]
    for layer, line in zip(layers, lines[2:], strict=False):  # in network order
        assert layer.describe() in line
    assert max(map(len, lines)) <= 120 and lines[-2].startswith("together") and "100.0 %" in lines[-2]
    assert lines[-1].startswith("D's step ")


def test_a_profile_changes_no_byte_and_is_taken_off_again(digits):
    def wrapped():
        names = [(tg.nn.Module, "__call__"), (tg.Op, "__call__"), (autograd, "_parts"), (autograd, "_input_gradient")]
        return [getattr(owner, name) for owner, name in names]

    before = wrapped()
    watched, plain = models.build_gan("small", (8, 8, 1)), models.build_gan("small", (8, 8, 1))
    profile_training(watched, digits, 8, steps=2, warm_up=1)
    assert wrapped() == before
    batches = digits.batches(8, 0)
    for _ in range(3):
        plain.discriminator_step(next(batches))
        plain.generator_step(8)
    states = watched.state_dict(), plain.state_dict()
    assert all(states[0][key].tobytes() == states[1][key].tobytes() for key in states[1])
    with pytest.raises(ZeroDivisionError), profile():
        raise ZeroDivisionError
    assert wrapped() == before


def test_other_threads_are_not_counted():
    network = nn.Sequential(SlowLayer())
    with profile(N=network) as p:
        thread = threading.Thread(target=lambda: network(np.ones((2, 3), np.float32)))
        thread.start()
        thread.join()
    assert p.of(part="N 0  SlowLayer") == 0 and p.of() >= 20


def test_on_a_gpu_the_clock_waits_for_it(fake_gpu):
    network = nn.Sequential(nn.Dense(3, 1)).to("gpu")
    x = tg.Tensor(np.ones((2, 3), np.float32))
    before = fake_gpu.device_to_host_copies
    with profile(N=network) as p:
        network(x)
    assert p.of(part="N 0  Dense(3 → 1)") > 0
    assert fake_gpu.device_to_host_copies - before >= 4  # each a wait: at the start and the end, before and after Dense


def test_errors(digits):
    with profile(), pytest.raises(SettingError, match="already"), profile():
        pass
    gan = models.build_gan("mlp", (8, 8, 1))
    with pytest.raises(SettingError, match="steps=0"):
        profile_training(gan, digits, 8, steps=0)
    with pytest.raises(tg.errors.DataError, match="larger than the data"):
        profile_training(gan, digits, 41)


def test_the_command_shows_a_table_and_leaves_no_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    np.save("data.npy", np.random.default_rng(0).integers(0, 256, (80, 8, 8, 1), np.uint8))
    assert cli.main(["train", "--data", "data.npy", "--batch", "8", "--steps", "2", "--profile"]) == 0
    said = capsys.readouterr().out
    assert "batch 8" in said and "faster half of 2 steps" in said and "together" in said
    assert "D 0  Conv(1 → 32, 4×4, stride 2×2, spectral norm 2.0)" in said and "forward  backward" in said
    assert [path.name for path in tmp_path.iterdir()] == ["data.npy"]
    assert cli.main(["train", "--data", "data.npy", "--profile", "--minutes", "1", "--out", "x"]) == 2
    assert "--profile makes no run: --out, --minutes" in capsys.readouterr().err
