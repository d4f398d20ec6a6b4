"""The run folder: what a training leaves behind, each file whole or not there. This reads it; `recording` writes it.

config.json     everything that is needed to repeat the run: model, data, numbers, seed, versions
log.jsonl       one line every few steps: step, d_loss, g_loss, value = V(D, G) where it has a meaning, and what a
                diagnosis.Watch measures: d_accuracy, diversity, d_gradient, g_gradient, at times d_dead, g_dead
samples/        the same latents' images as training goes on: step-000500.png
samples.png     the last of these      training.gif   the film of them      losses.png   the curves
report.txt      how it went, in words: warnings and how things stood at the end
model.npz       the players and the averaged generator, as of the last samples
checkpoints/    all that going on depends on, step-000500.npz, the last three
"""

import json
import math
import os
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from . import backend, checkpoint, models
from ._version import __version__
from .errors import DataError, FileError, NonFiniteError, SettingError, ShapeError
from .files import atomic_write
from .nn import Module
from .threads import thread_count

FORMAT = 1  # of run folders
JSON_LIMIT = 2**24  # bytes of config.json
LINE_LIMIT = 2**12  # bytes of a line of log.jsonl

Arrays = dict[str, np.ndarray[Any, Any]]
Line = dict[str, float]


def make_folder(folder: Path, config: dict[str, Any]) -> None:
    """A new run folder with its config.json: both or, with FileError, neither."""
    refuse_existing(folder)
    unfinished = folder.with_name(f".{folder.name}-{os.urandom(4).hex()}.tmp")
    try:
        for name in ("samples", "checkpoints"):
            (unfinished / name).mkdir(parents=True)
        save_json(unfinished / "config.json", config)
        unfinished.rename(folder)
    except OSError as error:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise FileError(f"could not make the run folder {folder}: {error.strerror or error}") from error


def is_run(folder: Path) -> bool:
    """Whether a training made this folder."""
    return (folder / "config.json").is_file()


def refuse_existing(folder: Path) -> None:
    """Raise FileError where something stands there already: a run is never overwritten."""
    if folder.exists():
        go_on = f", or go on with it: tinygan train --resume {folder}" if is_run(folder) else ""
        raise FileError(f"{folder} exists already, and is never overwritten; choose another folder with --out{go_on}")


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


def finite(arrays: Arrays, step: int) -> Arrays:
    """The arrays. Raises NonFiniteError, naming the step and the first such array, for a NaN or an infinity."""
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise NonFiniteError(
                f"step {step}: {name} holds a NaN or an infinity. Training stopped; the samples and the model from "
                "before are kept. Try a smaller learning rate"
            )
    return arrays


class Trained(NamedTuple):
    """A generator in evaluation mode, its latents' size, and of how many classes it draws (None: it isn't told)."""

    generator: Module
    latent_size: int
    classes: int | None


def load_generator(folder: str | os.PathLike[str]) -> Trained:
    """The averaged generator of a run.

    Raises FileError where the run has no model, DataError or SettingError where its files don't belong together.
    """
    folder = Path(folder)
    config = read_config(folder)
    name, shape, latent_size, classes = (config.get(key) for key in ("model", "image_shape", "latent_size", "classes"))
    sizes = [latent_size, *(shape if isinstance(shape, list) else [])]
    sound = len(sizes) == 4 and all(type(n) is int and 0 < n <= 8192 for n in [*sizes, classes or 1])
    if not isinstance(name, str) or not sound:
        raise DataError(f"{folder / 'config.json'} lacks a sound model, image_shape, latent_size or classes")
    if name not in models.MODELS:
        raise SettingError(f"{folder}: its generator {name!r} isn't one of tinygan's own; load model.npz from Python")
    arrays, _ = checkpoint.load(folder / "model.npz")
    state = {k.removeprefix("averaged."): a for k, a in arrays.items() if k.startswith("averaged.")}
    height, width, channels, weights = *sizes[1:], sum(a.size for a in state.values())
    if (
        height * width * (16 * sizes[0] + 512 * channels + 16 * (classes or 0)) > 64 * weights + 2**20
    ):  # what our networks take, and some
        raise DataError(f"{folder}: model.npz and config.json don't belong together: {weights:,} weights are too few "
                        f"for latents of size {sizes[0]} and images of shape {tuple(sizes[1:])}")  # fmt: skip
    generator = models.build_generator(name, (height, width, channels), sizes[0], classes=classes)
    try:
        generator.load_state_dict(state)
    except ShapeError as error:
        raise DataError(f"{folder}: model.npz and config.json don't belong together: {error}") from error
    return Trained(generator.to(backend.device()).eval(), sizes[0], classes)


def read_config(folder: Path) -> dict[str, Any]:
    """The run's config.json. Raises FileError where there is none, DataError where it is no JSON object."""
    path = folder / "config.json"
    try:
        with open(path, "rb") as file:
            text = file.read(JSON_LIMIT + 1)
    except OSError as error:
        hint = "; a run folder, as `tinygan train` makes it, is expected"
        raise FileError(f"could not read {path}: {error.strerror}{hint}") from error
    if len(text) > JSON_LIMIT:
        raise DataError(f"{path}: it is larger than {JSON_LIMIT:,} bytes, and no config.json of tinygan's is")
    try:
        config = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not JSON: {error}") from error
    if not isinstance(config, dict):
        raise DataError(f"{path}: a JSON object is expected")
    return config


# ---------------------------------------------------------------- to go on with a run


def newest_checkpoint(folder: Path, say: Callable[[str], None]) -> tuple[Arrays, dict[str, Any]] | None:
    """Arrays and header of the newest sound checkpoint, reporting those that are not; None where none was written.

    Raises DataError where there should be one, and none is sound.
    """
    paths = dict(sorted(numbered(folder / "checkpoints", "npz").items(), reverse=True))
    for step, path in paths.items():
        try:
            arrays, header = checkpoint.load(path)
            seconds = header.get("seconds")
            if header.get("step") != step or not isinstance(seconds, int | float) or not 0 <= seconds < math.inf:
                raise DataError(f"{path}: its header names no step {step} and seconds of training")
            if not isinstance(header.get("config"), dict):
                raise DataError(f"{path}: its header lacks the run's config")
            return arrays, header
        except (DataError, FileError) as error:
            say(f"{error} The checkpoint before it is tried.")
    if paths or _has_begun(folder):
        raise DataError(f"{folder}: no sound checkpoint is left to go on from. Train anew, in another folder")
    return None


def numbered(folder: Path, suffix: str) -> dict[int, Path]:
    """The files step-000123.SUFFIX by step, in order."""
    matches = ((re.fullmatch(rf"step-(\d{{6,15}})\.{suffix}", path.name), path) for path in folder.glob("step-*"))
    return dict(sorted((int(match[1]), path) for match, path in matches if match))


def check_same(then: Mapping[str, Any], now: Mapping[str, Any], folder: Path) -> None:
    """Raise SettingError, naming what differs, unless all that is in `now` is so in the run's config `then`."""
    if (version := then.get("format")) != FORMAT:
        raise SettingError(
            f"can't resume {folder}: its format is {_short(version)}, this tinygan's is {FORMAT}. Resume it with what "
            f"made it, {_short(then.get('versions'))}, or train anew"
        )
    pairs = {key: (then.get(key), value) for key, value in now.items()}
    differing = [
        f"{k} was {_short(a)} and is {_short(b)}" for k, (a, b) in pairs.items() if _identity(a) != _identity(b)
    ]
    if differing:
        raise SettingError(f"can't resume {folder}, since it would be another run: {'; '.join(differing)}")


def changes(then: Any, now: dict[str, str]) -> str:
    """What of the versions differs that may change the bytes: `numpy 2.3.1 → 2.4.0`."""
    alone = {"workers": "1"}
    then, now = alone | (then if isinstance(then, dict) else {}), alone | now
    keys = [key for key in now if key not in ("python", "threads") and then.get(key) != now[key]]
    return ", ".join(f"{key} {_short(then.get(key))} → {now[key]}" for key in keys)


def read_log(folder: Path, kept: Callable[[int], bool]) -> list[Line]:
    """The sound lines of log.jsonl with those steps, in order, each step once."""
    lines: list[Line] = []
    try:
        with open(folder / "log.jsonl", "rb") as file:
            for line in map(_parse_line, iter(lambda: file.readline(LINE_LIMIT), b"")):
                if line and kept(int(line["step"])) and (not lines or lines[-1]["step"] < line["step"]):
                    lines.append(line)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise FileError(f"could not read {folder / 'log.jsonl'}: {error.strerror}") from error
    return lines


def _parse_line(text: bytes) -> Line | None:
    try:
        line = json.loads(text)
        sound = isinstance(line, dict) and type(line["step"]) is int and {"d_loss", "g_loss"} <= line.keys()
        return line if sound and all(math.isfinite(number) for number in line.values()) else None
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None


def _has_begun(folder: Path) -> bool:
    """Whether steps were written down: the checkpoint of step 0 is older than any."""
    log = folder / "log.jsonl"
    return (log.exists() and log.stat().st_size > 0) or any(step > 0 for step in numbered(folder / "samples", "png"))


def _identity(value: Any) -> Any:
    """Data is the same wherever it lies."""
    return value.get("sha256") if isinstance(value, dict) and "sha256" in value else value


def _short(value: Any) -> str:
    """For a message: JSON, of at most 100 characters; of data its name and the begin of its SHA-256."""
    if isinstance(value, dict) and {"name", "sha256"} <= value.keys():
        value = f"{value['name']} (sha256 {value['sha256']!s:.8}…)"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 100 else f"{text[:97]}…"
