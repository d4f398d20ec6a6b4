"""Sizes and paddings of convolutions: plain numbers, no arrays."""

Pair = tuple[int, int]
Padding = tuple[Pair, Pair]  # ((top, bottom), (left, right))


def conv_output_size(size: int, kernel: int, stride: int, padding: Pair) -> int:
    """⌊(size + padding − kernel) / stride⌋ + 1."""
    return (size + sum(padding) - kernel) // stride + 1


def conv_transpose_output_size(size: int, kernel: int, stride: int, padding: Pair, output_padding: int) -> int:
    """(size − 1)·stride + kernel − padding + output_padding: of the sizes that conv takes to `size`, one."""
    return (size - 1) * stride + kernel - sum(padding) + output_padding
