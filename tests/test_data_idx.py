"""The idx format, strictly: whatever is not exactly right is refused with a sentence, in little memory."""

import gzip
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tinygan.data.idx import read_idx
from tinygan.errors import DataError

IMAGES = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)


def idx_bytes(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def write(folder: Path, content: bytes) -> Path:
    path = folder / "some-idx-ubyte"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("array", [IMAGES, np.array([7, 0, 255], np.uint8)], ids=["images", "labels"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["raw", "gz"])
def test_good_files(tmp_path, array, pack):
    read = read_idx(write(tmp_path, pack(idx_bytes(array))))
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, array)


GOOD = idx_bytes(IMAGES)
BAD = {
    "empty": (b"", r"starts with the bytes \[\]"),
    "wrong magic": (b"\x01" + GOOD[1:], r"starts with the bytes \[1, 0, 8, 3\]"),
    "wrong type": (b"\0\0\x0d" + GOOD[3:], r"starts with the bytes \[0, 0, 13, 3\]; expected: \[0, 0, 8, 1\]"),
    "two axes": (b"\0\0\x08\x02" + GOOD[4:], r"starts with the bytes \[0, 0, 8, 2\]"),
    "cut in the header": (GOOD[:9], "ends after 9 bytes, in its header; expected: 16 bytes"),
    "truncated": (GOOD[:-1], r"23 bytes of values; expected: 24 for the shape \(2, 3, 4\)"),
    "trailing": (GOOD + b"!", "more than 24 bytes of values; expected: 24"),
    "absurd": (b"\0\0\x08\x03" + b"\xff" * 12, rf"{(2**32 - 1) ** 3} bytes; expected: at most ({2**31}|{2**25}) bytes"),
}


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["raw", "gz"])
@pytest.mark.parametrize("case", BAD)
def test_bad_files(tmp_path, case, pack):
    content, message = BAD[case]
    path = write(tmp_path, pack(content))
    with pytest.raises(DataError, match=message) as caught:
        read_idx(path)
    assert str(caught.value).startswith(f"{path}: not a sound idx file: ")
    assert str(caught.value).endswith("Delete the file and load again.")


def test_broken_gzip(tmp_path):
    packed = gzip.compress(idx_bytes(np.random.default_rng(0).integers(0, 256, (9, 28, 28)).astype(np.uint8)))
    with pytest.raises(DataError, match="compressed data stops early"):
        read_idx(write(tmp_path, packed[: len(packed) // 2]))
    with pytest.raises(DataError, match="compressed data is broken"):
        read_idx(write(tmp_path, packed[:-8] + bytes(8)))  # checksum and length
    with pytest.raises(DataError, match="compressed data is broken"):
        read_idx(write(tmp_path, packed[:10] + b"\xff" * 40 + packed[50:]))


@pytest.mark.parametrize("announced", [IMAGES.shape, (2**11, 2**10, 2**10)], ids=["bomb", "empty promise"])
def test_memory_follows_neither_the_header_nor_the_compression(tmp_path, announced):
    header = b"\0\0\x08\x03" + struct.pack(">3I", *announced)
    path = write(tmp_path, gzip.compress(header + bytes(40_000_000 if announced == IMAGES.shape else 100)))
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=r"bytes of values|announces the shape"):
            read_idx(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8_000_000


def test_a_missing_file(tmp_path):
    with pytest.raises(DataError, match="nowhere: can't be read: No such file"):
        read_idx(tmp_path / "nowhere")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, len(GOOD) - 1), value=st.integers(0, 255), packed=st.booleans())
def test_any_damaged_byte_is_read_or_refused(tmp_path, place, value, packed):
    content = bytearray(gzip.compress(GOOD, mtime=0) if packed else GOOD)
    content[place % len(content)] = value
    try:
        array = read_idx(write(tmp_path, bytes(content)))
    except DataError:
        return
    assert array.size == 24
    if packed:
        np.testing.assert_array_equal(array, IMAGES)
