"""Quality control of the lessons: read all of them, and (pytest -m notebooks) run all of them in fast mode."""

import re
from pathlib import Path

import pytest

from tinygan import cli, grading
from tinygan.lessons import FIRST_CELL, all_lessons, notebooks, running, student_version

nbformat = pytest.importorskip("nbformat")

HERE = Path(__file__).parents[1]
LESSONS = {lesson.path.stem: lesson for lesson in all_lessons()}
NOTEBOOKS = {name: lesson.read() for name, lesson in LESSONS.items()}

WORDS_A_MINUTE, LINES_A_MINUTE, MINUTES_AN_EXERCISE = 200, 20, 3
MINUTES = dict.fromkeys(NOTEBOOKS, (18, 42)) | {"12_the_museum_of_bugs": (18, 60)}  # with its ten exercises
FAST_SECONDS = 20

# One spelling of a term throughout: a pattern of what is not written, and what is written instead.
TERMS = {
    r"back-propagat|back propagat": "backpropagation",
    r"batch-?norm\b(?!\()": "batch norm, BatchNorm or nn.BatchNorm",
    r"mini-batch|mini batch": "minibatch or batch",
    r"data-?set\b": "data set",
    r"leaky-relu|Leaky ReLU|leaky ReLU": "LeakyReLU",
    r"non saturating|nonsaturating": "non-saturating",
    r"mini-max|min-max game": "minimax",
    r"zero sum": "zero-sum",
    r"cross entropy": "cross-entropy",
    r"deconvolution": "transposed convolution",
    r"hyper-parameter|hyper parameter": "hyperparameter",
    r"grey-?scale|gray": "grey",
    r"colour-?map|color-?map|\bcolor\b": "colour",
    r"normaliz|minimiz|maximiz|initializ|optimiz(?!er)": "-is-, as in normalise (but optimizer)",
    r"neighbor|behavior|center\b": "neighbour, behaviour, centre",
    r"\bnumpy\b|Numpy": "NumPy",
    r"[Pp]y[Tt]orch(?<!PyTorch)|Tensorflow|tensorFlow": "PyTorch, TensorFlow",
}
ABSOLUTE_PATH = re.compile(r"(?<![\w.)\]}<:/])/(?:home|root|tmp|work|usr|opt|Users|content|mnt)/|[A-Z]:\\\\?Users")
DOWNLOAD = re.compile(r"urlretrieve|urlopen|requests\.get|wget|curl |pooch\.")
EMOJI = re.compile("[\U0001f000-\U0001faff\u2600-\u27bf\ufe0f]")

UNWRITTEN = re.compile(r"\b(TODO|FIXME|XXX|PLACEHOLDER\S*|[A-Z]{3,}TEXT)\b")

every_lesson = pytest.mark.parametrize("name", NOTEBOOKS)


def markdown(name):
    return [cell["source"] for cell in NOTEBOOKS[name]["cells"] if cell["cell_type"] == "markdown"]


def prose(name):
    """The text without formulas, code, links, tags, quotations and titles, which are others' words."""
    text = "\n\n".join(markdown(name))
    formulas_and_code = r"```.*?```|\$\$.*?\$\$|\$[^$\n]*\$|`[^`]*`"
    others = r"\[[^]]*\]\([^)]*\)|<[^>]*>|[“\"][^”\"]*[”\"]|(?<!\*)\*\w[^*]*\*(?!\*)"
    return re.sub(f"{formulas_and_code}|{others}", " ", text, flags=re.DOTALL)


def outputs(notebook):
    for cell in notebooks.code_cells(notebook):
        for output in cell["outputs"]:
            yield cell, output


def figures(notebook):
    for cell, output in outputs(notebook):
        for kind in output.get("data", {}):
            if kind.startswith("image/"):
                yield cell, output, kind


@every_lesson
def test_it_is_a_valid_notebook_with_unique_ids(name):
    notebook = nbformat.read(LESSONS[name].path, as_version=nbformat.NO_CONVERT)
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) >= (4, 5)
    ids = [cell["id"] for cell in notebook.cells]
    assert len(set(ids)) == len(ids)


@every_lesson
def test_it_says_what_tinygan_lessons_list_shows(name):
    lesson = LESSONS[name]
    assert lesson.title and lesson.idea and re.fullmatch(r"\d+ (s|min)", lesson.time)
    assert markdown(name)[0].startswith(f"# {lesson.number} · {lesson.title}\n")


@every_lesson
def test_nothing_is_left_to_be_written(name):
    assert not UNWRITTEN.findall(LESSONS[name].path.read_text(encoding="utf-8"))


@every_lesson
def test_the_first_code_cell_is_the_same_everywhere(name):
    first = notebooks.code_cells(NOTEBOOKS[name])[0]
    assert first["source"] == FIRST_CELL and first["metadata"]["tags"] == ["setup"]


@every_lesson
def test_exercises_are_as_nbgrader_and_tinygan_need_them(name):
    """Answer, check, go on: one after another, with metadata of schema 3; numbered, and known to the grading module."""
    cells, number = NOTEBOOKS[name]["cells"], LESSONS[name].number
    marked = [place for place, cell in enumerate(cells) if "nbgrader" in cell["metadata"]]
    assert marked and len(marked) % 3 == 0
    for k, (place, *rest) in enumerate(zip(marked[::3], marked[1::3], marked[2::3], strict=True), 1):
        assert rest == [place + 1, place + 2]
        exercise = f"L{number:02d}-ex{k}"
        answer, check, go_on = (cell["metadata"]["nbgrader"] for cell in cells[place : place + 3])
        common = {"schema_version": 3, "task": False}
        free = {"grade": False, "solution": True, "locked": False}
        graded = {"grade": True, "solution": False, "locked": True, "points": check["points"]}
        shut = {"grade": False, "solution": False, "locked": True}
        assert answer == common | free | {"grade_id": f"{exercise}-answer"}
        assert check == common | graded | {"grade_id": f"{exercise}-check"} and check["points"] > 0
        assert go_on == common | shut | {"grade_id": f"{exercise}-go-on"}
        names = ", ".join(grading.find_exercise(exercise).references)
        call = f'grading.check("{exercise}", {names}'
        hidden = f"### BEGIN HIDDEN TESTS\n{call}, hidden=True)\n### END HIDDEN TESTS"
        assert cells[place + 1]["source"] == f"{call})\n{hidden}"
        assert cells[place + 2]["source"] == f'grading.go_on("{exercise}", globals())'


@every_lesson
def test_nothing_of_a_solution_is_left_for_the_learner(name):
    text = "\n".join(cell["source"] for cell in student_version(NOTEBOOKS[name])["cells"])
    assert "SOLUTION" not in text and "HIDDEN" not in text and "hidden=True" not in text
    assert text.count(notebooks.STUB) >= len(notebooks.exercises(NOTEBOOKS[name]))


@every_lesson
def test_it_was_run_from_top_to_bottom_without_errors(name):
    cells = [cell for cell in notebooks.code_cells(NOTEBOOKS[name]) if cell["source"].strip()]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    for cell, output in outputs(NOTEBOOKS[name]):
        assert output["output_type"] != "error", cell["source"]
        assert output.get("name") != "stderr", output["text"]


@every_lesson
def test_every_figure_has_alternative_text(name):
    """Where IPython and nbconvert's classic template look for it, and where myst-nb does."""
    count = 0
    for cell, output, kind in figures(NOTEBOOKS[name]):
        alt = output["metadata"].get(kind, {}).get("alt", "")
        assert len(alt.split()) >= 5, f"say in words what is to be seen: {cell['source']}"
        assert cell["metadata"].get("mystnb", {}).get("image", {}).get("alt"), cell["source"]
        count += 1
    assert count >= 1
    for text in markdown(name):
        assert not re.search(r"!\[\s*\]", text)


@every_lesson
def test_size(name):
    """An exercise, which is an answer, a check and a cell that goes on, counts as one cell."""
    assert LESSONS[name].path.stat().st_size < 1_000_000
    exercises = notebooks.exercises(NOTEBOOKS[name])
    assert 25 <= len(NOTEBOOKS[name]["cells"]) - 2 * len(exercises) <= 40


@every_lesson
def test_a_learners_time(name):
    lines = [x for cell in notebooks.code_cells(NOTEBOOKS[name])[1:] for x in cell["source"].splitlines() if x.strip()]
    minutes = len(" ".join(markdown(name)).split()) / WORDS_A_MINUTE + len(lines) / LINES_A_MINUTE
    minutes += MINUTES_AN_EXERCISE * len(notebooks.exercises(NOTEBOOKS[name]))
    low, high = MINUTES[name]
    assert low <= minutes <= high


@every_lesson
def test_its_parts_are_there(name):
    """A recap that folds its answer, a plot and a sentence on it, a takeaway and what comes next."""
    text = "\n".join(markdown(name))
    assert "<details>" in text and "<summary>Answer</summary>" in text
    assert "**What you should see:**" in text
    assert text.count("**Takeaway:**") == 1


def pages():
    """Every text with links: the lessons' markdown, and the pages beside them."""
    yield from ((LESSONS[name].path, "\n".join(markdown(name))) for name in NOTEBOOKS)
    yield from ((path, path.read_text(encoding="utf-8")) for path in sorted((HERE / "lessons").glob("*.md")))


@pytest.mark.parametrize(("path", "text"), [pytest.param(*page, id=page[0].name) for page in pages()])
def test_links_lead_somewhere_in_the_repository(path, text):
    for target in re.findall(r"\]\(([^)\s]+)\)|(?:src|href)=\"([^\"]+)\"", text):
        link = "".join(target).partition("#")[0]
        if link and not link.startswith(("https://", "http://")):
            found = (path.parent / link).resolve()
            assert found.exists() and found.is_relative_to(HERE), link


@every_lesson
def test_the_map_of_the_course_has_its_line_and_thumbnail(name):
    lesson = LESSONS[name]
    (line,) = [
        x for x in (HERE / "lessons/README.md").read_text(encoding="utf-8").splitlines() if f"({name}.ipynb)" in x
    ]
    assert f"[{lesson.number} · {lesson.title}]" in line and line.endswith(f"| {lesson.time} |")
    picture = f"pictures/{lesson.number:02d}.png"
    assert f'src="{picture}"' in line and 0 < (HERE / "lessons" / picture).stat().st_size < 20_000


@every_lesson
def test_a_term_is_spelled_the_same_everywhere(name):
    found = {(m[0], right) for wrong, right in TERMS.items() for m in re.finditer(wrong, prose(name))}
    assert not found
    assert not EMOJI.search("\n".join(markdown(name)))


@every_lesson
def test_no_absolute_paths_and_no_downloads(name):
    for cell in NOTEBOOKS[name]["cells"]:
        assert not ABSOLUTE_PATH.search(cell["source"]), cell["source"]
        assert not DOWNLOAD.search(cell["source"]), cell["source"]
    for cell, output in outputs(NOTEBOOKS[name]):
        text = "".join(output.get("text", "")) + "".join(
            "".join(data) for kind, data in output.get("data", {}).items() if kind.startswith("text/")
        )
        assert not ABSOLUTE_PATH.search(text), cell["source"]


# ---------------------------------------------------------------- run


def drawn(notebook):
    return ["".join(output["data"][kind]) for _, output, kind in figures(notebook)]


@pytest.mark.notebooks
@every_lesson
def test_it_runs_in_fast_mode_and_draws_the_same_twice(name, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TINYGAN_DATA", str(tmp_path))  # no MNIST here
    number = str(LESSONS[name].number)
    for run in ("first", "second"):
        assert cli.main(["lessons", "run", number, "--fast", "--to", str(tmp_path / run)]) == 0, capsys.readouterr().out
    said = capsys.readouterr().out
    with capsys.disabled():
        print(f"\n{said.strip()} (aim: {FAST_SECONDS} s) ", end="")
    first, second = (notebooks.read_notebook(tmp_path / run / f"{name}.ipynb") for run in ("first", "second"))
    assert drawn(first) == drawn(second)


@pytest.mark.notebooks
@every_lesson
def test_the_student_version_goes_on_where_nothing_is_answered(name, tmp_path):
    lesson = LESSONS[name]
    report = running.check_notebook(student_version(lesson.read()), lesson, tmp_path, limit=60)
    assert not report.notes
    assert {(result.points, result.hint) for result in report.results} == {(0, running.UNANSWERED)}
