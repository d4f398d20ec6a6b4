"""The graph of a computation, with values and with the gradients that flow back along its edges."""

from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import autograd
from ..errors import GraphError, SettingError
from .display import new_figure
from .style import BLUE, VERMILLION

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Text

Message = tuple[Any, int, Any]  # tensor, i, gradient: what tensor sends back to input i of the op that made it

TO_OP, FROM_OP, MARGIN = 1.55, 0.9, 0.65  # inches: gradients are written where a Tensor goes into an op
LIMIT = 60  # Tensors; a larger graph can't be read
SYMBOLS = {"Add": "+", "Sub": "−", "Neg": "−", "Mul": "×", "Div": "÷", "Matmul": "@", "Sum": "Σ"}


def computation_graph(
    output: Any,
    names: Mapping[str, Any] | None = None,
    messages: Iterable[Message] | None = None,
    title: str = "",
    axes: "Axes | None" = None,
) -> "Figure":
    """Draw how `output` was computed, left to right: Tensors as boxes, operations as discs, gradients on the edges.

    output: a Tensor of tinygan, or of any engine whose Tensors have `data`, `op` and `requires_grad`, whose ops have
    `inputs` and `backward(grad)`. Gradients are those of the sum of its numbers; `.grad` of nothing is touched.
    names: of Tensors, as in {"x": x}.   messages: draw these gradients in place of the right ones: (tensor, i, g) for
    each g that `tensor` sent back to input i of its op, in that order.   axes: to draw into, in place of a new figure.
    Numbers are written out; of larger arrays, the shape. What needs no gradient has a dashed frame.
    Raises GraphError where the graph was freed by a backward pass, SettingError for more than 60 Tensors.
    """
    tensors = _tensors(output)
    sent = list(_messages(output, tensors) if messages is None else messages)
    received = {id(output): np.ones_like(output.data)}
    for tensor, i, gradient in sent:
        _receive(received, tensor.op.inputs[i], gradient)
    layers, edges = _layout(tensors)
    places = _places(layers, edges)
    if axes is None:
        rows = max(map(len, layers))
        width = max(x for x, _ in places.values()) + 2 * MARGIN
        axes = new_figure(max(7.0, width), 0.4 + 0.85 * rows + 0.3 * bool(title)).subplots()
    figure: Figure = axes.figure  # type: ignore[assignment]
    labels = {id(tensor): name for name, tensor in (names or {}).items()}
    boxes: dict[int, Text] = {}
    for tensor in tensors:
        name, gradient = labels.get(id(tensor), ""), received.get(id(tensor))
        boxes[id(tensor)] = _draw_tensor(axes, places[id(tensor)], tensor, name, gradient)
        if tensor.op is not None:
            boxes[id(tensor.op)] = _draw_op(axes, places[id(tensor.op)], tensor.op)
    _frame(axes, places, title)
    _draw_edges(axes, places, boxes, edges, tensors, sent)
    return figure


def _tensors(output: Any) -> list[Any]:
    """All that `output` was made from, and itself: each after all its inputs."""
    done: dict[int, Any] = {}
    stack = [(output, False)]
    while stack:
        tensor, finished = stack.pop()
        if finished:
            done[id(tensor)] = tensor
        elif id(tensor) not in done:
            inputs = () if tensor.op is None else tensor.op.inputs
            if tensor.op is not None and not inputs:
                raise GraphError(
                    "computation_graph: this graph was freed by a backward pass; draw it before, "
                    "or pass retain_graph=True to that pass"
                )
            stack.append((tensor, True))
            stack.extend((x, False) for x in reversed(inputs) if id(x) not in done)
    if len(done) > LIMIT:
        raise SettingError(f"computation_graph: {len(done)} Tensors can't be read in one picture; at most {LIMIT} can")
    return list(done.values())


def _messages(output: Any, tensors: list[Any]) -> Iterable[Message]:
    """What each Tensor sends back, in the right order: each after all its users."""
    received = {id(output): np.ones_like(output.data)}
    for tensor in reversed(tensors):
        if tensor.op is None or id(tensor) not in received:
            continue
        for i, part in enumerate(_parts(tensor.op, received[id(tensor)])):
            x = tensor.op.inputs[i]
            if part is not None and x.requires_grad:
                _receive(received, x, part)
                yield tensor, i, part


def _receive(received: dict[int, Any], x: Any, gradient: Any) -> None:
    """Where messages meet, add."""
    received[id(x)] = received[id(x)] + _array(gradient) if id(x) in received else _array(gradient)


def _parts(op: Any, gradient: Any) -> Iterable[Any]:
    """∂L/∂input for each input of `op`."""
    if isinstance(op, autograd.Op):
        with autograd.no_grad():
            parts = autograd._parts(op, autograd.wrap(np.asarray(gradient)), False)
            pairs = zip(op.inputs, parts, strict=True)
            return [autograd._input_gradient(op, x, part) if x.requires_grad else None for x, part in pairs]
    parts = op.backward(gradient)
    return parts if isinstance(parts, tuple | list) else (parts,)


def _array(value: Any) -> Any:
    return value.numpy() if isinstance(value, autograd.Tensor) else np.asarray(value)


Edge = tuple[int, int, tuple[Any, int] | None]  # from a key to a key; (tensor, i): back along it goes a gradient


def _layout(tensors: list[Any]) -> tuple[list[list[int]], list[list[Edge]]]:
    """Columns of keys, from left to right, and the edges, each as its pieces from one column to the next.

    Keys are ids of Tensors and ops, and negative numbers for places where an edge passes a column by.
    """
    depth: dict[int, int] = {}
    for tensor in tensors:
        depth[id(tensor)] = 0
        if tensor.op is not None:
            depth[id(tensor.op)] = 1 + max(depth[id(x)] for x in tensor.op.inputs)
            depth[id(tensor)] = depth[id(tensor.op)] + 1
    users = {id(x): tensor.op for tensor in reversed(tensors) if tensor.op is not None for x in tensor.op.inputs}
    for tensor in tensors:  # a leaf stands just before its first user
        if tensor.op is None and id(tensor) in users:
            depth[id(tensor)] = depth[id(users[id(tensor)])] - 1
    layers: list[list[int]] = [[] for _ in range(max(depth.values()) + 1)]
    for key, column in depth.items():
        layers[column].append(key)
    edges: list[list[Edge]] = []
    passed = 0
    for tensor in tensors:
        if tensor.op is None:
            continue
        edges.append([(id(tensor.op), id(tensor), None)])
        for i, x in enumerate(tensor.op.inputs):
            chain = [id(x)]
            for column in range(depth[id(x)] + 1, depth[id(tensor.op)]):
                passed -= 1
                layers[column].append(passed)
                chain.append(passed)
            chain.append(id(tensor.op))
            edges.append([(a, b, (tensor, i)) for a, b in pairwise(chain)])
    return layers, edges


def _places(layers: list[list[int]], edges: list[list[Edge]]) -> dict[int, tuple[float, float]]:
    """(x, y) by key: x in inches, by the column; y near the neighbours', 1 apart from those above and below."""
    y = {key: float(row) for layer in layers for row, key in enumerate(layer)}
    neighbours: dict[int, list[int]] = {key: [] for key in y}
    for pieces in edges:
        for a, b, _ in pieces:
            neighbours[a].append(b)
            neighbours[b].append(a)
    for _ in range(8):
        for layer in (*layers, *reversed(layers)):
            wanted = {key: sum(y[n] for n in neighbours[key]) / max(1, len(neighbours[key])) for key in layer}
            layer.sort(key=lambda key: wanted[key])
            row = -np.inf
            for key in layer:
                row = y[key] = max(wanted[key], row + 1)
            shift = sum(wanted[key] - y[key] for key in layer) / len(layer)
            for key in layer:
                y[key] += shift
    xs = [
        column // 2 * (TO_OP + FROM_OP) + column % 2 * TO_OP for column in range(len(layers))
    ]  # Tensors, ops, Tensors
    return {key: (x, -y[key]) for x, layer in zip(xs, layers, strict=True) for key in layer}


def _written(value: Any) -> str:
    """A number as such, an array by its shape."""
    array = _array(value)
    return f"{float(array.reshape(())):.4g}".replace("-", "−") if array.size == 1 else str(array.shape)


def _draw_tensor(axes: "Axes", place: tuple[float, float], tensor: Any, name: str, gradient: Any) -> "Text":
    value = _written(tensor.data)
    text = " ".join(filter(None, (name, "" if "(" in value else "=" * bool(name), value)))
    if gradient is not None and tensor.requires_grad:
        text += f"\ngrad {_written(gradient)}"
    frame = {
        "boxstyle": "round,pad=0.4",
        "facecolor": "white",
        "edgecolor": BLUE,
        "linewidth": 1.5,
        "linestyle": "-" if tensor.requires_grad else (0, (3, 2)),
    }
    return axes.text(*place, text, ha="center", va="center", fontsize=11, bbox=frame, zorder=3)


def _draw_op(axes: "Axes", place: tuple[float, float], op: Any) -> "Text":
    name = type(op).__name__
    frame = {"boxstyle": "circle,pad=0.25", "facecolor": "#E6E6E6", "edgecolor": "black", "linewidth": 1}
    if name not in SYMBOLS:
        frame["boxstyle"] = "round,pad=0.3"
    return axes.text(*place, SYMBOLS.get(name, name), ha="center", va="center", fontsize=11, bbox=frame, zorder=3)


def _frame(axes: "Axes", places: dict[int, tuple[float, float]], title: str) -> None:
    xs, ys = zip(*places.values(), strict=True)
    axes.set_xlim(min(xs) - MARGIN, max(xs) + MARGIN)
    axes.set_ylim(min(ys) - 0.6, max(ys) + 0.6)
    axes.set_axis_off()
    if title:
        axes.set_title(title, fontsize=12, loc="left")


def _draw_edges(
    axes: "Axes",
    places: dict[int, tuple[float, float]],
    boxes: "dict[int, Text]",
    edges: list[list[Edge]],
    tensors: list[Any],
    sent: list[Message],
) -> None:
    """Lines from left to right; on those that carried gradients, what came back along them."""
    from matplotlib.patches import FancyArrowPatch

    told: dict[tuple[int, int], list[str]] = {}
    for tensor, i, gradient in sent:
        told.setdefault((id(tensor), i), []).append(_written(gradient))
    axes.figure.canvas.draw()  # so that boxes know their sizes, where lines stop
    for pieces in edges:
        back = pieces[-1][2]
        bend = 0.0
        if back is not None and len(pieces) == 1:  # one Tensor given twice: two lines, bent apart
            twins = [i for i, x in enumerate(back[0].op.inputs) if x is back[0].op.inputs[back[1]]]
            bend = 0.45 * (2 * twins.index(back[1]) / (len(twins) - 1) - 1) if len(twins) > 1 else 0.0
        for a, b, _ in pieces:
            line = FancyArrowPatch(
                places[a],
                places[b],
                connectionstyle=f"arc3,rad={bend}",
                arrowstyle="-|>" if b in boxes else "-",
                mutation_scale=11,
                color="#555555",
                linewidth=1.2,
                patchA=boxes[a].get_bbox_patch() if a in boxes else None,
                patchB=boxes[b].get_bbox_patch() if b in boxes else None,
                shrinkA=0,
                shrinkB=0,
                zorder=2,
            )
            axes.add_patch(line)
        if back is not None and (id(back[0]), back[1]) in told:
            a, b, _ = pieces[-1]
            text = "← " + ", then ".join(told[id(back[0]), back[1]])
            x, y = _along(axes, places[a], places[b], bend)
            axes.text(
                x,
                y,
                text,
                color=VERMILLION,
                fontsize=11,
                fontweight="bold",
                ha="center",
                va="center",
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
                zorder=4,
            )


def _along(axes: "Axes", start: tuple[float, float], end: tuple[float, float], bend: float, t: float = 0.62) -> Any:
    """The point at t, from 0 to 1, of the line from start to end that is bent as "arc3" does it (on the screen)."""
    a, b = axes.transData.transform([start, end])
    control = (a + b) / 2 + bend * np.array([b[1] - a[1], a[0] - b[0]])
    point = (1 - t) ** 2 * a + 2 * t * (1 - t) * control + t**2 * b
    return axes.transData.inverted().transform(point)
