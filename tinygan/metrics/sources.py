"""Where samples come from, a run, a folder of images or a file, and what they are held against."""

import os
from pathlib import Path
from typing import Any

from .. import data, runs, sampling
from ..data import Dataset
from ..errors import DataError, SettingError
from ..gan import generate

SAMPLES = 10_000  # of a run, unless asked for others; and as many drawn digits


def find_samples(place: str | os.PathLike[str], n: int | None = None, seed: int = 0) -> Dataset:
    """n images of a run's averaged generator (10,000 unless given), or the first n of a folder or an array file (all).

    Images in a folder are made grey and resized to 28 × 28. Raises DataError where there is nothing of the kind, or
    where an image isn't finite, and FileError for a run without a model.
    """
    path = Path(place)
    if runs.is_run(path):
        trained = runs.load_generator(path)
        latents = sampling.draw_latents(SAMPLES if n is None else n, trained.latent_size, seed)
        labels = sampling.choose_labels(len(latents), trained.classes, seed=seed)
        images = generate(trained.generator, latents, labels)
        source = f"{len(images):,} samples of the averaged generator in {path}, seed {seed}"
        return Dataset(images, labels, f"the run {path}", source, clustered=_data_of(path).get("clustered") is True)
    if not path.exists():
        raise DataError(f"{path} isn't there; a run, a folder of images, a .npy or a .npz is expected")
    if not path.is_dir():
        return data.load(path, count=n)
    try:
        return data.load(path, size=28, channels=1, count=n)
    except DataError as error:
        raise DataError(f"{path} is no run, since it has no config.json, so images are looked for. {error}") from error


def report_folder(place: str | os.PathLike[str]) -> Path:
    """Where the report goes unless asked for elsewhere: into a run, else beside the images, into NAME-report."""
    path = Path(place)
    if runs.is_run(path):
        return path
    path = path.resolve()  # since "." has no name
    return path.with_name(f"{path.stem if path.is_file() else path.name}-report")


def training_log(place: str | os.PathLike[str]) -> list[runs.Line]:
    """The log of a run; nothing of any other samples."""
    return runs.read_log(Path(place), lambda step: True) if runs.is_run(Path(place)) else []


def reference_name(place: str | os.PathLike[str]) -> str:
    """The data set that a run was trained on, if it has a name; "mnist" for any other samples."""
    path = Path(place)
    name = _data_of(path).get("name") if runs.is_run(path) else None
    return name if name in data.NAMES else "mnist"


def _data_of(run: Path) -> dict[str, Any]:
    """What a run's config says of the data that it was trained on."""
    described = runs.read_config(run).get("data")
    return described if isinstance(described, dict) else {}


def load_reference(name: str) -> tuple[Dataset, Dataset]:
    """The training and the test split of a data set by name.

    Raises SettingError for another name, MissingDataError where the data isn't to be had.
    """
    if name not in data.NAMES:
        raise SettingError(f"samples are held against data with a test split: {', '.join(data.NAMES)}, not {name!r}")
    count = SAMPLES if name == "digits" else None  # the training split is then what `tinygan train --data digits` uses
    return data.load(name, count=count), data.load(name, split="test", count=count)
