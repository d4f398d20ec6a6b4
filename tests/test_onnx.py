"""ONNX: onnxruntime draws the same images from the file as tinygan does."""

import numpy as np
import pytest

import tinygan as tg
from tinygan import cli, models, nn
from tinygan.errors import SettingError
from tinygan.onnx import save_onnx

LATENTS = 12


def trained(generator):
    """With statistics that are not those of the start."""
    rng = np.random.default_rng(1)
    for name, array in generator.state_dict().items():
        if ".normalise." in name and "running" not in name:
            continue  # always 1 and 0
        values = rng.uniform(0.5, 2, array.shape) if "running" in name else rng.normal(0, 0.3, array.shape)
        {**generator.named_parameters(), **generator.named_buffers()}[name].assign(values.astype(np.float32))
    return generator.eval()


def network(name):
    if name in models.MODELS:
        return models.build_generator(name, (8, 12, 3), LATENTS)
    return nn.Sequential(
        nn.OneOf(3, 2.0, times=2), nn.Dense(LATENTS, 24, spectral_norm=True), nn.ReLU(), nn.Dropout(),
        nn.Reshape(2, 3, 4),
        nn.ConvTranspose(4, 3, (3, 2), stride=(2, 3), padding=[(1, 0), (0, 1)], output_padding=(1, 0)), nn.Sigmoid(),
        nn.ConvTranspose(3, 2, 2, stride=3, padding="same", bias=False), nn.Tanh(),
    )  # fmt: skip


@pytest.mark.parametrize("name", [*models.MODELS, "other"])
def test_onnxruntime_draws_the_same(tmp_path, name):
    onnxruntime = pytest.importorskip("onnxruntime")
    generator = trained(network(name))
    save_onnx(tmp_path / "g.onnx", generator, LATENTS)
    session = onnxruntime.InferenceSession(str(tmp_path / "g.onnx"), providers=["CPUExecutionProvider"])
    z = np.random.default_rng(0).standard_normal((5, LATENTS), np.float32)
    for some in (z, z[:1]):
        (images,) = session.run(None, {"latents": some})
        expected = generator(tg.Tensor(some)).numpy()
        assert images.shape == expected.shape
        np.testing.assert_allclose(images, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", models.MODELS)
def test_labels_are_an_input_of_a_conditional_one(tmp_path, name):
    onnxruntime = pytest.importorskip("onnxruntime")
    generator = trained(models.build_generator(name, (8, 12, 3), LATENTS, classes=4))
    save_onnx(tmp_path / "g.onnx", generator, LATENTS)
    session = onnxruntime.InferenceSession(str(tmp_path / "g.onnx"), providers=["CPUExecutionProvider"])
    z, labels = np.random.default_rng(0).standard_normal((5, LATENTS), np.float32), np.array([3, 0, 1, 2, 3])
    for n in (5, 1):
        (images,) = session.run(None, {"latents": z[:n], "labels": labels[:n]})
        expected = generator(tg.Tensor(z[:n]), labels[:n]).numpy()
        np.testing.assert_allclose(images, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("classes", [None, 3])
def test_the_checker_of_onnx_agrees(tmp_path, classes):
    onnx = pytest.importorskip("onnx")
    save_onnx(tmp_path / "g.onnx", models.build_generator("small", (8, 12, 3), LATENTS, classes=classes), LATENTS)
    onnx.checker.check_model(str(tmp_path / "g.onnx"), full_check=True)


def test_the_bytes_without_any_library(tmp_path):
    save_onnx(tmp_path / "g.onnx", nn.Sequential(nn.Tanh()), 300)
    content = (tmp_path / "g.onnx").read_bytes()
    assert content.startswith(b"\x08\x07\x12\x07tinygan\x3a") and content.endswith(b"\x42\x02\x10\x0d")
    assert b"\x0a\x07latents\x12\x06value0\x22\x04Tanh" in content and b"\x08\xac\x02" in content  # 300 as a varint


def test_what_is_not_translated_is_named(tmp_path):
    with pytest.raises(SettingError, match=r"Conv\(.*isn't translated"):
        save_onnx(tmp_path / "g.onnx", nn.Sequential(nn.Conv(1, 2, 3)), 6)
    with pytest.raises(SettingError, match="no Sequential"):
        save_onnx(tmp_path / "g.onnx", nn.Dense(6, 3), 6)
    with pytest.raises(SettingError, match="onnx"):
        save_onnx(tmp_path / "g.bin", nn.Sequential(nn.Tanh()), 6)
    assert not list(tmp_path.iterdir())


def test_the_command_writes_it(tmp_path):
    np.save(tmp_path / "data.npy", np.random.default_rng(0).integers(0, 256, (80, 4, 4, 1), np.uint8))
    out = str(tmp_path / "run")
    for model, size in (("mlp", 4 * 149_000), ("small", 4 * 60_000)):
        run, file = f"{out}-{model}", tmp_path / f"{model}.onnx"
        command = ["train", "--model", model, "--data", str(tmp_path / "data.npy"), "--clusters", "3"]
        assert cli.main([*command, "--steps", "1", "--out", run]) == 0
        assert cli.main(["export", run, "--out", str(file)]) == 0
        assert file.stat().st_size > size
