"""Arithmetic on raw arrays. It knows nothing of Tensors or gradients; what it computes is said in `ops/`.

Each kernel exists under one name twice: in `numpy_kernels`, made fast for the CPU, and in `cupy_kernels`.
The latter is plain array code that runs on NumPy's arrays as well: it is what a student reads, and the oracle
that the tests hold the fast one against.
"""

import importlib
from typing import Any

from ..backend import Array, is_on_gpu
from . import numpy_kernels


def kernels_for(*arrays: Array) -> Any:
    """The module of kernels for these arrays: cupy_kernels if any of them is on the GPU, else numpy_kernels."""
    if any(map(is_on_gpu, arrays)):
        return importlib.import_module(".cupy_kernels", __name__)
    return numpy_kernels
