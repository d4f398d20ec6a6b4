"""Images in a .npy or .npz file. Nothing is ever unpickled, and no header is believed before it is checked."""

import math
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from .dataset import Dataset, Images, Labels, check_values, checked_count, from_bytes, most_unpacked

LIMIT = 2**31  # bytes of one array in a .npz, whose compression can hide any size


def load_arrays(path: Path, count: int | None = None) -> Dataset:
    """The first `count` images of a .npy, or of a .npz that has `images` and maybe `labels`, or one array alone.

    Images are (N, H, W) or (N, H, W, C): uint8 0 … 255, or floats in [−1, 1] that are taken as they are.
    Labels are whole numbers (N,). Raises DataError, naming the file, for anything else.
    """
    try:
        arrays = _read_npz(path) if path.suffix.lower() == ".npz" else {"images": _read_npy_file(path)}
    except DataError:
        raise
    except Exception as error:  # on broken files, NumPy, zipfile and zlib raise errors of many kinds
        raise DataError(f"{path}: can't be read: {error or type(error).__name__}. Is the file whole?") from error
    count = checked_count(count, len(arrays["images"]), path.name)
    images, meaning = _to_images(arrays["images"][:count], path.name)
    labels = _to_labels(arrays["labels"], len(arrays["images"]), path.name)[:count] if "labels" in arrays else None
    return Dataset(images, labels, path.name, f"{count} images in {path}, {meaning}")


def _read_npy_file(path: Path) -> NDArray[Any]:
    with open(path, "rb") as file:
        return _read_npy(file, path.stat().st_size, str(path))


def _read_npz(path: Path) -> dict[str, NDArray[Any]]:
    with zipfile.ZipFile(path) as archive:
        members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        if "images" in members:
            wanted = {key: members[key] for key in ("images", "labels") if key in members}
        elif len(members) == 1:
            wanted = {"images": next(iter(members.values()))}
        else:
            raise DataError(
                f"{path}: an array named images is expected, but it has {', '.join(sorted(members)) or 'none'}"
            )
        arrays: dict[str, NDArray[Any]] = {}
        for key, info in wanted.items():
            if info.file_size > LIMIT:
                raise DataError(
                    f"{path}: {key} announces {info.file_size} bytes, more than the {LIMIT} that are allowed"
                )
            packed = min(info.compress_size, path.stat().st_size)
            if info.file_size > most_unpacked(packed):
                raise DataError(
                    f"{path}: {key} announces {info.file_size} bytes in {packed} compressed ones, a zip bomb rather "
                    "than images. If it is images, save them with numpy.savez, uncompressed."
                )
            with archive.open(info) as file:
                arrays[key] = _read_npy(file, info.file_size, f"{path}, {key}")
        return arrays


def _read_npy(file: IO[bytes], size: int, where: str) -> NDArray[Any]:
    """The array of a .npy of `size` bytes, after its header has been held against that."""
    read_header = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }.get(np.lib.format.read_magic(file))
    if read_header is None:
        raise DataError(f"{where}: an unknown version of the .npy format. Save it with numpy.save.")
    shape, _, dtype = read_header(file)
    if dtype.hasobject:
        raise DataError(f"{where}: holds Python objects (a pickle), and nothing is ever unpickled. Save plain numbers.")
    if not shape or min(shape) < 1:
        raise DataError(f"{where}: the shape is {shape}, there are no images. (N, H, W) or (N, H, W, C) is expected.")
    announced, there = math.prod(shape) * dtype.itemsize, size - file.tell()
    if announced != there:
        raise DataError(
            f"{where}: the header announces the shape {shape} of {dtype}, {announced} bytes, but there are {there}. "
            "The file is not whole: save it again."
        )
    file.seek(0)
    array: NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
    return array


def _to_images(array: NDArray[Any], name: str) -> tuple[Images, str]:
    """Images (N, H, W, C) float32, and what their values were taken for."""
    if array.ndim not in (3, 4):
        raise DataError(f"{name}: images have the shape {array.shape}, but (N, H, W) or (N, H, W, C) is expected")
    array = array[..., None] if array.ndim == 3 else array
    if array.dtype == np.uint8:
        return from_bytes(array), "0 … 255 scaled to [−1, 1]"
    if array.dtype.kind != "f":
        raise DataError(
            f"{name}: images are {array.dtype}, but uint8 (0 … 255) or floats in [−1, 1] are expected: "
            "images.astype(numpy.uint8) where the values are 0 … 255"
        )
    check_values(array, name)  # before the conversion, in which large numbers would overflow
    meaning = f"floats from {array.min():g} to {array.max():g} taken as they are, black being −1 and white 1"
    return array.astype(np.float32), meaning


def _to_labels(array: NDArray[Any], count: int, name: str) -> Labels:
    if array.dtype.kind not in "iu" or array.shape != (count,):
        raise DataError(
            f"{name}: labels are {array.dtype} of the shape {array.shape}, "
            f"but {count} images need whole numbers of the shape ({count},)"
        )
    return array.astype(np.int64)
