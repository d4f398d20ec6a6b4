"""Plausible wrong answers to the exercises of lesson 3: name of the mistake -> (answer, words of the message)."""

WRONG = {
    "L03-ex1": {
        "without the chain rule": (
            """
def div_backward(grad, a, b):
    return 1 / b, -a / b**2
""",
            "multiply both by grad",
        ),
        "sign": (
            """
def div_backward(grad, a, b):
    return grad / b, grad * a / b**2
""",
            "a sign?",
        ),
        "1/b taken for its derivative": (
            """
def div_backward(grad, a, b):
    return grad / b, -grad * a / b
""",
            "a square is missing",
        ),
        "swapped": (
            """
def div_backward(grad, a, b):
    return -grad * a / b**2, grad / b
""",
            "swapped",
        ),
        "as for a product": (
            """
def div_backward(grad, a, b):
    return grad * b, grad * a
""",
            "∂L/∂a",
        ),
        "one gradient": (
            """
def div_backward(grad, a, b):
    return grad / b - grad * a / b**2
""",
            "two gradients are expected",
        ),
    },
    "L03-ex2": {
        "= for +=": (
            """
def backward(output):
    users = count_users(output)
    gradients = {output: np.ones_like(output.data)}
    ready = [output]
    while ready:
        tensor = ready.pop()
        gradient = gradients.pop(tensor)
        if tensor.op is None:
            tensor.grad = gradient if tensor.grad is None else tensor.grad + gradient
            continue
        for x, part in zip(tensor.op.inputs, tensor.op.backward(gradient)):
            if x.requires_grad:
                gradients[x] = part
                users[x] -= 1
                if users[x] == 0:
                    ready.append(x)
""",
            "the second message replaced the first",
        ),
        "wrong order, depth first and at once": (
            """
def backward(output):
    gradients = {output: np.ones_like(output.data)}

    def visit(tensor):
        if tensor.op is None:
            return
        for x, part in zip(tensor.op.inputs, tensor.op.backward(gradients[tensor])):
            if x.requires_grad:
                gradients[x] = gradients[x] + part if x in gradients else part
                visit(x)

    visit(output)
    for x, gradient in gradients.items():
        if x.op is None:
            x.grad = gradient if x.grad is None else x.grad + gradient
""",
            "b passed on its first message at once",
        ),
        "every path": (
            """
def backward(output):
    stack = [(output, np.ones_like(output.data))]
    while stack:
        tensor, gradient = stack.pop()
        if tensor.op is None:
            tensor.grad = gradient if tensor.grad is None else tensor.grad + gradient
            continue
        for x, part in zip(tensor.op.inputs, tensor.op.backward(gradient)):
            if x.requires_grad:
                stack.append((x, part))
""",
            "once for every path",
        ),
        "recursion": (
            """
def backward(output):
    users = count_users(output)
    gradients = {output: np.ones_like(output.data)}

    def visit(tensor):
        gradient = gradients.pop(tensor)
        if tensor.op is None:
            tensor.grad = gradient if tensor.grad is None else tensor.grad + gradient
            return
        for x, part in zip(tensor.op.inputs, tensor.op.backward(gradient)):
            if x.requires_grad:
                gradients[x] = gradients[x] + part if x in gradients else part
                users[x] -= 1
                if users[x] == 0:
                    visit(x)

    visit(output)
""",
            "10,000 operations",
        ),
        "stale second backward": (
            """
def backward(output):
    users = count_users(output)
    output.grad = np.ones_like(output.data)
    ready = [output]
    while ready:
        tensor = ready.pop()
        if tensor.op is None:
            continue
        for x, part in zip(tensor.op.inputs, tensor.op.backward(tensor.grad)):
            if x.requires_grad:
                x.grad = part if x.grad is None else x.grad + part
                users[x] -= 1
                if users[x] == 0:
                    ready.append(x)
""",
            "left over from the first call",
        ),
        "added in place": (
            """
def backward(output):
    users = count_users(output)
    gradients = {output: np.ones_like(output.data)}
    ready = [output]
    while ready:
        tensor = ready.pop()
        gradient = gradients.pop(tensor)
        if tensor.op is None:
            tensor.grad = gradient if tensor.grad is None else tensor.grad + gradient
            continue
        for x, part in zip(tensor.op.inputs, tensor.op.backward(gradient)):
            if x.requires_grad:
                if x in gradients:
                    gradients[x] += part
                else:
                    gradients[x] = part
                users[x] -= 1
                if users[x] == 0:
                    ready.append(x)
""",
            "changes both",
        ),
    },
}
