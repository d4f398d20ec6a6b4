"""tinygan's side of the comparison: what is timed is `step` of one of TASKS."""

import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import tinygan as tg
from tinygan import backend, ops
from tinygan.autograd import Op, Tensor
from tinygan.data import Dataset
from tinygan.gan import GAN, place_like
from tinygan.kernels import numpy_kernels, plain_kernels
from tinygan.models import MODELS
from tinygan.nn import Conv, ConvTranspose, Dense, frozen
from tinygan.optim import Adam
from tinygan.threads import parallel_for, thread_count

# A kernel is what exists under the same name for NumPy and for CuPy.
KERNELS = {name for name, f in vars(plain_kernels).items() if getattr(f, "__module__", "") == plain_kernels.__name__}
SAMPLES = 10_000


class Training:
    """What tinygan's Trainer does in a step."""

    names = ("D loss", "G loss")

    def __init__(self, settings: dict[str, Any]):
        tg.set_threads(settings["threads"])
        tg.use(settings.get("device", "cpu"))
        self.folder, self.batch, self.model = Path(settings["folder"]), settings["batch"], MODELS[settings["model"]]
        images = np.load(self.folder / "images.npy")
        self.batches = Dataset(images, None, "benchmark", "").batches(self.batch, seed=0)
        model, shape = self.model, images.shape[1:]
        # As models.build_gan does it, but without spectral normalisation.
        plain = {"spectral_norm": 0} if settings["model"] == "small" else {}
        generator = model.generator(shape, model.latent_size, backend.generator(0, "weights of G"))
        discriminator = model.discriminator(shape, rng=backend.generator(0, "weights of D"), **plain)
        for player in (generator, discriminator):
            player.to(backend.device())
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
        self.players = {"generator": generator, "discriminator": discriminator}
        draw = backend.generator(0, "check")
        self.latents = draw.standard_normal((self.batch, model.latent_size), np.float32)
        self.epsilon = draw.random((self.batch, 1, 1, 1), np.float32)

    def step(self) -> tuple[Any, Any]:
        d_loss = self.gan.discriminator_step(next(self.batches))
        g_loss = self.gan.generator_step(self.batch)
        return d_loss, g_loss

    def parameters(self) -> list[int]:
        return [p.size for player in self.players.values() for p in player.parameters()]

    def first_look(self) -> dict[str, float]:
        """The losses before any step, without dropout; leaves in the folder what PyTorch needs to find the same."""
        model = self.model
        arrays = {f"{who} {i}": p.numpy() for who, p_ in self.players.items() for i, p in enumerate(p_.parameters())}
        recipe = {"lr": model.lr, "betas": model.betas, "average": model.average}
        np.savez(self.folder / "start.npz", latents=self.latents, epsilon=self.epsilon, **recipe, **arrays)
        self.gan.discriminator.eval()
        try:
            return dict(zip(self.names, (float(n) for n in self.first_numbers()), strict=True))
        finally:
            self.gan.discriminator.train()

    def first_numbers(self) -> tuple[Any, Any]:
        gan = self.gan
        with tg.no_grad(), frozen():
            fake = gan.discriminator(gan.generator(place_like(gan.generator, self.latents)))
            real = gan.discriminator(place_like(gan.generator, self.images))
            return gan.objective.discriminator(real, fake), gan.objective.generator(fake)

    def work(self) -> tuple[float, float]:
        """GFLOP of the products of one step: as im2col does them, and without those with the zeros of the border."""
        total = np.zeros(2)
        for who, player in self.players.items():
            x = Tensor(
                np.zeros((1, self.model.latent_size) if who == "generator" else self.images[:1].shape, np.float32)
            )
            first = True
            for layer in player.layers:
                with tg.no_grad(), frozen():
                    y = layer(Tensor(np.repeat(x.numpy(), 2, 0)))  # two, since batch norm needs more than one
                if isinstance(layer, Dense | Conv):
                    # G runs for D and for itself; D on real and fake images, and for G, which needs no gradients of
                    # D's weights. A first layer's input needs no gradient, but for G it is G's output.
                    inputs = (not first) if who == "generator" else 2 * (not first) + 1
                    times = (2 + 1 if who == "generator" else 3 + 2) + inputs
                    total += times * np.array(products(layer, x.shape, y.shape))
                    first = False
                x = y[:1]
        whole, inner = 2 * self.batch * total / 1e9  # a multiplication and an addition each
        return whole, inner

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


class Critic(Training):
    """A step of a critic with gradient penalty (Gulrajani et al. 2017, algorithm 1, λ = 10): second derivatives."""

    names = ("critic loss", "penalty")

    def losses(self, real: Any, fake: Any, epsilon: Any) -> tuple[Tensor, Tensor]:
        critic = self.gan.discriminator
        between = Tensor(epsilon * real + (1 - epsilon) * fake, requires_grad=True)
        (slope,) = tg.grad(critic(between).sum(), between, create_graph=True)
        length = ops.sqrt((slope * slope).sum((1, 2, 3)) + 1e-12)
        penalty = 10 * ((length - 1) ** 2).mean()
        of_real, of_fake = self.gan._judge(Tensor(real), Tensor(fake), None)
        return of_fake.mean() - of_real.mean() + penalty, penalty

    def fakes(self, latents: Tensor) -> Any:
        with tg.no_grad(), frozen():
            return self.gan.generator(latents)._array

    def step(self) -> tuple[Any, Any]:
        gan = self.gan
        fake = self.fakes(gan.latents(self.batch, "latents for D", gan.d_steps))
        epsilon = backend.generator(0, "epsilon", gan.d_steps).random((self.batch, 1, 1, 1), np.float32)
        loss, penalty = self.losses(next(self.batches), fake, epsilon)
        loss.backward(inputs=gan.d_optimizer.params)
        gan.d_optimizer.step()
        gan.d_optimizer.zero_grad()
        gan.d_steps += 1
        return loss, penalty

    def first_numbers(self) -> tuple[Any, Any]:
        return self.losses(self.images, self.fakes(Tensor(self.latents)), self.epsilon)


class Sampling(Training):
    """10,000 images of the averaged generator, as an array."""

    names = ("mean", "mean square")

    def step(self) -> tuple[Any, Any]:
        images = self.gan.sample(SAMPLES)
        return images[0].mean(), np.square(images[-1]).mean()

    def first_numbers(self) -> tuple[Any, Any]:
        images = self.gan.generate(self.latents)
        return images.mean(), np.square(images).mean()


class TinyOperations:
    """A graph of 1,000 operations on 16 numbers each, forward and backward: what the engine itself costs."""

    names = ("sum", "gradient")

    def __init__(self, settings: dict[str, Any]):
        tg.set_threads(settings["threads"])
        numbers = np.linspace(-1, 1, 16, dtype=np.float32)
        self.x, self.a, self.b, self.c = (Tensor(numbers + k, requires_grad=True) for k in (0, 2, 0.5, 0.1))

    def step(self) -> tuple[Any, Any]:
        leaves = (self.x, self.a, self.b, self.c)
        y, a, b, c = leaves
        for _ in range(250):
            y = ops.tanh(y * a + b) - c
        total = y.sum()
        for leaf in leaves:
            leaf.grad = None
        total.backward()
        return total, a.grad.numpy().sum()

    def first_look(self) -> dict[str, float]:
        return dict(zip(self.names, (float(n) for n in self.step()), strict=True))

    def parameters(self) -> list[int]:
        return [t.size for t in (self.x, self.a, self.b, self.c)]


TASKS = {"gan": Training, "critic": Critic, "sampling": Sampling, "ops": TinyOperations}


def products(layer: Dense | Conv, x_shape: tuple[int, ...], y_shape: tuple[int, ...]) -> tuple[int, int]:
    """Multiplications of a layer for one image, forward: of im2col's matrices, and without the border's zeros.

    A backward pass into the input or into the filters has as many of each.
    """
    if isinstance(layer, Dense):
        return (layer.in_features * layer.out_features,) * 2
    assert layer.padding == "same"
    # A transposed convolution is the adjoint of one from its output to its input.
    large, small = (y_shape, x_shape) if isinstance(layer, ConvTranspose) else (x_shape, y_shape)
    whole = inner = layer.channels[0] * layer.channels[1]
    for n, k, stride, positions in zip(large[1:3], layer.kernel, layer.stride, small[1:3], strict=True):
        before = max(0, (positions - 1) * stride + k - n) // 2
        whole *= positions * k
        inner *= sum(0 <= i * stride + j - before < n for i in range(positions) for j in range(k))
    return whole, inner


def sgemm(threads: int) -> float:
    """GFLOP/s of NumPy's float32 matrix products on this machine, at best: the threads on one product, or one each."""
    from threadpoolctl import threadpool_limits

    def one(n: int) -> Callable[[], object]:
        a, b, c = (np.ones((n, n), np.float32) for _ in range(3))
        return lambda: np.matmul(a, b, out=c)

    best = 0.0
    for n in (768, 1024, 2048):
        separate = [one(n) for _ in range(threads)]
        with threadpool_limits(1, user_api="blas"):
            best = max(best, threads * speed(lambda: parallel_for(lambda i: separate[i](), threads), n))  # noqa: B023
        with threadpool_limits(threads, user_api="blas"):
            best = max(best, speed(separate[0], n))
    return best


def speed(multiply: Callable[[], object], n: int, tries: int = 8) -> float:
    """GFLOP/s of one n×n product, the best of some."""
    taken = []
    for _ in range(tries):
        start = time.perf_counter()
        multiply()
        taken.append(time.perf_counter() - start)
    return 2 * n**3 / min(taken) / 1e9


def wait() -> None:
    """Until what was asked for is done."""
    if backend.device() == "gpu":
        backend.synchronize()


def facts() -> dict[str, Any]:
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        blas = "unknown, as threadpoolctl is missing"
    else:
        blas = " and ".join(
            f"{b['internal_api']} {b['version']}, kernel {b.get('architecture', 'unknown')}, "
            f"{b['num_threads']} thread(s) inside each of tinygan's {thread_count()}"
            for b in threadpool_info()
            if b["user_api"] == "blas"
        )
    where = backend.gpu_name() if backend.device() == "gpu" else f"BLAS {blas}"
    return {"version": tg.__version__, "numpy": np.__version__, "blas": where}


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
