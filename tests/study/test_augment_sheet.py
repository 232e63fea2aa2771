"""A contact sheet: rows of images like the photographs, and candidates to be timed."""

import jax
import numpy as np
import pytest

from jaxnets.study import augment_cost, augment_sheet


@pytest.fixture(scope="module")
def photos():
    found, source = augment_sheet.load_photos(None, count=2)
    assert "scikit-learn" in source
    return found


def test_photos_are_cut_or_read_to_one_size(photos, tmp_path):
    from PIL import Image

    assert photos.shape == (2, 224, 224, 3) and photos.dtype == np.uint8
    for i in range(5):
        Image.fromarray(np.full((30, 40, 3), 50 * i, np.uint8)).save(tmp_path / f"{i}.jpg")
    read, source = augment_sheet.load_photos(tmp_path, count=2)
    assert read.shape == (2, 224, 224, 3) and source == str(tmp_path)


def test_rows_are_images_like_the_photographs(photos, tmp_path):
    only = ("as stored", "flip", "mixup")
    rows = augment_sheet.make_rows(photos, only=only)
    assert list(rows) == list(only)
    assert all(r.shape == photos.shape and r.dtype == np.uint8 for r in rows.values())
    np.testing.assert_array_equal(rows["flip"], photos[:, :, ::-1])
    augment_sheet.save_sheet(rows, tmp_path / "sheet.png", panels=2)
    assert (tmp_path / "sheet.png").stat().st_size > 10_000


def test_candidates_change_whole_batches():
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
    labels = np.array([0, 2], np.int32)
    found = augment_cost.candidates(images, 3)
    assert set(augment_cost.CIFAR) <= set(found)
    for name, augment in found.items():
        out = jax.eval_shape(augment, jax.random.key(0), images, labels)
        mixed = isinstance(out, dict)
        assert mixed == ("mix" in name)
        assert (out["image"] if mixed else out).shape == images.shape
        if mixed:
            assert out["label"].shape == (2, 3)
