"""tinygan's side of the comparison: `Side.step` is what its Trainer does in a step."""

import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import tinygan as tg
from tinygan import backend
from tinygan.autograd import Op, Tensor
from tinygan.data import Dataset
from tinygan.gan import GAN
from tinygan.kernels import cupy_kernels, numpy_kernels
from tinygan.models import MODELS
from tinygan.nn import frozen
from tinygan.optim import Adam
from tinygan.threads import thread_count

SHAPE = (28, 28, 1)
# A kernel is what exists under the same name for NumPy and for CuPy.
KERNELS = {name for name, f in vars(cupy_kernels).items() if getattr(f, "__module__", "") == cupy_kernels.__name__}


class Side:
    def __init__(self, settings: dict[str, Any]):
        tg.set_threads(settings["threads"])
        self.folder, self.batch, self.model = Path(settings["folder"]), settings["batch"], MODELS[settings["model"]]
        images = np.load(self.folder / "images.npy")
        self.batches = Dataset(images, None, "benchmark", "").batches(self.batch, seed=0)
        model = self.model
        # As models.build_gan does it, but without spectral normalisation.
        plain = {"spectral_norm": False} if settings["model"] == "small" else {}
        generator = model.generator(SHAPE, model.latent_size, backend.generator(0, "weights of G"))
        discriminator = model.discriminator(SHAPE, rng=backend.generator(0, "weights of D"), **plain)
        self.gan = GAN(
            generator,
            discriminator,
            "non-saturating",
            Adam(generator.parameters(), model.lr, model.betas),
            Adam(discriminator.parameters(), model.lr, model.betas),
            latent_size=model.latent_size,
            average=model.average,
        )
        self.images = images[: self.batch]

    def step(self) -> tuple[Tensor, Tensor]:
        d_loss = self.gan.discriminator_step(next(self.batches))
        g_loss = self.gan.generator_step(self.batch)
        return d_loss, g_loss

    def first_look(self) -> dict[str, Any]:
        """The losses before any step, without dropout; leaves in the folder what PyTorch needs to find the same."""
        gan, model = self.gan, self.model
        latents = backend.generator(0, "check").standard_normal((self.batch, model.latent_size), np.float32)
        players = {"generator": gan.generator, "discriminator": gan.discriminator}
        arrays = {f"{who} {i}": p.numpy() for who, player in players.items() for i, p in enumerate(player.parameters())}
        recipe = {"lr": model.lr, "betas": model.betas, "average": model.average}
        np.savez(self.folder / "start.npz", latents=latents, **recipe, **arrays)
        gan.discriminator.eval()
        with tg.no_grad(), frozen():
            real, fake = gan.discriminator(Tensor(self.images)), gan.discriminator(gan.generator(Tensor(latents)))
            d_loss, g_loss = gan.objective.discriminator(real, fake), gan.objective.generator(fake)
        gan.discriminator.train()
        parameters = [p.size for player in players.values() for p in player.parameters()]
        return {"d_loss": d_loss.item(), "g_loss": g_loss.item(), "parameters": parameters}

    def facts(self) -> dict[str, Any]:
        try:
            from threadpoolctl import threadpool_info
        except ImportError:
            blas = ["unknown: threadpoolctl is missing"]
        else:
            blas = [
                f"{b['internal_api']} {b['version']}, kernel {b.get('architecture', 'unknown')}, "
                f"{b['num_threads']} thread(s) inside each of tinygan's {thread_count()}"
                for b in threadpool_info()
                if b["user_api"] == "blas"
            ]
        return {"version": tg.__version__, "numpy": np.__version__, "blas": blas}

    def profile(self, count: int) -> dict[str, Any]:
        """Exclusive milliseconds and calls a step: of each kernel, of ops outside of kernels, of the rest."""
        clock = Clock()
        for name, function in list(vars(numpy_kernels).items()):
            if name in KERNELS:
                setattr(numpy_kernels, name, clock.timed(f"kernel {name}", function, with_shapes="conv" in name))
        for op in _subclasses(Op):
            if "forward" in vars(op):
                op.forward = clock.timed(f"op {op.__name__}, outside of kernels", op.forward)
        GAN.latents = clock.timed("latents", GAN.latents)
        GAN._update_average = clock.timed("moving average, outside of kernels", GAN._update_average)
        step = clock.timed("all else: engine, layers, fused backwards outside of kernels", self.step)
        for _ in range(count):
            step()
        return {
            "milliseconds": {name: 1e3 * seconds / count for name, seconds in clock.seconds.items()},
            "calls": {name: calls / count for name, calls in clock.calls.items()},
        }


class Clock:
    """Time by name, without that of other timed functions called within. For one thread."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.calls: dict[str, int] = defaultdict(int)
        self._inner = [0.0]

    def timed(self, name: str, function: Callable[..., Any], with_shapes: bool = False) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            key = f"{name} {args[0].shape} {args[1].shape}" if with_shapes else name
            self._inner.append(0.0)
            start = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                taken = time.perf_counter() - start
                self.seconds[key] += taken - self._inner.pop()
                self._inner[-1] += taken
                self.calls[key] += 1

        return call


def _subclasses(kind: type) -> set[type]:
    return {kind}.union(*(_subclasses(sub) for sub in kind.__subclasses__()))
