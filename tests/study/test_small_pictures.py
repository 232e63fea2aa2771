"""Objects cut out of detection sets, and pictures that are drawn."""

import json

import numpy as np
import pytest
from PIL import Image

from jaxnets.data import load_dataset
from jaxnets.study.drawn_pictures import SHAPES, draw_pictures
from jaxnets.study.object_crops import load_object_crops


@pytest.fixture
def folder(tmp_path):
    """Wide dark images with one white object each; what fills the canvas is black."""
    random = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    for split in ("train", "test"):
        images, annotations = [], []
        for k in range(4):
            pixels = random.integers(60, 90, (24, 48, 3)).astype(np.uint8)
            left, top = int(random.integers(0, 40)), int(random.integers(0, 16))
            pixels[top : top + 8, left : left + 8] = 255
            name = f"images/{split}{k}.png"
            Image.fromarray(pixels).save(tmp_path / name)
            images.append({"id": k, "file_name": name, "width": 48, "height": 24})
            box = {"bbox": [left, top, 8, 8], "area": 64, "iscrowd": 0}
            annotations.append({"id": k + 1, "image_id": k, "category_id": 1, **box})
        content = {"images": images, "annotations": annotations}
        content["categories"] = [{"id": 1, "name": "square"}]
        (tmp_path / f"{split}.json").write_text(json.dumps(content))
    return tmp_path


def test_objects_and_as_many_boxes_without(folder):
    found = load_object_crops(folder, side=8, canvas=48)
    assert found.class_names == ("square", "background") and found.image_shape == (8, 8, 3)
    for split in (found.train, found.test):
        assert np.bincount(split.labels).tolist() == [4, 4]
        objects = split.images[split.labels == 0].astype(int)
        background = split.images[split.labels == 1].astype(int)
        assert objects.mean((1, 2, 3)).min() > 240
        # At most a tenth of an object, and nothing of the black that fills the canvas.
        assert background.mean((1, 2, 3)).max() < 120 and background.min() >= 55
    again = load_object_crops(folder, side=8, canvas=48)
    np.testing.assert_array_equal(again.train.images, found.train.images)
    other = load_object_crops(folder, side=8, canvas=48, seed=1)
    assert (other.train.images != found.train.images).any()


def test_drawn_pictures_are_a_data_set(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXNETS_CACHE", str(tmp_path / "cache"))
    root = draw_pictures(tmp_path / "pictures", 5)
    found = load_dataset(f"folder:{root}", size=16)
    assert found.class_names == SHAPES and len(found.train) + len(found.test) == 25
    files = {path.relative_to(root): path.read_bytes() for path in root.rglob("*.jpg")}
    again = draw_pictures(tmp_path / "again", 5)
    assert {path.relative_to(again): path.read_bytes() for path in again.rglob("*.jpg")} == files
