"""Pictures: the right pixels, files that others can open, and nothing global touched."""

import errno
import math
import os
import subprocess
import sys

import numpy as np
import pytest

from tinygan import plotting
from tinygan.errors import DataError, DTypeError, FileError, NonFiniteError, SettingError, ShapeError

Image = pytest.importorskip("PIL.Image")
RNG = np.random.default_rng(0)


def images(n, height=28, width=28, channels=1):
    return RNG.uniform(-1, 1, (n, height, width, channels)).astype(np.float32)


def made_up_log(n=200, value=True):
    log = [{"step": 10 * i, "d_loss": 1 + 0.1 * (-1) ** i, "g_loss": 2 - i / n} for i in range(n)]
    return [{**entry, "value": -1.2} for entry in log] if value else log


def lines(axes, width):
    return [line for line in axes.get_lines() if line.get_linewidth() == width]


def test_import_loads_numpy_alone():
    code = "import sys, tinygan.plotting as p; print([m for m in ('matplotlib', 'PIL') if m in sys.modules])"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_matplotlib_stays_as_it_was():
    code = (
        "import sys, matplotlib; before = matplotlib.rcParams.copy()\n"
        "from tinygan.plotting import loss_curves; loss_curves([dict(step=1, d_loss=1.0, g_loss=1.0, value=-1.0)])\n"
        "assert matplotlib.rcParams.copy() == before; print('matplotlib.pyplot' in sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_byte_survives(dtype):
    """Bytes scaled to [−1, 1] and back are the same bytes: that needs rounding, not truncation."""
    whole = np.arange(256, dtype=np.uint8)
    back = plotting.to_uint8((whole / 127.5 - 1).astype(dtype))
    assert back.dtype == np.uint8
    np.testing.assert_array_equal(back, whole)


def test_to_uint8_rounds_and_clips():
    x = np.array([-np.inf, -1e30, -1.01, -1, -0.999, -0.99, 0.99, 1, 1.01, 1e30, np.inf])
    np.testing.assert_array_equal(plotting.to_uint8(x), [0, 0, 0, 0, 0, 1, 254, 255, 255, 255, 255])


def test_to_uint8_refuses_nan_and_integers():
    with pytest.raises(NonFiniteError, match=r"2 of 3 values are NaN.*diverged"):
        plotting.to_uint8(np.array([0, np.nan, np.nan]))
    with pytest.raises(DTypeError, match=r"uint8, expected floats in \[−1, 1\]"):
        plotting.to_uint8(np.zeros(3, np.uint8))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("gap", [0, 1, 2, 3])
def test_every_image_lies_in_its_cell(channels, gap):
    x = images(7, 5, 4, channels)
    grid = plotting.sample_grid(x, columns=3, gap=gap)
    assert grid.dtype == np.uint8
    assert grid.shape == (3 * (5 + gap) + gap, 3 * (4 + gap) + gap, 3)[: 2 if channels == 1 else 3]
    rest = grid.copy()
    for i in range(7):
        rows = slice(gap + i // 3 * (5 + gap), gap + i // 3 * (5 + gap) + 5)
        columns = slice(gap + i % 3 * (4 + gap), gap + i % 3 * (4 + gap) + 4)
        expected = plotting.to_uint8(x[i])
        np.testing.assert_array_equal(grid[rows, columns], expected[..., 0] if channels == 1 else expected)
        rest[rows, columns] = plotting.images.GAP
    assert (rest == plotting.images.GAP).all()  # gaps, borders and the two empty cells


@pytest.mark.parametrize("n, rows, columns", [(1, 1, 1), (2, 1, 2), (5, 2, 3), (9, 3, 3), (10, 3, 4), (64, 8, 8)])
def test_near_square_unless_told(n, rows, columns):
    assert plotting.sample_grid(images(n, 4, 4), gap=0).shape == (4 * rows, 4 * columns)
    assert plotting.sample_grid(images(n, 4, 4), columns=1, gap=0).shape == (4 * n, 4)


def test_sample_grid_refuses():
    for shape in [(4, 28, 28), (28, 28, 1), (4, 28, 28, 2), (0, 28, 28, 1)]:
        with pytest.raises(ShapeError) as caught:
            plotting.sample_grid(np.zeros(shape))
        assert f"{shape}, expected (N, H, W, C)" in str(caught.value)
    with pytest.raises(SettingError, match="columns = 0"):
        plotting.sample_grid(images(4), columns=0)
    with pytest.raises(SettingError, match="gap = -1"):
        plotting.sample_grid(images(4), gap=-1)


@pytest.mark.parametrize("n, channels", [(1, 1), (3, 3), (10, 1), (64, 1), (1000, 1)])
def test_save_grid_is_wide_and_sharp(tmp_path, n, channels):
    path, x = tmp_path / "grid.png", images(n, channels=channels)
    plotting.save_grid(x, path)
    grid = plotting.sample_grid(x)
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        assert 600 <= picture.width < 600 + grid.shape[1]
        scale = picture.width // grid.shape[1]
        pixels = np.asarray(picture)
        assert picture.info["Description"] == f"A grid of {n} images, each 28×28 pixels."
    np.testing.assert_array_equal(pixels, np.kron(grid, np.ones((scale, scale) + (1,) * (grid.ndim - 2), np.uint8)))


def test_save_grid_as_told(tmp_path):
    path = tmp_path / "grid.PNG"
    plotting.save_grid(images(6), path, columns=2, scale=3, description="Zahlen, 数字")
    with Image.open(path) as picture:
        assert picture.size == (3 * 62, 3 * 92)
        assert picture.info["Description"] == "Zahlen, 数字"
    with pytest.raises(SettingError, match="scale = 0"):
        plotting.save_grid(images(6), path, scale=0)
    with pytest.raises(SettingError, match=r"grid\.jpg: what is written is a \.png file"):
        plotting.save_grid(images(6), tmp_path / "grid.jpg")


def test_film_frames_times_and_loop(tmp_path):
    path = tmp_path / "film.gif"
    grids = [plotting.sample_grid(images(4)) for _ in range(12)]
    plotting.save_film(grids, path, seconds=1.2, scale=2, description="From noise to digits: σ")
    with Image.open(path) as film:
        assert (film.format, film.n_frames, film.size) == ("GIF", 12, (124, 124))
        assert film.info["loop"] == 0  # endless
        assert film.info["comment"].decode() == "From noise to digits: σ"
        durations = []
        for i, grid in enumerate(grids):
            film.seek(i)
            durations.append(film.info["duration"])
            pixels = np.asarray(film.convert("L"), np.int16)[::2, ::2]
            assert np.abs(pixels - grid).max() <= 9  # 16 greys
    assert durations == [100] * 11 + [2100]


def test_film_is_grey_small_and_not_too_fast(tmp_path):
    path = tmp_path / "film.gif"
    grids = [plotting.sample_grid(images(64)) for _ in range(10)]
    plotting.save_film(grids, path, seconds=0.01)
    assert path.stat().st_size < 0.7 * sum(grid.nbytes for grid in grids)  # white noise, the worst case
    with Image.open(path) as film:
        assert film.info["duration"] == 20
        red, green, blue = np.asarray(film.convert("RGB")).transpose(2, 0, 1)
    assert (red == green).all()
    assert (red == blue).all()
    assert len(np.unique(red)) <= 16


def test_film_in_colour_and_of_one_frame(tmp_path):
    path = tmp_path / "film.gif"
    grid = np.zeros((8, 8, 3), np.uint8)
    grid[:4], grid[4:] = (255, 0, 0), (0, 0, 255)
    plotting.save_film([grid], path)
    with Image.open(path) as film:
        np.testing.assert_array_equal(np.asarray(film.convert("RGB")), grid)


def test_film_refuses(tmp_path):
    grid, path = np.zeros((8, 8), np.uint8), tmp_path / "film.gif"
    with pytest.raises(DataError, match="no grids"):
        plotting.save_film([], path)
    with pytest.raises(DTypeError, match="float64, expected uint8"):
        plotting.save_film([grid, np.zeros((8, 8))], path)
    with pytest.raises(ShapeError, match=r"\(8, 8\), \(8, 9\)"):
        plotting.save_film([grid, np.zeros((8, 9), np.uint8)], path)
    for shape in [(8,), (8, 8, 1), (8, 8, 4), (2, 8, 8, 3)]:
        with pytest.raises(ShapeError, match="expected a single one"):
            plotting.save_film([np.zeros(shape, np.uint8)], path)
    for seconds in [0, -1, math.nan, math.inf]:
        with pytest.raises(SettingError, match="seconds"):
            plotting.save_film([grid], path, seconds=seconds)
    with pytest.raises(SettingError, match="scale"):
        plotting.save_film([grid], path, scale=0)
    with pytest.raises(SettingError, match=r"\.gif file"):
        plotting.save_film([grid], tmp_path / "film.png")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name, draw",
    [
        ("grid.png", lambda path: plotting.save_grid(images(4), path)),
        ("film.gif", lambda path: plotting.save_film([np.zeros((8, 8), np.uint8)], path)),
        ("curves.png", lambda path: plotting.loss_curves(made_up_log(), path)),
    ],
)
def test_a_full_disk_keeps_the_old_picture(tmp_path, monkeypatch, name, draw):
    def no_space(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = tmp_path / name
    path.write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(FileError, match="No space left"):
        draw(path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_curves_show_raw_values_and_their_average():
    losses, value = plotting.loss_curves(made_up_log()).axes
    assert losses.get_ylabel() == "loss"
    assert value.get_ylabel() == "V(D, G)"
    assert value.get_xlabel() == "step"
    raw, smooth = lines(losses, 0.7), lines(losses, 2)
    assert len(raw) == len(smooth) == 2
    np.testing.assert_allclose(raw[0].get_xydata()[:2], [[0, 1.1], [10, 0.9]])
    np.testing.assert_allclose(smooth[0].get_ydata()[2:-2], 1)  # a window of four: the ±0.1 is gone
    np.testing.assert_allclose(smooth[1].get_ydata()[100], 2 - 99.5 / 200)  # centred on 98 … 101
    assert raw[0].get_alpha() < 0.5
    assert smooth[0].get_alpha() is None


def test_smoothing_keeps_constants_to_the_ends():
    for n in [1, 2, 49, 50, 99, 100, 101, 5000]:
        np.testing.assert_allclose(plotting.curves._smooth(np.full(n, 3.0)), np.full(n, 3.0))


def test_curves_can_be_told_apart_without_colour():
    losses, value = plotting.loss_curves(made_up_log()).axes
    d_line, g_line = lines(losses, 2)
    assert d_line.get_linestyle() == "-"
    assert g_line.get_linestyle() == "--"
    labels = {text.get_text(): text for text in losses.texts}
    assert set(labels) == {"D (solid)", "G (dashed)"}
    assert labels["G (dashed)"].xy == tuple(g_line.get_xydata()[-1])
    assert labels["D (solid)"].xy == tuple(d_line.get_xydata()[-1])
    assert [text.get_text() for text in value.texts] == ["equilibrium: −log 4 ≈ −1.386", "V(D, G)"]


@pytest.mark.parametrize("gap", [1e-9, -1e-9, 1e-3, -1e-3, 1, -1])
def test_labels_never_overlap(gap):
    """However close the curves end, the higher curve's label is the higher one."""
    figure = plotting.loss_curves([{"step": i, "d_loss": 1.0, "g_loss": 1.0 + gap} for i in range(5)])
    figure.canvas.draw()
    d_box, g_box = (text.get_window_extent() for text in figure.axes[0].texts)
    lower, upper = (d_box, g_box) if gap > 0 else (g_box, d_box)
    assert lower.y1 <= upper.y0 + 1
    assert max(d_box.x1, g_box.x1) <= figure.bbox.x1


@pytest.mark.parametrize("end", [-0.3, -1.3, -1.386, -1.5, -9])
def test_the_equilibrium_is_drawn_dashed_and_in_sight(end):
    log = [{**entry, "value": end} for entry in made_up_log()]
    figure = plotting.loss_curves(log)
    figure.canvas.draw()
    axes = figure.axes[1]
    (line,) = (line for line in axes.get_lines() if line.get_linestyle() == "--")
    assert set(line.get_ydata()) == {-math.log(4)}
    label, name = (text.get_window_extent() for text in axes.texts)
    assert axes.bbox.y0 <= label.y0 < label.y1 <= axes.bbox.y1
    assert not label.overlaps(name)


def test_one_panel_where_the_log_has_no_value():
    assert len(plotting.loss_curves(made_up_log(value=False)).axes) == 1
    partly = [*made_up_log(value=False), {"step": 3000, "d_loss": 1.0, "g_loss": 1.0, "value": -1.25}]
    value = plotting.loss_curves(partly).axes[1]
    np.testing.assert_array_equal(lines(value, 2)[0].get_xydata(), [[3000, -1.25]])


def test_the_accuracy_of_d_beside_a_coin():
    log = [{**line, "d_accuracy": 0.9} for line in made_up_log(value=False)]
    _, accuracy = plotting.loss_curves(log).axes
    assert accuracy.get_ylabel() == "D's accuracy"
    assert [text.get_text() for text in accuracy.texts] == ["equilibrium: ½, a coin", "D's accuracy"]
    (dashed,) = [line for line in accuracy.lines if line.get_linestyle() == "--"]
    assert list(dashed.get_ydata()) == [0.5, 0.5]
    assert accuracy.get_ylim()[0] < 0.5 < 0.9 < accuracy.get_ylim()[1]


def test_all_letters_are_legible():
    figure = plotting.loss_curves(made_up_log(), title="A title")
    figure.canvas.draw()
    texts = [figure._suptitle]
    for axes in figure.axes:
        texts += [axes.xaxis.label, axes.yaxis.label, *axes.texts, *axes.get_xticklabels(), *axes.get_yticklabels()]
    assert min(text.get_fontsize() for text in texts) >= 10
    assert texts[0].get_text() == "A title"


def test_one_spike_does_not_flatten_the_rest():
    log = made_up_log(1000)
    log[500]["g_loss"] = 1e6
    low, high = plotting.loss_curves(log).axes[0].get_ylim()
    assert low < 0.9
    assert 2 < high < 4


def test_what_is_not_finite_is_left_out():
    log = made_up_log()
    log[3]["d_loss"], log[5]["d_loss"], log[7]["g_loss"] = math.nan, math.inf, -math.inf
    raw = lines(plotting.loss_curves(log).axes[0], 0.7)
    assert [len(line.get_xdata()) for line in raw] == [198, 199]
    assert 30 not in raw[0].get_xdata()


def test_nothing_to_draw():
    with pytest.raises(DataError, match="no finite 'd_loss' in a log of 0 entries"):
        plotting.loss_curves([])
    with pytest.raises(DataError, match="no finite 'g_loss' in a log of 1 entries"):
        plotting.loss_curves([{"step": 1, "d_loss": 1.0, "g_loss": math.nan}])


def test_curves_are_saved_with_their_description(tmp_path):
    path = tmp_path / "curves.png"
    figure = plotting.loss_curves(made_up_log(), path, title="Minimax, σ = 1")
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        assert picture.width >= 900
        text = picture.info["Description"]
    assert text.startswith("Minimax, σ = 1, over training steps.")
    assert "V(D, G) −1.2 (equilibrium −1.386)" in text
    assert type(figure).__name__ == "Figure"
    with pytest.raises(SettingError, match=r"\.png file"):
        plotting.loss_curves(made_up_log(), tmp_path / "curves.pdf")
