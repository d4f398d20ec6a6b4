"""A training in a few sentences, at its end: how the game stood, what was wrong on the way, what the samples show."""

from collections.abc import Iterator
from statistics import median

import numpy as np

from .. import metrics
from ..data import Dataset
from ..gan import GAN
from .judging import RECENT, Diagnosis, Sign

READ, MISSING, ALONE = 500, 0.01, 0.9  # samples that are read; shares of a class that is missing, or hardly not alone


def in_words(diagnosis: Diagnosis, ending: str, classes: str | None = None) -> str:
    """The report, a paragraph a line. ending: how the training came to its end; classes: what `classes_read` says."""
    return "\n".join([ending, *_game(diagnosis), *filter(None, [classes]), *_warnings(diagnosis)]) + "\n"


def classes_read(gan: GAN, data: Dataset) -> str | None:
    """What the reference classifier reads in samples, a sentence; None for data that it doesn't know."""
    if data.name not in metrics.evaluation.DIGITS or data.image_shape != metrics.classifier.IMAGE_SHAPE:
        return None
    predicted = metrics.read(gan.sample(READ, gan.seed)).predicted
    shares = metrics.class_shares(predicted)
    missing = [str(c) for c in np.flatnonzero(shares < MISSING)]
    rarest, commonest = int(shares.argmin()), int(shares.argmax())
    if shares[commonest] > ALONE:  # so noise is read, too
        return (
            f"The classifier reads {shares[commonest]:.0%} of {READ} samples as {commonest}: G draws one digit alone, "
            "or nothing yet that looks like one."
        )
    if missing:
        told = "" if gan.classes and not data.clustered else ", or tell G what to draw: --conditional, or --clusters"
        return (
            f"Of {READ} samples the classifier reads less than {MISSING:.0%} each as {', '.join(missing)}: G may have "
            f"lost these classes. Train longer, or with MinibatchStdDev in D{told}."
        )
    return f"The classifier finds all ten classes in {READ} samples; the rarest is {rarest}, {shares[rarest]:.1%}."


def _game(diagnosis: Diagnosis) -> Iterator[str]:
    """How things stood at the end: medians of the last lines of the log."""
    series = {name: [v for _, v in diagnosis.numbers[name][-RECENT:]] for name in
              ("d_accuracy", "diversity", "value", "g_gradient", "d_gradient")}  # fmt: skip
    now = {name: median(values) for name, values in series.items() if values}
    if "d_accuracy" in now:
        yield f"D ranks the real image above the fake one in {now['d_accuracy']:.0%} of all pairs; 50% is a coin."
    if "value" in now:
        yield f"V(D, G) is {_signed(now['value'])}; it is −1.386 where G is perfect, and 0 where D is never wrong."
    if "diversity" in now:
        yield f"The fakes are {now['diversity']:.0%} as far from each other as real images are."
    if "g_gradient" in now and "d_gradient" in now:
        yield f"The norm of G's gradient is {now['g_gradient']:.2g}, of D's {now['d_gradient']:.2g}."


def _warnings(diagnosis: Diagnosis) -> Iterator[str]:
    """Each episode, and once for each kind what to try."""
    if not diagnosis.episodes:
        yield "Nothing was found wrong on the way."
    advised = set[Sign]()
    for episode in diagnosis.episodes:
        end = "the end" if episode.until is None else f"step {episode.until}"
        advice = "" if episode.sign in advised else f" Try {episode.sign.advice()}."
        advised.add(episode.sign)
        yield f"From step {episode.since} to {end}: {episode.seen}.{advice}"


def _signed(number: float) -> str:
    return f"{number:.3f}".replace("-", "−")
