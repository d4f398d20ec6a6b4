"""A course folder for nbgrader, which hands lessons out to a class and grades what comes back."""

import shutil
from pathlib import Path

from ..errors import FileError
from ..files import atomic_write
from .notebooks import STUB, Lesson

CONFIG = f'''\
"""Settings of this course's nbgrader: see lessons/TEACHING.md of tinygan."""

import os

os.environ["TINYGAN_FAST"] = os.environ["TINYGAN_OFFLINE"] = "1"  # grade with short runs, and without downloads

c = get_config()
c.CourseDirectory.course_id = "tinygan"
c.ClearSolutions.code_stub = {{"python": "{STUB}"}}
c.Execute.timeout = 60  # seconds a cell
c.Execute.extra_arguments = ["--log-level=50"]  # a kernel that says nothing about ports
'''


def make_course(folder: Path, lessons: list[Lesson]) -> None:
    """Write `folder`/nbgrader_config.py and, for each lesson, source/NN_name/NN_name.ipynb, with its solutions."""
    config = folder / "nbgrader_config.py"
    taken = [path for path in (config, folder / "source") if path.exists()]
    if taken:
        raise FileError(f"there is a course already: {taken[0]} exists; name another folder")
    try:
        for lesson in lessons:
            assignment = folder / "source" / lesson.path.stem
            assignment.mkdir(parents=True)
            shutil.copyfile(lesson.path, assignment / lesson.path.name)
    except OSError as error:
        raise FileError(f"could not write {folder}: {error.strerror or error}") from error
    with atomic_write(config) as file:
        file.write(CONFIG.encode())
