"""tinygan lessons: list, start, check, run, nbgrader."""

import argparse
import tempfile
import textwrap
import time
from collections.abc import Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import DataError, FileError, SettingError
from . import classroom, running
from .notebooks import (
    Lesson,
    Notebook,
    all_lessons,
    code_cells,
    exercises,
    find_lesson,
    part,
    read_notebook,
    student_version,
    write_notebook,
)

CHECK_LIMIT = 60.0  # seconds a cell, in fast mode
RUN_LIMIT = 3600.0


def add_command(commands: Any) -> None:
    """Add `lessons` to the commands of the parser's `add_subparsers()`."""
    command = commands.add_parser(
        "lessons",
        help="the course: list lessons, start one, check one's answers",
        description="The course, from the loss formula to a GAN that draws digits, as Jupyter notebooks.",
        epilog="Start with: tinygan lessons start 1, then jupyter lab, then tinygan lessons check FILE",
    )
    actions = command.add_subparsers(title="actions", required=True, metavar="ACTION")
    add = actions.add_parser("list", help="number, points, time, title and idea of each lesson")
    add.set_defaults(command=show_list)
    add = actions.add_parser("start", help="copy a lesson, without its solutions, to work on")
    add.add_argument("lesson", metavar="N", help="its number")
    add.add_argument("--to", type=Path, default=Path(), metavar="DIR", help="the folder (this one if not given)")
    add.set_defaults(command=start)
    add = actions.add_parser(
        "check",
        help="run a notebook and count the points",
        description="Run a learner's notebook in a kernel of its own, in fast mode, and count the points. The file "
        "stays as it is; its check cells are taken from the lesson. Exit status 0 for full marks, else 1.",
    )
    add.add_argument("file", type=Path, metavar="FILE", help="the notebook")
    add.add_argument("--limit", type=float, default=CHECK_LIMIT, metavar="SECONDS",
        help=f"the longest that a cell may take ({CHECK_LIMIT:g} if not given)")  # fmt: skip
    add.set_defaults(command=check)
    add = actions.add_parser("run", help="run lessons, with their solutions, from top to bottom")
    add.add_argument("lesson", metavar="N|all", help="its number, or all of them")
    add.add_argument("--fast", action="store_true", help="much shorter runs, on drawn digits, without downloads")
    add.add_argument("--to", type=Path, metavar="DIR", help="write the notebooks, with their outputs, to this folder")
    add.set_defaults(command=run)
    add = actions.add_parser("nbgrader", help="make a course folder for nbgrader, to hand out and grade in class")
    add.add_argument("folder", type=Path, metavar="DIR", help="a new folder")
    add.set_defaults(command=nbgrader)


def show_list(options: argparse.Namespace) -> None:
    print(" #  exercises  points    time  title: idea")
    for lesson in all_lessons():
        points = exercises(lesson.read())
        counts = f"{len(points):9}  {sum(points.values()):6g}"
        print(f"{lesson.number:2}  {counts}  {lesson.time:>6}  {lesson.title}: {lesson.idea}")
    print("time: of the whole notebook on two cores. Begin: tinygan lessons start 1")


def start(options: argparse.Namespace) -> None:
    lesson = find_lesson(options.lesson)
    target = options.to / lesson.path.name
    if target.exists():
        raise FileError(f"{target} exists, and may hold your work: rename it, or say --to another folder")
    write_notebook(student_version(lesson.read()), target)
    print(f"Lesson {lesson.number}, {lesson.title}, is in {target}.")
    print(f"Open it with: jupyter lab {target}    and check your answers with: tinygan lessons check {target}")


def check(options: argparse.Namespace) -> int:
    if not options.limit > 0:
        raise SettingError(f"--limit {options.limit:g}: a number of seconds above 0 is expected")
    if str(options.file).isdecimal():
        raise SettingError(f"check {options.file}: the file of your notebook is expected, such as 01_the_formula.ipynb")
    notebook = read_notebook(options.file)
    lesson = lesson_of(notebook, options.file)
    with _progress(f"lesson {lesson.number}", notebook) as step:
        report = running.check_notebook(notebook, lesson, options.file.resolve().parent, options.limit, step)
    print(f"{lesson.number} · {lesson.title}")
    print("\n".join(table(report)))
    return 0 if report.points == report.possible else 1


def lesson_of(notebook: Notebook, path: Path) -> Lesson:
    """The lesson that the notebook's exercises belong to. Raises DataError where it has none."""
    numbers = [int(part(cell)[0][1:3]) for cell in notebook["cells"] if part(cell)[1]]
    if not numbers:
        raise DataError(
            f"{path} holds no exercise of any lesson: neither answer nor check cells. "
            "`tinygan lessons start N` gives a fresh copy of lesson N"
        )
    return find_lesson(str(numbers[0]))


def table(report: running.Report) -> Iterable[str]:
    """A line for each exercise, its hint beside it, then the total, then the notes."""
    yield "exercise  points  hint"
    for result in report.results:
        points = f"{result.points:g} / {result.possible:g}"
        hint = [part for line in result.hint.splitlines() for part in textwrap.wrap(line, 92)]
        yield f"{result.exercise:8}  {points:6}  {hint[0] if hint else 'right'}"
        yield from (" " * 18 + line for line in hint[1:])
    yield f"{'total':8}  {report.points:g} / {report.possible:g}"
    yield from (f"Note: {note}." for note in report.notes)


def run(options: argparse.Namespace) -> int:
    lessons = all_lessons() if options.lesson == "all" else [find_lesson(options.lesson)]
    return max([_run_one(lesson, options.fast, options.to) for lesson in lessons])


def _run_one(lesson: Lesson, fast: bool, folder: Path | None) -> int:
    notebook, begun = lesson.read(), time.monotonic()
    name = f"{lesson.number:2} {lesson.title}"
    with _progress(name, notebook) as step, tempfile.TemporaryDirectory() as empty:
        problems = running.run_notebook(notebook, Path(empty), RUN_LIMIT, fast, step)
    print(f"{name}: {time.monotonic() - begun:.1f} s", flush=True)
    for place, problem in problems.items():
        print(f"    code cell {place + 1}: {problem}")
    if folder:
        write_notebook(notebook, folder / lesson.path.name)
    return 1 if problems else 0


@contextmanager
def _progress(name: str, notebook: Notebook) -> Any:
    """A bar over the code cells, on a terminal; gives the function that moves it on."""
    from tqdm.auto import tqdm

    with tqdm(total=len(code_cells(notebook)), desc=name, unit="cell", leave=False, disable=None) as bar:
        yield bar.update


def nbgrader(options: argparse.Namespace) -> None:
    classroom.make_course(options.folder, all_lessons())
    print(f"The course is in {options.folder}. In that folder: nbgrader generate_assignment 01_..., autograde, export;")
    print("lessons/TEACHING.md says how. Grading runs students' code: do it in a container without network.")
