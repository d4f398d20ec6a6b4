"""tinygan lessons, as a learner and a teacher type it; with a course of one small lesson, and kernels that are real."""

import copy
import importlib.util
import json
from pathlib import Path

import pytest

from tinygan import cli
from tinygan.lessons import FIRST_CELL, notebooks, running

for module in ("nbclient", "nbformat", "ipykernel"):
    pytest.importorskip(module)

# The lesson enters its own exercises: L90-exK asks for a function `times_K`.
ENTER = """
def enter(k):
    def reference(x):
        return k * x

    def checker(answer, rng):
        grading.expect(answer(3) == 3 * k, f"times_{k}(3) is {answer(3)}")

    reference.__name__ = f"times_{k}"
    grading.exercise(f"L90-ex{k}", reference)(checker)

for k in range(1, 5):
    enter(k)
"""


def cell(source, name="", kind="", **nbgrader):
    found = {"cell_type": "code", "source": source, "metadata": {}, "outputs": [], "execution_count": None}
    if kind:
        marks = {"schema_version": 3, "grade_id": f"{name}-{kind}", "task": False, "locked": kind != "answer"}
        marks |= {"grade": kind == "check", "solution": kind == "answer"}
        found["metadata"]["nbgrader"] = marks | nbgrader
    return found


def answer_cell(k, body):
    return cell(f"def times_{k}(x):\n{body}", f"L90-ex{k}", "answer")


def made_up_lesson():
    cells = [
        {"cell_type": "markdown", "metadata": {}, "source": "# 90 · Times"},
        cell(FIRST_CELL),
        cell(ENTER),
    ]
    for k in range(1, 5):
        name = f"L90-ex{k}"
        hidden = f'grading.check("{name}", times_{k}, hidden=True)'
        check = f'grading.check("{name}", times_{k})\n### BEGIN HIDDEN TESTS\n{hidden}\n### END HIDDEN TESTS'
        cells += [
            answer_cell(k, f"    ### BEGIN SOLUTION\n    return {k} * x\n    ### END SOLUTION"),
            cell(check, name, "check", points=k),
            cell(f'grading.go_on("{name}", globals())', name, "go-on"),
            cell(f"assert times_{k}(1) == {k}"),
        ]
    about = {"title": "Times", "tinygan": {"idea": "it multiplies", "time": "3 s"}}
    return {"cells": cells, "metadata": about, "nbformat": 4, "nbformat_minor": 4}


@pytest.fixture(autouse=True)
def course(tmp_path, monkeypatch):
    """A folder to work in, and a course of one lesson."""
    folder = tmp_path / "lessons"
    folder.mkdir()
    (folder / "90_times.ipynb").write_text(json.dumps(made_up_lesson()), encoding="utf-8")
    monkeypatch.setattr(notebooks, "notebooks_folder", lambda: folder)
    monkeypatch.chdir(tmp_path)


def tinygan(*arguments):
    return cli.main(["lessons", *map(str, arguments)])


def fails(capsys, *arguments):
    """The message of a command that fails as it should."""
    assert tinygan(*arguments) == 2
    said = capsys.readouterr()
    assert said.err.startswith("tinygan lessons: ") and "Traceback" not in said.err
    return said.err


def learner(*changes):
    """The lesson as work.ipynb, after `changes` to its list of cells: functions that change it in place."""
    notebook = made_up_lesson()
    for change in changes:
        change(notebook["cells"])
    Path("work.ipynb").write_text(json.dumps(notebook), encoding="utf-8")
    return "work.ipynb"


def answer(k, body):
    """Exercise k answered by a function of that body."""

    def change(cells):
        (place,) = [i for i, c in enumerate(cells) if notebooks.part(c) == (f"L90-ex{k}", "answer")]
        cells[place] = answer_cell(k, body)

    return change


def delete(k, kind):
    def change(cells):
        cells[:] = [c for c in cells if notebooks.part(c) != (f"L90-ex{k}", kind)]

    return change


def table(capsys):
    """The table that was printed, as {exercise: (points, hint)}, and its notes."""
    lines = capsys.readouterr().out.splitlines()
    rows = [line.split(None, 4) for line in lines if line.startswith("L90")]
    return {row[0]: (int(row[1]), row[4]) for row in rows}, [line for line in lines if line.startswith("Note")]


def test_list(capsys):
    assert tinygan("list") == 0
    said = capsys.readouterr().out.splitlines()
    assert said[1].split() == ["90", "4", "10", "3", "s", "Times:", "it", "multiplies"]


def test_start_gives_the_student_version_and_refuses_to_overwrite_it(capsys):
    assert tinygan("start", 90, "--to", "mine") == 0
    text = Path("mine/90_times.ipynb").read_text(encoding="utf-8")
    assert "SOLUTION" not in text and "HIDDEN" not in text and "hidden" not in text
    assert notebooks.read_notebook(Path("mine/90_times.ipynb")) == notebooks.student_version(made_up_lesson())
    assert "lessons check" in capsys.readouterr().out
    Path("mine/90_times.ipynb").write_text("my work")
    assert "may hold your work" in fails(capsys, "start", 90, "--to", "mine")
    assert Path("mine/90_times.ipynb").read_text() == "my work"


def test_the_student_version():
    solution = "    ### BEGIN SOLUTION\n    b = 2\n    c = 3\n    ### END SOLUTION\n"
    source = f"a = 1\nif a:\n{solution}d = 4\n### BEGIN HIDDEN TESTS\ne\n### END HIDDEN TESTS"
    original = {"cells": [cell(source) | {"outputs": [1], "execution_count": 3}], "metadata": {}}
    before = copy.deepcopy(original)
    (found,) = notebooks.student_version(original)["cells"]
    assert found["source"] == "a = 1\nif a:\n    raise NotImplementedError\nd = 4"
    assert (found["outputs"], found["execution_count"]) == ([], None)
    assert original == before


def test_check_of_full_marks(capsys):
    file = learner()
    before = Path(file).read_bytes()
    assert tinygan("check", file) == 0
    found, notes = table(capsys)
    assert found == {f"L90-ex{k}": (k, "right") for k in range(1, 5)} and not notes
    assert Path(file).read_bytes() == before


def test_check_of_an_untouched_copy(capsys):
    tinygan("start", 90)
    capsys.readouterr()
    assert tinygan("check", "90_times.ipynb") == 1
    found, notes = table(capsys)
    assert found == {f"L90-ex{k}": (0, running.UNANSWERED) for k in range(1, 5)} and not notes


def test_each_fault_costs_its_own_exercise_only(capsys):
    """An endless loop that catches interrupts, a dead kernel, a syntax error; what comes after counts."""
    stubborn = "    while True:\n        try:\n            while True: pass\n        except BaseException: pass"
    file = learner(answer(1, stubborn), answer(2, "    import os; os._exit(1)"), answer(3, "    return )"))
    assert tinygan("check", file, "--limit", "10") == 1
    found, notes = table(capsys)
    assert found["L90-ex1"] == (0, "stopped after 10 s: an endless loop?")
    assert found["L90-ex2"] == (0, "ended the kernel: an exit(), out of memory, or a crash below Python?")
    assert found["L90-ex3"][0] == 0 and found["L90-ex3"][1].startswith("SyntaxError")
    assert found["L90-ex3"][1].endswith("of this cell)")
    assert found["L90-ex4"] == (4, "right") and not notes


def test_a_check_cell_that_was_changed_or_deleted_checks_all_the_same(capsys):
    def passes(cells):
        for c in cells:
            if notebooks.part(c)[1] == "check":
                c["source"] = "pass"

    changes = [answer(1, "    return 7"), answer(2, "    return 2 * x + (x != 3)"), answer(3, "    pass"), passes]
    assert tinygan("check", learner(*changes, delete(3, "check"), delete(4, "check"), delete(4, "go-on"))) == 1
    found, notes = table(capsys)
    assert found == {
        "L90-ex1": (0, "times_1(3) is 7"),
        "L90-ex2": (2, "right"),
        "L90-ex3": (0, "times_3(3) is None"),
        "L90-ex4": (4, "right"),
    }
    text = "\n".join(notes)
    for part in ("L90-ex1-check was changed", "L90-ex3-check was missing", "L90-ex4-go-on was missing"):
        assert part in text
    assert "L90-ex2-go-on" not in text


def test_a_deleted_answer_cell_and_a_cell_of_ones_own_that_fails(capsys):
    def own(cells):
        cells.append(cell("1 / 0  # mine"))

    assert tinygan("check", learner(delete(2, "answer"), own)) == 1
    found, notes = table(capsys)
    assert found["L90-ex2"][0] == 0 and "times_2" in found["L90-ex2"][1]
    assert [points for points, _ in found.values()] == [1, 0, 3, 4]
    assert "L90-ex2-answer is missing" in notes[0] and "1 / 0" in notes[1] and "ZeroDivisionError" in notes[1]


def test_run(capsys, monkeypatch):
    assert tinygan("run", "all", "--fast") == 0
    assert "90 Times: " in capsys.readouterr().out
    lesson = made_up_lesson()
    lesson["cells"].append(cell('assert not FAST, "short"'))
    (notebooks.notebooks_folder() / "90_times.ipynb").write_text(json.dumps(lesson), encoding="utf-8")
    monkeypatch.delenv("TINYGAN_FAST", raising=False)
    assert tinygan("run", 90, "--fast") == 1
    assert "AssertionError: short" in capsys.readouterr().out
    assert tinygan("run", 90) == 0


def test_bad_input(capsys, tmp_path, monkeypatch):
    for action in ("start", "run"):
        assert "there is no lesson '11', there are: 90 Times" in fails(capsys, action, 11)
    assert "there is no lesson 'x'" in fails(capsys, "start", "x")
    assert "could not read nowhere.ipynb: No such file" in fails(capsys, "check", "nowhere.ipynb")
    assert "could not read" in fails(capsys, "check", ".")
    assert "the file of your notebook is expected" in fails(capsys, "check", "1")
    cells = [
        1,
        {},
        {"cell_type": "code", "source": 1, "metadata": {}},
        {"cell_type": "code", "source": "", "metadata": 1},
    ]
    texts = ["", "no JSON", "[" * 10**6, "[]", "{}", '{"metadata": {}, "worksheets": []}']
    for text in texts + [json.dumps({"metadata": {}, "cells": [cell]}) for cell in cells]:
        Path("bad.ipynb").write_text(text)
        assert "bad.ipynb is no notebook" in fails(capsys, "check", "bad.ipynb")
    Path("bad.ipynb").write_bytes(b"\xff\xfe\x00")
    assert "bad.ipynb is no notebook" in fails(capsys, "check", "bad.ipynb")
    for marks in (1, [], {}, {"grade_id": 7}, {"grade_id": "cell-1"}):
        empty = {"cells": [cell("1") | {"metadata": {"nbgrader": marks}}], "metadata": {}}
        Path("empty.ipynb").write_text(json.dumps(empty))
        assert "holds no exercise of any lesson" in fails(capsys, "check", "empty.ipynb")
    for limit in ("0", "-1", "nan"):
        assert "above 0 is expected" in fails(capsys, "check", "empty.ipynb", "--limit", limit)
    Path("file").touch()
    assert "could not make file" in fails(capsys, "start", 90, "--to", "file")
    assert "could not" in fails(capsys, "nbgrader", "file/course")


def test_no_jupyter(capsys, monkeypatch):
    file = learner()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    said = fails(capsys, "check", file)
    assert "needs nbclient, nbformat, ipykernel" in said and '".[lessons]"' in said


def test_a_course_folder(capsys):
    assert tinygan("nbgrader", "course") == 0
    assert Path("course/source/90_times/90_times.ipynb").exists()
    assert "code_stub" in Path("course/nbgrader_config.py").read_text()
    assert "container" in capsys.readouterr().out
    assert "there is a course already" in fails(capsys, "nbgrader", "course")
