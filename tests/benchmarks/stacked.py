"""Stacked MNIST: three random digits as the red, green and blue of one image, a thousand modes that can be counted.

`plain` is the network `small` as it comes, with three channels. `packed` is the same G against a D that is shown
two images at a time (Lin et al. 2018). `codes` is the plain D against a G whose latents choose one of ten kinds three
times over (nn.OneOf); which of them is what digit of which channel, or whether at all, is for G to find out. Learning
rates fall to nothing over the second half, but for `plain`. On 26,000 samples of the averaged generator, as in the
papers' tables, the shipped classifier reads each channel.

In the table of Lin et al. (section 4.2), counted likewise, DCGAN finds 99 modes.
"""

import argparse
import statistics
import sys
import time

from measured import HERE, Entry, Results, add_options, begin, mean_and_deviation

import tinygan as tg
from tinygan import backend, metrics, models
from tinygan.metrics.stacked import MODES, SAMPLES
from tinygan.nn import Module, OneOf, Pack, Sequential

BATCH, PACK, SHAPE = 64, 2, (28, 28, 3)
KINDS = {"plain": 4000, "packed": 4000, "codes": 4000, "codes, longer": 10_000}  # and their steps
SEEDS = 1
DATA, FIGURE = HERE / "stacked.json", HERE / "stacked.png"


def players(kind: str, seed: int) -> tuple[Module, Module]:
    """G and D: `small`'s, but for what the kind changes."""
    height, width, channels = SHAPE
    latents = models.find_model("small").latent_size
    generator = models.small_generator(SHAPE, latents, backend.generator(seed, "weights of G"))
    if kind.startswith("codes"):
        generator = Sequential(OneOf(10, times=channels), *generator.layers)
    seen = PACK if kind == "packed" else 1  # images at a time, as one with so many times the channels
    d = models.small_discriminator((height, width, seen * channels), backend.generator(seed, "weights of D"))
    return generator, Sequential(Pack(PACK), *d.layers) if kind == "packed" else d


def build(kind: str, seed: int) -> tg.GAN:
    small, (g, d) = models.find_model("small"), players(kind, seed)
    adams = [tg.optim.Adam(player.parameters(), small.lr, small.betas) for player in (g, d)]
    return tg.GAN(g, d, small.objective, *adams, small.latent_size, seed, small.average)


def train(gan: tg.GAN, digits: tg.data.Dataset, steps: int, decay: float) -> None:
    """A batch of new triples each step, drawn from the training split; learning rates fall over this last share."""
    rate = gan.g_optimizer.lr
    for step in range(steps):
        gan.d_optimizer.lr = gan.g_optimizer.lr = rate * tg.optim.falling(step, steps, decay)
        triples = backend.generator(gan.seed, "triples", step).integers(2**31)
        gan.discriminator_step(metrics.stack(digits.images, BATCH, seed=int(triples)))
        gan.generator_step(BATCH)


def run(name: str, data: str, steps: int | None = None, samples: int = SAMPLES, count: int | None = None) -> Entry:
    """One training, by its name KIND/SEED; the first of the longer ones leaves a picture."""
    kind, seed = name.split("/")
    steps = steps or KINDS[kind]
    gan, digits = build(kind, int(seed)), tg.data.load(data, count=count)
    start = time.process_time()
    train(gan, digits, steps, decay=0.0 if kind == "plain" else 0.5)
    seconds = time.process_time() - start
    images = gan.sample(samples)
    if name == "codes, longer/0" and samples == SAMPLES:
        tg.plotting.save_grid(images[:60], FIGURE, columns=15, scale=2)
    return {**metrics.stacked_report(images)._asdict(), "seconds": seconds}


def names(kind: str, seeds: int) -> list[str]:
    return [f"{kind}/{seed}" for seed in range(seeds)]


def table(results: Results, seeds: int) -> str:
    """As Markdown, with the numbers of as many real triples last."""
    rows = [f"| GAN | steps | runs | modes of {MODES} | KL | core seconds |", "|" + "---|" * 6]
    for kind in KINDS:
        modes, kl, seconds = (results.of(names(kind, seeds), key) for key in ("modes", "kl", "seconds"))
        if modes:
            said = [mean_and_deviation(modes, 1), mean_and_deviation(kl, 3), f"{statistics.fmean(seconds):.0f}"]
            rows.append(f"| {kind} | {KINDS[kind]:,} | {len(modes)} | {' | '.join(said)} |")
    for floor in results.of(["test split"], "kl"):
        modes_ = results.entries["test split"]["modes"]
        rows.append(f"| real triples, of the test split | | | {modes_:.1f} | {floor:.3f} | |")
    return "\n".join(rows)


def real(data: str, samples: int = SAMPLES, count: int | None = None, **_: int) -> Entry:
    """What as many triples of real digits get, of the test split."""
    triples = metrics.stack(tg.data.load(data, split="test", count=count).images, samples)
    return dict(metrics.stacked_report(triples)._asdict())


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="  python tests/benchmarks/stacked.py                   what isn't measured yet, then the table\n"
        "  python tests/benchmarks/stacked.py --kinds codes     one kind alone",
    )
    add_options(parser, SEEDS)
    parser.add_argument(
        "--kinds", nargs="+", default=list(KINDS), choices=tuple(KINDS), help="which GANs (default: all)"
    )
    parser.add_argument("--data", default="mnist", choices=("mnist", "digits"), help="whose digits (default: mnist)")
    options = parser.parse_args(arguments)
    budget = {"steps": 2, "samples": 100, "count": 200} if options.short else {}
    results, seeds = begin(options, DATA)
    if not options.table:
        results.measure(["test split"], lambda _: real(options.data, **budget))
        every = [name for kind in reversed(options.kinds) for name in names(kind, seeds)]
        results.measure(every, lambda name: run(name, options.data, **budget), options.backwards)
    print(f"\n{table(results, seeds)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
