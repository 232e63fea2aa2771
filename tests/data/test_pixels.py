"""One rule for what is not 8-bit gray or RGB, wherever images are read."""

import os
import struct
import threading
import zlib

import numpy as np
import pytest
from PIL import Image

from jaxnets.data import load_dataset, read_image
from jaxnets.data.pixels import gray_levels
from jaxnets.errors import JaxnetsError

RAMP = np.linspace(0, 1, 12).reshape(3, 4)
EXPECTED = np.floor(255 * RAMP + 0.5).astype(int)
# The same picture in every dtype that has a known scale.
STORED = {
    "float.tif": RAMP.astype(np.float32),
    "integer.tif": EXPECTED.astype(np.int32),
    "sixteen.tif": np.round(65535 * RAMP).astype(np.uint16),
    "sixteen.png": np.round(65535 * RAMP).astype(np.uint16),
    "eight.png": EXPECTED.astype(np.uint8),
}


@pytest.mark.parametrize("name", STORED)
@pytest.mark.parametrize("channels", [1, 3])
def test_every_dtype_shows_the_same_picture(name, channels, tmp_path):
    Image.fromarray(STORED[name]).save(tmp_path / name)
    read = read_image(tmp_path / name, channels=channels)
    assert read.dtype == np.uint8
    for channel in np.moveaxis(read, -1, 0):
        np.testing.assert_allclose(channel.astype(int), EXPECTED, atol=1)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.float32([[0, 255]]), "must lie in 0 … 1, found 0 to 255"),
        (np.float32([[0, np.nan]]), "must lie in 0 … 1"),
        (np.float32([[-0.5, 1]]), "must lie in 0 … 1"),
        (np.int32([[0, 65535]]), "must lie in 0 … 255, found 0 to 65535: their scale is unknown"),
        (np.int32([[-1, 5]]), "must lie in 0 … 255"),
    ],
)
def test_an_unknown_scale_is_refused(values, message, tmp_path):
    Image.fromarray(values).save(tmp_path / "a.tif")
    with pytest.raises(JaxnetsError, match=f"a.tif: .*{message}"):
        read_image(tmp_path / "a.tif", channels=1)


def test_arrays_follow_the_same_rule():
    for values in (STORED["float.tif"], STORED["integer.tif"], STORED["sixteen.png"]):
        np.testing.assert_allclose(gray_levels(values).astype(int), EXPECTED, atol=1)
    assert gray_levels(np.array([True, False])).tolist() == [255, 0]
    with pytest.raises(ValueError, match="must be numbers"):
        gray_levels(np.array(["a"]))


def png(width: int, height: int) -> bytes:
    """A black picture of 1 bit a pixel, small on the disk and huge in memory."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    rows = zlib.compress(bytes(height * (1 + -(-width // 8))), 9)
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )


@pytest.mark.filterwarnings("ignore:Image size:PIL.Image.DecompressionBombWarning")
def test_a_picture_of_177_megapixels_takes_no_memory(tmp_path):
    import tracemalloc

    path = tmp_path / "bomb.png"
    path.write_bytes(png(13_300, 13_300))
    assert path.stat().st_size < 30_000
    tracemalloc.start()
    with pytest.raises(JaxnetsError, match=r"bomb\.png: it has 177 megapixels; up to 89 are read"):
        read_image(path, size=32)
    assert tracemalloc.get_traced_memory()[1] < 10 * 2**20
    tracemalloc.stop()


def test_a_large_photograph_is_decoded_small(tmp_path, monkeypatch):
    monkeypatch.setattr("jaxnets.data.pixels.MAX_PIXELS", 100 * 100)
    Image.fromarray(np.full((200, 300, 3), 90, np.uint8)).save(tmp_path / "a.jpg")
    read = read_image(tmp_path / "a.jpg", size=20)
    assert read.shape == (20, 20, 3) and np.all(np.abs(read.astype(int) - 90) < 3)
    with pytest.raises(JaxnetsError, match="megapixels"):
        read_image(tmp_path / "a.jpg")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
def test_pipes_and_devices_are_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    for path in (tmp_path / "pipe.png", "/dev/zero"):
        ends = []

        def read(path=path, ends=ends):
            with pytest.raises(JaxnetsError, match="that is a pipe or a device"):
                read_image(path)
            ends.append(True)

        thread = threading.Thread(target=read, daemon=True)
        thread.start()
        thread.join(20)
        assert ends == [True]


def test_data_sets_are_read_by_the_same_rule(make_tfds, tmp_path):
    """16-bit gray PNG: Pillow's own conversion clips it to white."""
    deep = [np.round(65535 * RAMP).astype(np.uint16)] * 2
    make_tfds(
        tmp_path, {"train": (deep, [0, 1]), "test": (deep, [0, 1])}, name="deep", shape=(3, 4, 1)
    )
    images = load_dataset("deep", data_dir=tmp_path).train.images
    np.testing.assert_allclose(images[0, ..., 0].astype(int), EXPECTED, atol=1)


def test_photographs_of_a_data_set_are_upright(make_tfds, tmp_path, monkeypatch):
    pixels = np.random.default_rng(0).integers(0, 256, (4, 4, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    real = Image.Image.save
    monkeypatch.setattr(
        Image.Image, "save", lambda self, file, kind: real(self, file, kind, exif=exif)
    )
    split = ([pixels] * 2, [0, 1])
    make_tfds(tmp_path, {"train": split, "test": split}, name="turned", shape=(4, 4, 3))
    monkeypatch.undo()
    images = load_dataset("turned", data_dir=tmp_path, cache_dir=tmp_path / "c").train.images
    np.testing.assert_array_equal(images[0], pixels[::-1, ::-1])
