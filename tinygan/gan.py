"""The game: a generator, a discriminator, what each minimises, and one step of each with the other left alone."""

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from . import backend, losses
from .autograd import Tensor, no_grad, wrap
from .backend import Array
from .errors import SettingError, ShapeError
from .kernels import kernels_for
from .losses import Objective
from .nn import Module, Sequential, Sigmoid, frozen
from .nn.batches import one_by_one
from .ops import reshape, stack
from .ops.normalization import ALONE
from .optim import Optimizer, step_count
from .reduction import summed_backward
from .rows import Rows, generator_of_rows
from .threads import parallel_for
from .workers import Workers

SAMPLE_BATCH = 256
COLUMNS = 16  # of a grid, at most: of so many classes samples show each in a column
STREAM_ROWS = 1024  # so a worker draws few latents that aren't its own, however many workers there are
PLAYERS = ("generator", "discriminator", "averaged")
PARTS = (*PLAYERS, "g_optimizer", "d_optimizer")
COUNTS = ("g_steps", "d_steps")
Look = Callable[..., None]  # look(optimizer, **seen), in D's step: real, fake, labels, real_logits, fake_logits


class GAN:
    """G against D (Goodfellow et al. 2014).

    generator: latents (N, latent_size) -> images (N, H, W, C) in [−1, 1].   discriminator: images -> logits (N, 1).
    objective: one of losses.OBJECTIVES, or its name.   g_optimizer, d_optimizer: over the parameters of each.
    average: after each of G's steps, averaged ← average · averaged + (1 − average) · G, weights and batch-norm
    statistics alike; `sample` uses that copy, which wanders less than G itself.
    classes: for players that take labels (see Module.takes_labels), how many there are. In D's step fakes are of the
    real images' classes, in G's step of classes drawn evenly.
    seed: latents and dropout of step t are drawn from streams derived from (seed, t): the state of a run is both
    players, both optimizers and the two step counts.
    Raises SettingError where a part doesn't fit, such as a Sigmoid at the end of the discriminator.
    """

    def __init__(
        self,
        generator: Module,
        discriminator: Module,
        objective: Objective | str,
        g_optimizer: Optimizer,
        d_optimizer: Optimizer,
        latent_size: int = 64,
        seed: int = 0,
        average: float = 0.99,
        classes: int | None = None,
    ):
        if isinstance(objective, str):
            if objective not in losses.OBJECTIVES:
                raise SettingError(f"objective {objective!r}; one of {', '.join(losses.OBJECTIVES)} is expected")
            objective = losses.OBJECTIVES[objective]
        if not 0 <= average < 1:
            raise SettingError(f"average={average}; a number from 0 up to, but not including, 1 is expected")
        if {id(p) for p in generator.parameters()} & {id(p) for p in discriminator.parameters()}:
            raise SettingError("generator and discriminator share a parameter; each player needs its own")
        if (classes is not None) != (generator.takes_labels or discriminator.takes_labels):
            raise SettingError(
                f"classes={classes}, but generator and discriminator take {'no labels' if classes else 'labels'}; "
                "a number of classes is expected where a player takes labels, and only there"
            )
        _check_owner("g_optimizer", g_optimizer, "generator", generator)
        _check_owner("d_optimizer", d_optimizer, "discriminator", discriminator)
        if isinstance(discriminator, Sequential) and isinstance(discriminator.layers[-1], Sigmoid):
            raise SettingError(
                "the discriminator ends in a Sigmoid, but objectives take logits and apply the sigmoid themselves; "
                "take that layer away"
            )
        self.generator, self.discriminator, self.objective = generator, discriminator, objective
        self.g_optimizer, self.d_optimizer = g_optimizer, d_optimizer
        self.latent_size, self.seed, self.average, self.classes = latent_size, seed, average, classes
        self.g_steps = self.d_steps = 0
        self.averaged = copy.deepcopy(generator).eval()
        self._pairs = list(zip(_tensors(self.averaged), _tensors(generator), strict=True))
        self.value: Tensor | None = None  # V(D, G) of D's last step, where it has a meaning
        self.penalty: Tensor | None = None  # of D's last step, where the objective has one
        self.look: Look | None = None  # is shown each step, before the gradients move the player: of a worker its rows
        self.workers, self.synchronised = ALONE, True

    def join(self, workers: Workers, synchronised: bool = True) -> None:
        """Train together with these workers from now on: all start from worker 0's state and seed, and stay equal.

        Each of them calls the same steps with the same batch, whole, and works on its rows of it. The gradients, summed
        over the workers, and the losses are the whole batch's, and so the same as one worker's but for rounding.
        What mixes examples in another way than batch normalisation (Pack, MinibatchStdDev, DRAGAN's deviation) mixes
        those of a worker.
        synchronised: whether batch normalisation takes its statistics of the whole batch, too, or of the worker's rows,
        which sends less; then the gradients aren't quite one worker's, and G's running statistics are worker 0's.
        """
        self.workers, self.synchronised = workers, synchronised
        self.seed = workers.broadcast_json(self.seed)
        self.load_state_dict(workers.broadcast_state(self.state_dict()))
        for module in (*self.generator.modules(), *self.discriminator.modules()):
            if hasattr(module, "workers"):
                module.workers = workers if synchronised else ALONE

    def discriminator_step(self, real: Any, labels: Any = None, total: int | None = None) -> Tensor:
        """One step of D on a batch of real images (N, H, W, C) and as many fake ones; gives D's loss before it.

        labels: what the real images show, (N,), for players that take labels.   total: where there are other workers,
        the size of the batch of which `real` and `labels` are this worker's rows; None: they are the whole batch.
        G stays as it was to the byte: it runs with batch statistics, but records and writes nothing.
        """
        rows, x, labels = self._rows_of(real, labels, total)
        self._reseed(0, self.d_steps, rows)
        with no_grad(), frozen():
            fake = call(self.generator, self.latents(rows.total, "latents for D", self.d_steps), labels)
        if fake.shape[1:] != x.shape[1:]:
            raise ShapeError(f"the generator makes images of shape {fake.shape[1:]}, the data have {x.shape[1:]}")
        real_logits, fake_logits = self._judge(x, fake, labels)
        loss = self.objective.discriminator(real_logits, fake_logits)
        penalty = self._penalty(x, fake, labels, rows)
        loss = loss if penalty is None else loss + penalty
        value = losses.value(real_logits.detach(), fake_logits.detach()) if self.objective.log_odds else None
        seen = {"real": x, "fake": fake, "labels": labels, "real_logits": real_logits, "fake_logits": fake_logits}
        total_loss, (self.value, self.penalty) = self._descend(loss, self.d_optimizer, rows, (value, penalty), **seen)
        self.objective.constrain(self.discriminator)
        self.d_steps += 1
        return total_loss

    def generator_step(self, n: int) -> Tensor:
        """One step of G with n latents; gives G's loss before it.

        D stays as it was to the byte: gradients flow through it, but none is computed for its weights.
        """
        rows = self.workers.rows(n)
        self._reseed(1, self.g_steps, rows)
        labels = self.labels(n, "labels for G", self.g_steps)
        fake = call(self.generator, self.latents(n, "latents for G", self.g_steps), labels)
        with frozen():
            logits = call(self.discriminator, fake, labels)
        loss = self.objective.generator(logits)
        total_loss, _ = self._descend(loss, self.g_optimizer, rows)
        self._update_average()
        self.g_steps += 1
        return total_loss

    def sample(self, n: int, seed: int = 0, labels: Any = None) -> np.ndarray[Any, Any]:
        """n images (n, H, W, C) float32 in [−1, 1] from the averaged generator; the first of more are the same.

        labels: of what classes, (n,), if it takes labels; unless given, each class in turn (see `in_turn`).
        """
        if n < 0:
            raise SettingError(f"sample: n={n}; a whole number of at least 0 is expected")
        if labels is None and self.classes:
            labels = in_turn(n, self.classes, seed)
        return self.generate(sample_latents(n, self.latent_size, seed), labels)

    def generate(self, latents: np.ndarray[Any, Any], labels: Any = None) -> np.ndarray[Any, Any]:
        """The averaged generator's images (N, H, W, C) for latents (N, latent_size), in evaluation mode."""
        return generate(self.averaged, latents, labels)

    def latents(self, n: int, stream: str, *key: int) -> Tensor:
        """n draws from N(0, I), (n, latent_size), of a stream derived from this GAN's seed; a worker's rows."""
        draws = self._draw(n, lambda g, count: g.standard_normal((count, self.latent_size)), stream, *key)
        return self._on_device(draws)

    def labels(self, n: int, stream: str, *key: int) -> np.ndarray[Any, Any] | None:
        """n classes drawn evenly, (n,), of a stream derived from this GAN's seed; of those, a worker's rows.

        None where there are no classes.
        """
        if not self.classes:
            return None
        return self._draw(n, lambda g, count: g.integers(0, self.classes, count), stream, *key)

    def state_dict(self) -> dict[str, np.ndarray[Any, Any]]:
        """Copies of all that the rest of a training depends on, besides the seed: `generator.layers.0.weight`, ….

        Both players, the averaged generator, both optimizers and both step counts; random numbers follow from those.
        """
        parts = {f"{part}.{name}": a for part in PARTS for name, a in getattr(self, part).state_dict().items()}
        return parts | {name: np.array(getattr(self, name), np.int64) for name in COUNTS}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state_dict. Raises ShapeError, naming the part, where it is of another GAN."""
        parts: dict[str, dict[str, Any]] = {part: {} for part in PARTS}
        for name in state.keys() - set(COUNTS):
            part, _, inner = name.partition(".")
            if part not in parts:
                raise ShapeError(f"load_state_dict: {name!r} is of no part of a GAN: {', '.join(PARTS)}")
            parts[part][inner] = state[name]
        counts = {name: step_count(name, state.get(name)) for name in COUNTS}
        for part, own in parts.items():
            try:
                getattr(self, part).load_state_dict(own)
            except ShapeError as error:
                raise ShapeError(f"{part}: {error}") from error
        for name, count in counts.items():
            setattr(self, name, count)

    def _on_device(self, images: Any) -> Tensor:
        """As a Tensor where the players are, in their dtype."""
        return place_like(self.generator, images)

    def _rows_of(self, real: Any, labels: Any, total: int | None) -> tuple[Rows, Tensor, Any]:
        """Which rows of the batch this worker takes, these images on the device, and their labels."""
        if (labels is None) != (self.classes is None):
            have = "no labels were given" if labels is None else "labels were given"
            raise SettingError(f"discriminator_step: {have}, but this GAN has classes={self.classes}")
        rows = self.workers.rows(total or len(real))
        if total is None and self.workers.size > 1:
            real, labels = real[rows.slice], None if labels is None else labels[rows.slice]
        return rows, self._on_device(real), labels

    def _judge(self, real: Tensor, fake: Tensor, labels: Any) -> tuple[Tensor, Tensor]:
        """D's logits: at once, which is faster, or apart where D might mix examples, as batch norm's statistics do."""
        if not one_by_one(self.discriminator):
            return call(self.discriminator, real, labels), call(self.discriminator, fake, labels)
        # In pairs, so that a worker's rows of random numbers are those of its rows of images.
        pairs = reshape(stack([real, fake], axis=1), (2 * len(real), *real.shape[1:]))
        logits = call(self.discriminator, pairs, None if labels is None else np.repeat(labels, 2))
        logits = reshape(logits, (len(real), 2, *logits.shape[1:]))
        return logits[:, 0], logits[:, 1]

    def _penalty(self, real: Tensor, fake: Tensor, labels: Any, rows: Rows) -> Tensor | None:
        rng = generator_of_rows(backend.generator(self.seed, "penalty", self.d_steps), rows)
        with frozen():  # it looks at D once more, and D's vectors and statistics have seen these images
            return self.objective.penalty(Labelled(self.discriminator, labels), real, fake, rng)

    def _draw(
        self, n: int, draw: Callable[[np.random.Generator, int], Any], stream: str, *key: int
    ) -> np.ndarray[Any, Any]:
        """This worker's rows of n, each STREAM_ROWS of which are drawn from a stream of their own.

        The first of these streams has no number, as it is nearly always the only one.
        """
        rows = self.workers.rows(n)
        numbers = range(rows.start // STREAM_ROWS, max(1, -(-rows.stop // STREAM_ROWS)))
        streams = [backend.generator(self.seed, stream, *key, *([i] if i else [])) for i in numbers]
        parts = [draw(g, min(STREAM_ROWS, n - i * STREAM_ROWS)) for i, g in zip(numbers, streams, strict=True)]
        first = numbers.start * STREAM_ROWS
        return np.concatenate(parts)[rows.start - first : rows.stop - first]

    def _reseed(self, moving: int, step: int, rows: Rows) -> None:
        """Give the dropout of both players streams of their own for this step of D (0) or G (1)."""
        for i, module in enumerate((self.discriminator, self.generator)):
            module.reseed(self.seed, moving, step, i, rows=rows)

    def _descend(
        self, loss: Tensor, optimizer: Optimizer, rows: Rows, numbers: Sequence[Tensor | None] = (), **seen: Any
    ) -> tuple[Tensor, list[Tensor | None]]:
        """One step down the gradient, after `look` was shown it, with what the player saw.

        Gives the loss and these numbers, those that there are, of the whole batch.
        """
        optimizer.zero_grad()
        known = [number for number in numbers if number is not None]
        total, *rest = summed_backward(loss, optimizer.params, self.workers, rows.share, [loss, *known])
        if self.look is not None:
            self.look(optimizer, **seen)
        optimizer.step()
        optimizer.zero_grad()
        whole = iter(rest)
        return total, [None if number is None else next(whole) for number in numbers]

    def _update_average(self) -> None:
        for averaged, tensor in self._pairs:
            array = averaged.writable()
            kernels_for(array).average_step(array, tensor._array, self.average)


def sample_latents(n: int, latent_size: int, seed: int) -> np.ndarray[Any, Any]:
    """The latents of the samples that a seed stands for: N(0, I), (n, latent_size) float32."""
    return backend.generator(seed, "samples").standard_normal((n, latent_size), np.float32)


def class_columns(classes: int | None) -> int | None:
    """How many columns a grid of samples has, one a class; None where there are no classes, or too many."""
    return classes if classes and classes <= COLUMNS else None


def in_turn(n: int, classes: int, seed: int) -> np.ndarray[Any, Any]:
    """What a seed's n samples show, (n,): each class in turn; of many classes, each seed begins with another one."""
    first = 0 if class_columns(classes) else 64 * seed
    return (first + np.arange(n)) % classes


class Labelled(Module):
    """A module with its labels filled in, so that it is a function of x alone."""

    def __init__(self, module: Module, labels: Any):
        self.module, self.labels = module, labels

    def forward(self, x: Tensor) -> Tensor:
        return call(self.module, x, self.labels)


def call(module: Module, x: Tensor, labels: Any) -> Tensor:
    """module(x), or module(x, labels) where it takes them."""
    return module(x, labels) if module.takes_labels else module(x)


def generate(generator: Module, latents: Any, labels: Any = None) -> np.ndarray[Any, Any]:
    """The images (N, H, W, C) of a generator in evaluation mode for latents (N, latent_size).

    labels: (N,), where it takes them. Batches have one size, the last is filled up: so an image is the same to the
    byte, however many are asked for.
    """
    latents = np.asarray(latents)
    if generator.takes_labels and np.shape(labels) != latents.shape[:1]:
        raise ShapeError(f"{len(latents)} latents need as many labels; their shape is {np.shape(labels)}")
    starts = range(0, max(1, len(latents)), SAMPLE_BATCH)
    parts: list[Any] = [None] * len(starts)

    def draw(i: int) -> None:
        batch = slice(starts[i], starts[i] + SAMPLE_BATCH)
        z = place_like(generator, _filled_up(latents[batch]))
        y = _filled_up(np.asarray(labels)[batch]) if generator.takes_labels else None
        parts[i] = call(generator, z, y).numpy()[: len(latents[batch])]

    with no_grad():
        if generator.parameters()[0].device == "cpu":
            parallel_for(draw, len(starts))
        else:
            for i in range(len(starts)):
                draw(i)
    return np.concatenate(parts)


def _filled_up(batch: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    full = np.zeros((SAMPLE_BATCH, *batch.shape[1:]), batch.dtype)
    full[: len(batch)] = batch
    return full


def place_like(module: Module, array: Any) -> Tensor:
    """The array as a Tensor on the device and in the dtype of the module's parameters."""
    like = module.parameters()[0]
    values: Array = array._array if isinstance(array, Tensor) else np.asarray(array)
    return wrap(backend.to_device(values.astype(like.dtype, copy=False), like.device))


def _tensors(module: Module) -> list[Tensor]:
    return [*module.parameters(), *module.named_buffers().values()]


def _check_owner(name: str, optimizer: Optimizer, player: str, module: Module) -> None:
    if not isinstance(optimizer, Optimizer):
        raise SettingError(f"{name}={optimizer!r}: an optimizer such as Adam({player}.parameters()) is expected")
    own = {id(p) for p in module.parameters()}
    if any(id(p) not in own for p in optimizer.params):
        raise SettingError(f"{name} holds parameters that are not the {player}'s; pass {player}.parameters() to it")
