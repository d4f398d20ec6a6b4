"""Plausible wrong answers of lesson 12, the bug first: exercise -> mistake -> (answer cell, what the message says)."""

WRONG = {
    "L12-ex1": {
        "the bug: σ(2x)": ("def sigmoid(x):\n    return 0.5 * (np.tanh(x) + 1)", "σ(2x)"),
        "half too flat": ("def sigmoid(x):\n    return 0.5 * (np.tanh(x / 4) + 1)", "σ(0.5x)"),
        "the half on the wrong side": ("def sigmoid(x):\n    return 0.5 * np.tanh(x / 2) + 1", "between 0 and 1"),
        "overflow": ("def sigmoid(x):\n    return np.exp(x) / (1 + np.exp(x))", "overflows"),
    },
    "L12-ex2": {
        "the bug: sigmoid twice": (
            "def real_loss_and_probability(logits):\n"
            "    p = tg.ops.sigmoid(logits)\n"
            "    return tg.ops.softplus(-p).mean(), p",
            "σ(σ(l))",
        ),
        "the fakes' loss": (
            "def real_loss_and_probability(logits):\n    return tg.ops.softplus(logits).mean(), tg.ops.sigmoid(logits)",
            "that of fake images",
        ),
        "sum for mean": (
            "def real_loss_and_probability(logits):\n    return tg.ops.softplus(-logits).sum(), tg.ops.sigmoid(logits)",
            "sum taken for a mean",
        ),
        "log of the sigmoid": (
            "def real_loss_and_probability(logits):\n"
            "    p = tg.ops.sigmoid(logits)\n"
            "    return -tg.ops.log(p).mean(), p",
            "the loss at the logits −1000 and 1000 is inf",
        ),
        "logits called probability": (
            "def real_loss_and_probability(logits):\n    return tg.ops.softplus(-logits).mean(), logits",
            "the probability",
        ),
        "no mean": (
            "def real_loss_and_probability(logits):\n    return tg.ops.softplus(-logits), tg.ops.sigmoid(logits)",
            "a mean",
        ),
    },
    "L12-ex3": {
        "the bug: clipped": (
            "def cross_entropy(logits, labels):\n"
            "    p = tg.ops.clip(tg.ops.sigmoid(logits), 1e-7, 1 - 1e-7)\n"
            "    return -(labels * tg.ops.log(p) + (1 - labels) * tg.ops.log(1 - p)).mean()",
            "learns nothing",
        ),
        "a smaller clip": (
            "def cross_entropy(logits, labels):\n"
            "    p = tg.ops.clip(tg.ops.sigmoid(logits), 1e-12, 1 - 1e-12)\n"
            "    return -(labels * tg.ops.log(p) + (1 - labels) * tg.ops.log(1 - p)).mean()",
            "learns nothing",
        ),
        "the logits clipped": (
            "def cross_entropy(logits, labels):\n"
            "    logits = tg.ops.clip(logits, -30.0, 30.0)\n"
            "    return (tg.ops.softplus(logits) - labels * logits).mean()",
            "learns nothing",
        ),
        "no clip at all": (
            "def cross_entropy(logits, labels):\n"
            "    p = tg.ops.sigmoid(logits)\n"
            "    return -(labels * tg.ops.log(p) + (1 - labels) * tg.ops.log(1 - p)).mean()",
            "NaN or infinity",
        ),
        "sum for mean": (
            "def cross_entropy(logits, labels):\n    return (tg.ops.softplus(logits) - labels * logits).sum()",
            "sum taken for a mean",
        ),
        "labels swapped": (
            "def cross_entropy(logits, labels):\n    return (tg.ops.softplus(logits) - (1 - labels) * logits).mean()",
            "labels are exchanged",
        ),
    },
    "L12-ex4": {
        "the bug: no sum": (
            "def scale_and_shift_gradient(g, x, gamma):\n    return g * gamma, g * x, g",
            "broadcast forward is summed backward",
        ),
        "the first axis only": (
            "def scale_and_shift_gradient(g, x, gamma):\n    return g * gamma, (g * x).sum(axis=0), g.sum(axis=0)",
            "every axis but the last",
        ),
        "mean for sum": (
            "def scale_and_shift_gradient(g, x, gamma):\n"
            "    axes = tuple(range(x.ndim - 1))\n"
            "    return g * gamma, (g * x).mean(axis=axes), g.mean(axis=axes)",
            "mean taken for a sum",
        ),
        "axes kept": (
            "def scale_and_shift_gradient(g, x, gamma):\n"
            "    axes = tuple(range(x.ndim - 1))\n"
            "    return g * gamma, (g * x).sum(axis=axes, keepdims=True), g.sum(axis=axes, keepdims=True)",
            "no axis is kept",
        ),
        "x and gamma exchanged": (
            "def scale_and_shift_gradient(g, x, gamma):\n"
            "    axes = tuple(range(x.ndim - 1))\n"
            "    return g * x, (g * gamma).sum(axis=axes), g.sum(axis=axes)",
            "the gradient of x",
        ),
    },
    "L12-ex5": {
        "the bug: counted while recording": (
            "def count_users(output):\n"
            "    users, waiting = {}, [output]\n"
            "    while waiting:\n"
            "        node = waiting.pop()\n"
            "        if node not in users:\n"
            "            users[node] = node.users\n"
            "            waiting.extend(node.inputs)\n"
            "    return users",
            "side branch",
        ),
        "a·a counted once": (
            "def count_users(output):\n"
            "    users, waiting = {output: 0}, [output]\n"
            "    while waiting:\n"
            "        for x in set(waiting.pop().inputs):\n"
            "            if x not in users:\n"
            "                users[x] = 0\n"
            "                waiting.append(x)\n"
            "            users[x] += 1\n"
            "    return users",
            "a·a uses a twice",
        ),
        "visited again and again": (
            "def count_users(output):\n"
            "    users, waiting = {output: 0}, [output]\n"
            "    while waiting:\n"
            "        for x in waiting.pop().inputs:\n"
            "            users[x] = users.get(x, 0) + 1\n"
            "            waiting.append(x)\n"
            "    return users",
            "visited twice",
        ),
        "recursion": (
            "def count_users(output, users=None):\n"
            "    users = {output: 0} if users is None else users\n"
            "    for x in output.inputs:\n"
            "        new = x not in users\n"
            "        users[x] = users.get(x, 0) + 1\n"
            "        if new:\n"
            "            count_users(x, users)\n"
            "    return users",
            "RecursionError",
        ),
        "output left out": (
            "def count_users(output):\n"
            "    users, waiting = {}, [output]\n"
            "    while waiting:\n"
            "        for x in waiting.pop().inputs:\n"
            "            if x not in users:\n"
            "                users[x] = 0\n"
            "                waiting.append(x)\n"
            "            users[x] += 1\n"
            "    return users",
            "the output (0) too",
        ),
        "inputs counted for users": (
            "def count_users(output):\n    return {node: len(node.inputs) for node in nodes_behind(output)}",
            "not its inputs",
        ),
    },
    "L12-ex6": {
        "the bug: no copy": (
            "def linear(x, w):\n    return x @ w, lambda g: (g @ w.T, x.T @ g)",
            "w was changed in place",
        ),
        "a view for a copy": (
            "def linear(x, w):\n    x, w = x[:], w[:]\n    return x @ w, lambda g: (g @ w.T, x.T @ g)",
            "a view",
        ),
        "only w copied": (
            "def linear(x, w):\n    w = w.copy()\n    return x @ w, lambda g: (g @ w.T, x.T @ g)",
            "x was changed in place",
        ),
        "copied too late": (
            "def linear(x, w):\n"
            "    def backward(g):\n"
            "        kept_x, kept_w = x.copy(), w.copy()\n"
            "        return g @ kept_w.T, kept_x.T @ g\n"
            "    return x @ w, backward",
            "made in forward",
        ),
        "gradients exchanged": (
            "def linear(x, w):\n    x, w = x.copy(), w.copy()\n    return x @ w, lambda g: (x.T @ g, g @ w.T)",
            "the gradient of x, when nothing was changed,",
        ),
    },
    "L12-ex7": {
        "the bug: all of it to each": (
            "def max_gradient(g, x):\n    return g[:, None] * (x == x.max(axis=-1, keepdims=True))",
            "adds up to 2",
        ),
        "ties of all rows together": (
            "def max_gradient(g, x):\n"
            "    is_max = x == x.max(axis=-1, keepdims=True)\n"
            "    return g[:, None] * is_max / is_max.sum() * len(x)",
            "in that row",
        ),
        "the first takes it all": (
            "def max_gradient(g, x):\n"
            "    gradient = np.zeros_like(x)\n"
            "    gradient[np.arange(len(x)), x.argmax(axis=-1)] = g\n"
            "    return gradient",
            "equal shares",
        ),
        "the smallest": (
            "def max_gradient(g, x):\n"
            "    is_max = x == x.min(axis=-1, keepdims=True)\n"
            "    return g[:, None] * is_max / is_max.sum(axis=-1, keepdims=True)",
            "who moves the maximum",
        ),
        "g forgotten": (
            "def max_gradient(g, x):\n"
            "    is_max = x == x.max(axis=-1, keepdims=True)\n"
            "    return is_max / is_max.sum(axis=-1, keepdims=True)",
            "without ties",
        ),
        "a Tensor": (
            "def max_gradient(g, x):\n    return tg.Tensor(g[:, None] * (x == x.max(axis=1, keepdims=True)))",
            "a NumPy array is asked for",
        ),
    },
    "L12-ex8": {
        "the bug: σ a constant": (
            "def normalise_gradient(grad, x, eps):\n"
            "    sigma = tg.Tensor(np.sqrt(x.numpy().var(axis=0) + eps))\n"
            "    y = (x - x.mean(axis=0)) / sigma\n"
            "    return (grad - grad.mean(axis=0) - y * (grad * y).mean(axis=0)) / sigma",
            "enters as a constant",
        ),
        "y detached": (
            "def normalise_gradient(grad, x, eps):\n"
            "    centred = x - x.mean(axis=0)\n"
            "    sigma = tg.ops.sqrt((centred * centred).mean(axis=0) + eps)\n"
            "    y = (centred / sigma).detach()\n"
            "    return (grad - grad.mean(axis=0) - y * (grad * y).mean(axis=0)) / sigma",
            "enters as a constant",
        ),
        "mean of g missing": (
            "def normalise_gradient(grad, x, eps):\n"
            "    centred = x - x.mean(axis=0)\n"
            "    sigma = tg.ops.sqrt((centred * centred).mean(axis=0) + eps)\n"
            "    y = centred / sigma\n"
            "    return (grad - y * (grad * y).mean(axis=0)) / sigma",
            "mean(g)",
        ),
        "μ and σ constants of the chain rule too": (
            "def normalise_gradient(grad, x, eps):\n"
            "    centred = x - x.mean(axis=0)\n"
            "    return grad / tg.ops.sqrt((centred * centred).mean(axis=0) + eps)",
            "mean(g)",
        ),
        "NumPy inside": (
            "def normalise_gradient(grad, x, eps):\n"
            "    g, x = grad.numpy(), x.numpy()\n"
            "    sigma = np.sqrt(x.var(axis=0) + eps)\n"
            "    y = (x - x.mean(axis=0)) / sigma\n"
            "    return (g - g.mean(axis=0) - y * (g * y).mean(axis=0)) / sigma",
            "expected a Tensor",
        ),
    },
    "L12-ex9": {
        "the bug: eps outside the fraction": (
            "def adam_step(theta, m_hat, v_hat, lr, eps):\n    return theta - lr * m_hat / np.sqrt(v_hat) + eps",
            "before eps was added",
        ),
        "eps inside the root": (
            "def adam_step(theta, m_hat, v_hat, lr, eps):\n    return theta - lr * m_hat / np.sqrt(v_hat + eps)",
            "inside the root",
        ),
        "the larger of the two": (
            "def adam_step(theta, m_hat, v_hat, lr, eps):\n"
            "    return theta - lr * m_hat / np.maximum(np.sqrt(v_hat), eps)",
            "with eps = 0.5",
        ),
        "uphill": (
            "def adam_step(theta, m_hat, v_hat, lr, eps):\n    return theta + lr * m_hat / (np.sqrt(v_hat) + eps)",
            "a sign?",
        ),
    },
    "L12-ex10": {
        "the bug: a mask in float64": (
            "def leaky_relu_gradient(g, x, slope):\n    return g * np.where(x > 0, 1.0, slope)",
            "makes float64",
        ),
        "always float32": (
            "def leaky_relu_gradient(g, x, slope):\n    return np.where(x > 0, g, slope * g).astype(np.float32)",
            "its digits are lost",
        ),
        "slope 1 at 0": (
            "def leaky_relu_gradient(g, x, slope):\n    return np.where(x >= 0, g, slope * g)",
            "exactly x = 0",
        ),
        "a table of zeros": (
            "def leaky_relu_gradient(g, x, slope):\n"
            "    gradient = np.zeros(x.shape)\n"
            "    gradient[x > 0], gradient[x <= 0] = g[x > 0], slope * g[x <= 0]\n"
            "    return gradient",
            "makes float64",
        ),
        "0 on the negative side": (
            "def leaky_relu_gradient(g, x, slope):\n    return g * (x > 0)",
            "the gradient is",
        ),
        "g changed in place": (
            "def leaky_relu_gradient(g, x, slope):\n    g[x <= 0] *= slope\n    return g",
            "changed in place",
        ),
    },
}
