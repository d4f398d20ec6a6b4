"""How the cost of a step of `small` grows with the batch and with the area of the images, tinygan's and PyTorch's.

python tests/benchmarks/scaling.py batch      writes what it measured into scaling.json, draws scaling.png anew
python tests/benchmarks/scaling.py area       likewise
python tests/benchmarks/scaling.py tables     prints the tables and draws the figure from scaling.json
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from pairing import HERE, Config, add_options, check_options, describe_machine, paired

DATA, FIGURE = HERE / "scaling.json", HERE / "scaling.png"
BATCH = 64  # where the area grows
GROWTH = {
    "batch": [(batch, Config("small", batch, max(1, 768 // batch))) for batch in (16, 32, 64, 128, 256, 512)],
    "area": [
        (size * size, Config("small", BATCH, max(1, 12 * 784 // size**2), size=size)) for size in (16, 28, 40, 56, 80)
    ],
}
AXES = {"batch": "batch, images of 28×28", "area": f"pixels of an image, batch {BATCH}"}
PER = {"batch": "µs an image", "area": "µs a pixel"}

Point = dict[str, float]  # x, tinygan and torch in ms


def measure(kind: str, options: argparse.Namespace) -> list[Point]:
    points: list[Point] = []
    for x, config in GROWTH[kind]:
        with paired(config, options) as pairing:
            pairing.check()
            pairing.race()
            ours, theirs = pairing.medians()
            if not points:
                print(describe_machine(pairing))
            mark = "" if pairing.trusted else "  (busy machine)"
            print(f"{kind} {x}: tinygan {ours:.2f} ms, PyTorch {theirs:.2f} ms{mark}", flush=True)
            points.append({"x": x, "tinygan": ours, "torch": theirs})
    return points


def line(points: list[Point], side: str) -> tuple[float, float, float]:
    """The line through the points, as (ms at 0, ms for each x), and how far off the farthest is, as a part of its time.

    Each point counts by its own size: a small one that is off by a tenth is as far off as a large one.
    """
    x, y = (np.array([point[key] for point in points]) for key in ("x", side))
    start, slope = np.linalg.lstsq(np.stack([1 / y, x / y], 1), np.ones(len(y)), rcond=None)[0]
    return float(start), float(slope), float(np.abs((start + slope * x) / y - 1).max())


def table(kind: str, points: list[Point]) -> str:
    """As Markdown, and a sentence on how straight the growth is."""
    rows = [
        f"| {kind} | tinygan ms | PyTorch ms | ratio | tinygan {PER[kind]} | PyTorch {PER[kind]} |",
        "|" + "---|" * 6,
    ]
    for p in points:
        per = [f"{1e3 * p[side] / p['x']:.0f}" for side in ("tinygan", "torch")]
        times = f"{p['tinygan']:.1f} | {p['torch']:.1f} | {p['tinygan'] / p['torch']:.2f}"
        rows.append(f"| {p['x']:,.0f} | {times} | {' | '.join(per)} |")
    said = []
    for side, name in (("tinygan", "tinygan"), ("torch", "PyTorch")):
        start, slope, off = line(points, side)
        said.append(f"{name} {start:.1f} ms + {1e3 * slope:.1f} {PER[kind]}, within {100 * off:.0f} %")
    return "\n".join([*rows, "", f"The lines that fit best: {'; '.join(said)}."])


def draw(data: dict[str, list[Point]], path: str | Path) -> None:
    """Cost against batch and against area, with the straight lines, as a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from tinygan.plotting.style import BLUE, VERMILLION

    sides: list[tuple[str, str, dict[str, Any]]] = [
        ("tinygan", "tinygan", {"color": BLUE, "marker": "o", "linestyle": "-"}),
        ("torch", "PyTorch eager", {"color": VERMILLION, "marker": "s", "linestyle": (0, (5, 2))}),
    ]
    figure = Figure(figsize=(9, 3.8), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (kind, points) in zip(figure.subplots(1, len(data), squeeze=False)[0], data.items(), strict=True):
        for side, label, style in sides:
            axes.plot([p["x"] for p in points], [p[side] for p in points], label=label, **style)
        axes.set_xlabel(AXES[kind], fontsize=11)
        axes.set_ylabel("ms a step of D and G", fontsize=11)
        axes.set_xlim(left=0)
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=11, frameon=False)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120, metadata={"Software": None})


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=(*GROWTH, "tables"), help="what grows, or nothing")
    add_options(parser)
    parser.set_defaults(rounds=4, seconds=12, qualifying=2)
    options = parser.parse_args(arguments)
    data = json.loads(DATA.read_text(encoding="utf-8")) if DATA.exists() else {}
    if options.kind in GROWTH:
        check_options(parser, options)
        data[options.kind] = measure(options.kind, options)
        DATA.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    data = {kind: data[kind] for kind in GROWTH if kind in data}
    for kind, points in data.items():
        print(f"\n{table(kind, points)}")
    draw(data, FIGURE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
