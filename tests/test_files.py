"""atomic_write: a file is whole or as it was, and nothing is left behind."""

import builtins
import errno
import io
import os
import sys
import threading
from pathlib import Path

import pytest

from tinygan.errors import FileError
from tinygan.files import atomic_write, only_writer, remove_leftovers


@pytest.fixture
def target(tmp_path):
    """A file that holds b"old", alone in its folder."""
    path = tmp_path / "file.bin"
    path.write_bytes(b"old")
    return path


def untouched(target):
    return target.read_bytes() == b"old" and list(target.parent.iterdir()) == [target]


def no_space(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.smoke
def test_replaces_the_whole_file(target):
    with atomic_write(str(target)) as file:
        file.write(b"new")
        assert target.read_bytes() == b"old"
    assert target.read_bytes() == b"new"
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_failure_inside_leaves_everything_as_it_was(target, error):
    with pytest.raises(error), atomic_write(target) as file:
        file.write(b"half")
        raise error("inside")
    assert untouched(target)


def test_no_file_appears_where_none_was(tmp_path):
    with pytest.raises(KeyboardInterrupt), atomic_write(tmp_path / "new.bin") as file:
        file.write(b"half")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_full_disk_at_fsync(target, monkeypatch):
    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(FileError, match=r"file\.bin: No space left on device.*unchanged"), atomic_write(target) as file:
        file.write(b"half")
    assert untouched(target)


def test_leftovers_are_removed_and_nothing_else(target):
    for name in (".tinygan-ab12.tmp", "x.tmp", ".tinygan-ab12.txt"):
        target.with_name(name).write_bytes(b"half")
    target.with_name(".tinygan-folder.tmp").mkdir()
    remove_leftovers(target.parent)
    names = {path.name for path in target.parent.iterdir()}
    assert names == {"file.bin", "x.tmp", ".tinygan-ab12.txt", ".tinygan-folder.tmp"}


@pytest.mark.skipif(sys.platform == "win32", reason="no such locks there")
def test_a_folder_has_one_writer(tmp_path):
    for _ in range(2):
        with only_writer(tmp_path), pytest.raises(FileError, match="going on in it already"), only_writer(tmp_path):
            pass
    assert list(tmp_path.iterdir()) == []


def test_where_there_are_no_locks_nothing_is_guarded(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "fcntl", None)
    with only_writer(tmp_path), only_writer(tmp_path):
        pass
    with only_writer(tmp_path / "missing"):
        pass


def test_full_disk_at_write(target, monkeypatch):
    class Full(io.FileIO):
        write = no_space

    monkeypatch.setattr(builtins, "open", Full)
    with pytest.raises(FileError, match="No space left on device"), atomic_write(target) as file:
        file.write(b"half")
    monkeypatch.undo()
    assert untouched(target)


@pytest.mark.parametrize(
    "where, reason",
    [
        ("missing/file.bin", "No such file or directory.* Make the folder .*missing first"),
        ("plain/file.bin", "Not a directory"),
        ("folder", "Is a directory"),
        ("x" * 300, "File name too long"),
    ],
)
def test_a_place_that_cannot_be_written(tmp_path, where, reason):
    (tmp_path / "plain").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    with pytest.raises(FileError, match=reason) as caught, atomic_write(tmp_path / where) as file:
        file.write(b"new")
    assert where in str(caught.value)
    assert isinstance(caught.value.__cause__, OSError)
    assert {path.name for path in tmp_path.iterdir()} == {"plain", "folder"}


def test_empty_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileError), atomic_write("") as file:
        file.write(b"new")
    assert list(tmp_path.iterdir()) == []


def test_the_longest_allowed_name(tmp_path):
    path = tmp_path / ("x" * 255)
    with atomic_write(path) as file:
        file.write(b"new")
    assert path.read_bytes() == b"new"


def test_a_file_error_from_inside_keeps_its_words(target):
    with pytest.raises(FileError, match=r"^could not read other$"), atomic_write(target):
        raise FileError("could not read other")
    assert untouched(target)


def test_a_link_stays_a_link(target):
    link = target.with_name("link.bin")
    link.symlink_to(target)
    with atomic_write(link) as file:
        file.write(b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"


def test_writers_of_one_file_do_not_meet(tmp_path):
    """Sixteen threads inside at once: each writes its own temporary file, and the last rename wins whole."""
    path, barrier, failures = tmp_path / "file.bin", threading.Barrier(16, timeout=30), []

    def write(number):
        try:
            with atomic_write(path) as file:
                file.write(bytes([number]) * 1000)
                barrier.wait()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    content = path.read_bytes()
    assert failures == []
    assert content == content[:1] * 1000
    assert list(tmp_path.iterdir()) == [Path(path)]
