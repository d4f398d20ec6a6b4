"""Images in .npy and .npz: the good ones, and the hostile ones."""

import io
import pickle
import tracemalloc
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tinygan.data import load
from tinygan.errors import DataError, SettingError

BYTES = np.random.default_rng(0).integers(0, 256, (4, 5, 6)).astype(np.uint8)
FLOATS = np.linspace(-1, 1, 4 * 5 * 6 * 3).reshape(4, 5, 6, 3)
SCALED = BYTES[..., None].astype(np.float32) / np.float32(127.5) - 1


def npy_bytes(array: np.ndarray, **options) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, **options)
    return buffer.getvalue()


def header_bytes(shape: tuple[int, ...], descr: str = "|u1") -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": descr, "fortran_order": False, "shape": shape})
    return buffer.getvalue()


def write(folder, content: bytes, name: str = "images.npy"):
    (folder / name).write_bytes(content)
    return folder / name


# ---------------------------------------------------------------- good files


@pytest.mark.parametrize("array", [BYTES, BYTES[..., None], np.asfortranarray(BYTES)], ids=["3", "4", "fortran"])
def test_bytes_are_scaled(tmp_path, array):
    data = load(write(tmp_path, npy_bytes(array)))
    np.testing.assert_array_equal(data.images, SCALED)
    assert data.labels is None
    assert data.name == "images.npy"
    assert data.source == f"4 images in {tmp_path / 'images.npy'}, 0 … 255 scaled to [−1, 1]"


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f4"])
def test_floats_are_taken_as_they_are(tmp_path, dtype):
    data = load(write(tmp_path, npy_bytes(FLOATS.astype(dtype))))
    np.testing.assert_array_equal(data.images, FLOATS.astype(dtype).astype(np.float32))
    assert data.source.endswith("floats from -1 to 1 taken as they are, black being −1 and white 1")


def test_version_2_of_the_format(tmp_path):
    np.testing.assert_array_equal(load(write(tmp_path, npy_bytes(BYTES, version=(2, 0)))).images, SCALED)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz(tmp_path, save):
    path = tmp_path / "data.npz"
    save(path, images=BYTES, labels=np.array([1, 2, 3, 4], np.uint8), other=np.zeros(3))
    data = load(path, count=3)
    np.testing.assert_array_equal(data.images, SCALED[:3])
    assert data.labels.dtype == np.int64
    assert data.labels.tolist() == [1, 2, 3]


def test_npz_with_one_array_of_any_name(tmp_path):
    np.savez(tmp_path / "data.npz", faces=BYTES)
    np.testing.assert_array_equal(load(tmp_path / "data.npz").images, SCALED)


# ---------------------------------------------------------------- wrong files


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((2, 3)), r"shape \(2, 3\), but \(N, H, W\) or \(N, H, W, C\)"),
        (np.zeros((1, 2, 3, 3, 1)), r"shape \(1, 2, 3, 3, 1\), but"),
        (np.zeros((0, 3, 3)), r"shape is \(0, 3, 3\), there are no images"),
        (np.float32(3), r"shape is \(\), there are no images"),
        (np.zeros((2, 3, 9, 9), np.uint8), r"C must be 1 or 3.*transpose\(0, 2, 3, 1\)"),
        (np.zeros((2, 3, 3), np.int64), r"images are int64, but uint8 .* are expected: images\.astype\(numpy\.uint8\)"),
        (np.zeros((2, 3, 3), bool), "images are bool"),
        (np.zeros((2, 3, 3), complex), "images are complex128"),
        (np.array([[["a"]]]), "images are <U1"),
        (np.full((2, 3, 3), 254.0), r"image 0 has the value 254\.0 .*for values 0 … 255 use uint8"),
        (np.full((2, 3, 3), 1e300), r"image 0 has the value 1e\+300"),
        (np.array([[[0.5]], [[np.nan]]]), r"image 1 has the value nan at position \(0, 0, 0\)"),
    ],
)
def test_wrong_arrays(tmp_path, array, message):
    with pytest.raises(DataError, match=message):
        load(write(tmp_path, npy_bytes(array)))


def test_size_and_channels_are_not_converted(tmp_path):
    path = write(tmp_path, npy_bytes(BYTES))
    assert len(load(path, channels=1)) == 4
    for size in (5, 6):
        with pytest.raises(SettingError, match=rf"size={size}, channels=None: images\.npy has .*\(5, 6, 1\)"):
            load(path, size=size)


@pytest.mark.parametrize("labels", [np.zeros(3, int), np.zeros((4, 1), int), np.zeros(4)], ids=["few", "axes", "float"])
def test_wrong_labels(tmp_path, labels):
    np.savez(tmp_path / "data.npz", images=BYTES, labels=labels)
    with pytest.raises(DataError, match=r"labels are .* but 4 images need whole numbers of the shape \(4,\)"):
        load(tmp_path / "data.npz")


def test_npz_without_images(tmp_path):
    np.savez(tmp_path / "data.npz", a=BYTES, b=BYTES)
    with pytest.raises(DataError, match="an array named images is expected, but it has a, b"):
        load(tmp_path / "data.npz")
    with zipfile.ZipFile(tmp_path / "data.npz", "w"):
        pass
    with pytest.raises(DataError, match="but it has none"):
        load(tmp_path / "data.npz")


# ---------------------------------------------------------------- hostile files


class Trap:
    """What would be run on unpickling; it raises, so that no test can pass by accident."""

    def __reduce__(self):
        return exec, ("raise SystemExit('unpickled!')",)


def test_nothing_is_ever_unpickled(tmp_path):
    trap = np.empty((1, 1, 1), object)
    trap[0, 0, 0] = Trap()
    content = npy_bytes(trap, allow_pickle=True)
    with pytest.raises(DataError, match=r"Python objects \(a pickle\), and nothing is ever unpickled"):
        load(write(tmp_path, content))
    with zipfile.ZipFile(tmp_path / "data.npz", "w") as archive:
        archive.writestr("images.npy", content)
    with pytest.raises(DataError, match=r"data\.npz, images: .*nothing is ever unpickled"):
        load(tmp_path / "data.npz")
    for name in ("bare.npy", "bare.npz"):
        with pytest.raises(DataError, match="can't be read"):
            load(write(tmp_path, pickle.dumps(Trap()), name))


@pytest.mark.parametrize("shape", [(4, 5, 6, 3), (2**40, 2**40, 3), (4, 5, 5)])
def test_a_header_that_lies_about_the_shape(tmp_path, shape):
    content = header_bytes(shape) + BYTES.tobytes()
    with pytest.raises(DataError, match=r"announces the shape \(.*\) of uint8, \d+ bytes, but there are 120"):
        load(write(tmp_path, content))
    with zipfile.ZipFile(tmp_path / "data.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("images.npy", content)
    with pytest.raises(DataError, match=r"data\.npz, images: the header announces"):
        load(tmp_path / "data.npz")


def test_negative_sizes(tmp_path):
    with pytest.raises(DataError, match="there are no images"):
        load(write(tmp_path, header_bytes((-4, -5, 6)) + BYTES.tobytes()))


def test_truncated(tmp_path):
    content = npy_bytes(BYTES)
    with pytest.raises(DataError, match=r"120 bytes, but there are 119. The file is not whole"):
        load(write(tmp_path, content[:-1]))
    for length in (0, 5, 9, 40):
        with pytest.raises(DataError, match="can't be read"):
            load(write(tmp_path, content[:length]))
    np.savez(tmp_path / "data.npz", images=BYTES)
    with pytest.raises(DataError, match=r"data\.npz: can't be read: File is not a zip file. Is the file whole"):
        load(write(tmp_path, (tmp_path / "data.npz").read_bytes()[:-30], "data.npz"))


def test_an_unknown_version(tmp_path):
    with pytest.raises(DataError, match="unknown version"):
        load(write(tmp_path, b"\x93NUMPY\x03\x00" + npy_bytes(BYTES)[8:]))


def test_a_member_that_is_too_large(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "data.npz", images=np.zeros((100, 100, 100), np.uint8))
    monkeypatch.setattr("tinygan.data.arrays.LIMIT", 1_000_000)  # 128 bytes of header are above it
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="images announces 1000128 bytes, more than the 1000000"):
            load(tmp_path / "data.npz")
        assert tracemalloc.get_traced_memory()[1] < 500_000
    finally:
        tracemalloc.stop()


def test_a_zip_bomb_is_not_unpacked(tmp_path):
    np.savez_compressed(tmp_path / "data.npz", images=np.zeros((40, 1000, 1000), np.uint8))
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=r"images announces 40000128 bytes in \d{5} compressed ones, a zip bomb"):
            load(tmp_path / "data.npz")
        assert tracemalloc.get_traced_memory()[1] < 500_000
    finally:
        tracemalloc.stop()


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 2000), value=st.integers(0, 255), name=st.sampled_from(["a.npy", "a.npz"]))
def test_any_damaged_byte_is_read_or_refused(tmp_path, place, value, name):
    buffer = io.BytesIO()
    np.savez_compressed(buffer, images=BYTES)
    content = bytearray(npy_bytes(BYTES) if name == "a.npy" else buffer.getvalue())
    content[place % len(content)] = value
    try:
        data = load(write(tmp_path, bytes(content), name))
    except DataError:
        return
    assert data.images.size == BYTES.size
