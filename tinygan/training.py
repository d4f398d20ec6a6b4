"""Training: the loop of Goodfellow et al. 2014, algorithm 1, and what it writes down on its way."""

import itertools
import json
import math
import os
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from . import backend, plotting, runs
from .autograd import Tensor
from .data import Dataset
from .errors import FileError, NonFiniteError, SettingError, ShapeError
from .gan import GAN, generate

FILM_FRAMES = 60


class Trainer:
    """Trains a GAN on data and keeps a run folder (see `runs`).

    data: a Dataset, or an array (N, H, W, C) float32 in [−1, 1].   out: the folder, which must not exist yet; None:
    nothing is written.   d_steps: D's steps for each of G's.   log_every, sample_every: in steps.
    config: what else to write into config.json.   progress: show a bar.
    Raises ShapeError where G's images are not shaped like the data's, DataError where the data isn't sound or a batch
    is larger than it, FileError where `out` exists: all before anything is written.
    """

    def __init__(
        self,
        gan: GAN,
        data: Dataset | np.ndarray[Any, Any],
        out: str | os.PathLike[str] | None = None,
        batch_size: int = 64,
        d_steps: int = 1,
        log_every: int = 10,
        sample_every: int = 100,
        config: dict[str, Any] | None = None,
        progress: bool = True,
    ):
        if min(batch_size, d_steps, log_every, sample_every) < 1:
            raise SettingError("Trainer: batch_size, d_steps, log_every and sample_every are at least 1")
        self.gan = gan
        self.data = data if isinstance(data, Dataset) else Dataset(data, None, "array", "an array given to Trainer")
        self.batch_size, self.d_steps = batch_size, d_steps
        self.log_every, self.sample_every, self.progress = log_every, sample_every, progress
        self.batches = self.data.batches(batch_size, gan.seed)
        self.latents = backend.generator(gan.seed, "grid").standard_normal((64, gan.latent_size), np.float32)
        made = generate(gan.averaged, self.latents[:1]).shape[1:]
        if made != self.data.image_shape:
            raise ShapeError(f"the generator makes images of shape {made}, the data have {self.data.image_shape}")
        self.log: list[dict[str, float]] = []
        self.step = self._sampled_at = 0
        self.folder = None if out is None else runs.make_folder(out)
        self._frames: list[np.ndarray[Any, Any]] = []
        self._config = config or {}

    def fit(self, steps: int | None = None, epochs: float | None = None, minutes: float | None = None) -> GAN:
        """Train for so many steps of G, epochs of the data, or minutes (one of the three); gives the GAN back.

        Ctrl-C ends it early: what was learned so far is saved, then KeyboardInterrupt goes on. A loss that is NaN or
        infinite ends it with NonFiniteError, which names the step; the last good samples and model stay.
        """
        steps, minutes = self._limits(steps, epochs, minutes)
        with np.errstate(all="ignore"):  # NaN and infinity are looked for, and reported with their step
            return self._fit(steps, minutes)

    def _fit(self, steps: int | None, minutes: float | None) -> GAN:
        bar = _Progress(steps, minutes, self.progress)
        try:
            self._write_config(steps, minutes)
            if not self._frames:
                self._take_samples()
            for _ in bar.steps(self.step):
                for _ in range(self.d_steps):
                    d_loss = self.gan.discriminator_step(next(self.batches))
                g_loss = self.gan.generator_step(self.batch_size)
                self._after_step(d_loss, g_loss, bar)
            if self.step % self.log_every:
                self._write_line(self._checked_line(d_loss, g_loss))
            if self.step % self.sample_every:
                self._take_samples()
        except KeyboardInterrupt:
            self._take_samples()
            raise
        except Exception:
            if self.step == 0 and self.folder:
                shutil.rmtree(self.folder)  # our own, and nothing in it was trained
                self.folder = None
            raise
        finally:
            bar.close()
            self._finish()
        return self.gan

    def _limits(
        self, steps: int | None, epochs: float | None, minutes: float | None
    ) -> tuple[int | None, float | None]:
        given = [limit for limit in (steps, epochs, minutes) if limit is not None]
        if len(given) != 1 or not given[0] > 0:
            raise SettingError("fit: give one of steps=, epochs= or minutes=, a number above 0")
        if epochs is not None:
            per_epoch = len(self.data) // self.batch_size
            steps = max(1, math.ceil(epochs * per_epoch / self.d_steps))
        return steps, minutes

    def _after_step(self, d_loss: Tensor, g_loss: Tensor, bar: "_Progress") -> None:
        self.step += 1
        logged = self.step % self.log_every == 0
        if logged or d_loss.device == "cpu":  # to look at a number on the GPU is to wait for it
            line = self._checked_line(d_loss, g_loss)
        if logged:
            self._write_line(line)
            bar.show(line)
        if self.step % self.sample_every == 0:
            self._take_samples()

    def _checked_line(self, d_loss: Tensor, g_loss: Tensor) -> dict[str, float]:
        """The log's line for this step. Raises NonFiniteError where a loss is NaN or infinite."""
        line = {"step": self.step, "d_loss": float(d_loss), "g_loss": float(g_loss)}
        if self.gan.value is not None:
            line["value"] = float(self.gan.value)
        if not all(map(math.isfinite, line.values())):
            raise NonFiniteError(
                f"step {self.step}: D's loss is {line['d_loss']}, G's {line['g_loss']}. Training stopped; the samples "
                f"and the model of step {self._sampled_at} are kept. Try a smaller learning rate; in Python, "
                "tinygan.debug() finds where the first NaN arose"
            )
        return line

    def _write_line(self, line: dict[str, float]) -> None:
        self.log.append(line)
        if self.folder:
            _append_line(self.folder / "log.jsonl", line)

    def _take_samples(self) -> None:
        """The fixed latents' images, and the model that made them; nothing is kept of a model that holds a NaN."""
        arrays = runs.model_arrays(self.gan, self.step)
        images = self.gan.generate(self.latents)
        self._frames.append(plotting.sample_grid(images))
        self._sampled_at = self.step
        if self.folder:
            runs.save_model(self.folder, self.gan, arrays)
            plotting.save_grid(images, self.folder / "samples" / f"step-{self.step:06}.png", scale=1)
            plotting.save_grid(images, self.folder / "samples.png", description=f"64 samples after {self.step} steps.")

    def _write_config(self, steps: int | None, minutes: float | None) -> None:
        if self.folder is None:
            return
        gan = self.gan
        runs.save_json(
            self.folder / "config.json",
            {
                "steps": steps,
                "minutes": minutes,
                "batch_size": self.batch_size,
                "d_steps": self.d_steps,
                "seed": gan.seed,
                "latent_size": gan.latent_size,
                "average": gan.average,
                "objective": type(gan.objective).__name__,
                "image_shape": list(self.data.image_shape),
                "data": {"name": self.data.name, "source": self.data.source, "sha256": self.data.fingerprint},
                "g_optimizer": gan.g_optimizer.describe(),
                "d_optimizer": gan.d_optimizer.describe(),
                "generator": gan.generator.describe(),
                "discriminator": gan.discriminator.describe(),
                "versions": runs.versions(),
                **self._config,
            },
        )

    def _finish(self) -> None:
        """The film and the curves, of what there is."""
        if self.folder and self.log:
            plotting.loss_curves(self.log, self.folder / "losses.png")
        if self.folder and len(self._frames) > 1:
            every = math.ceil((len(self._frames) - 1) / FILM_FRAMES)
            frames = self._frames[:-1:every] + self._frames[-1:]
            plotting.save_film(frames, self.folder / "training.gif", scale=2)


class _Progress:
    """A bar over steps, or over seconds where the limit is in minutes."""

    def __init__(self, steps: int | None, minutes: float | None, visible: bool):
        self.limit, self.seconds = steps, None if minutes is None else 60 * minutes
        self.bar: Any = None
        if visible:
            from tqdm.auto import tqdm

            form = "{l_bar}{bar}| {n:.0f}/{total:.0f} {unit} [{elapsed}<{remaining}{postfix}]"
            total, unit = (steps, "steps") if self.seconds is None else (self.seconds, "s")
            pause = 0.1 if sys.stderr.isatty() else 5.0  # in a file, every update stays
            self.bar = tqdm(
                total=total, unit=unit, bar_format=form, dynamic_ncols=True, smoothing=0.05, mininterval=pause
            )

    def steps(self, start: int) -> Iterator[int]:
        """Count from `start` until the limit is reached."""
        began = time.monotonic()
        self.start, self.began = start, began
        for step in itertools.count(start):
            elapsed = time.monotonic() - began
            if step - start == self.limit or (self.seconds is not None and elapsed >= self.seconds):
                return
            yield step
            if self.bar is not None:
                self.bar.update(1 if self.seconds is None else min(time.monotonic() - began, self.seconds) - self.bar.n)

    def show(self, line: dict[str, float]) -> None:
        if self.bar is None:
            return
        speed = (line["step"] - self.start) / max(1e-9, time.monotonic() - self.began)
        value = f", V(D,G) {line['value']:.3f} (goal -1.386)" if "value" in line else ""
        losses = f"D {line['d_loss']:.3f}, G {line['g_loss']:.3f}"
        self.bar.set_postfix_str(f"{losses}{value}, {speed:.1f} steps/s", refresh=False)

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()


def _append_line(path: Path, line: dict[str, float]) -> None:
    try:
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
    except OSError as error:
        raise FileError(f"could not write {path}: {error.strerror}. The lines before are unchanged.") from error
