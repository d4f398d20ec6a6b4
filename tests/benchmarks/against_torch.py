"""tinygan against PyTorch eager on this machine's CPU: the time of a training step, of a critic's, of sampling.

A training step of a GAN is D's step and G's step with all that belongs to them: drawing a batch and latents, both
networks, losses, backward, Adam of both players, and the moving average of G. Both sides train the same network on the
same images, and start from the same weights: before anything is timed, what they compute from them must agree (see
`Pairing.check`). How they take turns, and what is counted, stands in pairing.py.

Beside each ratio stand the bar that tinygan aims at (≤ 0.80 of PyTorch's time, for example) and whether it is met; for
dcgan also how much of the machine's own speed at matrix products a step reaches, measured in the same run.

Needs PyTorch, which is no dependency of tinygan:  pip install torch
"""

import argparse
import sys
from dataclasses import replace

from pairing import Config, Pairing, add_options, check_options, describe_machine, paired

from tinygan import backend

CONFIGS = {
    "mlp-64": Config("mlp", 64, 60, 0.80, 0.5),
    "mlp-128": Config("mlp", 128, 40, 0.80, 0.5),
    "small-64": Config("small", 64, 12, 0.80, 0.6),
    "small-128": Config("small", 128, 6, 0.80, 0.6),
    "dcgan-128": Config("dcgan", 128, 2, 0.85, 0.6),
    "dcgan-256": Config("dcgan", 256, 1, 0.85, 0.6),
    "critic-64": Config("small", 64, 12, 1.0, 0.7, task="critic"),
    "sampling": Config("small", 64, 1, 0.80, 0.5, task="sampling"),
}


def on_gpu(config: Config) -> Config:
    """The same with the bar for GPUs, and more steps a turn, since they take less time."""
    return replace(config, bar=1.0, stretch=None, steps=20 * config.steps)


def share_of_peak(pairing: Pairing) -> None:
    """How much of the machine's speed at float32 matrix products each side's step reaches, by two counts of them."""
    whole, inner = pairing.tinygan.ask("products")["gflop"]
    sides = (pairing.tinygan, pairing.torch)
    speeds = [side.ask("sgemm")["gflops"] for side in sides]
    print(
        f"  products of a step: {whole:.1f} GFLOP by im2col, {inner:.1f} without those with the border's zeros\n"
        f"  sgemm at best, {pairing.options.threads} threads: NumPy {speeds[0]:.0f} GFLOP/s, PyTorch {speeds[1]:.0f}"
    )
    for side, ms, speed in zip(sides, pairing.medians(), speeds, strict=True):
        shares = [100 * gflop / (1e-3 * ms) / speed for gflop in (whole, inner)]
        of = "NumPy's" if side.side == "tinygan" else "PyTorch's"
        print(
            f"  {side.side:<8}step at {shares[0]:.0f} % of {of} sgemm by im2col's count, {shares[1]:.0f} % by the other"
        )


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=f"rows: {', '.join(CONFIGS)}.\n"
        "A ratio below 1 means that tinygan is faster. On a busy machine it says little, since PyTorch's threads wait\n"
        "for one another there: others' use of the cores is measured, and a ratio that can't be trusted is marked.\n\n"
        "  python tests/benchmarks/against_torch.py --quick               a first look, some minutes\n"
        "  python tests/benchmarks/against_torch.py                       the figures to write down, 20 minutes\n"
        "  python tests/benchmarks/against_torch.py small-64 --profile    and where tinygan's time goes, by kernel\n"
        "  python tests/benchmarks/against_torch.py --device gpu          both on the GPU, in float32 without TF32\n"
        "  python tests/benchmarks/against_torch.py --strict              exit status 1 where a bar is missed",
    )
    parser.add_argument("rows", nargs="*", metavar="ROW", help="what to compare (default: all)")
    add_options(parser)
    parser.add_argument("--device", choices=["cpu", "gpu"], help="where both sides compute (default: cpu)")
    parser.add_argument("--profile", action="store_true", help="print, for each row, where tinygan's time goes")
    parser.add_argument("--strict", action="store_true", help="exit with status 1 where a bar is missed")
    options = parser.parse_args(arguments)
    options.rows = options.rows or [name for name in CONFIGS if options.device == "cpu" or CONFIGS[name].task == "gan"]
    if unknown := [name for name in options.rows if name not in CONFIGS]:
        parser.error(f"no row is called {unknown[0]!r}; there are {', '.join(CONFIGS)}")
    if options.device == "gpu" and (others := [name for name in options.rows if CONFIGS[name].task != "gan"]):
        parser.error(f"{others[0]} is measured on the CPU alone; on a GPU whole steps are: take away --device gpu")
    if options.device == "gpu" and (problem := backend.gpu_problem()):
        parser.exit(2, f"{problem}\n")
    check_options(parser, options)
    return options


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    rows, missed, blas = [], [], ""
    for name in options.rows:
        config = CONFIGS[name] if options.device == "cpu" else on_gpu(CONFIGS[name])
        with paired(config, options) as pairing:
            checked = pairing.check()
            pairing.race()
            blas = f"{pairing.tinygan.ask('facts')['blas']}; {pairing.tinygan.start['order']}"
            if not rows:
                print(f"images    {pairing.source}\n{describe_machine(pairing)}")
            print(f"\n{name}: {checked}")
            pairing.report()
            print(f"  bar {pairing.verdict}; {blas}")
            if config.model == "dcgan" and options.device == "cpu":
                share_of_peak(pairing)
            if options.profile:
                pairing.profile(max(10, config.steps))
            rows.append(pairing.row())
            missed += [f"{name}: {words}" for words in pairing.misses]
    print(f"\n{blas}\n")
    print("| what | batch | tinygan ms | PyTorch ms | ratio | bar | tinygan MiB | PyTorch MiB | PyTorch's fastest |")
    print("|---|---|---|---|---|---|---|---|---|", *rows, sep="\n")
    print(f"\nmissed: {'; '.join(missed)}" if missed else "\nno bar is seen to be missed")
    return 1 if missed and options.strict else 0


if __name__ == "__main__":
    sys.exit(main())
