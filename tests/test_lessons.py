"""The wrong-answer bank: a check passes on the solution, and fails on the stub and on every plausible mistake.

An exercise is tried on top of the cells tagged "setup" before it and of the solutions of the exercises before it. The
wrong answers are in tests/wrong_answers/lesson_NN.py: WRONG = {exercise: {mistake: (answer cell, words to be told)}}.
"""

import importlib
import time
from pathlib import Path

import pytest

from tinygan import grading
from tinygan.lessons import all_lessons, notebooks, student_version

BANKS = {int(p.stem[-2:]): f"wrong_answers.{p.stem}" for p in Path(__file__).parent.glob("wrong_answers/lesson_??.py")}


LESSONS = {lesson.number: lesson.read() for lesson in all_lessons()}
EXERCISES = [(number, name) for number, lesson in LESSONS.items() for name in notebooks.exercises(lesson)]
WRONG_ANSWERS = [
    pytest.param(number, exercise, *case, id=f"{exercise}-{mistake}".replace(" ", "_"))
    for number, bank in BANKS.items()
    for exercise, cases in importlib.import_module(bank).WRONG.items()
    for mistake, case in cases.items()
]


def source_of(lesson, exercise, kind):
    (cell,) = [c for c in lesson["cells"] if notebooks.part(c) == (exercise, kind)]
    return cell["source"]


def run(source, namespace, name):
    exec(compile(source, f"<{name}>", "exec"), namespace)


def before(lesson, exercise):
    """A namespace as it is when a learner, whose earlier answers are right, comes to this exercise."""
    namespace = {"__name__": "__main__"}
    for cell in lesson["cells"]:
        name, kind = notebooks.part(cell)
        if (name, kind) == (exercise, "answer"):
            return namespace
        if kind == "answer" or "setup" in cell["metadata"].get("tags", []):
            run(cell["source"], namespace, name or "setup")
    raise AssertionError(f"{exercise} has a check cell, but no answer cell")


def try_answer(number, exercise, answer=None):
    """Run the answer, or the cell's own, and then the check, public and hidden."""
    lesson = LESSONS[number]
    namespace = before(lesson, exercise)
    for kind, source in (("answer", answer or source_of(lesson, exercise, "answer")), ("check", None)):
        run(source or source_of(lesson, exercise, kind), namespace, f"{exercise}-{kind}")


@pytest.fixture(autouse=True)
def fast(monkeypatch):
    monkeypatch.setenv("TINYGAN_FAST", "1")


@pytest.mark.parametrize(("number", "exercise"), EXERCISES, ids=[name for _, name in EXERCISES])
def test_the_solution_passes(number, exercise):
    start = time.process_time()
    try_answer(number, exercise)
    assert time.process_time() - start < 10, "a check takes less than 5 s"


@pytest.mark.parametrize(("number", "exercise"), EXERCISES, ids=[name for _, name in EXERCISES])
def test_the_stub_fails(number, exercise):
    stub = source_of(student_version(LESSONS[number]), exercise, "answer")
    assert notebooks.STUB in stub
    with pytest.raises(NotImplementedError):
        try_answer(number, exercise, stub)


@pytest.mark.parametrize(("number", "exercise", "answer", "words"), WRONG_ANSWERS)
def test_a_wrong_answer_is_told_why(number, exercise, answer, words):
    with pytest.raises(grading.WrongAnswer) as error:
        try_answer(number, exercise, answer)
    assert words in str(error.value)


@pytest.mark.parametrize(("number", "exercise"), EXERCISES, ids=[name for _, name in EXERCISES])
def test_every_exercise_has_its_wrong_answers(number, exercise):
    assert 3 <= len(importlib.import_module(BANKS[number]).WRONG[exercise]) <= 6


@pytest.mark.parametrize("number", BANKS)
def test_every_wrong_answer_has_its_exercise(number):
    assert set(importlib.import_module(BANKS[number]).WRONG) == set(notebooks.exercises(LESSONS[number]))
