"""The threads of NumPy kernels: a team that works through pieces side by side, and stays awake between them.

NumPy lets other threads run while it computes, so Python threads are enough. But a step is a hundred short pieces of
work, and to fall asleep and be woken up in between can cost more than a piece itself. So helpers wait by spinning, as
OpenMP's do, outside of the interpreter; a few milliseconds after the last piece a guard sends them to sleep.
"""

import contextvars
import itertools
import os
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from .errors import SettingError

AWAKE = 0.02  # seconds that helpers spin, at least, after the last piece of work

# Numbers of malloc.h: blocks up to 32 MiB (the most it takes) come from the heap, whose top is kept up to 1 GiB.
MALLOC_SETTINGS = {"M_MMAP_THRESHOLD": (-3, 32 << 20), "M_TRIM_THRESHOLD": (-1, 1 << 30), "M_TOP_PAD": (-2, 64 << 20)}

# What asking ctypes for a function of the C library ends in where there is no ctypes, or no such function.
NO_C_FUNCTION = (ImportError, OSError, AttributeError, TypeError)

Task = Callable[[], object]

_count: int | None = None
_team: "Team | None" = None
_prepared: Any = None


def set_threads(count: int | None) -> None:
    """Use `count` threads in NumPy kernels; None: $TINYGAN_THREADS, else as many as the process may use cores.

    The results are the same bytes for any count. BLAS itself is held at one thread, process-wide, from the
    first kernel on, since tinygan splits its work into chunks and multiplies those side by side.
    """
    global _count, _team
    if count is not None and (not isinstance(count, int) or count < 1):
        raise SettingError(f"set_threads({count!r}): a whole number of at least 1 is expected, or None")
    team, _team, _count = _team, None, count
    if team is not None:
        team.dismiss()


def thread_count() -> int:
    """How many threads NumPy kernels use."""
    if _count is not None:
        return _count
    setting = os.environ.get("TINYGAN_THREADS", "")
    if setting:
        if not setting.isdecimal() or int(setting) < 1:
            raise SettingError(f"TINYGAN_THREADS={setting!r}: a whole number of at least 1 is expected")
        return int(setting)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, _container_limit()))


def share_cores(processes: int) -> None:
    """Use this process's part of the cores, where it is one of so many on this machine, unless a count was chosen."""
    if _count is None and not os.environ.get("TINYGAN_THREADS"):
        set_threads(max(1, thread_count() // processes))


def parallel_for(work: Callable[[int], object], count: int) -> None:
    """Run work(0) … work(count − 1) on all threads, in no set order; the first error is raised here.

    For results that don't depend on the number of threads, each index must be a piece of work of its own,
    cut by sizes alone, that writes to a place of its own.
    """
    prepare_process()
    indices, one_at_a_time = itertools.count(), threading.Lock()

    def take() -> int:
        with one_at_a_time:  # a Python without GIL might else give two threads the same
            return next(indices)

    def drain() -> None:
        while (i := take()) < count:
            work(i)

    team = _get_team() if count > 1 else None
    if team is None or not team.share(drain):
        drain()


class Team:
    """Helpers that run a task along with the caller. One caller at a time: who finds it taken works alone."""

    def __init__(self, helpers: int):
        self.taken = threading.Lock()
        self.bed = threading.Semaphore(0)
        self.last_used = time.monotonic()
        self.current_core = core_finder()
        self.callers_core = -1
        self.helpers = [Helper() for _ in range(helpers)]
        self.stay_awake()

    def share(self, task: Task) -> bool:
        """Run the task here and on every helper, and wait for all; False, and nothing done, where the team is taken."""
        if not self.taken.acquire(blocking=False):
            return False
        try:
            if not self.awake:
                self.wake()
            self.leave_the_callers_core()
            try:
                for helper in self.helpers:
                    helper.begin(task)
                task()
            finally:
                for helper in self.helpers:
                    helper.wait()  # so that nobody writes after we return
            for helper in self.helpers:
                if helper.error is not None:
                    raise helper.error
        finally:
            self.last_used = time.monotonic()
            self.taken.release()
        return True

    def leave_the_callers_core(self) -> None:
        """Let helpers run on every core but the caller's.

        Linux likes to wake a thread on the core of the one that woke it. There the two would spin in wait for each
        other, in turns of milliseconds, while another core idles.
        """
        core = self.current_core()
        if core != self.callers_core:
            self.callers_core = core
            others = os.sched_getaffinity(0) - {core}
            for helper in self.helpers if others else ():
                os.sched_setaffinity(helper.native_id, others)

    def wake(self) -> None:
        for _ in self.helpers:
            self.bed.release()
        self.stay_awake()

    def stay_awake(self) -> None:
        self.awake = True
        threading.Thread(target=self.guard, name="tinygan guard", daemon=True).start()

    def guard(self) -> None:
        """Send the helpers to bed, which is a task like others, once the team has not been used for a while."""
        while self.awake:
            time.sleep(AWAKE)
            if self.taken.acquire(blocking=False):
                if self.awake and time.monotonic() - self.last_used > AWAKE:
                    self.awake = False
                    for helper in self.helpers:
                        helper.begin(self.bed.acquire)
                self.taken.release()

    def dismiss(self) -> None:
        """End the helpers' threads."""
        self.taken.acquire()  # for good: a caller that still holds this team works alone
        if not self.awake:
            self.wake()
        self.awake = False
        for helper in self.helpers:
            helper.begin(None)


class Helper:
    """A thread that waits at a gate, spinning, runs the task that it is given, and waits again."""

    def __init__(self) -> None:
        self.gate, self.done = make_gate(), make_gate()
        self.begun = self.finished = 0
        self.error: BaseException | None = None
        thread = threading.Thread(target=self._run, name="tinygan helper", daemon=True)
        thread.start()
        self.native_id: Any = thread.native_id

    def begin(self, task: Task | None) -> None:
        """Let the thread run the task, in a copy of the caller's context; None: let it end."""
        self.wait()
        self.task, self.context = task, contextvars.copy_context()
        self.begun += 1
        self.gate.release()

    def wait(self) -> None:
        """Return once the thread has nothing to do."""
        while self.finished < self.begun:
            self.done.acquire()

    def _run(self) -> None:
        while True:
            self.gate.acquire()
            if self.task is None:
                return
            try:
                self.error = None
                self.context.run(self.task)
            except BaseException as error:  # it is the caller's: Team.share raises it there
                self.error = error
            finally:
                self.finished += 1
                self.done.release()


class SpinLock:
    """A closed lock; who waits for it keeps the core busy, without holding the interpreter. POSIX only."""

    def __init__(self) -> None:
        import ctypes

        self._lock = ctypes.c_int()
        reference = ctypes.byref(self._lock)
        library, holding_the_interpreter = ctypes.CDLL(None), ctypes.PyDLL(None)
        library.pthread_spin_init(reference, 0)
        self.acquire = partial(library.pthread_spin_lock, reference)
        self.release = partial(holding_the_interpreter.pthread_spin_unlock, reference)
        self.acquire()


def make_gate() -> Any:
    """What is closed: `acquire` waits until another thread has called `release`."""
    try:
        return SpinLock()
    except NO_C_FUNCTION:
        return threading.Semaphore(0)


def core_finder() -> Callable[[], int]:
    """A function that gives the number of the core that it is called on: −1 where the system doesn't say."""
    try:
        import ctypes

        finder: Callable[[], int] = ctypes.PyDLL(None).sched_getcpu
        return finder
    except NO_C_FUNCTION:
        return lambda: -1


def _get_team() -> Team | None:
    """The team, or None where there is one thread, or none can be started (a browser's Python)."""
    global _team
    if _team is None and thread_count() > 1:
        try:
            _team = Team(thread_count() - 1)
        except RuntimeError:
            set_threads(1)
    return _team


def _container_limit() -> int:
    """How many cores' time a container may use (Linux control groups, version 2)."""
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        return max(1, int(quota) // int(period))
    except (OSError, ValueError):  # none is set, or not Linux
        return sys.maxsize


def prepare_process() -> None:
    """Once, before the first kernel: BLAS at one thread, and freed memory kept."""
    global _prepared
    if _prepared is None:
        _keep_freed_memory()
        try:
            from threadpoolctl import threadpool_limits

            _prepared = threadpool_limits(1, user_api="blas")
        except ImportError:
            _prepared = "threadpoolctl is missing: BLAS keeps its own number of threads"


def _keep_freed_memory() -> None:
    """Tell glibc to reuse large freed blocks instead of giving them back to the system.

    Each step needs the same sizes again, and every page that comes anew from the system costs a fault: thousands a
    step, for which threads wait for each other.
    """
    try:
        import ctypes

        mallopt = ctypes.CDLL(None).mallopt
    except NO_C_FUNCTION:
        return  # not glibc
    for parameter, value in MALLOC_SETTINGS.values():
        mallopt(parameter, value)


def _forget_team() -> None:
    global _team
    _team = None  # threads don't survive a fork


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_team)
