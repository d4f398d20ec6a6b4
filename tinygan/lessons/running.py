"""Notebooks run from top to bottom in a kernel of their own, and learners' notebooks checked. Needs Jupyter."""

import importlib.util
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import SettingError
from .notebooks import Cell, Lesson, Notebook, code_cells, exercises, part, student_version

UNANSWERED = "not answered yet"


def run_notebook(
    notebook: Notebook, folder: Path, limit: float, fast: bool, progress: Callable[[], Any] = lambda: None
) -> dict[int, str]:
    """Run every code cell, in a kernel whose folder is `folder`; the outputs go into the notebook's own cells.

    Gives a sentence on each cell that failed, by its place among the code cells. A cell that runs for more than `limit`
    seconds or ends its kernel costs nothing but itself: a new kernel runs what went before and then what comes after.
    fast: with TINYGAN_FAST=1, and without downloads.   progress: called before each cell.
    """
    _need_jupyter()
    environment = {**os.environ, "TINYGAN_FAST": "1", "TINYGAN_OFFLINE": "1"} if fast else dict(os.environ)
    problems: dict[int, str] = {}
    left_out: set[int] = set()
    while True:
        with _kernel(notebook, folder, limit, environment) as client:
            fatal = _run_cells(client, code_cells(notebook), problems, left_out, progress)
        if fatal is None:
            return problems
        left_out.add(fatal)


def _need_jupyter() -> None:
    missing = [name for name in ("nbclient", "nbformat", "ipykernel") if importlib.util.find_spec(name) is None]
    if missing:
        raise SettingError(
            f"running a notebook needs {', '.join(missing)}: install tinygan with its extra `lessons`, "
            'in a checkout pip install ".[lessons]"'
        )


@contextmanager
def _kernel(notebook: Notebook, folder: Path, limit: float, environment: dict[str, str]) -> Iterator[Any]:
    """A client with a kernel of its own, which is killed at the end."""
    import nbformat
    from nbclient import NotebookClient

    client = NotebookClient(
        nbformat.from_dict({**notebook, "cells": code_cells(notebook)}),  # type: ignore[no-untyped-call]
        kernel_name="python3",
        timeout=limit,
        allow_errors=True,
        record_timing=False,
        shutdown_kernel="immediate",
        resources={"metadata": {"path": str(folder)}},
        extra_arguments=["--log-level=50"],  # nothing about ports, which no learner has asked for
    )
    with ExitStack() as stack:
        try:
            stack.enter_context(client.setup_kernel(env=environment, stderr=subprocess.DEVNULL))
        except (RuntimeError, OSError, KeyError) as error:  # a KeyError is Jupyter's "no such kernel"
            raise SettingError(
                f"no Python kernel starts: {error}. `jupyter kernelspec list` shows which there are"
            ) from error
        yield client


def _run_cells(
    client: Any, cells: list[Cell], problems: dict[int, str], left_out: set[int], progress: Callable[[], Any]
) -> int | None:
    """Enter what fails into `problems`. Gives the place of a cell that was the end of the kernel, else None."""
    from nbclient.exceptions import CellTimeoutError, DeadKernelError

    for place, cell in enumerate(cells):
        if place in left_out:
            continue
        progress()
        problems.pop(place, None)
        try:
            cell.update(client.execute_cell(client.nb.cells[place], place))
        except CellTimeoutError:
            problems[place] = f"stopped after {client.timeout:g} s: an endless loop?"
            return place
        except DeadKernelError:
            problems[place] = "ended the kernel: an exit(), out of memory, or a crash below Python?"
            return place
        if problem := _error_in(cell):
            problems[place] = problem
    return None


def _error_in(cell: Cell) -> str:
    for output in cell.get("outputs", []):
        if output["output_type"] == "error":
            name, value = output["ename"], output["evalue"]
            if name == "NotImplementedError":
                return UNANSWERED
            value = re.sub(r"\((?:<[^>]*>|\d+\.py), line (\d+)\)", r"(line \1 of this cell)", str(value))
            return value if name == "WrongAnswer" else f"{name}: {value}"
    return ""


@dataclass(frozen=True)
class Result:
    """What an exercise brought: `points` of `possible`, and why not all of them."""

    exercise: str
    points: float
    possible: float
    hint: str


@dataclass(frozen=True)
class Report:
    """results: of every exercise of the lesson.   notes: sentences on whatever else was found."""

    lesson: Lesson
    results: list[Result]
    notes: list[str]

    @property
    def points(self) -> float:
        return sum(result.points for result in self.results)

    @property
    def possible(self) -> float:
        return sum(result.possible for result in self.results)


def check_notebook(
    learner: Notebook, lesson: Lesson, folder: Path, limit: float, progress: Callable[[], Any] = lambda: None
) -> Report:
    """Run a learner's notebook, in fast mode, with the lesson's own check cells, and count the points."""
    original = lesson.read()
    notebook = restore_checks(learner, original)
    problems = run_notebook(notebook, folder, limit, True, progress)
    hints: dict[str, str] = {}
    notes = _differences(learner, original)
    for place, cell in enumerate(code_cells(notebook)):
        exercise, kind = part(cell)
        if kind and place in problems:
            hints.setdefault(exercise, problems[place])  # the answer's own error comes before the check's
        elif place in problems:
            notes.append(f"the cell that begins with `{_first_line(cell)}`: {problems[place]}")
    results = [
        Result(name, 0 if name in hints else points, points, hints.get(name, ""))
        for name, points in exercises(original).items()
    ]
    return Report(lesson, results, notes)


def restore_checks(learner: Notebook, original: Notebook) -> Notebook:
    """The learner's notebook with the original's check cells, and those that go on, right after each answer.

    Where an answer cell is gone, they stand where the learner's check stood; where that is gone too, at the end.
    """
    locked: dict[str, list[Cell]] = {}
    for cell in original["cells"]:
        exercise, kind = part(cell)
        if kind in ("check", "go-on"):
            locked.setdefault(exercise, []).append(cell)
    cells = learner["cells"]
    last = {exercise: len(cells) - 1 for exercise in locked}
    for wanted in ("go-on", "check", "answer"):
        last.update({part(cell)[0]: place for place, cell in enumerate(cells) if part(cell)[1] == wanted})
    restored = []
    for place, cell in enumerate(cells):
        if part(cell)[1] not in ("check", "go-on"):
            restored.append(cell)
        for exercise in locked:
            if last[exercise] == place:
                restored += locked[exercise]
    return {**learner, "cells": restored}


def _differences(learner: Notebook, original: Notebook) -> list[str]:
    """A sentence on each cell of an exercise that the learner's notebook lacks, or whose check was changed."""
    own: dict[tuple[str, str], str] = {part(cell): cell["source"] for cell in learner["cells"]}
    wanted = {part(cell): cell["source"] for cell in student_version(original)["cells"] if part(cell)[1]}
    full = {part(cell): cell["source"] for cell in original["cells"]}
    notes = []
    for (exercise, kind), source in wanted.items():
        found = own.get((exercise, kind))
        if found is None and kind == "answer":
            notes.append(f"the cell {exercise}-answer is missing: `tinygan lessons start` gives a fresh copy")
        elif found is None:
            notes.append(f"the cell {exercise}-{kind} was missing: the lesson's own has been put back")
        elif kind == "check" and found not in (source, full[exercise, kind]):
            notes.append(f"the cell {exercise}-check was changed: the lesson's own has been used")
    return notes


def _first_line(cell: Cell) -> str:
    return str(cell["source"]).strip().partition("\n")[0][:60]
