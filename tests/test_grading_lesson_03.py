"""The learner's engine of lessons 3 to 5: the same in the notebooks and in the package, and right; more mistakes."""

import ast
import importlib
from pathlib import Path

import numpy as np
import pytest

import tinygan as tg
from tinygan.grading import WrongAnswer, lesson_03, lesson_04, lesson_05
from tinygan.grading.exercise import find_exercise
from tinygan.lessons import all_lessons
from tinygan.lessons.notebooks import FileError
from tinygan.testing import gradcheck_arrays

RNG = np.random.default_rng(0)


def definitions(source):
    """Classes and functions by name, as dumps that comments and layout don't change."""
    nodes = [node for node in ast.parse(source).body if isinstance(node, ast.ClassDef | ast.FunctionDef)]
    return {node.name: ast.dump(node) for node in nodes}


@pytest.mark.parametrize("number, least", [(3, 11), (4, 8), (5, 7)])
def test_notebook_and_package_have_the_same_engine(number, least):
    try:
        (lesson,) = [lesson.read() for lesson in all_lessons() if lesson.number == number]
    except FileError:
        pytest.skip("an installed wheel without notebooks")
    module = importlib.import_module(f"tinygan.grading.lesson_0{number}")
    ours = definitions(Path(module.__file__).read_text(encoding="utf-8"))
    code = [cell["source"] for cell in lesson["cells"] if cell["cell_type"] == "code"]
    theirs = {name: dump for source in code for name, dump in definitions("".join(source)).items() if name in ours}
    assert len(theirs) >= least
    assert [name for name in theirs if theirs[name] != ours[name]] == []


def everything(x, w, b, gamma, beta):
    y = lesson_05.leaky_relu(lesson_05.batch_norm(x @ w + b, gamma, beta), 0.1)
    return lesson_03.softplus(2 - lesson_03.tanh(y)).mean(1, keepdims=True) / (y * y + 1.0).sum() - y


SHAPES = [(6, 3), (3, 4), (4,), (4,), (4,)]


def gradient(*arrays):
    lesson_04.enter_operators()
    leaves = [lesson_03.Tensor(a, requires_grad=True) for a in arrays]
    everything(*leaves).backward()
    return [leaf.grad for leaf in leaves]


def test_the_engine_is_right():
    arrays = [RNG.standard_normal(shape) for shape in SHAPES]
    lesson_04.enter_operators()
    gradcheck_arrays(lambda *a: everything(*map(lesson_03.Tensor, a)).data, gradient, arrays)


def test_float32_in_float32_out():
    arrays = [RNG.standard_normal(shape).astype(np.float32) for shape in SHAPES]
    assert {g.dtype for g in gradient(*arrays)} == {np.dtype(np.float32)}


def test_the_same_as_tinygan():
    x, gamma, beta = RNG.standard_normal((5, 3)), RNG.uniform(1, 2, 3), RNG.standard_normal(3)
    ours = [lesson_03.Tensor(a, requires_grad=True) for a in (x, gamma, beta)]
    theirs = [tg.Tensor(a, requires_grad=True) for a in (x, gamma, beta)]
    lesson_04.enter_operators()
    (lesson_05.batch_norm(*ours) * x).backward()
    tg.ops.batch_norm(*theirs).backward(x)
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine.grad, other.grad.numpy(), rtol=1e-9, atol=1e-12)


def closed_too_early(output):
    gradients, order = {output: np.ones_like(output.data)}, [output]
    while order:
        tensor = order.pop()
        for x, part in zip(tensor.op.inputs, tensor.op.backward(gradients[tensor]), strict=True) if tensor.op else ():
            if x.requires_grad:
                first = x not in gradients
                gradients[x] = part if first else gradients[x] + part
                if first and x.op is not None:
                    for y, more in zip(x.op.inputs, x.op.backward(part), strict=True):
                        gradients[y] = gradients[y] + more if y in gradients else more
    for x, gradient in gradients.items():
        if x.op is None and x.requires_grad:
            x.grad = gradient if x.grad is None else x.grad + gradient


def replaces_what_is_there(output):
    for x in lesson_03.count_users(output):
        x.grad = None if x.op is None else x.grad
    lesson_03.backward(output)


def by_level(output):
    gradients, level = {output: np.ones_like(output.data)}, [output]
    while level:
        following = []
        for tensor in level:
            gradient = gradients[tensor]
            if tensor.op is None:
                tensor.grad = gradient
                continue
            for x, part in zip(tensor.op.inputs, tensor.op.backward(gradient), strict=True):
                if x.requires_grad:
                    gradients[x] = gradients[x] + part if x in gradients else part
                    following += [x] if x not in following else []
        level = following


def leaf_in_place(output):
    leaves = {x: x.grad for x in lesson_03.count_users(output) if x.op is None}
    for x in leaves:
        x.grad = None
    lesson_03.backward(output)
    for x, before in leaves.items():
        if before is not None:
            before += x.grad
            x.grad = before


def nothing(output):
    pass


@pytest.mark.parametrize(
    "answer, words",
    [
        (closed_too_early, "was then closed: the second one never reached a"),
        (by_level, "a near user and from a far one"),
        (replaces_what_is_there, "left the leaf's gradient as it was"),
        (leaf_in_place, r"after backward\(a \+ b\) twice.*changes both"),
        (nothing, "is still None"),
    ],
)
def test_more_mistakes_in_backward(answer, words):
    with pytest.raises(WrongAnswer, match=words):
        find_exercise("L03-ex2").checker(answer, np.random.default_rng(0))


def messages_to_constants(output):
    users, gradients, ready = lesson_03.count_users(output), {output: np.ones_like(output.data)}, [output]
    while ready:
        tensor = ready.pop()
        gradient = gradients.pop(tensor)
        if tensor.op is None:
            tensor.grad = gradient if tensor.grad is None else tensor.grad + gradient
            continue
        for x, part in zip(tensor.op.inputs, tensor.op.backward(gradient), strict=True):
            gradients[x] = gradients[x] + part if x in gradients else part
            users[x] -= 1
            if users[x] == 0:
                ready.append(x)


def ready_at_each_message(output):
    gradients, ready = {output: np.ones_like(output.data)}, [output]
    while ready:
        tensor = ready.pop(0)
        if tensor.op is None:
            tensor.grad = gradients[tensor] if tensor.grad is None else tensor.grad + gradients[tensor]
            continue
        for x, part in zip(tensor.op.inputs, tensor.op.backward(gradients[tensor]), strict=True):
            if x.requires_grad:
                gradients[x] = gradients[x] + part if x in gradients else part
                ready += [x] if x.op is not None or x not in ready else []


def divides_in_place(grad, a, b):
    grad /= b
    return grad, -grad * a / b


def keeps_the_axis_in_front(grad, shape):
    added = (1,) * (grad.ndim - len(shape)) + shape
    return grad.sum(axis=tuple(i for i, n in enumerate(added) if n != grad.shape[i]), keepdims=True)


def entry_by_entry(grad, a, b):
    return grad * b, grad * a


def numpys_sqrt(x, gamma, beta, eps=1e-5):
    centred = x - x.mean(0)
    return gamma * centred / np.sqrt((centred * centred).mean(0) + eps) + beta


def no_square_in_v(params, grads, state, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
    for parameter, grad in zip(params, grads, strict=True):
        with np.errstate(invalid="ignore"):
            parameter -= lr * grad / (np.sqrt(grad) + eps)


def betas_swapped(params, grads, state, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
    lesson_05.adam_step(params, grads, state, lr, betas[::-1], eps)


@pytest.mark.parametrize(
    "name, answer, words",
    [
        ("L03-ex1", divides_in_place, "changed an array"),
        ("L03-ex2", messages_to_constants, "count_users leaves constants out"),
        ("L03-ex2", ready_at_each_message, "Does each Tensor become ready once"),
        ("L04-ex1", keeps_the_axis_in_front, "put in front must go"),
        ("L04-ex2", entry_by_entry, r"∂L/∂a is grad \* b"),
        ("L05-ex2", numpys_sqrt, "write sqrt, not np.sqrt"),
        ("L05-ex3", no_square_in_v, "v averages squares"),
        ("L05-ex3", betas_swapped, "the betas are swapped"),
    ],
)
def test_more_mistakes(name, answer, words):
    with pytest.raises(WrongAnswer, match=words):
        find_exercise(name).checker(answer, np.random.default_rng(0))


@pytest.mark.parametrize("name", ["L03-ex1", "L03-ex2", "L04-ex1", "L04-ex2", "L05-ex1", "L05-ex2", "L05-ex3"])
def test_the_reference_passes_whatever_is_drawn(name):
    found = find_exercise(name)
    for seed in range(20):
        found.checker(*found.references.values(), np.random.default_rng(seed))
