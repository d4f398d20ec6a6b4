"""The picture of a computation: everything is in it, the gradients are right, for two engines."""

import numpy as np
import pytest

import tinygan as tg
from tinygan import plotting
from tinygan.errors import GraphError, SettingError
from tinygan.grading import lesson_03
from tinygan.plotting.graphs import LIMIT

pytest.importorskip("matplotlib")


def tinygan_leaf(value, requires_grad=True):
    return tg.Tensor(np.array(value, np.float64), requires_grad=requires_grad)


ENGINES = pytest.mark.parametrize("leaf", [tinygan_leaf, lesson_03.Tensor], ids=["tinygan", "learner's"])


def texts(figure):
    return sorted(text.get_text() for axes in figure.axes for text in axes.texts)


@ENGINES
def test_the_diamond(leaf):
    a = leaf(3.0, requires_grad=True)
    b = a + a
    c = b + b
    figure = plotting.computation_graph(c, {"a": a, "b": b, "c": c}, title="why order matters")
    boxes = ["a = 3\ngrad 4", "b = 6\ngrad 2", "c = 12\ngrad 1"]
    assert texts(figure) == sorted([*boxes, "+", "+", "← 1", "← 1", "← 2", "← 2"])
    assert figure.axes[0].get_title(loc="left") == "why order matters"
    assert a.grad is None and b.grad is None
    c.backward()  # it can still run
    assert a.grad is not None


@ENGINES
def test_messages_of_ones_own(leaf):
    a = leaf(3.0, requires_grad=True)
    b = a + a
    figure = plotting.computation_graph(b, messages=[(b, 0, 1.0), (b, 0, 2.0)])
    assert texts(figure) == sorted(["3\ngrad 3", "6\ngrad 1", "+", "← 1, then 2"])


@ENGINES
def test_shapes_for_arrays_and_nothing_for_constants(leaf):
    x, scale = leaf(np.ones((4, 3)), requires_grad=True), leaf(np.ones((4, 3)))
    scale.requires_grad = False
    figure = plotting.computation_graph(x * scale, {"x": x, "scale": scale})
    found = texts(figure)
    assert found == sorted(["x (4, 3)\ngrad (4, 3)", "scale (4, 3)", "(4, 3)\ngrad (4, 3)", "×", "← (4, 3)"])


def test_broadcast_fused_and_side_branches_of_tinygan():
    x, w, b = (tinygan_leaf(np.ones(shape)) for shape in [(4, 3), (3, 2), (2,)])
    y = tg.ops.batch_norm(tg.ops.tanh(x @ w + b), tinygan_leaf(np.ones(2)), tinygan_leaf(np.zeros(2)))
    loss = (y * y).mean() + (w * w).sum()
    found = texts(plotting.computation_graph(loss, {"b": b, "loss": loss}))
    assert "b (2,)\ngrad (2,)" in found and "← (2,)" in found and "BatchNorm" in found
    assert not any("(4, 2)" in text and text.startswith("b ") for text in found)


@ENGINES
def test_nothing_overlaps(leaf):
    u, v = leaf(0.5, requires_grad=True), leaf(2.0, requires_grad=True)
    s = u * v
    figure = plotting.computation_graph(s * s / v - 3 * u, {"u": u, "v": v})
    figure.canvas.draw()
    boxes = [text.get_bbox_patch() for text in figure.axes[0].texts if not text.get_text().startswith("←")]
    frames = [box.get_window_extent() for box in boxes]
    assert not any(a.overlaps(b) for i, a in enumerate(frames) for b in frames[:i])
    assert all(figure.bbox.x0 <= f.x0 and f.x1 <= figure.bbox.x1 for f in frames)


def test_into_axes_that_are_there():
    figure = plotting.new_figure()
    left, right = figure.subplots(1, 2)
    a = tinygan_leaf(1.0)
    assert plotting.computation_graph(a * 2.0, axes=left) is figure
    assert left.texts and not right.texts


@ENGINES
def test_a_leaf_alone(leaf):
    assert texts(plotting.computation_graph(leaf(2.0, requires_grad=True), {})) == ["2\ngrad 1"]


def test_refuses_what_is_freed_or_too_large():
    a = tinygan_leaf(1.0)
    b = a * a
    b.backward()
    with pytest.raises(GraphError, match="freed by a backward pass; draw it before"):
        plotting.computation_graph(b)
    for _ in range(LIMIT):
        a = -a
    with pytest.raises(SettingError, match=f"{LIMIT + 1} Tensors can't be read"):
        plotting.computation_graph(a)


def test_side_by_side(monkeypatch):
    display = pytest.importorskip("IPython.display")
    shown = []
    monkeypatch.setattr(display, "display", lambda bundle, raw: shown.append(bundle))
    plotting.side_by_side("if a < b:", "x\n", titles=("mine", "theirs"))
    assert shown[0]["text/plain"] == "--- mine ---\nif a < b:\n\n--- theirs ---\nx"
    assert "a &lt; b" in shown[0]["text/html"] and "<script" not in shown[0]["text/html"]
