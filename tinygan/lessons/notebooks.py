"""The notebooks of the course as files: where they are, what they say of themselves, their version for learners.

A notebook is JSON, and read as such: listing lessons and starting one needs no Jupyter.
"""

import copy
import json
import re
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from ..errors import DataError, FileError, SettingError
from ..files import atomic_write

Notebook = dict[str, Any]
Cell = dict[str, Any]

STUB = "raise NotImplementedError"

# The same in every lesson, since each must work alone; the address is a setting, and this is its one place.
FIRST_CELL = """\
import importlib.util
import os
import subprocess
import sys

if importlib.util.find_spec("tinygan") is None:  # a fresh environment, or Colab: install from the repository
    address = os.environ.get("TINYGAN_REPOSITORY", "https://example.org/tinygan.git")
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", f"git+{address}"], check=True)

import numpy as np
import tinygan as tg
from tinygan import grading, plotting

FAST = os.environ.get("TINYGAN_FAST") == "1"  # much shorter runs, to see that everything works
print(f"Python {sys.version.split()[0]}, NumPy {np.__version__}, tinygan {tg.__version__}")"""


@dataclass(frozen=True)
class Lesson:
    """number: 1, 2, …   title, idea: a few words.   time: of the whole notebook on two cores, such as "20 s"."""

    number: int
    title: str
    idea: str
    time: str
    path: Path

    def read(self) -> Notebook:
        return read_notebook(self.path)


def notebooks_folder() -> Path:
    """lessons/ beside the package in a checkout; where share/tinygan/lessons went in an installation."""
    beside = Path(__file__).parents[2] / "lessons"
    if _notebooks_in(beside):
        return beside
    try:
        installed = metadata.files("tinygan") or []
    except metadata.PackageNotFoundError:
        installed = []
    for file in installed:
        if file.match("share/tinygan/lessons/*.ipynb"):
            return Path(str(file.locate())).resolve().parent
    raise FileError("the lessons' notebooks are not here: install tinygan again, or run this in a checkout")


def _notebooks_in(folder: Path) -> list[Path]:
    return sorted(folder.glob("[0-9][0-9]_*.ipynb"))


def all_lessons() -> list[Lesson]:
    """Every lesson there is, in order."""
    return [_describe(path) for path in _notebooks_in(notebooks_folder())]


def _describe(path: Path) -> Lesson:
    about = read_notebook(path)["metadata"]
    own = about.get("tinygan", {})
    return Lesson(int(path.name[:2]), about.get("title", path.stem), own.get("idea", ""), own.get("time", ""), path)


def find_lesson(number: str) -> Lesson:
    """The lesson of that number, as a user types it. Raises SettingError, which lists what there is."""
    lessons = all_lessons()
    for lesson in lessons:
        if number.lstrip("0") == str(lesson.number):
            return lesson
    there = "; ".join(f"{lesson.number} {lesson.title}" for lesson in lessons)
    raise SettingError(f"there is no lesson {number!r}, there are: {there}")


def read_notebook(path: Path) -> Notebook:
    """A notebook's JSON, with every source as one string. Raises FileError (can't be read), DataError (no notebook)."""
    try:
        notebook: Notebook = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise FileError(f"could not read {path}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is no notebook: {error}") from None
    if not _is_notebook(notebook):
        raise DataError(f"{path} is no notebook of format 4: it has no list of cells")
    for cell in notebook["cells"]:
        cell["source"] = "".join(cell["source"])
    return notebook


def _is_notebook(found: Any) -> bool:
    return isinstance(found, dict) and isinstance(found.get("metadata"), dict) and _are_cells(found.get("cells"))


def _are_cells(found: Any) -> bool:
    return isinstance(found, list) and all(
        isinstance(cell, dict)
        and isinstance(cell.get("cell_type"), str)
        and isinstance(cell.get("metadata"), dict)
        and isinstance(cell.get("source"), str | list)
        and all(isinstance(line, str) for line in cell["source"])
        for cell in found
    )


def write_notebook(notebook: Notebook, path: Path) -> None:
    """Write it as Jupyter does; the folder is made where it is missing. Raises FileError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"could not make {path.parent}: {error.strerror or error}") from error
    cells = [{**cell, "source": cell["source"].splitlines(keepends=True)} for cell in notebook["cells"]]
    text = json.dumps({**notebook, "cells": cells}, ensure_ascii=False, indent=1, sort_keys=True)
    with atomic_write(path) as file:
        file.write(f"{text}\n".encode())


def part(cell: Cell) -> tuple[str, str]:
    """Exercise and kind by the cell's grade_id: "L03-ex1-check" is ("L03-ex1", "check"). Other cells are ("", "").

    The kinds: "answer", "check", and "go-on", which defines the reference answer where the learner's has failed.
    """
    found = re.fullmatch(r"(L\d\d-ex\d+)-(answer|check|go-on)", str(_grader(cell).get("grade_id")))
    return (found[1], found[2]) if found else ("", "")


def _grader(cell: Cell) -> dict[str, Any]:
    """nbgrader's part of the cell's metadata."""
    found = cell["metadata"].get("nbgrader")
    return found if isinstance(found, dict) else {}


def code_cells(notebook: Notebook) -> list[Cell]:
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def exercises(notebook: Notebook) -> dict[str, float]:
    """The points of each exercise, by its name, such as "L03-ex1"."""
    return {part(cell)[0]: _grader(cell)["points"] for cell in notebook["cells"] if part(cell)[1] == "check"}


def student_version(notebook: Notebook) -> Notebook:
    """A copy without solutions, hidden tests and outputs: what nbgrader's generate_assignment makes of it."""
    student = copy.deepcopy(notebook)
    for cell in code_cells(student):
        cell["source"] = _replace(_replace(cell["source"], "SOLUTION", STUB), "HIDDEN TESTS")
        cell.update(outputs=[], execution_count=None)
    return student


def _replace(source: str, what: str, stub: str = "") -> str:
    """The lines from `### BEGIN what` to `### END what` as one, indented like the first, or as none."""
    lines = rf"^([ \t]*)### BEGIN {what}\n.*?### END {what}[ \t]*(\n|\Z)"
    return re.sub(lines, rf"\1{stub}\n" if stub else "", source, flags=re.MULTILINE | re.DOTALL).rstrip("\n")
