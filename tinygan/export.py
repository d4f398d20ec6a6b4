"""Weights for use elsewhere, as safetensors: a length, a JSON header, and the bytes of the arrays one after another.

Layout (https://huggingface.co/docs/safetensors): the header's length as a little-endian 64-bit number; the header,
{name: {"dtype": "F32", "shape": […], "data_offsets": [begin, end]}, "__metadata__": {key: text}}, filled up with spaces
to a multiple of 8; the arrays, C order and little-endian, without gaps. So any library of that format reads them.
"""

import json
import math
import os
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np

from .errors import DataError, DTypeError, FileError, SettingError
from .files import atomic_write, check_suffix

DTYPES = {"F32": "<f4", "F64": "<f8", "I64": "<i8", "U8": "|u1", "BOOL": "|b1"}
HEADER_LIMIT = 2**24  # bytes
LIMIT = 2**31  # bytes of all arrays: neither written nor read beyond it

Arrays = dict[str, np.ndarray[Any, Any]]


def save_safetensors(
    path: str | os.PathLike[str], arrays: Mapping[str, Any], metadata: Mapping[str, str] | None = None
) -> None:
    """Write a state_dict. Scattered arrays are written in C order; the file is replaced whole or not at all.

    Raises DTypeError (a dtype other than float32, float64, int64, uint8, bool), SettingError (another suffix, or the
    name `__metadata__`), DataError (more than 2³¹ bytes), FileError.
    """
    check_suffix(path, ".safetensors")
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    names = {dtype: name for name, dtype in DTYPES.items()}
    plain, end = [], 0
    for name in sorted(arrays):
        array = np.asarray(arrays[name])
        array = np.asarray(array, array.dtype.newbyteorder("<"), order="C")
        if name == "__metadata__":
            raise SettingError("no array can be named '__metadata__': the format keeps that name for itself")
        if array.dtype.str not in names:
            raise DTypeError(f"can't save array {name!r} of dtype {array.dtype}: convert it to float32")
        begin, end = end, end + array.nbytes
        header[name] = {"dtype": names[array.dtype.str], "shape": array.shape, "data_offsets": [begin, end]}
        plain.append(array)
    text = json.dumps(header, ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # so that the arrays are aligned
    if end > LIMIT or len(text) > HEADER_LIMIT:
        raise DataError(f"can't save {os.fspath(path)}: {end:,} bytes of arrays, and {LIMIT:,} are the most")
    with atomic_write(path) as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for array in plain:
            file.write(array.data)


def load_safetensors(path: str | os.PathLike[str]) -> tuple[Arrays, dict[str, str]]:
    """(arrays, metadata) of a safetensors file; `module.load_state_dict(arrays)` takes the arrays over.

    What the header announces is held against the file's size before anything is allocated.
    Raises FileError (missing or unreadable) or DataError (not such a file, or one that contradicts itself).
    """
    try:
        with open(path, "rb") as file:
            return _read(file, os.fstat(file.fileno()).st_size)
    except OSError as error:
        raise FileError(
            f"could not read {os.fspath(path)}: {error.strerror}. Check the path and its permissions"
        ) from error
    except DataError as error:
        raise DataError(f"can't load {os.fspath(path)}: {error}. Is the file whole? Get it anew") from None


def _read(file: BinaryIO, size: int) -> tuple[Arrays, dict[str, str]]:
    length = int.from_bytes(file.read(8), "little")
    if size < 8 or length > min(size - 8, HEADER_LIMIT):
        raise DataError(f"a header of {length:,} bytes is announced, in a file of {size:,}")
    try:
        header = json.loads(file.read(length))
    except (ValueError, RecursionError) as error:
        raise DataError(f"its header is not JSON: {error}") from None
    if not isinstance(header, dict):
        raise DataError("its header is no JSON object")
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
        raise DataError("its __metadata__ is not text by name")
    entries = sorted((_entry(name, entry) for name, entry in header.items()), key=lambda entry: entry[3])
    arrays, end = {}, 0
    for name, dtype, shape, (begin, stop) in entries:
        if begin != end or stop - begin != math.prod(shape) * dtype.itemsize or stop > min(size - 8 - length, LIMIT):
            raise DataError(f"{name!r} of shape {shape} and {dtype} is announced at the bytes {begin:,} to {stop:,}")
        arrays[name] = np.ndarray(shape, dtype, buffer=bytearray(file.read(stop - begin)))
        end = stop
    if end != size - 8 - length:
        raise DataError(f"{size - 8 - length:,} bytes of arrays lie in it, and {end:,} are announced")
    return dict(sorted(arrays.items())), metadata


def _entry(name: str, entry: Any) -> tuple[str, np.dtype[Any], tuple[int, ...], tuple[int, int]]:
    """What the header says of one array, if it is of the right kinds."""
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise DataError(f"{name!r} has no dtype, shape and data_offsets")
    shape, offsets, dtype = entry["shape"], entry["data_offsets"], entry["dtype"]
    whole = isinstance(shape, list) and isinstance(offsets, list) and len(shape) <= 32 and len(offsets) == 2
    if (
        not whole
        or not all(type(n) is int and 0 <= n <= LIMIT for n in (*shape, *offsets))
        or math.prod(n or 1 for n in shape) > LIMIT  # not even around a 0
    ):
        raise DataError(f"{name!r} has a shape or data_offsets that are no whole numbers from 0 to {LIMIT:,}")
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise DataError(f"{name!r} has the dtype {dtype!r:.20}, not {', '.join(DTYPES)}")
    return name, np.dtype(DTYPES[dtype]), tuple(shape), (offsets[0], offsets[1])
