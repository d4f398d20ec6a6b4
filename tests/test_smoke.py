"""A short look at everything, for the installed wheel too: `pytest -m smoke` needs nothing of the checkout."""

import importlib
import pkgutil

import numpy as np
import pytest

import tinygan as tg
from tinygan import cli

pytestmark = pytest.mark.smoke


def test_every_module_but_cupys_imports():
    names = [m.name for m in pkgutil.walk_packages(tg.__path__, "tinygan.")]
    assert len(names) > 30
    for name in names:
        if name != "tinygan.__main__":
            importlib.import_module(name)


def test_public_names():
    for name in tg.__all__:
        assert getattr(tg, name) is not None
    for room in (tg.ops, tg.nn, tg.testing):
        for name in room.__all__:
            assert getattr(room, name) is not None


def test_gradients_are_right():
    x = np.random.default_rng(0).standard_normal((2, 5, 5, 3))
    w = np.random.default_rng(1).standard_normal((3, 3, 3, 4))
    tg.gradcheck(
        lambda x, w: tg.ops.softplus(tg.ops.conv(x, w, stride=2, padding="same")), [tg.Tensor(x), tg.Tensor(w)]
    )


def test_train_and_sample_by_command(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TINYGAN_OFFLINE", "1")
    run = tmp_path / "run"
    assert cli.main(["train", "--data", "digits", "--steps", "10", "--out", str(run)]) == 0
    for name in ("config.json", "samples.png", "losses.png", "training.gif", "model.npz"):
        assert (run / name).stat().st_size > 0
    assert cli.main(["sample", str(run), "--n", "4", "--out", str(tmp_path / "four.npy")]) == 0
    assert np.load(tmp_path / "four.npy").shape == (4, 28, 28, 1)
    assert cli.main(["doctor"]) == 0
