"""Detectors from files, and what they say of image files of any size."""

import json

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jaxnets.errors import JaxnetsError
from jaxnets.ops.boxes import Detections
from jaxnets.study.synthetic_objects import write_darknet
from jaxnets.tasks import Detector, DetectorInfo
from jaxnets.tasks.detector_files import read_detector


def whole_image(size):
    """A detector that finds the lower right quarter of its canvas."""
    height, width = size

    def outputs(variables, images):
        box = jnp.array([[width / 2, height / 2, width, height]], jnp.float32)
        n = images.shape[0]
        return Detections(
            jnp.tile(box, (n, 1, 1)),
            jnp.full((n, 1), 0.5),
            jnp.ones((n, 1), jnp.int32),
            jnp.ones((n, 1), bool),
            jnp.zeros((n, 1), jnp.int32),
        )

    return outputs


def test_boxes_come_back_in_the_pixels_of_each_image(tmp_path):
    sizes = [(30, 60), (60, 30), (16, 16)]
    paths = [tmp_path / f"{i}.png" for i in range(3)]
    for path, (height, width) in zip(paths, sizes, strict=True):
        Image.new("RGB", (width, height)).save(path)
    fitted = Detector(("cat", "dog"), (32, 32), whole_image((32, 32)), {}, lambda x: x)
    stretched = Detector(("cat", "dog"), (32, 32), whole_image((32, 32)), {}, lambda x: x, True)
    # Fitted, 30×60 fills the canvas' upper half: the box begins where the image ends.
    expected = {
        fitted: [[30, 30, 60, 30], [30, 30, 30, 60], [8, 8, 16, 16]],
        stretched: [[30, 15, 60, 30], [15, 30, 30, 60], [8, 8, 16, 16]],
    }
    for detector, boxes in expected.items():
        found = list(detector.find(paths, batch_size=2))
        assert [one.size for one in found] == sizes
        assert [one.labels for one in found] == [("dog",)] * 3
        np.testing.assert_allclose([one.boxes[0] for one in found], boxes)
    assert json.loads(json.dumps(found[0].to_json()))["objects"][0]["label"] == "dog"


def test_images_must_be_as_they_are_stored():
    detector = Detector(("cat",), (8, 8), whole_image((8, 8)), {}, lambda x: x)
    with pytest.raises(JaxnetsError, match="uint8 0 … 255, got float32"):
        detector(np.zeros((1, 8, 8, 3), np.float32))


def test_what_is_wrong_with_files_is_said(tmp_path):
    cfg, weights = write_darknet(np.random.default_rng(0), tmp_path)
    assert read_detector(weights, cfg=cfg).class_names == ("0", "1")
    names = tmp_path / "names.txt"
    names.write_text("square\ndisk\n")
    assert read_detector(weights, cfg=cfg, classes=names).class_names == ("square", "disk")
    names.write_text("square\n")
    with pytest.raises(JaxnetsError, match="1 names; expected 2"):
        read_detector(weights, cfg=cfg, classes=names)
    with pytest.raises(JaxnetsError, match="give --model NAME"):
        read_detector(weights)
    with pytest.raises(JaxnetsError, match="give one"):
        read_detector(weights, cfg=cfg, model="ssd300_vgg16")
    with pytest.raises(JaxnetsError, match="'ssd301'; expected one of fcos"):
        read_detector(weights, model="ssd301")
    with pytest.raises(JaxnetsError, match="holds no run"):
        read_detector(tmp_path)
    weights.write_bytes(weights.read_bytes()[:-8])
    with pytest.raises(JaxnetsError, match="cut off"):
        read_detector(weights, cfg=cfg)


def test_info_survives_json():
    shapes = (((8.0, 8.0), (9.0, 7.0)),) * 3
    info = DetectorInfo(("cell",), (32, 48), (1.0, 2.0, 3.0), (4.0, 5.0, 6.0), shapes, 4)
    again = DetectorInfo.from_json(json.loads(json.dumps(info.to_json())))
    assert again == info and again.network() == info.network()
