"""Folders of images: every kind Pillow reads becomes the same kind of array, or is refused by name."""

import io

import numpy as np
import pytest
from PIL import Image

from tinygan.data import load
from tinygan.errors import DataError, SettingError

WIDE = np.repeat(
    np.repeat(np.array([[0, 255], [255, 0]], np.uint8), 8, axis=0), 8, axis=1
)  # a checkerboard of 4 fields


def grey(value: int, size: tuple[int, int] = (8, 8)) -> Image.Image:
    return Image.new("L", size, value)


def only(folder, **options) -> np.ndarray:
    """The one image of a folder, as 0 … 255."""
    images = load(folder, **{"size": 8, **options}).images
    assert len(images) == 1
    return (images[0] + 1) * 127.5


def palette_image() -> Image.Image:
    image = Image.new("P", (8, 8), 1)
    image.putpalette([0, 0, 0, 200, 100, 50])
    return image


MODES = {
    "1": (Image.new("1", (8, 8), 1), "png", [255]),
    "L": (grey(77), "png", [77]),
    "LA": (Image.new("LA", (8, 8), (200, 51)), "png", [40]),
    "P": (palette_image(), "png", [200, 100, 50]),
    "RGB": (Image.new("RGB", (8, 8), (10, 20, 30)), "png", [10, 20, 30]),
    "RGB that is grey": (Image.new("RGB", (8, 8), (9, 9, 9)), "bmp", [9]),
    "RGBA": (Image.new("RGBA", (8, 8), (250, 100, 0, 51)), "png", [50, 20, 0]),
    "RGBA, clear": (Image.new("RGBA", (8, 8), (250, 100, 0, 0)), "png", [0]),
    "I;16": (Image.fromarray(np.full((8, 8), 40_000, np.uint16)), "png", [156]),
    "I;16 tiff": (Image.fromarray(np.full((8, 8), 65_535, np.uint16)), "tiff", [255]),
    "CMYK": (Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "tiff", [255, 0, 0]),
}


@pytest.mark.parametrize("mode", MODES)
def test_every_mode(tmp_path, mode):
    image, suffix, expected = MODES[mode]
    image.save(tmp_path / f"image.{suffix}")
    found = only(tmp_path)
    assert found.shape == (8, 8, len(expected))
    np.testing.assert_allclose(found, np.broadcast_to(expected, found.shape), atol=1)


def test_a_palette_with_transparency_goes_over_black(tmp_path):
    palette_image().save(tmp_path / "image.png", transparency=1)
    np.testing.assert_array_equal(only(tmp_path), np.zeros((8, 8, 1)))


def test_grey_or_colour_is_decided_for_all(tmp_path):
    grey(50).save(tmp_path / "a.png")
    assert load(tmp_path).image_shape == (28, 28, 1)
    Image.new("RGB", (8, 8), (200, 0, 0)).save(tmp_path / "b.png")
    data = load(tmp_path, size=8)
    assert data.image_shape == (8, 8, 3)
    assert ((data.images[:, 0, 0] + 1) * 127.5).round().tolist() == [[50, 50, 50], [200, 0, 0]]
    assert data.labels is None
    assert data.source == f"2 images in {tmp_path}, resized to 8 × 8"


def test_channels_can_be_asked_for(tmp_path):
    Image.new("RGB", (8, 8), (255, 0, 0)).save(tmp_path / "a.png")
    np.testing.assert_allclose(only(tmp_path, channels=1), np.full((8, 8, 1), 76), atol=1)  # 0.299 · 255
    (tmp_path / "a.png").unlink()
    grey(60).save(tmp_path / "b.png")
    np.testing.assert_allclose(only(tmp_path, channels=3), np.full((8, 8, 3), 60))


@pytest.mark.parametrize("shape", [(8, 20), (21, 8), (3, 5), (1, 1), (101, 57)])
def test_odd_sizes_are_cropped_in_the_middle(tmp_path, shape):
    height, width = shape
    y, x = np.ogrid[:height, :width]
    middle = (abs(y - (height - 1) / 2) <= min(shape) / 2) & (abs(x - (width - 1) / 2) <= min(shape) / 2)
    Image.fromarray(np.where(middle, 255, 0).astype(np.uint8)).save(tmp_path / "a.png")
    found = only(tmp_path)
    assert found.shape == (8, 8, 1)
    assert found.mean() > 230  # what is cut away is black


def test_resizing_keeps_the_picture(tmp_path):
    Image.fromarray(WIDE).save(tmp_path / "a.png")
    found = only(tmp_path)[..., 0]
    np.testing.assert_allclose(found[[1, 1, 6, 6], [1, 6, 1, 6]], [0, 255, 255, 0], atol=3)


def test_exif_orientation_is_applied(tmp_path):
    image = Image.fromarray(np.concatenate([np.full((8, 4), 255, np.uint8), np.zeros((8, 4), np.uint8)], axis=1))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90° clockwise: left becomes top
    image.save(tmp_path / "a.png", exif=exif)
    found = only(tmp_path)[..., 0]
    np.testing.assert_array_equal(found, np.repeat([[255], [0]], 4, axis=0) * np.ones((1, 8)))


def test_order_depth_and_what_is_ignored(tmp_path):
    for name, value in {"b.png": 2, "a/z.PNG": 1, "c/d/e.gif": 3, ".hidden.png": 9, ".thumbs/a.png": 9}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        grey(value).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "folder.png").mkdir()
    values = [round(float(image[0, 0, 0] + 1) * 127.5) for image in load(tmp_path, size=4).images]
    assert values == [1, 2, 3]
    assert len(load(tmp_path, size=4, count=2)) == 2
    with pytest.raises(DataError, match="4 images were asked for, but there are 3"):
        load(tmp_path, count=4)


def test_an_empty_folder(tmp_path):
    (tmp_path / "notes.txt").write_text("no image")
    with pytest.raises(DataError, match=r"there are no images in it.*\.png"):
        load(tmp_path)


def broken_files():
    yield "text", b"this is no image"
    yield "empty", b""
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64)).astype(np.uint8))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    yield "truncated", buffer.getvalue()[:2000]
    yield "damaged", buffer.getvalue()[:60] + b"\0" * 400 + buffer.getvalue()[460:]
    buffer = io.BytesIO()
    Image.new("F", (8, 8), 0.5).save(buffer, "TIFF")
    yield "floats", buffer.getvalue()


@pytest.mark.parametrize(("kind", "content"), list(broken_files()))
def test_an_unreadable_image_is_named(tmp_path, kind, content):
    grey(1).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(content)
    with pytest.raises(DataError, match=r"b\.png: can't be read as an image: .*Repair or remove it"):
        load(tmp_path)


def test_a_format_that_runs_other_programs_is_not_even_tried(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.eps")
    (tmp_path / "a.eps").rename(tmp_path / "a.png")
    with pytest.raises(DataError, match="cannot identify image file"):
        load(tmp_path)


@pytest.mark.parametrize(
    "limit", [63, 31], ids=["warning", "error"]
)  # Pillow warns above it, and raises above twice it
def test_too_many_pixels(tmp_path, monkeypatch, limit):
    grey(1).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with pytest.raises(DataError, match=r"a\.png: too many pixels"):
        load(tmp_path)


def test_a_small_file_that_announces_too_many_pixels_is_not_unpacked(tmp_path):
    Image.new("1", (10_000, 8_000)).save(tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size < 20_000
    with pytest.raises(DataError, match=r"a\.png: too many pixels \(10000 × 8000, above 67108864\)"):
        load(tmp_path)


@pytest.mark.parametrize("options", [{"size": 0}, {"channels": 2}])
def test_settings_out_of_range(tmp_path, options):
    with pytest.raises(SettingError, match="are expected"):
        load(tmp_path, **options)


def test_more_than_fits_into_memory(tmp_path):
    Image.new("L", (4, 4)).save(tmp_path / "a.png")
    with pytest.raises(SettingError, match=r"size=100000: 1 images of that size take 112 GiB; choose a smaller size"):
        load(str(tmp_path), size=100_000)


def test_paths_that_are_neither(tmp_path):
    (tmp_path / "one.png").write_bytes(b"")
    with pytest.raises(DataError, match="For one image, give its folder"):
        load(tmp_path / "one.png")
    with pytest.raises(SettingError, match="has no splits"):
        load(tmp_path, split="test")
