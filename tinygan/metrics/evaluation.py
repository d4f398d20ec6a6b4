"""All metrics of one set of samples, each beside its floor: what as many real images get."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .. import backend
from ..data import Dataset
from ..errors import DataError, ShapeError
from .classes import class_shares, classifier_score, conditional_accuracy, distance_from_uniform, mean_confidence
from .classifier import ID, SHA256, Reading, read
from .features import Floats
from .frechet import frechet_distance
from .kernel_distance import kernel_distance
from .memorisation import Memorisation, memorisation
from .neighbours import neighbourhood

DIGITS = ("mnist", "digits")  # data whose classes are those that the classifier knows

FRECHET = f"Fréchet classifier distance ({ID})"
KERNEL = f"kernel distance ({ID})"
LOWER, HIGHER = "lower", "higher"


@dataclass(frozen=True)
class Measured:
    """A metric's value for the samples, its floor, and which way is better."""

    name: str
    value: float
    floor: float
    better: str


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What was measured on samples, against the test split of a data set; `shares` of the classes where it has digits.

    The floor of each metric is what len(samples) images of the training split, chosen at random, get instead. It hangs
    on their number: MNIST's Fréchet distance from itself is 3 to 4 for 100 images, 0.40 for 1,000, 0.14 for 10,000.
    """

    samples: Dataset
    train: Dataset
    test: Dataset
    metrics: list[Measured]
    shares: Floats | None
    floor_shares: Floats | None
    memorisation: Memorisation

    def value(self, name: str) -> float:
        """The value of the metric of that name."""
        return next(metric.value for metric in self.metrics if metric.name == name)

    def verdict(self) -> str:
        """On memorisation, in a sentence."""
        m = self.memorisation
        said = (
            f"Of the {m.hits:,} real images that are the nearest to some sample, {m.share:.1%} are training images, "
            f"where {m.expected:.1%} are expected of a generator that copies none (z = {m.z:.1f})"
        )
        return f"{said}: about {m.copied:.0%} are copied." if m.found else f"{said}: no sign of memorisation."

    def as_json(self) -> dict[str, Any]:
        """Everything as what JSON can hold."""
        copies = self.memorisation
        return {
            "samples": {"source": self.samples.source, "n": len(self.samples), "sha256": self.samples.fingerprint},
            "reference": {"name": self.test.name, "source": self.test.source, "n": len(self.test)},
            "floor": f"{len(self.samples)} images of the training split in place of the samples",
            "classifier": {"id": ID, "sha256": SHA256},
            "metrics": {m.name: {"value": m.value, "floor": m.floor, "better": m.better} for m in self.metrics},
            "class_shares": None if self.shares is None else self.shares.tolist(),
            "memorisation": {
                **{key: getattr(copies, key) for key in ("hits", "share", "expected", "z", "copied", "found")},
                "mean_distance": float(copies.distance.mean()),
                "least_distance": float(copies.distance.min()),
            },
        }

    def __str__(self) -> str:
        """A table, then the verdict on memorisation."""
        wide = max(len(row.name) for row in self.metrics)
        lines = [f"{row.name:<{wide}}  {row.value:>9.4g}  {row.floor:>9.4g}  {row.better}" for row in self.metrics]
        n = f"N = {len(self.samples):,} samples against {len(self.test):,} test images of {self.test.name}"
        head = f"{'metric':<{wide}}  {'samples':>9}  {'floor':>9}  better"
        return "\n".join([f"{n}; floor: N training images", head, "─" * len(head), *lines, self.verdict()])


def evaluate(samples: Dataset, train: Dataset, test: Dataset) -> Evaluation:
    """Measure samples against the images of `test`; the floors and the search for copies are with those of `train`.

    Raises ShapeError for images that the classifier can't read, DataError for fewer samples than a metric needs, or
    for more than there are training images.
    """
    _check(samples, train, test)
    chosen = backend.generator(0, "floor").permutation(len(train))[: len(samples)]
    reference, fake, real = read(test.images), read(samples.images), read(train.images[chosen])
    rows = _compare(reference.features, fake.features, real.features)
    digits = test.name in DIGITS
    if digits:
        rows += [Measured(name, metric(fake), metric(real), better) for name, metric, better in CLASS_METRICS]
    if digits and samples.labels is not None and not samples.clustered and train.labels is not None:
        accuracy = conditional_accuracy(fake.predicted, samples.labels)
        floor = conditional_accuracy(real.predicted, train.labels[chosen])
        rows.append(Measured("conditional accuracy", accuracy, floor, HIGHER))
    return Evaluation(
        samples,
        train,
        test,
        rows,
        shares=class_shares(fake.predicted) if digits else None,
        floor_shares=class_shares(real.predicted) if digits else None,
        memorisation=memorisation(samples.images, train.images, test.images),
    )


CLASS_METRICS: tuple[tuple[str, Callable[[Reading], float], str], ...] = (
    ("classifier score", lambda reading: classifier_score(reading.probabilities), HIGHER),
    ("mean confidence", lambda reading: mean_confidence(reading.probabilities), HIGHER),
    ("share of the rarest class", lambda reading: float(class_shares(reading.predicted).min()), HIGHER),
    ("classes' distance from uniform", lambda reading: distance_from_uniform(class_shares(reading.predicted)), LOWER),
)


def _compare(reference: Floats, fake: Floats, real: Floats) -> list[Measured]:
    """The metrics that hold features against the reference's."""
    balls, floor = neighbourhood(reference, fake), neighbourhood(reference, real)
    return [
        Measured(FRECHET, frechet_distance(fake, reference), frechet_distance(real, reference), LOWER),
        Measured(KERNEL, kernel_distance(fake, reference), kernel_distance(real, reference), LOWER),
        *(Measured(name, getattr(balls, name), getattr(floor, name), HIGHER) for name in balls._fields),
    ]


def _check(samples: Dataset, train: Dataset, test: Dataset) -> None:
    if samples.image_shape != test.image_shape:
        raise ShapeError(
            f"{samples.name} has images of the shape {samples.image_shape} (H, W, C), "
            f"but those of {test.name}, which they are held against, have {test.image_shape}"
        )
    if len(samples) > len(train):
        raise DataError(
            f"{samples.name}: {len(samples)} samples, but {train.name} has {len(train)} training images, and the floor "
            f"takes as many. Take fewer samples: --n {len(train)}"
        )
