"""Plausible wrong answers to the exercises of lesson 5: name of the mistake -> (answer, words of the message)."""

WRONG = {
    "L05-ex1": {
        "fan_out for fan_in": (
            """
def he(rng, fan_in, fan_out, slope=0.0):
    std = np.sqrt(2 / ((1 + slope**2) * fan_out))
    return (std * rng.standard_normal((fan_in, fan_out))).astype(np.float32)
""",
            "for fan_out",
        ),
        "variance for deviation": (
            """
def he(rng, fan_in, fan_out, slope=0.0):
    return (2 / ((1 + slope**2) * fan_in) * rng.standard_normal((fan_in, fan_out))).astype(np.float32)
""",
            "that is the variance",
        ),
        "no 2": (
            """
def he(rng, fan_in, fan_out, slope=0.0):
    return (rng.standard_normal((fan_in, fan_out)) / np.sqrt(fan_in)).astype(np.float32)
""",
            "the 2 is missing",
        ),
        "slope ignored": (
            """
def he(rng, fan_in, fan_out, slope=0.0):
    return (np.sqrt(2 / fan_in) * rng.standard_normal((fan_in, fan_out))).astype(np.float32)
""",
            "slope is not taken into account",
        ),
        "uniform": (
            """
def he(rng, fan_in, fan_out, slope=0.0):
    bound = np.sqrt(2 / ((1 + slope**2) * fan_in))
    return rng.uniform(-bound, bound, (fan_in, fan_out)).astype(np.float32)
""",
            "uniform distribution",
        ),
        "a generator of its own": (
            """
def he(rng, fan_in, fan_out, slope=0.0):
    std = np.sqrt(2 / ((1 + slope**2) * fan_in))
    return (std * np.random.randn(fan_in, fan_out)).astype(np.float32)
""",
            "draw from the rng that is given",
        ),
    },
    "L05-ex2": {
        "unbiased variance in training": (
            """
def batch_norm(x, gamma, beta, eps=1e-5):
    axes = tuple(range(x.data.ndim - 1))
    n = x.data.size // x.data.shape[-1]
    centred = x - x.mean(axes)
    variance = (centred * centred).sum(axes) / (n - 1)
    return gamma * centred / sqrt(variance + eps) + beta
""",
            "divided by n − 1",
        ),
        "eps outside the root": (
            """
def batch_norm(x, gamma, beta, eps=1e-5):
    axes = tuple(range(x.data.ndim - 1))
    centred = x - x.mean(axes)
    return gamma * centred / (sqrt((centred * centred).mean(axes)) + eps) + beta
""",
            "outside of the root",
        ),
        "over the features": (
            """
def batch_norm(x, gamma, beta, eps=1e-5):
    centred = x - x.mean(-1, keepdims=True)
    variance = (centred * centred).mean(-1, keepdims=True)
    return gamma * centred / sqrt(variance + eps) + beta
""",
            "normalised over its features",
        ),
        "axis 0 alone": (
            """
def batch_norm(x, gamma, beta, eps=1e-5):
    centred = x - x.mean(0)
    variance = (centred * centred).mean(0)
    return gamma * centred / sqrt(variance + eps) + beta
""",
            "axis 0 alone",
        ),
        "statistics cut off from the graph": (
            """
def batch_norm(x, gamma, beta, eps=1e-5):
    axes = tuple(range(x.data.ndim - 1))
    mean, variance = x.data.mean(axes), x.data.var(axes)
    return gamma * (x - mean) / np.sqrt(variance + eps) + beta
""",
            "depend on x too",
        ),
        "no root": (
            """
def batch_norm(x, gamma, beta, eps=1e-5):
    axes = tuple(range(x.data.ndim - 1))
    centred = x - x.mean(axes)
    return gamma * centred / ((centred * centred).mean(axes) + eps) + beta
""",
            "divided by the variance",
        ),
    },
    "L05-ex3": {
        "no bias correction": (
            """
def adam_step(params, grads, state, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
    for i, (parameter, grad) in enumerate(zip(params, grads)):
        m, v = state.get(i, (0.0, 0.0))
        m = betas[0] * m + (1 - betas[0]) * grad
        v = betas[1] * v + (1 - betas[1]) * grad**2
        state[i] = m, v
        parameter -= lr * m / (np.sqrt(v) + eps)
""",
            "no bias correction",
        ),
        "eps inside the root": (
            """
def adam_step(params, grads, state, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
    t = state["t"] = state.get("t", 0) + 1
    for i, (parameter, grad) in enumerate(zip(params, grads)):
        m, v = state.get(i, (0.0, 0.0))
        m = betas[0] * m + (1 - betas[0]) * grad
        v = betas[1] * v + (1 - betas[1]) * grad**2
        state[i] = m, v
        parameter -= lr * m / (1 - betas[0] ** t) / np.sqrt(v / (1 - betas[1] ** t) + eps)
""",
            "inside the root",
        ),
        "state shared between parameters": (
            """
def adam_step(params, grads, state, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
    t = state["t"] = state.get("t", 0) + 1
    for parameter, grad in zip(params, grads):
        state["m"] = betas[0] * state.get("m", 0.0) + (1 - betas[0]) * grad
        state["v"] = betas[1] * state.get("v", 0.0) + (1 - betas[1]) * grad**2
        m_hat, v_hat = state["m"] / (1 - betas[0] ** t), state["v"] / (1 - betas[1] ** t)
        parameter -= lr * m_hat / (np.sqrt(v_hat) + eps)
""",
            "an m and a v of its own",
        ),
        "t counted for each parameter": (
            """
def adam_step(params, grads, state, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
    for i, (parameter, grad) in enumerate(zip(params, grads)):
        t = state["t"] = state.get("t", 0) + 1
        m, v = state.get(i, (0.0, 0.0))
        m = betas[0] * m + (1 - betas[0]) * grad
        v = betas[1] * v + (1 - betas[1]) * grad**2
        state[i] = m, v
        parameter -= lr * m / (1 - betas[0] ** t) / (np.sqrt(v / (1 - betas[1] ** t)) + eps)
""",
            "t counts calls",
        ),
        "not in place": (
            """
def adam_step(params, grads, state, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
    t = state["t"] = state.get("t", 0) + 1
    for i, (parameter, grad) in enumerate(zip(params, grads)):
        m, v = state.get(i, (0.0, 0.0))
        m = betas[0] * m + (1 - betas[0]) * grad
        v = betas[1] * v + (1 - betas[1]) * grad**2
        state[i] = m, v
        parameter = parameter - lr * m / (1 - betas[0] ** t) / (np.sqrt(v / (1 - betas[1] ** t)) + eps)
""",
            "in place",
        ),
        "state kept elsewhere": (
            """
kept = {}

def adam_step(params, grads, state, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
    state = kept if len(params) > 1 else state
    t = state["t"] = state.get("t", 0) + 1
    for i, (parameter, grad) in enumerate(zip(params, grads)):
        m, v = state.get(i, (0.0, 0.0))
        m = betas[0] * m + (1 - betas[0]) * grad
        v = betas[1] * v + (1 - betas[1]) * grad**2
        state[i] = m, v
        parameter -= lr * m / (1 - betas[0] ** t) / (np.sqrt(v / (1 - betas[1] ** t)) + eps)
""",
            "outside of `state`",
        ),
    },
}
