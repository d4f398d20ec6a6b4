"""What a notebook's cell shows: pictures with alternative text, with nothing drawn twice or left on the disk."""

import base64
import io
import tempfile

import numpy as np
import pytest

from tinygan import plotting

Image = pytest.importorskip("PIL.Image")
display = pytest.importorskip("IPython.display")
RNG = np.random.default_rng(0)


@pytest.fixture
def shown(monkeypatch):
    """What was displayed: (mime type, bytes, alt text) each."""
    pictures = []

    def keep(picture):
        data, metadata = picture._repr_mimebundle_()
        ((kind, encoded),) = data.items()
        pictures.append((kind, base64.b64decode(encoded), metadata[kind]["alt"]))

    monkeypatch.setattr("IPython.display.display", keep)
    return pictures


def test_a_figure(shown):
    figure = plotting.new_figure(5, 2)
    figure.subplots().plot([1, 2])
    plotting.show(figure, "a rising line")
    ((kind, data, alt),) = shown
    assert (kind, alt) == ("image/png", "a rising line")
    with Image.open(io.BytesIO(data)) as picture:
        assert picture.size == (500, 200)


def test_images_are_shown_pixel_by_pixel(shown):
    images = RNG.uniform(-1, 1, (6, 5, 5, 1)).astype(np.float32)
    plotting.show_images(images, "six images of noise", columns=3, scale=4)
    ((kind, data, alt),) = shown
    assert (kind, alt) == ("image/png", "six images of noise")
    with Image.open(io.BytesIO(data)) as picture:
        expected = plotting.sample_grid(images, 3).repeat(4, axis=0).repeat(4, axis=1)
        np.testing.assert_array_equal(np.asarray(picture), expected)


def test_a_film_has_its_frames_and_leaves_no_file(shown, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    grids = [np.full((8, 10), 17 * k, np.uint8) for k in range(5)]
    plotting.show_film(grids, "grey that brightens", seconds=1.0)
    ((kind, data, alt),) = shown
    assert (kind, alt) == ("image/gif", "grey that brightens")
    with Image.open(io.BytesIO(data)) as film:
        assert film.n_frames == 5 and film.size == (10, 8) and film.info["duration"] == 200
    assert not list(tmp_path.iterdir())
