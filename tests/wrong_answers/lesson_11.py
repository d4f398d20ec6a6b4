"""Plausible wrong answers of lesson 11: exercise -> mistake -> (answer cell, what the message must say)."""

WRONG = {
    "L11-ex1": {
        "no create_graph": (
            """
def slope(critic, x):
    x = x.detach()
    x.requires_grad = True
    (gradient,) = tg.grad(critic(x).sum(), x)
    return ops.sqrt((gradient**2).reshape(len(x), -1).sum(1) + 1e-12)
""",
            "create_graph=True",
        ),
        "mean before norm": (
            """
def slope(critic, x):
    x = x.detach()
    x.requires_grad = True
    (gradient,) = tg.grad(critic(x).sum(), x, create_graph=True)
    return ops.sqrt((gradient.reshape(len(x), -1).mean(0) ** 2).sum() + 1e-12)
""",
            "mean over the examples was taken before the norm",
        ),
        "norm over channels only": (
            """
def slope(critic, x):
    x = x.detach()
    x.requires_grad = True
    (gradient,) = tg.grad(critic(x).sum(), x, create_graph=True)
    return ops.sqrt((gradient**2).sum(-1) + 1e-12)
""",
            "over the channels",
        ),
        "gradient of the mean": (
            """
def slope(critic, x):
    x = x.detach()
    x.requires_grad = True
    (gradient,) = tg.grad(critic(x).mean(), x, create_graph=True)
    return ops.sqrt((gradient**2).reshape(len(x), -1).sum(1) + 1e-12)
""",
            "N times too small",
        ),
        "no root": (
            """
def slope(critic, x):
    x = x.detach()
    x.requires_grad = True
    (gradient,) = tg.grad(critic(x).sum(), x, create_graph=True)
    return (gradient**2).reshape(len(x), -1).sum(1)
""",
            "the root is missing",
        ),
        "infinite where flat": (
            """
def slope(critic, x):
    x = x.detach()
    x.requires_grad = True
    (gradient,) = tg.grad(critic(x).sum(), x, create_graph=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        return (gradient**2).reshape(len(x), -1).sum(1) ** 0.5
""",
            "where the critic is flat",
        ),
    },
    "L11-ex2": {
        "no create_graph": (
            """
def gradient_penalty(critic, real, fake, rng):
    epsilon = rng.random((len(real),) + (1,) * (real.ndim - 1)).astype(real.dtype)
    between = epsilon * real + (1 - epsilon) * fake
    return ((slope(critic, between).detach() - 1) ** 2).mean()
""",
            "create_graph=True",
        ),
        "real points only": (
            """
def gradient_penalty(critic, real, fake, rng):
    return ((slope(critic, real) - 1) ** 2).mean()
""",
            "ε is always 1",
        ),
        "mean before the square": (
            """
def gradient_penalty(critic, real, fake, rng):
    epsilon = rng.random((len(real),) + (1,) * (real.ndim - 1)).astype(real.dtype)
    between = epsilon * real + (1 - epsilon) * fake
    return (slope(critic, between).mean() - 1) ** 2
""",
            "The mean over the examples comes first",
        ),
        "an epsilon for each feature": (
            """
def gradient_penalty(critic, real, fake, rng):
    epsilon = rng.random(real.shape).astype(real.dtype)
    between = epsilon * real + (1 - epsilon) * fake
    return ((slope(critic, between) - 1) ** 2).mean()
""",
            "not on the line",
        ),
        "one epsilon for all": (
            """
def gradient_penalty(critic, real, fake, rng):
    epsilon = rng.random()
    between = epsilon * real + (1 - epsilon) * fake
    return ((slope(critic, between) - 1) ** 2).mean()
""",
            "all examples have the same ε",
        ),
        "pulled to 0": (
            """
def gradient_penalty(critic, real, fake, rng):
    epsilon = rng.random((len(real),) + (1,) * (real.ndim - 1)).astype(real.dtype)
    between = epsilon * real + (1 - epsilon) * fake
    return (slope(critic, between) ** 2).mean()
""",
            "it pulls the slope to 0",
        ),
    },
    "L11-ex3": {
        "batch norm": (
            """
def build_critic(features, rng):
    return nn.Sequential(
        nn.Dense(features, 64, rng=rng), nn.BatchNorm(64), nn.LeakyReLU(0.2),
        nn.Dense(64, 64, rng=rng), nn.BatchNorm(64), nn.LeakyReLU(0.2), nn.Dense(64, 1, rng=rng),
    )
""",
            "that is what BatchNorm does",
        ),
        "a sigmoid at the end": (
            """
def build_critic(features, rng):
    return nn.Sequential(
        nn.Dense(features, 64, rng=rng), nn.LeakyReLU(0.2),
        nn.Dense(64, 64, rng=rng), nn.LeakyReLU(0.2), nn.Dense(64, 1, rng=rng), nn.Sigmoid(),
    )
""",
            "ends in a Sigmoid, which squashes it",
        ),
        "no activation": (
            """
def build_critic(features, rng):
    return nn.Sequential(nn.Dense(features, 64, rng=rng), nn.Dense(64, 64, rng=rng), nn.Dense(64, 1, rng=rng))
""",
            "this critic is linear",
        ),
        "no rng": (
            """
def build_critic(features, rng):
    he = nn.init.he(0.2)
    return nn.Sequential(
        nn.Dense(features, 64, init=he), nn.LeakyReLU(0.2),
        nn.Dense(64, 64, init=he), nn.LeakyReLU(0.2), nn.Dense(64, 1, init=he),
    )
""",
            "two different critics",
        ),
    },
}
