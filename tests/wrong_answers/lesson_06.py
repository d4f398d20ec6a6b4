"""Plausible wrong answers of lesson 6: exercise -> mistake -> (answer cell, what the message must say)."""

WRONG = {
    "L06-ex1": {
        "no detach": (
            """
def discriminator_step(G, D, optimizer, real, z):
    loss = tg.ops.softplus(-D(real)).mean() + tg.ops.softplus(D(G(z))).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.detach()
""",
            "left gradients in 4 of G's weight arrays",
        ),
        "no detach, D's gradients alone": (
            """
def discriminator_step(G, D, optimizer, real, z):
    loss = tg.ops.softplus(-D(real)).mean() + tg.ops.softplus(D(G(z))).mean()
    optimizer.zero_grad()
    loss.backward(inputs=optimizer.params)
    optimizer.step()
    return loss.detach()
""",
            "still carry G's graph",
        ),
        "one optimizer over both players": (
            """
def discriminator_step(G, D, optimizer, real, z):
    both = tg.optim.SGD([*G.parameters(), *D.parameters()], optimizer.lr)
    loss = tg.ops.softplus(-D(real)).mean() + tg.ops.softplus(D(G(z))).mean()
    both.zero_grad()
    loss.backward()
    both.step()
    return loss.detach()
""",
            "also changed G's weights",
        ),
        "stale graph: a step after each half": (
            """
def discriminator_step(G, D, optimizer, real, z):
    real_loss = tg.ops.softplus(-D(real)).mean()
    fake_loss = tg.ops.softplus(D(G(z).detach())).mean()
    for loss in (real_loss, fake_loss):
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return (real_loss + fake_loss).detach()
""",
            "logits computed before that change",
        ),
        "one mean over real and fake": (
            """
def discriminator_step(G, D, optimizer, real, z):
    fake = G(z).detach()
    logits = D(tg.ops.concatenate([real, fake], axis=0))
    labels = np.array([[1.0]] * len(real) + [[-1.0]] * len(fake), np.float32)
    loss = tg.ops.softplus(-labels * logits).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.detach()
""",
            "a mean of its own",
        ),
        "no zero_grad": (
            """
def discriminator_step(G, D, optimizer, real, z):
    fake = G(z).detach()
    loss = tg.ops.softplus(-D(real)).mean() + tg.ops.softplus(D(fake)).mean()
    loss.backward()
    optimizer.step()
    return loss.detach()
""",
            "zero_grad() before backward",
        ),
    },
    "L06-ex2": {
        "wrong label": (
            """
def generator_step(G, D, optimizer, z):
    loss = tg.ops.softplus(D(G(z))).mean()
    optimizer.zero_grad()
    loss.backward(inputs=optimizer.params)
    optimizer.step()
    return loss.detach()
""",
            "The label is wrong",
        ),
        "minimax": (
            """
def generator_step(G, D, optimizer, z):
    loss = -tg.ops.softplus(D(G(z))).mean()
    optimizer.zero_grad()
    loss.backward(inputs=optimizer.params)
    optimizer.step()
    return loss.detach()
""",
            "the minimax loss",
        ),
        "gradients left in D": (
            """
def generator_step(G, D, optimizer, z):
    loss = tg.ops.softplus(-D(G(z))).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.detach()
""",
            "left gradients in 4 of D's weight arrays",
        ),
        "detached fakes": (
            """
def generator_step(G, D, optimizer, z):
    fake = G(z).detach()
    loss = tg.ops.softplus(-D(fake)).mean()
    optimizer.zero_grad()
    loss.backward(inputs=optimizer.params)
    optimizer.step()
    return loss.detach()
""",
            "has not moved at all",
        ),
        "both players step": (
            """
def generator_step(G, D, optimizer, z):
    both = tg.optim.SGD([*G.parameters(), *D.parameters()], optimizer.lr)
    loss = tg.ops.softplus(-D(G(z))).mean()
    both.zero_grad()
    loss.backward()
    both.step()
    return loss.detach()
""",
            "also changed D's weights",
        ),
        "step before backward": (
            """
def generator_step(G, D, optimizer, z):
    loss = tg.ops.softplus(-D(G(z))).mean()
    optimizer.step()
    loss.backward(inputs=optimizer.params)
    return loss.detach()
""",
            "has not moved at all",
        ),
    },
}
