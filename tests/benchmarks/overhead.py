"""What the engines themselves cost: a graph of 1,000 operations on 16 numbers each, forward and backward.

tinygan's time against PyTorch's, in turns (see pairing.py); the bar is twice PyTorch's time.

  python tests/benchmarks/overhead.py
"""

import argparse
import sys

from pairing import Config, add_options, check_options, describe_machine, paired

CONFIG = Config("none", 16, 50, 2.0, task="ops")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser)
    options = parser.parse_args(arguments)
    check_options(parser, options)
    with paired(CONFIG, options) as pairing:
        print(pairing.check())
        pairing.race()
        print(describe_machine(pairing))
        pairing.report()
        ours, theirs = pairing.medians()
        print(f"\nan operation, forward and backward: tinygan {ours:.2f} µs, PyTorch {theirs:.2f} µs")  # ms for 1,000
        print(f"bar {pairing.verdict}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
