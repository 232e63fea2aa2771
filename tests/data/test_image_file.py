"""Reading one image file for prediction."""

import numpy as np
import pytest
from PIL import Image

from jaxnets.data import read_image
from jaxnets.errors import JaxnetsError


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (7, 9, 3), dtype=np.uint8)


def test_color_and_gray(tmp_path, pixels):
    Image.fromarray(pixels).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), pixels)
    gray = read_image(str(tmp_path / "a.png"), channels=1)
    assert gray.shape == (7, 9, 1) and gray.dtype == np.uint8
    luma = pixels @ np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(gray[..., 0], luma, atol=1)  # rounded to whole gray levels


def test_gray_file_as_color(tmp_path, pixels):
    Image.fromarray(pixels[..., 0]).save(tmp_path / "a.png")
    read = read_image(tmp_path / "a.png")
    np.testing.assert_array_equal(read, np.repeat(pixels[..., :1], 3, axis=-1))


def test_size_covers_then_crops_the_center(tmp_path, pixels):
    wide = np.zeros((10, 30, 3), np.uint8)
    wide[:, 10:20] = 200
    Image.fromarray(wide).save(tmp_path / "a.png")
    assert np.all(read_image(tmp_path / "a.png", size=10) == 200)
    assert read_image(tmp_path / "a.png", size=(4, 6)).shape == (4, 6, 3)
    Image.fromarray(pixels).save(tmp_path / "b.png")
    np.testing.assert_array_equal(read_image(tmp_path / "b.png", size=(7, 9)), pixels)


@pytest.mark.parametrize(
    ("orientation", "upright"),
    [
        (1, lambda stored: stored),
        (2, lambda stored: stored[:, ::-1]),
        (3, lambda stored: stored[::-1, ::-1]),
        (6, lambda stored: np.rot90(stored, -1)),
        (8, lambda stored: np.rot90(stored)),
    ],
)
def test_exif_orientation(orientation, upright, tmp_path, pixels):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), upright(pixels))


def test_transparency_palette_and_sixteen_bits(tmp_path, pixels):
    alpha = np.zeros((7, 9, 1), np.uint8)
    alpha[:, 4:] = 255
    Image.fromarray(np.concatenate([pixels, alpha], -1)).save(tmp_path / "alpha.png")
    read = read_image(tmp_path / "alpha.png")
    np.testing.assert_array_equal(read[:, 4:], pixels[:, 4:])
    assert np.all(read[:, :4] == 255)
    Image.fromarray(pixels).quantize(8).save(tmp_path / "palette.gif")
    assert read_image(tmp_path / "palette.gif").shape == (7, 9, 3)
    deep = np.array([[0, 257, 65535]], np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    assert read_image(tmp_path / "deep.png", channels=1).ravel().tolist() == [0, 1, 255]


def test_what_cannot_be_read_is_named(tmp_path, pixels):
    with pytest.raises(JaxnetsError, match=r"missing\.png.*no such file"):
        read_image(tmp_path / "missing.png")
    with pytest.raises(JaxnetsError, match="folder"):
        read_image(tmp_path)
    (tmp_path / "text.png").write_text("not an image")
    with pytest.raises(JaxnetsError, match=r"text\.png"):
        read_image(tmp_path / "text.png")
    (tmp_path / "empty.jpg").touch()
    with pytest.raises(JaxnetsError, match=r"empty\.jpg"):
        read_image(tmp_path / "empty.jpg")
    big = np.random.default_rng(0).integers(0, 256, (99, 99, 3), dtype=np.uint8)
    for name in ("cut.png", "cut.jpg", "cut.gif"):
        Image.fromarray(big).save(tmp_path / name)
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(content[: len(content) // 2])
        with pytest.raises(JaxnetsError, match=name):
            read_image(tmp_path / name)
    Image.fromarray(big).save(tmp_path / "flipped.png")
    content = bytearray((tmp_path / "flipped.png").read_bytes())
    content[len(content) // 2] ^= 0xFF
    (tmp_path / "flipped.png").write_bytes(content)
    with pytest.raises(JaxnetsError, match=r"flipped\.png"):
        read_image(tmp_path / "flipped.png")
    with pytest.raises(ValueError, match="channels"):
        read_image(tmp_path / "cut.png", channels=4)
