"""Plausible wrong answers to the exercises of lesson 4: name of the mistake -> (answer, words of the message)."""

WRONG = {
    "L04-ex1": {
        "missing keepdims": (
            """
def unbroadcast(grad, shape):
    added = grad.ndim - len(shape)
    grad = grad.sum(axis=tuple(range(added)))
    return grad.sum(axis=tuple(i for i, n in enumerate(shape) if n == 1))
""",
            "keepdims=True",
        ),
        "float64 leak": (
            """
def unbroadcast(grad, shape):
    total = np.zeros(shape)
    rows = np.broadcast_to(np.arange(total.size).reshape(shape), grad.shape)
    np.add.at(total.reshape(-1), rows.reshape(-1), grad.reshape(-1))
    return total
""",
            "float64",
        ),
        "only axes in front": (
            """
def unbroadcast(grad, shape):
    while grad.ndim > len(shape):
        grad = grad.sum(axis=0)
    return grad
""",
            "has shape (3, 4), expected (1, 4)",
        ),
        "only axes of length 1": (
            """
def unbroadcast(grad, shape):
    for axis, length in enumerate(shape):
        if length == 1:
            grad = grad.sum(axis=axis, keepdims=True)
    return grad
""",
            "missing on the left",
        ),
        "mean for sum": (
            """
def unbroadcast(grad, shape):
    added = grad.ndim - len(shape)
    grad = grad.mean(axis=tuple(range(added)))
    return grad.mean(axis=tuple(i for i, n in enumerate(shape) if n == 1), keepdims=True)
""",
            "gives the mean",
        ),
        "the first message alone": (
            """
def unbroadcast(grad, shape):
    while grad.ndim > len(shape):
        grad = grad[0]
    for axis, length in enumerate(shape):
        if length == 1:
            grad = np.take(grad, [0], axis=axis)
    return grad
""",
            "unbroadcast(grad, (4,)) for a grad of shape (3, 4) is",
        ),
    },
    "L04-ex2": {
        "transposed operand": (
            """
def matmul_backward(grad, a, b):
    return grad @ b, a @ grad
""",
            "∂L/∂a is grad @ b",
        ),
        "order of the product": (
            """
def matmul_backward(grad, a, b):
    return grad @ b.T, grad.T @ a
""",
            "∂L/∂b comes out transposed",
        ),
        "swapped": (
            """
def matmul_backward(grad, a, b):
    swap = lambda x: np.swapaxes(x, -1, -2)
    return unbroadcast(swap(a) @ grad, b.shape), unbroadcast(grad @ swap(b), a.shape)
""",
            "swapped",
        ),
        "all axes reversed in a stack": (
            """
def matmul_backward(grad, a, b):
    return unbroadcast(grad @ b.T, a.shape), unbroadcast(a.T @ grad, b.shape)
""",
            "only the last two axes swap",
        ),
        "a shared matrix not summed": (
            """
def matmul_backward(grad, a, b):
    return grad @ np.swapaxes(b, -1, -2), np.swapaxes(a, -1, -2) @ grad
""",
            "sum over the stack",
        ),
        "float64 leak": (
            """
def matmul_backward(grad, a, b):
    a, b = np.array(a, float), np.array(b, float)
    return unbroadcast(grad @ np.swapaxes(b, -1, -2), a.shape), unbroadcast(np.swapaxes(a, -1, -2) @ grad, b.shape)
""",
            "float64",
        ),
    },
}
