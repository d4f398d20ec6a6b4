"""Stacked MNIST: three digits as the three colours of one image, a thousand modes that can be counted."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import backend
from ..data.dataset import Images
from ..errors import SettingError, ShapeError
from .classifier import CLASSES, read
from .mixtures import kl_from_uniform

SAMPLES = 26_000  # as in the papers' tables
MODES = CLASSES**3


class StackedReport(NamedTuple):
    modes: int
    kl: float


def stack(images: Images, n: int, seed: int = 0) -> Images:
    """n images (n, 28, 28, 3) out of grey ones (N, 28, 28, 1): three random digits each, one a channel."""
    if n < 1:
        raise SettingError(f"n={n}: at least 1 image is expected")
    chosen = backend.generator(seed, "stacked").integers(0, len(images), (n, 3))
    return np.ascontiguousarray(np.moveaxis(images[chosen, :, :, 0], 1, -1))


def stacked_report(images: NDArray[Any]) -> StackedReport:
    """How many of the 1000 triples of digits images (N, 28, 28, 3) show, and KL(q ‖ uniform) of their shares q.

    Each channel is read by the reference classifier. Metz et al. 2017 (arXiv 1611.02163); Lin et al.
    2018 (arXiv 1712.04086), section 4.2. Ranges: 1 to 1000; 0 to log 1000 = 6.9, and about 999/2N for real digits,
    0.02 at the papers' 26,000 samples. Raises ShapeError for images of another size.
    """
    if images.ndim != 4 or images.shape[3] != 3:
        raise ShapeError(f"stacked images are (N, 28, 28, 3), a digit in each channel, but these are {images.shape}")
    hundreds, tens, ones = (read(images[..., channel : channel + 1]).predicted for channel in range(3))
    counts = np.bincount(CLASSES**2 * hundreds + CLASSES * tens + ones, minlength=MODES)
    return StackedReport(modes=int((counts > 0).sum()), kl=kl_from_uniform(counts))
