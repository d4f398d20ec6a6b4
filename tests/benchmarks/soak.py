"""Train and sample side by side for a long time, and see that nothing grows: memory, open files, threads.

python tests/benchmarks/soak.py --minutes 30

The main thread trains `small` on drawn digits with a run folder, log, samples and checkpoints; two others draw samples
from the same GAN without a pause. Once a minute the process looks at itself. Exit status 1 where anything has grown.
Linux only: it reads /proc.
"""

import argparse
import gc
import os
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

import tinygan as tg
from tinygan.autograd import Tensor

WARM_UP = 0.1  # share of the time until buffers, caches and threads are all there
MEMORY_SLACK = 1.02  # the last minutes' memory over the first's
TENSOR_SLACK = 1.5  # likewise; one more a step would be thousands


def live_tensors() -> int:
    """How many Tensors there are."""
    return sum(isinstance(thing, Tensor) for thing in gc.get_objects())


def look(started: float, trainer: tg.Trainer, drawn: list[int]) -> dict[str, float]:
    status = Path("/proc/self/status").read_text()
    memory = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
    return {
        "minute": (time.monotonic() - started) / 60,
        "steps": trainer.step,
        "samples": sum(drawn),
        "MiB": memory / 1024,
        "files": len(os.listdir("/proc/self/fd")),
        "threads": threading.active_count(),
        "tensors": live_tensors(),
    }


def soak(minutes: float, every: float, folder: Path) -> list[dict[str, float]]:
    """What was seen, every `every` seconds."""
    data = tg.data.load("digits", count=4096)
    trainer = tg.Trainer(tg.models.build_gan("small"), data, folder, checkpoint_minutes=0.5, progress=False)
    stop, drawn, seen = threading.Event(), [0, 0], []
    started = time.monotonic()

    def draw(place: int) -> None:
        seed = 0
        while not stop.is_set():
            assert np.isfinite(trainer.gan.sample(256, seed)).all()
            drawn[place] += 256
            seed += 1

    def watch() -> None:
        while not stop.wait(every):
            seen.append(look(started, trainer, drawn))
            print("  ".join(f"{value:>10,.1f}" for value in seen[-1].values()), flush=True)

    threads = [threading.Thread(target=watch), *(threading.Thread(target=draw, args=(i,)) for i in range(2))]
    for thread in threads:
        thread.start()
    trainer.fit(minutes=minutes)
    stop.set()
    for thread in threads:
        thread.join()
    return seen


def grown(seen: list[dict[str, float]]) -> list[str]:
    """What is larger in the last third than it was in the first after the warm-up.

    How many Tensors there are depends on where in a step one looks, so of them the fewest count: what leaks stays.
    """
    seen = seen[int(WARM_UP * len(seen)) :]
    third = max(1, len(seen) // 3)
    problems = []
    for key, of, slack in (
        ("MiB", np.median, MEMORY_SLACK),
        ("files", np.median, 1.0),
        ("threads", np.median, 1.0),
        ("tensors", np.min, TENSOR_SLACK),
    ):
        first, last = (float(of([row[key] for row in rows])) for rows in (seen[:third], seen[-third:]))
        if last > slack * first:
            problems.append(f"{key}: {first:,.1f} → {last:,.1f}")
    return problems


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--every", type=float, default=60.0, help="seconds between two looks (60)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:  # a first run, since Matplotlib keeps its fonts' files open
        soak(0.1, 60.0, Path(folder) / "run")
    before = threading.active_count(), len(os.listdir("/proc/self/fd"))
    print("  ".join(f"{key:>10}" for key in ("minute", "steps", "samples", "MiB", "files", "threads", "tensors")))
    with tempfile.TemporaryDirectory() as folder:
        seen = soak(options.minutes, options.every, Path(folder) / "run")
    after = threading.active_count(), len(os.listdir("/proc/self/fd"))
    print(f"threads and open files: {before} before, {after} after")
    problems = grown(seen)
    print("grown:", "; ".join(problems) or "nothing")
    return bool(problems) or after > before


if __name__ == "__main__":
    sys.exit(main())
