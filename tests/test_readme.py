"""What the README says works."""

import re
from pathlib import Path

import pytest

import tinygan as tg

README = Path(__file__).parent.parent / "README.md"


def test_the_python_example_runs_and_is_short(tmp_path, monkeypatch):
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert len(code.strip().splitlines()) <= 16 and "range(2000)" in code
    monkeypatch.chdir(tmp_path)
    exec(code.replace("range(2000)", "range(3)").replace('load("digits")', 'load("digits", count=200)'), {})
    assert (tmp_path / "digits.png").stat().st_size > 1000


def test_every_file_on_the_map_exists_and_the_other_way_round():
    text = README.read_text(encoding="utf-8")
    package = Path(tg.__file__).parent
    floors = text[text.index("## The map of the house") : text.index("## What to read next")]
    named = set(re.findall(r"`([a-z_]+(?:\.py|/))`", floors))
    there = {p.name + ("/" if p.is_dir() else "") for p in package.iterdir() if not p.name.startswith("_")}
    assert named == there - {"py.typed"}


@pytest.mark.parametrize("path", re.findall(r"\]\(([^)]+)\)", README.read_text(encoding="utf-8")))
def test_links_lead_somewhere(path):
    assert (README.parent / path).exists()
