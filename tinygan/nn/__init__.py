"""Layers: features last, float32, errors that name the layer."""

from . import init
from .module import Buffer, Module, Parameter, Sequential, frozen
from .normalization import BatchNorm
from .simple import Dropout, Flatten, LeakyReLU, ReLU, Reshape, Sigmoid, Softplus, Tanh
from .weighted import Conv, ConvTranspose, Dense

__all__ = [
    "BatchNorm", "Buffer", "Conv", "ConvTranspose", "Dense", "Dropout", "Flatten", "LeakyReLU", "Module", "Parameter",
    "ReLU", "Reshape", "Sequential", "Sigmoid", "Softplus", "Tanh", "frozen", "init",
]  # fmt: skip
