"""Wrong answers to the exercises of lesson 9: (source, a phrase of the message that it must get)."""

GENERATOR = """
def build_generator(latent_size, rng):
    return nn.Sequential(
        nn.Dense(latent_size, 7 * 7 * 64, bias=False, rng=rng),
        nn.BatchNorm(7 * 7 * 64),
        nn.LeakyReLU(0.2),
        nn.Reshape(7, 7, 64),
        nn.ConvTranspose(64, 32, 4, stride=2, padding="same", bias=False, rng=rng),
        nn.BatchNorm(32),
        nn.LeakyReLU(0.2),
        nn.ConvTranspose(32, 1, 4, stride=2, padding="same", rng=rng),
        nn.Tanh(),
    )
"""
MENDED = """
def mended_discriminator(rng):
    return nn.Sequential(
        nn.Conv(1, 64, 5, stride=2, padding="same", rng=rng),
        nn.LeakyReLU(0.3),
        nn.Dropout(0.3),
        nn.Conv(64, 128, 5, stride=2, padding="same", rng=rng),
        nn.LeakyReLU(0.3),
        nn.Dropout(0.3),
        nn.Flatten(),
        nn.Dense(7 * 7 * 128, 1, rng=rng),
    )


def mended_losses(real_output, fake_output):
    d_loss = cross_entropy(1.0, real_output) + cross_entropy(0.0, fake_output)
    g_loss = cross_entropy(1.0, fake_output)
    return d_loss, g_loss
"""
LAST_DENSE = "nn.Dense(7 * 7 * 128, 1, rng=rng),"
PROBABILITIES = """
def mended_losses(real_output, fake_output):
    real, fake = {real}, {fake}
    d_loss = -ops.log(real).mean() - ops.log(1 - fake).mean()
    return d_loss, -ops.log(fake).mean()
"""


def changed(source, *changes):
    for old, new in changes:
        assert old in source, old
        source = source.replace(old, new)
    return source


WRONG = {
    "L09-ex1": {
        "dead layer": (
            changed(
                GENERATOR,
                (
                    "bias=False, rng=rng),\n        nn.BatchNorm(32)",
                    "bias=False, rng=rng, init=zeros),\n        nn.BatchNorm(32)",
                ),
                ("def build", "def zeros(rng, shape, inputs, outputs):\n    return np.zeros(shape)\n\n\ndef build"),
            ),
            "layer dead",
        ),
        "ReLU at the output": (changed(GENERATOR, ("nn.Tanh()", "nn.ReLU()")), "can't paint black"),
        "not scaled": (changed(GENERATOR, ("        nn.Tanh(),\n", "")), "aren't scaled"),
        "over budget": (changed(GENERATOR, ("64", "128")), "the budget is 250,000"),
        "wrong shape": (changed(GENERATOR, ("1, 4, stride=2", "1, 4")), "expected (16, 28, 28, 1)"),
        "no batch norm": (
            changed(GENERATOR, ("        nn.BatchNorm(32),\n", ""), ("        nn.BatchNorm(7 * 7 * 64),\n", "")),
            "BatchNorm is missing",
        ),
    },
    "L09-ex2": {
        "as it was": (
            changed(MENDED, (LAST_DENSE, LAST_DENSE + "\n        nn.Sigmoid(),")),
            "Take the last activation away",
        ),
        "tanh for the sigmoid": (
            changed(MENDED, (LAST_DENSE, LAST_DENSE + "\n        nn.Tanh(),")),
            "Take the last activation away",
        ),
        "sigmoid moved into the loss": (
            changed(
                MENDED,
                (
                    "    d_loss =",
                    "    real_output, fake_output = ops.sigmoid(real_output), ops.sigmoid(fake_output)\n    d_loss =",
                ),
            ),
            "One of the two has to go",
        ),
        "logarithm of the sigmoid": (
            MENDED + PROBABILITIES.format(real="ops.sigmoid(real_output)", fake="ops.sigmoid(fake_output)"),
            "finite at any logit",
        ),
        "logarithm of the logit": (
            MENDED + PROBABILITIES.format(real="real_output", fake="fake_output"),
            "finite at any logit",
        ),
        "labels swapped": (
            changed(
                MENDED,
                (
                    "cross_entropy(1.0, real_output) + cross_entropy(0.0, fake_output)",
                    "cross_entropy(0.0, real_output) + cross_entropy(1.0, fake_output)",
                ),
                ("g_loss = cross_entropy(1.0", "g_loss = cross_entropy(0.0"),
            ),
            "labels are swapped",
        ),
    },
}
