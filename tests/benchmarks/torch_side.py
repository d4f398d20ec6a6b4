"""PyTorch's side of the comparison: the same step as tinygan's, written for PyTorch eager as it is fastest there.

Where a transposed convolution or a convolution of 5×5 and stride 2 needs three rows of padding, tinygan ("same") puts
one before and two after the image; PyTorch's padding=2 comes to two before and one after. That is the mirror image, so
PyTorch is given mirrored filters and mirrored images: its networks are exactly tinygan's, seen in a mirror.
"""

import copy
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus


class ToImages(nn.Module):
    """(N, S·S·C) -> (N, C, S, S), without a copy in either layout."""

    def __init__(self, side: int, channels: int, channels_last: bool):
        super().__init__()
        self.side, self.channels, self.channels_last = side, channels, channels_last

    def forward(self, x: Tensor) -> Tensor:
        if self.channels_last:
            return x.view(-1, self.side, self.side, self.channels).permute(0, 3, 1, 2)
        return x.view(-1, self.channels, self.side, self.side)


class Flatten(nn.Module):
    """(N, C, H, W) -> (N, ·), without a copy in either layout."""

    def __init__(self, channels_last: bool):
        super().__init__()
        self.channels_last = channels_last

    def forward(self, x: Tensor) -> Tensor:
        return (x.permute(0, 2, 3, 1) if self.channels_last else x).flatten(1)


def small(last: bool, size: int) -> tuple[nn.Module, nn.Module]:
    side = size // 4
    generator = nn.Sequential(
        nn.Linear(64, 256, bias=False),
        nn.BatchNorm1d(256),
        nn.LeakyReLU(0.2, inplace=True),
        nn.Linear(256, side * side * 64, bias=False),
        nn.BatchNorm1d(side * side * 64),
        nn.LeakyReLU(0.2, inplace=True),
        ToImages(side, 64, last),
        nn.ConvTranspose2d(64, 32, 4, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(32),
        nn.LeakyReLU(0.2, inplace=True),
        nn.ConvTranspose2d(32, 1, 4, stride=2, padding=1),
        nn.Tanh(),
    )
    discriminator = nn.Sequential(
        nn.Conv2d(1, 32, 4, stride=2, padding=1),
        nn.LeakyReLU(0.2, inplace=True),
        nn.Conv2d(32, 64, 4, stride=2, padding=1),
        nn.LeakyReLU(0.2, inplace=True),
        Flatten(last),
        nn.Linear(side * side * 64, 128),
        nn.LeakyReLU(0.2, inplace=True),
        nn.Linear(128, 1),
    )
    return generator, discriminator


def dcgan(last: bool, size: int) -> tuple[nn.Module, nn.Module]:
    side = size // 4
    generator = nn.Sequential(
        nn.Linear(100, side * side * 256, bias=False),
        nn.BatchNorm1d(side * side * 256),
        nn.LeakyReLU(0.3, inplace=True),
        ToImages(side, 256, last),
        nn.ConvTranspose2d(256, 128, 5, stride=1, padding=2, bias=False),
        nn.BatchNorm2d(128),
        nn.LeakyReLU(0.3, inplace=True),
        nn.ConvTranspose2d(128, 64, 5, stride=2, padding=2, output_padding=1, bias=False),
        nn.BatchNorm2d(64),
        nn.LeakyReLU(0.3, inplace=True),
        nn.ConvTranspose2d(64, 1, 5, stride=2, padding=2, output_padding=1, bias=False),
        nn.Tanh(),
    )
    discriminator = nn.Sequential(
        nn.Conv2d(1, 64, 5, stride=2, padding=2),
        nn.LeakyReLU(0.3, inplace=True),
        nn.Dropout(0.3),
        nn.Conv2d(64, 128, 5, stride=2, padding=2),
        nn.LeakyReLU(0.3, inplace=True),
        nn.Dropout(0.3),
        Flatten(last),
        nn.Linear(side * side * 128, 1),
    )
    return generator, discriminator


def mlp(last: bool, size: int) -> tuple[nn.Module, nn.Module]:
    generator = nn.Sequential(
        nn.Linear(64, 256),
        nn.LeakyReLU(0.2, inplace=True),
        nn.Linear(256, 512),
        nn.LeakyReLU(0.2, inplace=True),
        nn.Linear(512, size * size),
        nn.Tanh(),
        nn.Unflatten(1, (1, size, size)),
    )
    discriminator = nn.Sequential(
        nn.Flatten(), nn.Linear(size * size, 256), nn.LeakyReLU(0.2, inplace=True), nn.Linear(256, 1)
    )
    return generator, discriminator


SAMPLES = 10_000
NETWORKS = {"small": small, "dcgan": dcgan, "mlp": mlp}


class Training:
    """What tinygan does in a step, written for PyTorch."""

    names = ("D loss", "G loss")

    def __init__(self, settings: dict[str, Any]):
        torch.set_num_threads(settings["threads"])
        torch.manual_seed(0)
        self.batch, last = settings["batch"], settings["layout"] == "channels_last"
        self.passes = settings.get("passes", 2)
        self.device = "cuda" if settings.get("device") == "gpu" else "cpu"
        if self.device == "cuda" and not torch.cuda.is_available():
            raise SystemExit("this build of PyTorch can't use the GPU: install one with CUDA")
        torch.backends.cudnn.allow_tf32 = False  # float32 as it is, as tinygan has it
        folder = Path(settings["folder"])
        self.generator, self.discriminator = NETWORKS[settings["model"]](last, settings["size"])
        if last:
            for player in (self.generator, self.discriminator):
                player.to(memory_format=torch.channels_last)
        for player in (self.generator, self.discriminator):
            player.to(self.device)
        images = np.ascontiguousarray(np.load(folder / "images.npy")[:, ::-1, ::-1])  # (N, H, W, 1), mirrored
        self.images, self.last = torch.from_numpy(images), last
        self.batches = self._batches()
        with np.load(folder / "start.npz") as start:
            self.latents = torch.from_numpy(start["latents"]).to(self.device)
            self.epsilon = torch.from_numpy(start["epsilon"]).to(self.device)
            self.latent_size = self.latents.shape[1]
            for who in ("generator", "discriminator"):
                parameters = list(getattr(self, who).parameters())
                for i, parameter in enumerate(parameters):
                    array = translate(start[f"{who} {i}"], settings, who, last)
                    with torch.no_grad():
                        parameter.copy_(torch.from_numpy(np.ascontiguousarray(array)))
            recipe = {"lr": float(start["lr"]), "betas": tuple(start["betas"].tolist())}
            recipe |= {settings["adam"]: True} if "adam" in settings else {}
            self.average = float(start["average"])
        self.d_parameters = list(self.discriminator.parameters())
        self.g_optimizer = torch.optim.Adam(self.generator.parameters(), **recipe)
        self.d_optimizer = torch.optim.Adam(self.d_parameters, **recipe)
        self.averaged_generator = copy.deepcopy(self.generator).eval()
        self.averaged, self.current = floats(self.averaged_generator), floats(self.generator)

    def _batches(self) -> Iterator[Tensor]:
        """(N, 1, H, W), a view of one gathered batch in either layout."""
        n = self.batch
        while True:
            order = torch.randperm(len(self.images))
            for start in range(0, len(order) - n + 1, n):
                batch = self.images[order[start : start + n]].to(self.device)
                yield batch.permute(0, 3, 1, 2) if self.last else batch.view(n, 1, *batch.shape[1:3])

    def step(self) -> tuple[Tensor, Tensor]:
        # D's step
        real = next(self.batches)
        with torch.no_grad():
            fake = self.generator(self.draw_latents())
        of_real, of_fake = self.judge(real, fake)
        d_loss = softplus(-of_real).mean() + softplus(of_fake).mean()
        self.d_optimizer.zero_grad()
        d_loss.backward()
        self.d_optimizer.step()
        # G's step, without gradients for D's weights
        for parameter in self.d_parameters:
            parameter.requires_grad_(False)
        g_loss = softplus(-self.discriminator(self.generator(self.draw_latents()))).mean()
        self.g_optimizer.zero_grad()
        g_loss.backward()
        self.g_optimizer.step()
        for parameter in self.d_parameters:
            parameter.requires_grad_(True)
        torch._foreach_lerp_(self.averaged, self.current, 1 - self.average)
        return d_loss.detach(), g_loss.detach()

    def draw_latents(self) -> Tensor:
        return torch.randn(self.batch, self.latent_size, device=self.device)

    def first_images(self) -> Tensor:
        return self.images[: self.batch].permute(0, 3, 1, 2).to(self.device)

    def judge(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        """D's logits, of one batch as tinygan does it, or of two."""
        if self.passes == 2:
            return self.discriminator(real), self.discriminator(fake)
        of_real, of_fake = self.discriminator(torch.cat([real, fake])).chunk(2)
        return of_real, of_fake

    def first_look(self) -> dict[str, float]:
        """What tinygan looked at, from its weights and latents, without dropout."""
        self.discriminator.eval()
        try:
            return dict(zip(self.names, (float(n) for n in self.first_numbers()), strict=True))
        finally:
            self.discriminator.train()

    def parameters(self) -> list[int]:
        return [p.numel() for player in (self.generator, self.discriminator) for p in player.parameters()]

    def first_numbers(self) -> tuple[Any, Any]:
        with torch.no_grad():
            fake = self.discriminator(self.first_fakes())
            real = self.discriminator(self.first_images())
            return softplus(-real).mean() + softplus(fake).mean(), softplus(-fake).mean()

    def first_fakes(self) -> Tensor:
        """From a copy, since a forward pass changes batch norm's statistics."""
        with torch.no_grad():
            images: Tensor = copy.deepcopy(self.generator)(self.latents)
        return images


class Critic(Training):
    """A step of a critic with gradient penalty: second derivatives."""

    names = ("critic loss", "penalty")

    def losses(self, real: Tensor, fake: Tensor, epsilon: Tensor) -> tuple[Tensor, Tensor]:
        between = (epsilon * real + (1 - epsilon) * fake).requires_grad_()
        (slope,) = torch.autograd.grad(self.discriminator(between).sum(), between, create_graph=True)
        length = (slope.square().sum((1, 2, 3)) + 1e-12).sqrt()
        penalty = 10 * (length - 1).square().mean()
        of_real, of_fake = self.judge(real, fake)
        return of_fake.mean() - of_real.mean() + penalty, penalty

    def step(self) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            fake = self.generator(self.draw_latents())
        loss, penalty = self.losses(next(self.batches), fake, torch.rand(self.batch, 1, 1, 1))
        self.d_optimizer.zero_grad()
        loss.backward()
        self.d_optimizer.step()
        return loss.detach(), penalty.detach()

    def first_numbers(self) -> tuple[Any, Any]:
        numbers = self.losses(self.first_images(), self.first_fakes(), self.epsilon)
        return numbers[0].detach(), numbers[1].detach()


class Sampling(Training):
    """10,000 images of the averaged generator, as an array."""

    names = ("mean", "mean square")

    def __init__(self, settings: dict[str, Any]):
        super().__init__(settings)
        self.chunk = settings["chunk"]

    def step(self) -> tuple[Any, Any]:
        with torch.inference_mode():
            latents = torch.randn(SAMPLES, self.latent_size).split(self.chunk)
            images = torch.cat([self.averaged_generator(z) for z in latents]).numpy()
        return images[0].mean(), np.square(images[-1]).mean()

    def first_numbers(self) -> tuple[Any, Any]:
        with torch.no_grad():
            images = self.averaged_generator(self.latents)
        return images.mean(), images.square().mean()


class TinyOperations:
    """A graph of 1,000 operations on 16 numbers each, forward and backward."""

    names = ("sum", "gradient")

    def __init__(self, settings: dict[str, Any]):
        torch.set_num_threads(settings["threads"])
        numbers = torch.linspace(-1, 1, 16)
        self.x, self.a, self.b, self.c = ((numbers + k).requires_grad_() for k in (0, 2, 0.5, 0.1))

    def step(self) -> tuple[Any, Any]:
        leaves = (self.x, self.a, self.b, self.c)
        y, a, b, c = leaves
        for _ in range(250):
            y = torch.tanh(y * a + b) - c
        total = y.sum()
        for leaf in leaves:
            leaf.grad = None
        total.backward()
        return total.detach(), a.grad.numpy().sum()

    def first_look(self) -> dict[str, float]:
        return dict(zip(self.names, (float(n) for n in self.step()), strict=True))

    def parameters(self) -> list[int]:
        return [t.numel() for t in (self.x, self.a, self.b, self.c)]


TASKS = {"gan": Training, "critic": Critic, "sampling": Sampling, "ops": TinyOperations}


def wait() -> None:
    """Until what was asked for is done."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def facts() -> dict[str, Any]:
    libraries = [
        name
        for name, module in (("oneDNN", torch.backends.mkldnn), ("MKL", torch.backends.mkl))
        if module.is_available()
    ]
    return {
        "version": torch.__version__,
        "threads": torch.get_num_threads(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "libraries": " and ".join(libraries) or "neither oneDNN nor MKL",
    }


def sgemm(threads: int) -> float:
    """GFLOP/s of PyTorch's float32 matrix products on this machine, at best."""
    best = 0.0
    for n in (768, 1024, 2048):
        a, b, c = (torch.ones(n, n) for _ in range(3))
        for _ in range(8):
            start = time.perf_counter()
            torch.mm(a, b, out=c)
            best = max(best, 2 * n**3 / (time.perf_counter() - start) / 1e9)
    return best


def floats(module: nn.Module) -> list[Tensor]:
    """The parameters and floating-point buffers themselves, without their gradients."""
    tensors = [p.detach() for p in module.parameters()]
    return tensors + [b for b in module.buffers() if b.is_floating_point()]


def translate(array: Any, settings: dict[str, Any], who: str, channels_last: bool) -> Any:
    """One of tinygan's parameters as PyTorch's, mirrored: see this file's first lines."""
    if array.ndim == 4:  # Conv (KH, KW, in, out) -> (out, in, KH, KW); ConvTranspose (KH, KW, out, in) -> (in, out, …)
        return array[::-1, ::-1].transpose(3, 2, 0, 1)
    side = settings["size"] if settings["model"] == "mlp" else settings["size"] // 4
    channels = {"small": 64, "dcgan": 128 if who == "discriminator" else 256, "mlp": 1}[settings["model"]]
    for axis, size in enumerate(array.shape):
        if size == side * side * channels:  # an axis that counts (H, W, C)
            others = np.delete(array.shape, axis)
            grid = np.moveaxis(array, axis, 0).reshape(side, side, channels, *others)[::-1, ::-1]
            if not channels_last:
                grid = np.moveaxis(grid, 2, 0)
            array = np.moveaxis(grid.reshape(size, *others), 0, axis)
    return array.T  # Dense (in, out) -> (out, in)
