"""Files that are whole or not there: written under a temporary name, then renamed."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from .errors import FileError, SettingError


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open `path` for writing bytes, so that it is replaced whole on success and untouched on failure.

    The temporary file lies in the same folder (a rename across file systems is not atomic), under a name
    that no other thread or process has; where `path` is a link, the file it points to is replaced.
    Raises FileError, naming the file and the system's reason, where it can't be written.
    """
    target = Path(os.path.realpath(path))
    temporary = target.parent / f".tinygan-{os.urandom(8).hex()}.tmp"
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except FileError:
        raise
    except OSError as error:
        reason = error.strerror or str(error)
        raise FileError(f"could not write {os.fspath(path)}: {reason}. What stood there is unchanged.") from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def check_suffix(path: str | os.PathLike[str], suffix: str) -> None:
    """Does the name say what will be in the file?"""
    if Path(path).suffix.lower() != suffix:
        raise SettingError(f"can't write {os.fspath(path)}: this picture is a {suffix} file, so name it that")
