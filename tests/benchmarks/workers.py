"""What many workers gain: two processes against one, one thread each; and, on paper, up to 1,024.

python tests/benchmarks/workers.py measure     a round more of measurements (two minutes), into workers.json
python tests/benchmarks/workers.py tables      prints the tables of WORKERS.md, and draws workers.png

Of several rounds the fastest counts, since other programs only ever slow one down.
Needs mpi4py and mpiexec (the extra `mpi`). The model of a step's time is `Machine.step`.
"""

import argparse
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT))  # this checkout, whatever is installed

import numpy as np  # noqa: E402

from tinygan import distributed, models, reduction  # noqa: E402

DATA, FIGURE = HERE / "workers.json", HERE / "workers.png"
MODELS = {"small": (64, 30), "dcgan": (128, 5)}  # batch, and steps of D and G in a turn
SIZES = [2**k for k in range(3, 25)]  # bytes of a message
WARM_UP = 3


# ---------------------------------------------------------------- one turn, in a process of its own or in several


class Counting(distributed.MPIWorkers):
    """Notes the bytes of each sum."""

    def begin_sum(self, array: Any) -> Callable[[], Any]:
        self.__dict__.setdefault("messages", []).append(array.nbytes)
        return super().begin_sum(array)


def turn(model: str, batch: int, steps: int, kind: str) -> dict[str, Any]:
    """Milliseconds of a step of D and one of G, and the sizes of its messages.

    kind: "joined", the workers share the batch; "local", without synchronised batch norm; "apart", each has a batch of
    its own and they only begin together; "late", joined, but nothing is sent before the backward pass is over.
    """
    if kind == "late":
        reduction.BUNDLE_BYTES = 1 << 62
    world = distributed.world()
    workers = Counting(world.comm) if isinstance(world, distributed.MPIWorkers) else world
    gan = models.build_gan(model)
    if kind != "apart":
        gan.join(workers, synchronised=kind != "local")
    real = np.random.default_rng(0).uniform(-1, 1, (batch, 28, 28, 1)).astype(np.float32)
    times = []
    for _ in range(WARM_UP + steps):
        workers.wait()
        workers.__dict__["messages"] = []
        begun = time.perf_counter()
        gan.discriminator_step(real)
        gan.generator_step(batch)
        times.append(1e3 * (time.perf_counter() - begun))
    return {"ms": statistics.median(times[WARM_UP:]), "messages": workers.__dict__["messages"]}


def messages() -> dict[str, float]:
    """Microseconds that a sum over the workers takes, by the bytes of each worker's array."""
    workers, found = distributed.world(), {}
    for size in SIZES:
        array, times = np.ones(size // 4, np.float32), []
        for _ in range(max(5, min(200, 2**26 // size))):
            workers.wait()
            begun = time.perf_counter()
            workers.sum(array)
            times.append(1e6 * (time.perf_counter() - begun))
        found[str(size)] = statistics.median(times)
    return found


def start(processes: int, *arguments: object) -> Any:
    """What such a turn of so many processes printed."""
    beside = Path(sys.executable).parent / "mpiexec"
    mpiexec = str(beside) if beside.exists() else shutil.which("mpiexec")
    launcher = [str(mpiexec), "-n", str(processes)] if processes > 1 else []
    command = [*launcher, sys.executable, __file__, "turn", *map(str, arguments)]
    environment = {**os.environ, "TINYGAN_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return json.loads(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)


def measure(data: dict[str, Any], names: list[str]) -> None:
    """A round: each kind of turn once."""
    for name in names:
        batch, steps = MODELS[name]
        half = batch // 2
        turns = {
            "one": (1, name, batch, steps, "joined"),
            "two": (2, name, batch, steps, "joined"),
            "two, local": (2, name, batch, steps, "local"),
            "two, late": (2, name, batch, steps, "late"),
            "half": (1, name, half, 2 * steps, "joined"),
            "quarter": (1, name, half // 2, 2 * steps, "joined"),
            "two, apart": (2, name, half, 2 * steps, "apart"),
        }
        found = data.setdefault(name, {})
        for key, arguments in turns.items():
            result = start(*arguments)
            found.setdefault(key, []).append(result["ms"])
            found[f"messages, {key}"] = result["messages"]
            print(f"{name}, {key}: {result['ms']:.1f} ms", flush=True)
    data.setdefault("messages", []).append(start(2, "messages"))


# ---------------------------------------------------------------- on paper


@dataclass(frozen=True)
class Net:
    """What connects the workers: seconds before the first byte of a message arrives, and bytes a second after it."""

    name: str
    latency: float
    bandwidth: float

    def sum(self, size: float, n: int) -> float:
        """Seconds for a sum of `size` bytes over n workers.

        Short messages: each of log₂ n rounds sends all; long ones: scattered and gathered, 2 (n − 1)/n of it in all.
        The better of the two, as MPI chooses. Thakur, Rabenseifner & Gropp 2005, table 1 and section 4.5.
        """
        rounds = math.ceil(math.log2(n))
        short = rounds * (self.latency + size / self.bandwidth)
        long = 2 * rounds * self.latency + 2 * (n - 1) / n * size / self.bandwidth
        return min(short, long) if n > 1 else 0.0


NETS = (Net("1 Gbit/s Ethernet", 50e-6, 0.117e9), Net("10 Gbit/s Ethernet", 25e-6, 1.17e9),
        Net("100 Gbit/s InfiniBand", 2e-6, 11.7e9))  # fmt: skip


@dataclass(frozen=True)
class Machine:
    """A worker, and what it sends.   fixed: seconds of a step whatever the batch.   per_image: seconds more for each.
    messages: bytes of each sum of a step.
    """

    fixed: float
    per_image: float
    messages: tuple[int, ...]

    def step(self, batch: int, n: int, net: Net, every: int = 1) -> float:
        """Seconds of a step of D and G: compute + latency + bandwidth.   every: steps between two sums."""
        sent = sum(net.sum(size, n) for size in self.messages)
        return self.fixed + self.per_image * math.ceil(batch / n) + sent / every


def machine(found: dict[str, Any], batch: int) -> Machine:
    """The line through the times of one process at three sizes of batch."""
    sizes = np.array([batch, batch // 2, batch // 4])
    times = np.array([min(found[key]) for key in ("one", "half", "quarter")])
    per_image, fixed = np.polyfit(sizes, times, 1)
    return Machine(1e-3 * fixed, 1e-3 * per_image, tuple(found["messages, two"]))


def this_machine(data: dict[str, Any]) -> Net:
    """The latency and bandwidth of this machine's shared memory: of a message of 8 bytes, and of 1 MiB or more."""
    times = {int(size): min(m[size] for m in data["messages"]) for size in data["messages"][0]}
    large = [size / (1e-6 * t) for size, t in times.items() if size >= 2**20]
    return Net("shared memory", 1e-6 * min(times.values()), statistics.median(large))


def sentences(data: dict[str, Any], name: str) -> Iterator[str]:
    """What was measured, and what the model says of it."""
    batch, _ = MODELS[name]
    found = data[name]
    kinds = ("one", "two", "two, local", "two, late", "half", "two, apart")
    one, two, local, late, half, apart = (min(found[kind]) for kind in kinds)
    worker, net = machine(found, batch), this_machine(data)
    sent = sum(net.sum(size, 2) for size in worker.messages)
    busy = apart / half
    yield f"| {name} | {batch} | {one:.1f} | {two:.1f} | {one / two:.2f} | {one / two / 2:.0%} | {local:.1f} |"
    yield "; ".join([
        f"{name}: {describe(worker.messages)} a step, without synchronised batch norm "
        f"{describe(found['messages, two, local'])}",
        f"one process takes {1e3 * worker.fixed:.1f} ms + {1e3 * worker.per_image:.3f} ms an image",
        f"half a batch {half:.1f} ms alone, {apart:.1f} with another process beside it ({busy:.2f} times)",
        f"the sums take {1e3 * sent:.2f} ms, so two processes should take {apart + 1e3 * sent:.1f}, and took {two:.1f}",
        f"with all gradients sent after the backward pass {late:.1f}",
    ])  # fmt: skip


def describe(sizes: Sequence[int]) -> str:
    return f"{len(sizes)} sums of {sum(sizes) / 1e6:.2f} MB"


WORKERS = [2**k for k in range(11)]


def tables(data: dict[str, Any]) -> None:
    net = this_machine(data)
    print(f"a sum over 2 processes: {1e6 * net.latency:.0f} µs + bytes / {net.bandwidth / 1e9:.2f} GB/s\n")
    lines = [list(sentences(data, name)) for name in MODELS]
    print("| model | batch | one ms | two ms | speed-up | efficiency | two, local batch norm ms |\n|" + "---|" * 7)
    for row, _ in lines:
        print(row)
    for _, said in lines:
        print(f"\n{said}.")
    for name, (batch, _) in MODELS.items():
        worker = machine(data[name], batch)
        for kind, grows in (("one batch for all", False), ("a batch each", True)):
            print(f"\n{name}, {kind} ({batch}): images a second, and efficiency\n")
            print("| workers | " + " | ".join(net.name for net in NETS) + " |\n|" + "---|" * (1 + len(NETS)))
            for n in (1, 2, 4, 8, 16, 64, 256, 1024):
                size = n * batch if grows else batch
                if size < n:
                    continue
                cells = []
                for net in NETS:
                    rate = size / worker.step(size, n, net)
                    cells.append(f"{rate:,.0f} ({rate / n / (batch / worker.step(batch, 1, net)):.0%})")
                print(f"| {n:,} | " + " | ".join(cells) + " |")


def draw(data: dict[str, Any], path: str | Path) -> None:
    """Images a second by workers and network: one batch for all; a batch each; sums every 8 steps."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from tinygan.plotting.style import BLUE, VERMILLION

    styles = [(VERMILLION, "s", ":"), ("#555555", "^", "--"), (BLUE, "o", "-")]
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    kinds = (("one batch of {0} for all", False, 1), ("a batch of {0} each", True, 1),
             ("a batch of {0} each, sums every 8 steps", True, 8))  # fmt: skip
    name = "small"
    batch = MODELS[name][0]
    worker = machine(data[name], batch)
    for axes, (title, grows, every) in zip(figure.subplots(1, 3, sharey=True), kinds, strict=True):
        counts = [n for n in WORKERS if grows or n <= batch]
        alone = batch / worker.step(batch, 1, NETS[0])
        axes.plot(WORKERS, [n * alone for n in WORKERS], color="black", linewidth=0.8, label="n times one worker")
        for net, (colour, marker, line) in zip(NETS, styles, strict=True):
            whole = [n * batch if grows else batch for n in counts]
            rates = [b / worker.step(b, n, net, every) for b, n in zip(whole, counts, strict=True)]
            axes.plot(counts, rates, color=colour, marker=marker, linestyle=line, markersize=4, label=net.name)
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.set_title(title.format(batch), fontsize=11)
        axes.set_xlabel("workers", fontsize=11)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        if not grows:
            two = min(data[name]["two"])
            axes.plot([2], [1e3 * batch / two], "k*", markersize=11, label="two, measured here")
            axes.set_ylabel(f"images a second, {name}", fontsize=11)
            axes.legend(fontsize=9, frameon=False)
    figure.savefig(path, dpi=110, metadata={"Software": None})


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("measure", "tables", "turn"))
    parser.add_argument("what", nargs="*", help="measure: of which models (all)")
    options = parser.parse_args(arguments)
    if options.command == "turn":
        if options.what == ["messages"]:
            result: Any = messages()
        else:
            model, batch, steps, kind = options.what
            result = turn(model, int(batch), int(steps), kind)
        if distributed.world().rank == 0:
            print(json.dumps(result))
        return 0
    data = json.loads(DATA.read_text(encoding="utf-8")) if DATA.exists() else {}
    if options.command == "measure":
        measure(data, options.what or list(MODELS))
        DATA.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    else:
        tables(data)
        draw(data, FIGURE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
