"""safetensors: what goes in comes out, here and in the format's own library; what contradicts itself is refused."""

import json
import re
import tracemalloc

import numpy as np
import pytest

from tinygan import cli, models
from tinygan.errors import DataError, DTypeError, FileError, SettingError
from tinygan.export import load_safetensors, save_safetensors

ARRAYS = {
    "b.weight": np.arange(24, dtype=np.float32).reshape(2, 3, 4).transpose(2, 0, 1)[::2],
    "a.bias": np.array([np.nan, -0.0, np.inf]),
    "steps": np.array(7, np.int64),
    "mask": np.array([[True], [False]]),
    "bytes": np.arange(5, dtype=np.uint8)[::-1],
    "big": np.arange(3, dtype=">f4"),
    "empty": np.zeros((0, 4), np.float32),
}


def same(found, expected):
    assert sorted(found) == sorted(expected)
    for name, array in expected.items():
        assert found[name].shape == array.shape and found[name].dtype == array.dtype.newbyteorder("=")
        np.testing.assert_array_equal(found[name], array)


def test_round_trip(tmp_path):
    path = tmp_path / "weights.safetensors"
    save_safetensors(path, ARRAYS, {"note": "σ"})
    arrays, metadata = load_safetensors(path)
    same(arrays, ARRAYS)
    assert metadata == {"note": "σ"} and all(array.flags.writeable for array in arrays.values())
    content = path.read_bytes()
    save_safetensors(path, dict(reversed(arrays.items())), metadata)
    assert path.read_bytes() == content


def test_the_library_of_the_format_reads_and_writes_the_same(tmp_path):
    safetensors = pytest.importorskip("safetensors.numpy")
    save_safetensors(tmp_path / "ours.safetensors", ARRAYS)
    same(safetensors.load_file(tmp_path / "ours.safetensors"), ARRAYS)
    plain = {
        name: np.ascontiguousarray(a).astype(a.dtype.newbyteorder("=")).reshape(a.shape) for name, a in ARRAYS.items()
    }
    safetensors.save_file(plain, tmp_path / "theirs.safetensors", {"by": "them"})
    arrays, metadata = load_safetensors(tmp_path / "theirs.safetensors")
    same(arrays, ARRAYS)
    assert metadata == {"by": "them"}


def test_what_cannot_be_saved(tmp_path):
    path = tmp_path / "x.safetensors"
    with pytest.raises(DTypeError, match="'w' of dtype float16"):
        save_safetensors(path, {"w": np.zeros(3, np.float16)})
    with pytest.raises(SettingError, match="__metadata__"):
        save_safetensors(path, {"__metadata__": np.zeros(3)})
    with pytest.raises(SettingError, match="safetensors"):
        save_safetensors(tmp_path / "x.npz", {})
    assert not path.exists()
    with pytest.raises(FileError, match="No such file"):
        load_safetensors(path)


def entry(shape=(2,), offsets=(0, 8), dtype="F32"):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"w": entry((3,))}, r"'w' of shape \(3,\) and float32 is announced at the bytes 0 to 8"),
        ({"w": entry(offsets=(0, 16), shape=(4,))}, "0 to 16"),
        ({"w": entry(offsets=(4, 8), shape=(1,))}, "4 to 8"),
        ({"w": entry(), "v": entry()}, "is announced at"),
        ({"w": entry((1,), (0, 4))}, "8 bytes of arrays lie in it, and 4 are announced"),
        ({"w": entry((2**31, 2**31), (0, 2**40))}, "no whole numbers"),
        ({"w": entry((0, 2**31, 2**31), (0, 0))}, "no whole numbers"),
        ({"w": entry((-1,), (0, 8))}, "no whole numbers"),
        ({"w": entry(([],), (0, 8))}, "no whole numbers"),
        ({"w": entry((True, 2))}, "no whole numbers"),
        ({"w": entry([1] * 33)}, "no whole numbers"),
        ({"w": entry(dtype="F16")}, "dtype 'F16'"),
        ({"w": entry(dtype=[])}, "dtype"),
        ({"w": 3}, "has no dtype"),
        ({"w": {**entry(), "more": 1}}, "has no dtype"),
        ({"w": entry(), "__metadata__": {"a": 1}}, "not text by name"),
        ([], "no JSON object"),
    ],
)
def test_headers_that_contradict(tmp_path, header, message):
    text = json.dumps(header).encode()
    path = tmp_path / "x.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(8))
    with pytest.raises(DataError, match=message) as caught:
        load_safetensors(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    "content", [b"", b"1234567", (2**63).to_bytes(8, "little"), b"\x08" + bytes(15), b"\x01" + bytes(7) + b"["]
)
def test_not_safetensors(tmp_path, content):
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    tracemalloc.start()
    with pytest.raises(DataError, match="Is the file whole"):
        load_safetensors(path)
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


def test_the_command_writes_the_averaged_generator(tmp_path, capsys):
    np.save(tmp_path / "data.npy", np.random.default_rng(0).integers(0, 256, (80, 4, 4, 1), np.uint8))
    out = tmp_path / "run"
    assert (
        cli.main(["train", "--model", "mlp", "--data", str(tmp_path / "data.npy"), "--steps", "1", "--out", str(out)])
        == 0
    )
    assert cli.main(["export", str(out)]) == 0
    arrays, metadata = load_safetensors(out / "generator.safetensors")
    assert metadata["latent_size"] == "64" and metadata["network"].startswith("Sequential(Dense(64 → 256)")
    generator = models.build_generator("mlp", (4, 4, 1), 64)
    generator.load_state_dict(arrays)
    assert "averaged generator" in capsys.readouterr().out
    for name in ("x.bin", "x"):
        assert cli.main(["export", str(out), "--out", str(tmp_path / name)]) == 2
        assert re.search(rf"{name}: a name that ends in \.safetensors or \.onnx", capsys.readouterr().err)
    assert cli.main(["export", str(out), "--out", str(tmp_path / "x.ONNX")]) == 0
