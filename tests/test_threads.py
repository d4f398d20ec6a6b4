"""The threads of NumPy kernels: settings, sharing, errors, sleep, and what becomes of them after a fork."""

import os
import signal
import threading
import time

import numpy as np
import pytest

import tinygan as tg
from tinygan import threads
from tinygan.errors import SettingError
from tinygan.kernels import numpy_kernels

# ---------------------------------------------------------------- settings


def test_set_threads():
    tg.set_threads(3)
    assert threads.thread_count() == 3
    tg.set_threads(None)
    assert threads.thread_count() >= 1
    for bad in (0, -1, 1.5, "2"):
        with pytest.raises(SettingError, match=r"set_threads\(.*\): a whole number of at least 1 is expected, or None"):
            tg.set_threads(bad)


def test_threads_from_the_environment(monkeypatch):
    tg.set_threads(None)
    monkeypatch.setenv("TINYGAN_THREADS", "3")
    assert threads.thread_count() == 3
    tg.set_threads(2)
    assert threads.thread_count() == 2  # what the program says goes before
    tg.set_threads(None)
    monkeypatch.setenv("TINYGAN_THREADS", "")
    assert threads.thread_count() >= 1
    for bad in ("0", "-2", "two", "1.5", "²"):
        monkeypatch.setenv("TINYGAN_THREADS", bad)
        with pytest.raises(SettingError, match=r"TINYGAN_THREADS=.*: a whole number of at least 1 is expected"):
            threads.thread_count()


def test_where_no_thread_can_be_started(monkeypatch):
    """A browser's Python: everything on one thread, found out once."""
    tg.set_threads(2)

    def refuse(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    seen = []
    threads.parallel_for(seen.append, 5)
    assert seen == [0, 1, 2, 3, 4] and threads.thread_count() == 1


def test_a_container_may_use_less_than_the_machine_has(monkeypatch, tmp_path):
    tg.set_threads(None)
    monkeypatch.delenv("TINYGAN_THREADS", raising=False)
    for content, limit in (
        ("max 100000", None),
        ("150000 100000", 1),
        ("50000 100000", 1),
        ("200000 100000", 2),
        ("", None),
    ):
        (tmp_path / "cpu.max").write_text(content)
        monkeypatch.setattr(threads, "Path", lambda _: tmp_path / "cpu.max")
        assert threads._container_limit() == (limit or threads.sys.maxsize)
    monkeypatch.setattr(threads, "_container_limit", lambda: 1)
    assert threads.thread_count() == 1


# ---------------------------------------------------------------- the team


@pytest.mark.parametrize("count", [1, 2, 3])
def test_every_index_once(count):
    tg.set_threads(count)
    for n in (0, 1, 2, 1000):
        seen = []
        threads.parallel_for(seen.append, n)
        assert sorted(seen) == list(range(n))


@pytest.mark.parametrize("where", ["first", "last", "all"])
def test_errors_of_threads_propagate(where):
    """Wherever it happens; and nobody writes any more by the time it is raised."""
    tg.set_threads(3)
    running = []

    def work(i):
        running.append(i)
        try:
            if where == "all" or i == {"first": 0, "last": 19}[where]:
                raise KeyError(i)
        finally:
            running.remove(i)

    with pytest.raises(KeyError):
        threads.parallel_for(work, 20)
    assert not running
    total = []
    threads.parallel_for(total.append, 20)  # the pool goes on working
    assert sorted(total) == list(range(20))


def test_nested_work_doesnt_deadlock():
    tg.set_threads(2)
    seen = []
    threads.parallel_for(lambda i: threads.parallel_for(lambda j: seen.append((i, j)), 5), 5)
    assert sorted(seen) == [(i, j) for i in range(5) for j in range(5)]


def test_context_reaches_the_helpers():
    """A context variable set by the caller (such as no_grad) is seen in every chunk."""
    tg.set_threads(3)
    with tg.no_grad():
        seen = []
        threads.parallel_for(lambda i: seen.append((tg.Tensor([1.0], requires_grad=True) * 2).requires_grad), 50)
    assert not any(seen)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Python 3.12 warns of fork in a process with threads
def test_a_forked_child_computes():
    """The child has none of the pool's threads: it must make its own, not wait for those."""
    tg.set_threads(2)
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((40, 14, 14, 8)), rng.standard_normal((4, 4, 8, 16))
    expected = numpy_kernels.conv(x, w, (2, 2), ((1, 1), (1, 1))).tobytes()
    threads.parallel_for(lambda i: None, 10)  # so that there is a pool
    assert threads._team is not None
    child = os.fork()
    if child == 0:
        try:
            signal.alarm(20)
            same = numpy_kernels.conv(x, w, (2, 2), ((1, 1), (1, 1))).tobytes() == expected
            idents = set()
            threads.parallel_for(lambda i: (idents.add(threading.get_ident()), time.sleep(0.01)), 10)
            os._exit(0 if same and len(idents) == 2 else 1)
        finally:
            os._exit(2)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0


def test_helpers_go_to_sleep_and_wake_again():
    """They spin for a while after the last piece of work, not for good: an idle process uses no CPU."""
    tg.set_threads(3)
    for _ in range(3):
        seen = []
        threads.parallel_for(seen.append, 20)
        assert sorted(seen) == list(range(20))
        deadline = time.monotonic() + 10
        while threads._team.awake and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not threads._team.awake
    time.sleep(0.05)
    before = time.process_time()
    time.sleep(0.3)
    assert time.process_time() - before < 0.1  # two that spin would have used 0.6


def test_dismissed_helpers_are_gone():
    def helpers():
        return [t for t in threading.enumerate() if t.name.startswith("tinygan")]

    tg.set_threads(3)
    threads.parallel_for(lambda i: None, 10)
    assert len(helpers()) >= 2
    tg.set_threads(1)
    deadline = time.monotonic() + 10
    while helpers() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not helpers()


def test_a_dismissed_team_leaves_its_callers_to_themselves():
    """Another thread may have got hold of the team just before: it must not wait for helpers that are gone."""
    tg.set_threads(2)
    threads.parallel_for(lambda i: None, 10)
    team = threads._team
    tg.set_threads(1)
    assert team.share(lambda: None) is False


def test_two_callers_at_once():
    """One has the team, the other works alone: both come to their end, with all that they wanted."""
    tg.set_threads(2)
    results = {}

    def call(name):
        for _ in range(50):
            seen = []
            threads.parallel_for(lambda i, seen=seen: seen.append(i), 20)
            results[name] = sorted(seen)

    callers = [threading.Thread(target=call, args=(name,)) for name in "ab"]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(30)
    assert results == {"a": list(range(20)), "b": list(range(20))}


def test_without_spin_locks(monkeypatch):
    """Where the system has none (Windows, macOS) helpers wait asleep, and the results are the same."""
    x = np.random.default_rng(0).standard_normal((40, 9, 9, 3))
    w = np.random.default_rng(1).standard_normal((3, 3, 3, 4))
    tg.set_threads(1)
    expected = numpy_kernels.conv(x, w, (1, 1), ((1, 1), (1, 1))).tobytes()

    def refuse(self):
        raise AttributeError("pthread_spin_init")

    monkeypatch.setattr(threads.SpinLock, "__init__", refuse)
    tg.set_threads(3)
    for _ in range(20):
        assert numpy_kernels.conv(x, w, (1, 1), ((1, 1), (1, 1))).tobytes() == expected
    seen = []
    threads.parallel_for(seen.append, 50)
    assert sorted(seen) == list(range(50))
    assert isinstance(threads._team.helpers[0].gate, threading.Semaphore)


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system has no affinity of threads to cores")
def test_helpers_leave_the_callers_core_alone():
    """On one core the two would wait for each other in turns of milliseconds."""
    allowed = os.sched_getaffinity(0)
    if len(allowed) < 2:
        pytest.skip("one core")
    threads.set_threads(2)
    try:
        for core in sorted(allowed)[:2]:
            os.sched_setaffinity(0, {core})  # the caller moves there
            os.sched_setaffinity(0, allowed)
            threads.parallel_for(lambda i: None, 2)
            team = threads._team
            assert os.sched_getaffinity(team.helpers[0].native_id) == allowed - {team.callers_core}
        assert os.sched_getaffinity(0) == allowed, "the caller itself may run anywhere"
    finally:
        threads.set_threads(None)
