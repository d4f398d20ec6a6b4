"""The commands: tinygan train, sample, evaluate, export, lessons, doctor."""

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np

from . import backend, data, distributed, doctor, metrics, models, runs, sampling
from ._version import __version__
from .errors import DataError, SettingError, TinyganError
from .export import save_safetensors
from .gan import GAN, class_columns, generate
from .lessons import commands as lessons
from .losses import OBJECTIVES
from .onnx import save_onnx
from .profiling import STEPS, profile_training
from .threads import thread_count
from .training import Trainer
from .workers import Workers

RESULTS = ("samples.png", "training.gif", "losses.png", "report.txt")
KEPT: dict[str, Any] = {  # the options that make a run what it is, and their types
    **dict.fromkeys(("model", "data", "objective"), str),
    **dict.fromkeys(
        ("size", "channels", "batch", "d_steps", "seed", "clusters", "sample_every", "checkpoint_every"), int
    ),
    "conditional": bool,
    **dict.fromkeys(("lr", "checkpoint_minutes"), (int, float)),
}
MOVABLE = {"data", "checkpoint_every", "checkpoint_minutes"}  # may be given when a run is resumed
UNPROFILED = ("resume", "out", "epochs", "minutes")  # can't be given with --profile
CLASS_LIMIT = 1000
CLUSTER_IMAGES = 250  # at least, for each cluster that nobody asked for
FAST_STEPS = 60  # with TINYGAN_FAST=1: enough to see that everything works


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; gives the exit status: 0, 1 (a lesson below full marks), 2 (an error), 130 (Ctrl-C)."""
    options = _parser().parse_args(arguments)
    try:
        return options.command(options) or 0
    except TinyganError as error:
        print(f"tinygan {options.name}: {error}", file=sys.stderr)
        status = 2
    except MemoryError as error:
        print(f"tinygan {options.name}: not enough memory ({error}); ask for less at a time", file=sys.stderr)
        status = 2
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        status = 130
    distributed.abort(status)  # so that nobody waits for this process
    return status


def train(options: argparse.Namespace) -> None:
    """Start a run, or go on with one; under mpiexec together with the other processes, of which one alone speaks."""
    workers = distributed.world()
    with open(os.devnull, "w") as unheard, redirect_stdout(unheard if workers.rank else sys.stdout):
        _train(options, workers)


def _train(options: argparse.Namespace, workers: Workers) -> None:
    """In a run that goes on, all but its length, its device and the place of its data is its own."""
    if options.profile and workers.size > 1:
        raise SettingError("--profile measures one process; start it without mpiexec")
    if options.profile and (given := [k for k in UNPROFILED if getattr(options, k) is not None]):
        raise SettingError(f"--profile makes no run: --{', --'.join(given)} can't be given with it")
    if options.resume:
        _take_up_options(options, workers)
    name = options.model or "small"
    model = models.find_model(name)
    _use_device(options.device)
    dataset = _load_data(options) if workers.rank == 0 else None
    workers.wait()  # for worker 0, which may have had to download it
    dataset = dataset or _load_data(options)
    dataset, classes = _told(options, dataset, model)
    gan = models.build_gan(name, dataset.image_shape, options.objective, options.lr, options.seed or 0, classes=classes)
    options.batch = options.batch or model.batch_size
    if options.profile:
        _print_profile(options, name, gan, dataset)
        return
    gan.join(workers, synchronised=not options.local_batch_norm)
    folder = options.resume or options.out or runs.free_folder("runs", f"{name}-{dataset.name}")
    limits = {k: v for k in ("steps", "epochs", "minutes") if (v := getattr(options, k)) is not None}
    fast = os.environ.get("TINYGAN_FAST") == "1" and not limits
    options.sample_every = options.sample_every or (FAST_STEPS // 3 if fast else 100)
    trainer = Trainer(
        gan,
        dataset,
        folder,
        options.batch,
        options.d_steps,
        sample_every=options.sample_every,
        checkpoint_every=options.checkpoint_every,
        checkpoint_minutes=options.checkpoint_minutes or 1.0,
        config={"model": name, "command": " ".join(["tinygan", *sys.argv[1:]]), "options": _kept(options, dataset)},
        resume=bool(options.resume),
    )
    print(_describe(name, gan, options.batch))
    if workers.size > 1:
        print(f"{workers.size} processes train it together; of each batch, this one takes {trainer.rows.size}.")
    print(f"Going on at step {trainer.step} in {folder}" if options.resume else f"Writing to {folder}", flush=True)
    _fit(trainer, folder, limits or {"steps": FAST_STEPS if fast else model.steps})
    if fast:
        print("TINYGAN_FAST=1: so few steps draw only grey. Everything works; train without it to see images.")
    print(f"More samples: tinygan sample {folder}")


def _fit(trainer: Trainer, folder: str | Path, limits: dict[str, Any]) -> None:
    """Train, and say what is there afterwards, however it ended."""
    try:
        trainer.fit(**limits)
    except (KeyboardInterrupt, SystemExit):
        if Path(folder).exists():
            print(f"To go on: tinygan train --resume {folder}")
        raise
    finally:
        if trainer.step:
            results = [name for name in RESULTS if (Path(folder) / name).exists()]
            steps = "1 step" if trainer.step == 1 else f"{trainer.step} steps"
            print(f"{steps} done. Look at {', '.join(results)} in {folder}.")


def sample(options: argparse.Namespace) -> None:
    _use_device(options.device)
    generator, latent_size, classes = runs.load_generator(options.run)
    columns = options.walk or (class_columns(classes) if options.label is None else None)
    if options.walk:
        latents = sampling.walk_latents(options.n or 8, options.walk, latent_size, options.seed)
        labels = sampling.choose_labels(options.n or 8, classes, options.label, options.seed)
        labels = None if labels is None else labels.repeat(options.walk)  # a walk stays within its class
    else:
        latents = sampling.draw_latents(options.n or 8 * (columns or 8), latent_size, options.seed)
        labels = sampling.choose_labels(len(latents), classes, options.label, options.seed)
    out = options.out or os.path.join(options.run, f"{'walk' if options.walk else 'sample'}-{options.seed}.png")
    print("Wrote", sampling.write_images(generate(generator, latents, labels), out, columns))


def evaluate(options: argparse.Namespace) -> None:
    _use_device(options.device)
    reference = options.data or metrics.reference_name(options.place)
    samples = metrics.find_samples(options.place, options.n, options.seed)
    print(f"Judging {samples.source}. This takes about a minute for 10,000.", flush=True)
    evaluation = metrics.evaluate(samples, *metrics.load_reference(reference))
    print(evaluation)
    folder = options.out or metrics.report_folder(options.place)
    files = metrics.write_report(evaluation, folder, metrics.training_log(options.place))
    print("Wrote", " and ".join(map(str, files)))


def export(options: argparse.Namespace) -> None:
    generator, latent_size, classes = runs.load_generator(options.run)
    out = options.out or os.path.join(options.run, "generator.safetensors")
    suffix = Path(out).suffix.lower()
    if suffix not in (".safetensors", ".onnx"):
        raise SettingError(f"can't write {out}: a name that ends in .safetensors or .onnx is expected")
    if suffix == ".onnx":
        save_onnx(out, generator, latent_size)
    else:
        about = {"made_by": f"tinygan {__version__}", "latent_size": str(latent_size), "network": generator.describe()}
        about |= {"classes": str(classes)} if classes else {}
        save_safetensors(out, generator.state_dict(), about)
    print(f"Wrote the averaged generator, {sum(p.size for p in generator.parameters()):,} parameters, in {out}")


def examine(options: argparse.Namespace) -> None:
    print(doctor.report())


def _print_profile(options: argparse.Namespace, name: str, gan: GAN, dataset: data.Dataset) -> None:
    """Where a step's time goes, by layer, in place of a training."""
    steps = options.steps or STEPS
    print(_describe(name, gan, options.batch))
    print(f"Where the time of a step of D and one of G goes: means of the faster half of {steps} steps.\n", flush=True)
    print(profile_training(gan, dataset, options.batch, steps))


def _kept(options: argparse.Namespace, dataset: data.Dataset) -> dict[str, Any]:
    """The options that make a run what it is, for config.json."""
    named = options.data is None or options.data in data.NAMES
    place = dataset.name if named else os.path.abspath(options.data)
    return {**{key: getattr(options, key) for key in KEPT}, "data": place}


def _take_up_options(options: argparse.Namespace, workers: Workers) -> None:
    """Fill in the options of the run to go on with. Those that would make another run of it can't be given."""
    config = workers.broadcast_json(runs.read_config(Path(options.resume)) if workers.rank == 0 else None)
    kept, where = config.get("options"), os.path.join(options.resume, "config.json")
    if not isinstance(kept, dict):
        raise SettingError(
            f"{where} has no options, so another program made this run; resume it there, with Trainer(…, resume=True)"
        )
    if given := [key for key in (*KEPT, "out") if key not in MOVABLE and getattr(options, key) is not None]:
        raise SettingError(f"--resume goes on with a run as it is: --{', --'.join(given)} can't be given with it")
    if (options.steps, options.epochs, options.minutes) == (None, None, None):
        kept = {**kept, "steps": config.get("steps"), "minutes": config.get("minutes")}
    for key, kinds in (KEPT | {"steps": int, "minutes": (int, float)}).items():
        value = kept.get(key)
        if value is not None and (isinstance(value, bool) != (kinds is bool) or not isinstance(value, kinds)):
            raise DataError(f"{where}: {key} is {value!r:.60}, which the option doesn't take")
        if value is not None and getattr(options, key) is None:
            setattr(options, key, value)
    options.clusters = options.clusters or 0  # of a run from before there were any


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


def _told(options: argparse.Namespace, dataset: data.Dataset, model: models.Model) -> tuple[data.Dataset, int | None]:
    """The data with the labels that the players are told, its own or clusters', and of how many classes; or None."""
    if not options.conditional:
        return _clustered(options, dataset, model)
    if options.clusters:
        raise SettingError("--conditional tells the players the labels, --clusters what is found without: give one")
    if dataset.classes is None:
        raise SettingError(f"--conditional needs data with labels, and {dataset.name} has none")
    if dataset.classes > CLASS_LIMIT:
        raise SettingError(f"--conditional: {dataset.name} has labels up to {dataset.classes - 1}; number its classes "
                           f"from 0, at most {CLASS_LIMIT}")  # fmt: skip
    return dataset, dataset.classes


def _clustered(
    options: argparse.Namespace, dataset: data.Dataset, model: models.Model
) -> tuple[data.Dataset, int | None]:
    """The data in clusters: as many as the options say, or else as the model says, if they come out alike in size."""
    wanted, asked = options.clusters, options.clusters is not None
    if not asked:
        wanted = min(model.clusters, len(dataset) // CLUSTER_IMAGES)
        options.clusters = 0
    if wanted == 0 or (wanted == 1 and not asked):
        return dataset, None
    clustered = data.cluster(dataset, wanted, options.seed or 0)
    _, sizes = np.unique(np.asarray(clustered.labels), return_counts=True)
    if not asked and sizes.max() > 2 * len(dataset) / wanted:
        print("Many of them are the same, so they can't be cut into clusters; nothing is told.")
        return dataset, None
    options.clusters = wanted
    print(f"They are cut into {len(sizes)} clusters, without labels, and both players are told which.")
    return clustered, len(sizes)


def _describe(name: str, gan: GAN, batch_size: int) -> str:
    sizes = [sum(p.size for p in player.parameters()) for player in (gan.generator, gan.discriminator)]
    place = f"cpu, {thread_count()} threads" if backend.device() == "cpu" else "gpu"
    return (
        f"{name}: G has {sizes[0]:,} parameters, D {sizes[1]:,}; {gan.objective.describe()} objective, "
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
    _add_evaluate(commands)
    _add_export(commands)
    lessons.add_command(commands)
    command = commands.add_parser("doctor", help="what this machine has, and a hint for each problem")
    command.set_defaults(command=examine)
    return parser


def _add_train(commands: Any) -> None:
    command = commands.add_parser(
        "train",
        help="train a GAN and keep its samples, film, curves and model in a run folder",
        description="Train a GAN. Without options: the model `small` on MNIST, clearly legible digits in minutes.",
        epilog="On several machines or processors: mpiexec -n 4 tinygan train … (with the extra tinygan[mpi]) trains "
        "what one process trains. Environment: TINYGAN_DATA, a folder with mnist/; TINYGAN_OFFLINE=1, no downloads; "
        "TINYGAN_THREADS; TINYGAN_FAST=1, a training of seconds that only shows that everything works.",
    )
    add = command.add_argument
    add("--model", metavar="NAME", help=f"one of: {', '.join(models.MODELS)} (small if not given)")
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
    add("--conditional", action="store_true", default=None, help="tell both players the labels, so that G draws what "
        "it is asked for: tinygan sample RUN --label 7")  # fmt: skip
    add("--clusters", type=_whole, metavar="N", help="cut the images into N parts that look alike, without labels, and "
        "tell both players which; 0: don't (of `small` 100 if not given, fewer for less than "
        f"{100 * CLUSTER_IMAGES:,} images)")  # fmt: skip
    length = command.add_mutually_exclusive_group()
    length.add_argument("--steps", type=_positive, metavar="N", help="steps of G (the model's own number if not given)")
    length.add_argument("--epochs", type=_above_zero, metavar="N", help="passes over the data")
    length.add_argument("--minutes", type=_above_zero, metavar="N", help="time")
    add("--batch", type=_positive, metavar="N", help="images a step (the model's own number if not given)")
    add("--lr", type=_above_zero, help="learning rate of both players (the model's own if not given)")
    add("--d-steps", type=_positive, metavar="N", help="steps of D for each of G's (if not given: 5 for wgan-clip "
        "and wgan-gp, else 1)")  # fmt: skip
    add("--seed", type=_whole, help="the same seed gives the same bytes (0 if not given)")
    add("--resume", metavar="RUN", help="go on with this run, to the same bytes as if it had never stopped; with "
        "--steps, --epochs or --minutes to that length in all, with --data where its data moved")  # fmt: skip
    add("--out", metavar="DIR", help="the run folder, a new one (default: runs/MODEL-DATA-N)")
    add("--sample-every", type=_positive, metavar="N", help="steps between two sample grids (100 if not given)")
    add("--checkpoint-minutes", type=_above_zero, metavar="N", help="minutes between two checkpoints (1 if not given)")
    add("--checkpoint-every", type=_positive, metavar="N", help="steps between two checkpoints, besides")
    add("--device", choices=("auto", "cpu", "gpu"), default="auto", help="where to compute (a GPU if there is one)")
    add("--profile", action="store_true", help="make no run, but show where a step's time goes, by layer, forward and "
        f"backward: {STEPS} steps are timed, or --steps")  # fmt: skip
    add("--local-batch-norm", action="store_true", help="under mpiexec: let batch norm take each process's own part "
        "of the batch, and send less, rather than give what one process gives")  # fmt: skip
    command.set_defaults(command=train)


def _add_sample(commands: Any) -> None:
    command = commands.add_parser(
        "sample",
        help="draw images from a trained run",
        description="Draw images from the averaged generator of a run.",
        epilog="Examples: tinygan sample RUN --n 100 --out grid.png | --out images (a folder) | --out images.npy "
        "(float32 (N, H, W, C) in [−1, 1]) | tinygan sample RUN --walk 10 (each row a walk, within its class)",
    )
    add = command.add_argument
    add("run", metavar="RUN", help="the run folder")
    add("--n", type=_positive, metavar="N", help="how many images (64 if not given), or walks (8)")
    add("--seed", type=_whole, default=0, help="which images (0 if not given)")
    add(
        "--label",
        type=_whole,
        metavar="N",
        help="which class, or cluster, to draw of a run that was told (each in turn if not given)",
    )
    add("--walk", type=_positive, metavar="STOPS", help="interpolate between pairs of latents, in so many images")
    add("--out", metavar="PATH", help=".png: a grid; .npy: an array; no suffix: a folder of single PNGs "
        "(default: sample-SEED.png in the run)")  # fmt: skip
    add("--device", choices=("auto", "cpu", "gpu"), default="auto", help="where to compute (a GPU if there is one)")
    command.set_defaults(command=sample)


def _add_evaluate(commands: Any) -> None:
    command = commands.add_parser(
        "evaluate",
        help="measure how good samples are, each metric beside the floor that real images get",
        description="Measure samples with tinygan's own classifier of digits: a table, metrics.json, report.html.",
        epilog="Numbers are comparable where N, the data and the classifier's id are the same.",
    )
    add = command.add_argument
    add("place", metavar="RUN|FOLDER|FILE", help="a run; or images by anyone: a folder, a .npy, a .npz (with labels, "
        "what each sample should show, the accuracy too)")  # fmt: skip
    add("--n", type=_positive, metavar="N", help="how many samples (10,000 of a run, else all)")
    add("--seed", type=_whole, default=0, help="which samples of a run (0 if not given)")
    add("--data", metavar="NAME", help="held against the test images of: mnist, fashion-mnist, digits (default: what "
        "the run was trained on, else mnist)")  # fmt: skip
    add("--out", metavar="DIR", help="where the report goes (default: into the run, else beside the images)")
    add("--device", choices=("auto", "cpu", "gpu"), default="auto", help="where to draw (a GPU if there is one)")
    command.set_defaults(command=evaluate)


def _add_export(commands: Any) -> None:
    command = commands.add_parser(
        "export",
        help="write a trained run's generator for use elsewhere, as safetensors or ONNX",
        description="Write the averaged generator of a run. It takes latents from N(0, I), (N, latent_size), and gives "
        "images in [−1, 1], (N, H, W, C). The metadata of safetensors says the layers; ONNX can be run as it is.",
    )
    command.add_argument("run", metavar="RUN", help="the run folder")
    command.add_argument(
        "--out", metavar="PATH", help="a .safetensors or a .onnx (default: generator.safetensors in the run)"
    )
    command.set_defaults(command=export)


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
