"""Lesson 8: a convolution as a matrix product, and the adjoint that turns it round."""

from typing import Any

import numpy as np

from .exercise import WrongAnswer, exercise, expect, expect_close

Array = np.ndarray[Any, Any]

# (N, H, W, C), kernel, stride, padding: overlap, odd sizes, rows that no patch reaches, sides that differ.
CASES = (
    ((1, 5, 5, 1), (3, 3), 1, 0),
    ((2, 7, 5, 1), (3, 3), 2, 0),
    ((2, 6, 7, 3), (3, 2), 2, 1),
    ((2, 5, 8, 2), (2, 3), 3, 2),
)


def im2col(x: Array, kernel: tuple[int, int], stride: int = 1, padding: int = 0) -> Array:
    """The patches that a kernel sees: (N, H, W, C) -> (N, OH, OW, KH, KW, C)."""
    n, height, width, channels = x.shape
    kh, kw = kernel
    rows = (height + 2 * padding - kh) // stride + 1
    cols = (width + 2 * padding - kw) // stride + 1
    padded = np.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    columns = np.empty((n, rows, cols, kh, kw, channels), x.dtype)
    for a in range(kh):
        for b in range(kw):
            columns[:, :, :, a, b] = padded[:, a : a + rows * stride : stride, b : b + cols * stride : stride]
    return columns


def col2im(columns: Array, size: tuple[int, int], stride: int = 1, padding: int = 0) -> Array:
    """The adjoint of im2col: (N, OH, OW, KH, KW, C) -> (N, H, W, C) with (H, W) = size; overlapping patches add up."""
    n, rows, cols, kh, kw, channels = columns.shape
    height, width = size
    padded = np.zeros((n, height + 2 * padding, width + 2 * padding, channels), columns.dtype)
    for a in range(kh):
        for b in range(kw):
            padded[:, a : a + rows * stride : stride, b : b + cols * stride : stride] += columns[:, :, :, a, b]
    return padded[:, padding : padding + height, padding : padding + width]


def conv_transpose(x: Array, w: Array, stride: int = 1, padding: int = 0) -> Array:
    """Stamp w once for each value of x: (N, H, W, C), (KH, KW, O, C) -> (N, OH, OW, O)."""
    n, height, width, channels = x.shape
    kh, kw, out, _ = w.shape
    columns = x.reshape(-1, channels) @ w.reshape(-1, channels).T
    size = (height - 1) * stride + kh - 2 * padding, (width - 1) * stride + kw - 2 * padding
    return col2im(columns.reshape(n, height, width, kh, kw, out), size, stride, padding)


@exercise("L08-ex1", im2col)
def _check_im2col(answer: Any, rng: np.random.Generator) -> None:
    for shape, kernel, stride, padding in CASES:
        x = rng.standard_normal(shape).astype(np.float32)
        before = x.copy()
        found = answer(x, kernel, stride, padding)
        wanted = im2col(x, kernel, stride, padding)
        call = f"im2col(x {shape}, kernel={kernel}, stride={stride}, padding={padding})"
        expect(np.array_equal(x, before), f"{call} changed x; work on a copy")
        found = _array(call, found)
        _expect_patches_shape(call, found, wanted, x, im2col(x, kernel, stride), padding)
        _blame(call, found, wanted, _mistakes_of_im2col(x, kernel, padding, wanted))
        expect_close(found, wanted, f"{call}: the cell")
        expect(found.dtype == x.dtype, f"{call} has dtype {found.dtype}, x has {x.dtype}: float32 in, float32 out")


def _expect_patches_shape(call: str, found: Array, wanted: Array, x: Array, unpadded: Array, padding: int) -> None:
    if padding and found.size == unpadded.size:
        raise WrongAnswer(
            f"{call} has shape {found.shape}, which is right without padding. Pad x with zeros first: a border "
            f"{padding} wide on every side"
        )
    by_place = wanted.transpose(0, 3, 4, 1, 2, 5)
    if found.shape == by_place.shape != wanted.shape:
        raise WrongAnswer(
            f"{call} has its axes in the order (N, KH, KW, OH, OW, C): {found.shape}. Transposed? The position of "
            f"the patch comes first, then the place in it: (N, OH, OW, KH, KW, C) = {wanted.shape}"
        )
    hint = "OH = (H + 2·padding − KH) // stride + 1"
    if found.ndim != 6:
        hint = "keep the six axes; the matrix is made of them later, by reshape"
    elif sorted(found.shape) == sorted(wanted.shape):
        hint = "the right sizes in another order"
    elif padding and found.shape[-1] == x.shape[-1] + 2 * padding:
        hint = "the channels were padded too; only H and W get a border"
    expect(
        found.shape == wanted.shape,
        f"{call} has shape {found.shape}, expected (N, OH, OW, KH, KW, C) = {wanted.shape}: {hint}",
    )


def _mistakes_of_im2col(x: Array, kernel: tuple[int, int], padding: int, wanted: Array) -> dict[str, Any]:
    """What to say of the patches -> those that this mistake gives."""
    rows, cols = wanted.shape[1:3]
    return {
        "the stride is ignored: patch (i, j) begins at row i·stride and column j·stride of the padded image": (
            im2col(x, kernel, 1, padding)[:, :rows, :cols]
        ),
        "rows and columns within the patch are swapped: place (a, b) is a down and b across": wanted.swapaxes(3, 4),
        "rows and columns of the patches are swapped: patch (i, j) is i down and j across": wanted.swapaxes(1, 2),
        "the kernel is turned round: place (a, b) is a down and b across from the patch's top left": (
            wanted[:, :, :, ::-1, ::-1]
        ),
    }


@exercise("L08-ex2", col2im)
def _check_col2im(answer: Any, rng: np.random.Generator) -> None:
    for shape, kernel, stride, padding in CASES:
        x = rng.standard_normal(shape)
        columns = im2col(x, kernel, stride, padding)
        y = np.asarray(rng.standard_normal(columns.shape))
        before = y.copy()
        size = shape[1:3]
        call = f"col2im(y {y.shape}, size={size}, stride={stride}, padding={padding})"
        found = _array(call, answer(y, size, stride, padding))
        expect(np.array_equal(y, before), f"{call} changed its columns; write into a new array")
        _expect_image_shape(call, found, shape, col2im(y, _padded(size, padding), stride), padding)
        wanted = col2im(y, size, stride, padding)
        _blame(call, found, wanted, _mistakes_of_col2im(y, size, stride, padding, wanted))
        left, right = float((columns * y).sum()), float((x * found).sum())
        expect(
            abs(left - right) <= 1e-9 * np.abs(columns * y).sum(),
            f"{call} is not the adjoint of im2col: ⟨im2col(x), y⟩ = {left:.6g}, but ⟨x, col2im(y)⟩ = {right:.6g}. Each "
            "cell of y goes back to the pixel that im2col took it from, and is added there",
        )
        expect_close(found, wanted, f"{call}: the pixel")
        dtype = answer(y.astype(np.float32), size, stride, padding).dtype
        expect(
            dtype == np.float32,
            f"{call} makes {dtype} of float32 columns: np.zeros needs the dtype, np.zeros(shape, columns.dtype)",
        )


def _padded(size: tuple[int, int], padding: int) -> tuple[int, int]:
    return size[0] + 2 * padding, size[1] + 2 * padding


def _expect_image_shape(call: str, found: Array, shape: tuple[int, ...], whole: Array, padding: int) -> None:
    expect(
        not padding or found.shape != whole.shape,
        f"{call} has shape {found.shape}: the padding is not removed. Cut a border {padding} wide off every side",
    )
    hint = "Cut the padding off every side, of rows and columns alike"
    if not found.size:
        hint = "A slice [p : -p] is empty where p = 0; [p : p + H] isn't"
    elif found.shape[1] < shape[1] or found.shape[2] < shape[2]:
        hint = "Pixels that no patch reaches get 0, but they are there"
    expect(found.shape == shape, f"{call} has shape {found.shape}, expected (N, H, W, C) = {shape}. {hint}")


def _mistakes_of_col2im(y: Array, size: tuple[int, int], stride: int, padding: int, wanted: Array) -> dict[str, Any]:
    """What to say of the image -> the one that this mistake gives."""
    (height, width), padded = size, _padded(size, padding)
    n, rows, cols, kh, kw, channels = y.shape
    whole = col2im(y, padded, stride)
    unit_stride = np.zeros((n, *padded, channels))
    part = col2im(y, (rows + kh - 1, cols + kw - 1))
    unit_stride[:, : part.shape[1], : part.shape[2]] = part[:, : padded[0], : padded[1]]
    counts = np.maximum(col2im(np.ones_like(y), size, stride, padding), 1)
    return {
        "a pixel keeps only the last of its patches: use += where now is =": _last_one_wins(y, size, stride, padding),
        "sums are divided by the number of patches. The adjoint adds up; it is no average": wanted / counts,
        "the crop is wrong: it keeps the top left of the padded image, not its middle, which begins at "
        "row and column `padding`": whole[:, :height, :width],
        "the crop is wrong: it keeps the bottom right of the padded image, not its middle, which begins at "
        "row and column `padding`": whole[:, -height:, -width:],
        "the stride is ignored: patch (i, j) begins at row i·stride and column j·stride": (
            unit_stride[:, padding : padding + height, padding : padding + width]
        ),
        "rows and columns within the patch are swapped": (
            col2im(y.swapaxes(3, 4), size, stride, padding) if kh == kw else None
        ),
    }


@exercise("L08-ex3", conv_transpose)
def _check_conv_transpose(answer: Any, rng: np.random.Generator) -> None:
    for (n, height, width, channels), (kh, kw), stride, padding in CASES:
        x, w = rng.standard_normal((n, height, width, channels)), rng.standard_normal((kh, kw, channels + 1, channels))
        wanted = conv_transpose(x, w, stride, padding)
        call = f"conv_transpose(x {x.shape}, w {w.shape}, stride={stride}, padding={padding})"
        rule = "OH = (H − 1)·stride + KH − 2·padding, and O is axis 2 of w"
        try:
            found = _array(call, answer(x, w, stride, padding))
        except ValueError as error:
            raise WrongAnswer(f"{call} stopped with ValueError: {error}. Is the size right? {rule}") from error
        whole = conv_transpose(x, w, stride)
        expect(
            not padding or found.shape != whole.shape,
            f"{call} has shape {found.shape}: the padding is not removed. The output loses a border {padding} wide on "
            f"every side: {rule}",
        )
        expect(
            found.shape == wanted.shape,
            f"{call} has shape {found.shape}, expected (N, OH, OW, O) = {wanted.shape}: {rule}",
        )
        mixed = w.reshape(kh, kw, channels, channels + 1).swapaxes(2, 3)
        recut = w.reshape(channels, -1).T.reshape(w.shape)
        _blame(
            call,
            found,
            wanted,
            {
                "reshape doesn't transpose: w.reshape(C, …) cuts the same row of numbers anew. Lay w out as "
                "(KH·KW·O, C), and only then take .T": conv_transpose(x, recut, stride, padding),
                "the kernel is turned round: w[a, b] lands a rows down and b columns across from the stamp's top "
                "left": conv_transpose(x, w[::-1, ::-1], stride, padding),
                "the channels of w are mixed up: reshape doesn't transpose. w has the axes (KH, KW, O, C); lay it "
                "out as (KH·KW·O, C), and only then take .T": conv_transpose(x, mixed, stride, padding),
            },
        )
        y = np.asarray(rng.standard_normal(wanted.shape))
        back = im2col(y, (kh, kw), stride, padding).reshape(-1, kh * kw * (channels + 1)) @ w.reshape(-1, channels)
        left, right = float((back.reshape(x.shape) * x).sum()), float((y * found).sum())
        expect(
            abs(left - right) <= 1e-9 * np.abs(back.reshape(x.shape) * x).sum(),
            f"{call} is not the adjoint of conv: ⟨conv(y, w), x⟩ = {left:.6g}, but ⟨y, conv_transpose(x, w)⟩ = "
            f"{right:.6g}. First the matrix product with w, then col2im",
        )
        expect_close(found, wanted, f"{call}: the pixel")


def _array(call: str, found: Any) -> Array:
    expect(isinstance(found, np.ndarray), f"{call} is {type(found).__name__}, expected a NumPy array")
    return np.asarray(found)


def _blame(call: str, found: Array, wanted: Array, mistakes: dict[str, Array | None]) -> None:
    """Raise WrongAnswer where `found` is what a known mistake gives, and not what is wanted."""
    if np.allclose(found, wanted, 1e-5, 1e-7):
        return
    for sentence, result in mistakes.items():
        if result is not None and result.shape == found.shape and np.allclose(found, result, 1e-5, 1e-7):
            raise WrongAnswer(f"{call}: {sentence}")


def _last_one_wins(columns: Array, size: tuple[int, int], stride: int, padding: int) -> Array:
    """col2im with `=` in place of `+=`."""
    n, rows, cols, kh, kw, channels = columns.shape
    x = np.zeros((n, size[0] + 2 * padding, size[1] + 2 * padding, channels))
    for a in range(kh):
        for b in range(kw):
            x[:, a : a + rows * stride : stride, b : b + cols * stride : stride] = columns[:, :, :, a, b]
    return x[:, padding : padding + size[0], padding : padding + size[1]]
