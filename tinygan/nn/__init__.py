"""Layers: features last, float32, errors that name the layer."""

from . import init
from .batches import MinibatchStdDev, Pack
from .conditional import ConditionalBatchNorm, Embedding, JoinLabels, Projection
from .latents import OneOf
from .module import Buffer, Module, Parameter, Sequential, frozen
from .normalization import BatchNorm, LayerNorm
from .simple import Dropout, Flatten, LeakyReLU, ReLU, Reshape, Sigmoid, Softplus, Tanh
from .weighted import Conv, ConvTranspose, Dense

__all__ = [
    "BatchNorm", "Buffer", "ConditionalBatchNorm", "Conv", "ConvTranspose", "Dense", "Dropout", "Embedding", "Flatten",
    "JoinLabels", "LayerNorm", "LeakyReLU", "MinibatchStdDev", "Module", "OneOf", "Pack", "Parameter", "Projection",
    "ReLU", "Reshape", "Sequential", "Sigmoid", "Softplus", "Tanh", "frozen", "init",
]  # fmt: skip
