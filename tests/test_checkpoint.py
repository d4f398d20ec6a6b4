"""Checkpoints: what goes in comes out, equal content is equal bytes, and no bad file gets further than an error."""

import errno
import io
import json
import os
import re
import tracemalloc
import zipfile

import numpy as np
import pytest

from tinygan import checkpoint
from tinygan.errors import DataError, DTypeError, FileError, SettingError

RNG = np.random.default_rng(0)
ARRAYS = {
    "generator.0.weight": RNG.standard_normal((5, 4, 3)).astype(np.float32),
    "generator.0.running_mean": RNG.standard_normal(4),
    "step": np.array(12345, np.int64),
    "bytes": np.arange(7, dtype=np.uint8),
    "mask": np.array([True, False, True]),
    "empty": np.zeros((0, 3), np.float32),
    "größe σ": np.array([np.nan, np.inf, -0.0], np.float32),
}
HEADER = {"seed": 7, "lr": 2e-4, "note": "σ → ∞", "log": [{"step": 1, "d_loss": 1.25}], "none": None}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.npz"


def same(arrays, others):
    """Are names (sorted), dtypes, shapes and bytes equal? (NaN and −0 too, so `==` won't do.)"""
    return list(arrays) == sorted(others) and all(
        (array.dtype, array.shape, array.tobytes()) == (others[name].dtype, others[name].shape, others[name].tobytes())
        for name, array in arrays.items()
    )


def npy_bytes(array, shape=None, descr=None, fortran=False, version=(1, 0), allow_pickle=False):
    """A member's bytes, whose header may lie about the shape and the dtype."""
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, version=version, allow_pickle=allow_pickle)
    if shape is None and descr is None:
        return buffer.getvalue()
    buffer = io.BytesIO()
    fields = {"descr": descr or array.dtype.str, "fortran_order": fortran, "shape": shape or array.shape}
    np.lib.format.write_array_header_1_0(buffer, fields)
    return buffer.getvalue() + array.tobytes()


def write_zip(path, members, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in members:
            archive.writestr(name, data)


def header_bytes(**fields):
    text = json.dumps({"format": "tinygan", "version": 1, "checksum": "", **fields})
    return npy_bytes(np.frombuffer(text.encode(), np.uint8))


def refused(path, pattern):
    with pytest.raises(DataError, match=pattern) as caught:
        checkpoint.load(path)
    assert str(path) in str(caught.value)
    assert re.search(r"Load another checkpoint|Upgrade tinygan", str(caught.value))


@pytest.mark.smoke
def test_round_trip(path):
    checkpoint.save(path, ARRAYS, HEADER)
    arrays, header = checkpoint.load(str(path))
    assert same(arrays, ARRAYS)
    assert header == HEADER
    assert all(array.flags.writeable and array.flags.c_contiguous for array in arrays.values())
    checkpoint.save(path, arrays, header)
    assert same(checkpoint.load(path)[0], ARRAYS)


def test_nothing_but_a_header(path):
    checkpoint.save(path, {}, {})
    assert checkpoint.load(path) == ({}, {})


def test_numpy_alone_opens_it(path):
    checkpoint.save(path, ARRAYS, HEADER)
    with np.load(path, allow_pickle=False) as archive:
        assert archive.files[0] == "header"
        assert set(archive.files) == {"header", *ARRAYS}
        header = json.loads(archive["header"].tobytes())
        np.testing.assert_array_equal(archive["generator.0.weight"], ARRAYS["generator.0.weight"])
    assert header.pop("checksum")
    assert header == {"format": "tinygan", "version": 1, **HEADER}


def test_equal_content_is_equal_bytes(path, tmp_path, monkeypatch):
    checkpoint.save(path, ARRAYS, HEADER)
    monkeypatch.setattr("time.time", lambda: 2e9)
    monkeypatch.setattr("sys.platform", "win32")
    backwards = {name: np.array(ARRAYS[name], order="F") for name in reversed(ARRAYS)}
    checkpoint.save(tmp_path / "again.npz", backwards, dict(reversed(HEADER.items())))
    assert path.read_bytes() == (tmp_path / "again.npz").read_bytes()


def test_any_memory_order_and_byte_order(path):
    array = np.arange(24, dtype=">f4").reshape(4, 6)
    checkpoint.save(path, {"big": array, "strided": array.T[::2, ::-1]}, {})
    arrays, _ = checkpoint.load(path)
    np.testing.assert_array_equal(arrays["big"], array)
    np.testing.assert_array_equal(arrays["strided"], array.T[::2, ::-1])
    assert arrays["big"].dtype == np.float32


def test_header_comes_back_as_json_has_it(path):
    checkpoint.save(path, {}, {"shape": (28, 28, 1), "by_step": {9: "a", 10: "b"}})
    assert checkpoint.load(path)[1] == {"shape": [28, 28, 1], "by_step": {"9": "a", "10": "b"}}


@pytest.mark.parametrize("dtype", ["float16", "int32", "complex64", "U3", "O", "M8[s]", "f4,i4"])
def test_save_refuses_other_dtypes(path, dtype):
    with pytest.raises(DTypeError, match=r"'weight'.*float32, float64, int64, uint8, bool"):
        checkpoint.save(path, {"weight": np.zeros(3, dtype)}, {})
    assert not path.exists()


@pytest.mark.parametrize("name", ["", "header", "a/b", "a\\b", "a\0b", "../up", "\ud800"])
def test_save_refuses_names_a_zip_would_change(path, name):
    with pytest.raises(SettingError, match="can't be named"):
        checkpoint.save(path, {name: np.zeros(3)}, {})
    assert not path.exists()


@pytest.mark.parametrize(
    "header, pattern",
    [
        ({"version": 3}, r"\['version'\]"),
        ({"checksum": ""}, r"\['checksum'\]"),
        ({"loss": float("nan")}, "not JSON.*finite"),
        ({"loss": np.float32(1)}, "not JSON.*float32"),
        ({"text": "\ud800"}, "not JSON"),
        ({1: "a", "b": 2}, "not JSON"),
    ],
)
def test_save_refuses_headers_that_would_change(path, header, pattern):
    with pytest.raises(SettingError, match=pattern):
        checkpoint.save(path, {}, header)
    assert not path.exists()


def test_the_limit_is_the_same_for_both(path, monkeypatch):
    checkpoint.save(path, ARRAYS, HEADER)
    with np.load(path) as archive:
        total = sum(archive[name].nbytes for name in archive.files)
    monkeypatch.setattr(checkpoint, "LIMIT", total)
    checkpoint.save(path, ARRAYS, HEADER)
    assert checkpoint.load(path)[1] == HEADER
    monkeypatch.setattr(checkpoint, "LIMIT", total - 1)
    refused(path, "are allowed")
    with pytest.raises(DataError, match=f"{total - 1:,} at most"):
        checkpoint.save(path, ARRAYS, HEADER)


def test_full_disk_leaves_the_old_checkpoint(path, monkeypatch):
    def no_space(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    checkpoint.save(path, ARRAYS, {"step": 1})
    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(FileError, match="No space left"):
        checkpoint.save(path, ARRAYS, {"step": 2})
    assert checkpoint.load(path)[1] == {"step": 1}
    assert list(path.parent.iterdir()) == [path]


def test_missing_and_unreadable_files(tmp_path):
    with pytest.raises(FileError, match=r"none\.npz: No such file or directory\. Check"):
        checkpoint.load(tmp_path / "none.npz")
    with pytest.raises(FileError, match="directory"):
        checkpoint.load(tmp_path)
    with pytest.raises(FileError, match="No such file or directory"):
        checkpoint.save(tmp_path / "none" / "run.npz", {}, {})


@pytest.mark.parametrize("content", [b"", b"PK", b"version https://git-lfs.github.com/spec/v1\n", bytes(1000)])
def test_not_a_zip(path, content):
    path.write_bytes(content)
    refused(path, "not a zip file")


def test_an_npz_of_somebody_else(path):
    np.savez(path, weight=np.zeros(3))
    refused(path, "no header")
    np.savez(path, header=np.frombuffer(b'{"format": "other", "version": 1}', np.uint8))
    refused(path, "no format 'tinygan'")
    np.savez(path, header=np.frombuffer(b'{"format": "tinygan", "version": "1"}', np.uint8))
    refused(path, "no format 'tinygan' with a version")
    np.savez(path, header=np.frombuffer(b'["tinygan"]', np.uint8))
    refused(path, "no format 'tinygan'")
    np.savez(path, header=np.frombuffer(b"[" * 100_000, np.uint8))
    refused(path, "damaged")


def test_a_newer_version_is_named(path):
    write_zip(path, [("header.npy", header_bytes(version=2)), ("future.npy", b"unknown")])
    refused(path, r"version 2, this tinygan reads up to 1\. Upgrade")


def test_two_members_of_one_name(path):
    write_zip(path, [("header.npy", header_bytes()), ("a.npy", npy_bytes(np.zeros(3))), ("a", npy_bytes(np.ones(3)))])
    refused(path, "members of one name")


class Bomb:
    """Unpickling it would call `set_off`."""

    def __reduce__(self):
        return set_off, ()


def set_off():
    raise SystemExit("unpickled!")


@pytest.mark.parametrize(
    "member, pattern",
    [
        (npy_bytes(np.array([Bomb()], object), allow_pickle=True), "holds object"),
        (npy_bytes(np.zeros(3, np.float16)), "holds float16"),
        (npy_bytes(np.zeros(3, ">f4")), "holds >f4"),
        (npy_bytes(np.zeros(3), shape=(3,), descr="<M8[s]"), "holds datetime64"),
        (npy_bytes(np.asfortranarray(np.zeros((2, 3)))), "Fortran order"),
        (npy_bytes(np.zeros(3), shape=(4,)), r"announces shape \(4,\) of float64, 32 bytes, where 24 lie"),
        (npy_bytes(np.zeros(3), shape=(2,)), "where 24 lie"),
        (npy_bytes(np.zeros(3), shape=(2**62, 2**62)), "announces shape"),
        (npy_bytes(np.zeros(0), shape=(0, 2**80)), "damaged"),
        (npy_bytes(np.zeros(6), shape=(-2, -3)), "damaged"),
        (npy_bytes(np.zeros(3), version=(2, 0)), r"not in version 1\.0"),
        (b"\x93NUMPY\x01\x00\xff\xff{'descr': '<f4'", "damaged"),
        (b"", "damaged"),
    ],
)
def test_members_that_are_not_what_they_should_be(path, member, pattern):
    write_zip(path, [("header.npy", header_bytes()), ("weight.npy", member)])
    refused(path, pattern)


def test_a_zip_bomb_is_not_unpacked(path):
    """64 MiB of zeros packed into 64 KiB: refused, and hardly any memory is touched."""
    weight = npy_bytes(np.zeros(2**23))
    write_zip(path, [("header.npy", header_bytes()), ("weight.npy", weight)], zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 2**17
    tracemalloc.start()
    refused(path, "is compressed")
    write_zip(path, [("header.npy", header_bytes())])
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("weight.npy", weight)
    tracemalloc.reset_peak()
    refused(path, "'weight.npy' is compressed")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**20


def test_sizes_that_only_the_directory_announces(path):
    """A directory that claims 1 GiB for a member of 24 bytes: the shape agrees, the file is too small."""
    head = npy_bytes(np.zeros(0), shape=(2**27,))
    write_zip(path, [("header.npy", header_bytes()), ("weight.npy", head + bytes(24))])
    data, (small, large) = path.read_bytes(), (len(head) + 24, len(head) + 2**30)
    sizes = small.to_bytes(4, "little") * 2
    assert data.count(sizes) == 2
    path.write_bytes(data.replace(sizes, large.to_bytes(4, "little") * 2))
    tracemalloc.start()
    refused(path, "1,073,741,824 bytes.*are allowed|Overlapped entries")  # newer zipfiles notice it first
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**20


@pytest.mark.parametrize("what", ["weight", "shape", "name", "header", "missing"])
def test_a_change_of_content_is_noticed(path, what):
    """Files rewritten with correct zip checksums: only SHA-256 can tell."""
    checkpoint.save(path, {"a": np.zeros(6), "b": np.ones(2)}, {"seed": 1})
    with zipfile.ZipFile(path) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    if what == "weight":
        members["a.npy"] = npy_bytes(np.full(6, 0.5))
    elif what == "shape":
        members["a.npy"] = npy_bytes(np.zeros((2, 3)))
    elif what == "name":
        members["c.npy"] = members.pop("a.npy")
    elif what == "header":
        members["header.npy"] = members["header.npy"].replace(b'"seed": 1', b'"seed": 2')
    else:
        del members["b.npy"]
    write_zip(path, members.items())
    refused(path, "checksum is wrong")


def test_300_damaged_files(path):
    """Bytes flipped, bits flipped, the end cut off: the right content, or a DataError that says so."""
    arrays = {"weight": ARRAYS["generator.0.weight"], "step": ARRAYS["step"]}
    checkpoint.save(path, arrays, HEADER)
    whole, rng, intact = path.read_bytes(), np.random.default_rng(1), 0
    for trial in range(300):
        data, place = bytearray(whole), int(rng.integers(len(whole)))
        if trial % 3 == 0:
            del data[place:]
        else:
            data[place] ^= int(rng.integers(1, 256)) if trial % 3 == 1 else 1 << int(rng.integers(8))
        path.write_bytes(data)
        try:
            loaded, header = checkpoint.load(path)
        except DataError as error:
            assert str(path) in str(error)
        else:
            assert same(loaded, arrays)
            assert header == HEADER
            intact += 1
    assert intact < 100  # most damage is noticed; the rest fell on timestamps and other idle fields of the zip
