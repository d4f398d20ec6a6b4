"""Stacked MNIST: three random digits as the red, green and blue of one image, a thousand modes that can be counted.

`clusters` is the network `small` with three channels, told what `tinygan train` tells it, but of each channel: the
cluster that its digit is in, of 40 that were found in MNIST without labels (data.cluster). The others are told nothing.
`plain` is `small` as it is. `packed` is the same G against a D that is shown two images at a time (Lin et al. 2018).
`codes` is the plain D against a G whose latents choose one of ten kinds three times over (nn.OneOf); which of them is
what digit of which channel, or whether at all, is for G to find out. For `packed` and `codes` learning rates fall to
nothing over the second half. On 26,000 samples of the averaged generator, as in the papers' tables, the shipped
classifier reads each channel.

In the table of Lin et al. (section 4.2), counted likewise, DCGAN finds 99 modes.
"""

import argparse
import statistics
import sys
import time
from typing import Any

import numpy as np
from measured import HERE, Entry, Results, add_options, begin, mean_and_deviation

import tinygan as tg
from tinygan import backend, metrics, models
from tinygan.metrics.stacked import MODES, SAMPLES
from tinygan.nn import JoinLabels, Module, OneOf, Pack, Projection, Sequential

BATCH, PACK, SHAPE = 64, 2, (28, 28, 3)
CHANNELS, CLUSTERS = 3, 40  # a label is a number of three digits to the base 40: the clusters of red, green and blue
STEPS = 4000
KINDS = ("plain", "packed", "codes", "clusters")
DECAY = {"packed": 0.5, "codes": 0.5}  # over which last share learning rates fall
SEEDS = 3
DATA, FIGURE = HERE / "stacked.json", HERE / "stacked.png"


class OfChannel(Module):
    """A layer that is told one channel's cluster alone."""

    takes_labels = True

    def __init__(self, channel: int, layer: Module):
        self.channel, self.layer = channel, layer

    def forward(self, x: tg.Tensor, labels: Any) -> tg.Tensor:
        return self.layer(x, np.asarray(labels) // CLUSTERS**self.channel % CLUSTERS)


class Together(Module):
    """The sum of what these layers make of x, as of logits that each judge by another channel's cluster."""

    takes_labels = True

    def __init__(self, *layers: Module):
        self.layers = layers

    def forward(self, x: tg.Tensor, labels: Any) -> tg.Tensor:
        first, *rest = (layer(x, labels) for layer in self.layers)
        for logits in rest:
            first = first + logits
        return first


def players(kind: str, seed: int) -> tuple[Module, Module]:
    """G and D: `small`'s, but for what the kind changes."""
    height, width, channels = SHAPE
    latents = models.find_model("small").latent_size
    rng_g, rng_d = backend.generator(seed, "weights of G"), backend.generator(seed, "weights of D")
    if kind == "clusters":
        told = [OfChannel(i, JoinLabels(CLUSTERS, 32, rng=rng_g)) for i in range(channels)]
        ends = [OfChannel(i, Projection(128, CLUSTERS, True, rng_d)) for i in range(channels)]
        g = models.small_generator(SHAPE, latents + 32 * channels, rng_g)
        d = models.small_discriminator(SHAPE, rng_d)
        return Sequential(*told, *g.layers), Sequential(*d.layers[:-1], Together(*ends))
    generator = models.small_generator(SHAPE, latents, rng_g)
    if kind == "codes":
        generator = Sequential(OneOf(10, times=channels), *generator.layers)
    seen = PACK if kind == "packed" else 1  # images at a time, as one with so many times the channels
    d = models.small_discriminator((height, width, seen * channels), rng_d)
    return generator, Sequential(Pack(PACK), *d.layers) if kind == "packed" else d


def build(kind: str, seed: int) -> tg.GAN:
    small, (g, d) = models.find_model("small"), players(kind, seed)
    adams = [tg.optim.Adam(player.parameters(), small.lr, small.betas) for player in (g, d)]
    classes = CLUSTERS**CHANNELS if kind == "clusters" else None
    return tg.GAN(g, d, small.objective, *adams, small.latent_size, seed, small.average, classes)


def triples(digits: tg.data.Dataset, seed: int) -> tuple[Any, Any]:
    """A batch of them, and their labels if the digits are clustered."""
    images = metrics.stack(digits.images, BATCH, seed)
    if not digits.clustered:
        return images, None
    clusters = metrics.stack(digits.labels[:, None, None, None], BATCH, seed)[:, 0, 0]  # of the same digits
    return images, clusters @ CLUSTERS ** np.arange(CHANNELS)


def train(gan: tg.GAN, digits: tg.data.Dataset, steps: int, decay: float) -> None:
    """A batch of new triples each step, drawn from the training split; learning rates fall over this last share."""
    rate = gan.g_optimizer.lr
    for step in range(steps):
        gan.d_optimizer.lr = gan.g_optimizer.lr = rate * tg.optim.falling(step, steps, decay)
        gan.discriminator_step(*triples(digits, int(backend.generator(gan.seed, "triples", step).integers(2**31))))
        gan.generator_step(BATCH)


def run(name: str, data: str, steps: int | None = None, samples: int = SAMPLES, count: int | None = None) -> Entry:
    """One training, by its name KIND/SEED; the first with clusters leaves a picture."""
    kind, seed = name.split("/")
    gan, digits = build(kind, int(seed)), tg.data.load(data, count=count)
    start = time.process_time()
    if gan.classes:
        digits = tg.data.cluster(digits, CLUSTERS, int(seed))
    train(gan, digits, steps or STEPS, DECAY.get(kind, 0.0))
    seconds = time.process_time() - start
    labels = backend.generator(gan.seed, "told").integers(0, gan.classes, samples) if gan.classes else None
    images = gan.sample(samples, labels=labels)
    if name == "clusters/0" and samples == SAMPLES:
        tg.plotting.save_grid(images[:60], FIGURE, columns=15, scale=2)
    return {**metrics.stacked_report(images)._asdict(), "seconds": seconds}


def names(kind: str, seeds: int) -> list[str]:
    return [f"{kind}/{seed}" for seed in range(seeds)]


def table(results: Results, seeds: int) -> str:
    """As Markdown, with the numbers of as many real triples last."""
    rows = [f"| GAN | runs | modes of {MODES} | KL | core seconds |", "|" + "---|" * 5]
    for kind in KINDS:
        modes, kl, seconds = (results.of(names(kind, seeds), key) for key in ("modes", "kl", "seconds"))
        if modes:
            said = [mean_and_deviation(modes, 1), mean_and_deviation(kl, 3), f"{statistics.fmean(seconds):.0f}"]
            rows.append(f"| {kind} | {len(modes)} | {' | '.join(said)} |")
    for floor in results.of(["test split"], "kl"):
        modes_ = results.entries["test split"]["modes"]
        rows.append(f"| real triples, of the test split | | {modes_:.1f} | {floor:.3f} | |")
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
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=KINDS, help="which GANs (default: all)")
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
