"""Work in chunks, spread over threads.

Chunks are cut by sizes alone, and what they give is added in their order, so that results are the same bytes for any
number of threads.
"""

import math
import sys
import threading
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from ..backend import Array
from ..threads import parallel_for

CHUNK_BYTES = 1 << 20  # of one array in element-wise work: smaller ones cost two threads more for the interpreter
CACHE_LINE = 64  # bytes
SMALL_PRODUCT = 10**6  # multiplications of a product that OpenBLAS does in place, without packing its operands first
WIDE = 1 << 13  # numbers of a row: NumPy, whose buffer has as many, broadcasts to shorter ones at half the speed
GIL: bool = getattr(sys, "_is_gil_enabled", lambda: True)()
# Bytes of one array in element-wise work: with less, a second thread costs more than it gains.
WORTH_A_THREAD = (3 if GIL else 2) << 19

_local = threading.local()


def aligned(shape: tuple[int, ...], dtype: Any) -> Array:
    """An uninitialised array that begins where a cache line does: OpenBLAS's small products are a quarter faster so."""
    size = math.prod(shape) * dtype.itemsize
    memory = np.empty(size + CACHE_LINE, np.uint8)
    return np.ndarray(shape, dtype, memory, -memory.ctypes.data % CACHE_LINE)


def scratch(name: str, shape: tuple[int, ...], dtype: Any) -> Array:
    """An uninitialised buffer, kept by each thread for reuse: fresh memory costs page faults. Never leaves a kernel."""
    buffers = _local.__dict__
    size = math.prod(shape) * dtype.itemsize
    buffer = buffers.get(name)
    if buffer is None or buffer.size < size:
        buffer = buffers[name] = aligned((size,), np.dtype(np.uint8))
    return np.ndarray(shape, dtype, buffer)


def cut(length: int, most: int) -> list[slice]:
    """Slices that cover range(length), of at most `most` each: of one size, but for the last."""
    count = -(-length // most)
    count += count > 1 and count % 2  # an even number, so that two threads end together
    size = max(1, -(-length // max(1, count)))
    return [slice(start, min(start + size, length)) for start in range(0, length, size)]


def per_product(count: int, multiplications: int) -> int:
    """How many of these to multiply at a time, where one takes so many multiplications: of one size, that divides."""
    most = SMALL_PRODUCT // max(1, multiplications)
    return next((k for k in range(min(most, count), 0, -1) if count % k == 0), count)


def for_chunks(work: Callable[[slice], object], length: int, most: int) -> None:
    """Call work(slice) for each of these chunks, on all threads."""
    chunks = cut(length, most)
    parallel_for(lambda i: work(chunks[i]), len(chunks))


def for_rows(work: Callable[[int, slice], object], rows: Array) -> None:
    """Call work(i, slice i) for chunks of `rows` (M, C) of about CHUNK_BYTES, on all threads if that is worth it."""
    chunks = cut(len(rows), max(1, CHUNK_BYTES // max(1, rows.shape[1] * rows.itemsize)))
    if rows.nbytes >= WORTH_A_THREAD:
        parallel_for(lambda i: work(i, chunks[i]), len(chunks))
    else:
        for i, chunk in enumerate(chunks):
            work(i, chunk)


@lru_cache(maxsize=256)
def side_by_side(rows: int, width: int) -> int:
    """How many rows of this width to take for one that is WIDE or more: a divisor of their number, else 1."""
    least = -(-WIDE // width)
    if rows < least:
        return max(1, rows)
    return next((k for k in range(least, 4 * least) if rows % k == 0), 1)


def as_wide_rows(arrays: Sequence[Array], vectors: Sequence[Array]) -> tuple[list[Array], list[Array]]:
    """Arrays (…, C) of one shape as (M/k, k·C), in one piece, and vectors (C,) as (k·C,). See `side_by_side`."""
    width = arrays[0].shape[-1]
    k = side_by_side(arrays[0].size // width, width)
    return [np.ascontiguousarray(a).reshape(-1, k * width) for a in arrays], [np.tile(v, k) for v in vectors]


def by_rows(function: Callable[..., object], *arrays: Array, vectors: Sequence[Array] = ()) -> Array:
    """result = function(*arrays, *vectors, result), given chunks of rows; the arrays have one shape and dtype.

    vectors: (C,), of the arrays' last axis; what the function is given is to be broadcast to its rows.
    """
    result = np.empty(arrays[0].shape, arrays[0].dtype)
    if vectors and result.size:
        rows, vectors = as_wide_rows((*arrays, result), vectors)
    elif result.nbytes <= CHUNK_BYTES:
        function(*arrays, *vectors, result)
        return result
    else:
        rows = [np.ascontiguousarray(a).reshape(-1, 1) for a in (*arrays, result)]
    for_rows(lambda _, s: function(*(a[s] for a in rows[:-1]), *vectors, rows[-1][s]), rows[-1])
    return result


def by_chunk(function: Callable[..., Any], *arrays: Array, vectors: Sequence[Array] = ()) -> Array:
    """function(*arrays, *vectors), given chunks of rows as in `by_rows`, for each chunk: stacked in their order."""
    rows, vectors = as_wide_rows(arrays, vectors)
    results: dict[int, Any] = {}

    def work(i: int, s: slice) -> None:
        results[i] = function(*(a[s] for a in rows), *vectors)

    for_rows(work, rows[0])
    return np.array([results[i] for i in range(len(results))])
