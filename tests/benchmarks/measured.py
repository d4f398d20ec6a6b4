"""Results of long runs in a JSON file, whole after each of them: what was stopped goes on, and tables show no more."""

import argparse
import json
import os
import statistics
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))  # this checkout, whatever is installed

from tinygan.files import atomic_write  # noqa: E402

Entry = dict[str, Any]


class Results:
    """Entries by name. path: the JSON file; None: nothing is kept, as in a short run."""

    def __init__(self, path: Path | None):
        self.path = path
        self.entries: dict[str, Entry] = {}
        if path is not None and path.exists():
            self.entries = json.loads(path.read_text(encoding="utf-8"))

    def measure(self, names: Iterable[str], run: Callable[[str], Entry]) -> None:
        """Run what has no entry yet, one by one, and say what came out."""
        from tqdm.auto import tqdm

        missing = [name for name in names if name not in self.entries]
        for name in tqdm(missing, unit="run", disable=not sys.stderr.isatty()):
            self.entries[name] = run(name)
            tqdm.write(f"{name}: {', '.join(f'{k} {v:.4g}' for k, v in self.entries[name].items())}", file=sys.stdout)
            sys.stdout.flush()
            self._save()

    def of(self, names: Iterable[str], key: str) -> list[float]:
        """The values of `key` of those that were measured."""
        return [self.entries[name][key] for name in names if name in self.entries]

    def _save(self) -> None:
        if self.path is not None:
            with atomic_write(self.path) as file:
                file.write((json.dumps(self.entries, indent=1) + "\n").encode())


def mean_and_deviation(values: Sequence[float], digits: int) -> str:
    """Such as "7.9 ± 0.3", the deviation with N − 1; of one value that alone."""
    if not values:
        return "not measured"
    mean = f"{statistics.fmean(values):.{digits}f}"
    return f"{mean} ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else mean


def add_options(parser: argparse.ArgumentParser, seeds: int) -> None:
    """What all of these scripts have in common."""
    parser.add_argument("--seeds", type=int, default=seeds, help=f"runs of each kind, seeds 0, 1, … (default: {seeds})")
    parser.add_argument("--short", action="store_true", help="some steps of one seed, in seconds; nothing is written")
    parser.add_argument("--table", action="store_true", help="measure nothing: print the tables, draw the pictures")


def one_thread() -> None:
    """Runs are timed on one core, and several scripts may share a machine."""
    os.environ.setdefault("TINYGAN_THREADS", "1")
