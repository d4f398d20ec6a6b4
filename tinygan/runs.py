"""The run folder: what a training leaves behind, each file whole or not there.

config.json     everything that is needed to repeat the run: model, data, numbers, seed, versions
log.jsonl       one line every few steps: step, d_loss, g_loss, and value = V(D, G) where it has a meaning
samples/        the same latents' images as training goes on: step-000500.png
samples.png     the last of these      training.gif   the film of them      losses.png   the curves
model.npz       the players and the averaged generator, as of the last samples
"""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from . import backend, checkpoint, models
from ._version import __version__
from .errors import DataError, FileError, NonFiniteError, SettingError, ShapeError
from .files import atomic_write
from .gan import GAN
from .nn import Module
from .threads import thread_count


def make_folder(path: str | os.PathLike[str]) -> Path:
    """A new, empty run folder. Raises FileError where something stands there already: a run is never overwritten."""
    folder = Path(path)
    if folder.exists():
        raise FileError(f"{folder} exists already, and a run is never overwritten; choose another folder with --out")
    try:
        (folder / "samples").mkdir(parents=True)
    except OSError as error:
        raise FileError(f"could not make the run folder {folder}: {error.strerror}") from error
    return folder


def free_folder(parent: str | os.PathLike[str], name: str) -> Path:
    """parent/name-1, or the first number after it that is free."""
    number = 1
    while (Path(parent) / f"{name}-{number}").exists():
        number += 1
    return Path(parent) / f"{name}-{number}"


def save_json(path: Path, content: dict[str, Any]) -> None:
    """Write it readably, atomically."""
    with atomic_write(path) as file:
        file.write((json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())


def versions() -> dict[str, str]:
    """What made a run: tinygan, Python, NumPy, machine, device, threads."""
    import platform  # here, since it loads subprocess, which a browser's Python lacks

    return {
        "tinygan": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "machine": f"{platform.system()} {platform.machine()}",
        "device": backend.device(),
        "threads": str(thread_count()),
    }


def model_arrays(gan: GAN, step: int) -> dict[str, np.ndarray[Any, Any]]:
    """Copies of both players and the averaged generator, as generator.…, discriminator.…, averaged.… .

    Raises NonFiniteError, naming the step and the first such array, where one holds a NaN or an infinity.
    """
    players = {"generator": gan.generator, "discriminator": gan.discriminator, "averaged": gan.averaged}
    arrays = {f"{player}.{name}": a for player, module in players.items() for name, a in module.state_dict().items()}
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise NonFiniteError(
                f"step {step}: {name} holds a NaN or an infinity. Training stopped; the samples and the model from "
                "before are kept. Try a smaller learning rate"
            )
    return arrays


def save_model(folder: Path, gan: GAN, arrays: dict[str, np.ndarray[Any, Any]]) -> None:
    """Write model.npz: what model_arrays gave."""
    checkpoint.save(folder / "model.npz", arrays, {"g_steps": gan.g_steps, "d_steps": gan.d_steps})


def load_generator(folder: str | os.PathLike[str]) -> tuple[Module, int]:
    """The averaged generator of a run, in evaluation mode, and its latent size.

    Raises FileError where the run has no model, DataError or SettingError where its files don't belong together.
    """
    folder = Path(folder)
    config = read_config(folder)
    name, shape, latent_size = (config.get(key) for key in ("model", "image_shape", "latent_size"))
    sizes = [latent_size, *(shape if isinstance(shape, list) else [])]
    if not isinstance(name, str) or len(sizes) != 4 or not all(isinstance(n, int) and 0 < n <= 8192 for n in sizes):
        raise DataError(f"{folder / 'config.json'} lacks a sound model, image_shape or latent_size")
    if name not in models.MODELS:
        raise SettingError(f"{folder}: its generator {name!r} isn't one of tinygan's own; load model.npz from Python")
    arrays, _ = checkpoint.load(folder / "model.npz")
    generator = models.build_generator(name, (sizes[1], sizes[2], sizes[3]), sizes[0])
    state = {k.removeprefix("averaged."): a for k, a in arrays.items() if k.startswith("averaged.")}
    try:
        generator.load_state_dict(state)
    except ShapeError as error:
        raise DataError(f"{folder}: model.npz and config.json don't belong together: {error}") from error
    return generator.to(backend.device()).eval(), sizes[0]


def read_config(folder: Path) -> dict[str, Any]:
    """The run's config.json. Raises FileError where there is none, DataError where it is no JSON object."""
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        hint = "; a run folder, as `tinygan train` makes it, is expected"
        raise FileError(f"could not read {path}: {error.strerror}{hint}") from error
    except ValueError as error:
        raise DataError(f"{path} is not JSON: {error}") from error
    if not isinstance(config, dict):
        raise DataError(f"{path}: a JSON object is expected")
    return config
