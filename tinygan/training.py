"""Training: the loop of Goodfellow et al. 2014, algorithm 1."""

import hashlib
import json
import math
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from . import backend, runs
from .autograd import Tensor
from .data import Dataset
from .diagnosis import Diagnosis, Watch, classes_read, in_words
from .errors import DataError, NonFiniteError, SettingError, ShapeError, TinyganError
from .files import only_writer
from .gan import GAN, PLAYERS, class_columns, in_turn
from .optim import falling
from .progress import Progress, say
from .recording import Recorder
from .signals import DEFAULTS, Interruption, held_signals


class Trainer:
    """Trains a GAN on data and keeps a run folder (see `runs`).

    data: a Dataset, or an array (N, H, W, C) float32 in [−1, 1].   out: the folder, which must not exist yet; None:
    nothing is written.   d_steps: D's steps for each of G's; None: as many as the objective's paper takes.
    log_every, sample_every: in steps.
    decay: over this last share of the steps (or epochs; not minutes) both learning rates fall linearly to 0.
    checkpoint_every, checkpoint_minutes: in steps of G and in minutes, whichever is over first; None: not so.
    config: what else to write into config.json.   progress: show a bar.
    resume: go on with the run in `out`, if there is one, from its newest checkpoint: to the same bytes, as if it had
    never stopped. The GAN, the data and the numbers have to be built as they were then; the weights are loaded.
    A GAN that has joined other workers is trained by all of them, each with a Trainer of its own, with the same numbers
    and data. Batch sizes and steps are the whole batch's; worker 0 alone writes, reads what it resumes from, and shows
    a bar; an end by time or by a signal is one for all.
    Raises ShapeError where G's images are not shaped like the data's, DataError where the data isn't sound or a batch
    is larger than it, or the workers have different data, FileError where `out` exists, SettingError where it is
    another run's, or a worker's is not worker 0's: before anything is written.
    """

    def __init__(
        self,
        gan: GAN,
        data: Dataset | np.ndarray[Any, Any],
        out: str | os.PathLike[str] | None = None,
        batch_size: int = 64,
        d_steps: int | None = None,
        log_every: int = 10,
        sample_every: int = 100,
        decay: float = 0.0,
        checkpoint_every: int | None = None,
        checkpoint_minutes: float | None = 1.0,
        config: dict[str, Any] | None = None,
        progress: bool = True,
        resume: bool = False,
    ):
        d_steps = gan.objective.d_steps if d_steps is None else d_steps
        if min(batch_size, d_steps, log_every, sample_every, checkpoint_every or 1) < 1:
            raise SettingError(
                "Trainer: batch_size, d_steps, log_every, sample_every and checkpoint_every are at least 1"
            )
        if not 0 <= decay <= 1:
            raise SettingError(f"Trainer: decay={decay}; a share of the steps, from 0 to 1, is expected")
        self.gan, self.batch_size, self.d_steps, self.decay = gan, batch_size, d_steps, decay
        self.log_every, self.sample_every = log_every, sample_every
        self.checkpoint_every, self.checkpoint_minutes = checkpoint_every, checkpoint_minutes
        self.data = data if isinstance(data, Dataset) else Dataset(data, None, "array", "an array given to Trainer")
        self.workers = gan.workers
        self.rows = self.workers.rows(batch_size)
        self._writes = self.workers.rank == 0
        self.progress = progress and self._writes
        self._choose_grid()
        self._rates = gan.g_optimizer.lr, gan.d_optimizer.lr
        self.step, self.seconds = 0, 0.0  # both with what was trained before a resume
        self._sampled_at, self._saved_at = 0, 0.0
        self._say = self._usual_say = say if self._writes else lambda sentence: None
        self.diagnosis = Diagnosis(gan)
        self._open_folder(out, config or {}, resume)
        self.batches = self.data.labelled_batches(batch_size, gan.seed, gan.d_steps, self.rows.slice)

    def _choose_grid(self) -> None:
        """The latents, and labels, that samples are drawn from. DataError, ShapeError where G doesn't fit the data."""
        gan, classes = self.gan, self.gan.classes
        if classes is not None and not 0 < (self.data.classes or 0) <= classes:
            have = "no labels" if self.data.classes is None else f"labels up to {self.data.classes - 1}"
            raise DataError(f"{self.data.name} has {have}, but this GAN is conditional, of {classes} classes")
        self.columns = class_columns(classes) or 8
        shown = 64 // self.columns * self.columns
        self.latents = backend.generator(gan.seed, "grid").standard_normal((shown, gan.latent_size), np.float32)
        self.labels = in_turn(shown, classes, gan.seed) if classes else None
        made = gan.generate(self.latents[:1], None if self.labels is None else self.labels[:1]).shape[1:]
        if made != self.data.image_shape:
            raise ShapeError(f"the generator makes images of shape {made}, the data have {self.data.image_shape}")

    def _open_folder(self, out: str | os.PathLike[str] | None, config: dict[str, Any], resume: bool) -> None:
        """Begin the run folder, or take up what it has; nothing is written yet."""
        self.folder = Path(out) if self._writes and out is not None else None
        self._begun = bool(resume and self.folder and self.folder.exists())
        self._check_workers()
        self.recorder = Recorder(self.folder, {}, lambda sentence: self._say(sentence))
        if self.folder:
            made_by = {"format": runs.FORMAT, "versions": self._versions()}
            length = {"steps": None, "minutes": None}
            self.recorder.config = {**length, **self._recipe(), **self._saving(), **made_by, **config}
            if self._begun:
                self._load(self.folder)
            else:
                runs.refuse_existing(self.folder)
        if self.workers.size > 1:
            self._take_up_worker_0()

    @property
    def log(self) -> list[dict[str, float]]:
        """The lines of log.jsonl so far."""
        return self.recorder.log

    def fit(self, steps: int | None = None, epochs: float | None = None, minutes: float | None = None) -> GAN:
        """Train until there were so many steps of G, epochs of the data, or minutes (one of the three); gives the GAN.

        All count, those before a resume or by an earlier `fit` as well: where there were enough, nothing is done.
        What goes wrong on the way is said as it begins and ends, and at the end how all went (see `diagnosis`).
        Ctrl-C and SIGTERM end it after the step that is going on: the state is saved, then KeyboardInterrupt or
        SystemExit is raised. A loss that is NaN or infinite ends it with NonFiniteError, which names the step; the last
        good samples, model and checkpoints stay. A folder that can't be written any more doesn't end it: that is said
        at once, tried again, and raised as FileError at the end if it lasts.
        """
        steps, minutes = self._limits(steps, epochs, minutes)
        if self.workers.size > 1 and (others := self.workers.differing(_digest([steps, minutes]))):
            raise SettingError(f"fit: workers {_list(others)} were told to train longer or shorter than worker 0")
        if self._had(steps, minutes):
            had = f"{self.folder or 'this run'} has had its {self.step} steps, and nothing is changed"
            self._say(f"{had}: for more, ask for more in all.")
            return self.gan
        self.recorder.config |= {"steps": steps, "minutes": minutes}
        bar = Progress(self.step, self.seconds, steps, minutes, self.progress)
        self._say = bar.say
        try:
            with held_signals() as interruption, self._folder_at_hand():
                self._fit(steps, minutes, bar, interruption)
            self.recorder.raise_problem()
        except NonFiniteError:  # every worker has it
            self.workers.wait()
            raise
        finally:
            bar.close()
            self._say = self._usual_say
            self._set_rates(None)
        return self.gan

    def _fit(self, steps: int | None, minutes: float | None, bar: Progress, interruption: Interruption) -> None:
        self._clock = time.monotonic() - self.seconds
        self.diagnosis = Diagnosis(self.gan, max(self._rates))
        for line in self.log:  # of before a resume: what was said then isn't said again
            self.diagnosis.read(line)
        if self.step == 0:
            self._take_samples()
            self._save()
        signalled = None
        while not (self._had(steps, minutes) or signalled):
            self._set_rates(steps)
            with self._watched() as watch:
                for _ in range(self.d_steps):
                    real, labels = next(self.batches)
                    d_loss = self.gan.discriminator_step(real, labels if self.gan.classes else None, self.batch_size)
                g_loss = self.gan.generator_step(self.batch_size)
            signalled = self._agree(interruption)
            self._after_step(d_loss, g_loss, watch, bar)
            if self._checkpoint_due() and not self._had(steps, minutes):  # the last one is for _complete to write
                self._save()
        if self._had(steps, minutes):
            self._complete()
        else:
            self._save()  # first, since whoever stops it may not wait for the pictures
            self._take_samples()
            self.recorder.pictures()
            self.recorder.report(in_words(self.diagnosis, f"Stopped after {self.step} steps."))
        if signalled:
            self.workers.wait()  # until worker 0 has saved: who goes may take the others along
            interruption.number = signalled
            interruption.stop()

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

    def _set_rates(self, steps: int | None) -> None:
        """The learning rates of this step of so many; None: those that each optimizer was given."""
        if not self.decay:
            return
        share = 1.0 if steps is None else falling(self.step, steps, self.decay)
        for optimizer, rate in zip((self.gan.g_optimizer, self.gan.d_optimizer), self._rates, strict=True):
            optimizer.lr = rate * share

    def _had(self, steps: int | None, minutes: float | None) -> bool:
        return (steps is not None and self.step >= steps) or (minutes is not None and self.seconds >= 60 * minutes)

    @contextmanager
    def _folder_at_hand(self) -> Iterator[None]:
        """The run folder, new or as this step left it, for this trainer alone; unmade if nothing was trained."""
        new = not self._begun
        if new:
            self.recorder.begin()
        with only_writer(self.folder) if self.folder else nullcontext():
            if not new:
                self.recorder.go_on(self._is_logged, self._is_sampled)
            self._begun = True
            try:
                with np.errstate(all="ignore"):  # NaN and infinity are looked for, and reported with their step
                    yield
            except Exception as error:
                if new and self.folder and self.step == 0:
                    shutil.rmtree(self.folder, ignore_errors=True)  # our own
                    self._begun = False
                else:
                    self.recorder.pictures()
                    self.recorder.report(in_words(self.diagnosis, f"Ended by an error: {error}"))
                raise

    def _is_logged(self, step: int) -> bool:
        return step <= self.step and step % self.log_every == 0

    def _is_sampled(self, step: int) -> bool:
        return step <= self.step and step % self.sample_every == 0

    def _agree(self, interruption: Interruption) -> int | None:
        """Let the time be worker 0's; gives the signal that told any worker to stop, since then all do, or None."""
        self.seconds = time.monotonic() - self._clock
        if self.workers.size == 1:
            return interruption.number
        told = [interruption.number == number for number in DEFAULTS]
        seconds, *told = self.workers.sum(np.array([self.seconds if self._writes else 0, *told], np.float64))
        self.seconds = float(seconds)
        return next((number for number, count in zip(DEFAULTS, told, strict=True) if count), None)

    @contextmanager
    def _watched(self) -> Iterator[Watch | None]:
        """Watch the next step if its line will be logged; the layers, too, if it is the first such after samples."""
        step = self.step + 1
        if step % self.log_every:
            yield None
            return
        watch = Watch(self.gan, layers=step % self.sample_every < self.log_every)
        with watch.on():
            yield watch

    def _after_step(self, d_loss: Tensor, g_loss: Tensor, watch: Watch | None, bar: Progress) -> None:
        self.step += 1
        self._losses = d_loss, g_loss
        logged = self.step % self.log_every == 0
        if logged or d_loss.device == "cpu":  # to look at a number on the GPU is to wait for it
            line = self._checked_line(watch)
        if logged:
            self.recorder.line(line)
            for sentence in self.diagnosis.read(line):
                self._say(sentence)
        bar.update(self.step, self.seconds, line if logged else None)
        if self.step % self.sample_every == 0:
            self._take_samples()

    def _checkpoint_due(self) -> bool:
        minutes = (self.seconds - self._saved_at) / 60
        by_step = self.checkpoint_every is not None and self.step % self.checkpoint_every == 0
        return by_step or (self.checkpoint_minutes is not None and minutes >= self.checkpoint_minutes)

    def _complete(self) -> None:
        """The last step's line, samples, pictures, report; and last the checkpoint, which says that all is there."""
        if not self._is_logged(self.step):
            self.recorder.line(self._checked_line(None))
        if not self._is_sampled(self.step):
            self._take_samples()
        self.recorder.pictures()
        classes = self._classes() if self._writes else None  # of all workers it's worker 0 who says it
        report = in_words(self.diagnosis, f"Trained for {self.step} steps.", classes)
        self.recorder.report(report)
        self._say(report.rstrip())
        self._save()

    def _classes(self) -> str | None:
        try:
            return classes_read(self.gan, self.data)
        except TinyganError as error:  # no reason to lose the training
            return f"The samples can't be read: {error}"

    def _checked_line(self, watch: Watch | None) -> dict[str, float]:
        """The log's line for this step. Raises NonFiniteError where a number in it is NaN or infinite."""
        line = dict(zip(("step", "d_loss", "g_loss"), (self.step, *map(float, self._losses)), strict=True))
        for name in ("value", "penalty"):
            if (number := getattr(self.gan, name)) is not None:
                line[name] = float(number)
        own = watch.line() if watch else {}
        if self.workers.size > 1:  # they are of this worker's rows, so they must not stop it alone
            own = {name: number for name, number in own.items() if math.isfinite(number)}
        line |= own
        if broken := [name for name, number in line.items() if not math.isfinite(number)]:
            besides = "".join(f", {name} {line[name]}" for name in broken if not name.endswith("loss"))
            raise NonFiniteError(
                f"step {self.step}: D's loss is {line['d_loss']}, G's {line['g_loss']}{besides}. Training stopped; the "
                f"samples and the model of step {self._sampled_at} are kept. {self.diagnosis.after_nan()}"
            )
        return line

    def _take_samples(self) -> None:
        """The fixed latents' images, and the model that made them; nothing is kept of a model that holds a NaN."""
        state = self._sound_state()
        self._sampled_at = self.step
        if not self._writes:
            return
        players = {name: array for name, array in state.items() if name.startswith(tuple(f"{p}." for p in PLAYERS))}
        counts = {"g_steps": self.gan.g_steps, "d_steps": self.gan.d_steps}
        images = self.gan.generate(self.latents, self.labels)
        self.recorder.samples(self.step, images, players, counts, self.columns)

    def _save(self) -> None:
        """A checkpoint."""
        self.recorder.checkpoint(self.step, self.seconds, self._sound_state())
        self._saved_at = self.seconds

    def _sound_state(self) -> runs.Arrays:
        """The GAN's state. Raises NonFiniteError, for all workers, where it holds a NaN."""
        state, problem = self.gan.state_dict(), None
        try:
            runs.finite(state, self.step)
        except NonFiniteError as error:
            problem = error
        if self.workers.sum(np.array([problem is not None], np.float64))[0]:
            raise problem or NonFiniteError(f"step {self.step}: another worker's state holds a NaN or an infinity")
        return state

    def _load(self, folder: Path) -> None:
        """Take up the run in `folder`: from its newest checkpoint, or, where it was stopped before the first, anew."""
        found = runs.newest_checkpoint(folder, self._say)
        arrays, header = found or ({}, {})
        then = header["config"] if found else runs.read_config(folder)
        runs.check_same(then, self._recipe(), folder)
        own = self.recorder.config  # in whose order config.json is written
        own |= {key: value for key, value in then.items() if own.get(key) != value and key not in self._saving()}
        if changes := runs.changes(then.get("versions"), self._versions()):
            self._say(f"{folder} goes on, but maybe not to the same bytes: {changes}.")
            own["resumed"] = {"step": header.get("step", 0), "versions": self._versions()}
        if not found:
            return
        try:
            self.gan.load_state_dict(arrays)
        except ShapeError as error:
            raise DataError(
                f"{folder}: its checkpoint of step {header['step']} is of another network: {error}"
            ) from error
        self.step, self.seconds = header["step"], float(header["seconds"])
        self._sampled_at, self._saved_at, self.recorder.saved = self.step, self.seconds, self.step
        self.recorder.log = runs.read_log(folder, self._is_logged)
        if missing := self.step // self.log_every - len(self.recorder.log):
            self._say(f"{folder / 'log.jsonl'} lacks {missing} of its lines: it was damaged, and goes on without them.")

    def _check_workers(self) -> None:
        """Raise DataError or SettingError where another worker would train something else."""
        if self.workers.size == 1:
            return
        recipe = self._recipe()
        if others := self.workers.differing(recipe.pop("data")["sha256"]):
            raise DataError(f"{self.data.name}: the data of workers {_list(others)} differ from worker 0's, in number "
                            "or values: give each worker the same files")  # fmt: skip
        if others := self.workers.differing(_digest(recipe)):
            raise SettingError(f"workers {_list(others)} were given another run than worker 0: the GAN's layers, the "
                               "optimizers, and the Trainer's numbers have to be the same for all")  # fmt: skip

    def _take_up_worker_0(self) -> None:
        """The state that worker 0 has loaded, or built."""
        begun = {"step": self.step, "seconds": self.seconds, "sampled": self._sampled_at, "begun": self._begun}
        begun = self.workers.broadcast_json(begun)
        self.step, self.seconds, self._sampled_at = begun["step"], begun["seconds"], begun["sampled"]
        self._begun, self._saved_at = begun["begun"], self.seconds
        self.gan.load_state_dict(self.workers.broadcast_state(self.gan.state_dict()))

    def _versions(self) -> dict[str, str]:
        if self.workers.size == 1:
            return runs.versions()
        own = "" if self.gan.synchronised else ", each with batch norm of its own"
        return runs.versions() | {"workers": f"{self.workers.size}{own}"}

    def _recipe(self) -> dict[str, Any]:
        """What makes this run this run: with the versions, all that its bytes depend on."""
        gan = self.gan
        fingerprint = self.data.labelled_fingerprint if gan.classes else self.data.fingerprint
        clustered = {"clustered": True} if gan.classes and self.data.clustered else {}
        return {
            "batch_size": self.batch_size,
            "d_steps": self.d_steps,
            "log_every": self.log_every,
            "sample_every": self.sample_every,
            "decay": self.decay,
            "seed": gan.seed,
            "latent_size": gan.latent_size,
            "average": gan.average,
            "objective": gan.objective.describe(),
            "classes": gan.classes,
            "image_shape": list(self.data.image_shape),
            "data": {"name": self.data.name, "source": self.data.source, "sha256": fingerprint} | clustered,
            "g_optimizer": gan.g_optimizer.describe(),
            "d_optimizer": gan.d_optimizer.describe(),
            "generator": gan.generator.describe(),
            "discriminator": gan.discriminator.describe(),
        }

    def _saving(self) -> dict[str, Any]:
        return {"checkpoint_every": self.checkpoint_every, "checkpoint_minutes": self.checkpoint_minutes}


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _list(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers))
