"""Pictures from a trained generator: draws, walks between draws, and the files they go into."""

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from . import plotting
from .errors import FileError, SettingError
from .files import atomic_write
from .gan import in_turn, sample_latents

Array = np.ndarray[Any, Any]


def draw_latents(n: int, latent_size: int, seed: int = 0) -> Array:
    """n draws from N(0, I), (n, latent_size) float32; the first of more are the same."""
    if n < 1:
        raise SettingError(f"n={n}: at least 1 sample is expected")
    return sample_latents(n, latent_size, seed)


def choose_labels(n: int, classes: int | None, label: int | None = None, seed: int = 0) -> Array | None:
    """What n samples should show, (n,): all `label`, or each class in turn; None for a generator without classes.

    Raises SettingError for a label that the generator doesn't know.
    """
    if classes is None:
        if label is not None:
            raise SettingError(
                f"label {label}: this generator can't be told what to draw; train one with --conditional, or --clusters"
            )
        return None
    if label is not None and not 0 <= label < classes:
        raise SettingError(f"label {label}: the generator draws {classes} classes, 0 to {classes - 1}")
    return in_turn(n, classes, seed) if label is None else np.full(n, label)


def walk_latents(n: int, stops: int, latent_size: int, seed: int = 0) -> Array:
    """n walks from one draw to another, `stops` latents each: (n · stops, latent_size).

    Along great circles: sin((1−t)θ)/sin θ · a + sin(tθ)/sin θ · b, θ the angle between a and b (White 2016), since
    the straight line passes through lengths that N(0, I) hardly ever has.
    """
    if stops < 2:
        raise SettingError(f"{stops} stops: a walk has at least 2")
    a, b = draw_latents(2 * n, latent_size, seed).reshape(n, 2, 1, latent_size).swapaxes(0, 1)
    cosine = (a * b).sum(-1, keepdims=True) / (np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1))[..., None]
    angle = np.arccos(np.clip(cosine, -0.9999, 0.9999))
    t = np.linspace(0, 1, stops, dtype=np.float32)[None, :, None]
    walk = (np.sin((1 - t) * angle) * a + np.sin(t * angle) * b) / np.sin(angle)
    result: Array = walk.reshape(n * stops, latent_size).astype(np.float32)
    return result


def write_images(images: Array, out: str | os.PathLike[str], columns: int | None = None) -> str:
    """Write images (N, H, W, C) as `out` says, and tell in a few words what was written.

    name.png: a grid.   name.npy: the array, float32 in [−1, 1].   Any name without a suffix: a new folder of PNGs.
    Raises SettingError for another suffix, FileError where it can't be written or the folder is there already.
    """
    path = Path(out)
    if path.suffix == ".png":
        plotting.save_grid(images, path, columns)
        return f"a grid of {len(images)} images in {path}"
    if path.suffix == ".npy":
        with atomic_write(path) as file:
            np.lib.format.write_array(file, images, allow_pickle=False)
        return f"an array {images.shape}, float32 in [−1, 1], in {path}"
    if path.suffix:
        raise SettingError(f"{path}: .png (a grid), .npy (an array), or no suffix (a folder of PNGs) is expected")
    if path.exists():
        raise FileError(f"{path} exists already; choose a new folder")
    unfinished = path.with_name(f".{path.name}.tmp")
    try:
        unfinished.mkdir(parents=True)
        for i, image in enumerate(images):
            plotting.save_grid(image[None], unfinished / f"{i:05}.png", scale=1, gap=0)
        unfinished.rename(path)
    except OSError as error:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise FileError(f"could not write the folder {path}: {error.strerror or error}") from error
    return f"{len(images)} images in {path}{os.sep}"
