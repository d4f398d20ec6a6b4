"""Files that are whole or not there, written under a temporary name, then renamed; and folders with one writer."""

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
        _sync_folder(target.parent)
    except FileError:
        raise
    except OSError as error:
        reason = error.strerror or str(error)
        if isinstance(error, FileNotFoundError) and not target.parent.exists():
            hint = f"Make the folder {target.parent} first."
        else:
            hint = "What stood there is unchanged."
        raise FileError(f"could not write {os.fspath(path)}: {reason}. {hint}") from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def _sync_folder(folder: Path) -> None:
    """Let a new name outlast a power cut. Where the system can't (Windows), the file is still whole, or as it was."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def remove_leftovers(folder: Path) -> None:
    """Delete what a process that was killed while it wrote left in `folder`. For whoever is its `only_writer`."""
    for path in folder.glob(".tinygan-*.tmp"):
        with suppress(OSError):
            path.unlink()


@contextmanager
def only_writer(folder: Path) -> Iterator[None]:
    """Within this block nobody else gets into such a block on the same folder: FileError for a second one.

    The lock lies on the open folder, so nothing stays behind however a process ends. Where the system has no such
    locks (Windows, some network file systems), nothing is guarded.
    """
    try:
        import fcntl

        handle = os.open(folder, os.O_RDONLY)
    except (ImportError, OSError):
        yield
        return
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FileError(f"{folder}: a training is going on in it already. Stop that one, or wait for it.") from None
        except OSError:
            pass
        yield
    finally:
        os.close(handle)


def check_suffix(path: str | os.PathLike[str], suffix: str) -> None:
    """Does the name say what will be in the file?"""
    if Path(path).suffix.lower() != suffix:
        raise SettingError(f"can't write {os.fspath(path)}: what is written is a {suffix} file, so name it that")
