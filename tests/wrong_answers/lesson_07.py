"""Plausible wrong answers of lesson 7: exercise -> mistake -> (answer cell, what the message must say)."""

WRONG = {
    "L07-ex1": {
        "counts empty modes": (
            """
def mode_coverage(samples, centres, sigma, least):
    distances = np.linalg.norm(samples[:, None] - centres, axis=2)
    good = distances.min(axis=1) <= 3 * sigma
    counts = np.bincount(distances.argmin(axis=1)[good], minlength=len(centres))
    return len(counts)
""",
            "Empty modes are counted",
        ),
        "no radius": (
            """
def mode_coverage(samples, centres, sigma, least):
    distances = np.linalg.norm(samples[:, None] - centres, axis=2)
    counts = np.bincount(distances.argmin(axis=1), minlength=len(centres))
    return int((counts >= least).sum())
""",
            "only those within 3σ",
        ),
        "one stray sample is enough": (
            """
def mode_coverage(samples, centres, sigma, least):
    distances = np.linalg.norm(samples[:, None] - centres, axis=2)
    good = distances.min(axis=1) <= 3 * sigma
    return len(set(distances.argmin(axis=1)[good]))
""",
            "One stray sample is enough",
        ),
        "radius of one sigma": (
            """
def mode_coverage(samples, centres, sigma, least):
    distances = np.linalg.norm(samples[:, None] - centres, axis=2)
    good = distances.min(axis=1) <= sigma
    counts = np.bincount(distances.argmin(axis=1)[good], minlength=len(centres))
    return int((counts >= least).sum())
""",
            "has radius σ",
        ),
        "a sample counted for two modes": (
            """
def mode_coverage(samples, centres, sigma, least):
    distances = np.linalg.norm(samples[:, None] - centres, axis=2)
    return int(((distances <= 3 * sigma).sum(axis=0) >= least).sum())
""",
            "was counted for both",
        ),
        "share of good samples": (
            """
def mode_coverage(samples, centres, sigma, least):
    distances = np.linalg.norm(samples[:, None] - centres, axis=2)
    return (distances.min(axis=1) <= 3 * sigma).mean()
""",
            "the share of good samples",
        ),
    },
    "L07-ex2": {
        "loss as metric: the best G loss ever": (
            """
def mend(name, recipe):
    cures = {"A": dict(d_lr=1e-6), "B": dict(betas=(0.5, 0.9)), "C": dict(activation="leaky_relu")}
    return replace(recipe, **cures[name])
""",
            "they are no measure: judge by the modes",
        ),
        "slows B down in place of its momentum": (
            """
def mend(name, recipe):
    cures = {"A": dict(d_lr=8e-3), "B": dict(g_lr=1e-5), "C": dict(activation="leaky_relu")}
    return replace(recipe, **cures[name])
""",
            "run B with g_lr",
        ),
        "widens a linear G": (
            """
def mend(name, recipe):
    cures = {"A": dict(d_lr=8e-3), "B": dict(betas=(0.5, 0.9)), "C": dict(g_hidden=64)}
    return replace(recipe, **cures[name])
""",
            "run C with g_hidden",
        ),
        "everything at once": (
            """
def mend(name, recipe):
    return replace(recipe, d_lr=8e-3, betas=(0.5, 0.9), activation="leaky_relu", g_hidden=64)
""",
            "change one setting",
        ),
        "nothing changed": (
            """
def mend(name, recipe):
    return recipe
""",
            "nothing was changed",
        ),
    },
}
