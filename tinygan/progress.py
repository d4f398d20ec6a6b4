"""A bar that shows how far a training is, and sentences above it."""

import sys
from contextlib import suppress
from typing import Any


class Progress:
    """A bar over steps, or over seconds where the limit is in minutes.

    step, seconds: what was done before.   A terminal that can't be written to stops no training.
    """

    def __init__(self, step: int, seconds: float, steps: int | None, minutes: float | None, visible: bool):
        self.step, self.seconds = step, seconds
        self.time_limit = None if minutes is None else 60 * minutes
        self.bar: Any = None
        if visible:
            from tqdm.auto import tqdm

            by_time = self.time_limit is not None
            self.bar = tqdm(
                total=self.time_limit if by_time else steps,
                initial=seconds if by_time else step,
                unit="s" if by_time else "steps",
                bar_format="{l_bar}{bar}| {n:.0f}/{total:.0f} {unit} [{elapsed}<{remaining}{postfix}]",
                dynamic_ncols=True,
                smoothing=0.05,
                mininterval=0.1 if sys.stderr.isatty() else 5.0,  # in a file, every update stays
            )

    def update(self, step: int, seconds: float, line: dict[str, float] | None) -> None:
        """After a step; with its line of the log, if it has one."""
        if self.bar is None:
            return
        if line is not None:
            speed = (step - self.step) / max(1e-9, seconds - self.seconds)
            value = f", V(D,G) {line['value']:.3f} (goal -1.386)" if "value" in line else ""
            losses = f"D {line['d_loss']:.3f}, G {line['g_loss']:.3f}"
            self.bar.set_postfix_str(f"{losses}{value}, {speed:.1f} steps/s", refresh=False)
        done = step if self.time_limit is None else min(seconds, self.time_limit)
        with suppress(OSError):
            self.bar.update(done - self.bar.n)

    def say(self, sentence: str) -> None:
        """Above the bar."""
        with suppress(OSError):
            if self.bar is None:
                say(sentence)
            else:
                self.bar.write(f"tinygan: {sentence}", file=sys.stderr)

    def close(self) -> None:
        """Leave the bar as it is."""
        with suppress(OSError):
            if self.bar is not None:
                self.bar.close()


def say(sentence: str) -> None:
    """Tell the user, where there is no bar."""
    with suppress(OSError):
        print(f"tinygan: {sentence}", file=sys.stderr, flush=True)
