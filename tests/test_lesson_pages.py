"""The pages beside the lessons: their Python runs, in short, and their links lead somewhere."""

import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent.parent / "lessons"
PAGES = [FOLDER / "FAQ.md", FOLDER / "coming_from_keras.md"]
SHORTER = {  # what a reader runs for minutes -> what a test runs
    r"range\(\d+\)": "range(2)",
    r"steps=\d+": "steps=2",
    r'load\("mnist"\)': 'load("digits", count=256)',
    r"count=\d+": "count=256",
}

pytestmark = pytest.mark.skipif(not FOLDER.exists(), reason="the lessons are not here")


def blocks(page):
    """The Python of a page in one piece, without what is Keras's, each block on the line where it stands."""
    lines = page.read_text(encoding="utf-8").split("\n")
    kept, block = [""] * len(lines), None
    for i, line in enumerate(lines):
        if line == "```python":
            block = i + 1
        elif line == "```" and block is not None:
            if not any(re.search(r"\b(keras|tf)\b\.|\bkeras$|layers\.", each) for each in lines[block:i]):
                kept[block:i] = lines[block:i]
            block = None
    return "\n".join(kept)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_python_of_a_page_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TINYGAN_FAST", "1")
    source = blocks(page)
    assert source.count("import tinygan as tg") >= 1
    for long, short in SHORTER.items():
        source = re.sub(long, short, source)
    exec(compile(source, str(page), "exec"), {"__name__": "__main__"})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_and_pictures_lead_somewhere(page):
    for text, target in re.findall(r"\[([^\]]*)\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
        assert text, f"no text for {target}"
        if not target.startswith("https://"):
            assert (FOLDER / target.partition("#")[0]).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_scripts_are_short(page):
    text = page.read_text(encoding="utf-8")
    if page.stem == "FAQ":
        blocks = re.findall(r"```\w+\n(.*?)```", text, re.DOTALL)
        assert all(len(re.findall(r"^.*\S", block, re.MULTILINE)) <= 15 for block in blocks)
