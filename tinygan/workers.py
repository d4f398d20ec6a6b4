"""Workers that train one GAN together: each takes its rows of every batch, and what they find is added up.

A loss is a mean over the batch, so its gradient is the sum of the workers' gradients, each weighted by its share of the
batch: n workers are one. This file has the worker that is alone, and workers that are threads of one process;
`distributed` has those that are processes, over MPI.
"""

import contextvars
import json
import threading
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np

from .backend import Array
from .errors import SettingError
from .rows import Rows

Result = TypeVar("Result")


class Workers:
    """One of `size` workers, number `rank` from 0 on. This one is alone; others override `sum` and `broadcast`.

    All workers have to make the same calls, in the same order, with arrays of the same shapes and dtypes.
    """

    rank, size = 0, 1

    def sum(self, array: Array) -> Array:
        """Σ over all workers of their arrays: the same bytes for each worker."""
        return array

    def begin_sum(self, array: Array) -> Callable[[], Array]:
        """Begin such a sum, and give what ends it; the array must not change in between."""
        total = self.sum(array)
        return lambda: total

    def broadcast(self, array: Array) -> Array:
        """Worker 0's array. The others' says only shape and dtype."""
        return array

    def wait(self) -> None:
        """Until all workers are here."""
        self.sum(np.zeros(1))

    def rows(self, total: int) -> Rows:
        """Which rows of a batch are this worker's: as many as the others', or one more. SettingError for too few."""
        if total < self.size > 1:
            raise SettingError(
                f"a batch of {total} for {self.size} workers: each needs a row at least; "
                f"use a batch of {self.size} or more, or start fewer workers"
            )
        return Rows(total * self.rank // self.size, total * (self.rank + 1) // self.size, total)

    def broadcast_json(self, value: Any) -> Any:
        """Worker 0's value, of what JSON can say."""
        text = np.frombuffer(json.dumps(value if self.rank == 0 else None).encode(), np.uint8)
        length = int(self.broadcast(np.array([len(text)]))[0])
        text = self.broadcast(text if self.rank == 0 else np.zeros(length, np.uint8))
        return json.loads(text.tobytes())

    def broadcast_state(self, state: Mapping[str, np.ndarray[Any, Any]]) -> dict[str, np.ndarray[Any, Any]]:
        """Worker 0's state_dict, whatever the others' have."""
        shapes = self.broadcast_json([(name, a.dtype.str, a.shape) for name, a in state.items()])
        return {
            name: self.broadcast(np.asarray(state[name], order="C") if self.rank == 0 else np.zeros(shape, dtype))
            for name, dtype, shape in shapes
        }

    def differing(self, digest: str) -> list[int]:
        """Which workers have another digest (hex) than worker 0: none where all agree."""
        mine = np.frombuffer(bytes.fromhex(digest), np.uint8)
        differs = np.zeros(self.size)
        differs[self.rank] = not np.array_equal(self.broadcast(mine), mine)
        return [int(rank) for rank in np.flatnonzero(self.sum(differs))]

    def __deepcopy__(self, memo: dict[int, Any]) -> "Workers":
        return self  # a copied layer works along with the same others


class Meeting:
    """Where workers that are threads put down their arrays and take up everybody's: one round after another."""

    def __init__(self, size: int):
        self.size, self.round = size, dict[int, Array]()
        self.changed = threading.Condition()
        self.left = False  # whether one has gone, and won't come to any more rounds

    def exchange(self, rank: int, array: Array) -> list[Array]:
        """Everybody's arrays, by rank. Raises SettingError where not all come."""
        with self.changed:
            arrays = self.round
            arrays[rank] = array.copy()
            if len(arrays) == self.size:
                self.round = {}
                self.changed.notify_all()
            while len(arrays) < self.size:
                if self.left:
                    raise SettingError(
                        f"worker {rank} waits for the others, but one of them has finished: all workers have to make "
                        "the same calls of sum and broadcast, in the same order"
                    )
                self.changed.wait()
            return [arrays[i] for i in range(self.size)]

    def leave(self) -> None:
        """Nobody has to wait for this worker any more: in vain it would be."""
        with self.changed:
            self.left = True
            self.changed.notify_all()


class ThreadWorkers(Workers):
    """Workers in threads of one process. See `run_together`."""

    def __init__(self, rank: int, meeting: Meeting):
        self.rank, self.size, self.meeting = rank, meeting.size, meeting

    def sum(self, array: Array) -> Array:
        parts = self.meeting.exchange(self.rank, array)
        total = parts[0]
        for part in parts[1:]:
            total = total + part  # in the workers' order, so that all have the same bytes
        return total

    def broadcast(self, array: Array) -> Array:
        return self.meeting.exchange(self.rank, array)[0].copy()


def run_together(size: int, work: Callable[[Workers], Result]) -> list[Result]:
    """work(worker) for each of `size` workers, side by side in threads; what they give, by rank.

    The first error is raised here. Where one worker fails, those that wait for it are stopped.
    """
    if size < 1:
        raise SettingError(f"run_together: size={size}; at least 1 worker is expected")
    meeting = Meeting(size)
    results: dict[int, Result] = {}
    errors: list[BaseException] = []

    def run(rank: int) -> None:
        try:
            results[rank] = work(ThreadWorkers(rank, meeting))
        except BaseException as error:
            errors.append(error)
        finally:
            meeting.leave()

    contexts = [contextvars.copy_context() for _ in range(size)]
    threads = [threading.Thread(target=c.run, args=(run, rank), daemon=True) for rank, c in enumerate(contexts)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return [results[rank] for rank in range(size)]
