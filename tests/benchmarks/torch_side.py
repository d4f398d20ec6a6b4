"""PyTorch's side of the comparison: the same step as tinygan's, written for PyTorch eager as it is fastest there.

Where a transposed convolution or a convolution of 5×5 and stride 2 needs three rows of padding, tinygan ("same") puts
one before and two after the image; PyTorch's padding=2 comes to two before and one after. That is the mirror image, so
PyTorch is given mirrored filters and mirrored images: its networks are exactly tinygan's, seen in a mirror.
"""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus


class ToImages(nn.Module):
    """(N, 7·7·C) -> (N, C, 7, 7), without a copy in either layout."""

    def __init__(self, channels: int, channels_last: bool):
        super().__init__()
        self.channels, self.channels_last = channels, channels_last

    def forward(self, x: Tensor) -> Tensor:
        if self.channels_last:
            return x.view(-1, 7, 7, self.channels).permute(0, 3, 1, 2)
        return x.view(-1, self.channels, 7, 7)


class Flatten(nn.Module):
    """(N, C, H, W) -> (N, ·), without a copy in either layout."""

    def __init__(self, channels_last: bool):
        super().__init__()
        self.channels_last = channels_last

    def forward(self, x: Tensor) -> Tensor:
        return (x.permute(0, 2, 3, 1) if self.channels_last else x).flatten(1)


def small(last: bool) -> tuple[nn.Module, nn.Module]:
    generator = nn.Sequential(
        nn.Linear(64, 7 * 7 * 64, bias=False),
        nn.BatchNorm1d(7 * 7 * 64),
        nn.LeakyReLU(0.2, inplace=True),
        ToImages(64, last),
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
        nn.Linear(7 * 7 * 64, 1),
    )
    return generator, discriminator


def dcgan(last: bool) -> tuple[nn.Module, nn.Module]:
    generator = nn.Sequential(
        nn.Linear(100, 7 * 7 * 256, bias=False),
        nn.BatchNorm1d(7 * 7 * 256),
        nn.LeakyReLU(0.3, inplace=True),
        ToImages(256, last),
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
        nn.Linear(7 * 7 * 128, 1),
    )
    return generator, discriminator


def mlp(last: bool) -> tuple[nn.Module, nn.Module]:
    generator = nn.Sequential(
        nn.Linear(64, 256),
        nn.LeakyReLU(0.2, inplace=True),
        nn.Linear(256, 512),
        nn.LeakyReLU(0.2, inplace=True),
        nn.Linear(512, 28 * 28),
        nn.Tanh(),
        nn.Unflatten(1, (1, 28, 28)),
    )
    discriminator = nn.Sequential(
        nn.Flatten(), nn.Linear(28 * 28, 256), nn.LeakyReLU(0.2, inplace=True), nn.Linear(256, 1)
    )
    return generator, discriminator


NETWORKS = {"small": small, "dcgan": dcgan, "mlp": mlp}


class Side:
    def __init__(self, settings: dict[str, Any]):
        torch.set_num_threads(settings["threads"])
        torch.manual_seed(0)
        self.batch, last = settings["batch"], settings["layout"] == "channels_last"
        folder = Path(settings["folder"])
        self.generator, self.discriminator = NETWORKS[settings["model"]](last)
        if last:
            for player in (self.generator, self.discriminator):
                player.to(memory_format=torch.channels_last)
        images = np.ascontiguousarray(np.load(folder / "images.npy")[:, ::-1, ::-1])  # (N, H, W, 1), mirrored
        self.images, self.last = torch.from_numpy(images), last
        self.batches = self._batches()
        with np.load(folder / "start.npz") as start:
            self.latents = torch.from_numpy(start["latents"])
            self.latent_size = self.latents.shape[1]
            for who in ("generator", "discriminator"):
                parameters = list(getattr(self, who).parameters())
                for i, parameter in enumerate(parameters):
                    array = translate(start[f"{who} {i}"], settings["model"], who, last)
                    with torch.no_grad():
                        parameter.copy_(torch.from_numpy(np.ascontiguousarray(array)))
            recipe = {"lr": float(start["lr"]), "betas": tuple(start["betas"].tolist()), settings["adam"]: True}
            self.average = float(start["average"])
        self.d_parameters = list(self.discriminator.parameters())
        self.g_optimizer = torch.optim.Adam(self.generator.parameters(), **recipe)
        self.d_optimizer = torch.optim.Adam(self.d_parameters, **recipe)
        averaged = copy.deepcopy(self.generator)
        self.averaged, self.current = floats(averaged), floats(self.generator)

    def _batches(self) -> Iterator[Tensor]:
        """(N, 1, 28, 28), a view of one gathered batch in either layout."""
        n = self.batch
        while True:
            order = torch.randperm(len(self.images))
            for start in range(0, len(order) - n + 1, n):
                batch = self.images[order[start : start + n]]
                yield batch.permute(0, 3, 1, 2) if self.last else batch.view(n, 1, 28, 28)

    def step(self) -> tuple[Tensor, Tensor]:
        # D's step
        real = next(self.batches)
        with torch.no_grad():
            fake = self.generator(torch.randn(self.batch, self.latent_size))
        d_loss = softplus(-self.discriminator(real)).mean() + softplus(self.discriminator(fake)).mean()
        self.d_optimizer.zero_grad()
        d_loss.backward()
        self.d_optimizer.step()
        # G's step, without gradients for D's weights
        for parameter in self.d_parameters:
            parameter.requires_grad_(False)
        g_loss = softplus(-self.discriminator(self.generator(torch.randn(self.batch, self.latent_size)))).mean()
        self.g_optimizer.zero_grad()
        g_loss.backward()
        self.g_optimizer.step()
        for parameter in self.d_parameters:
            parameter.requires_grad_(True)
        torch._foreach_lerp_(self.averaged, self.current, 1 - self.average)
        return d_loss.detach(), g_loss.detach()

    def first_look(self) -> dict[str, Any]:
        """The losses before any step, without dropout, from tinygan's weights and latents."""
        self.discriminator.eval()
        with torch.no_grad():
            images = self.images[: self.batch].permute(0, 3, 1, 2)
            fake = self.discriminator(copy.deepcopy(self.generator)(self.latents))
            d_loss = softplus(-self.discriminator(images)).mean() + softplus(fake).mean()
            g_loss = softplus(-fake).mean()
        self.discriminator.train()
        parameters = [p.numel() for player in (self.generator, self.discriminator) for p in player.parameters()]
        return {"d_loss": d_loss.item(), "g_loss": g_loss.item(), "parameters": parameters}

    def facts(self) -> dict[str, Any]:
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


def floats(module: nn.Module) -> list[Tensor]:
    """The parameters and floating-point buffers themselves, without their gradients."""
    tensors = [p.detach() for p in module.parameters()]
    return tensors + [b for b in module.buffers() if b.is_floating_point()]


def translate(array: Any, model: str, who: str, channels_last: bool) -> Any:
    """One of tinygan's parameters as PyTorch's, mirrored: see this file's first lines."""
    if array.ndim == 4:  # Conv (KH, KW, in, out) -> (out, in, KH, KW); ConvTranspose (KH, KW, out, in) -> (in, out, …)
        return array[::-1, ::-1].transpose(3, 2, 0, 1)
    features = {"small": 7 * 7 * 64, "dcgan": 7 * 7 * (128 if who == "discriminator" else 256), "mlp": 28 * 28}[model]
    for axis, size in enumerate(array.shape):
        if size == features:  # an axis that counts (H, W, C)
            side = 28 if model == "mlp" else 7
            grid = np.moveaxis(array, axis, 0).reshape(side, side, -1, *np.delete(array.shape, axis))[::-1, ::-1]
            if not channels_last:
                grid = np.moveaxis(grid, 2, 0)
            array = np.moveaxis(grid.reshape(size, *np.delete(array.shape, axis)), 0, axis)
    return array.T  # Dense (in, out) -> (out, in)
