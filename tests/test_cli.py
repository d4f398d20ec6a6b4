"""The commands, as a user types them."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import warnings

import numpy as np
import pytest
from PIL import Image

import tinygan as tg
from tinygan import cli


@pytest.fixture
def npy(tmp_path):
    """A small data set, so that nothing has to be drawn or fetched."""
    path = tmp_path / "data.npy"
    np.save(path, np.random.default_rng(0).integers(0, 256, (80, 8, 8, 1), np.uint8))
    return str(path)


@pytest.fixture
def run(npy, tmp_path, capsys):
    """A finished run of a few steps."""
    out = str(tmp_path / "run")
    assert cli.main(["train", "--model", "small", "--data", npy, "--steps", "4", "--out", out]) == 0
    capsys.readouterr()
    return out


def fails(capsys, *arguments):
    """The message of a command that fails as it should: exit status 2, and nothing on stderr besides but a bar."""
    assert cli.main([str(a) for a in arguments]) == 2
    bar, start, message = capsys.readouterr().err.partition(f"tinygan {arguments[0]}: ")
    assert start and "Traceback" not in bar + message and "Warning" not in bar + message
    return message


def test_train_says_what_it_does(npy, tmp_path, capsys):
    out = tmp_path / "run"
    assert (
        cli.main(["train", "--data", npy, "--steps", "3", "--objective", "hinge", "--lr", "0.01", "--out", str(out)])
        == 0
    )
    said = capsys.readouterr().out
    assert said.startswith("Training images: ") and "80 images" in said
    assert "Hinge objective" in said and "lr=0.01" in said and f"Writing to {out}" in said
    assert "samples.png" in said and f"tinygan sample {out}" in said
    config = json.loads((out / "config.json").read_text())
    assert (config["model"], config["objective"], config["steps"]) == ("small", "Hinge", 3)


def test_fast_mode_is_short_but_gives_way_to_a_wish(npy, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TINYGAN_FAST", "1")
    assert cli.main(["train", "--model", "mlp", "--data", npy, "--out", str(tmp_path / "a")]) == 0
    assert json.loads((tmp_path / "a" / "config.json").read_text())["steps"] == cli.FAST_STEPS
    assert "train without it to see images" in capsys.readouterr().out
    assert cli.main(["train", "--model", "mlp", "--data", npy, "--epochs", "2", "--out", str(tmp_path / "b")]) == 0
    assert json.loads((tmp_path / "b" / "config.json").read_text())["steps"] == 2
    assert "TINYGAN_FAST" not in capsys.readouterr().out


def test_default_data_is_the_digits_where_mnist_is_not_to_be_had(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TINYGAN_DATA", str(tmp_path))
    monkeypatch.setenv("TINYGAN_OFFLINE", "1")
    monkeypatch.setattr("pooch.os_cache", lambda name: tmp_path / "cache")
    monkeypatch.chdir(tmp_path)
    assert cli.main(["train", "--model", "mlp", "--steps", "1"]) == 0
    looking, found = capsys.readouterr().out.splitlines()[:2]
    assert looking.startswith("Looking for MNIST")
    assert "digits drawn by code" in found and "MNIST is not to be had" in found and str(tmp_path) in found
    assert (tmp_path / "runs" / "mlp-digits-1" / "samples.png").exists()


def test_train_errors(npy, tmp_path, capsys):
    message = fails(capsys, "train", "--model", "smal")
    assert "Did you mean 'small'?" in message
    message = fails(capsys, "train", "--data", npy, "--out", tmp_path)
    assert "exists already" in message and "--resume" not in message  # it is no run
    assert "batch of 81" in fails(capsys, "train", "--data", npy, "--batch", 81, "--out", tmp_path / "run")
    assert "Did you mean 'mnist'" in fails(capsys, "train", "--data", "mnits", "--out", tmp_path / "run")
    np.save(tmp_path / "odd.npy", np.zeros((70, 7, 7, 1), np.uint8))
    assert "multiples of 4" in fails(capsys, "train", "--data", tmp_path / "odd.npy", "--out", tmp_path / "run")
    assert "larger batch" in fails(capsys, "train", "--data", npy, "--batch", 1, "--out", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_broken_files_of_ones_own_are_not_passed_over(tmp_path, monkeypatch, capsys):
    """MNIST that is there but damaged is an error, not a reason to train on something else."""
    (tmp_path / "mnist").mkdir()
    for name in ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"):
        (tmp_path / "mnist" / name).write_bytes(b"not idx")
    monkeypatch.setenv("TINYGAN_DATA", str(tmp_path))
    assert "train-images-idx3-ubyte" in fails(capsys, "train", "--out", tmp_path / "run")


def test_a_run_that_diverges_says_so_and_nothing_else(npy, tmp_path, capsys):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        message = fails(capsys, "train", "--data", npy, "--model", "mlp", "--lr", "1e30", "--out", tmp_path / "run")
    assert (
        re.search(r"step \d+: D's loss is .*, G's .*the model of step 0 are kept", message) or "holds a NaN" in message
    )


def test_too_much_at_a_time(run, monkeypatch, capsys):
    def exhausted(*arguments):
        raise MemoryError("Unable to allocate 23.8 GiB")

    monkeypatch.setattr(cli, "generate", exhausted)
    assert "not enough memory" in fails(capsys, "sample", run)


@pytest.mark.skipif(tg.backend.gpu_problem() is None, reason="a GPU is usable here")
def test_gpu_that_is_not_there(npy, tmp_path, capsys):
    assert "no GPU" in fails(capsys, "train", "--data", npy, "--device", "gpu", "--out", tmp_path / "run")


@pytest.mark.parametrize(
    "arguments", [["--steps", "0"], ["--lr", "-1"], ["--lr", "x"], ["--seed", "-1"], ["--steps", "1", "--epochs", "1"]]
)
def test_numbers_out_of_range(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["train", *arguments])
    assert stop.value.code == 2
    assert re.search(r"expected|not allowed with", capsys.readouterr().err)


def test_help_names_every_command_and_option(capsys):
    for arguments, expected in (
        (["--help"], ("train", "sample", "export", "doctor", "Start with: tinygan train")),
        (["train", "--help"], ("small, dcgan, mlp", "--data", "--minutes", "--resume", "--device", "TINYGAN_DATA")),
        (["sample", "--help"], ("--walk", ".npy", "Examples")),
    ):
        with pytest.raises(SystemExit) as stop:
            cli.main(arguments)
        said = " ".join(capsys.readouterr().out.split())
        assert stop.value.code == 0
        for part in expected:
            assert part in said


def test_sample_grid_array_folder_and_walk(run, tmp_path, capsys):
    assert cli.main(["sample", run, "--n", "9", "--seed", "2", "--out", str(tmp_path / "x.npy")]) == 0
    array = np.load(tmp_path / "x.npy", allow_pickle=False)
    assert (array.shape, array.dtype) == ((9, 8, 8, 1), np.float32) and np.abs(array).max() <= 1
    assert cli.main(["sample", run, "--n", "3", "--seed", "2", "--out", str(tmp_path / "single")]) == 0
    files = sorted((tmp_path / "single").iterdir())
    assert [f.name for f in files] == ["00000.png", "00001.png", "00002.png"]
    for file, image in zip(files, array, strict=False):
        with Image.open(file) as picture:
            assert np.array_equal(np.asarray(picture), tg.plotting.to_uint8(image[..., 0]))
    assert cli.main(["sample", run]) == 0
    assert os.path.exists(os.path.join(run, "sample-0.png")) and "64 images" in capsys.readouterr().out
    assert cli.main(["sample", run, "--walk", "5", "--n", "2", "--out", str(tmp_path / "walk.npy")]) == 0
    assert np.load(tmp_path / "walk.npy").shape == (10, 8, 8, 1)


def test_sample_errors(run, tmp_path, capsys):
    assert "config.json" in fails(capsys, "sample", tmp_path / "nowhere")
    assert ".png" in fails(capsys, "sample", run, "--out", tmp_path / "x.bmp")
    assert "choose a new folder" in fails(capsys, "sample", run, "--out", tmp_path)
    assert "at least 2" in fails(capsys, "sample", run, "--walk", 1)
    config = os.path.join(run, "config.json")
    with open(config) as file:
        good = file.read()
    wrong = {"image_shape": ("abc", [8, 8]), "model": (["small"],), "latent_size": (10**11, True)}
    for key, bad in ((key, bad) for key, values in wrong.items() for bad in values):
        with open(config, "w") as file:
            json.dump({**json.loads(good), key: bad}, file)
        assert "lacks a sound model, image_shape, latent_size or classes" in fails(capsys, "sample", run)
    with open(config, "w") as file:
        json.dump({**json.loads(good), "image_shape": [12, 12, 1]}, file)
    assert "don't belong together" in fails(capsys, "sample", run)
    with open(config, "w") as file:
        json.dump({**json.loads(good), "image_shape": [8192, 8192, 3]}, file)
    assert "weights are too few" in fails(capsys, "sample", run)  # before any is allocated
    with open(config, "w") as file:
        file.write(good)
    with open(os.path.join(run, "model.npz"), "r+b") as file:
        file.truncate(1000)
    assert "model.npz" in fails(capsys, "sample", run, "--out", tmp_path / "x.png")
    assert not (tmp_path / "x.png").exists()


def test_walks_go_from_draw_to_draw_at_the_same_length():
    ends = tg.sampling.draw_latents(6, 50, seed=1).reshape(3, 2, 50)
    walk = tg.sampling.walk_latents(3, 7, 50, seed=1).reshape(3, 7, 50)
    np.testing.assert_allclose(walk[:, [0, -1]], ends, atol=1e-5)
    lengths = np.linalg.norm(walk, axis=-1)
    assert (lengths.min(axis=1) > 0.95 * np.linalg.norm(ends, axis=-1).min(axis=1)).all()


def test_doctor(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("TINYGAN_DATA", str(tmp_path))
    monkeypatch.delenv("TINYGAN_OFFLINE", raising=False)
    monkeypatch.setattr("pooch.os_cache", lambda name: tmp_path / "cache")
    assert cli.main(["doctor"]) == 0
    said = capsys.readouterr().out
    for part in ("tinygan", tg.__version__, "numpy", "BLAS", "threads", "GPU", "mnist", "→ "):
        assert part in said
    assert "not here yet" in said and "TINYGAN_OFFLINE" not in os.environ


def test_doctor_sees_a_blas_below_the_cpu(monkeypatch):
    monkeypatch.setattr(tg.doctor, "_cpu_flags", lambda: {"avx2", "avx512f"})
    monkeypatch.delenv("OPENBLAS_CORETYPE", raising=False)
    assert "OPENBLAS_CORETYPE=SkylakeX" in tg.doctor._kernel_hint("openblas", "Haswell")
    assert tg.doctor._kernel_hint("openblas", "SkylakeX") == "" == tg.doctor._kernel_hint("mkl", "unknown")
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    assert "OPENBLAS_CORETYPE=Haswell holds" in tg.doctor._kernel_hint("openblas", "Haswell")
    monkeypatch.setattr(tg.doctor, "_cpu_flags", lambda: {"avx2"})
    assert tg.doctor._kernel_hint("openblas", "Haswell") == ""


@pytest.mark.skipif(not hasattr(signal, "SIGINT") or sys.platform == "win32", reason="needs POSIX signals")
def test_ctrl_c_saves_and_says_so(npy, tmp_path):
    out = tmp_path / "run"
    command = [sys.executable, "-m", "tinygan", "train", "--model", "mlp", "--data", npy, "--minutes", "5"]
    process = subprocess.Popen([*command, "--out", str(out)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not (out / "log.jsonl").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    said, errors = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in errors and "stopped" in errors
    assert "steps done" in said and (out / "model.npz").exists() and (out / "losses.png").exists()


def trained(tmp_path, *arguments):
    """The run of a short training, and its config."""
    out = tmp_path / f"run{len(list(tmp_path.glob('run*')))}"
    assert cli.main(["train", "--steps", "2", "--batch", "8", "--out", str(out), *arguments]) == 0
    return out, json.loads((out / "config.json").read_text())


def test_clusters_are_told_where_there_are_images_enough(tmp_path, capsys):
    images = np.random.default_rng(0).integers(0, 256, (1100, 8, 8, 1), np.uint8)
    for count, clusters in ((1100, 4), (499, 0)):
        np.save(tmp_path / "data.npy", images[:count])
        _, config = trained(tmp_path, "--data", str(tmp_path / "data.npy"))
        assert config["classes"] == (clusters or None) and config["options"]["clusters"] == clusters
        assert config["data"].get("clustered", False) == (clusters > 0)
        assert ("They are cut into 4 clusters" in capsys.readouterr().out) == (clusters > 0)
    assert trained(tmp_path, "--data", str(tmp_path / "data.npy"), "--clusters", "3")[1]["classes"] == 3
    assert trained(tmp_path, "--data", str(tmp_path / "data.npy"), "--clusters", "0")[1]["classes"] is None
    mlp = trained(tmp_path, "--data", str(tmp_path / "data.npy"), "--model", "mlp")[1]
    assert mlp["classes"] is None and mlp["options"]["clusters"] == 0


def test_a_run_with_clusters_goes_on_with_them(npy, tmp_path, capsys):
    whole, _ = trained(tmp_path, "--data", npy, "--clusters", "3", "--seed", "5")
    part, config = trained(tmp_path, "--data", npy, "--clusters", "3", "--seed", "5")
    for run in (part, whole):
        assert cli.main(["train", "--resume", str(run), "--steps", "4"]) == 0
    assert (whole / "model.npz").read_bytes() == (part / "model.npz").read_bytes()
    assert config["options"]["clusters"] == 3
    capsys.readouterr()
    assert "--clusters can't be given with it" in fails(capsys, "train", "--resume", part, "--clusters", "2")
    assert cli.main(["sample", str(part), "--label", "2"]) == 0
    assert "draws 3 classes" in fails(capsys, "sample", part, "--label", "3")


def test_a_run_from_before_there_were_clusters_goes_on_without(tmp_path, capsys):
    np.save(tmp_path / "data.npy", np.random.default_rng(0).integers(0, 256, (600, 8, 8, 1), np.uint8))
    run, config = trained(tmp_path, "--data", str(tmp_path / "data.npy"), "--clusters", "0")
    del config["options"]["clusters"]
    (run / "config.json").write_text(json.dumps(config))
    assert cli.main(["train", "--resume", str(run), "--steps", "4"]) == 0
    assert json.loads((run / "config.json").read_text())["classes"] is None


def test_wrong_clusters_are_told(npy, tmp_path, capsys):
    images = np.zeros((20, 8, 8, 1), np.uint8)
    np.savez(tmp_path / "labelled.npz", images=images, labels=np.arange(20) % 2)
    labelled = ["train", "--data", tmp_path / "labelled.npz", "--out", tmp_path / "never"]
    assert "--clusters what is found without: give one" in fails(capsys, *labelled, "--conditional", "--clusters", "2")
    for number in (1, 1001):
        assert f"{number} clusters of labelled.npz: 2 to 1000" in fails(capsys, *labelled, "--clusters", number)
    assert "80 images are too few for 81 clusters" in fails(capsys, "train", "--data", npy, "--clusters", "81")
    assert not (tmp_path / "never").exists()


def test_images_that_are_the_same_are_not_clustered(tmp_path, capsys):
    images = np.random.default_rng(0).integers(0, 256, (1000, 8, 8, 1), np.uint8)
    images[:700] = 0
    np.save(tmp_path / "data.npy", images)
    config = trained(tmp_path, "--data", str(tmp_path / "data.npy"))[1]
    assert config["classes"] is None and config["options"]["clusters"] == 0
    assert "Many of them are the same, so they can't be cut into clusters" in capsys.readouterr().out
    assert trained(tmp_path, "--data", str(tmp_path / "data.npy"), "--clusters", "4")[1]["classes"] > 1


def test_samples_of_many_clusters_are_a_grid_like_any_other(tmp_path):
    np.save(tmp_path / "data.npy", np.random.default_rng(0).integers(0, 256, (80, 8, 8, 1), np.uint8))
    run, _ = trained(tmp_path, "--data", str(tmp_path / "data.npy"), "--clusters", "20")
    assert cli.main(["sample", str(run), "--out", str(tmp_path / "grid.png")]) == 0
    with Image.open(tmp_path / "grid.png") as grid:
        assert grid.width == grid.height
    for seed, first in ((0, 0), (1, 4), (2, 8)):  # another seed begins with another cluster
        drawn = []
        for label in ([], ["--label", str(first)]):
            arguments = ["sample", str(run), "--n", "1", "--seed", str(seed), "--out", str(tmp_path / "one.npy")]
            assert cli.main([*arguments, *label]) == 0
            drawn.append(np.load(tmp_path / "one.npy"))
        assert np.array_equal(*drawn)
