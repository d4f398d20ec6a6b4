"""MNIST and Fashion-MNIST: from the user's own folder, from the cache, or from a list of mirrors."""

import os
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, MissingDataError
from .dataset import Dataset, checked_count, from_bytes
from .idx import read_idx

TIMEOUT = (3, 10)  # seconds for each address of a mirror to be reached, and then to answer

FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
MIRRORS = {
    "mnist": (
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://raw.githubusercontent.com/fgnt/mnist/master/",
    ),
    "fashion-mnist": (  # the first has no https; the hashes guard what comes from any of them
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    ),
}
SHA256 = {
    "mnist": {
        "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    },
    "fashion-mnist": {
        "train-images-idx3-ubyte.gz": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        "train-labels-idx1-ubyte.gz": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        "t10k-images-idx3-ubyte.gz": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        "t10k-labels-idx1-ubyte.gz": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
    },
}


def load_mnist(name: str, split: str, count: int | None = None) -> Dataset:
    """The first `count` images of "mnist" or "fashion-mnist", float32 (N, 28, 28, 1), and their labels 0 … 9.

    Looked for in $TINYGAN_DATA/<name>/ (read as it is, so that a subset may stand there), then in the cache,
    then on the mirrors, whose files must have the published SHA-256. TINYGAN_OFFLINE=1 forbids the network.
    Raises MissingDataError where none of these has it, DataError where the files don't hold what they should.
    """
    found = _in_own_folder(name, split)
    images_path, labels_path = found or [_fetch(name, f"{file}.gz") for file in FILES[split]]
    images, labels = _read(images_path, 3), _read(labels_path, 1)
    if len(images) != len(labels):
        raise DataError(
            f"{name}: {len(images)} images in {images_path}, but {len(labels)} labels in {labels_path}. "
            "They don't belong together: delete both and load again."
        )
    count = checked_count(count, len(images), name)
    source = f"{name}, {split} split, {'your files' if found else 'the published files'} in {images_path.parent}"
    return Dataset(from_bytes(images[:count, ..., None]), labels[:count].astype(np.int64), name, source)


def _read(path: Path, axes: int) -> NDArray[np.uint8]:
    array = read_idx(path)
    if array.ndim != axes:
        raise DataError(f"{path}: the shape is {array.shape}, but {axes} axes are expected. Are two files swapped?")
    return array


def _in_own_folder(name: str, split: str) -> list[Path] | None:
    """The two files under $TINYGAN_DATA, gzipped or not; None where neither is there."""
    root = os.environ.get("TINYGAN_DATA")
    if not root:
        return None
    folder = Path(root) / name
    paths = [path for file in FILES[split] for path in (folder / file, folder / f"{file}.gz") if path.is_file()]
    found = {path.name.removesuffix(".gz"): path for path in reversed(paths)}  # plain goes before gzipped
    missing = [file for file in FILES[split] if file not in found]
    if len(missing) == 1:
        # Labels from elsewhere could belong to other images: half a data set is refused.
        raise DataError(f"{folder}: {missing[0]} (or {missing[0]}.gz) is missing beside {next(iter(found))}. Add it.")
    return None if missing else [found[file] for file in FILES[split]]


def _fetch(name: str, file: str) -> Path:
    """The path of a published file, from the cache or else from the first mirror that has it."""
    import pooch

    folder, sha256 = Path(pooch.os_cache("tinygan")) / name, SHA256[name][file]
    if (folder / file).is_file() and pooch.file_hash(str(folder / file)) == sha256:
        return folder / file
    own = os.environ.get("TINYGAN_DATA")
    advice = f"TINYGAN_DATA={own} has no {name}/{file}. " if own else ""
    advice += f'Set TINYGAN_DATA to a folder that has {name}/{file}, or use "digits", which needs no download.'
    if os.environ.get("TINYGAN_OFFLINE", "0") not in ("", "0"):
        raise MissingDataError(f"{name}: {file} is not in {folder} and TINYGAN_OFFLINE forbids the network. {advice}")
    pooch.get_logger().setLevel("WARNING")  # it would announce each download; the progress bar says enough
    downloader = pooch.HTTPDownloader(progressbar=sys.stderr.isatty(), timeout=TIMEOUT)
    reasons = []
    for mirror in MIRRORS[name]:
        try:
            # Writes under a temporary name and renames when the hash is right: nothing half-written stays.
            return Path(pooch.retrieve(mirror + file, sha256, file, folder, downloader=downloader))
        except (OSError, ValueError) as error:  # requests' errors are OSErrors; a wrong hash is a ValueError
            reasons.append(f"\n  {mirror}: {_short(error)}")
    raise MissingDataError(f"{name}: {file} could not be downloaded from any mirror.{''.join(reasons)}\n{advice}")


def _short(error: OSError | ValueError) -> str:
    if isinstance(error, ValueError) and not isinstance(error, OSError):
        return "its file has the wrong SHA-256"
    if (response := getattr(error, "response", None)) is not None:
        return f"HTTP status {response.status_code}"
    # requests wraps the cause in layers of "…: …: cause"; the last one tells
    return f"{type(error).__name__}, {str(error).rsplit(': ', 1)[-1].strip(' )')[:80]}"
