"""Where the time of a step goes: by layer, forward and backward.

Layers, Ops, optimizers and the game's own parts are wrapped while a profile is taken, and put back afterwards: a
training that is not profiled pays nothing. An Op remembers the layer in whose forward it was made, so the time of its
backward is that layer's too, in derivatives of derivatives as well.
"""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, NamedTuple

import numpy as np

from . import autograd, backend
from .autograd import Op
from .data import Dataset
from .errors import SettingError
from .gan import GAN
from .losses import Objective
from .nn import Module, Sequential
from .optim import Optimizer

STEPS, WARM_UP = 20, 3
FORWARD, BACKWARD, NEITHER = "forward", "backward", ""
BATCH, LATENTS, LOSS = "a batch of images", "latents", "the loss"
OPTIMIZER, AVERAGE = "the optimizers' steps", "moving average of G"
TAPE, REST = "the tape: gradients added up and handed on", "all else"
BAR = 16  # characters of the longest bar

_one_at_a_time = threading.Lock()


class Place(NamedTuple):
    """What time is spent on: a layer or another part of the step, which direction, and which player's step."""

    part: str = REST
    direction: str = NEITHER
    step: str = ""


class Profile:
    """Seconds by Place, lap by lap. `print(profile)` shows the table: means of the faster half of all laps.

    The faster half, since what else goes on in a machine only ever makes a lap slower.
    """

    def __init__(self, parts: list[str]):
        self.parts = parts  # those that come first in the table, in this order
        self.laps: list[dict[Place, float]] = []
        self._place, self._since = Place(), 0.0
        self._seconds: dict[Place, float] = defaultdict(float)
        self._thread = threading.get_ident()
        self._probe = backend.to_device(np.zeros(1, np.float32), backend.device())

    def lap(self) -> None:
        """End a lap, such as a step, and begin the next."""
        self._tick()
        self.laps.append(dict(self._seconds))
        self._seconds.clear()

    @contextmanager
    def at(self, **place: str) -> Iterator[None]:
        """Count the time of this block, but for that of such blocks inside, for another part, direction or step."""
        self._tick()
        before, self._place = self._place, self._place._replace(**place)
        try:
            yield
        finally:
            self._tick()
            self._place = before

    def _begin(self) -> None:
        self._tick()
        self._seconds.clear()

    def _tick(self) -> None:
        backend.to_host(self._probe)  # on a GPU this waits for all that was begun; on the CPU it does nothing
        now = time.perf_counter()
        self._seconds[self._place] += now - self._since
        self._since = now

    @property
    def milliseconds(self) -> dict[Place, float]:
        """The mean of the faster half of all laps."""
        laps = sorted(self.laps, key=lambda lap: sum(lap.values()))[: -(-len(self.laps) // 2)]
        places = dict.fromkeys(place for lap in laps for place in lap)
        return {place: 1e3 * sum(lap.get(place, 0.0) for lap in laps) / len(laps) for place in places}

    def of(self, **place: str) -> float:
        """The milliseconds that a lap spends at such places: of(part="the loss"), of(direction="backward"), of()."""
        wanted = place.items()
        return sum(ms for p, ms in self.milliseconds.items() if wanted <= p._asdict().items())

    def __str__(self) -> str:
        found = dict.fromkeys(place.part for place in self.milliseconds)
        last = (LOSS, TAPE, OPTIMIZER, AVERAGE, REST)
        order = dict.fromkeys([*self.parts, *(part for part in found if part not in last), *last])
        rows = {part: self._row(part=part) for part in order if self.of(part=part)}
        whole, longest = self._row(), max((row[2] for row in rows.values()), default=0.0)
        wide = max(map(len, [*rows, "layer"])) + 2
        lines = [f"{'':<{wide}}{FORWARD:>9}{BACKWARD:>10}{'ms':>9}{'share':>9}", "─" * (wide + 37)]
        for name, (forward, backward, both) in {**rows, "together": whole}.items():
            if name == "together":
                lines.append(lines[1])
            cells = f"{_number(forward):>9}{_number(backward):>10}{both:>9.2f}{100 * both / (whole[2] or 1):>7.1f} %"
            bar = "█" * round(BAR * both / (longest or 1)) if name in rows else ""
            lines.append(f"{name:<{wide}}{cells}  {bar}".rstrip())
        steps = dict.fromkeys(p.step for p in self.milliseconds if p.step)
        if steps:
            lines.append(", ".join(f"{step} {self.of(step=step):.2f} ms" for step in steps))
        return "\n".join(lines)

    def _row(self, **place: str) -> tuple[float, float, float]:
        return self.of(direction=FORWARD, **place), self.of(direction=BACKWARD, **place), self.of(**place)


def profile_training(gan: GAN, data: Dataset, batch_size: int, steps: int = STEPS, warm_up: int = WARM_UP) -> Profile:
    """Train for some steps of D and G each, and say where the time of the last `steps` went. The GAN is trained by it.

    print(profile_training(gan, data, 64)) shows it. Raises DataError where a batch is larger than the data,
    SettingError for numbers out of range.
    """
    if steps < 1 or warm_up < 0:
        raise SettingError(f"profile_training(steps={steps}, warm_up={warm_up}): at least 1 and 0 are expected")
    batches = data.labelled_batches(batch_size, gan.seed)
    if gan.classes is None:
        batches = ((images, None) for images, _ in batches)
    for _ in range(warm_up):
        gan.discriminator_step(*next(batches))
        gan.generator_step(batch_size)
    with profile(G=gan.generator, D=gan.discriminator) as result:
        for _ in range(steps):
            with result.at(part=BATCH):
                real, labels = next(batches)
            gan.discriminator_step(real, labels)
            gan.generator_step(batch_size)
            result.lap()
    return result


@contextmanager
def profile(**networks: Module) -> Iterator[Profile]:
    """Measure what this block, in this thread, does with the networks: `with profile(D=network) as p: …; print(p)`.

    Call p.lap() after each step; without it the block is one lap. Raises SettingError within another such block.
    """
    if not _one_at_a_time.acquire(blocking=False):
        raise SettingError("profile: one is being taken already; only one can be at a time")
    try:
        names = {id(layer): name for key, network in networks.items() for layer, name in _numbered(key, network)}
        result = Profile(list(names.values()))
        with _wrapped(_wrappers(result, names), result):
            result._begin()
            yield result
            if not result.laps:
                result.lap()
    finally:
        _one_at_a_time.release()


def _numbered(key: str, network: Module) -> Iterator[tuple[Module, str]]:
    layers = [module for module in network.modules() if not isinstance(module, Sequential)]
    return ((layer, f"{key} {i}  {layer.describe()}") for i, layer in enumerate(layers))


Wrapper = tuple[Any, str, Callable[..., dict[str, str]]]  # of owner.name: where a call with these arguments belongs


def _wrappers(result: Profile, names: dict[int, str]) -> list[Wrapper]:
    def of_layer(module: Module, *rest: Any) -> dict[str, str]:
        if isinstance(module, Sequential):
            return {}  # its own part, a loop, is hardly any
        return {"part": names.get(id(module)) or module.describe(), "direction": FORWARD}

    def of_op(op: Op, *rest: Any) -> dict[str, str]:
        op.__dict__["profiled_part"] = result._place.part  # it goes when the graph is freed
        return {}

    def of_gradients(op: Op, *rest: Any) -> dict[str, str]:
        return {"part": op.__dict__.get("profiled_part", REST), "direction": BACKWARD}

    def always(**place: str) -> Callable[..., dict[str, str]]:
        return lambda *arguments: place

    return [
        (Module, "__call__", of_layer),
        (Op, "__call__", of_op),
        (autograd, "_run_backward", always(part=TAPE, direction=BACKWARD)),
        (autograd, "_parts", of_gradients),
        (autograd, "_input_gradient", of_gradients),
        (Objective, "discriminator", always(part=LOSS, direction=FORWARD)),
        (Objective, "generator", always(part=LOSS, direction=FORWARD)),
        (Optimizer, "step", always(part=OPTIMIZER)),
        (GAN, "latents", always(part=LATENTS)),
        (GAN, "_update_average", always(part=AVERAGE)),
        (GAN, "discriminator_step", always(step="D's step")),
        (GAN, "generator_step", always(step="G's step")),
    ]


@contextmanager
def _wrapped(wrappers: list[Wrapper], result: Profile) -> Iterator[None]:
    """Within this block these functions, called in this thread, tell the profile where they belong."""

    def timed(original: Callable[..., Any], place: Callable[..., dict[str, str]]) -> Callable[..., Any]:
        @wraps(original)
        def call(*args: Any, **kwargs: Any) -> Any:
            if threading.get_ident() != result._thread:
                return original(*args, **kwargs)
            with result.at(**place(*args)):
                return original(*args, **kwargs)

        return call

    originals = [(owner, name, getattr(owner, name)) for owner, name, _ in wrappers]
    try:
        for (owner, name, original), (_, _, place) in zip(originals, wrappers, strict=True):
            setattr(owner, name, timed(original, place))
        yield
    finally:
        for owner, name, original in originals:
            setattr(owner, name, original)


def _number(milliseconds: float) -> str:
    return f"{milliseconds:.2f}" if milliseconds else ""
