"""Writing a run down as it goes, so that no end of the process and no full disk costs what was saved.

Each file is whole or as it was (see `files`), and a checkpoint comes after all that it stands for. So whenever a
process was killed, what is newer than the newest checkpoint can be thrown away: training on from there makes it again.
"""

import json
import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from . import checkpoint, plotting, runs
from .errors import DataError, FileError
from .files import atomic_write, remove_leftovers
from .runs import Arrays, Line

KEPT = 3  # checkpoints
FILM_FRAMES = 60
PIXEL_LIMIT = 2**25  # of a grid of samples


class Recorder:
    """Keeps the log, in memory and, where there is a folder, in a run folder with everything else.

    config: what goes into config.json.   say: shows a sentence to the user.
    Once there is a checkpoint, a write that fails is said, once, and raises nothing: training goes on, each later save
    tries again, and makes what is missing by then. `problem` is the error, until a checkpoint could be saved again.
    """

    def __init__(self, folder: Path | None, config: dict[str, Any], say: Callable[[str], None]):
        self.folder, self.config, self.say = folder, config, say
        self.log: list[Line] = []
        self.problem: FileError | None = None
        self.saved: int | None = None  # the step of the newest checkpoint

    def begin(self) -> None:
        """Make the folder."""
        if self.folder:
            runs.make_folder(self.folder, self.config)

    def go_on(self, logged: Callable[[int], bool], sampled: Callable[[int], bool]) -> None:
        """Throw away lines and samples of other steps: what training will make again, or what only an end left."""
        self.log = [line for line in self.log if logged(int(line["step"]))]
        if self.folder is None:
            return
        with _explained(self.folder):
            for folder in (self.folder, self.folder / "samples", self.folder / "checkpoints"):
                remove_leftovers(folder)
            self._make_whole(self.folder)
            for step, path in runs.numbered(self.folder / "samples", "png").items():
                if not sampled(step):
                    path.unlink()

    def line(self, line: Line) -> None:
        """Append to the log."""
        self.log.append(line)
        if self.problem is None:  # else the whole log is written as soon as that is possible again
            self._attempt(lambda folder: self._append(folder, line))

    def samples(
        self, step: int, images: np.ndarray[Any, Any], players: Arrays, counts: dict[str, int], columns: int
    ) -> None:
        """The images of the fixed latents, in so many columns, and the model that made them."""

        def write(folder: Path) -> None:
            checkpoint.save(folder / "model.npz", players, counts)
            plotting.save_grid(images, folder / "samples" / f"step-{step:06}.png", columns, scale=1)
            description = f"{len(images)} samples after {step} steps."
            plotting.save_grid(images, folder / "samples.png", columns, description=description)

        self._attempt(write)

    def checkpoint(self, step: int, seconds: float, state: Arrays) -> None:
        """All that going on depends on; older ones but the last few are deleted afterwards."""

        def write(folder: Path) -> None:
            with suppress(FileNotFoundError), open(folder / "log.jsonl", "rb+") as log:
                os.fsync(log)
            header = {"step": step, "seconds": seconds, "config": self.config}
            checkpoint.save(folder / "checkpoints" / f"step-{step:06}.npz", state, header)
            self.saved = step
            older = [path for s, path in runs.numbered(folder / "checkpoints", "npz").items() if s < step]
            for path in older[: 1 - KEPT]:
                path.unlink()
            if self.problem:
                self.say(f"{folder} can be written again: step {step} is saved.")
                self.problem = None

        self._attempt(write)

    def pictures(self) -> None:
        """The curves and the film, of what there is."""

        def write(folder: Path) -> None:
            for draw in (self._draw_curves, _save_film):
                try:
                    draw(folder)
                except FileError:
                    raise
                except Exception as error:  # a damaged sample, a number that no axis holds: no reason to lose more
                    self.say(f"a picture is left out: {error}")

        self._attempt(write)

    def report(self, text: str) -> None:
        """How the training went, in words."""

        def write(folder: Path) -> None:
            with atomic_write(folder / "report.txt") as file:
                file.write(text.encode())

        self._attempt(write)

    def raise_problem(self) -> None:
        """At the end: FileError where the last state could not be saved."""
        if self.problem:
            raise FileError(f"{self.problem} Step {self.saved} is saved, and can be resumed from.") from self.problem

    def _attempt(self, write: Callable[[Path], None]) -> None:
        if self.folder is None:
            return
        try:
            with _explained(self.folder):
                if self.problem:
                    self._make_whole(self.folder)
                write(self.folder)
        except FileError as error:
            if self.saved is None:
                raise
            if self.problem is None:
                self.say(f"{error} Training goes on, and each save tries again.")
            self.problem = error

    def _make_whole(self, folder: Path) -> None:
        """Config and log as they should be, and the folder itself, if somebody removed it."""
        for name in ("samples", "checkpoints"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        runs.save_json(folder / "config.json", self.config)
        with atomic_write(folder / "log.jsonl") as file:
            file.write("".join(map(_text, self.log)).encode())

    def _draw_curves(self, folder: Path) -> None:
        if self.log:
            plotting.loss_curves(self.log, folder / "losses.png")

    def _append(self, folder: Path, line: Line) -> None:
        with open(folder / "log.jsonl", "a", encoding="utf-8") as file:
            file.write(_text(line))


def _text(line: Line) -> str:
    return json.dumps(line) + "\n"


@contextmanager
def _explained(folder: Path) -> Iterator[None]:
    """The system's errors as FileErrors."""
    try:
        yield
    except FileError:
        raise
    except OSError as error:
        raise FileError(f"could not write in {folder}: {error.strerror or error}.") from error


def _save_film(folder: Path) -> None:
    """training.gif: the first of the samples, the last, and some in between."""
    paths = list(runs.numbered(folder / "samples", "png").values())
    if len(paths) > 1:
        every = math.ceil((len(paths) - 1) / FILM_FRAMES)
        frames = [_read_grid(path) for path in [*paths[:-1:every], paths[-1]]]
        plotting.save_film(frames, folder / "training.gif", scale=2)


def _read_grid(path: Path) -> np.ndarray[Any, Any]:
    """The bytes that save_grid wrote, (H, W) or (H, W, 3). Raises DataError for anything else."""
    from PIL import Image

    try:
        with Image.open(path, formats=("PNG",)) as image:
            if image.mode not in ("L", "RGB") or math.prod(image.size) > PIXEL_LIMIT:
                raise ValueError(f"{image.mode} pixels {image.size} are no grid of samples")
            return np.asarray(image)
    except Exception as error:  # on broken files, Pillow raises errors of many kinds
        raise DataError(f"{path} can't be read: {error}") from error
