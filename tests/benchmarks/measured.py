"""Results of long runs, a line of JSON each as soon as it ends: what was stopped goes on, and tables show no more."""

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

Entry = dict[str, Any]


class Results:
    """Entries by name. path: the file, which scripts side by side may share; None: nothing is kept."""

    def __init__(self, path: Path | None):
        self.path = path
        self.entries: dict[str, Entry] = {}
        self.read()

    def read(self) -> None:
        """Take up what the file has by now."""
        if self.path is not None and self.path.exists():
            entries = map(json.loads, self.path.read_text(encoding="utf-8").splitlines())
            self.entries |= {entry.pop("name"): entry for entry in entries}

    def add(self, name: str, entry: Entry) -> None:
        """Keep it, and say what came out."""
        from tqdm.auto import tqdm

        self.entries[name] = entry
        tqdm.write(f"{name}: {', '.join(f'{k} {v:.4g}' for k, v in entry.items())}", file=sys.stdout)
        sys.stdout.flush()
        if self.path is not None:
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(json.dumps({"name": name, **entry}) + "\n")

    def measure(self, names: Iterable[str], run: Callable[[str], Entry], backwards: bool = False) -> None:
        """Run what has no entry yet, one by one; backwards: the last first, beside another process that isn't."""
        from tqdm.auto import tqdm

        ordered = list(names)[:: -1 if backwards else 1]
        for name in tqdm(ordered, unit="run", disable=not sys.stderr.isatty()):
            self.read()
            if name not in self.entries:
                self.add(name, run(name))

    def of(self, names: Iterable[str], key: str) -> list[float]:
        """The values of `key` of those that were measured."""
        return [self.entries[name][key] for name in names if name in self.entries]


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
    parser.add_argument("--backwards", action="store_true", help="the last run first: for a second process beside this")
    parser.add_argument("--table", action="store_true", help="measure nothing: print the tables, draw the pictures")


def begin(options: argparse.Namespace, path: Path) -> tuple[Results, int]:
    """The results so far and the number of seeds, with one thread, since scripts side by side share a machine."""
    os.environ.setdefault("TINYGAN_THREADS", "1")
    return (Results(None), 1) if options.short else (Results(path), options.seeds)
