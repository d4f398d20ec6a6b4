"""Signals that wait: a training that is told to stop finishes its step first, so that what it saves is whole."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

DEFAULTS = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}


class Interruption:
    """Which signal has come in the meantime, if any."""

    number: int | None = None

    def receive(self, number: int, frame: object) -> None:
        """Note the first one; a second one doesn't wait."""
        if self.number is not None:
            self.stop()
        self.number = number

    def stop(self) -> NoReturn:
        """What Ctrl-C always raises; for SIGTERM the exit status that shells give it, 143."""
        if self.number == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + (self.number or 0))


@contextmanager
def held_signals() -> Iterator[Interruption]:
    """Within this block Ctrl-C and SIGTERM are only noted; who runs it looks, and calls `stop` when it is time.

    Signals that somebody else handles or ignores, and those that reach another thread, are left alone.
    """
    interruption, here = Interruption(), threading.current_thread() is threading.main_thread()
    held = {number: usual for number, usual in DEFAULTS.items() if here and signal.getsignal(number) == usual}
    for number in held:
        signal.signal(number, interruption.receive)
    try:
        yield interruption
    finally:
        for number, usual in held.items():
            signal.signal(number, usual)
