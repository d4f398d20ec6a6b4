"""Data: MNIST, Fashion-MNIST, drawn digits, or one's own images, all as float32 (N, H, W, C) in [−1, 1]."""

from .dataset import Dataset
from .loading import load, load_default

__all__ = ["Dataset", "load", "load_default"]
