"""A folder of images of any size and kind, as one data set."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, SettingError
from .dataset import Dataset, checked_count, from_bytes

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

# Pillow reads more, but some of those formats run other programs (EPS) or need plugins.
FORMATS = ("BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TGA", "TIFF", "WEBP")
SUFFIXES = (".bmp", ".gif", ".jpg", ".jpeg", ".jp2", ".png", ".pbm", ".pgm", ".ppm", ".tga", ".tif", ".tiff", ".webp")
PIXEL_LIMIT = 2**26  # of one image, looked at before it is unpacked; a camera has 50 million
BYTE_LIMIT = 2**36  # of all images as float32


def load_folder(folder: Path, size: int = 28, channels: int | None = None, count: int | None = None) -> Dataset:
    """The first `count` images below `folder`, sorted by name: float32 (N, size, size, channels), no labels.

    The shorter side is resized to `size`, then the middle is cut out. What is transparent becomes black, 16-bit
    grey becomes 8-bit, a photo's EXIF orientation is applied, an animation gives its first frame. `channels` is
    1 (grey) or 3; None: 1 where all images are grey, else 3. Hidden files and files of other kinds are ignored.
    Raises DataError for a folder without images and for an image that can't be read; the message names it.
    """
    if size < 1 or channels not in (None, 1, 3):
        raise SettingError(
            f"size={size}, channels={channels}: a size of at least 1 and 1, 3 or no channels are expected"
        )
    paths = _find(folder)
    if not paths:
        raise DataError(f"{folder}: there are no images in it. Looked for, at any depth: {', '.join(SUFFIXES)}")
    name = folder.name or str(folder)  # "." has no name
    paths = paths[: checked_count(count, len(paths), name)]
    if (needed := 3 * 4 * len(paths) * size**2) > BYTE_LIMIT:  # three channels of float32
        raise SettingError(
            f"size={size}: {len(paths):,} images of that size take {needed / 2**30:,.0f} GiB; choose a smaller size, "
            "or a smaller count"
        )
    images = np.stack([_read(path, size, channels) for path in paths])
    if channels == 1 or (channels is None and _is_grey(images)):
        images = images[..., :1]
    return Dataset(from_bytes(images), None, name, f"{len(paths)} images in {folder}, resized to {size} × {size}")


def _find(folder: Path) -> list[Path]:
    """All image files below `folder`, sorted by their path in it, whatever the system's order."""
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))
    paths = [folder / name for name in names if not any(part.startswith(".") for part in name.split("/"))]
    return [path for path in paths if path.suffix.lower() in SUFFIXES and path.is_file()]


def _read(path: Path, size: int, channels: int | None) -> NDArray[np.uint8]:
    """One image, uint8 (size, size, 3); its channels are equal where one is asked for or the image is grey."""
    from PIL import Image, ImageOps

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as file:
                if file.width * file.height > PIXEL_LIMIT:
                    raise Image.DecompressionBombError(f"{file.width} × {file.height}, above {PIXEL_LIMIT}")
                image = _on_black(ImageOps.exif_transpose(file))
                image = ImageOps.fit(image, (size, size))
                return np.asarray(image.convert("L").convert("RGB") if channels == 1 else image)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(f"{path}: too many pixels ({error}). Make it smaller first.") from error
    except Exception as error:  # on broken files, Pillow's readers raise errors of many kinds
        raise DataError(f"{path}: can't be read as an image: {error}. Repair or remove it.") from error


def _on_black(image: "PillowImage") -> "PillowImage":
    """The image in mode RGB, its transparent parts over black."""
    from PIL import Image

    if image.mode.startswith("I"):  # 16-bit grey, in any byte order; Pillow's own conversion cuts off at 255
        image = Image.fromarray(np.rint(np.asarray(image).clip(0, 65535) / 257).astype(np.uint8))
    if image.mode == "F":
        raise ValueError("its floating-point grey values have no known range")
    black = Image.new("RGBA", image.size, (0, 0, 0, 255))
    return Image.alpha_composite(black, image.convert("RGBA")).convert("RGB")


def _is_grey(images: NDArray[np.uint8]) -> bool:
    return bool((images == images[..., :1]).all())
