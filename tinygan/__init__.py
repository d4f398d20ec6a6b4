"""tinygan: generative adversarial networks from scratch, on NumPy and CuPy.

import tinygan as tg

tg.Tensor, tg.grad, tg.no_grad, tg.debug    the tape                tg.ops       operations and their derivatives
tg.gradcheck, tg.testing                    is a gradient right?    tg.nn        layers
tg.losses, tg.optim, tg.GAN                 the game                tg.models    networks with a name
tg.data, tg.Trainer, tg.plotting            training                tg.metrics   how good are the samples?
tg.use, tg.seed, tg.set_threads             devices, random numbers tg.distributed   many processes train one GAN
"""

from . import data, distributed, errors, losses, metrics, models, nn, ops, optim, plotting, testing
from ._version import __version__
from .autograd import Op, Tensor, debug, grad, no_grad
from .backend import seed, use
from .gan import GAN
from .gradcheck import gradcheck
from .threads import set_threads
from .training import Trainer

__all__ = [
    "GAN", "Op", "Tensor", "Trainer", "__version__", "data", "debug", "distributed", "errors", "grad", "gradcheck",
    "losses", "metrics", "models", "nn", "no_grad", "ops", "optim", "plotting", "seed", "set_threads", "testing", "use",
]  # fmt: skip
