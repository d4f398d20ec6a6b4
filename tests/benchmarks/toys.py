"""Two-dimensional toys with known modes, a ring of 8 and a grid of 25: how many does a GAN find, and how sharply?

`plain` is a GAN of dense layers with the non-saturating objective. `codes` is the same game of as many steps, with what
keeps modes and sharpens them. G's first latents choose one of a hundred codes (nn.OneOf), so that it needn't draw
bridges between modes, as a G that is continuous in z must. D starts with steep features, and has R1, a penalty on its
slope at real points. The learning rates fall to nothing over the second half. Counted on 2,500 points of the averaged
generator, as in PacGAN's table (Lin et al. 2018, arXiv 1712.04086, section 4.1), which has 6.3 of 8 and 17.3 of 25
modes for its plain GAN, 7.8 and 24.8 for PacGAN4.
"""

import argparse
import itertools
import statistics
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from measured import HERE, Entry, Results, add_options, begin, mean_and_deviation

import tinygan as tg
from tinygan import backend, losses, metrics
from tinygan.metrics.mixtures import SAMPLES
from tinygan.nn import Dense, LeakyReLU, Module, OneOf, Sequential, Tanh
from tinygan.nn.init import he, normal

STEPS, BATCH, LATENT, RATE, BETAS = 2000, 128, 2, 1e-3, (0.5, 0.9)
CODES, FEATURES, WIDTH, STEEPEST, R1_WEIGHT = 100, 256, 128, 30.0, 0.001
TOYS = {"ring": (metrics.ring(), 1.0), "grid": (metrics.grid(), 4.0)}  # and where its outermost modes lie
KINDS = ("plain", "codes")
SEEDS = 10
DATA = HERE / "toys.json"

Points = np.ndarray


def steep(points: Points, rng: np.random.Generator) -> Dense:
    """A layer for a tanh: steps in random directions, each at one of `points` (N, 2), from gentle ones to steep ones.

    A usual network starts smooth, and takes long to see that modes are a hundredth of the plane wide.
    """
    layer = Dense(2, FEATURES, rng=rng)
    directions = rng.standard_normal((2, FEATURES))
    weight = np.geomspace(0.5, STEEPEST, FEATURES) * directions / np.linalg.norm(directions, axis=0)
    places = points[rng.integers(0, len(points), FEATURES)]
    layer.weight.assign(weight.astype(np.float32))
    layer.bias.assign(-np.sum(places.T * weight, axis=0).astype(np.float32))
    return layer


def dense(first: Iterable[Module], features: int, outputs: int, rng: np.random.Generator) -> Module:
    """The first layers, which give so many features, then two of 128, and the last one."""
    layers = list(first)
    for inputs in (features, WIDTH):
        layers += [Dense(inputs, WIDTH, init=he(), rng=rng), LeakyReLU(0.2)]
    return Sequential(*layers, Dense(WIDTH, outputs, init=he(), rng=rng))


def build(kind: str, data: Points, seed: int) -> tg.GAN:
    """data: points such as D will be shown, (N, 2)."""
    g_rng, d_rng = (backend.generator(seed, f"weights of {player}") for player in "GD")
    codes = kind == "codes"
    latent_size = LATENT + CODES * codes
    if codes:
        told = [OneOf(CODES, 10.0), Dense(latent_size, FEATURES, init=normal(0.1), rng=g_rng), LeakyReLU(0.2)]
        seen = [steep(data, d_rng), Tanh()]
    else:
        told, seen = ([Dense(2, FEATURES, init=he(), rng=rng), LeakyReLU(0.2)] for rng in (g_rng, d_rng))
    generator, discriminator = dense(told, FEATURES, 2, g_rng), dense(seen, FEATURES, 1, d_rng)
    players = [tg.optim.Adam(player.parameters(), RATE, BETAS) for player in (generator, discriminator)]
    objective = losses.R1(R1_WEIGHT) if codes else losses.non_saturating
    return tg.GAN(generator, discriminator, objective, *players, latent_size=latent_size, seed=seed)


def train(gan: tg.GAN, data: Points, steps: int, decay: float) -> None:
    """Batches are drawn evenly from `data`; decay: over what last share of the steps learning rates fall."""
    for step in range(steps):
        gan.d_optimizer.lr = gan.g_optimizer.lr = RATE * tg.optim.falling(step, steps, decay)
        chosen = backend.generator(gan.seed, "batches", step).integers(0, len(data), BATCH)
        gan.discriminator_step(data[chosen])
        gan.generator_step(BATCH)


def run(name: str, steps: int = STEPS) -> Entry:
    """One training, by its name TOY/KIND/SEED; seed 0 leaves a picture. The players see the outermost modes at ±1."""
    toy, kind, seed = name.split("/")
    mixture, scale = TOYS[toy]
    data = mixture.sample(100_000, int(seed)) / np.float32(scale)
    gan = build(kind, data, int(seed))
    start = time.process_time()
    train(gan, data, steps, decay=0.5 if kind == "codes" else 0.0)
    seconds = time.process_time() - start
    points = scale * gan.sample(SAMPLES)
    report = metrics.mode_report(points, mixture)
    if seed == "0" and steps == STEPS:
        draw(points, mixture, f"{toy}, {kind}: {report.captured} modes", picture(toy, kind))
    return {**report._asdict(), "seconds": seconds}


def picture(toy: str, kind: str) -> Path:
    return HERE / f"toys-{toy}-{kind}.png"


def draw(points: Points, mixture: metrics.Mixture, title: str, path: Path) -> None:
    """The points over the modes, a circle of radius 3σ each, as a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from tinygan.plotting.style import BLUE, VERMILLION

    figure = Figure(figsize=(4.2, 4.4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.plot(*points.T, ".", color=BLUE, alpha=0.4, markersize=2.5)
    angles = np.linspace(0, 2 * np.pi, 60)
    circle = 3 * mixture.sigma * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    for centre in mixture.centres:
        axes.plot(*(centre + circle).T, color=VERMILLION, linewidth=1.2)
    reach = 1.25 * np.abs(mixture.centres).max()
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal", title=title)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=100, metadata={"Software": None})


def names(toy: str, kind: str, seeds: int) -> list[str]:
    return [f"{toy}/{kind}/{seed}" for seed in range(seeds)]


def table(results: Results, seeds: int) -> str:
    """As Markdown: mean ± standard deviation over the runs."""
    columns = ["toy", "GAN", "runs", "modes", "within 3σ, %", "reverse KL", "core seconds"]
    rows = [f"| {' | '.join(columns)} |", "|" + "---|" * len(columns)]
    for toy, (mixture, _) in TOYS.items():
        for kind in KINDS:
            keys = ("captured", "high_quality", "reverse_kl", "seconds")
            modes, good, kl, seconds = (results.of(names(toy, kind, seeds), key) for key in keys)
            if modes:
                percent = mean_and_deviation([100 * share for share in good], 1)
                said = [f"{mean_and_deviation(modes, 1)} of {len(mixture.centres)}", percent, mean_and_deviation(kl, 2)]
                rows.append(f"| {toy} | {kind} | {len(modes)} | {' | '.join(said)} | {statistics.fmean(seconds):.0f} |")
    return "\n".join(rows)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="  python tests/benchmarks/toys.py                             what isn't measured yet, then the table\n"
        "  python tests/benchmarks/toys.py --toys ring --seeds 1       one run of each kind, in minutes",
    )
    add_options(parser, SEEDS)
    parser.add_argument("--toys", nargs="+", default=list(TOYS), choices=tuple(TOYS), help="which toys (default: both)")
    parser.add_argument("--kinds", nargs="+", default=KINDS, choices=KINDS, help="which GANs (default: both)")
    options = parser.parse_args(arguments)
    budget = {"steps": 5} if options.short else {}
    results, seeds = begin(options, DATA)
    if not options.table:
        pairs = [(toy, kind) for kind in reversed(options.kinds) for toy in options.toys]
        by_seed = zip(*(names(toy, kind, seeds) for toy, kind in pairs), strict=True)
        results.measure(itertools.chain(*by_seed), lambda name: run(name, **budget), options.backwards)
    print(f"\n{table(results, seeds)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
