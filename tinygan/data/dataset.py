"""A data set in memory: images, labels, and batches that a run can take up again at any step."""

import hashlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..backend import generator
from ..errors import DataError, SettingError

Images = NDArray[np.float32]
Labels = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images, float32 (N, H, W, C) in [−1, 1], and labels, int64 (N,) or None.

    `source` is a sentence that says where the images came from. C is 1 (grey) or 3 (red, green, blue).
    `clustered`: the labels are clusters that `cluster` found, not what anybody says the images show.
    Raises DataError where the arrays are anything else; NaN and infinity are named with their place.
    """

    images: Images = field(repr=False)
    labels: Labels | None = field(repr=False)
    name: str
    source: str
    clustered: bool = field(default=False, repr=False)

    def __post_init__(self) -> None:
        _check_images(self.images, self.name)
        if self.labels is not None:
            _check_labels(self.labels, len(self.images), self.name)
        object.__setattr__(self, "images", np.ascontiguousarray(self.images))

    def __len__(self) -> int:
        return len(self.images)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, C)"""
        _, height, width, channels = self.images.shape
        return height, width, channels

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the images and their shape, in hex: the same data, the same string."""
        digest = hashlib.sha256(repr(self.images.shape).encode())
        digest.update(self.images.data)
        return digest.hexdigest()

    @cached_property
    def labelled_fingerprint(self) -> str:
        """SHA-256 of the images, their shape and their labels."""
        labels = b"" if self.labels is None else self.labels.tobytes()
        return hashlib.sha256(self.fingerprint.encode() + labels).hexdigest()

    @property
    def classes(self) -> int | None:
        """How many classes the labels are of: one more than the largest; None where there are no labels."""
        return None if self.labels is None else int(self.labels.max()) + 1

    def batches(self, batch_size: int, seed: int, start: int = 0) -> Iterator[Images]:
        """Batches (batch_size, H, W, C) without end, from batch number `start` on.

        Each epoch is a new permutation that follows from the seed and the epoch's number; what is left
        over at its end, less than a batch, is dropped. Skipping to `start` costs nothing.
        Raises DataError where a batch is larger than the data, SettingError for numbers out of range.
        """
        return (images for images, _ in self.labelled_batches(batch_size, seed, start))

    def labelled_batches(
        self, batch_size: int, seed: int, start: int = 0, rows: slice = slice(None)
    ) -> Iterator[tuple[Images, Labels | None]]:
        """The same batches, each with its labels (batch_size,), or None; of each, these rows."""
        if batch_size < 1 or start < 0:
            raise SettingError(
                f"batches(batch_size={batch_size}, start={start}): at least 1 and at least 0 are expected"
            )
        if batch_size > len(self):
            raise DataError(
                f"{self.name}: a batch of {batch_size} images is larger than the data, {len(self)} images. "
                f"Use a batch size of at most {len(self)}, or load more images."
            )
        return self._batches(batch_size, seed, start, rows)

    def _batches(self, batch_size: int, seed: int, start: int, rows: slice) -> Iterator[tuple[Images, Labels | None]]:
        per_epoch = len(self) // batch_size
        first_epoch, skip = divmod(start, per_epoch)
        for epoch in itertools.count(first_epoch):
            order = generator(seed, "shuffle", epoch).permutation(len(self))
            for i in range(skip, per_epoch):
                chosen = order[i * batch_size : (i + 1) * batch_size][rows]
                yield self.images[chosen], None if self.labels is None else self.labels[chosen]
            skip = 0


def from_bytes(images: NDArray[np.uint8]) -> Images:
    """uint8 0 … 255 to float32 −1 … 1, both ends exactly."""
    result = images.astype(np.float32)
    result /= 127.5  # in place, since a data set may be a large part of the memory
    result -= 1
    return result


def checked_count(count: int | None, available: int, name: str) -> int:
    """How many images to take: `count`, or all. DataError where there are fewer, SettingError below 1."""
    if count is None:
        return available
    if count < 1:
        raise SettingError(f"count={count}: at least 1 image is expected")
    if count > available:
        raise DataError(f"{name}: {count} images were asked for, but there are {available}. Ask for fewer.")
    return count


def most_unpacked(packed: int) -> int:
    """How many bytes so many compressed ones may hold: more is a bomb. MNIST has 5 for each, drawn digits have 4."""
    return max(2**25, 100 * packed)


def _check_images(images: NDArray[Any], name: str) -> None:
    if not isinstance(images, np.ndarray) or images.dtype != np.float32:
        found = getattr(images, "dtype", type(images).__name__)
        hint = "images.astype(numpy.float32)" + (" / 127.5 − 1" if found == np.uint8 else "")
        raise DataError(f"{name}: images must be a float32 NumPy array, not {found}: {hint}")
    if images.ndim != 4:
        raise DataError(f"{name}: images have the shape {images.shape}, but (N, H, W, C) is expected, 4 axes")
    if images.size == 0:
        raise DataError(f"{name}: there are no images, the shape is {images.shape}. At least one is needed.")
    if images.shape[3] not in (1, 3):
        hint = " Are channels on axis 1? Then: images.transpose(0, 2, 3, 1)." if images.shape[1] in (1, 3) else ""
        raise DataError(f"{name}: images have the shape {images.shape} (N, H, W, C), but C must be 1 or 3.{hint}")
    check_values(images, name)


def check_values(images: NDArray[Any], name: str) -> None:
    """Raise DataError where a value is NaN, infinite, or outside of [−1, 1]; it names the first image and place."""
    # NaN comes through min and max, so that good data costs two passes and no memory.
    low, high = images.min(), images.max()
    if low >= -1 and high <= 1:
        return
    # `not (inside)` rather than `outside`: comparisons with NaN are False
    index = tuple(int(i) for i in np.argwhere(~((images >= -1) & (images <= 1)))[0])
    value = images[index]
    message = f"{name}: image {index[0]} has the value {value} at position {index[1:]}"
    if not np.isfinite(value):
        raise DataError(f"{message}. Images must be finite: repair or drop it.")
    raise DataError(
        f"{message}, but values must lie in [−1, 1] and these lie in [{low:g}, {high:g}]. "
        "For values 0 … 1 use 2·x − 1; for values 0 … 255 use uint8 in a file, or x / 127.5 − 1."
    )


def _check_labels(labels: NDArray[Any], count: int, name: str) -> None:
    if not isinstance(labels, np.ndarray) or labels.dtype != np.int64:
        found = getattr(labels, "dtype", type(labels).__name__)
        raise DataError(f"{name}: labels must be an int64 NumPy array, not {found}: labels.astype(numpy.int64)")
    if labels.shape != (count,):
        raise DataError(f"{name}: labels have the shape {labels.shape}, but {count} images need ({count},)")
