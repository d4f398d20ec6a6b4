"""Where a step's time goes with the simple kernels, which a student reads, and with the fast ones: by layer.

The simple ones are those of tinygan/kernels/plain_kernels.py, whole-batch array code, run on NumPy; BLAS may use all
cores then. The two take turns, so that both see the same machine; but freed memory is kept for both, which is a part
of what makes tinygan fast. --simple is a process without that.

  python tests/benchmarks/before_and_after.py            small at batch 64
  python tests/benchmarks/before_and_after.py dcgan 128 --rounds 2
"""

import argparse
import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # this checkout, whatever is installed

import tinygan as tg
from tinygan import models
from tinygan.kernels import numpy_kernels, plain_kernels
from tinygan.profiling import Profile, profile_training


@contextlib.contextmanager
def simple_kernels() -> Iterator[None]:
    """Within this block NumPy's arrays are given the simple kernels, and BLAS its threads."""
    from threadpoolctl import threadpool_limits

    fast = dict(vars(numpy_kernels))
    own = {name for name, f in vars(plain_kernels).items() if getattr(f, "__module__", "") == plain_kernels.__name__}
    try:
        for name in own & fast.keys():
            setattr(numpy_kernels, name, getattr(plain_kernels, name))
        with threadpool_limits(2, user_api="blas"):
            yield
    finally:
        for name in own & fast.keys():
            setattr(numpy_kernels, name, fast[name])


def table(before: Profile, after: Profile) -> str:
    rows = ["| part | simple kernels ms | fast kernels ms | times as fast |", "|---|---|---|---|"]
    parts = dict.fromkeys([*before.parts, *(p.part for p in before.milliseconds)])
    times = [(part, before.of(part=part), after.of(part=part)) for part in parts]
    for part, old, new in [*times, ("**together**", before.of(), after.of())]:
        if max(old, new) >= 0.01 * max(before.of(), after.of()):
            rows.append(f"| {part} | {old:.1f} | {new:.1f} | {old / new if new else 0:.1f} |")
    return "\n".join(rows)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", default="small", choices=tuple(models.MODELS))
    parser.add_argument("batch", nargs="?", default=64, type=int)
    parser.add_argument("--simple", action="store_true", help="the simple kernels alone, as in a plain program")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each, of 4 steps (default: 5)")
    options = parser.parse_args(arguments)
    images = np.random.default_rng(0).uniform(-1, 1, (2 * options.batch, 28, 28, 1)).astype(np.float32)
    data = tg.data.Dataset(images, None, "noise", "drawn here")
    gan = models.build_gan(options.model, (28, 28, 1))
    before, after = Profile([]), Profile([])
    if options.simple:
        with simple_kernels():
            print(profile_training(gan, data, options.batch, steps=4 * options.rounds))
        return 0
    for _ in range(options.rounds):
        with simple_kernels():
            slow = profile_training(gan, data, options.batch, steps=4, warm_up=1)
        fast = profile_training(gan, data, options.batch, steps=4, warm_up=1)
        before.laps += slow.laps
        after.laps += fast.laps
        before.parts = after.parts = fast.parts
    print(f"{options.model}, batch {options.batch}: means of the faster half of {len(after.laps)} steps each\n")
    print(f"{table(before, after)}\n\nfast:\n\n{after}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
