"""tinygan: generative adversarial networks from scratch, on NumPy and CuPy."""

from . import errors, ops
from ._version import __version__
from .autograd import Op, Tensor, debug, grad, no_grad
from .backend import seed, set_threads, use

__all__ = ["Op", "Tensor", "__version__", "debug", "errors", "grad", "no_grad", "ops", "seed", "set_threads", "use"]
