"""The training loop and the run folder."""

import errno
import io
import json
import math
import shutil
import signal
import threading

import numpy as np
import pytest
from PIL import Image

import tinygan as tg
from tinygan import nn, runs
from tinygan.errors import DataError, FileError, NonFiniteError, SettingError, ShapeError


def tiny_gan(seed=0, lr=1e-3, shape=(4, 4, 1), objective="non-saturating"):
    rng = np.random.default_rng(seed)
    size = math.prod(shape)
    g = nn.Sequential(nn.Dense(3, size, rng=rng), nn.Tanh(), nn.Reshape(*shape))
    d = nn.Sequential(nn.Flatten(), nn.Dense(size, 1, rng=rng))
    optimizers = tg.optim.Adam(g.parameters(), lr), tg.optim.Adam(d.parameters(), lr)
    return tg.GAN(g, d, objective, *optimizers, latent_size=3, seed=seed)


def images(n=40, shape=(4, 4, 1)):
    return np.random.default_rng(1).uniform(-1, 1, (n, *shape)).astype(np.float32)


def trainer(out=None, gan=None, data=None, **settings):
    settings = {"batch_size": 8, "sample_every": 4, "log_every": 2, "progress": False, **settings}
    return tg.Trainer(gan or tiny_gan(), images() if data is None else data, out, **settings)


def test_run_folder_holds_everything(tmp_path):
    out = tmp_path / "run"
    trainer(out, tiny_gan(lr=0.1), config={"model": "tiny"}).fit(steps=10)
    names = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    grids = {f"samples/step-{step:06}.png" for step in (0, 4, 8, 10)}
    whole = {"config.json", "log.jsonl", "samples.png", "training.gif", "losses.png", "model.npz", "report.txt"}
    assert names == grids | whole | {"checkpoints/step-000000.npz", "checkpoints/step-000010.npz"}
    log = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in log] == [2, 4, 6, 8, 10]
    for line in log:  # with non-saturating, D minimises −V(D, G)
        assert math.isclose(line["value"], -line["d_loss"], rel_tol=1e-5)
    with Image.open(out / "training.gif") as film:
        assert film.n_frames == 4
    config = json.loads((out / "config.json").read_text())
    assert (config["seed"], config["steps"], config["batch_size"], config["model"]) == (0, 10, 8, "tiny")
    assert config["g_optimizer"] == "Adam(lr=0.1, betas=(0.9, 0.999), eps=1e-08)"
    assert config["versions"]["tinygan"] == tg.__version__ and config["versions"]["device"] == "cpu"
    assert {"python", "numpy", "machine", "threads"} <= config["versions"].keys()
    assert len(config["data"]["sha256"]) == 64


def test_value_is_logged_only_where_it_has_a_meaning():
    for objective, expected in (("minimax", True), ("non-saturating", True), ("hinge", False), ("wasserstein", False)):
        run = trainer(gan=tiny_gan(objective=objective))
        run.fit(steps=2)
        assert ("value" in run.log[0]) is expected, objective


def test_same_seed_same_log_and_bytes():
    logs, weights = [], []
    for seed in (5, 5, 6):
        run = trainer(gan=tiny_gan(seed))
        weights.append(b"".join(a.tobytes() for a in run.fit(steps=6).generator.state_dict().values()))
        logs.append(run.log)
    assert logs[0] == logs[1] and weights[0] == weights[1]
    assert logs[0] != logs[2] and weights[0] != weights[2]


def test_lengths():
    run = trainer()
    run.fit(epochs=2)  # 40 images in batches of 8
    assert run.step == 10
    run = trainer(d_steps=5)
    run.fit(epochs=2)
    assert (run.step, run.gan.d_steps) == (2, 10)
    run = trainer()
    run.fit(minutes=0.005)
    assert run.step > 0
    for wrong in ({}, {"steps": 0}, {"steps": 1, "epochs": 1}, {"minutes": -1}):
        with pytest.raises(SettingError, match="give one of steps"):
            trainer().fit(**wrong)


def test_an_existing_folder_is_never_touched(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine").write_text("precious")
    with pytest.raises(FileError, match="exists already"):
        trainer(tmp_path / "run")
    assert [p.name for p in (tmp_path / "run").iterdir()] == ["mine"]


def test_nothing_is_written_where_the_parts_do_not_fit(tmp_path):
    out = tmp_path / "run"
    with pytest.raises(ShapeError, match=r"\(5, 5, 1\).*\(4, 4, 1\)"):
        trainer(out, gan=tiny_gan(shape=(5, 5, 1)))
    with pytest.raises(DataError, match="batch of 41"):
        trainer(out, batch_size=41)
    broken = images()
    broken[3, 1, 2, 0] = np.nan
    with pytest.raises(DataError, match="image 3"):
        trainer(out, data=broken)
    assert not out.exists()


def test_non_finite_loss_stops_and_keeps_the_last_good(tmp_path):
    out = tmp_path / "run"
    run = trainer(out, sample_every=2)
    good = {}

    def spoil(parameter):
        if run.step == 5:  # D's sixth step: its gradient is NaN from here on
            good["model"] = (out / "model.npz").read_bytes()
            parameter.grad = parameter.grad * float("nan")

    run.gan.discriminator.parameters()[0].register_hook(spoil)
    with pytest.raises(NonFiniteError, match="step 6"):
        run.fit(steps=100)
    assert (out / "model.npz").read_bytes() == good["model"]
    assert (out / "samples" / "step-000004.png").exists() and not (out / "samples" / "step-000006.png").exists()
    assert (out / "losses.png").exists() and (out / "training.gif").exists()
    assert [json.loads(line)["step"] for line in (out / "log.jsonl").read_text().splitlines()] == [2, 4]


def test_a_run_that_fails_before_its_first_step_leaves_nothing(tmp_path, monkeypatch):
    run = trainer(tmp_path / "run")
    monkeypatch.setattr(run.gan, "discriminator_step", lambda *batch: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run.fit(steps=3)
    assert not (tmp_path / "run").exists()


def test_the_last_step_is_logged(tmp_path):
    run = trainer(tmp_path / "run", log_every=10)
    run.fit(steps=3)
    assert [line["step"] for line in run.log] == [3] and (tmp_path / "run" / "losses.png").exists()


def test_weights_that_are_not_finite_are_not_saved(tmp_path):
    run = trainer(tmp_path / "run")
    run.gan.averaged.parameters()[0].assign(float("inf"))
    with pytest.raises(NonFiniteError, match=r"averaged\.layers\.0\.weight"):
        run._take_samples()
    assert not (tmp_path / "run" / "model.npz").exists()


def at_step(run, step, action):
    """Do it in the middle of that step of G."""
    run.gan.generator.parameters()[0].register_hook(lambda parameter: action() if run.step == step - 1 else None)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_waits_for_the_step_and_everything_is_saved(tmp_path, number):
    out = tmp_path / "run"
    run = trainer(out)
    at_step(run, 6, lambda: signal.raise_signal(number))
    with pytest.raises(KeyboardInterrupt if number == signal.SIGINT else SystemExit) as stopped:
        run.fit(steps=100)
    assert number == signal.SIGINT or stopped.value.code == 143
    assert run.step == 6 and (out / "checkpoints" / "step-000006.npz").exists()
    assert (out / "samples" / "step-000006.png").exists()
    assert (out / "losses.png").exists() and (out / "training.gif").exists() and (out / "model.npz").exists()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_a_second_ctrl_c_does_not_wait(tmp_path):
    run = trainer(tmp_path / "run")
    at_step(run, 2, lambda: [signal.raise_signal(signal.SIGINT) for _ in range(2)])
    with pytest.raises(KeyboardInterrupt):
        run.fit(steps=100)
    assert run.step == 1 and not (tmp_path / "run" / "checkpoints" / "step-000002.npz").exists()


def test_signals_of_other_owners_and_other_threads_are_left_alone():
    seen = []
    usual = signal.signal(signal.SIGTERM, lambda number, frame: seen.append(number))
    try:
        run = trainer()
        at_step(run, 2, lambda: signal.raise_signal(signal.SIGTERM))
        run.fit(steps=3)
    finally:
        signal.signal(signal.SIGTERM, usual)
    assert seen == [signal.SIGTERM] and run.step == 3
    other = trainer()
    thread = threading.Thread(target=other.fit, kwargs={"steps": 3})
    thread.start()
    thread.join()
    assert other.step == 3


def test_fit_counts_all_steps(tmp_path, capsys):
    """Twice the same is once; in two goes is as in one, to the byte of every file."""
    ends = []
    for name, goes in (("a", [7, 7, 10]), ("b", [10])):
        run = trainer(tmp_path / name)
        for steps in goes:
            run.fit(steps=steps)
        assert run.step == 10
        files = sorted(p for p in (tmp_path / name).rglob("*") if p.is_file() and p.parent.name != "checkpoints")
        ends.append({str(p.relative_to(tmp_path / name)): p.read_bytes() for p in files})
    assert "has had its 7 steps, and nothing is changed" in capsys.readouterr().err
    assert ends[0] == ends[1]


# ---------------------------------------------------------------- disks that fail


def test_a_folder_that_cannot_be_made_is_said_before_anything_is_trained(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match="could not make the run folder"):
        trainer(tmp_path / "file" / "run").fit(steps=1)
    monkeypatch.setattr("os.fsync", no_space)
    run = trainer(tmp_path / "run")
    with pytest.raises(FileError, match="No space left on device"):
        run.fit(steps=1)
    assert run.step == 0 and [p.name for p in tmp_path.iterdir()] == ["file"]


def no_space(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_is_said_at_once_and_costs_nothing_that_was_saved(tmp_path, monkeypatch, capsys):
    out = tmp_path / "run"
    run = trainer(out, checkpoint_every=2)
    run.fit(steps=4)
    before = {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}
    reached = []
    at_step(run, 8, lambda: reached.append((run.step, capsys.readouterr().err)))
    with monkeypatch.context() as full:
        at_step(run, 5, lambda: full.setattr("os.fsync", no_space))
        with pytest.raises(FileError, match=r"No space left on device.*Step 4 is saved, and can be resumed from"):
            run.fit(steps=9)
    ((step, said),) = reached
    assert step == 7 and said.count("No space left on device") == 1 and "Training goes on" in said
    after = {p: p.read_bytes() for p in before}
    unchanged = {p for p in before if p.name not in ("log.jsonl", "config.json")}
    assert {p: after[p] for p in unchanged} == {p: before[p] for p in unchanged}
    assert after[out / "log.jsonl"].startswith(before[out / "log.jsonl"])
    assert not list(out.rglob("*.tmp"))


def test_once_there_is_room_again_everything_is_written(tmp_path, monkeypatch, capsys):
    out = tmp_path / "run"
    run = trainer(out, checkpoint_every=2)
    with monkeypatch.context() as full:
        at_step(run, 5, lambda: full.setattr("os.fsync", no_space))
        at_step(run, 11, full.undo)
        run.fit(steps=16)
    said = capsys.readouterr().err
    assert "No space left" in said and "can be written again: step 12 is saved" in said
    log = [json.loads(line)["step"] for line in (out / "log.jsonl").read_text().splitlines()]
    assert log == list(range(2, 17, 2))
    assert sorted(p.name for p in (out / "checkpoints").iterdir()) == [f"step-{n:06}.npz" for n in (12, 14, 16)]


def test_a_folder_that_is_removed_is_made_again(tmp_path, capsys):
    out = tmp_path / "run"
    run = trainer(out, checkpoint_every=2)
    at_step(run, 5, lambda: shutil.rmtree(out))
    run.fit(steps=12)
    said = capsys.readouterr().err
    assert "No such file or directory" in said and "can be written again: step 6 is saved" in said
    log = [json.loads(line)["step"] for line in (out / "log.jsonl").read_text().splitlines()]
    assert log == [2, 4, 6, 8, 10, 12]
    assert (out / "config.json").exists() and (out / "model.npz").exists() and (out / "training.gif").exists()


def test_a_film_of_damaged_samples_is_left_out(tmp_path, capsys):
    run = trainer(tmp_path / "run")
    at_step(run, 5, lambda: (tmp_path / "run" / "samples" / "step-000004.png").write_bytes(b"no picture"))
    run.fit(steps=8)
    assert "a picture is left out: " in (said := capsys.readouterr().err) and "step-000004.png can't be read" in said
    assert (tmp_path / "run" / "checkpoints" / "step-000008.npz").exists()


def test_a_terminal_that_cannot_be_written_to_ends_nothing(tmp_path, monkeypatch):
    class Full(io.StringIO):
        def write(self, text):
            raise OSError(errno.ENOSPC, "No space left on device")

    run = trainer(tmp_path / "run", progress=True, checkpoint_every=1)
    at_step(run, 2, lambda: monkeypatch.setattr("sys.stderr", Full()))
    at_step(run, 3, lambda: shutil.rmtree(tmp_path / "run"))  # so that something has to be said
    run.fit(steps=6)
    run.fit(steps=6)
    assert run.step == 6


def test_two_trainers_do_not_write_in_one_folder(tmp_path):
    out = tmp_path / "run"
    run = trainer(out, checkpoint_every=1)
    refused = []

    def another():
        with pytest.raises(FileError, match="a training is going on in it already"):
            trainer(out, checkpoint_every=1, resume=True).fit(steps=9)
        refused.append(run.step)

    at_step(run, 3, another)
    run.fit(steps=4)
    assert refused == [2] and run.recorder.problem is None


def test_progress_bar_shows_losses_value_speed_and_time_left(capsys):
    trainer(progress=True).fit(steps=4)
    shown = capsys.readouterr().err
    for part in ("4/4 steps", "D 1.", "G 0.", "V(D,G) -", "(goal -1.386)", "steps/s", "<"):
        assert part in shown, part


def test_model_round_trip(tmp_path):
    gan = tg.models.build_gan("mlp", seed=3)
    tg.Trainer(gan, images(80, (28, 28, 1)), tmp_path / "run", config={"model": "mlp"}, progress=False).fit(steps=2)
    generator, latent_size, _ = runs.load_generator(tmp_path / "run")
    latents = np.random.default_rng(0).standard_normal((5, latent_size), np.float32)
    assert latent_size == 64 and not generator.training
    assert np.array_equal(tg.gan.generate(generator, latents), gan.generate(latents))


def test_load_generator_errors(tmp_path):
    with pytest.raises(FileError, match="a run folder"):
        runs.load_generator(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(DataError, match="not JSON"):
        runs.load_generator(tmp_path)
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(DataError, match="JSON object"):
        runs.load_generator(tmp_path)
    (tmp_path / "config.json").write_text('{"model": "mlp"}')
    with pytest.raises(DataError, match="image_shape"):
        runs.load_generator(tmp_path)
    (tmp_path / "config.json").write_text('{"model": "mine", "image_shape": [4, 4, 1], "latent_size": 3}')
    with pytest.raises(SettingError, match="mine"):
        runs.load_generator(tmp_path)


def test_free_folder_counts_up(tmp_path):
    assert runs.free_folder(tmp_path, "a").name == "a-1"
    (tmp_path / "a-1").mkdir()
    assert runs.free_folder(tmp_path, "a").name == "a-2"


# ---------------------------------------------------------------- learning rates that fall


def rates_of(run, **length):
    """The learning rates of each step, as the optimizers had them."""
    seen, step = [], run.gan.generator_step

    def watched(n):
        seen.append((run.gan.g_optimizer.lr, run.gan.d_optimizer.lr))
        return step(n)

    run.gan.generator_step = watched
    run.fit(**length)
    return np.array(seen)


def test_learning_rates_fall_linearly_over_the_last_share_of_the_steps(tmp_path):
    run = trainer(None, decay=0.5)
    start = run.gan.g_optimizer.lr, run.gan.d_optimizer.lr
    rates = rates_of(run, steps=8)
    np.testing.assert_allclose(rates / start, np.array([1, 1, 1, 1, 1, 0.75, 0.5, 0.25])[:, None].repeat(2, 1))
    assert (run.gan.g_optimizer.lr, run.gan.d_optimizer.lr) == start  # afterwards they are as they were given
    constant = rates_of(trainer(None), steps=4)
    assert (constant == constant[0]).all()


def test_a_run_with_falling_rates_goes_on_to_the_same_bytes(tmp_path):
    whole = trainer(tmp_path / "whole", decay=1.0)
    whole.fit(steps=6)
    parts = trainer(tmp_path / "parts", decay=1.0, checkpoint_every=1)
    step = parts.gan.generator_step

    def interrupted(n):
        if parts.step == 3:
            raise RuntimeError("a power cut")
        return step(n)

    parts.gan.generator_step = interrupted
    with pytest.raises(RuntimeError):
        parts.fit(steps=6)
    again = trainer(tmp_path / "parts", decay=1.0, resume=True)
    again.fit(steps=6)
    assert all(np.array_equal(a, again.gan.state_dict()[name]) for name, a in whole.gan.state_dict().items())


def test_decay_is_a_share():
    with pytest.raises(SettingError, match=r"decay=1.5; a share of the steps, from 0 to 1"):
        trainer(None, decay=1.5)
