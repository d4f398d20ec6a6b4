"""What the debug mode asks: is a result finite, and which line of the user's code called for it?"""

import os
import sys

import numpy as np

from .backend import Array, to_host
from .errors import NonFiniteError


def check_finite(array: Array, where: str) -> None:
    """Raise NonFiniteError, naming `where`, if there is a NaN or an infinity in the array."""
    if array.dtype.kind not in "fc":
        return
    values = np.asarray(to_host(array))
    bad = ~np.isfinite(values)
    if bad.any():
        index = tuple(int(i) for i in np.argwhere(bad)[0])
        raise NonFiniteError(
            f"first {values[index]} in {where}: at index {index} of shape {values.shape}, {bad.sum()} in all"
        )


def line_of_the_user() -> str:
    """File, line and function of the nearest caller outside of this package."""
    package = os.path.dirname(__file__) + os.sep
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(package):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}"
