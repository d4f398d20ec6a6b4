"""What tests/test_distributed.py lets mpiexec start:  mpiexec -n 2 python tests/mpi_program.py WHAT ARGUMENTS"""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import fake_cupy
import numpy as np
import test_workers

import tinygan as tg
from tinygan import distributed
from tinygan.workers import Workers


def exchange(workers, out):
    """Every kind of message, with arrays of every kind that tinygan sends."""
    rank, size = workers.rank, workers.size
    for dtype in (np.float32, np.float64):
        parts = [test_workers.draw(3, 4, seed=r).astype(dtype) for r in range(size)]
        total = workers.sum(parts[rank].T)  # not in one piece
        assert total.dtype == dtype and workers.broadcast(total).tobytes() == total.tobytes()
        np.testing.assert_allclose(total, sum(parts).T, rtol=1e-6)
        ends = [workers.begin_sum(parts[rank] * k) for k in (1, 2)]
        for k, end in enumerate(ends, 1):
            np.testing.assert_allclose(end(), k * sum(parts), rtol=1e-5)
    assert workers.sum(np.array(2.0, np.float32)).shape == ()
    assert workers.broadcast_json({"rank": rank}) == {"rank": 0}
    state = workers.broadcast_state({"a": np.full((2, rank + 1), rank, np.int64), "b": np.array(rank)})
    assert state["a"].shape == (2, 1) and state["b"].shape == () and not state["a"].any()
    assert workers.differing("0a" if rank < 2 else "0b") == ([2] if size > 2 else [])
    workers.wait()


def gradients(workers, out, batch):
    """Three steps of each player; worker 0 writes their losses, gradients and states."""
    found = test_workers.steps(workers, int(batch))
    if workers.rank == 0:
        np.savez(out, **test_workers.as_arrays(found))


def stand_in_gpu(workers, out):
    """Arrays of the stand-in for CuPy: over the host, and back to the device."""
    with fake_cupy.install():
        tg.use("gpu")
        array = tg.Tensor(np.full((2, 3), workers.rank + 1.0, np.float32))._array
        before = fake_cupy.device_to_host_copies
        total, first = workers.sum(array), workers.broadcast(array)
        assert fake_cupy.device_to_host_copies - before == 2
        assert type(total) is type(first) is type(array)
        expected = workers.size * (workers.size + 1) / 2
        assert float(total[1, 2]) == expected and float(first[0, 0]) == 1
        tg.use("cpu")


def fail(workers, out):
    """The last worker fails; the others wait for it."""
    if workers.rank == workers.size - 1:
        raise ZeroDivisionError("this one has had enough")
    for _ in range(10**9):
        workers.wait()


def leave(workers, out):
    """The last worker ends by itself, as if all were well; the others wait for it."""
    workers.wait()
    if workers.rank == workers.size - 1:
        sys.exit(0)
    for _ in range(10**9):
        workers.wait()


def finalise(workers, out):
    """The program ends MPI itself."""
    from mpi4py import MPI

    workers.wait()
    MPI.Finalize()


def linger(workers, out):
    """Worker 0 has more to do than the others, by itself."""
    workers.wait()
    if workers.rank == 0:
        time.sleep(1)


if __name__ == "__main__":
    what, out, *rest = sys.argv[1:]
    found = distributed.world()
    assert isinstance(found, Workers)
    globals()[what](found, out, *rest)
    print(f"worker {found.rank} of {found.size} is done")
