"""Detectors from files, and what they say of image files of any size."""

import json
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from experiments.detection import evaluate_detector
from jaxnets.data import load_objects
from jaxnets.data.object_masks import object_mask
from jaxnets.data.poses import mirror_pairs
from jaxnets.errors import JaxnetsError
from jaxnets.models import list_models
from jaxnets.models.detection import RCNNDetections
from jaxnets.ops.boxes import Detections
from jaxnets.study.object_pictures import draw_objects
from jaxnets.study.stick_figures import write_people
from jaxnets.study.synthetic_objects import write_darknet, write_shapes
from jaxnets.study.synthetic_traffic import write_traffic
from jaxnets.tasks import Detector, DetectorInfo, train_detector
from jaxnets.tasks.detection import score_detections
from jaxnets.tasks.detector import load_detector, mask_runs
from jaxnets.tasks.detector_files import DARKNET, PUBLISHED, read_detector
from jaxnets.tasks.detector_training import DetectorRecipe, _describe, augmentation
from jaxnets.tasks.given_regions import ProposalSource
from jaxnets.train import RunOptions


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


def test_every_published_detector_is_read():
    # YOLO v1's file would need darknet's order of its last layer; the others are Caffe's.
    known = {*PUBLISHED, *DARKNET, "yolov1", "ssd300_mobilenet_v1", "fast_rcnn_vgg16"}
    assert known == set(list_models(task="detection"))
    made = PUBLISHED["maskrcnn_resnet50_fpn"].fields()["backbone"]
    assert made.pooled and made.network.network.norm.keywords == {"epsilon": 0.0}
    assert PUBLISHED["keypointrcnn_resnet50_fpn"].classes == ("person",)


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
    with pytest.raises(JaxnetsError, match="'ssd301'; expected one of fasterrcnn"):
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


def painted(size):
    """A detector that finds the lower right quarter of its canvas, its left half and one joint."""
    height, width = size

    def outputs(variables, images):
        n = len(images)
        box = jnp.array([[width / 2, height / 2, width, height]], jnp.float32)
        masks = jnp.zeros((n, 1, 28, 28)).at[..., :14].set(1)
        points = jnp.tile(jnp.array([[width / 2, height / 2, 3.0]]), (n, 1, 1, 1))
        one = jnp.ones((n, 1), jnp.int32)
        return RCNNDetections(
            jnp.tile(box, (n, 1, 1)), 0.5 * one, 0 * one, one > 0, 0 * one, masks, points
        )

    return outputs


def test_masks_and_key_points_come_back_in_the_pixels_of_each_image(tmp_path):
    sizes = [(80, 160), (200, 150)]
    paths = [tmp_path / f"{i}.png" for i in range(2)]
    for path, (height, width) in zip(paths, sizes, strict=True):
        Image.new("RGB", (width, height)).save(path)
    detector = Detector(("cat",), (32, 32), painted((32, 32)), {}, lambda x: x, stretched=True)
    for (height, width), one in zip(sizes, detector.find(paths), strict=True):
        assert one.masks.shape == (1, height, width)
        rows, columns = np.nonzero(one.masks[0])
        # The left half of the lower right quarter, to a pixel.
        assert abs(rows.min() - height / 2) <= 1 and rows.max() == height - 1
        assert abs(columns.min() - width / 2) <= 1 and abs(columns.max() + 1 - 0.75 * width) <= 1
        np.testing.assert_allclose(one.keypoints[0, 0], [width / 2, height / 2, 3])
        entry = json.loads(json.dumps(one.to_json()))["objects"][0]
        np.testing.assert_array_equal(object_mask(entry["mask"], (height, width)), one.masks[0])
        assert entry["keypoints"] == [[width / 2, height / 2, 3.0]]
        drawn = draw_objects(
            np.zeros((height, width, 3), np.uint8),
            one.boxes,
            one.labels,
            masks=one.masks,
            keypoints=one.keypoints,
        )
        assert drawn[int(0.75 * height), int(0.6 * width)].tolist() == [127, 25, 25]
        assert drawn[height // 2 + 1, width // 2 - 2].any()
    assert not next(iter(detector.find(paths, min_score=0.6))).labels


def test_runs_of_a_mask_are_those_of_its_columns():
    mask = np.random.default_rng(0).random((5, 7)) > 0.5
    code = {"size": [5, 7], "counts": mask_runs(mask)}
    np.testing.assert_array_equal(object_mask(code, (5, 7)), mask)


def test_masks_are_scored_on_the_canvas():
    box = np.array([[[8.0, 8, 24, 24]]], np.float32)
    truth = np.zeros((1, 1, 32, 32), np.uint8)
    truth[:, :, 8:24, 8:24] = 1
    one = np.ones((1, 1))
    found = {"boxes": box, "scores": one, "labels": one.astype(int) * 0, "mask": one}
    found |= {"masks": np.ones((1, 1, 28, 28), np.float32), "true/boxes": box}
    found |= {"true/box_mask": one, "true/box_label": one.astype(int) * 0, "true/masks": truth}
    right = score_detections(found, class_names=["cell"], size=(32, 32))
    found["masks"] = found["masks"] * (np.arange(28) < 10)
    wrong = score_detections(found, class_names=["cell"], size=(32, 32))
    assert right["mask_AP50"] > 0.99 and wrong["mask_AP50"] == 0 and wrong["AP50"] > 0.99


@pytest.mark.slow
def test_a_mask_rcnn_is_trained_and_read_again(tmp_path):
    folder = write_shapes(np.random.default_rng(0), tmp_path / "shapes", 4)
    recipe = DetectorRecipe(kind="mask_rcnn", width=4, epochs=1, batch_size=2)
    options = RunOptions(workdir=tmp_path / "run", devices=1, quiet=True, evaluate_every=0)
    source = load_objects(folder, "train", size=(64, 64), masks=True)
    fitted = train_detector(recipe, options, source, test=source)
    assert {"loss_mask", "mask_AP50"} <= {k.rpartition("test_")[2] for k in fitted.summary}
    found = list(load_detector(tmp_path / "run").find([source.images[0].path]))
    assert found[0].masks.shape[1:] == (64, 64)
    with pytest.raises(JaxnetsError, match="learns from masks"):
        train_detector(recipe, options, load_objects(folder, "train", size=(64, 64)))


def test_a_yolo_is_trained_and_read_again(tmp_path):
    """On canvases that strides do not divide; the losses' names are YOLO's."""
    folder = write_shapes(np.random.default_rng(0), tmp_path / "shapes", 4)
    recipe = DetectorRecipe(kind="yolo", width=4, anchors_per_map=1, epochs=1, batch_size=2)
    options = RunOptions(workdir=tmp_path / "run", devices=1, quiet=True, evaluate_every=0)
    source = load_objects(folder, "train", size=(56, 72))
    fitted = train_detector(recipe, options, source, test=source)
    assert {"boxes", "objectness", "classes", "mAP"} <= set(fitted.summary)
    detector = load_detector(tmp_path / "run")
    found = list(detector.find([source.images[0].path]))
    assert found[0].boxes.shape[1] == 4 and detector.class_names == ("square", "disk")
    with pytest.raises(JaxnetsError, match="trunk: yolo has none"):
        train_detector(replace(recipe, trunk=folder), options, source)


@pytest.mark.slow
def test_images_of_all_sizes_compile_no_more_than_those_of_one(tmp_path):
    """A whole training with its test: every image lies on the same canvas."""
    compiled = []

    def listen(name, *_, **__):
        if name == "/jax/core/compile/backend_compile_duration":
            compiled.append(name)

    recipe = DetectorRecipe(kind="yolo", width=4, anchors_per_map=1, epochs=1, batch_size=2)
    counts = []
    jax.monitoring.register_event_duration_secs_listener(listen)
    for name in ("one size", "all sizes"):
        folder = write_shapes(np.random.default_rng(0), tmp_path / name, 6)
        content = json.loads((folder / "train.json").read_text())
        for number, image in enumerate(content["images"] if name == "all sizes" else ()):
            path = folder / "images" / image["file_name"]
            image["width"], image["height"] = 64 + 7 * number, 64 + 3 * number
            wider = Image.new("RGB", (image["width"], image["height"]))
            wider.paste(Image.open(path))
            wider.save(path)
        (folder / "train.json").write_text(json.dumps(content))
        source = load_objects(folder, "train", size=(56, 72))
        options = RunOptions(
            workdir=tmp_path / f"run {name}", devices=1, quiet=True, evaluate_every=0
        )
        before = len(compiled)
        train_detector(recipe, options, source, test=source)
        list(load_detector(options.workdir).find([one.path for one in source.images]))
        counts.append(len(compiled) - before)
    assert 0 < counts[1] <= counts[0]


def test_proposals_move_with_the_objects():
    """The mirror image of a proposal that is an object's box stays that object's box."""
    boxes = np.float32([[[4, 6, 20, 22], [30, 8, 60, 40]]] * 8)
    batch = {"image": np.zeros((8, 64, 64, 3), np.uint8), "boxes": boxes}
    batch |= {"box_mask": np.ones((8, 2), np.float32), "box_label": np.zeros((8, 2), np.int32)}
    batch["proposals"] = np.concatenate([boxes, np.full((8, 3, 4), np.nan, np.float32)], 1)
    info = DetectorInfo(("a",), (64, 64), (9.0,) * 3, (1.0,) * 3, (), 4, kind="fast_rcnn")
    moved = augmentation(DetectorRecipe(scales=(0.5, 2.0)), info)(
        jax.random.key(0), batch, jnp.arange(8)
    )
    there = np.asarray(moved["box_mask"]) > 0
    regions = np.asarray(moved["proposals"])
    assert regions.shape == (8, 5, 4) and np.isnan(regions[:, 2:]).all()
    assert there.sum() > 4 and np.isnan(regions[:, :2][~there]).all()
    np.testing.assert_allclose(regions[:, :2][there], np.asarray(moved["boxes"])[there])
    assert np.abs(regions[:, :2][there] - boxes[there]).max() > 1


def test_an_overfeat_is_trained_and_read_again(tmp_path):
    folder = write_shapes(np.random.default_rng(0), tmp_path / "shapes", 4)
    recipe = DetectorRecipe(kind="overfeat", width=4, epochs=1, batch_size=2)
    options = RunOptions(workdir=tmp_path / "run", devices=1, quiet=True, evaluate_every=0)
    source = load_objects(folder, "train", size=(56, 72))
    fitted = train_detector(recipe, options, source, test=source)
    assert {"loss_classifier", "loss_box_reg", "mAP"} <= set(fitted.summary)
    found = list(load_detector(tmp_path / "run").find([source.images[0].path]))
    assert found[0].boxes.shape[1] == 4


@pytest.mark.slow
def test_a_fast_rcnn_is_trained_and_read_again(tmp_path):
    folder = write_shapes(np.random.default_rng(0), tmp_path / "shapes", 4)
    recipe = DetectorRecipe(kind="fast_rcnn", width=4, epochs=1, batch_size=2)
    options = RunOptions(workdir=tmp_path / "run", devices=1, quiet=True, evaluate_every=0)
    source = load_objects(folder, "train", size=(56, 72))
    proposed = ProposalSource(source, 30).take(np.arange(2))["proposals"]
    # The image fills 56×56 of the canvas.
    assert proposed.shape == (2, 30, 4) and np.nanmax(proposed) == 56
    fitted = train_detector(recipe, options, source, test=source)
    assert {"loss_classifier", "loss_box_reg", "mAP"} <= set(fitted.summary)
    detector = load_detector(tmp_path / "run")
    found = list(detector.find([one.path for one in source.images], batch_size=3))
    assert len(found) == 4 and found[0].boxes.shape[1] == 4
    with pytest.raises(JaxnetsError, match="trunk: fast_rcnn has none"):
        train_detector(replace(recipe, trunk=folder), options, source)


@pytest.mark.slow
@pytest.mark.parametrize("kind, epochs", [("fast_rcnn", 20), ("overfeat", 40)])
def test_others_learn_to_find_shapes(kind, epochs, tmp_path):
    folder = write_shapes(np.random.default_rng(0), tmp_path / "shapes", 100)
    train, test = (load_objects(folder, part, size=64) for part in ("train", "test"))
    recipe = DetectorRecipe(kind, width=12, epochs=epochs, batch_size=10, scales=(0.9, 1.1))
    options = RunOptions(workdir=tmp_path / "run", devices=1, quiet=True, evaluate_every=0)
    assert train_detector(recipe, options, train, test=test).summary["mAP"] > 0.7


@pytest.mark.slow
def test_a_keypoint_rcnn_is_trained_and_read_again(tmp_path):
    folder = write_people(np.random.default_rng(0), tmp_path / "people", 4)
    recipe = DetectorRecipe(kind="keypoint_rcnn", width=4, epochs=1, batch_size=2)
    options = RunOptions(workdir=tmp_path / "run", devices=1, quiet=True, evaluate_every=0)
    source = load_objects(folder, "train", size=(64, 64), keypoints=True)
    fitted = train_detector(recipe, options, source, test=source)
    names = {k.rpartition("test_")[2] for k in fitted.summary}
    assert {"loss_keypoint", "keypoint_AP50"} <= names
    found = list(load_detector(tmp_path / "run").find([source.images[0].path]))
    assert found[0].keypoints.shape[1:] == (14, 3)
    # The command measures a run as its training did.
    config = {"keypoints": True, "workdir": tmp_path / "measured", "picture_score": 0.0}
    command = evaluate_detector.Config(folder, "train", tmp_path / "run", **config)
    measured = evaluate_detector.main(command)
    for name in ("AP50", "keypoint_AP50", "keypoint_AP"):
        (trained,) = (v for k, v in fitted.summary.items() if k.rpartition("test_")[2] == name)
        assert measured[name] == pytest.approx(trained, abs=1e-6), name
    assert len(list((tmp_path / "measured").glob("*_found.png"))) == 4


def test_key_points_must_be_there_and_as_many(tmp_path):
    folder = write_people(np.random.default_rng(0), tmp_path / "people", 2)
    recipe = DetectorRecipe(kind="keypoint_rcnn", width=4, epochs=1, batch_size=2)
    options = RunOptions(workdir=tmp_path / "run", devices=1, quiet=True, evaluate_every=0)
    source = load_objects(folder, "train", size=(64, 64), keypoints=True)
    assert source.joints == 14 and source.joint_names[0] == "right_ankle"
    info = _describe(recipe, source)
    assert (2, 3) in mirror_pairs(info.joint_names) and info.joints == 14
    with pytest.raises(JaxnetsError, match="learns from key points"):
        train_detector(recipe, options, load_objects(folder, "train", size=(64, 64)))
    content = json.loads((folder / "val.json").read_text())
    for entry in content["annotations"]:
        entry["keypoints"] = entry["keypoints"][:39]
    content["categories"][0]["keypoints"].pop()
    (folder / "val.json").write_text(json.dumps(content))
    other = load_objects(folder, "val", size=(64, 64), keypoints=True)
    with pytest.raises(JaxnetsError, match=r"validation images have 13 key points .* training, 14"):
        train_detector(recipe, options, source, validation=other)


def test_key_points_are_scored_in_the_images_own_pixels():
    box = np.array([[[8.0, 8, 24, 24]]], np.float32)
    points = np.zeros((1, 1, 3, 3), np.float32)
    points[..., :2], points[..., 2] = [[10, 10], [20, 12], [16, 22]], 2
    one = np.ones((1, 1))
    found = {"boxes": box, "scores": one, "labels": one.astype(int) * 0, "mask": one}
    found |= {"keypoints": points, "true/keypoints": points, "true/boxes": box}
    found |= {"true/box_mask": one, "true/box_label": one.astype(int) * 0}
    found["true/image_size"] = np.array([[64, 64]])
    right = score_detections(found, class_names=["person"], size=(32, 32))
    found["keypoints"] = points[:, :, [1, 2, 0]]
    wrong = score_detections(found, class_names=["person"], size=(32, 32))
    assert right["keypoint_AP"] > 0.99 and wrong["keypoint_AP50"] == 0 and wrong["AP50"] > 0.99


def test_an_ssd_on_a_mobilenet_is_trained_and_read_again(tmp_path):
    folder = write_shapes(np.random.default_rng(0), tmp_path / "shapes", 4)
    recipe = DetectorRecipe(
        kind="mobilenet_ssd", width=4, anchors_per_map=1, epochs=1, batch_size=2
    )
    options = RunOptions(workdir=tmp_path / "run", devices=1, quiet=True, evaluate_every=0)
    source = load_objects(folder, "train", size=(64, 64))
    train_detector(recipe, options, source)
    detector = load_detector(tmp_path / "run")
    assert "stage5" in detector.variables["params"]["backbone"]["network"]
    assert detector(source.take(np.arange(1))["image"]).boxes.shape[0] == 1


@pytest.mark.slow
def test_vehicles_and_pedestrians_are_found_by_a_mobilenet(tmp_path):
    folder = write_traffic(np.random.default_rng(0), tmp_path / "traffic", 150)
    train, test = (load_objects(folder, part, size=(96, 160)) for part in ("train", "test"))
    assert train.class_names == ("vehicle", "pedestrian")
    recipe = DetectorRecipe(
        kind="mobilenet_ssd", width=12, epochs=90, batch_size=15, learning_rate=4e-3
    )
    options = RunOptions(workdir=tmp_path / "run", devices=1, quiet=True, evaluate_every=0)
    summary = train_detector(recipe, options, train, test=test).summary
    assert summary["AP50"] > 0.85, summary  # 0.936 in six minutes of one core.


@pytest.mark.slow
def test_a_yolo_learns_to_find_shapes(tmp_path):
    folder = write_shapes(np.random.default_rng(0), tmp_path / "shapes", 200)
    train, test = (load_objects(folder, part, size=64) for part in ("train", "test"))
    recipe = DetectorRecipe(kind="yolo", width=12, anchors_per_map=2, epochs=40, batch_size=20)
    options = RunOptions(workdir=tmp_path / "run", devices=1, quiet=True, evaluate_every=0)
    summary = train_detector(recipe, options, train, test=test).summary
    assert summary["AP50"] > 0.6
