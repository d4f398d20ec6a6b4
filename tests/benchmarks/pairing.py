"""Two sides, tinygan and PyTorch, in processes of their own that take turns; what the benchmarks here have in common.

A round is a turn of each, the first one changing from round to round. Rounds in which other processes were busy don't
count, as long as there are quiet ones. Between turns a side must be at rest: the processor time that it uses while the
other one runs is measured, and reported if it is any. PyTorch starts as some contestants, such as its two memory
layouts with its two fast kinds of Adam, with real and fake images in two passes of D or, as tinygan has them, in one.
The one that has shown the fastest turn after a few rounds is compared.
"""

import argparse
import contextlib
import importlib.util
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT))  # this checkout, whatever is installed

IMAGES = 4096  # so many of the data set are used; more would only add the same megabytes to both sides
QUIET = 0.15  # cores that other processes may keep busy in a round that counts
ENOUGH = 5  # quiet rounds that are enough for a median
RESTLESS = 0.02  # of a core: more than this, used by a side that should be at rest, is reported


@dataclass(frozen=True)
class Config:
    """What is timed, and how many of it make a turn (about half a second).

    task: "gan", a step of D and one of G; "critic", a WGAN-GP critic's step; "sampling", 10,000 images; "ops", a graph
    of 1,000 tiny operations, forward and backward.   size: of the images, N×N.   bar, stretch: ratios aimed at.
    """

    model: str
    batch: int
    steps: int
    bar: float | None = None
    stretch: float | None = None
    task: str = "gan"
    size: int = 28

    @property
    def what(self) -> str:
        return {
            "gan": self.model,
            "critic": f"{self.model}, WGAN-GP critic",
            "sampling": f"{self.model}, 10,000 samples",
            "ops": "1,000 tiny operations",
        }[self.task] + (f", {self.size}×{self.size}" if self.size != 28 else "")

    def contestants(self) -> list[dict[str, Any]]:
        """The settings with which PyTorch may be fastest."""
        layouts = ["any layout"] if self.model == "mlp" or self.task == "ops" else ["NCHW", "channels_last"]
        if self.task == "ops":
            return [{"layout": layouts[0]}]
        if self.task == "sampling":
            return [{"layout": layout, "chunk": chunk} for layout in layouts for chunk in (64, 250, 1000)]
        kinds = [("foreach", 2), ("fused", 2), ("fused", 1)]
        return [{"layout": layout, "adam": adam, "passes": passes} for layout in layouts for adam, passes in kinds]


class Worker:
    """One side in a process of its own, which does nothing until it is asked (see worker.py)."""

    def __init__(self, side: str, settings: dict[str, Any]):
        self.side, self.settings = side, settings
        self.seconds = dict.fromkeys(("work", "work_cpu", "rest", "rest_cpu"), 0.0)
        self.numbers: dict[str, float] = {}  # what the latest turn's steps gave, such as losses: their means
        self.others = 0.0  # cores that other processes kept busy in the latest turn
        env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
        if side == "torch":
            env["OMP_NUM_THREADS"] = str(settings["threads"])
        command = [sys.executable, str(HERE / "worker.py"), side, json.dumps(settings)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)
        self.start = self._answer()

    @property
    def variant(self) -> str:
        settings = self.settings if self.side == "torch" else {}
        marks = {"layout": "{}", "adam": "{} Adam", "passes": "passes of D: {}", "chunk": "{} images at a time"}
        return ", ".join(mark.format(settings[key]) for key, mark in marks.items() if key in settings)

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"the {self.side} process ended with status {self._process.wait()}; its error is above")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def turn(self, warm: int, steps: int) -> list[float]:
        """The milliseconds of each of so many steps, after some untimed ones."""
        answer = self.ask("steps", warm=warm, count=steps)
        self.numbers, self.others = answer["numbers"], answer["others"]
        if not all(map(math.isfinite, self.numbers.values())):
            raise SystemExit(f"{self.side} {self.variant}: not finite: {self.numbers}")
        for key in self.seconds:
            self.seconds[key] += answer[key]
        milliseconds: list[float] = answer["milliseconds"]
        return milliseconds

    def cores(self, doing: str) -> float:
        """How many cores it kept busy while it was at "work" or at "rest"."""
        return self.seconds[f"{doing}_cpu"] / max(1e-9, self.seconds[doing])

    def close(self) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait()


@dataclass(frozen=True)
class Round:
    """A turn of each side: the milliseconds of its steps; and how many cores other processes kept busy, at the most."""

    tinygan: list[float]
    torch: list[float]
    others: float

    @property
    def quiet(self) -> bool:
        return self.others < QUIET

    @property
    def ratio(self) -> float:
        return statistics.median(self.tinygan) / statistics.median(self.torch)


class Pairing:
    """tinygan and PyTorch on one config."""

    def __init__(self, config: Config, folder: Path, options: argparse.Namespace):
        self.config, self.options, self.steps = config, options, options.steps or config.steps
        self.source = prepare_images(folder, config.size, config.batch)
        common = {"model": config.model, "batch": config.batch, "task": config.task, "size": config.size}
        common |= {
            "device": options.device,
            "threads": options.threads,
            "folder": str(folder),
            "numpy_first": options.numpy_first,
        }
        # tinygan first: it leaves its weights, and what the check needs, in the folder for the others.
        self.tinygan = Worker("tinygan", common)
        self.torches = [Worker("torch", {**common, **settings}) for settings in config.contestants()]

    def check(self) -> str:
        """The same network: the same parameters, and from the same weights and latents the same losses."""
        ours = self.tinygan.start
        for torch in self.torches:
            theirs = torch.start
            if ours["parameters"] != theirs["parameters"]:
                raise SystemExit(
                    f"{self.config.what}: the networks differ in their parameters: tinygan has {ours['parameters']}, "
                    f"PyTorch {theirs['parameters']}"
                )
            for name, value in ours["first"].items():
                if not math.isclose(value, theirs["first"][name], rel_tol=1e-4, abs_tol=1e-7):
                    raise SystemExit(
                        f"{self.config.what}: from the same weights tinygan's {name} is {value:.7f}, "
                        f"PyTorch's ({torch.variant}) {theirs['first'][name]:.7f}: these are not the same networks"
                    )
        first = ", ".join(f"{name} {value:.5f}" for name, value in ours["first"].items())
        return f"{sum(ours['parameters']):,} parameters, both sides alike at the start: {first}"

    def race(self) -> None:
        """Find PyTorch's fastest, then fill `rounds`; ends after so many quiet ones, or when the time is up."""
        lead_in = max(1, self.steps // 8)  # untimed steps of each turn: the other side has emptied the caches
        for side in (self.tinygan, *self.torches):
            side.turn(0, max(3, self.steps))  # warm-up
        trials: dict[str, list[float]] = {torch.variant: [] for torch in self.torches}
        for _ in range(self.options.qualifying if len(self.torches) > 1 else 1):
            for torch in self.torches:
                trials[torch.variant].append(statistics.median(torch.turn(lead_in, self.steps)))
        best = {variant: min(trial) for variant, trial in trials.items()}
        self.torches.sort(key=lambda torch: best[torch.variant])
        self.qualifying = ", ".join(f"{torch.variant} {best[torch.variant]:.1f}" for torch in self.torches)
        while len(self.torches) > 1:
            self.torches.pop().close()
        (self.torch,) = self.torches
        self.rounds: list[Round] = []
        end = time.monotonic() + self.options.seconds
        while sum(r.quiet for r in self.rounds) < self.options.rounds and time.monotonic() < end:
            sides = [self.tinygan, self.torch]
            times, others = {}, []
            for side in sides if len(self.rounds) % 2 else sides[::-1]:
                times[side.side] = side.turn(lead_in, self.steps)
                others.append(side.others)
            self.rounds.append(Round(times["tinygan"], times["torch"], max(others)))

    @property
    def counted(self) -> list["Round"]:
        """The quiet rounds, or all where there are too few."""
        quiet = [r for r in self.rounds if r.quiet]
        return quiet if len(quiet) >= min(ENOUGH, self.options.rounds) else self.rounds

    def milliseconds(self, side: str) -> list[float]:
        return [ms for r in self.counted for ms in getattr(r, side)]

    @property
    def ratio(self) -> float:
        return statistics.median(self.milliseconds("tinygan")) / statistics.median(self.milliseconds("torch"))

    def report(self) -> None:
        for side in (self.tinygan, self.torch):
            times = self.milliseconds(side.side)
            low, middle, high = quartiles(times)
            side.start |= side.ask("facts")
            print(
                f"  {side.side:<8}{middle:9.2f} ms  quartiles {low:.2f} … {high:.2f}  n={len(times)}"
                f"  {side.cores('work'):.2f} cores busy  peak memory {side.start['peak_mib']:.0f} MiB"
                f" (+{side.start['peak_mib'] - side.start['imported_mib']:.0f} after imports)"
                + "".join(f"  {name} {value:.3f}" for name, value in side.numbers.items())
            )
            if side.cores("rest") > RESTLESS:
                print(f"  CAUTION: {side.side} kept {side.cores('rest'):.3f} cores busy while it should rest")
        low, middle, high = quartiles([r.ratio for r in self.counted])
        print(f"  ratio   {self.ratio:9.3f}     round by round: median {middle:.3f}, quartiles {low:.3f} … {high:.3f}")
        fastest = [min(ms for r in self.rounds for ms in getattr(r, side)) for side in ("tinygan", "torch")]
        print(f"  fastest single steps {fastest[0]:.2f} and {fastest[1]:.2f} ms, ratio {fastest[0] / fastest[1]:.3f}")
        print(f"  PyTorch: {self.torch.variant} (ms when qualifying: {self.qualifying})")
        others = statistics.fmean(r.others for r in self.rounds)
        print(
            f"  {len(self.rounds)} rounds, {len(self.counted)} counted; others kept {others:.2f} cores busy", flush=True
        )
        if not self.trusted:
            print("  CAUTION: too few quiet rounds, so all were counted; the ratio says little: use an idle machine")

    @property
    def trusted(self) -> bool:
        return all(r.quiet for r in self.counted)

    def medians(self) -> tuple[float, float]:
        ours, theirs = (statistics.median(self.milliseconds(side)) for side in ("tinygan", "torch"))
        return ours, theirs

    @property
    def misses(self) -> list[str]:
        """The bars that are missed, in words."""
        ours, theirs = (side.start["peak_mib"] for side in (self.tinygan, self.torch))
        words = [f"memory {ours:.0f} MiB, PyTorch {theirs:.0f}"] if ours > theirs else []
        bar = self.config.bar
        told = self.trusted and bar is not None and self.ratio > bar
        return [f"ratio {self.ratio:.2f}, bar {bar:.2f}"] * told + words

    @property
    def verdict(self) -> str:
        if self.config.bar is None:
            return "no bar"
        if not self.trusted:
            return f"{self.config.bar:.2f}: not to be told (busy machine)"
        met = "met" if self.ratio <= self.config.bar else f"missed by {100 * (self.ratio / self.config.bar - 1):.0f} %"
        reached = self.config.stretch is not None and self.ratio <= self.config.stretch
        return f"{self.config.bar:.2f}: {met}" + ", the stretch too" * reached

    def row(self) -> str:
        ours, theirs = self.medians()
        times = f"{ours:.2f} | {theirs:.2f} | {self.ratio:.3f}"
        memory = f"{self.tinygan.start['peak_mib']:.0f} | {self.torch.start['peak_mib']:.0f}"
        return (
            f"| {self.config.what} | {self.config.batch} | {times} | {self.verdict} | {memory} | {self.torch.variant} |"
        )

    def profile(self, steps: int) -> None:
        """Print where tinygan's time goes: exclusive milliseconds a step, largest first."""
        answer = self.tinygan.ask("profile", count=steps)
        total = sum(answer["milliseconds"].values())
        print(f"  where tinygan's {total:.1f} ms a step go (mean of {steps} steps, timers included):")
        for name, ms in sorted(answer["milliseconds"].items(), key=lambda item: -item[1]):
            if ms >= 0.005 * total:
                print(f"    {ms:8.2f} ms {100 * ms / total:5.1f} %  {answer['calls'].get(name, 0):5.1f} calls  {name}")

    def close(self) -> None:
        for worker in (self.tinygan, *self.torches):
            worker.close()


def quartiles(values: list[float]) -> tuple[float, float, float]:
    if len(values) < 2:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


def prepare_images(folder: Path, size: int, batch: int) -> str:
    """Leave images.npy, float32 (N, size, size, 1), in the folder for both sides; says what they are."""
    import numpy as np

    from tinygan.data import load
    from tinygan.errors import DataError

    count = max(2 * batch, min(IMAGES, IMAGES * 28**2 // size**2))
    try:
        data = load("mnist", count=count)
    except DataError as error:
        print(f"MNIST is not to be had ({str(error).splitlines()[0]}); drawn digits are used instead")
        data = load("digits", count=count)
    nearest = np.arange(size) * 28 // size
    np.save(folder / "images.npy", data.images[:, nearest][:, :, nearest])
    return data.source


def describe_machine(pairing: Pairing) -> str:
    tinygan, torch = pairing.tinygan.ask("facts"), pairing.torch.start  # after the race, when BLAS has been set up
    threads, order = pairing.options.threads, pairing.tinygan.start["order"]
    model = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), model)
    prefixes = ("OPENBLAS_", "OMP_", "GOMP_", "MKL_", "KMP_", "TINYGAN_THREADS")
    settings = ", ".join(f"{k}={v}" for k, v in os.environ.items() if k.startswith(prefixes))
    return "\n".join(
        [
            f"machine   {model}, {os.cpu_count()} cores, {platform.system()}; {threads} threads each",
            f"tinygan   {tinygan['version']} in {ROOT}, NumPy {tinygan['numpy']}, Python {platform.python_version()}",
            f"          {tinygan['blas']}; {order}",
            f"PyTorch   {torch['version']}, {torch['threads']} threads, {torch['capability']}, {torch['libraries']}",
            f"settings  {settings or 'none in the environment'}",
        ]
    )


def add_options(parser: argparse.ArgumentParser) -> None:
    """What all benchmarks here take."""
    parser.set_defaults(device="cpu")
    parser.add_argument("--threads", type=int, default=2, help="threads of each side (default: 2)")
    parser.add_argument("--rounds", type=int, default=24, help="quiet rounds, each a turn of both sides (default: 24)")
    parser.add_argument("--seconds", type=float, default=120, help="no new round of a row after this time (120)")
    parser.add_argument("--steps", type=int, help="timed steps a turn (default: about half a second's worth)")
    parser.add_argument("--qualifying", type=int, default=4, help="rounds that find PyTorch's fastest (default: 4)")
    parser.add_argument("--quick", action="store_true", help="6 rounds")
    parser.add_argument("--numpy-first", action="store_true", help="load NumPy before tinygan, not the other way round")


def check_options(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    if options.quick:
        options.rounds = 6
    if min(options.threads, options.rounds, 1 if options.steps is None else options.steps) < 1:
        parser.error("--threads, --rounds and --steps are at least 1")
    if importlib.util.find_spec("torch") is None:
        parser.exit(2, "PyTorch is not installed here; tinygan doesn't need it, but this comparison does:\n"
            "  pip install torch\n")  # fmt: skip


@contextlib.contextmanager
def paired(config: Config, options: argparse.Namespace) -> Iterator[Pairing]:
    """Both sides on a config, checked against each other; they end with the block."""
    with tempfile.TemporaryDirectory() as folder:
        pairing = Pairing(config, Path(folder), options)
        try:
            yield pairing
        finally:
            pairing.close()
