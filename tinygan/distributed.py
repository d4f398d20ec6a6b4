"""Workers that are processes, on one machine or many, over MPI:  mpiexec -n 4 tinygan train …

    workers = tinygan.distributed.world()        # alone, unless mpiexec started this process
    gan.join(workers)                            # from now on the workers train it together

Needs mpi4py (the extra `mpi`), which is loaded only in a process that mpiexec started.
"""

import atexit
import os
import sys
from collections.abc import Callable
from types import TracebackType
from typing import Any

import numpy as np

from . import backend, threads
from .backend import Array
from .errors import SettingError
from .workers import ThreadWorkers, Workers, run_together

__all__ = ["MPIWorkers", "ThreadWorkers", "Workers", "abort", "run_together", "world"]

# How MPICH and its kin, Open MPI, and MVAPICH tell a process how many they started.
SIZES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")

LEAVING = 1  # the tag of the message that a process's end is near

_world: "MPIWorkers | None" = None


class MPIWorkers(Workers):
    """The processes of an MPI communicator. Arrays on the GPU go through host memory.

    Where MPI itself reads the GPU's memory ("CUDA-aware"), set TINYGAN_CUDA_AWARE_MPI=1, and they go straight.
    """

    def __init__(self, comm: Any):
        self.comm = comm.Dup()  # so that nobody else's messages meet ours
        self.rank, self.size = self.comm.rank, self.comm.size
        self._direct = os.environ.get("TINYGAN_CUDA_AWARE_MPI") == "1"
        self._calls = 0
        self._left: dict[int, int] = {}  # of the workers that have left: how many calls each made before

    def sum(self, array: Array) -> Array:
        return self.begin_sum(array)()

    def begin_sum(self, array: Array) -> Callable[[], Array]:
        mine = self._within_reach(array)
        total = backend.array_library(mine).empty_like(mine)
        finish = self._begun(self.comm.Iallreduce(mine, total))

        def end() -> Array:
            finish()
            return backend.to_device(total, backend.device_of(array))

        return end

    def broadcast(self, array: Array) -> Array:
        copy = self._within_reach(array).copy()
        self._begun(self.comm.Ibcast(copy, root=0))()
        return backend.to_device(copy, backend.device_of(array))

    def leave(self) -> None:
        """Tell the others that this process ends, and wait until theirs end, too: MPI lets none go before the last."""
        from mpi4py import MPI

        if MPI.Is_finalized():  # by the program itself, for which all had to be there
            return
        others = [rank for rank in range(self.size) if rank != self.rank]
        calls = np.array([self._calls], np.int64)
        sent = [self.comm.Isend(calls, rank, LEAVING) for rank in others]
        while len(self._left) < len(others):
            self._hear_who_left(wait=True)
        for request in sent:
            request.Wait()

    def _begun(self, request: Any) -> Callable[[], None]:
        """What waits for this call of all workers: in vain where one has left before it, which ends all."""
        self._calls += 1
        number = self._calls

        def finish() -> None:
            while not request.Test():
                self._hear_who_left()
                if gone := [rank for rank, calls in self._left.items() if calls < number]:
                    print(
                        f"worker {self.rank} of {self.size} waits for worker {gone[0]}, whose process has ended: "
                        "all of them end. Each has to make the same steps",
                        file=sys.stderr,
                    )
                    abort(1)

        return finish

    def _hear_who_left(self, wait: bool = False) -> None:
        for rank in range(self.size):
            if rank not in (self.rank, *self._left) and (wait or self.comm.Iprobe(rank, LEAVING)):
                calls = np.zeros(1, np.int64)
                self.comm.Recv(calls, rank, LEAVING)
                self._left[rank] = int(calls[0])

    def _within_reach(self, array: Array) -> Array:
        """The array in one piece, where MPI can read it."""
        if not backend.is_on_gpu(array):
            return np.asarray(array, order="C")
        if not self._direct:
            return backend.to_host(array)
        backend.synchronize()  # MPI knows nothing of the GPU's queue
        return backend.array_library(array).asarray(array, order="C")


def world() -> Workers:
    """All processes that mpiexec started along with this one; where it started none, a worker that is alone.

    From then on an error that ends one of them is printed and ends all, at once, and so does the end of one that others
    wait for. Unless TINYGAN_THREADS is set, those of one machine share its cores. Raises SettingError where mpi4py is
    missing, or belongs to another mpiexec: each process would train the same run on its own.
    """
    global _world
    started = next((int(os.environ[name]) for name in SIZES if os.environ.get(name, "").isdecimal()), 1)
    if _world is None and started > 1:
        _world = MPIWorkers(_communicator(started))
        _share_cores(_world.comm)
        _end_together(_world.comm)
        atexit.register(_world.leave)
    return _world or Workers()


def abort(status: int) -> None:
    """End all processes that mpiexec started, with this exit status; without mpiexec, nothing."""
    if _world is not None:
        sys.stdout.flush()
        sys.stderr.flush()
        _world.comm.Abort(status)


def _communicator(started: int) -> Any:
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:  # RuntimeError: mpi4py finds no MPI
        raise SettingError(
            f"mpiexec started {started} processes, but mpi4py can't be loaded ({error}), so each would train the "
            "same run on its own. Install the extra: tinygan[mpi]; or start one process, without mpiexec"
        ) from error
    if started != MPI.COMM_WORLD.size:
        raise SettingError(
            f"mpiexec started {started} processes, but mpi4py's MPI sees {MPI.COMM_WORLD.size}: they are of different "
            f"kinds. Use the mpiexec of {MPI.Get_library_version().splitlines()[0]}, or install mpi4py for yours"
        )
    return MPI.COMM_WORLD


def _share_cores(comm: Any) -> None:
    """Without this each process would start a thread for each core of the machine."""
    from mpi4py import MPI

    neighbours = comm.Split_type(MPI.COMM_TYPE_SHARED)
    threads.share_cores(neighbours.size)
    neighbours.Free()


def _end_together(comm: Any) -> None:
    """An error that nobody catches in one process ends all: the others would wait for it forever."""
    usual = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        print(f"worker {comm.rank} of {comm.size}:", file=sys.stderr)
        usual(kind, error, trace)
        abort(1)

    sys.excepthook = hook
