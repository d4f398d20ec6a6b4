"""The idx format of MNIST, read strictly: every byte is accounted for, and nothing is allocated on a file's word."""

import gzip
import math
import os
import zlib
from pathlib import Path
from typing import IO, NoReturn, cast

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from .dataset import most_unpacked

LIMIT = 2**31  # bytes; MNIST has 47 million
BLOCK = 2**20


def read_idx(path: str | os.PathLike[str]) -> NDArray[np.uint8]:
    """The array of an idx file, plain or gzipped (told by its first bytes, not by its name).

    Layout: 0, 0, type (8 is unsigned byte, the only one read), number of axes (1 or 3), then each axis's
    size as a big-endian 32-bit number, then the values. Gives uint8 (N,) or (N, H, W).
    Raises DataError for anything else: a wrong header, missing or additional bytes, broken compression.
    """
    path = Path(path)
    try:
        with open(path, "rb") as file:
            gzipped = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            if not gzipped:
                return _parse(file, path, LIMIT)
            limit = min(LIMIT, most_unpacked(path.stat().st_size))
            with gzip.open(file) as unzipped:
                return _parse(cast(IO[bytes], unzipped), path, limit)
    except EOFError:
        _refuse(path, "the compressed data stops early", "a whole gzip file")
    except (gzip.BadGzipFile, zlib.error) as error:
        _refuse(path, f"the compressed data is broken ({error})", "a whole gzip file")
    except OSError as error:
        raise DataError(f"{path}: can't be read: {error.strerror or error}") from error


def _parse(file: IO[bytes], path: Path, limit: int) -> NDArray[np.uint8]:
    magic = file.read(4)
    if len(magic) < 4 or magic[:3] != b"\0\0\x08" or magic[3] not in (1, 3):
        _refuse(path, f"it starts with the bytes {list(magic)}", "[0, 0, 8, 1] (labels) or [0, 0, 8, 3] (images)")
    sizes = file.read(4 * magic[3])
    if len(sizes) < 4 * magic[3]:
        _refuse(path, f"it ends after {4 + len(sizes)} bytes, in its header", f"{4 + 4 * magic[3]} bytes of header")
    shape = tuple(int(size) for size in np.frombuffer(sizes, ">u4"))
    total = math.prod(shape)  # whole numbers of Python's don't overflow
    if total > limit:
        _refuse(path, f"it announces the shape {shape}, {total} bytes", f"at most {limit} bytes")
    values = _read_at_most(file, total + 1)  # one more shows whether anything follows
    if len(values) != total:
        found = f"more than {total} bytes" if len(values) > total else f"{len(values)} bytes"
        _refuse(path, f"{found} of values", f"{total} for the shape {shape}")
    return np.frombuffer(values, np.uint8).reshape(shape)


def _read_at_most(file: IO[bytes], size: int) -> bytearray:
    # Block by block: memory grows with what is really there, whatever the header says.
    values = bytearray()
    while len(values) < size and (block := file.read(min(BLOCK, size - len(values)))):
        values += block
    return values


def _refuse(path: Path, found: str, expected: str) -> NoReturn:
    raise DataError(f"{path}: not a sound idx file: {found}; expected: {expected}. Delete the file and load again.")
