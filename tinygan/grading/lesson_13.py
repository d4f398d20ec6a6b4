"""Lesson 13, many workers: rows, the whole batch's gradient, its statistics, and what a step costs."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import SettingError
from ..workers import Workers, run_together
from .exercise import WrongAnswer, exercise, expect, expect_close


def rows_of(rank: int, size: int, total: int) -> tuple[int, int]:
    """The rows start … stop − 1 of a batch of `total` that belong to worker `rank` of `size`."""
    return total * rank // size, total * (rank + 1) // size


def whole_gradient(worker: Workers, gradient: Any, rows: int, total: int) -> Any:
    """The gradient of the whole batch's mean loss, from that of the mean over this worker's rows."""
    return worker.sum(gradient * (rows / total))


def whole_statistics(worker: Workers, x: Any) -> tuple[Any, Any]:
    """Mean and biased variance of each feature over the rows (n, C) of all workers."""
    count = worker.sum(np.array([float(len(x))]))
    mean = worker.sum(x.sum(axis=0)) / count
    variance = worker.sum(((x - mean) ** 2).sum(axis=0)) / count
    return mean, variance


def step_time(
    workers: int, batch: int, fixed: float, per_image: float, size: float, latency: float, bandwidth: float
) -> float:
    """Seconds of a step: compute, and a sum of `size` bytes around a ring of workers."""
    rows = -(-batch // workers)
    hops = 2 * (workers - 1)
    return fixed + per_image * rows + hops * (latency + size / workers / bandwidth)


def _together(size: int, work: Callable[[Workers], Any]) -> list[Any]:
    try:
        return run_together(size, work)
    except SettingError as error:
        raise WrongAnswer(
            f"{error}. A sum takes all of them: call it once for each array, without asking for the rank"
        ) from None


@exercise("L13-ex1", rows_of)
def _check_rows_of(answer: Any, rng: np.random.Generator) -> None:
    for size, total in ((1, 5), (2, 8), (3, 8), (4, 4), (5, 7), (7, int(rng.integers(60, 80)))):
        found = [answer(rank, size, total) for rank in range(size)]
        what = f"of {total} rows for {size} workers"
        for pair in found:
            expect(
                isinstance(pair, tuple) and len(pair) == 2 and all(isinstance(n, int | np.integer) for n in pair),
                f"{what}: rows_of gave {pair!r}; a pair of whole numbers, (start, stop), is expected",
            )
        names = ", ".join(f"{start}…{stop - 1}" if stop > start else "none" for start, stop in found)
        owners = np.zeros(total, int)
        for start, stop in found:
            expect(0 <= start <= stop <= total, f"{what}: the pair {(start, stop)} is no part of 0 … {total}")
            owners[start:stop] += 1
        twice, nobody = np.flatnonzero(owners > 1), np.flatnonzero(owners == 0)
        expect(
            not twice.size, f"{what}: row {twice[:1]} belongs to two workers ({names}). stop is the first that is not"
        )
        expect(
            not nobody.size,
            f"{what}: nobody has row {nobody[:1]} ({names}). {total} / {size} leaves a rest, which has to go somewhere",
        )
        lengths = [stop - start for start, stop in found]
        expect(min(lengths) > 0, f"{what}: one has none ({names}), while others have up to {max(lengths)}: rounded up?")
        expect(
            max(lengths) - min(lengths) <= 1,
            f"{what}: the parts have {lengths} rows, and all wait for the largest. Sizes may differ by one at most",
        )
        starts = [start for start, _ in found]
        expect(starts == sorted(starts), f"{what}: the parts are not in the order of the ranks ({names})")


@exercise("L13-ex2", whole_gradient)
def _check_whole_gradient(answer: Any, rng: np.random.Generator) -> None:
    for total, size in ((6, 2), (7, 3), (9, 4)):
        parts = [rows_of(rank, size, total) for rank in range(size)]
        each = rng.standard_normal((total, 2, 3))  # the gradient of each example's loss
        own = [each[start:stop].mean(axis=0) for start, stop in parts]
        counts = [stop - start for start, stop in parts]
        wanted = each.mean(axis=0)

        def work(worker: Workers, own: Any = own, counts: Any = counts, total: int = total) -> Any:
            mine = own[worker.rank].copy()
            found = answer(worker, mine, counts[worker.rank], total)
            expect(np.array_equal(mine, own[worker.rank]), "whole_gradient changed the gradient it was given, in place")
            return found

        mistakes = {
            "It is this worker's own gradient: the others' are missing. worker.sum(array) adds up everybody's": own[0],
            "It is the plain sum, which counts the batch once for each worker: its steps are too long by their number. "
            "Weight each worker's gradient by its part of the batch, rows / total": sum(own),
            "It is the mean over the workers. With parts of different sizes a row in a small one would then count more "
            "than one in a large one: weight each by rows / total": sum(own) / size,
            "It is the sum of rows · gradient, which still has to be divided by total": each.sum(axis=0),
            "It is this worker's share of the gradient; what is missing is the sum over the workers": own[0]
            * counts[0]
            / total,
        }
        found = _together(size, work)
        for message, wrong in mistakes.items():
            close = found[0] is not None and np.shape(found[0]) == wrong.shape and np.allclose(found[0], wrong)
            expect(not close or np.allclose(wrong, wanted), f"{size} workers with {counts} rows: {message}")
        for rank, gradient in enumerate(found):
            expect_close(gradient, wanted, f"worker {rank}'s gradient, of {size} workers with {counts} rows,")


@exercise("L13-ex3", whole_statistics)
def _check_whole_statistics(answer: Any, rng: np.random.Generator) -> None:
    for counts in ((4, 4), (3, 1, 4), (1, 1)):
        x = [rng.standard_normal((n, 3)) * 2 + 5 * rank for rank, n in enumerate(counts)]
        whole = np.concatenate(x)

        def work(worker: Workers, x: Any = x) -> Any:
            found = answer(worker, x[worker.rank].copy())
            expect(
                isinstance(found, tuple) and len(found) == 2,
                f"whole_statistics gave {type(found).__name__}; a pair (mean, variance) is expected",
            )
            return found

        results = _together(len(counts), work)
        means, variances = np.array([a.mean(axis=0) for a in x]), np.array([a.var(axis=0) for a in x])
        weights = np.array(counts)[:, None] / sum(counts)
        mean, variance = results[0]
        what = f"workers with {counts} rows: "
        wrong_means = {
            "the mean is that of worker 0's rows alone": means[0],
            "the mean is the mean of the workers' means, where a row in a small part counts more": means.mean(axis=0),
        }
        for message, wrong in wrong_means.items():
            expect(not _same(mean, wrong) or np.allclose(wrong, whole.mean(axis=0)), what + message)
        wrong_variances = {
            "the variance is that of worker 0's rows alone": variances[0],
            "the variance is the mean of the workers' variances. It lacks what their means vary between them: take "
            "each row's distance to the whole batch's mean": (weights * variances).sum(axis=0),
            "the variance is the plain mean of the workers' variances: of their rows' distances to their own means": (
                variances.mean(axis=0)
            ),
            "the variance is divided by n − 1; batch norm normalises with the biased one, divided by n": whole.var(
                axis=0, ddof=1
            ),
        }
        for message, wrong in wrong_variances.items():
            expect(not _same(variance, wrong), what + message)
        for rank, (mean, variance) in enumerate(results):
            expect_close(mean, whole.mean(axis=0), f"{what}worker {rank}'s mean")
            expect_close(variance, whole.var(axis=0), f"{what}worker {rank}'s variance")


def _same(found: Any, wrong: Any) -> bool:
    return np.shape(found) == np.shape(wrong) and bool(np.allclose(found, wrong))


@exercise("L13-ex4", step_time)
def _check_step_time(answer: Any, rng: np.random.Generator) -> None:
    for workers, batch in ((1, 64), (2, 64), (3, 64), (16, 64), (64, 64)):
        fixed, per_image, latency = (float(n) for n in rng.uniform(1e-3, 2e-3, 3))
        size, bandwidth = float(rng.uniform(1e6, 2e6)), float(rng.uniform(1e8, 2e8))
        wanted = step_time(workers, batch, fixed, per_image, size, latency, bandwidth)
        found = answer(workers, batch, fixed, per_image, size, latency, bandwidth)
        hops, sent = 2 * (workers - 1), size / workers / bandwidth
        compute = fixed + per_image * -(-batch // workers)
        mistakes = {
            "every worker computes its own rows alone: batch / workers of them": wanted
            + per_image * (batch + batch // -workers),
            "the slowest worker has the rows rounded up, since a part of an image is none": wanted
            + per_image * (batch / workers + batch // -workers),
            "what doesn't shrink with the number of rows, `fixed`, is missing or divided": wanted - fixed,
            "`fixed` is divided by the number of workers, but each has it in full": wanted - fixed + fixed / workers,
            "each message is a piece of size / workers, not the whole array": compute
            + hops * (latency + size / bandwidth),
            "the ring is gone around twice: workers − 1 messages to add up, and as many to hand out the sums": compute
            + hops / 2 * (latency + sent),
            "each message waits for the latency; it is there once only": compute + latency + hops * sent,
            "one that is alone sends nothing, and of n workers each sends 2 (n − 1) messages": compute
            + 2 * workers * (latency + sent),
        }
        what = f"step_time of {workers} workers, batch {batch}"
        for message, wrong in mistakes.items():
            alike = isinstance(found, int | float) and np.isclose(found, wrong, rtol=1e-9)
            expect(not alike or np.isclose(wrong, wanted), f"{what}: {message}")
        expect_close(found, wanted, what)
