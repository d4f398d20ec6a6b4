"""Plausible wrong answers of lesson 2: exercise -> mistake -> (answer cell, what the message must say)."""

WRONG = {
    "L02-ex1": {
        "forward difference": (
            """
def numeric_gradient(f, x, h=1e-5):
    x = np.array(x, dtype=np.float64)
    gradient = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        moved = x.copy()
        moved[index] += h
        gradient[index] = (f(moved) - f(x)) / h
    return gradient
""",
            "forward difference",
        ),
        "float32 at 1e-6": (
            """
def numeric_gradient(f, x, h=1e-6):
    gradient = np.zeros(x.shape)
    for index in np.ndindex(x.shape):
        right, left = x.astype(np.float32), x.astype(np.float32)
        right[index] += h
        left[index] -= h
        gradient[index] = (f(right) - f(left)) / (2 * h)
    return gradient
""",
            "float32 keeps 7",
        ),
        "input left changed": (
            """
def numeric_gradient(f, x, h=1e-5):
    gradient = np.zeros(x.shape)
    for index in np.ndindex(x.shape):
        x[index] += h
        right = f(x)
        x[index] -= 2 * h
        left = f(x)
        x[index] += h
        gradient[index] = (right - left) / (2 * h)
    return gradient
""",
            "x was changed",
        ),
        "divided by h": (
            """
def numeric_gradient(f, x, h=1e-5):
    gradient = np.zeros(x.shape)
    for index in np.ndindex(x.shape):
        right, left = np.array(x, np.float64), np.array(x, np.float64)
        right[index] += h
        left[index] -= h
        gradient[index] = (f(right) - f(left)) / h
    return gradient
""",
            "2h apart",
        ),
        "all entries at once": (
            """
def numeric_gradient(f, x, h=1e-5):
    x = np.array(x, np.float64)
    return (f(x + h) - f(x - h)) / (2 * h)
""",
            "one entry at a time",
        ),
        "a flat view that is a copy": (
            """
def numeric_gradient(f, x, h=1e-5):
    x = np.array(x, np.float64)
    flat, gradient = x.reshape(-1), np.zeros(x.size)
    for i in range(x.size):
        middle = flat[i]
        flat[i] = middle + h
        right = f(x)
        flat[i] = middle - h
        left = f(x)
        flat[i] = middle
        gradient[i] = (right - left) / (2 * h)
    return gradient.reshape(x.shape)
""",
            "transposed in memory",
        ),
    },
    "L02-ex2": {
        "no absolute value": (
            """
def wrong_place(a, n, rtol=1e-6, atol=1e-8):
    if a.shape != n.shape:
        raise ValueError
    error = a - n
    if np.all(error <= atol + rtol * np.max(np.abs(n))):
        return None
    return np.unravel_index(np.argmax(error), error.shape)
""",
            "absolute value",
        ),
        "nan passes": (
            """
def wrong_place(a, n, rtol=1e-6, atol=1e-8):
    if a.shape != n.shape:
        raise ValueError
    error = np.abs(a - n)
    if np.any(error > atol + rtol * np.max(np.abs(n))):
        return np.unravel_index(np.argmax(error), error.shape)
""",
            "comparison with nan",
        ),
        "largest slope with its sign": (
            """
def wrong_place(a, n, rtol=1e-6, atol=1e-8):
    if a.shape != n.shape:
        raise ValueError
    error = np.abs(a - n)
    if np.all(error <= atol + rtol * np.max(n)):
        return None
    return np.unravel_index(np.argmax(error), error.shape)
""",
            "largest absolute value",
        ),
        "shapes broadcast": (
            """
def wrong_place(a, n, rtol=1e-6, atol=1e-8):
    error = np.abs(a - n)
    if np.all(error <= atol + rtol * np.max(np.abs(n))):
        return None
    return np.unravel_index(np.argmax(error), error.shape)
""",
            "broadcasting",
        ),
        "mean error": (
            """
def wrong_place(a, n, rtol=1e-6, atol=1e-8):
    if a.shape != n.shape:
        raise ValueError
    error = np.abs(a - n)
    if np.mean(error) <= atol + rtol * np.max(np.abs(n)):
        return None
    return np.unravel_index(np.argmax(error), error.shape)
""",
            "A mean hides",
        ),
        "relative to each entry": (
            """
def wrong_place(a, n, rtol=1e-6, atol=1e-8):
    if a.shape != n.shape:
        raise ValueError
    error = np.abs(a - n)
    if np.all(error <= atol + rtol * np.abs(n)):
        return None
    return np.unravel_index(np.argmax(error), error.shape)
""",
            "largest slope",
        ),
    },
}
