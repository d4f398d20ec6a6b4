"""Plausible wrong answers of lesson 10: exercise -> mistake -> (answer cell, what the message must say)."""

WRONG = {
    "L10-ex1": {
        "no covariance term": (
            """
def gaussian_distance(mean_a, covariance_a, mean_b, covariance_b):
    return np.sum((mean_a - mean_b) ** 2)
""",
            "term with the covariances is missing",
        ),
        "no root term": (
            """
def gaussian_distance(mean_a, covariance_a, mean_b, covariance_b):
    return np.sum((mean_a - mean_b) ** 2) + np.trace(covariance_a) + np.trace(covariance_b)
""",
            "root's term is missing",
        ),
        "complex root": (
            """
def gaussian_distance(mean_a, covariance_a, mean_b, covariance_b):
    with np.errstate(invalid="ignore"):
        cross = np.sqrt(np.linalg.eigvals(covariance_a @ covariance_b)).sum()
    return np.sum((mean_a - mean_b) ** 2) + np.trace(covariance_a + covariance_b) - 2 * cross
""",
            "rounding made",
        ),
        "root of each entry": (
            """
def gaussian_distance(mean_a, covariance_a, mean_b, covariance_b):
    with np.errstate(invalid="ignore"):
        cross = np.sqrt(covariance_a @ covariance_b)
    return np.sum((mean_a - mean_b) ** 2) + np.trace(covariance_a + covariance_b - 2 * cross)
""",
            "np.sqrt takes the root of each entry",
        ),
        "product of the roots": (
            """
def gaussian_distance(mean_a, covariance_a, mean_b, covariance_b):
    cross = root(covariance_a) @ root(covariance_b)
    return np.sum((mean_a - mean_b) ** 2) + np.trace(covariance_a + covariance_b - 2 * cross)
""",
            "unless they commute",
        ),
        "means not squared": (
            """
def gaussian_distance(mean_a, covariance_a, mean_b, covariance_b):
    half = root(covariance_a)
    cross = root(half @ covariance_b @ half)
    return np.linalg.norm(mean_a - mean_b) + np.trace(covariance_a + covariance_b - 2 * cross)
""",
            "has to be squared",
        ),
    },
    "L10-ex2": {
        "N that differs": (
            """
def distance_and_floor(fake, reference, real):
    if len(real) < len(fake):
        raise ValueError("too few")
    return frechet_distance(fake, reference), frechet_distance(real, reference)
""",
            "N differs",
        ),
        "a slice that is too short": (
            """
def distance_and_floor(fake, reference, real):
    return frechet_distance(fake, reference), frechet_distance(real[: len(fake)], reference)
""",
            "a floor at another N",
        ),
        "floor from the reference itself": (
            """
def distance_and_floor(fake, reference, real):
    return frechet_distance(fake, reference), frechet_distance(reference[: len(fake)], reference)
""",
            "rows of the reference itself",
        ),
        "reference cut as well": (
            """
def distance_and_floor(fake, reference, real):
    n = len(fake)
    return frechet_distance(fake, reference[:n]), frechet_distance(real[:n], reference[:n])
""",
            "both distances need all of it",
        ),
        "fakes against real": (
            """
def distance_and_floor(fake, reference, real):
    n = len(fake)
    return frechet_distance(fake, real), frechet_distance(real[:n], reference)
""",
            "both numbers are measured from the reference",
        ),
    },
    "L10-ex3": {
        "the other share": (
            """
def share_near_training(samples, train, held_out):
    def nearest(others):
        return np.array([((others - sample) ** 2).sum(axis=(1, 2, 3)).min() for sample in samples])
    return (nearest(held_out) < nearest(train)).mean()
""",
            "nearest to a *held-out* image",
        ),
        "exact copies only": (
            """
def share_near_training(samples, train, held_out):
    return np.mean([(train == sample).all(axis=(1, 2, 3)).any() for sample in samples])
""",
            "Only exact copies",
        ),
        "mean over all pairs": (
            """
def share_near_training(samples, train, held_out):
    def mean(others):
        return np.array([((others - sample) ** 2).sum(axis=(1, 2, 3)).mean() for sample in samples])
    return (mean(train) < mean(held_out)).mean()
""",
            "only the nearest counts",
        ),
        "brightness": (
            """
def share_near_training(samples, train, held_out):
    def nearest(others):
        return np.array([abs((others - sample).mean(axis=(1, 2, 3))).min() for sample in samples])
    return (nearest(train) < nearest(held_out)).mean()
""",
            "mean brightness",
        ),
        "nearest sample of each real image": (
            """
def share_near_training(samples, train, held_out):
    def nearest(others):
        return np.array([((samples - other) ** 2).sum(axis=(1, 2, 3)).min() for other in others])
    return nearest(train).mean() < nearest(held_out).mean()
""",
            "for each *sample*",
        ),
        "a count": (
            """
def share_near_training(samples, train, held_out):
    def nearest(others):
        return np.array([((others - sample) ** 2).sum(axis=(1, 2, 3)).min() for sample in samples])
    return (nearest(train) < nearest(held_out)).sum()
""",
            "divide by how many samples",
        ),
    },
}
