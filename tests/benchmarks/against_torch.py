"""tinygan against PyTorch eager on this machine's CPU: the time of one whole training step of a GAN.

A step is D's step and G's step with all that belongs to them: drawing a batch and latents, both networks, losses,
backward, Adam of both players, and the moving average of G. Both sides train the same network on the same images,
and start from the same weights: before anything is timed, their losses must agree on them (see `Pairing.check`).

The two run in processes of their own, which take turns: a round is a turn of each, the first one changing from round
to round. Rounds in which other processes were busy don't count, as long as there are quiet ones. Between turns a side
must be at rest: the processor time that it uses while the other one runs is measured, and reported if it is any.
PyTorch starts as four contestants (its two memory layouts, its two fast kinds of Adam), and the one that has shown the
fastest turn after a few rounds is the one that is compared.

Needs PyTorch, which is no dependency of tinygan:  pip install torch
"""

import argparse
import contextlib
import importlib.util
import itertools
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT))  # this checkout, whatever is installed

IMAGES = 4096  # so many of the data set are used; more would only add the same megabytes to both sides
QUALIFYING_ROUNDS = 4
QUIET = 0.15  # cores that other processes may keep busy in a round that counts
ENOUGH = 5  # quiet rounds that are enough for a median
RESTLESS = 0.02  # of a core: more than this, used by a side that should be at rest, is reported


@dataclass(frozen=True)
class Config:
    """What is trained, and how many steps make a turn (about half a second)."""

    model: str
    batch: int
    steps: int

    @property
    def name(self) -> str:
        return f"{self.model}-{self.batch}"


CONFIGS = {
    c.name: c
    for c in [
        Config("small", 64, 12),
        Config("small", 128, 6),
        Config("dcgan", 128, 2),
        Config("dcgan", 256, 1),
        Config("mlp", 64, 60),
        Config("mlp", 128, 40),
    ]
}
DEFAULT = ["small-64", "small-128", "dcgan-128", "mlp-64"]


class Worker:
    """One side in a process of its own, which does nothing until it is asked (see worker.py)."""

    def __init__(self, side: str, settings: dict[str, Any]):
        self.side, self.settings = side, settings
        self.seconds = dict.fromkeys(("work", "work_cpu", "rest", "rest_cpu"), 0.0)
        self.d_losses: list[float] = []  # of the latest turn
        self.others = 0.0  # cores that other processes kept busy in the latest turn
        env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
        if side == "torch":
            env["OMP_NUM_THREADS"] = str(settings["threads"])
        command = [sys.executable, str(HERE / "worker.py"), side, json.dumps(settings)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)
        self.start = self._answer()

    @property
    def variant(self) -> str:
        return f"{self.settings['layout']}, {self.settings['adam']} Adam" if self.side == "torch" else ""

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
        losses = answer["d_losses"] + answer["g_losses"]
        if not all(map(math.isfinite, losses)):
            raise SystemExit(f"{self.side} {self.variant}: a loss is not finite: {losses}")
        for key in self.seconds:
            self.seconds[key] += answer[key]
        self.d_losses, self.others = answer["d_losses"], answer["others"]
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
        common = {"model": config.model, "batch": config.batch, "threads": options.threads, "folder": str(folder)}
        # tinygan first: it leaves its weights, and the latents of the check, in the folder for the others.
        self.tinygan = Worker("tinygan", common)
        layouts = ["any layout"] if config.model == "mlp" else ["NCHW", "channels_last"]
        variants = itertools.product(layouts, ["foreach", "fused"])
        self.torches = [Worker("torch", {**common, "layout": layout, "adam": adam}) for layout, adam in variants]

    def check(self) -> str:
        """The same network: the same parameters, and from the same weights and latents the same losses."""
        ours = self.tinygan.start
        for torch in self.torches:
            theirs = torch.start
            if ours["parameters"] != theirs["parameters"]:
                raise SystemExit(
                    f"{self.config.name}: the networks differ in their parameters: tinygan has {ours['parameters']}, "
                    f"PyTorch {theirs['parameters']}"
                )
            for loss in ("d_loss", "g_loss"):
                if not math.isclose(ours[loss], theirs[loss], rel_tol=1e-4):
                    raise SystemExit(
                        f"{self.config.name}: from the same weights tinygan's {loss} is {ours[loss]:.7f}, "
                        f"PyTorch's ({torch.variant}) {theirs[loss]:.7f}: these are not the same networks"
                    )
        losses = f"D {ours['d_loss']:.5f} G {ours['g_loss']:.5f}"
        return f"{sum(ours['parameters']):,} parameters, from the same weights the same first losses: {losses}"

    def race(self) -> None:
        """Find PyTorch's fastest, then fill `rounds`; ends after so many quiet ones, or when the time is up."""
        lead_in = max(1, self.steps // 8)  # untimed steps of each turn: the other side has emptied the caches
        for side in (self.tinygan, *self.torches):
            side.turn(0, max(3, self.steps))  # warm-up
        trials: dict[str, list[float]] = {torch.variant: [] for torch in self.torches}
        for _ in range(QUALIFYING_ROUNDS):
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
                f"  D loss at the end {statistics.fmean(side.d_losses):.3f}"
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

    def row(self) -> str:
        ours, theirs = (statistics.median(self.milliseconds(side)) for side in ("tinygan", "torch"))
        times = f"{ours:.2f} | {theirs:.2f} | {self.ratio:.3f}{'' if self.trusted else ' (busy machine)'}"
        memory = f"{self.tinygan.start['peak_mib']:.0f} | {self.torch.start['peak_mib']:.0f}"
        return f"| {self.config.model} | {self.config.batch} | {times} | {memory} | {self.torch.variant} |"

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


def prepare_images(folder: Path) -> str:
    """Leave images.npy, float32 (N, 28, 28, 1), in the folder for both sides; says what they are."""
    import numpy as np

    from tinygan.data import load
    from tinygan.errors import DataError

    try:
        data = load("mnist", count=IMAGES)
    except DataError as error:
        print(f"MNIST is not to be had ({str(error).splitlines()[0]}); drawn digits are used instead")
        data = load("digits", count=IMAGES)
    np.save(folder / "images.npy", data.images)
    return data.source


def describe_machine(tinygan: dict[str, Any], torch: dict[str, Any], threads: int) -> str:
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
            *(f"          BLAS {blas}" for blas in tinygan["blas"]),
            f"PyTorch   {torch['version']}, {torch['threads']} threads, {torch['capability']}, {torch['libraries']}",
            f"settings  {settings or 'none in the environment'}",
        ]
    )


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=f"configs: {', '.join(CONFIGS)}.\n"
        "A ratio below 1 means that tinygan is faster. On a busy machine it says little, since PyTorch's threads wait\n"
        "for one another there: others' use of the cores is measured, and a ratio that can't be trusted is marked.\n\n"
        "  python tests/benchmarks/against_torch.py --quick               a first look, a minute\n"
        "  python tests/benchmarks/against_torch.py                       the figures to write down, some minutes\n"
        "  python tests/benchmarks/against_torch.py small-64 --profile    and where tinygan's time goes\n"
        "  python tests/benchmarks/against_torch.py --bar 2.0             exit status 1 where a ratio is above",
    )
    parser.add_argument("configs", nargs="*", metavar="CONFIG", help=f"what to compare (default: {' '.join(DEFAULT)})")
    parser.add_argument("--threads", type=int, default=2, help="threads of each side (default: 2)")
    parser.add_argument("--rounds", type=int, default=24, help="quiet rounds, each a turn of both sides (default: 24)")
    parser.add_argument(
        "--seconds", type=float, default=120, help="no new round of a config after this time (default: 120)"
    )
    parser.add_argument("--steps", type=int, help="timed steps a turn (default: about half a second's worth)")
    parser.add_argument("--quick", action="store_true", help="6 rounds")
    parser.add_argument("--profile", action="store_true", help="print, for each config, where tinygan's time goes")
    parser.add_argument("--bar", type=float, help="exit with status 1 where a ratio is above this")
    options = parser.parse_args(arguments)
    options.configs = options.configs or DEFAULT
    if unknown := [name for name in options.configs if name not in CONFIGS]:
        parser.error(f"no config is called {unknown[0]!r}; there are {', '.join(CONFIGS)}")
    if options.quick:
        options.rounds = 6
    if min(options.threads, options.rounds, 1 if options.steps is None else options.steps) < 1:
        parser.error("--threads, --rounds and --steps are at least 1")
    return options


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    if importlib.util.find_spec("torch") is None:
        print(
            "PyTorch is not installed here; tinygan doesn't need it, but this comparison does:\n"
            "  pip install torch",
            file=sys.stderr,
        )
        return 2
    rows, missed, described = [], [], False
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        print(f"images    {prepare_images(folder)}")
        for config in map(CONFIGS.__getitem__, options.configs):
            pairing = Pairing(config, folder, options)
            try:
                checked = pairing.check()
                pairing.race()
                if not described:
                    facts = pairing.tinygan.ask("facts")  # after the race, when BLAS has been set up
                    print(describe_machine(facts, pairing.torch.start, options.threads))
                    described = True
                print(f"\n{config.name}: {checked}")
                pairing.report()
                if options.profile:
                    pairing.profile(max(10, config.steps))
            finally:
                pairing.close()
            rows.append(pairing.row())
            if options.bar is not None and pairing.ratio > options.bar:
                missed.append(f"{config.name} at {pairing.ratio:.3f}")
    print("\n| model | batch | tinygan ms | PyTorch ms | ratio | tinygan MiB | PyTorch MiB | PyTorch's fastest |")
    print("|---|---|---|---|---|---|---|---|", *rows, sep="\n")
    if missed:
        print(f"above the bar of {options.bar}: {', '.join(missed)}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
