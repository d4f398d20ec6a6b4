"""Arithmetic on raw arrays. It knows nothing of Tensors or gradients; what it computes is said in `ops/`.

Each kernel exists under one name three times. `plain_kernels` has it in a few lines of array code, for any array: it is
what a student reads, and the oracle that the tests hold the others against. `numpy_kernels` is made fast for the CPU,
`cupy_kernels` for the GPU.
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
