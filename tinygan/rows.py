"""Rows of a batch, and the random numbers that belong to them: those of a sample are the same whoever draws them."""

from typing import Any, NamedTuple

import numpy as np

from .errors import ShapeError


class Rows(NamedTuple):
    """Samples start … stop − 1 of a batch of `total`."""

    start: int
    stop: int
    total: int

    @property
    def size(self) -> int:
        return self.stop - self.start

    @property
    def share(self) -> float:
        """Which part of the batch these are: the weight of their mean in the batch's."""
        return self.size / max(1, self.total)

    @property
    def slice(self) -> slice:
        """For what holds a value for each sample of the whole batch: its part for these."""
        return slice(self.start, self.stop)


class RowsGenerator:
    """Draws like `generator`, but gives the numbers of some rows alone: arrays (N, …) of those in the batch's N.

    The next draw goes on after the whole batch's numbers. float32 uniform numbers of other rows, which dropout needs
    in large numbers, are leapt over; all others are drawn and dropped. A first axis that counts k numbers a sample,
    as after (N, T, C) -> (N·T, C), is split likewise.
    Raises ShapeError where the first axis fits no whole number of times into these rows.
    """

    def __init__(self, generator: np.random.Generator, rows: Rows):
        self.generator, self.rows = generator, rows

    def random(self, size: int | tuple[int, ...], dtype: Any = np.float64) -> Any:
        """Uniform numbers in [0, 1)."""
        if dtype != np.float32:
            return self._cut("random", size, dtype=dtype)
        start, stop, total = self._whole(_shape(size))
        width = int(np.prod(_shape(size)[1:]))
        self._leap(start * width)
        result = self.generator.random(size, np.float32)
        self._leap((total - stop) * width)
        return result

    def standard_normal(self, size: int | tuple[int, ...], dtype: Any = np.float64) -> Any:
        """Numbers from N(0, 1)."""
        return self._cut("standard_normal", size, dtype=dtype)

    def uniform(self, low: float, high: float, size: int | tuple[int, ...]) -> Any:
        """Uniform numbers in [low, high)."""
        return self._cut("uniform", size, low, high)

    def integers(self, low: int, high: int, size: int | tuple[int, ...]) -> Any:
        """Whole numbers in [low, high)."""
        return self._cut("integers", size, low, high)

    def _cut(self, method: str, size: int | tuple[int, ...], *numbers: float, **settings: Any) -> Any:
        shape = _shape(size)
        start, stop, total = self._whole(shape)
        return getattr(self.generator, method)(*numbers, size=(total, *shape[1:]), **settings)[start:stop]

    def _whole(self, shape: tuple[int, ...]) -> Rows:
        """The rows as places on the first axis of an array of that shape, were it the whole batch's."""
        own = self.rows.size
        times, rest = divmod(shape[0], own) if shape else (0, 1)
        if rest:
            raise ShapeError(
                f"random numbers of shape {shape} for {own} rows of a batch of {self.rows.total}: "
                f"the first axis has to count the samples, {own} or a multiple of it"
            )
        return Rows(*(times * n for n in self.rows))

    def _leap(self, count: int) -> None:
        """Go on as if `count` float32 numbers had been drawn. PCG64 makes two of them of each of its own numbers."""
        bits: Any = self.generator.bit_generator
        if count and bits.state["has_uint32"]:
            self.generator.random(1, np.float32)
            count -= 1
        if count > 1:
            bits.advance(count // 2)
        if count % 2:
            self.generator.random(1, np.float32)


def generator_of_rows(generator: np.random.Generator, rows: Rows) -> Any:
    """The generator itself where these rows are all, else one that gives their numbers alone."""
    return generator if rows.size == rows.total else RowsGenerator(generator, rows)


def _shape(size: int | tuple[int, ...]) -> tuple[int, ...]:
    return (size,) if isinstance(size, int) else tuple(size)
