"""Plausible wrong answers of lesson 1: exercise -> mistake -> (answer cell, what the message must say)."""

WRONG = {
    "L01-ex1": {
        "sum for mean": (
            """
def discriminator_loss(real_logits, fake_logits):
    return np.sum(softplus(-real_logits)) + np.sum(softplus(fake_logits))
""",
            "a mean belongs",
        ),
        "sigmoid then log": (
            """
def discriminator_loss(real_logits, fake_logits):
    return -np.mean(np.log(sigmoid(real_logits))) - np.mean(np.log(1 - sigmoid(fake_logits)))
""",
            "use softplus",
        ),
        "clipped sigmoid then log": (
            """
def discriminator_loss(real_logits, fake_logits):
    real, fake = (np.clip(sigmoid(l), 1e-12, 1 - 1e-12) for l in (real_logits, fake_logits))
    return -np.mean(np.log(real)) - np.mean(np.log(1 - fake))
""",
            "no clip",
        ),
        "swapped labels": (
            """
def discriminator_loss(real_logits, fake_logits):
    return np.mean(softplus(real_logits)) + np.mean(softplus(-fake_logits))
""",
            "swapped",
        ),
        "V for -V": (
            """
def discriminator_loss(real_logits, fake_logits):
    return -np.mean(softplus(-real_logits)) - np.mean(softplus(fake_logits))
""",
            "sign",
        ),
        "one mean over both batches": (
            """
def discriminator_loss(real_logits, fake_logits):
    return np.mean(np.concatenate([softplus(-real_logits), softplus(fake_logits)]))
""",
            "mean of its own",
        ),
    },
    "L01-ex2": {
        "sigmoid then log": (
            """
def value_on_grid(x, p, q, logits):
    return integral(p * np.log(sigmoid(logits)) + q * np.log(1 - sigmoid(logits)), x)
""",
            "use softplus",
        ),
        "densities swapped": (
            """
def value_on_grid(x, p, q, logits):
    return integral(-q * softplus(-logits) - p * softplus(logits), x)
""",
            "swapped",
        ),
        "no densities": (
            """
def value_on_grid(x, p, q, logits):
    return integral(-softplus(-logits) - softplus(logits), x)
""",
            "weighted by p",
        ),
        "-V": (
            """
def value_on_grid(x, p, q, logits):
    return integral(p * softplus(-logits) + q * softplus(logits), x)
""",
            "V itself",
        ),
        "mean for the integral": (
            """
def value_on_grid(x, p, q, logits):
    return np.mean(-p * softplus(-logits) - q * softplus(logits))
""",
            "use integral",
        ),
        "its own D, not the one given": (
            """
def value_on_grid(x, p, q, logits):
    best = np.log(p) - np.log(q)
    return integral(-p * softplus(-best) - q * softplus(best), x)
""",
            "logits that are given",
        ),
    },
    "L01-ex3": {
        "log(1 - D) for both": (
            """
def minimax_generator_loss(fake_logits):
    return -np.mean(softplus(fake_logits))

def generator_loss(fake_logits):
    return -np.mean(softplus(fake_logits))
""",
            "non-saturating is −log D",
        ),
        "-log D for both": (
            """
def minimax_generator_loss(fake_logits):
    return np.mean(softplus(-fake_logits))

def generator_loss(fake_logits):
    return np.mean(softplus(-fake_logits))
""",
            "minimax is log(1 − D)",
        ),
        "sum for mean": (
            """
def minimax_generator_loss(fake_logits):
    return -np.sum(softplus(fake_logits))

def generator_loss(fake_logits):
    return np.sum(softplus(-fake_logits))
""",
            "a mean belongs",
        ),
        "sigmoid then log": (
            """
def minimax_generator_loss(fake_logits):
    return np.mean(np.log(1 - sigmoid(fake_logits)))

def generator_loss(fake_logits):
    return -np.mean(np.log(sigmoid(fake_logits)))
""",
            "use softplus",
        ),
        "label 0 for the non-saturating loss": (
            """
def minimax_generator_loss(fake_logits):
    return -np.mean(softplus(fake_logits))

def generator_loss(fake_logits):
    return np.mean(softplus(fake_logits))
""",
            "help D",
        ),
        "sign of minimax": (
            """
def minimax_generator_loss(fake_logits):
    return np.mean(softplus(fake_logits))

def generator_loss(fake_logits):
    return np.mean(softplus(-fake_logits))
""",
            "sign",
        ),
    },
}
