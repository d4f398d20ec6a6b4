"""Calculus: what each operation is, and its derivative. Fast arithmetic lies below, in `kernels/`.

Each Op's docstring gives the formula forward, the formula backward, and the shapes.
"""

from ..autograd import OPERATORS
from .activations import (
    LeakyReLU,
    LeakyReLUGradient,
    Sigmoid,
    Softplus,
    Tanh,
    dropout,
    leaky_relu,
    relu,
    sigmoid,
    softplus,
    tanh,
)
from .arithmetic import (
    Abs,
    Add,
    Div,
    Exp,
    Log,
    Maximum,
    Minimum,
    Mul,
    Neg,
    Power,
    Sqrt,
    Sub,
    Where,
    add,
    clip,
    div,
    exp,
    log,
    maximum,
    minimum,
    mul,
    neg,
    power,
    sqrt,
    sub,
    where,
)
from .arithmetic import abs_ as abs
from .convolution import Conv, ConvFilterGradient, ConvInputGradient, conv, conv_transpose
from .normalization import BatchNorm, ScaleAndShift, SpectralNorm, batch_norm, scale_and_shift, spectral_norm
from .products import Matmul, matmul
from .reductions import LogSumExp, Max, Min, Sum, log_softmax, logsumexp, max, mean, min, softmax, sum
from .shapes import (
    BroadcastTo,
    Concatenate,
    GetItem,
    Pad,
    Reshape,
    Scatter,
    Transpose,
    broadcast_to,
    concatenate,
    getitem,
    pad,
    reshape,
    stack,
    take,
    transpose,
)

OPERATORS.update(
    add=add, sub=sub, mul=mul, div=div, power=power, matmul=matmul, neg=neg, abs=abs,
    getitem=getitem, reshape=reshape, transpose=transpose, sum=sum, mean=mean, max=max, min=min,
)  # fmt: skip

__all__ = [
    "Abs", "Add", "BatchNorm", "BroadcastTo", "Concatenate", "Conv", "ConvFilterGradient", "ConvInputGradient",
    "Div", "Exp", "GetItem", "LeakyReLU", "LeakyReLUGradient", "Log", "LogSumExp", "Matmul", "Max", "Maximum",
    "Min", "Minimum", "Mul", "Neg", "Pad", "Power", "Reshape", "ScaleAndShift", "Scatter", "Sigmoid", "Softplus",
    "SpectralNorm", "Sqrt", "Sub", "Sum", "Tanh", "Transpose", "Where",
    "abs", "add", "batch_norm", "broadcast_to", "clip", "concatenate", "conv", "conv_transpose", "div", "dropout",
    "exp", "getitem", "leaky_relu", "log", "log_softmax", "logsumexp", "matmul", "max", "maximum", "mean", "min",
    "minimum", "mul", "neg", "pad", "power", "relu", "reshape", "scale_and_shift", "sigmoid", "softmax", "softplus",
    "spectral_norm", "sqrt", "stack", "sub", "sum", "take", "tanh", "transpose", "where",
]  # fmt: skip
