"""A short run of the fuzzing loop, tests/fuzz/loop.py: nothing ends outside of the library's own errors."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "fuzz"))

import loop

from tinygan.data import idx


def test_damaged_files_are_read_or_refused():
    counts, failures = loop.run(300)
    assert not failures, "\n".join(failures[:5])
    assert {kind for kind, _ in counts} == set(loop.CASES)
    for kind in loop.CASES:
        assert counts[kind, "read"] and counts[kind, "refused"], f"{kind}: {counts}"


@pytest.mark.parametrize("error", [ValueError, RecursionError, MemoryError, SystemExit])
def test_the_loop_notices_an_error_of_another_class(monkeypatch, error):
    def broken(*arguments):
        raise error("from deep inside")

    monkeypatch.setattr(idx, "_parse", broken)
    monkeypatch.setattr(loop, "SHARES", (1, 0, 0, 0, 0, 0, 0))
    _, failures = loop.run(5)
    assert failures and "from deep inside" in failures[0] and "case " in failures[0]
