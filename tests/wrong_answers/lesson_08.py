"""Wrong answers to the exercises of lesson 8: (source, a phrase of the message that it must get)."""

IM2COL = """
def im2col(x, kernel, stride=1, padding=0):
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
"""
COL2IM = """
def col2im(columns, size, stride=1, padding=0):
    n, rows, cols, kh, kw, channels = columns.shape
    height, width = size
    padded = np.zeros((n, height + 2 * padding, width + 2 * padding, channels), columns.dtype)
    for a in range(kh):
        for b in range(kw):
            padded[:, a : a + rows * stride : stride, b : b + cols * stride : stride] += columns[:, :, :, a, b]
    return padded[:, padding : padding + height, padding : padding + width]
"""
CONV_TRANSPOSE = """
def conv_transpose(x, w, stride=1, padding=0):
    n, height, width, channels = x.shape
    kh, kw, out, _ = w.shape
    columns = x.reshape(-1, channels) @ w.reshape(-1, channels).T
    columns = columns.reshape(n, height, width, kh, kw, out)
    size = (height - 1) * stride + kh - 2 * padding, (width - 1) * stride + kw - 2 * padding
    return col2im(columns, size, stride, padding)
"""
LAST_LINE = "    return padded[:, padding : padding + height, padding : padding + width]"


def changed(source, *changes):
    for old, new in changes:
        assert old in source, old
        source = source.replace(old, new)
    return source


WRONG = {
    "L08-ex1": {
        "no padding": (
            changed(
                IM2COL,
                ("padded = np.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))", "padded = x"),
                ("height + 2 * padding - kh", "height - kh"),
                ("width + 2 * padding - kw", "width - kw"),
            ),
            "Pad x",
        ),
        "stride ignored in the slices": (
            changed(
                IM2COL,
                ("a : a + rows * stride : stride", "a : a + rows"),
                ("b : b + cols * stride : stride", "b : b + cols"),
            ),
            "stride is ignored",
        ),
        "axes transposed": (
            changed(IM2COL, ("return columns", "return columns.transpose(0, 3, 4, 1, 2, 5)")),
            "order (N, KH, KW, OH, OW, C)",
        ),
        "one row too few": (
            changed(IM2COL, ("- kh) // stride + 1", "- kh) // stride")),
            "+ 1",
        ),
        "kernel's sides swapped": (
            changed(IM2COL, ("kh, kw = kernel", "kw, kh = kernel")),
            "expected (N, OH, OW, KH, KW, C)",
        ),
        "kernel turned round": (
            changed(IM2COL, ("[:, :, :, a, b]", "[:, :, :, kh - 1 - a, kw - 1 - b]")),
            "turned round",
        ),
    },
    "L08-ex2": {
        "= for +=": (changed(COL2IM, ("+= columns", "= columns")), "use +="),
        "crop at the top left": (
            changed(COL2IM, (LAST_LINE, "    return padded[:, :height, :width]")),
            "crop is wrong: it keeps the top left",
        ),
        "padding not removed": (changed(COL2IM, (LAST_LINE, "    return padded")), "padding is not removed"),
        "size from the columns": (
            changed(
                COL2IM,
                (
                    "height, width = size",
                    "height, width = (rows - 1) * stride + kh - 2 * padding, (cols - 1) * stride + kw - 2 * padding",
                ),
            ),
            "no patch reaches",
        ),
        "stride ignored": (
            changed(
                COL2IM,
                ("a : a + rows * stride : stride", "a : a + rows"),
                ("b : b + cols * stride : stride", "b : b + cols"),
            ),
            "stride is ignored",
        ),
        "average of the patches": (
            changed(
                COL2IM,
                (
                    LAST_LINE,
                    "    counts = np.zeros_like(padded)\n    for a in range(kh):\n"
                    "        for b in range(kw):\n            counts[:, a : a + rows * stride : stride, "
                    "b : b + cols * stride : stride] += 1\n    padded /= np.maximum(counts, 1)\n" + LAST_LINE,
                ),
            ),
            "no average",
        ),
    },
    "L08-ex3": {
        "kernel turned round": (
            changed(CONV_TRANSPOSE, ("columns = x", "w = w[::-1, ::-1]\n    columns = x")),
            "turned round",
        ),
        "reshape for transpose": (
            changed(CONV_TRANSPOSE, ("@ w.reshape(-1, channels).T", "@ w.transpose(0, 1, 3, 2).reshape(channels, -1)")),
            "not the adjoint",
        ),
        "channels mixed up": (
            changed(
                CONV_TRANSPOSE,
                (
                    "w.reshape(-1, channels).T",
                    "w.reshape(kh, kw, channels, out).transpose(2, 0, 1, 3).reshape(channels, -1)",
                ),
            ),
            "mixed up",
        ),
        "no padding": (
            changed(CONV_TRANSPOSE, (" - 2 * padding", ""), ("size, stride, padding)", "size, stride)")),
            "padding is not removed",
        ),
        "size as of a convolution": (
            changed(
                CONV_TRANSPOSE,
                ("(height - 1) * stride + kh", "height * stride"),
                ("(width - 1) * stride + kw", "width * stride"),
            ),
            "OH = (H − 1)·stride + KH",
        ),
        "stride left out of col2im": (
            changed(CONV_TRANSPOSE, ("col2im(columns, size, stride, padding)", "col2im(columns, size, 1, padding)")),
            "not the adjoint",
        ),
    },
}
