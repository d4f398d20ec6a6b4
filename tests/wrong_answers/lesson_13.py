"""Plausible wrong answers of lesson 13: exercise -> mistake -> (answer cell, what the message must say)."""

WRONG = {
    "L13-ex1": {
        "the rest is dropped": (
            """
def rows_of(rank, size, total):
    each = total // size
    return rank * each, (rank + 1) * each
""",
            "nobody has row",
        ),
        "the last one has the rest": (
            """
def rows_of(rank, size, total):
    each = total // size
    return rank * each, total if rank == size - 1 else (rank + 1) * each
""",
            "all wait for the largest",
        ),
        "rounded up": (
            """
def rows_of(rank, size, total):
    each = -(-total // size)
    return min(total, rank * each), min(total, (rank + 1) * each)
""",
            "one has none",
        ),
        "stop is the last row": (
            """
def rows_of(rank, size, total):
    return total * rank // size, total * (rank + 1) // size - 1
""",
            "nobody has row",
        ),
        "rounded at both ends": (
            """
def rows_of(rank, size, total):
    return total * rank // size, -(-total * (rank + 1) // size)
""",
            "belongs to two workers",
        ),
        "floats": (
            """
def rows_of(rank, size, total):
    return total / size * rank, total / size * (rank + 1)
""",
            "a pair of whole numbers",
        ),
    },
    "L13-ex2": {
        "the plain sum": (
            """
def whole_gradient(worker, gradient, rows, total):
    return worker.sum(gradient)
""",
            "It is the plain sum",
        ),
        "the mean over the workers": (
            """
def whole_gradient(worker, gradient, rows, total):
    return worker.sum(gradient) / worker.size
""",
            "It is the mean over the workers",
        ),
        "never divided": (
            """
def whole_gradient(worker, gradient, rows, total):
    return worker.sum(rows * gradient)
""",
            "still has to be divided by total",
        ),
        "no sum": (
            """
def whole_gradient(worker, gradient, rows, total):
    return gradient * rows / total
""",
            "what is missing is the sum over the workers",
        ),
        "worker 0 alone sums": (
            """
def whole_gradient(worker, gradient, rows, total):
    if worker.rank == 0:
        return worker.sum(gradient * rows / total)
    return gradient
""",
            "without asking for the rank",
        ),
        "in place": (
            """
def whole_gradient(worker, gradient, rows, total):
    gradient *= rows / total
    return worker.sum(gradient)
""",
            "in place",
        ),
    },
    "L13-ex3": {
        "each its own": (
            """
def whole_statistics(worker, x):
    return x.mean(axis=0), x.var(axis=0)
""",
            "the mean is that of worker 0's rows alone",
        ),
        "means of means": (
            """
def whole_statistics(worker, x):
    return worker.sum(x.mean(axis=0)) / worker.size, worker.sum(x.var(axis=0)) / worker.size
""",
            "lacks what their means vary between them",
        ),
        "weighted, but the variances alone": (
            """
def whole_statistics(worker, x):
    count = worker.sum(np.array([float(len(x))]))
    return worker.sum(x.sum(axis=0)) / count, worker.sum(len(x) * x.var(axis=0)) / count
""",
            "lacks what their means vary between them",
        ),
        "unbiased": (
            """
def whole_statistics(worker, x):
    count = worker.sum(np.array([float(len(x))]))
    mean = worker.sum(x.sum(axis=0)) / count
    return mean, worker.sum(((x - mean) ** 2).sum(axis=0)) / (count - 1)
""",
            "divided by n − 1",
        ),
        "distances to one's own mean": (
            """
def whole_statistics(worker, x):
    count = worker.sum(np.array([float(len(x))]))
    mean = worker.sum(x.sum(axis=0)) / count
    return mean, worker.sum(((x - x.mean(axis=0)) ** 2).sum(axis=0)) / count
""",
            "lacks what their means vary between them",
        ),
    },
    "L13-ex4": {
        "all rows": (
            """
def step_time(workers, batch, fixed, per_image, size, latency, bandwidth):
    return fixed + per_image * batch + 2 * (workers - 1) * (latency + size / workers / bandwidth)
""",
            "every worker computes its own rows alone",
        ),
        "rows not rounded up": (
            """
def step_time(workers, batch, fixed, per_image, size, latency, bandwidth):
    return fixed + per_image * batch / workers + 2 * (workers - 1) * (latency + size / workers / bandwidth)
""",
            "rounded up",
        ),
        "fixed shrinks as well": (
            """
def step_time(workers, batch, fixed, per_image, size, latency, bandwidth):
    rows = -(-batch // workers)
    return fixed / workers + per_image * rows + 2 * (workers - 1) * (latency + size / workers / bandwidth)
""",
            "each has it in full",
        ),
        "whole arrays around the ring": (
            """
def step_time(workers, batch, fixed, per_image, size, latency, bandwidth):
    rows = -(-batch // workers)
    return fixed + per_image * rows + 2 * (workers - 1) * (latency + size / bandwidth)
""",
            "a piece of size / workers",
        ),
        "once around": (
            """
def step_time(workers, batch, fixed, per_image, size, latency, bandwidth):
    rows = -(-batch // workers)
    return fixed + per_image * rows + (workers - 1) * (latency + size / workers / bandwidth)
""",
            "gone around twice",
        ),
        "one sends, too": (
            """
def step_time(workers, batch, fixed, per_image, size, latency, bandwidth):
    rows = -(-batch // workers)
    return fixed + per_image * rows + 2 * workers * (latency + size / workers / bandwidth)
""",
            "one that is alone sends nothing",
        ),
    },
}
