"""Lesson 8's checks: other right ways pass, and what the bank of wrong answers leaves out is told apart."""

import numpy as np
import pytest

from tinygan import ops
from tinygan.grading import WrongAnswer, check, lesson_08


def by_windows(x, kernel, stride=1, padding=0):
    """im2col without a loop; a read-only view."""
    padded = np.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, kernel, axis=(1, 2))[:, ::stride, ::stride]
    return windows.transpose(0, 1, 2, 4, 5, 3)


def by_patches(columns, size, stride=1, padding=0):
    """col2im patch by patch."""
    n, rows, cols, kh, kw, channels = columns.shape
    x = np.zeros((n, size[0] + 2 * padding, size[1] + 2 * padding, channels), columns.dtype)
    for i in range(rows):
        for j in range(cols):
            x[:, i * stride : i * stride + kh, j * stride : j * stride + kw] += columns[:, i, j]
    return x[:, padding : padding + size[0], padding : padding + size[1]]


def by_einsum(x, w, stride=1, padding=0):
    """conv_transpose with the axes kept."""
    size = [(n - 1) * stride + k - 2 * padding for n, k in zip(x.shape[1:3], w.shape[:2], strict=True)]
    return by_patches(np.einsum("nijc,aboc->nijabo", x, w), tuple(size), stride, padding)


def whole(y, size, stride, padding):
    """col2im before its crop."""
    return lesson_08.col2im(y, (size[0] + 2 * padding, size[1] + 2 * padding), stride)


def recut(w):
    """The kernel that w.reshape(C, -1) makes of w."""
    return w.reshape(w.shape[3], -1).T.reshape(w.shape)


@pytest.mark.parametrize(("name", "answer"), [("L08-ex1", by_windows), ("L08-ex2", by_patches), ("L08-ex3", by_einsum)])
@pytest.mark.parametrize("hidden", [False, True])
def test_other_right_ways_pass(name, answer, hidden):
    check(name, answer, hidden=hidden)


def test_the_references_are_those_of_tinygan():
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((2, 5, 4, 3)), rng.standard_normal((3, 2, 4, 3))
    np.testing.assert_allclose(lesson_08.conv_transpose(x, w, 2, 1), ops.conv_transpose(x, w, 2, 1).numpy())


@pytest.mark.parametrize(
    ("name", "answer", "words"),
    [
        ("L08-ex1", lambda *a: lesson_08.im2col(*a).astype(np.float64), "float32 in, float32 out"),
        ("L08-ex1", lambda *a: lesson_08.im2col(*a).tolist(), "expected a NumPy array"),
        ("L08-ex1", lambda x, *a: lesson_08.im2col(np.multiply(x, 2, out=x), *a), "changed x"),
        ("L08-ex1", lambda *a: lesson_08.im2col(*a).reshape(9, -1), "keep the six axes"),
        ("L08-ex1", lambda *a: lesson_08.im2col(*a).transpose(0, 1, 2, 5, 3, 4), "in another order"),
        (
            "L08-ex1",
            lambda x, k, s, p: lesson_08.im2col(np.pad(x, [(0, 0)] * 3 + [(p, p)]), k, s, p),
            "channels were padded",
        ),
        ("L08-ex2", lambda *a: None, "NoneType, expected a NumPy array"),
        ("L08-ex2", lambda y, *a: lesson_08.col2im(y.astype(np.float64), *a), "np.zeros needs the dtype"),
        ("L08-ex2", lambda y, size, s, p: whole(y, size, s, p)[:, p:-p, p:-p], "is empty where p = 0"),
        ("L08-ex2", lambda y, size, s, p: whole(y, size, s, p)[:, p : p + size[0]], "off every side"),
        ("L08-ex3", lambda x, w, *a: lesson_08.conv_transpose(x, recut(w), *a), "reshape doesn't transpose"),
        ("L08-ex2", lambda *a: 2 * lesson_08.col2im(*a), "not the adjoint"),
        (
            "L08-ex2",
            lambda y, size, s, p: whole(y, size, s, p)[:, -size[0] :, -size[1] :],
            "bottom right",
        ),
        ("L08-ex3", lambda *a: -lesson_08.conv_transpose(*a), "not the adjoint"),
    ],
)
def test_what_the_bank_leaves_out(name, answer, words):
    with pytest.raises(WrongAnswer, match=words):
        check(name, answer)
