"""An evaluation as files: metrics.json, and report.html, which holds its pictures and needs nothing else."""

import base64
import html
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from .. import plotting, runs
from ..errors import DataError, FileError
from ..files import atomic_write
from ..plotting.report import class_bars, figure_png, grid_png
from .classifier import ID, SHA256
from .evaluation import Evaluation, Measured

SHOWN = 100  # samples
PAIRS = 10  # of a sample and the training image nearest to it: the first, and the closest

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem; color: #222;
  background: #fff; }
table { border-collapse: collapse; }
td, th { padding: 0.2rem 0.8rem; border-bottom: 1px solid #ccc; text-align: right; }
td:first-child, th:first-child { text-align: left; }
img { width: 100%; } img.pixels { image-rendering: pixelated; max-width: 38rem; }
"""


def write_report(
    evaluation: Evaluation, folder: str | os.PathLike[str], log: Sequence[runs.Line] = ()
) -> tuple[Path, Path]:
    """Write metrics.json and report.html into a folder, made if need be, in place of older ones; gives their paths.

    log: of the training, for the curves of its losses. Raises FileError where the files can't be written.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"could not make the folder {folder}: {error.strerror or error}") from error
    numbers, page = folder / "metrics.json", folder / "report.html"
    runs.save_json(numbers, {**evaluation.as_json(), "versions": runs.versions()})
    with atomic_write(page) as file:
        file.write(as_html(evaluation, log).encode())
    return numbers, page


def as_html(evaluation: Evaluation, log: Sequence[runs.Line] = ()) -> str:
    """The report as one self-contained page."""
    name = html.escape(f"How good is {evaluation.samples.name}?")
    return "\n".join(
        [
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{name}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<h1>{name}</h1>",
            *_metrics(evaluation),
            *_samples(evaluation),
            *_classes(evaluation),
            *_neighbours(evaluation),
            *_curves(log),
            "</body>\n</html>\n",
        ]
    )


def _metrics(evaluation: Evaluation) -> Iterator[str]:
    samples, test = evaluation.samples, evaluation.test
    yield "<h2>Metrics</h2>"
    yield _paragraph(
        f"{len(samples):,} images ({samples.source}) against {len(test):,} ({test.source}). The floor is what as many "
        "training images get in place of the samples: no honest generator goes far beyond it. Distances depend on the "
        f"number of images, and on the classifier whose features they compare, {ID} (SHA-256 {SHA256[:12]}…): they are "
        "no FID."
    )
    yield '<table>\n<tr><th scope="col">metric</th><th scope="col">samples</th><th scope="col">floor</th>'
    yield '<th scope="col">better</th></tr>'
    yield from map(_table_row, evaluation.metrics)
    yield "</table>"


def _table_row(row: Measured) -> str:
    cells = "".join(f"<td>{text}</td>" for text in (f"{row.value:.4g}", f"{row.floor:.4g}", row.better))
    return f"<tr><td>{html.escape(row.name)}</td>{cells}</tr>"


def _samples(evaluation: Evaluation) -> Iterator[str]:
    images = evaluation.samples.images[:SHOWN]
    yield "<h2>Samples</h2>"
    yield _picture(grid_png(images, 10), f"The first {len(images)} samples, ten a row, not chosen.", pixels=True)


def _classes(evaluation: Evaluation) -> Iterator[str]:
    if evaluation.shares is None or evaluation.floor_shares is None:
        return
    listed = ", ".join(f"{number}: {share:.1%}" for number, share in enumerate(evaluation.shares))
    yield "<h2>Classes</h2>"
    figure = class_bars(evaluation.shares, evaluation.floor_shares)
    yield _picture(figure_png(figure), f"Bars: the share of each class among the samples. {listed}.")


def _neighbours(evaluation: Evaluation) -> Iterator[str]:
    m = evaluation.memorisation
    closest = np.argsort(m.distance, kind="stable")[:PAIRS]
    rows = [
        images
        for chosen in (np.arange(PAIRS), closest)
        for images in (evaluation.samples.images[chosen], evaluation.train.images[m.nearest[chosen]])
    ]
    yield "<h2>Nearest training images</h2>"
    yield _paragraph(evaluation.verdict())
    alt = (
        f"Samples, and below each the training image nearest to it: above the first {PAIRS} samples, below the {PAIRS} "
        f"that lie closest of all. Root mean square differences of pixels, where black to white is 2: "
        f"{m.distance.mean():.2f} on average, {m.distance.min():.2f} at least."
    )
    yield _picture(grid_png(np.concatenate(rows), PAIRS), alt, pixels=True)


def _curves(log: Sequence[runs.Line]) -> Iterator[str]:
    if not log:
        return
    try:
        figure = plotting.loss_curves(log)
    except DataError:  # no finite number in it
        return
    yield "<h2>Losses</h2>"
    yield _picture(figure_png(figure), f"The losses of D and G over {int(log[-1]['step'])} training steps.")


def _picture(png: bytes, alt: str, pixels: bool = False) -> str:
    """A picture inside of the page, with its alt text, which stands below it too."""
    data, text = base64.b64encode(png).decode(), html.escape(alt)
    kind = ' class="pixels"' if pixels else ""
    return (
        f'<figure><img{kind} src="data:image/png;base64,{data}" alt="{text}"><figcaption>{text}</figcaption></figure>'
    )


def _paragraph(text: str) -> str:
    return f"<p>{html.escape(text)}</p>"
