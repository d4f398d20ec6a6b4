"""A generator as an ONNX file, which other programs can run; written byte by byte, so that nothing has to be installed.

ONNX is protobuf: a message is a row of fields, each its number and kind in a varint, then its value; a message within a
message, like text, is preceded by its length. The numbers of the fields are those of onnx.proto.
"""

import os
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np

from . import nn
from .errors import SettingError
from .files import atomic_write, check_suffix

OPSET, IR_VERSION, FLOAT, INT64 = 13, 7, 1, 7
SIMPLE = {nn.ReLU: "Relu", nn.Tanh: "Tanh", nn.Sigmoid: "Sigmoid"}


def save_onnx(path: str | os.PathLike[str], generator: nn.Module, latent_size: int) -> None:
    """Write a generator, a Sequential, in evaluation mode: input `latents` (N, latent_size), output `images`.

    Images are (N, H, W, C) as everywhere in tinygan, in [−1, 1]; any N.
    Raises SettingError for another suffix and a layer that isn't translated, FileError.
    """
    check_suffix(path, ".onnx")
    if not isinstance(generator, nn.Sequential):
        raise SettingError(f"ONNX: {generator.describe():.60} is no Sequential of layers")
    nodes: list[bytes] = []
    constants: list[bytes] = []
    value = "latents"
    for i, layer in enumerate(generator.layers):
        for op, operands, attributes in _translate(layer):
            names = [f"layer{i}_{op}{len(nodes)}_{k}" for k in range(len(operands))]
            constants += [_tensor(name, array) for name, array in zip(names, operands, strict=True)]
            result = f"value{len(nodes)}"
            nodes.append(_node(op, [value, *names], result, attributes))
            value = result
    nodes.append(_node("Identity", [value], "images", {}))
    graph = b"".join(_field(1, node) for node in nodes) + _field(2, "generator")
    graph += b"".join(_field(5, constant) for constant in constants)
    graph += _field(11, _value("latents", latent_size)) + _field(12, _value("images", "height", "width", "channels"))
    model = _field(1, IR_VERSION) + _field(2, "tinygan") + _field(7, graph) + _field(8, _field(2, OPSET))
    with atomic_write(path) as file:
        file.write(model)


def _translate(layer: nn.Module) -> Iterator[tuple[str, list[np.ndarray[Any, Any]], dict[str, Any]]]:
    """The ONNX operators of a layer, each with its constant operands and attributes."""
    if isinstance(layer, nn.ConvTranspose) and len(layer.kernel) == 2:
        w = layer.normalised_weight().numpy()  # (KH, KW, out, in), in ONNX (in, out, KH, KW), with channels first
        pads, extra = _spread(layer)
        attributes = {"strides": layer.stride, "pads": pads, "output_padding": extra}
        yield "Transpose", [], {"perm": (0, 3, 1, 2)}
        yield "ConvTranspose", [w.transpose(3, 2, 0, 1)], attributes
        yield "Transpose", [], {"perm": (0, 2, 3, 1)}
        yield from _bias(layer)
    elif isinstance(layer, nn.Dense):
        yield "MatMul", [layer.normalised_weight().numpy()], {}
        yield from _bias(layer)
    elif isinstance(layer, nn.BatchNorm):
        scale = layer.gamma.numpy() / np.sqrt(layer.running_variance.numpy() + np.float32(layer.eps))
        yield "Mul", [scale], {}
        yield "Add", [layer.beta.numpy() - layer.running_mean.numpy() * scale], {}
    elif isinstance(layer, nn.Reshape):
        yield "Reshape", [np.array([0, *layer.shape], np.int64)], {}  # 0: as in the input, N
    elif isinstance(layer, nn.LeakyReLU):
        yield "LeakyRelu", [], {"alpha": float(layer.slope)}
    elif type(layer) in SIMPLE:
        yield SIMPLE[type(layer)], [], {}
    elif not isinstance(layer, nn.Dropout):  # which does nothing in evaluation
        raise SettingError(f"ONNX: {layer.describe():.60} isn't translated; export the weights as .safetensors")


def _bias(layer: nn.Dense | nn.ConvTranspose) -> Iterator[tuple[str, list[np.ndarray[Any, Any]], dict[str, Any]]]:
    if layer.use_bias:
        yield "Add", [layer.bias.numpy()], {}


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
    return _field(1, name) + b"".join(_field(8, int(n)) for n in value) + _field(20, 7)


def _tensor(name: str, array: np.ndarray[Any, Any]) -> bytes:
    kind = INT64 if array.dtype == np.int64 else FLOAT
    plain = np.asarray(array, "<i8" if kind == INT64 else "<f4", order="C")
    return b"".join(_field(1, n) for n in array.shape) + _field(2, kind) + _field(8, name) + _field(9, plain.tobytes())


def _value(name: str, *sizes: int | str) -> bytes:
    """A float32 array (N, *sizes), sizes by number or by name."""
    dims = b"".join(_field(1, _field(1 if isinstance(n, int) else 2, n)) for n in ("N", *sizes))
    return _field(1, name) + _field(2, _field(1, _field(1, FLOAT) + _field(2, dims)))


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
