"""A run that was stopped, in whatever way, goes on to the same bytes; and one that isn't the same is refused."""

import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import tqdm.auto

import tinygan as tg
from tinygan import checkpoint, cli, nn, runs
from tinygan.errors import DataError, FileError, SettingError, ShapeError

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals and fork")
SHAPE = (4, 4, 1)
IMAGES = np.random.default_rng(1).uniform(-1, 1, (40, *SHAPE)).astype(np.float32)


def everything_gan(seed=3, lr=1e-3, hidden=8, objective="non-saturating", beta=0.5):
    """Each kind of state there is: batch-norm statistics, spectral vectors, dropout, two kinds of optimizer."""
    rng = np.random.default_rng(seed)
    g = nn.Sequential(
        nn.Dense(3, hidden, rng=rng), nn.BatchNorm(hidden), nn.LeakyReLU(), nn.Dense(hidden, 16, rng=rng),
        nn.Tanh(), nn.Reshape(*SHAPE),
    )  # fmt: skip
    d = nn.Sequential(
        nn.Flatten(), nn.Dense(16, 8, spectral_norm=True, rng=rng), nn.LeakyReLU(), nn.Dropout(0.3),
        nn.Dense(8, 1, rng=rng),
    )  # fmt: skip
    optimizers = tg.optim.Adam(g.parameters(), lr, (beta, 0.99)), tg.optim.SGD(d.parameters(), lr, momentum=0.9)
    return tg.GAN(g, d, objective, *optimizers, latent_size=3, seed=seed)


def trainer(out, gan=None, data=IMAGES, **settings):
    settings = {"batch_size": 8, "d_steps": 2, "sample_every": 4, "log_every": 2, "progress": False, **settings}
    return tg.Trainer(gan or everything_gan(), data, out, resume=True, **settings)


def stop_in(run, step):
    """Ctrl-C in the middle of that step of G."""
    parameter = run.gan.generator.parameters()[0]
    parameter.register_hook(lambda _: signal.raise_signal(signal.SIGINT) if run.step == step - 1 else None)


def files(out):
    """Every file but older checkpoints, whose number depends on the stops, and the clock in the last one."""
    found = {str(p.relative_to(out)): p.read_bytes() for p in out.rglob("*") if p.is_file()}
    last = max(name for name in found if name.startswith("checkpoints"))
    arrays, header = checkpoint.load(out / last)
    kept = {name: content for name, content in found.items() if not name.startswith("checkpoints")}
    return kept | {f"{name} in {last}": (a.dtype, a.shape, a.tobytes()) for name, a in arrays.items()} | {
        "step": header["step"]
    }  # fmt: skip


def differing(a, b):
    """The names of what is not the same: for a message that can be read."""
    return {name for name in a.keys() | b.keys() if a.get(name) != b.get(name)}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run of 10 steps that was never stopped."""
    out = tmp_path_factory.mktemp("whole") / "run"
    trainer(out).fit(steps=10)
    return files(out)


def test_the_state_is_all_there_is(whole):
    names = " ".join(whole)
    for part in ("generator.layers.1.running_mean", "averaged.layers.1.running_variance", "discriminator.layers.1.u",
                 "g_optimizer.0.m", "g_optimizer.0.v", "g_optimizer.steps", "d_optimizer.0.velocity", "g_steps",
                 "d_steps", "samples/step-000008.png", "samples/step-000010.png", "training.gif"):  # fmt: skip
        assert part in names


@posix
@pytest.mark.parametrize("stops", [[1], [2], [3], [4], [5], [6], [7], [8], [9], [10], [1, 2, 3, 7], list(range(1, 11))])
def test_stopped_by_ctrl_c_and_resumed(tmp_path, whole, stops):
    out = tmp_path / "run"
    for step in stops:
        run = trainer(out)
        stop_in(run, step)
        with pytest.raises(KeyboardInterrupt):
            run.fit(steps=10)
        assert run.step == step
    trainer(out).fit(steps=10)
    assert not differing(files(out), whole)


def test_killed_between_the_last_step_and_the_last_pictures(tmp_path):
    """A checkpoint that is due at the last step isn't written before what a finished run has."""

    class Killed(BaseException):
        pass

    def kill():
        raise Killed

    trainer(tmp_path / "whole", checkpoint_every=5).fit(steps=10)
    run = trainer(tmp_path / "run", checkpoint_every=5)
    run.recorder.pictures = kill
    with pytest.raises(Killed):
        run.fit(steps=10)
    trainer(tmp_path / "run", checkpoint_every=5).fit(steps=10)
    assert not differing(files(tmp_path / "run"), files(tmp_path / "whole"))


def test_stopped_by_an_error_and_resumed(tmp_path, whole):
    """What the step that failed had changed by then is forgotten."""
    out = tmp_path / "run"
    run = trainer(out, checkpoint_every=3)
    run.gan.generator.parameters()[0].register_hook(lambda _: 1 / 0 if run.step == 7 else None)
    with pytest.raises(ZeroDivisionError):
        run.fit(steps=10)
    again = trainer(out)
    assert again.step == 6
    again.fit(steps=10)
    assert not differing(files(out), whole | {"config.json": (out / "config.json").read_bytes()})


def test_on_a_gpu(tmp_path, fake_gpu):
    ends = []
    for name, goes in (("whole", [4]), ("parts", [1, 3, 4])):
        for steps in goes:
            trainer(tmp_path / name, tg.models.build_gan("small", SHAPE), progress=False).fit(steps=steps)
        ends.append(files(tmp_path / name))
    assert not differing(*ends)
    assert runs.read_config(tmp_path / "parts")["versions"]["device"] == "gpu"


def test_by_epochs_and_minutes(tmp_path):
    out = tmp_path / "run"
    trainer(out).fit(epochs=2)
    run = trainer(out)
    run.fit(epochs=4)  # 5 batches an epoch, 2 a step
    assert run.step == 10
    seconds = run.seconds
    run = trainer(out)
    assert 0 < run.seconds <= seconds
    run.fit(minutes=(run.seconds + 0.2) / 60)
    assert run.step > 10


def test_a_finished_run_is_left_alone(tmp_path, capsys):
    out = tmp_path / "run"
    trainer(out).fit(steps=3)
    before = {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in out.rglob("*") if p.is_file()}
    trainer(out).fit(steps=3)
    assert f"{out} has had its 3 steps, and nothing is changed" in capsys.readouterr().err
    assert {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in out.rglob("*") if p.is_file()} == before


def test_a_gan_goes_on_from_its_state_alone():
    """Without any folder: G, D, averages, both optimizers, both counts."""
    data = tg.data.Dataset(IMAGES, None, "images", "")
    ends = []
    for stop in (None, 3):
        gan, batches = everything_gan(), data.batches(8, 3)
        for step in range(6):
            if step == stop:
                state, gan = gan.state_dict(), everything_gan(seed=3, hidden=8)
                gan.load_state_dict(state)
                batches = data.batches(8, 3, start=gan.d_steps)
            gan.discriminator_step(next(batches))
            gan.generator_step(8)
        ends.append({name: array.tobytes() for name, array in gan.state_dict().items()})
    assert not differing(*ends)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"referee.weight": 1.0}, "'referee.weight' is of no part of a GAN: generator, discriminator"),
        ({"generator.layers.9.weight": 1.0}, r"generator: load_state_dict: .*layers\.9\.weight"),
        ({"averaged.layers.0.bias": np.zeros(3)}, r"averaged: load_state_dict: layers\.0\.bias has shape \(3,\)"),
        ({"g_optimizer.7.m": np.zeros(3)}, "g_optimizer: load_state_dict"),
        ({"g_steps": None}, "g_steps is no whole number of at least 0"),
        ({"d_steps": -1}, "d_steps is no whole number"),
        ({"d_steps": np.array([1, 2])}, r"d_steps is no whole number of at least 0, but int64 \(2,\)"),
        ({"g_optimizer.steps": np.nan}, "steps is no whole number of at least 0, but float64"),
    ],
)
def test_a_state_of_another_gan(change, message):
    gan = everything_gan()
    with pytest.raises(ShapeError, match=message):
        gan.load_state_dict({**gan.state_dict(), **change})


def test_a_run_that_never_saved_begins_anew(tmp_path, whole):
    out = tmp_path / "run"
    trainer(out).fit(steps=10)
    for path in [*out.rglob("*.npz"), *out.rglob("*.png"), out / "log.jsonl"]:
        path.unlink()
    run = trainer(out)
    assert run.step == 0
    run.fit(steps=10)
    assert not differing(files(out), whole)


# ---------------------------------------------------------------- damage


def damage(path):
    """More bytes than any one that says nothing, such as a date, which a zip keeps for each member."""
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 200] = bytes(byte ^ 1 for byte in content[middle : middle + 200])
    path.write_bytes(content)


def test_a_damaged_checkpoint_is_reported_and_the_one_before_is_used(tmp_path, whole, capsys):
    out = tmp_path / "run"
    trainer(out, checkpoint_every=3).fit(steps=10)
    names = sorted(p.name for p in (out / "checkpoints").iterdir())
    assert names == ["step-000006.npz", "step-000009.npz", "step-000010.npz"]
    damage(out / "checkpoints" / names[2])
    (out / "checkpoints" / names[1]).write_bytes(b"")
    run = trainer(out)
    said = capsys.readouterr().err
    assert run.step == 6 and "step-000010.npz" in said and "step-000009.npz" in said and "before it is tried" in said
    run.fit(steps=10)
    assert not differing(files(out), whole | {"config.json": (out / "config.json").read_bytes()})


def test_with_no_sound_checkpoint_nothing_is_thrown_away(tmp_path):
    out = tmp_path / "run"
    trainer(out).fit(steps=5)
    paths = list((out / "checkpoints").iterdir())
    for path in paths:
        damage(path)
    before = {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}
    with pytest.raises(DataError, match="no sound checkpoint is left"):
        trainer(out)
    assert {p: p.read_bytes() for p in out.rglob("*") if p.is_file()} == before
    for path in paths:
        path.unlink()
    with pytest.raises(DataError, match="no sound checkpoint is left"):
        trainer(out)


@pytest.mark.parametrize("header", [{"step": 4}, {"step": 5, "seconds": "x"}, {"step": 5, "seconds": 1e400}, {}])
def test_a_header_that_is_not_sound(tmp_path, capsys, header):
    out = tmp_path / "run"
    trainer(out).fit(steps=5)
    path = out / "checkpoints" / "step-000005.npz"
    arrays, good = checkpoint.load(path)
    if 1e400 in header.values():
        header = {**header, "seconds": -1}
    checkpoint.save(path, arrays, header | {"config": good["config"]} if header else {**good, "config": 3})
    assert trainer(out).step == 0
    assert "its header" in capsys.readouterr().err


def test_a_log_is_mended(tmp_path, whole, capsys):
    """Half a line, lines of steps that will come again, steps twice: gone. What is missing is said."""
    out = tmp_path / "run"
    run = trainer(out, checkpoint_every=2)
    run.gan.generator.parameters()[0].register_hook(lambda _: 1 / 0 if run.step == 8 else None)
    with pytest.raises(ZeroDivisionError):
        run.fit(steps=10)
    lines = (out / "log.jsonl").read_text().splitlines()
    later = [line.replace('"step": 8', '"step": 18') for line in lines[3:]]
    hostile = ["[]", '{"step": 2}', "[" * 3000, '{"step": 1e400, "d_loss": 1, "g_loss": 1}', "NaN"]
    hostile += [f'"{"x" * 9999}"', '{"step": 4, "d_loss": NaN, "g_loss": 1}', '{"step": 4, "d_loss": 0, "g_loss": []}']
    (out / "log.jsonl").write_text("\n".join([*hostile, *lines, lines[1], *later, lines[0][:20]]))
    trainer(out).fit(steps=10)
    assert not differing(files(out), whole | {"config.json": (out / "config.json").read_bytes()})
    assert "lacks" not in capsys.readouterr().err
    (out / "log.jsonl").write_text("\n".join(lines[1:]))
    trainer(out)
    assert "log.jsonl lacks 2 of its lines" in capsys.readouterr().err


def test_what_a_killed_process_left_half_written_is_removed(tmp_path):
    out = tmp_path / "run"
    trainer(out).fit(steps=2)
    for folder in (out, out / "samples", out / "checkpoints"):
        (folder / ".tinygan-0123.tmp").write_bytes(b"half")
    (out / "mine.tmp").write_bytes(b"whole")
    trainer(out).fit(steps=4)
    assert [p.name for p in out.rglob("*.tmp")] == ["mine.tmp"]


# ---------------------------------------------------------------- another run


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"data": IMAGES[::-1].copy()}, r"data was array \(sha256 [0-9a-f]{8}…\) and is array \(sha256 [0-9a-f]{8}…\)"),
        ({"gan": everything_gan(hidden=9)}, r"generator was .*Dense\(3 → 8\).* and is .*Dense\(3 → 9\)"),
        ({"gan": everything_gan(objective="hinge")}, "objective was NonSaturating and is Hinge"),
        ({"gan": everything_gan(lr=0.1)}, r"g_optimizer was Adam\(lr=0\.001.*d_optimizer was SGD\(lr=0\.001"),
        ({"gan": everything_gan(seed=4)}, "seed was 3 and is 4"),
        ({"batch_size": 4}, "batch_size was 8 and is 4"),
        ({"d_steps": 1}, "d_steps was 2 and is 1"),
        ({"log_every": 5}, "log_every was 2 and is 5"),
        ({"sample_every": 5}, "sample_every was 4 and is 5"),
    ],
)
def test_another_run_is_refused_and_what_differs_is_named(tmp_path, changed, message):
    out = tmp_path / "run"
    trainer(out).fit(steps=2)
    before = {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}
    with pytest.raises(SettingError, match=message) as caught:
        trainer(out, **changed)
    assert str(out) in str(caught.value) and len(str(caught.value)) < 1000
    assert {p: p.read_bytes() for p in out.rglob("*") if p.is_file()} == before


def test_the_same_data_from_elsewhere_is_the_same(tmp_path):
    out = tmp_path / "run"
    trainer(out).fit(steps=2)
    assert trainer(out, data=tg.data.Dataset(IMAGES, None, "moved", "elsewhere")).step == 2


def rewrite_config(out, **changes):
    for path in (out / "checkpoints").iterdir():
        arrays, header = checkpoint.load(path)
        checkpoint.save(path, arrays, {**header, "config": header["config"] | changes})
    runs.save_json(out / "config.json", runs.read_config(out) | changes)


def test_another_format_is_refused_and_other_versions_are_said(tmp_path, capsys):
    out = tmp_path / "run"
    trainer(out).fit(steps=2)
    versions = runs.versions()
    rewrite_config(out, versions={**versions, "numpy": "1.24.0", "threads": "64"})
    trainer(out).fit(steps=4)
    said = capsys.readouterr().err
    assert "maybe not to the same bytes: numpy 1.24.0 → " in said and "threads" not in said
    config = runs.read_config(out)
    assert config["versions"]["numpy"] == "1.24.0" and config["resumed"] == {"step": 2, "versions": versions}
    rewrite_config(out, format=2)
    with pytest.raises(
        SettingError, match=r"its format is 2, this tinygan's is 1\. Resume it with what made it, .*1\.24"
    ):
        trainer(out)


def test_a_layer_that_describes_itself_alike_but_is_not(tmp_path):
    class Plain(nn.Dense):
        def describe(self):
            return "Plain"

    def gan(hidden):
        g = nn.Sequential(Plain(3, hidden), Plain(hidden, 16), nn.Reshape(*SHAPE))
        d = nn.Sequential(nn.Flatten(), nn.Dense(16, 1))
        return tg.GAN(g, d, "hinge", tg.optim.SGD(g.parameters(), 0.1), tg.optim.SGD(d.parameters(), 0.1), 3)

    trainer(tmp_path / "run", gan(4)).fit(steps=1)
    with pytest.raises(DataError, match=r"step 1 is of another network: generator: load_state_dict: .*\(3, 4\)"):
        trainer(tmp_path / "run", gan(5))


# ---------------------------------------------------------------- processes that die

STEPS = 180
LONG = ["--model", "mlp", "--steps", str(STEPS), "--batch", "8", "--sample-every", "20", "--checkpoint-every", "3"]


@pytest.fixture(scope="module")
def npy(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "data.npy"
    np.save(path, np.random.default_rng(0).integers(0, 256, (80, 4, 4, 1), np.uint8))
    return str(path)


@pytest.fixture(scope="module")
def processes():
    """Real processes that start in no time: forked from one that has loaded everything."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tinygan.cli", "matplotlib.backends.backend_agg", "tqdm.auto"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENBLAS_NUM_THREADS", "1")
        patch.setenv("TINYGAN_THREADS", "1")
        yield context


def command(*arguments):
    """In a process of its own: a command, as the exit status."""
    tqdm.auto.tqdm.set_lock(threading.RLock())  # its usual one would outlive a process that is killed
    with open(os.devnull, "w") as sys.stdout, open(os.devnull, "w") as sys.stderr:
        sys.exit(cli.main(list(arguments)))


def finish(processes, *arguments):
    process = processes.Process(target=command, args=arguments)
    process.start()
    process.join(120)
    assert process.exitcode == 0


@pytest.fixture(scope="module")
def unkilled(processes, npy, tmp_path_factory):
    out = tmp_path_factory.mktemp("unkilled") / "run"
    finish(processes, "train", "--data", npy, "--out", str(out), *LONG)
    return files(out)


def start(processes, npy, out, target=command, *options):
    """Train, or go on where there is a run."""
    arguments = ["--resume", str(out)] if out.exists() else ["--data", npy, "--out", str(out), *LONG]
    process = processes.Process(target=target, args=(*options, "train", *arguments))
    process.start()
    return process


def wait_for(happened, process, seconds=60):
    deadline = time.monotonic() + seconds
    while not happened() and process.is_alive() and time.monotonic() < deadline:
        time.sleep(0.0005)


def differs_but_in_the_command(out, whole):
    return differing(files(out), whole) - {"config.json"}


def leftovers(out):
    return out.glob("checkpoints/*.tmp")


def saved(out):
    return out.glob("checkpoints/*.npz")


def is_writing(out, count, old_leftovers, old_saved):
    """Whether a new checkpoint is half written, after so many whole ones."""
    return set(leftovers(out)) - old_leftovers and len(set(saved(out)) - old_saved) >= min(count, 3)


@posix
def test_killed_at_20_random_moments(processes, npy, tmp_path, unkilled):
    """Half of the SIGKILLs come at any time, from before there is a folder on; half while a checkpoint is written."""
    out, rng, in_writes = tmp_path / "run", random.Random(0), 0
    for trial in range(20):
        process = start(processes, npy, out)
        if trial % 2:
            time.sleep(rng.uniform(0, 0.8))
        else:
            wait_for(partial(is_writing, out, rng.randrange(1, 6), set(leftovers(out)), set(saved(out))), process)
            time.sleep(rng.uniform(0, 0.004))
        process.kill()
        process.join()

        in_writes += any(leftovers(out))
        if out.exists():
            steps = [json.loads(s)["step"] for s in _log(out).splitlines()]
            assert steps == sorted(set(steps))
    finish(processes, "train", "--resume", str(out))
    assert not differs_but_in_the_command(out, unkilled)
    assert in_writes, "no kill hit a write: the test should be made to"


def _log(out):
    path = out / "log.jsonl"
    return path.read_text() if path.exists() else ""


def die_at(write, *arguments):
    """A command that kills itself at a certain call of the system's fsync, rename or unlink."""
    count = 0

    def mortal(function):
        def call(*args, **kwargs):
            nonlocal count
            count += 1
            if count == write:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*args, **kwargs)

        return call

    os.fsync, os.replace, os.rename, os.unlink = map(mortal, (os.fsync, os.replace, os.rename, os.unlink))
    command(*arguments)


@posix
def test_killed_at_each_kind_of_write(processes, npy, tmp_path, unkilled):
    """Before the bytes are safe, before the rename, before what is older goes: of the folder, the samples, …"""
    out = tmp_path / "run"
    for write in (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 15, 18, 24):
        process = start(processes, npy, out, die_at, write)
        process.join(60)
        assert process.exitcode == -signal.SIGKILL
    finish(processes, "train", "--resume", str(out))
    assert not differs_but_in_the_command(out, unkilled)


@posix
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_process_that_is_told_to_stop_saves_first(npy, tmp_path, number, status, unkilled):
    out = tmp_path / "run"
    line = [sys.executable, "-m", "tinygan", "train", "--data", npy, "--out", str(out), *LONG]
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not _log(out) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(number)
    said, errors = process.communicate(timeout=60)
    assert process.returncode == status and "Traceback" not in errors
    assert f"To go on: tinygan train --resume {out}" in said
    assert f"{max(runs.numbered(out / 'checkpoints', 'npz'))} steps done" in said
    assert cli.main(["train", "--resume", str(out)]) == 0
    assert not differs_but_in_the_command(out, unkilled)


# ---------------------------------------------------------------- the command


def refusal(capsys, *arguments):
    assert cli.main([str(a) for a in arguments]) == 2
    return capsys.readouterr().err


@pytest.fixture
def short(npy, tmp_path, capsys):
    """A run of 4 steps."""
    out = tmp_path / "run"
    options = ["--model", "mlp", "--steps", "4", "--batch", "16", "--seed", "7", "--objective", "hinge", "--lr", "1"]
    assert cli.main(["train", "--data", npy, "--out", str(out), *options[:-1], "0.001"]) == 0
    capsys.readouterr()
    return out


def test_the_command_goes_on_as_it_began(short, tmp_path, capsys):
    assert cli.main(["train", "--resume", str(short)]) == 0
    said = capsys.readouterr()
    assert "has had its 4 steps" in said.err and f"Going on at step 4 in {short}" in said.out
    assert cli.main(["train", "--resume", str(short), "--steps", "6", "--checkpoint-every", "5"]) == 0
    assert "Hinge objective, Adam(lr=0.001" in capsys.readouterr().out
    config = runs.read_config(short)
    assert (config["steps"], config["seed"], config["checkpoint_every"]) == (6, 7, 5)
    assert (short / "checkpoints" / "step-000005.npz").exists()


def test_what_the_command_refuses(short, tmp_path, npy, capsys):
    message = refusal(capsys, "train", "--resume", short, "--model", "small", "--seed", 1, "--out", tmp_path / "x")
    assert "--model, --seed, --out can't be given with it" in message
    assert "a run folder" in refusal(capsys, "train", "--resume", tmp_path / "nowhere")
    other = tmp_path / "other.npy"
    np.save(other, np.zeros((80, 4, 4, 1), np.uint8))
    assert "data was" in refusal(capsys, "train", "--resume", short, "--data", other)
    moved = tmp_path / "moved.npy"
    shutil.copy(npy, moved)
    assert cli.main(["train", "--resume", str(short), "--data", str(moved), "--steps", "5"]) == 0
    capsys.readouterr()
    good = runs.read_config(short)
    for key, value in (("batch", "many"), ("seed", True), ("lr", [1]), ("data", 3), ("model", {})):
        runs.save_json(short / "config.json", {**good, "options": {**good["options"], key: value}})
        assert f"config.json: {key} is {value!r}" in refusal(capsys, "train", "--resume", short)
    runs.save_json(short / "config.json", {**good, "steps": "all"})
    assert "steps is 'all'" in refusal(capsys, "train", "--resume", short)
    runs.save_json(short / "config.json", {**good, "options": {**good["options"], "lr": 0.5}})
    assert "g_optimizer was Adam(lr=0.001" in refusal(capsys, "train", "--resume", short)
    trainer(tmp_path / "made").fit(steps=1)
    assert "another program made this run" in refusal(capsys, "train", "--resume", tmp_path / "made")


def test_a_new_run_in_the_place_of_an_old_one_says_how_to_go_on(short, npy, capsys):
    message = refusal(capsys, "train", "--data", npy, "--out", short)
    assert "exists already" in message and f"tinygan train --resume {short}" in message


def test_resuming_what_is_no_run(tmp_path):
    (tmp_path / "run").mkdir()
    with pytest.raises(FileError, match=r"config\.json: No such file"):
        trainer(tmp_path / "run")
    assert not any(Path(tmp_path / "run").iterdir())
