"""Checkpoints: arrays and a JSON header in one `.npz`. Nothing is ever unpickled, nothing believed unchecked.

The file is an ordinary zip of `.npy` members, one an array, and `header`, JSON text as a uint8 array, so
NumPy alone can open it: `np.load(path)["header"].tobytes()`. Equal content gives equal bytes.
"""

import hashlib
import json
import math
import os
import zipfile
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy

from .errors import DataError, DTypeError, FileError, SettingError
from .files import atomic_write

VERSION = 1
LIMIT = 2**31  # bytes of all arrays and the header together: neither written nor read beyond it
DTYPES = {"<f4": "float32", "<f8": "float64", "<i8": "int64", "|u1": "uint8", "|b1": "bool"}
RESERVED = {"format", "version", "checksum"}


def save(path: str | os.PathLike[str], arrays: Mapping[str, np.ndarray], header: Mapping[str, Any]) -> None:
    """Write `arrays` (name → array of any shape) and `header` (what JSON can hold; tuples become lists) to `path`.

    The file is replaced whole or not at all.
    Raises DTypeError (an array not of float32, float64, int64, uint8 or bool), SettingError (a name or a
    header that can't be stored), DataError (more than 2³¹ bytes), FileError (the file can't be written).
    """
    members = {_checked_name(name): _plain(name, arrays[name]) for name in sorted(arrays)}
    full = {**_checked_header(header), "format": "tinygan", "version": VERSION}
    full["checksum"] = _checksum(full, members)
    members = {"header": np.frombuffer(_json(full), np.uint8), **members}
    total = sum(array.nbytes for array in members.values())
    if total > LIMIT:
        raise DataError(f"can't save {os.fspath(path)}: {total:,} bytes, and a checkpoint holds {LIMIT:,} at most")
    with atomic_write(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, array in members.items():
            info = zipfile.ZipInfo(name + ".npy", date_time=(1980, 1, 1, 0, 0, 0))
            info.create_system, info.external_attr = 3, 0o644 << 16  # the same bytes on every system
            with archive.open(info, "w", force_zip64=True) as member:
                npy.write_array(member, array, version=(1, 0), allow_pickle=False)


def load(path: str | os.PathLike[str]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return (arrays, header) as `save` was given them, the arrays writable and sorted by name.

    Sizes are checked before anything is allocated, the SHA-256 checksum before anything is returned.
    Raises FileError (missing or unreadable) or DataError (not a checkpoint, damaged, or of a newer version).
    """
    try:
        with open(path, "rb") as file:
            return _read(file, os.fspath(path))
    except OSError as error:
        reason = f"{error.strerror}. Check the path and its permissions."
        raise FileError(f"could not read {os.fspath(path)}: {reason}") from error


_ADVICE = "Load another checkpoint, or train and save again."


def _read(file: BinaryIO, name: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Arrays and header of an open file; whatever is wrong with its bytes ends in a DataError."""
    try:
        with zipfile.ZipFile(file) as archive:
            return _unpack(archive, os.fstat(file.fileno()).st_size)
    except MemoryError:
        raise
    except DataError as error:
        raise DataError(f"can't load {name}: {error}") from None
    except Exception as error:  # whatever zipfile, NumPy and JSON make of bytes that nobody should have written
        reason = str(error).rstrip(".") or type(error).__name__
        raise DataError(f"can't load {name}: it is damaged or not a checkpoint ({reason}). {_ADVICE}") from error


def _unpack(archive: zipfile.ZipFile, file_size: int) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Arrays and header of an open archive: header and version first, then the arrays, then the checksum."""
    infos = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
    if "header" not in infos or len(infos) < len(archive.infolist()):
        raise DataError(f"it has no header, or members of one name: not a checkpoint that tinygan wrote. {_ADVICE}")
    room = min(LIMIT, file_size)
    text = _member(archive, infos.pop("header"), room)
    room -= text.nbytes
    header = json.loads(text.tobytes())
    if not isinstance(header, dict) or header.get("format") != "tinygan" or type(header.get("version")) is not int:
        raise DataError(f"its header names no format 'tinygan' with a version. {_ADVICE}")
    if header["version"] > VERSION:
        raise DataError(f"it has version {header['version']}, this tinygan reads up to {VERSION}. Upgrade tinygan.")
    arrays: dict[str, np.ndarray] = {}
    for name, info in sorted(infos.items()):
        arrays[name] = _member(archive, info, room)
        room -= arrays[name].nbytes
    checksum = header.pop("checksum", None)
    if checksum != _checksum(header, arrays):
        raise DataError(f"its checksum is wrong, so it was damaged or changed after it was saved. {_ADVICE}")
    return arrays, {key: value for key, value in header.items() if key not in RESERVED}


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, room: int) -> np.ndarray:
    """One array of at most `room` bytes; what it announces about itself is checked before it is read."""
    if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
        raise DataError(f"member {info.filename!r} is compressed, and tinygan's never are. {_ADVICE}")
    with archive.open(info) as member:
        if npy.read_magic(member) != (1, 0):
            raise DataError(f"member {info.filename!r} is not in version 1.0 of NumPy's format. {_ADVICE}")
        shape, fortran, dtype = npy.read_array_header_1_0(member)
        if dtype.str not in DTYPES or fortran:
            order = " in Fortran order" if fortran else ""
            raise DataError(f"member {info.filename!r} holds {dtype}{order}, not {_names()}. {_ADVICE}")
        announced, there = math.prod(shape) * dtype.itemsize, info.file_size - member.tell()
        if announced != there or announced > room:
            raise DataError(
                f"member {info.filename!r} announces shape {shape} of {dtype}, {announced:,} bytes, "
                f"where {there:,} lie and {room:,} are allowed. {_ADVICE}"
            )
        array: np.ndarray = np.ndarray(shape, dtype, buffer=bytearray(member.read()))
        return array


def _checked_name(name: str) -> str:
    """The name of an array, if a zip keeps it as it is: printable, without slashes, and not `header`."""
    if name == "header" or not name or not name.isprintable() or "/" in name or "\\" in name:
        raise SettingError(f"an array can't be named {name!r}: take printable characters, no slash, and not 'header'")
    return name


def _checked_header(header: Mapping[str, Any]) -> dict[str, Any]:
    """The header as JSON gives it back (tuples as lists, all keys as str), if its keys are free."""
    if taken := sorted(RESERVED & header.keys()):
        raise SettingError(f"the header can't have keys {taken}: save itself writes {sorted(RESERVED)}")
    try:
        copy: dict[str, Any] = json.loads(_json(dict(header)))
    except (TypeError, ValueError, RecursionError) as error:
        raise SettingError(f"the header is not JSON: {error}. Take str, int, finite float, list and dict.") from error
    return copy


def _plain(name: str, array: np.ndarray) -> np.ndarray:
    """The array in C order and little-endian, if its dtype is one that checkpoints hold."""
    array = np.asarray(array)
    dtype = array.dtype.newbyteorder("<")
    if dtype.str not in DTYPES:
        raise DTypeError(f"can't save array {name!r} of dtype {array.dtype}: convert it to one of {_names()}")
    return np.asarray(array, dtype, order="C")


def _names() -> str:
    return ", ".join(DTYPES.values())


def _json(value: dict[str, Any]) -> bytes:
    """One spelling for equal headers: keys sorted, no NaN or infinity (other languages' JSON has none)."""
    return json.dumps(value, sort_keys=True, allow_nan=False, ensure_ascii=False).encode()


def _checksum(header: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> str:
    """SHA-256 over the header without its checksum, and names, dtypes, shapes and bytes of all arrays."""
    digest = hashlib.sha256(_json(header))
    for name, array in sorted(arrays.items()):
        digest.update(json.dumps([name, array.dtype.str, array.shape]).encode())
        digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()
