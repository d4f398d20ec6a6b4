"""The commands: tinygan train, sample, doctor."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import backend, data, doctor, models, runs, sampling
from ._version import __version__
from .errors import TinyganError
from .gan import GAN, generate
from .losses import OBJECTIVES
from .threads import thread_count
from .training import Trainer

PICTURES = ("samples.png", "training.gif", "losses.png")
FAST_STEPS = 60  # with TINYGAN_FAST=1: enough to see that everything works


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; gives the exit status: 0, 2 for an error that the message explains, 130 after Ctrl-C."""
    options = _parser().parse_args(arguments)
    try:
        options.command(options)
    except TinyganError as error:
        print(f"tinygan {options.name}: {error}", file=sys.stderr)
        return 2
    except MemoryError as error:
        print(f"tinygan {options.name}: not enough memory ({error}); ask for less at a time", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return 130
    return 0


def train(options: argparse.Namespace) -> None:
    model = models.find_model(options.model)
    _use_device(options.device)
    dataset = _load_data(options)
    gan = models.build_gan(options.model, dataset.image_shape, options.objective, options.lr, options.seed)
    batch_size = options.batch or model.batch_size
    folder = options.out or runs.free_folder("runs", f"{options.model}-{dataset.name}")
    limits = {k: v for k in ("steps", "epochs", "minutes") if (v := getattr(options, k)) is not None}
    fast = os.environ.get("TINYGAN_FAST") == "1" and not limits
    trainer = Trainer(
        gan,
        dataset,
        folder,
        batch_size,
        sample_every=options.sample_every or (FAST_STEPS // 3 if fast else 100),
        config={"model": options.model, "command": " ".join(["tinygan", *sys.argv[1:]])},
    )
    print(_describe(options.model, gan, batch_size))
    print(f"Writing to {folder}", flush=True)
    try:
        trainer.fit(**(limits or {"steps": FAST_STEPS if fast else model.steps}))
    finally:
        if trainer.step:
            pictures = [name for name in PICTURES if (Path(folder) / name).exists()]
            print(f"{trainer.step} steps done. Look at {', '.join(pictures)} in {folder}.")
    print(f"More samples: tinygan sample {folder}")


def sample(options: argparse.Namespace) -> None:
    _use_device(options.device)
    generator, latent_size = runs.load_generator(options.run)
    if options.walk:
        latents = sampling.walk_latents(options.n or 8, options.walk, latent_size, options.seed)
    else:
        latents = sampling.draw_latents(options.n or 64, latent_size, options.seed)
    out = options.out or os.path.join(options.run, f"{'walk' if options.walk else 'sample'}-{options.seed}.png")
    print("Wrote", sampling.write_images(generate(generator, latents), out, options.walk or None))


def examine(options: argparse.Namespace) -> None:
    print(doctor.report())


def _use_device(device: str) -> None:
    backend.use(("cpu" if backend.gpu_problem() else "gpu") if device == "auto" else device)


def _load_data(options: argparse.Namespace) -> data.Dataset:
    if options.data is None:
        print("Looking for MNIST: in TINYGAN_DATA, in the cache, in the network.", flush=True)
        dataset, sentence = data.load_default()
        print(sentence)
        return dataset
    dataset = data.load(options.data, size=options.size, channels=options.channels)
    print(f"Training images: {dataset.source}.")
    return dataset


def _describe(name: str, gan: GAN, batch_size: int) -> str:
    sizes = [sum(p.size for p in player.parameters()) for player in (gan.generator, gan.discriminator)]
    place = f"cpu, {thread_count()} threads" if backend.device() == "cpu" else "gpu"
    return (
        f"{name}: G has {sizes[0]:,} parameters, D {sizes[1]:,}; {type(gan.objective).__name__} objective, "
        f"{gan.g_optimizer.describe()}, batch {batch_size}, seed {gan.seed}, on the {place}"
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tinygan",
        description="Generative adversarial networks from scratch: train one, draw from it, look at the machine.",
        epilog="Start with: tinygan train    (a few minutes; MNIST if it can be had, else digits drawn by code)",
    )
    parser.add_argument("--version", action="version", version=f"tinygan {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND", dest="name")
    _add_train(commands)
    _add_sample(commands)
    command = commands.add_parser("doctor", help="what this machine has, and a hint for each problem")
    command.set_defaults(command=examine)
    return parser


def _add_train(commands: Any) -> None:
    command = commands.add_parser(
        "train",
        help="train a GAN and keep its samples, film, curves and model in a run folder",
        description="Train a GAN. Without options: the model `small` on MNIST, clearly legible digits in minutes.",
        epilog="Environment: TINYGAN_DATA, a folder with mnist/; TINYGAN_OFFLINE=1, no downloads; "
        "TINYGAN_THREADS; TINYGAN_FAST=1, a training of seconds that only shows that everything works.",
    )
    add = command.add_argument
    add("--model", default="small", metavar="NAME", help=f"one of: {', '.join(models.MODELS)} (small if not given)")
    add("--data", metavar="NAME|PATH", help="mnist, fashion-mnist, digits, a folder of images, a .npy or a .npz "
        "(default: mnist if it is there or can be fetched, else digits)")  # fmt: skip
    add("--size", type=_positive, metavar="N", help="for a folder of images: crop and resize to N×N (28 if not given)")
    add(
        "--channels",
        type=int,
        choices=(1, 3),
        help="for a folder of images: grey or colour (as they are, if not given)",
    )
    add("--objective", choices=tuple(OBJECTIVES), help="what the players minimise (the model's own if not given)")
    length = command.add_mutually_exclusive_group()
    length.add_argument("--steps", type=_positive, metavar="N", help="steps of G (the model's own number if not given)")
    length.add_argument("--epochs", type=_above_zero, metavar="N", help="passes over the data")
    length.add_argument("--minutes", type=_above_zero, metavar="N", help="time")
    add("--batch", type=_positive, metavar="N", help="images a step (the model's own number if not given)")
    add("--lr", type=_above_zero, help="learning rate of both players (the model's own if not given)")
    add("--seed", type=_whole, default=0, help="the same seed gives the same bytes (0 if not given)")
    add("--out", metavar="DIR", help="the run folder, a new one (default: runs/MODEL-DATA-N)")
    add("--sample-every", type=_positive, metavar="N", help="steps between two sample grids (100 if not given)")
    add("--device", choices=("auto", "cpu", "gpu"), default="auto", help="where to compute (a GPU if there is one)")
    command.set_defaults(command=train)


def _add_sample(commands: Any) -> None:
    command = commands.add_parser(
        "sample",
        help="draw images from a trained run",
        description="Draw images from the averaged generator of a run.",
        epilog="Examples: tinygan sample RUN --n 100 --out grid.png | --out images (a folder) | --out images.npy "
        "(float32 (N, H, W, C) in [−1, 1]) | tinygan sample RUN --walk 10 (each row a walk between two digits)",
    )
    add = command.add_argument
    add("run", metavar="RUN", help="the run folder")
    add("--n", type=_positive, metavar="N", help="how many images (64 if not given), or walks (8)")
    add("--seed", type=_whole, default=0, help="which images (0 if not given)")
    add("--walk", type=_positive, metavar="STOPS", help="interpolate between pairs of latents, in so many images")
    add("--out", metavar="PATH", help=".png: a grid; .npy: an array; no suffix: a folder of single PNGs "
        "(default: sample-SEED.png in the run)")  # fmt: skip
    add("--device", choices=("auto", "cpu", "gpu"), default="auto", help="where to compute (a GPU if there is one)")
    command.set_defaults(command=sample)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: a whole number of at least 1 is expected")
    return int(text)


def _whole(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r}: a whole number of at least 0 is expected")
    return int(text)


def _above_zero(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r}: a number above 0 is expected")
    return number
