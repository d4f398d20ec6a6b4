"""Early warnings: what goes wrong in a game, told by the lines of its log, since when, and what to try.

All follows from the lines alone, in their order: so a run that was stopped and goes on comes to the same judgement.
"""

from collections import defaultdict
from dataclasses import dataclass
from statistics import median

from ..autograd import Tensor
from ..gan import GAN
from ..losses import Minimax, Wasserstein, WassersteinClipped, Weighted
from ..runs import Line
from .measuring import hidden_layers

RECENT, LONG = 10, 50  # lines of the log: their median says how things stand; what lasts for so many isn't the outset
WON, OPEN = 0.98, 0.95  # D's accuracy: always above the first it wins, below the last it no longer does
COLLAPSED, DIVERSE = 0.33, 0.5  # of the greatest diversity the run had
ALIKE, OUTSET = 0.05, 0.1  # diversity: fakes that are all the same; what a G may have that has hardly begun to learn
VANISHED, PRESENT = 0.01, 0.03  # of the greatest gradient of G
EXPLODED, TAME = 100, 10  # times what was usual
DEAD_LAYER, LOOKS = 0.5, 2  # the share of its units; looks in a row
SPECTRAL = "spectral normalisation in D (Dense and Conv with spectral_norm=True)"


class Numbers:
    """The log's numbers by name, in order, with their steps: `numbers["g_loss"]` is a list of (step, value)."""

    def __init__(self) -> None:
        self._series: dict[str, list[tuple[int, float]]] = defaultdict(list)
        self.peaks: dict[str, tuple[int, float]] = {}  # step and size of the greatest median of RECENT values so far

    def add(self, line: Line) -> None:
        for name, value in line.items():
            self._series[name].append((int(line["step"]), value))
            if recent := self.last(name):
                now = (int(line["step"]), median(recent))
                self.peaks[name] = max(self.peaks.get(name, now), now, key=lambda peak: peak[1])

    def __getitem__(self, name: str) -> list[tuple[int, float]]:
        return self._series[name]

    def last(self, name: str, count: int = RECENT, before: int = 0) -> list[float]:
        """The last so many values, those `before` at the end left out; empty where there are not so many."""
        series = self._series[name]
        end = len(series) - before
        return [value for _, value in series[end - count : end]] if end >= count else []


class Sign:
    """One way in which a game goes wrong. It begins, and may end, and begin again.

    `begins` and `ends` look at the numbers up to now and say in a clause what they see, or None; `advice`: what to try.
    """

    since = 0  # the step from which on it was so, once it has begun

    def __init__(self, gan: GAN, slower: str):
        self.gan, self.slower = gan, slower  # the second is the advice to learn more slowly, in numbers

    def begins(self, numbers: Numbers) -> str | None:
        raise NotImplementedError

    def ends(self, numbers: Numbers) -> str | None:
        raise NotImplementedError

    def advice(self) -> str:
        raise NotImplementedError


class DiscriminatorWins(Sign):
    """D has told real from fake nearly always, for long, and is sure of it.

    A Wasserstein critic may: its slope still leads G. And a D that ranks rightly, but hardly slopes, leaves G free.
    """

    def __init__(self, gan: GAN, slower: str):
        super().__init__(gan, slower)
        guesses = [Tensor([0.0]), Tensor([0.5])]  # with least squares a D that can't tell says ½
        self.undecided = min(float(gan.objective.discriminator(guess, guess)) for guess in guesses)

    def begins(self, numbers: Numbers) -> str | None:
        recent = numbers.last("d_accuracy", LONG)
        if isinstance(self.gan.objective, Wasserstein) or not recent or min(recent) <= WON:
            return None
        loss = median(numbers.last("d_loss")) - median(numbers.last("penalty") or [0.0])
        if loss > self.undecided / 2:
            return None
        self.since = numbers["d_accuracy"][-LONG][0]
        steps = numbers["d_accuracy"][-1][0] - self.since
        return (
            f"D wins: for {steps} steps it has ranked the real image above the fake one in more than {WON:.0%} of all "
            f"pairs, and its loss is {loss:.2g}, where {self.undecided:.2g} is that of a D that can't tell. From a D "
            "that is never wrong G learns little"
        )

    def ends(self, numbers: Numbers) -> str | None:
        now = median(numbers.last("d_accuracy"))
        return f"D no longer wins: it ranks {now:.0%} of all pairs rightly" if now < OPEN else None

    def advice(self) -> str:
        return f"a penalty on D's slope (--objective r1), {SPECTRAL}, or {self.slower}"


class Collapse(Sign):
    """The fakes have become alike, measured by how unlike they once were."""

    def begins(self, numbers: Numbers) -> str | None:
        if not (recent := numbers.last("diversity")):
            return None
        self.since, now = numbers["diversity"][-1][0], median(recent)
        step, best = numbers.peaks["diversity"]
        begun = best > OUTSET or len(numbers["diversity"]) >= LONG
        if not begun or now >= max(COLLAPSED * best, ALIKE):
            return None
        return (
            f"the fakes collapse: they are {now:.0%} as far from each other as real images are, after {best:.0%} at "
            f"step {step}, so G draws nearly the same for different latents"
        )

    def ends(self, numbers: Numbers) -> str | None:
        now = median(numbers.last("diversity"))
        back = now > max(DIVERSE * numbers.peaks["diversity"][1], OUTSET)
        return f"the fakes are diverse again, {now:.0%} as far from each other as real images are" if back else None

    def advice(self) -> str:
        return f"{self.slower}, MinibatchStdDev or Pack in D, which then sees images side by side, or --objective r1"


class VanishingGradient(Sign):
    """What reaches G is a small part of what once did."""

    def begins(self, numbers: Numbers) -> str | None:
        if not (recent := numbers.last("g_gradient")):
            return None
        self.since, now = numbers["g_gradient"][-1][0], median(recent)
        step, best = numbers.peaks["g_gradient"]
        if now >= VANISHED * best and now > 0:
            return None
        then = f", after {best:.2g} at step {step}" if best else ""
        return f"G's gradient vanishes: its norm is {now:.2g}{then}"

    def ends(self, numbers: Numbers) -> str | None:
        now, best = median(numbers.last("g_gradient")), numbers.peaks["g_gradient"][1]
        return f"G's gradient is back: its norm is {now:.2g}" if now > PRESENT * best else None

    def advice(self) -> str:
        if type(self.gan.objective).generator_loss is Minimax.generator_loss:
            return (
                "--objective non-saturating, which has the same equilibrium: minimax saturates, as the gradient that "
                "it hands to G, −D(G(z)), is nearly 0 where D is sure of the fakes"
            )
        return f"{self.slower}, batch normalisation in G, or LeakyReLU in place of ReLU, tanh and sigmoid"


class ExplodingGradient(Sign):
    """One player's gradient is far above what was usual: suddenly, or by having grown since the run began."""

    def __init__(self, gan: GAN, slower: str, player: str):
        super().__init__(gan, slower)
        self.name, self.shown = f"{player}_gradient", f"{player.upper()}'s gradient"
        self.usual = 0.0

    def begins(self, numbers: Numbers) -> str | None:
        series = numbers[self.name]
        if len(series) < 2 * RECENT:
            return None
        self.since, latest = series[-1]
        early = median(value for _, value in series[:RECENT])
        before = median(value for _, value in series[-LONG - 1 : -1])
        for now, usual in ((latest, max(before, early)), (median(numbers.last(self.name)), early)):
            if now > EXPLODED * usual > 0:
                self.usual = usual
                return f"{self.shown} explodes: its norm is {now:.2g}, where {usual:.2g} was usual"
        return None

    def ends(self, numbers: Numbers) -> str | None:
        recent = numbers.last(self.name)
        tame = max(recent) < TAME * self.usual
        return f"{self.shown} is tame again: its norm is {median(recent):.2g}" if tame else None

    def advice(self) -> str:
        return f"{self.slower}, or {_bound_on_slope(self.gan)}"


class DeadLayer(Sign):
    """Most units of a hidden layer give the same output whatever they are shown."""

    def __init__(self, gan: GAN, slower: str, player: str):
        super().__init__(gan, slower)
        self.name, self.player = f"{player}_dead", player.upper()
        self.layers = hidden_layers(gan.generator if player == "g" else gan.discriminator)

    def begins(self, numbers: Numbers) -> str | None:
        recent = numbers.last(self.name, LOOKS)
        if not recent or min(recent) <= DEAD_LAYER:
            return None
        self.since = numbers[self.name][-LOOKS][0]
        name, layer = self.layers[int(numbers[f"{self.name}_layer"][-1][1])]
        return (
            f"a layer of {self.player} is dead: {recent[-1]:.0%} of the units of {name}, {layer.describe()}, give one "
            "and the same output for all images of a batch, so nothing is learnt through them"
        )

    def ends(self, numbers: Numbers) -> str | None:
        alive = numbers[self.name][-1][1] <= DEAD_LAYER
        return f"the dead layer of {self.player} is alive again" if alive else None

    def advice(self) -> str:
        return f"LeakyReLU in its place, {self.slower}, or a normalisation before it"


@dataclass
class Episode:
    """From which step to which (None: to the end) something was wrong, and what was seen when it began."""

    sign: Sign
    since: int
    seen: str
    until: int | None = None


class Diagnosis:
    """Reads the lines of a log, one after another, and warns.

    rate: the learning rate that was asked for; None: that of the player that has the higher one now.
    """

    def __init__(self, gan: GAN, rate: float | None = None):
        rate = max(gan.g_optimizer.lr, gan.d_optimizer.lr) if rate is None else rate
        slower = f"a smaller learning rate (--lr {rate / 3:.1g} in place of {rate:g})"
        self._gan, self._slower = gan, slower
        players = [kind(gan, slower, player) for kind in (ExplodingGradient, DeadLayer) for player in "dg"]
        self._signs = [kind(gan, slower) for kind in (DiscriminatorWins, Collapse, VanishingGradient)] + players
        self.numbers, self.episodes = Numbers(), list[Episode]()

    def read(self, line: Line) -> list[str]:
        """Take a line in; gives what there is to say: what begins, the first time with what to try, and what ends."""
        self.numbers.add(line)
        step, said = int(line["step"]), []
        present = {episode.sign: episode for episode in self.episodes if episode.until is None}
        for sign in self._signs:
            if episode := present.get(sign):
                if sentence := sign.ends(self.numbers):
                    episode.until = step
                    said.append(f"step {step}: {sentence}.")
            elif sentence := sign.begins(self.numbers):
                known = any(episode.sign is sign for episode in self.episodes)
                said.append(f"step {step}: {sentence}." + ("" if known else f" Try {sign.advice()}."))
                self.episodes.append(Episode(sign, sign.since, sentence))
        return said

    def after_nan(self) -> str:
        """What to try after a NaN or an infinity, and what was wrong before it."""
        before = "".join(f" Since step {e.since} {e.seen}." for e in self.episodes if e.until is None)
        return (
            f"Try {self._slower}, or {_bound_on_slope(self._gan)}; in Python, tinygan.debug() finds where "
            f"the first NaN arose.{before}"
        )


def _bound_on_slope(gan: GAN) -> str:
    """What keeps D's slope from growing; another penalty where the objective is without one."""
    if isinstance(gan.objective, Weighted | WassersteinClipped):
        return SPECTRAL
    return f"--objective {'wgan-gp' if isinstance(gan.objective, Wasserstein) else 'r1'}, which bounds D's slope"
