"""Data: MNIST, Fashion-MNIST, drawn digits, or one's own images, all as float32 (N, H, W, C) in [−1, 1]."""

from .clusters import cluster
from .dataset import Dataset
from .loading import NAMES, load, load_default

__all__ = ["NAMES", "Dataset", "cluster", "load", "load_default"]
