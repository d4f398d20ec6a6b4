"""How good are the digits after so many minutes: tinygan's recipes beside the reference, and what each choice gained.

A machine that does other things would make every minute another one. So time is turned into steps once, on a quiet
machine (`--time`), and runs are of so many steps: then several can go side by side, one thread each, and a run's result
is the same whenever it is made. The tables in QUALITY.md are made from recipes.json.

  python tests/benchmarks/recipes.py --time      milliseconds a step, tinygan's and the reference's in turns
  python tests/benchmarks/recipes.py             what isn't measured yet, then the tables
  python tests/benchmarks/recipes.py --what "small, 10 minutes" "no clusters"

The reference is what `small` was before: one dense layer on G's side, one on D's, in PyTorch eager, spectral
normalisation in D, Adam 2e-3 (0.5, 0.99), batch 64, moving average 0.99, weights of G from N(0, 0.02²).
Judged by 10,000 samples of the averaged generator against MNIST's test images (TINYGAN_DATA says where MNIST is).
"""

import argparse
import copy
import sys
import time
from collections.abc import Iterator
from functools import partial
from statistics import median
from typing import Any

import numpy as np
from measured import HERE, Entry, Results, add_options, begin
from tqdm import tqdm

import tinygan as tg
from tinygan import metrics, models, nn
from tinygan.data import Dataset, cluster
from tinygan.gan import GAN, generate
from tinygan.nn.init import normal
from tinygan.sampling import choose_labels, draw_latents

DATA = HERE / "recipes.json"
SEEDS = 5
SMALL = models.MODELS["small"]
# Steps in so many minutes of two quiet cores, and their number: of `small` some fewer, for pictures and slow machines.
RECIPES = {
    "small": (SMALL.steps, 3),
    "small, 10 minutes": (9500, 10),
    "reference": (6300, 3),
    "reference, 10 minutes": (21_000, 10),
}
SHAPE, BATCH, LATENTS = (28, 28, 1), SMALL.batch_size, SMALL.latent_size


# ---------------------------------------------------------------- tinygan's side


def build(
    seed: int,
    classes: int = SMALL.clusters,
    g: models.Builder = models.small_generator,
    d: models.Builder = models.small_discriminator,
    lr: float = SMALL.lr,
    average: float = SMALL.average,
    objective: str = SMALL.objective,
) -> GAN:
    """`small` as `tinygan train` builds it, but for what is given; classes: 0 for none."""
    generator = g(SHAPE, LATENTS, tg.backend.generator(seed, "weights of G"), classes or None)
    discriminator = d(SHAPE, tg.backend.generator(seed, "weights of D"), classes or None)
    adams = [tg.optim.Adam(player.parameters(), lr, SMALL.betas) for player in (generator, discriminator)]
    return GAN(generator, discriminator, objective, *adams, LATENTS, seed, average, classes or None)


def flat_generator(shape: models.Shape, latent_size: int, rng: np.random.Generator, classes: int) -> nn.Module:
    """`small`'s without its hidden layer; the class is told in the norm that is then the first."""
    layers = models.small_generator(shape, latent_size, rng, classes).layers
    first = nn.Dense(latent_size, 3136, bias=False, init=normal(0.02), rng=rng)
    return nn.Sequential(first, nn.ConditionalBatchNorm(3136, classes), *layers[5:])


def generator_told_throughout(
    shape: models.Shape, latent_size: int, rng: np.random.Generator, classes: int
) -> nn.Module:
    """`small`'s, told the class in each batch norm."""
    layers = list(models.small_generator(shape, latent_size, rng, classes).layers)
    for place in (4, 8):
        layers[place] = nn.ConditionalBatchNorm(layers[place].gamma.size, classes)
    return nn.Sequential(*layers)


def flat_discriminator(shape: models.Shape, rng: np.random.Generator, classes: int) -> nn.Module:
    """`small`'s without its hidden layer."""
    layers = models.small_discriminator(shape, rng, classes).layers
    return nn.Sequential(*layers[:5], nn.Projection(3136, classes, True, rng))


# What `small` is without one of its choices, or with another: what `build` is given, and what `train_tinygan` is.
ABLATIONS: dict[str, dict[str, Any]] = {
    "no clusters": {"classes": 0},
    "20 clusters": {"classes": 20},
    "40 clusters": {"classes": 40},
    "200 clusters": {"classes": 200},
    "labels in place of clusters": {"classes": 10, "labels": True},
    "clusters told in every batch norm": {"g": generator_told_throughout},
    "no hidden layer in D": {"d": flat_discriminator},
    "no hidden layer in G": {"g": flat_generator},
    "spectral norm 1 in place of 2": {"d": partial(models.small_discriminator, spectral_norm=1.0)},
    "no spectral norm": {"d": partial(models.small_discriminator, spectral_norm=0.0)},
    "no moving average": {"average": 0.0},
    "learning rate 5e-4": {"lr": 5e-4},
    "falling rates": {"decay": 0.5},
    "hinge objective": {"objective": "hinge"},
}


def train_tinygan(name: str, seed: int, steps: int, images: Dataset) -> np.ndarray:
    """The averaged generator's samples after `steps`."""
    settings = dict(ABLATIONS.get(name, {}))
    labels, decay = settings.pop("labels", False), settings.pop("decay", 0.0)
    gan = build(seed, **settings)
    if gan.classes and not labels:
        images = cluster(images, gan.classes, seed)
    tg.Trainer(gan, images, None, BATCH, decay=decay).fit(steps=steps)
    told = choose_labels(metrics.sources.SAMPLES, gan.classes, seed=seed)
    return generate(gan.averaged, draw_latents(metrics.sources.SAMPLES, LATENTS, seed), told)


# ---------------------------------------------------------------- the reference


class Reference:
    """PyTorch eager: a step of D, a step of G, as it is fastest there."""

    def __init__(self, seed: int, threads: int):
        import torch
        from torch import nn
        from torch.nn.utils.parametrizations import spectral_norm

        torch.set_num_threads(threads)
        torch.manual_seed(seed)
        self.torch = torch
        self.generator = nn.Sequential(
            nn.Linear(64, 3136, bias=False), nn.BatchNorm1d(3136), nn.LeakyReLU(0.2), nn.Unflatten(1, (64, 7, 7)),
            nn.ConvTranspose2d(64, 32, 4, 2, 1, bias=False), nn.BatchNorm2d(32), nn.LeakyReLU(0.2),
            nn.ConvTranspose2d(32, 1, 4, 2, 1), nn.Tanh(),
        )  # fmt: skip
        for layer in self.generator:
            if isinstance(layer, nn.Linear | nn.ConvTranspose2d):
                nn.init.normal_(layer.weight, 0, 0.02)
        self.discriminator = nn.Sequential(
            spectral_norm(nn.Conv2d(1, 32, 4, 2, 1)), nn.LeakyReLU(0.2),
            spectral_norm(nn.Conv2d(32, 64, 4, 2, 1)), nn.LeakyReLU(0.2),
            nn.Flatten(), spectral_norm(nn.Linear(3136, 1)),
        )  # fmt: skip
        for player in (self.generator, self.discriminator):
            player.to(memory_format=torch.channels_last)
        self.averaged = copy.deepcopy(self.generator).eval()
        players = (self.generator, self.discriminator)
        self.optimizers = [torch.optim.Adam(p.parameters(), 2e-3, (0.5, 0.99), fused=True) for p in players]
        self.pairs = [_floats(network) for network in (self.averaged, self.generator)]

    def step(self, real: Any) -> None:
        from torch.nn.functional import softplus

        torch, n = self.torch, len(real)
        g_optimizer, d_optimizer = self.optimizers
        with torch.no_grad():
            fake = self.generator(torch.randn(n, 64))
        loss = softplus(-self.discriminator(real)).mean() + softplus(self.discriminator(fake)).mean()
        d_optimizer.zero_grad()
        loss.backward()
        d_optimizer.step()
        self.discriminator.requires_grad_(False)
        loss = softplus(-self.discriminator(self.generator(torch.randn(n, 64)))).mean()
        g_optimizer.zero_grad()
        loss.backward()
        g_optimizer.step()
        self.discriminator.requires_grad_(True)
        torch._foreach_lerp_(*self.pairs, 0.01)

    def batches(self, images: np.ndarray) -> Iterator[Any]:
        torch = self.torch
        whole = torch.from_numpy(images).permute(0, 3, 1, 2)
        while True:
            order = torch.randperm(len(whole))
            for start in range(0, len(order) - BATCH + 1, BATCH):
                yield whole[order[start : start + BATCH]]

    def samples(self, seed: int) -> np.ndarray:
        torch = self.torch
        z = torch.randn(metrics.sources.SAMPLES, 64, generator=torch.Generator().manual_seed(seed))
        with torch.inference_mode():
            images = torch.cat([self.averaged(part) for part in z.split(500)])
        return np.ascontiguousarray(images.permute(0, 2, 3, 1).numpy())


def _floats(network: Any) -> list[Any]:
    tensors = [p.detach() for p in network.parameters()]
    return tensors + [b for b in network.buffers() if b.is_floating_point()]


def train_reference(seed: int, steps: int, images: Any) -> Iterator[tuple[int, np.ndarray]]:
    """Its samples after `steps`, and on the way there after 3 minutes' worth: nothing in it hangs on the length."""
    reference = Reference(seed, threads=tg.threads.thread_count())
    batches = reference.batches(images.images)
    for step in tqdm(range(1, steps + 1)):
        reference.step(next(batches))
        if step in (RECIPES["reference"][0], steps):
            yield step, reference.samples(seed)


# ---------------------------------------------------------------- the commands


def judge(samples: np.ndarray, real: Any, steps: int) -> Entry:
    """What the table says of these samples, beside the real images' features."""
    fake = metrics.read(samples)
    balls = metrics.neighbourhood(real, fake.features)
    return {
        "steps": steps,
        "distance": metrics.frechet_distance(fake.features, real),
        "rarest": float(metrics.class_shares(fake.predicted).min()),
        "precision": balls.precision,
        "recall": balls.recall,
        "score": metrics.classifier_score(fake.probabilities),
    }


def measure(results: Results, names: list[str], backwards: bool, budget: int | None = None) -> None:
    """budget: another number of steps for all, as in a short run."""
    train, test = metrics.load_reference("mnist")
    real = metrics.read(test.images).features

    def run(name: str) -> Entry:
        what, seed = name.split("/")
        steps = budget or RECIPES.get(what, RECIPES["small"])[0]
        if not what.startswith("reference"):
            return judge(train_tinygan(what, int(seed), steps, train), real, steps)
        for after, samples in train_reference(int(seed), steps, train):
            entry = judge(samples, real, after)
            if after < steps:
                results.add(f"reference/{seed}", entry)
        return entry

    results.measure(names, run, backwards)


def names(what: list[str], seeds: int) -> list[str]:
    """The runs of these recipes, seed by seed, and of ablations with seed 0; the long reference passes by the short."""
    first = sorted(what, key=lambda name: name != "reference, 10 minutes")
    every = [(name, seed) for seed in range(seeds) for name in first if seed == 0 or name in RECIPES]
    return [f"{name}/{seed}" for name, seed in every]


def time_steps(rounds: int, count: int) -> None:
    """Milliseconds a step of both, in turns, with as many threads as tinygan takes."""
    images = tg.data.load("mnist")
    gan = build(0)
    data = cluster(images, SMALL.clusters).labelled_batches(BATCH, 0)
    reference = Reference(0, tg.threads.thread_count())
    batches = reference.batches(images.images)

    def ours() -> None:
        gan.discriminator_step(*next(data))
        gan.generator_step(BATCH)

    times: dict[str, list[float]] = {"tinygan": [], "reference": []}
    for _ in range(rounds):
        for name, step in (("tinygan", ours), ("reference", lambda: reference.step(next(batches)))):
            for i in range(count + 3):
                start = time.perf_counter()
                step()
                if i >= 3:
                    times[name].append(1e3 * (time.perf_counter() - start))
            time.sleep(0.1)
    for name, (_, minutes) in RECIPES.items():
        ms = median(times["reference" if name.startswith("reference") else "tinygan"])
        print(f"{name}: {ms:.1f} ms a step, {60e3 * minutes / ms:,.0f} steps in {minutes} minutes")


def table(results: Results, seeds: int) -> str:
    """Median and worst of each recipe's seeds, and the ablations beside `small`."""
    lines = ["| what | steps | seeds | distance: median | worst | rarest class: worst | precision | recall | score |",
             "|---|---|---|---|---|---|---|---|---|"]  # fmt: skip
    for name in (*RECIPES, *ABLATIONS):
        runs = [f"{name}/{seed}" for seed in range(seeds)]
        if distances := results.of(runs, "distance"):
            steps, rarest = results.of(runs, "steps")[0], min(results.of(runs, "rarest"))
            p, r, score = (median(results.of(runs, key)) for key in ("precision", "recall", "score"))
            lines.append(
                f"| {name} | {steps:,} | {len(distances)} | {median(distances):.2f} | {max(distances):.2f} "
                f"| {100 * rarest:.1f} % | {p:.2f} | {r:.2f} | {score:.2f} |"
            )
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser, SEEDS)
    every = [*RECIPES, *ABLATIONS]
    parser.add_argument(
        "--what", nargs="+", default=every, choices=every, metavar="NAME", help="of: " + "; ".join(every)
    )
    parser.add_argument("--time", action="store_true", help="milliseconds a step beside the reference, and no more")
    options = parser.parse_args(arguments)
    if options.time:
        time_steps(rounds=12, count=30)
        return 0
    results, seeds = begin(options, DATA)
    if not options.table:
        measure(results, names(options.what, seeds), options.backwards, 20 if options.short else None)
    print(f"\n{table(results, seeds)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
