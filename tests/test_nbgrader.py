"""The real nbgrader on a course folder that tinygan made: pytest -m grading (needs the extra `grading`)."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tinygan import cli
from tinygan.lessons import all_lessons, notebooks, student_version

pytestmark = pytest.mark.grading


def nbgrader(folder, *arguments):
    command = [sys.executable, "-m", "nbgrader", *arguments]
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])  # as in an activated environment
    environment = {**os.environ, "PATH": path}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return done.stdout


def solved(release, lesson):
    """The handed-out notebook with the solutions in its answer cells, as a learner would send it back."""
    answers = {notebooks.part(c): c["source"] for c in lesson["cells"] if notebooks.part(c)[1] == "answer"}
    for cell in release["cells"]:
        cell["source"] = answers.get(notebooks.part(cell), cell["source"])
    return release


def cheating(release):
    """Nothing answered, and check cells that say nothing."""
    for cell in release["cells"]:
        if notebooks.part(cell)[1] == "check":
            cell["source"] = "pass"
    return release


def test_points_for_the_solved_notebook_alone(tmp_path):
    pytest.importorskip("nbgrader")
    course = tmp_path / "course"
    assert cli.main(["lessons", "nbgrader", str(course)]) == 0
    lesson = all_lessons()[1]
    name = lesson.path.stem
    nbgrader(course, "generate_assignment", name)

    released = Path(course, "release", name, lesson.path.name)
    for student, change in (
        ("solved", lambda r: solved(r, lesson.read())),
        ("untouched", dict),
        ("cheating", cheating),
    ):
        folder = course / "submitted" / student / name
        folder.mkdir(parents=True)
        (folder / lesson.path.name).write_text(json.dumps(change(notebooks.read_notebook(released))), encoding="utf-8")
    nbgrader(course, "autograde", name)
    nbgrader(course, "export", "--to", "grades.csv")

    with open(course / "grades.csv", newline="", encoding="utf-8") as file:
        rows = {row["student_id"]: row for row in csv.DictReader(file) if row["assignment"] == name}
    points = sum(notebooks.exercises(lesson.read()).values())
    assert {float(row["max_score"]) for row in rows.values()} == {points}
    assert {s: float(row["score"]) for s, row in rows.items()} == {"solved": points, "untouched": 0, "cheating": 0}

    ours, theirs = student_version(lesson.read()), notebooks.read_notebook(released)
    assert [c["source"] for c in ours["cells"]] == [c["source"] for c in theirs["cells"]]

    validate = "import sys; from nbgrader.validator import Validator; print(Validator().validate(sys.argv[1]) == {})"
    for student, expected in (("solved", "True"), ("untouched", "False")):
        path = course / "submitted" / student / name / lesson.path.name
        done = subprocess.run([sys.executable, "-c", validate, path], capture_output=True, text=True, timeout=300)
        assert done.stdout.strip() == expected, done.stderr
