"""A generator as an ONNX file, which other programs can run; written byte by byte, so that nothing has to be installed.

ONNX is protobuf: a message is a row of fields, each its number and kind in a varint, then its value; a message within a
message, like text, is preceded by its length. The numbers of the fields are those of onnx.proto.
"""

import os
import struct
from typing import Any

import numpy as np

from . import nn
from .errors import SettingError
from .files import atomic_write, check_suffix

OPSET, IR_VERSION, FLOAT, INT64 = 13, 7, 1, 7
SIMPLE = {nn.ReLU: "Relu", nn.Tanh: "Tanh", nn.Sigmoid: "Sigmoid"}


def save_onnx(path: str | os.PathLike[str], generator: nn.Module, latent_size: int) -> None:
    """Write a generator, a Sequential, in evaluation mode: input `latents` (N, latent_size), output `images`.

    Images are (N, H, W, C) as everywhere in tinygan, in [−1, 1]; any N. If it takes labels, or was told clusters,
    there is an input `labels` besides, int64 (N,).
    Raises SettingError for another suffix and a layer that isn't translated, FileError.
    """
    check_suffix(path, ".onnx")
    if not isinstance(generator, nn.Sequential):
        raise SettingError(f"ONNX: {generator.describe():.60} is no Sequential of layers")
    graph, value = Graph(), "latents"
    for layer in generator.layers:
        value = _translate(graph, layer, value)
    graph.add("Identity", [value], result="images")
    content = graph.content() + _field(11, _value("latents", FLOAT, latent_size))
    content += _field(11, _value("labels", INT64)) if generator.takes_labels else b""
    content += _field(12, _value("images", FLOAT, "height", "width", "channels"))
    model = _field(1, IR_VERSION) + _field(2, "tinygan") + _field(7, content) + _field(8, _field(2, OPSET))
    with atomic_write(path) as file:
        file.write(model)


class Graph:
    """Operators, of values that have names; `axes`: how many the last of them has."""

    def __init__(self) -> None:
        self.axes = 2
        self.nodes: list[bytes] = []
        self.constants: list[bytes] = []

    def add(self, op: str, inputs: list[Any], result: str = "", **attributes: Any) -> str:
        """One more: of values by name, and of constants, as arrays. Gives the name of its result."""
        names = []
        for value in inputs:
            if not isinstance(value, str):
                self.constants.append(_tensor(f"constant{len(self.constants)}", value))
                value = f"constant{len(self.constants) - 1}"
            names.append(value)
        result = result or f"value{len(self.nodes)}"
        self.nodes.append(_node(op, names, result, attributes))
        return result

    def content(self) -> bytes:
        nodes = b"".join(_field(1, node) for node in self.nodes)
        return nodes + _field(2, "generator") + b"".join(_field(5, constant) for constant in self.constants)


def _translate(graph: Graph, layer: nn.Module, x: str) -> str:
    """Add the layer's operators; from the name of its input to that of its output."""
    if isinstance(layer, nn.ConvTranspose) and len(layer.kernel) == 2:
        w = layer.normalised_weight().numpy()  # (KH, KW, out, in), in ONNX (in, out, KH, KW), with channels first
        pads, extra = _spread(layer)
        x = graph.add("Transpose", [x], perm=(0, 3, 1, 2))
        x = graph.add(
            "ConvTranspose", [x, w.transpose(3, 2, 0, 1)], strides=layer.stride, pads=pads, output_padding=extra
        )
        x = graph.add("Transpose", [x], perm=(0, 2, 3, 1))
        return graph.add("Add", [x, layer.bias.numpy()]) if layer.use_bias else x
    if isinstance(layer, nn.Dense):
        x = graph.add("MatMul", [x, layer.normalised_weight().numpy()])
        return graph.add("Add", [x, layer.bias.numpy()]) if layer.use_bias else x
    if isinstance(layer, nn.BatchNorm):
        scale, shift = _scale_and_shift(layer, layer.gamma.numpy(), layer.beta.numpy())
        return graph.add("Add", [graph.add("Mul", [x, scale]), shift])
    if isinstance(layer, nn.ConditionalBatchNorm):
        places = np.array([-1, *[1] * (graph.axes - 2), layer.gamma.shape[1]], np.int64)
        tables = _scale_and_shift(layer.normalise, layer.gamma.numpy(), layer.beta.numpy())
        scale, shift = (graph.add("Reshape", [graph.add("Gather", [table, "labels"]), places]) for table in tables)
        return graph.add("Add", [graph.add("Mul", [x, scale]), shift])
    if isinstance(layer, nn.JoinLabels) and graph.axes == 2:
        return graph.add("Concat", [x, graph.add("Gather", [layer.embedding.weight.numpy(), "labels"])], axis=1)
    if isinstance(layer, nn.OneOf):
        return _one_of(graph, layer, x)
    if isinstance(layer, nn.Reshape):
        graph.axes = 1 + len(layer.shape)
        return graph.add("Reshape", [x, np.array([0, *layer.shape], np.int64)])  # 0: as in the input, N
    if isinstance(layer, nn.LeakyReLU):
        return graph.add("LeakyRelu", [x], alpha=float(layer.slope))
    if type(layer) in SIMPLE:
        return graph.add(SIMPLE[type(layer)], [x])
    if isinstance(layer, nn.Dropout):
        return x  # it does nothing in evaluation
    raise SettingError(f"ONNX: {layer.describe():.60} isn't translated; export the weights as .safetensors")


def _scale_and_shift(norm: nn.BatchNorm, gamma: np.ndarray[Any, Any], beta: np.ndarray[Any, Any]) -> tuple[Any, Any]:
    """γ (x − mean) / √(variance + ε) + β as scale · x + shift."""
    scale = gamma / np.sqrt(norm.running_variance.numpy() + np.float32(norm.eps))
    return scale, beta - norm.running_mean.numpy() * scale


def _one_of(graph: Graph, layer: nn.OneOf, x: str) -> str:
    columns, start, end = (np.array([n], np.int64) for n in (1, 0, np.iinfo(np.int64).max))
    choosing, count = np.array([layer.choosing], np.int64), np.array([layer.count], np.int64)
    latents = graph.add("Slice", [x, start, choosing, columns])
    latents = graph.add("Reshape", [latents, np.array([0, layer.times, layer.count], np.int64)])
    kinds = graph.add("ArgMax", [latents], axis=2, keepdims=0)
    chosen = graph.add("OneHot", [kinds, count, np.array([0, layer.scale], np.float32)])
    chosen = graph.add("Reshape", [chosen, np.array([0, *choosing], np.int64)])
    return graph.add("Concat", [chosen, graph.add("Slice", [x, choosing, end, columns])], axis=1)


def _spread(layer: nn.ConvTranspose) -> tuple[list[int], list[int]]:
    """pads, all befores and then all afters, and output_padding: see ops.conv_transpose."""
    if layer.padding == "same":
        totals = [max(k - s, 0) for k, s in zip(layer.kernel, layer.stride, strict=True)]
        extra = [max(s - k, 0) for k, s in zip(layer.kernel, layer.stride, strict=True)]
        return [n // 2 for n in totals] + [n - n // 2 for n in totals], extra
    pairs: Any = layer.padding
    given = layer.output_padding
    extra = [given] * 2 if isinstance(given, int) else list(given)
    return [before for before, _ in pairs] + [after for _, after in pairs], extra


# ---------------------------------------------------------------- messages of onnx.proto


def _node(op: str, inputs: list[str], output: str, attributes: dict[str, Any]) -> bytes:
    fields = [_field(1, name) for name in inputs] + [_field(2, output), _field(4, op)]
    return b"".join(fields + [_field(5, _attribute(name, value)) for name, value in attributes.items()])


def _attribute(name: str, value: Any) -> bytes:
    if isinstance(value, float):
        return _field(1, name) + _key(2, 5) + struct.pack("<f", value) + _field(20, 1)
    if isinstance(value, int):
        return _field(1, name) + _field(3, value) + _field(20, 2)
    return _field(1, name) + b"".join(_field(8, int(n)) for n in value) + _field(20, 7)


def _tensor(name: str, array: np.ndarray[Any, Any]) -> bytes:
    kind = INT64 if array.dtype == np.int64 else FLOAT
    plain = np.asarray(array, "<i8" if kind == INT64 else "<f4", order="C")
    return b"".join(_field(1, n) for n in array.shape) + _field(2, kind) + _field(8, name) + _field(9, plain.tobytes())


def _value(name: str, kind: int, *sizes: int | str) -> bytes:
    """An array (N, *sizes) of this kind of numbers, sizes by number or by name."""
    dims = b"".join(_field(1, _field(1 if isinstance(n, int) else 2, n)) for n in ("N", *sizes))
    return _field(1, name) + _field(2, _field(1, _field(1, kind) + _field(2, dims)))


def _field(number: int, value: int | str | bytes) -> bytes:
    if isinstance(value, int):
        return _key(number, 0) + _varint(value)
    content = value.encode() if isinstance(value, str) else value
    return _key(number, 2) + _varint(len(content)) + content


def _key(number: int, kind: int) -> bytes:
    return _varint(number << 3 | kind)


def _varint(value: int) -> bytes:
    """Seven bits a byte, the low ones first; the top bit says that more follow."""
    content = bytearray()
    while value >= 128:
        content.append(value & 127 | 128)
        value >>= 7
    return bytes([*content, value])
