"""All objectives on one network, after Lucic et al. 2018 (arXiv 1711.10337), table of the best distances on MNIST.

The network is `small` without spectral normalisation, which nobody had then, for every objective alike: G's 500 steps
at batch 32, for each of them as many steps of D as the objective's paper takes (5 of the two WGANs with a bounded
critic, 1 of the others). Each objective may choose one of two learning rates, the better one of a run with a seed of
its own; then it is measured with other seeds. The distance is the Fréchet classifier distance of 10,000 samples of the
averaged generator to the test images, so its numbers can't be compared with those of the paper, which has Inception's
features and hundreds of runs for each objective: but the order can.
"""

import argparse
import itertools
import statistics
import sys
import time
from functools import cache
from pathlib import Path

from measured import HERE, Entry, Results, add_options, begin, mean_and_deviation

import tinygan as tg
from tinygan import backend, metrics, models
from tinygan.errors import NonFiniteError
from tinygan.losses import OBJECTIVES
from tinygan.metrics.features import Floats

STEPS, BATCH, SAMPLES = 500, 32, 10_000
RATES = (5e-4, 2e-3)
SEEDS, TUNING_SEED = 3, 100
PAPER = {
    "minimax": 9.8,
    "non-saturating": 6.8,
    "least-squares": 7.8,
    "wgan-clip": 6.7,
    "dragan": 7.6,
    "wgan-gp": 20.3,
}
DATA, FIGURE = HERE / "objectives.json", HERE / "objectives.png"


def build(objective: str, rate: float, seed: int) -> tg.GAN:
    """`small` without spectral normalisation."""
    shape, small = (28, 28, 1), models.find_model("small")
    generator = models.build_generator("small", shape, small.latent_size, seed)
    rng = backend.generator(seed, "weights of D")
    discriminator = models.small_discriminator(shape, rng, spectral_norm=False)
    players = [tg.optim.Adam(player.parameters(), rate, small.betas) for player in (generator, discriminator)]
    return tg.GAN(generator, discriminator, objective, *players, small.latent_size, seed, small.average)


def train(gan: tg.GAN, data: tg.data.Dataset, steps: int) -> None:
    batches = data.batches(BATCH, gan.seed)
    for _ in range(steps):
        for _ in range(gan.objective.d_steps):
            gan.discriminator_step(next(batches))
        gan.generator_step(BATCH)


@cache
def reference(data: str, count: int | None) -> tuple[tg.data.Dataset, Floats]:
    """The training images, and the test images' features; of both `count`, or all."""
    test_images = tg.data.load(data, split="test", count=count).images
    return tg.data.load(data, count=count), metrics.read(test_images).features


def run(name: str, data: str, steps: int = STEPS, samples: int = SAMPLES, count: int | None = None) -> Entry:
    """One training; its name is OBJECTIVE/RATE/SEED. A G that gives no finite images is infinitely far off."""
    objective, rate, seed = name.split("/")
    images, features = reference(data, count)
    gan = build(objective, float(rate), int(seed))
    start = time.process_time()
    train(gan, images, steps)
    seconds = time.process_time() - start
    try:
        distance = metrics.frechet_distance(metrics.read(gan.sample(samples)).features, features)
    except NonFiniteError:
        distance = float("inf")
    return {"distance": distance, "seconds": seconds}


def tuning(objective: str) -> list[str]:
    return [f"{objective}/{rate}/{TUNING_SEED}" for rate in RATES]


def names(results: Results, objective: str, seeds: int) -> list[str]:
    """The runs that count, at the learning rate that was better in the ones that don't."""
    distances = results.of(tuning(objective), "distance")
    if len(distances) < len(RATES):
        return []
    rate = RATES[distances.index(min(distances))]
    return [f"{objective}/{rate}/{seed}" for seed in range(seeds)]


def ranking(results: Results, seeds: int) -> list[tuple[str, list[float]]]:
    """Objectives with their distances, the best mean first."""
    found = {objective: results.of(names(results, objective, seeds), "distance") for objective in OBJECTIVES}
    measured = [(objective, distances) for objective, distances in found.items() if distances]
    return sorted(measured, key=lambda item: statistics.fmean(item[1]))


def rates_table(results: Results) -> str:
    """As Markdown: what each objective gets at each learning rate, with the seed that is for choosing alone."""
    rows = [f"| objective | {' | '.join(f'at {rate}' for rate in RATES)} |", "|" + "---|" * (1 + len(RATES))]
    for objective in OBJECTIVES:
        distances = results.of(tuning(objective), "distance")
        if len(distances) == len(RATES):
            rows.append(f"| {objective} | {' | '.join(f'{distance:.1f}' for distance in distances)} |")
    return "\n".join(rows)


def table(results: Results, seeds: int) -> str:
    """As Markdown, and a sentence on where the order is the paper's."""
    ranked = ranking(results, seeds)
    columns = [
        "objective",
        "runs",
        "distance",
        "learning rate",
        "D's steps a step of G",
        "core seconds",
        "Lucic et al.",
    ]
    rows = [f"| {' | '.join(columns)} |", "|" + "---|" * len(columns)]
    for objective, distances in ranked:
        runs = names(results, objective, seeds)
        rate = runs[0].split("/")[1]
        seconds = statistics.fmean(results.of(runs, "seconds"))
        paper = PAPER.get(objective, "")
        rows.append(
            f"| {objective} | {len(distances)} | {mean_and_deviation(distances, 1)} | {rate} | "
            f"{OBJECTIVES[objective].d_steps} | {seconds:.0f} | {paper} |"
        )
    return "\n".join([*rows, "", order([objective for objective, _ in ranked if objective in PAPER])])


def order(ranked: list[str]) -> str:
    """A sentence on which pairs of objectives, the best first, are ranked as in the paper."""
    pairs = list(itertools.combinations(ranked, 2))
    if not pairs:
        return "No pair of the paper's objectives is measured yet."
    others = [f"{a} before {b}" for a, b in pairs if PAPER[a] > PAPER[b]]
    agree = f"Pairs of the paper's objectives that are in its order: {len(pairs) - len(others)} of {len(pairs)}"
    return f"{agree}; the other way round: {', '.join(others) or 'none'}."


def draw(results: Results, seeds: int, path: Path) -> None:
    """A dot for each run, a line at each mean, the best on top, as a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from tinygan.plotting.style import BLUE, VERMILLION

    ranked = ranking(results, seeds)
    figure = Figure(figsize=(8, 0.6 + 0.42 * len(ranked)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for place, (objective, distances) in enumerate(ranked):
        axes.plot(distances, [place] * len(distances), "o", color=BLUE, alpha=0.7, clip_on=False)
        axes.plot(statistics.fmean(distances), place, "|", color=VERMILLION, markersize=18, markeredgewidth=2.5)
        if objective in PAPER:
            axes.annotate(
                f"{PAPER[objective]}", (1.01, place), xycoords=("axes fraction", "data"), va="center", fontsize=11
            )
    axes.annotate("Lucic et al.", (1.01, -0.9), xycoords=("axes fraction", "data"), va="center", fontsize=10)
    axes.set_yticks(range(len(ranked)), [objective for objective, _ in ranked], fontsize=11)
    axes.set_ylim(len(ranked) - 0.5, -0.6)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter("{x:g}")
    axes.set_xlabel(f"{metrics.evaluation.FRECHET}, logarithmic: a dot for each run, a line at the mean", fontsize=11)
    axes.grid(alpha=0.3, which="both", axis="x")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120, metadata={"Software": None})


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="  python tests/benchmarks/objectives.py             what isn't measured yet, then table and picture\n"
        "  python tests/benchmarks/objectives.py --table     the table and the picture of what was measured",
    )
    add_options(parser, SEEDS)
    parser.add_argument("--data", default="mnist", choices=("mnist", "digits"), help="whose digits (default: mnist)")
    options = parser.parse_args(arguments)
    budget = {"steps": 1, "samples": 100, "count": 200} if options.short else {}
    results, seeds = begin(options, DATA)
    if not options.table:
        results.measure(
            (name for objective in OBJECTIVES for name in tuning(objective)),
            lambda name: run(name, options.data, **budget),
            options.backwards,
        )
        by_seed = zip(*(names(results, objective, seeds) for objective in OBJECTIVES), strict=True)
        results.measure(itertools.chain(*by_seed), lambda name: run(name, options.data, **budget), options.backwards)
    print(f"\n{rates_table(results)}\n\n{table(results, seeds)}")
    if not options.short and ranking(results, seeds):
        draw(results, seeds, FIGURE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
