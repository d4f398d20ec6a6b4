"""One door to every data set: a name, or the path of one's own images."""

import difflib
import os
from pathlib import Path

from ..errors import DataError, MissingDataError, SettingError
from .arrays import load_arrays
from .dataset import Dataset
from .digits import digits
from .images import load_folder
from .mnist import FILES, MIRRORS, load_mnist

NAMES = ("digits", *MIRRORS)


def load(
    name_or_path: str | os.PathLike[str],
    split: str = "train",
    size: int | None = None,
    channels: int | None = None,
    count: int | None = None,
    seed: int = 0,
) -> Dataset:
    """A data set by name ("digits", "mnist", "fashion-mnist") or by path (a folder of images, a .npy, a .npz).

    Images are float32 (N, H, W, C) in [−1, 1]. `split` is "train" or "test"; one's own images have no splits.
    `size` and `channels` are for folders (28, and grey where all images are); other data must have them already.
    `count` takes the first images alone; for the drawn digits it is how many, 10,000 if not given, and `seed`
    says which. A folder that is named like a data set is reached as "./mnist".
    Raises DataError where the data is not to be had or not sound, SettingError for options that don't fit.
    """
    if split not in FILES:
        raise SettingError(f"split={split!r}: one of {', '.join(FILES)} is expected")
    if name_or_path in NAMES:
        data = _load_named(str(name_or_path), split, count, seed)
    else:
        if split != "train":
            raise SettingError(f"split={split!r}: {name_or_path} has no splits. Load each from a path of its own.")
        path = _existing(name_or_path)
        if path.is_dir():
            return load_folder(path, 28 if size is None else size, channels, count)
        data = load_arrays(path, count)
    height, width, found = data.image_shape
    if size not in (None, height) or size not in (None, width) or channels not in (None, found):
        raise SettingError(
            f"size={size}, channels={channels}: {data.name} has images of the shape {data.image_shape} (H, W, C). "
            "Only folders of images are resized and converted: leave size and channels away."
        )
    return data


def load_default() -> tuple[Dataset, str]:
    """MNIST where it is there or can be fetched, else the drawn digits; and one line that says which and why."""
    try:
        data = load("mnist")
        return data, f"Training images: {data.source}."
    except MissingDataError as error:  # but files that are there and broken are not passed over
        data, reason = load("digits"), str(error).splitlines()[0]
        return data, f"Training images: {data.source}, since MNIST is not to be had ({reason})"


def _load_named(name: str, split: str, count: int | None, seed: int) -> Dataset:
    if name != "digits":
        return load_mnist(name, split, count)
    images, labels = digits(10_000 if count is None else count, seed, split)
    return Dataset(images, labels, name, f"{len(images)} digits drawn by code, {split} split, seed {seed}")


def _existing(name_or_path: str | os.PathLike[str]) -> Path:
    path = Path(name_or_path)
    if not os.fspath(name_or_path) or not path.exists():
        near = difflib.get_close_matches(str(name_or_path), NAMES, n=1, cutoff=0.5)
        guess = f" Did you mean {near[0]!r}?" if near else ""
        raise DataError(
            f"{os.fspath(name_or_path)!r} is no data set and no path.{guess} "
            f"Expected: {', '.join(NAMES)}, a folder of images, or a .npy or .npz file."
        )
    if path.is_file() and path.suffix.lower() not in (".npy", ".npz"):
        raise DataError(
            f"{path}: a folder of images, or a .npy or .npz file is expected. For one image, give its folder."
        )
    return path
