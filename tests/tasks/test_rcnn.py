"""R-CNN's parts beside scikit-learn, and whole on colored shapes; GoogLeNet's pipeline."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from sklearn.linear_model import Ridge
from sklearn.svm import LinearSVC

from jaxnets.data import load_objects, read_image
from jaxnets.data.proposals import selective_search
from jaxnets.errors import JaxnetsError
from jaxnets.metrics import VocEvaluator
from jaxnets.models import count_macs, count_parameters
from jaxnets.study.synthetic_objects import write_shapes
from jaxnets.tasks.box_ridge import fit_box_ridge
from jaxnets.tasks.detector_files import read_detector
from jaxnets.tasks.rcnn import MACHINES, RCNNRecipe, load_rcnn, region_network, train_rcnn
from jaxnets.tasks.region_detector import RegionDetector, crops_of
from jaxnets.tasks.region_ensemble import propose_more, region_ensemble
from jaxnets.tasks.region_svm import BIAS, LENGTH, POSITIVE, fit_region_svms
from jaxnets.train import RunOptions


def test_the_published_network_is_caffe_s():
    network, side = region_network(0, 200)
    assert side == 227 and count_parameters(network, (227, 227, 3)) == 57_687_624
    assert count_macs(network, (227, 227, 3)) == 721_130_016


@pytest.mark.parametrize("count", [30, 200])
def test_boxes_are_scikit_learn_s_ridge(count):
    """More features than regions, and fewer."""
    rng = np.random.default_rng(0)
    x, t = rng.normal(1, 2, (count, 60)), rng.normal(size=(count, 4))
    labels = rng.integers(0, 2, count)
    labels[:5] = 1
    ridge = fit_box_ridge(x, t, labels, 3, penalty=1000)
    for k in range(2):
        theirs = Ridge(alpha=1000).fit(x[labels == k], t[labels == k])
        np.testing.assert_allclose(ridge(x)[:, k], theirs.predict(x), atol=1e-10)
    assert not ridge(x)[:, 2].any()
    with pytest.raises(JaxnetsError, match=r"expected \(N, D\), \(N, 4\) and \(N,\)"):
        fit_box_ridge(x, t[:, :3], labels, 2)
    with pytest.raises(JaxnetsError, match="penalty: got -1"):
        fit_box_ridge(x, t, labels, 2, penalty=-1)


def test_machines_with_hard_negatives_are_those_of_all_negatives():
    """What lies beyond the margin has no part in the minimum."""
    rng = np.random.default_rng(0)
    positives = rng.normal(0, 1, (40, 10)) + np.where(np.arange(40)[:, None] < 20, 2.0, -2.0)
    labels = (np.arange(40) >= 20).astype(int)
    features = rng.normal(0, 1.2, (3000, 10))
    overlaps = rng.uniform(0, 0.6, (3000, 2))
    options = {"penalty": 0.05, "first": 30, "rounds": 20}
    svms = fit_region_svms(positives, labels, features, overlaps, **options)
    scale = LENGTH / np.linalg.norm(np.concatenate([positives, features]), axis=1).mean()
    assert svms.scale == pytest.approx(scale)
    for k in range(2):
        negatives = features[overlaps[:, k] < 0.3]
        assert svms.negatives[k] < 0.7 * len(negatives)
        machine = LinearSVC(C=0.05, dual=False, intercept_scaling=BIAS,
                            class_weight={1: POSITIVE}, tol=1e-8)  # fmt: skip
        rows = scale * np.concatenate([positives[labels == k], negatives])
        machine.fit(rows, np.arange(len(rows)) < 20)
        expected = machine.decision_function(scale * features)
        np.testing.assert_allclose(svms(features)[:, k], expected, atol=0.02)
    # Begun with few, they were not yet so.
    early = fit_region_svms(positives, labels, features, overlaps, **options | {"rounds": 0})
    assert np.abs(early(features) - svms(features)).max() > 0.1
    with pytest.raises(JaxnetsError, match="class 1 has no object"):
        fit_region_svms(positives[:20], labels[:20], features, overlaps)


def test_boxes_come_back_in_the_pixels_of_each_image(tmp_path):
    Image.new("RGB", (60, 30)).save(tmp_path / "a.png")
    seen = []

    def propose(image):
        seen.append(image.shape)
        return np.float32([[0, 0, 8, 8], [16, 8, 32, 16], [1, 0, 9, 8]])

    def look(canvas, regions):
        assert canvas.shape == (32, 32, 3)
        return np.array([[0.2, 0.9], [0.6, 0.1], [0.1, 0.8]]), regions

    detector = RegionDetector(("cat", "dog"), (32, 32), propose, look)
    (found,) = detector.find([tmp_path / "a.png"], min_score=0.15)
    assert seen == [(16, 32, 3)] and found.size == (30, 60)
    # The dog's second box lies on its first; the cat's last is not certain enough.
    assert found.labels == ("dog", "cat", "cat")
    np.testing.assert_allclose(found.scores, [0.9, 0.6, 0.2], rtol=1e-6)
    np.testing.assert_allclose(found.boxes[1], [30, 15, 60, 30])
    none = dataclasses.replace(detector, propose=lambda image: np.zeros((0, 4)))
    assert none.find([tmp_path / "a.png"]).__next__().boxes.shape == (0, 4)


def test_crops_are_looked_at_some_at_a_time():
    canvas = np.arange(32 * 32 * 3).reshape(32, 32, 3) % 256
    regions = np.random.default_rng(0).uniform(0, 16, (150, 4)).astype(np.float32)
    regions[:, 2:] += 16
    shapes = []

    def look(crops):
        shapes.append(crops.shape)
        return crops.mean((1, 2)), crops[:, 0, 0, 0]

    means, corners = crops_of(look, canvas.astype(np.uint8), regions, size=6, context=1)
    assert means.shape == (150, 3) and corners.shape == (150,)
    assert set(shapes) == {(64, 6, 6, 3)} and len(shapes) == 3
    with pytest.raises(JaxnetsError, match="regions: got none"):
        crops_of(look, canvas, regions[:0], size=6)


def colored(folder):
    """One image of a red and a green square, and where they are."""
    image = np.full((64, 80, 3), 30, np.uint8)
    image[8:32, 10:34] = (220, 20, 20)
    image[30:60, 44:74] = (20, 200, 20)
    return image, np.float32([[10, 8, 34, 32], [44, 30, 74, 60]])


def redness(sure):
    """Logits of background, red and green, from the mean color of a crop."""

    def classify(crops):
        red, green = crops[..., 0].mean((1, 2)), crops[..., 1].mean((1, 2))
        strong = jnp.stack([red - green, green - red], -1) / 200 - 0.5
        return sure * jnp.concatenate([jnp.zeros((len(crops), 1)), strong], -1)

    return classify


def test_googlenet_s_pipeline_averages_classifiers_and_keeps_the_proposed_boxes():
    image, objects = colored(None)
    calls = []

    def multibox(image):
        calls.append(image.shape)
        return objects + np.float32([0.5, 0.5, -0.5, -0.5])

    few, many = (len(selective_search(image, scale=scale)) for scale in (2.0, 1.0))
    assert few < many
    proposals = propose_more(image, multibox, count=1)
    assert len(proposals) == few + 1 and proposals[0].tolist() == [10.5, 8.5, 33.5, 31.5]
    detector = region_ensemble(
        [redness(3.0), redness(9.0)], ["red", "green"], (64, 80), crop=16, more=multibox
    )
    (found,) = detector.find_in([image])
    best = {name: found.boxes[found.labels.index(name)] for name in ("red", "green")}
    for name, box in zip(("red", "green"), objects, strict=True):
        shared = np.maximum(np.minimum(best[name], box)[2:] - np.maximum(best[name], box)[:2], 0)
        assert shared.prod() / (box[2:] - box[:2]).prod() > 0.75
    # Every box is one of the proposals.
    everything = propose_more(image, multibox)
    assert all((np.abs(everything - box) < 1e-3).all(1).any() for box in found.boxes)
    # Scores are means of probabilities.
    crops = crops_of(lambda x: x, image, found.boxes[:1], size=16, context=0)
    chances = [jax.nn.softmax(redness(sure)(crops))[0] for sure in (3.0, 9.0)]
    expected = np.mean(chances, 0)[1 + ("red", "green").index(found.labels[0])]
    assert found.scores[0] == pytest.approx(expected, abs=1e-3)
    with pytest.raises(JaxnetsError, match="classifiers: got none"):
        region_ensemble([], ["red"], (64, 80), crop=16)


@pytest.mark.slow
def test_an_rcnn_finds_colored_shapes(tmp_path):
    folder = write_shapes(np.random.default_rng(0), tmp_path / "shapes", 60, size=96)
    train, test = (load_objects(folder, part, size=96) for part in ("train", "test"))
    options = RunOptions(workdir=tmp_path / "run", devices=1, quiet=True, evaluate_every=0)
    train_rcnn(RCNNRecipe(), options, train)
    detector, voc = read_detector(tmp_path / "run"), VocEvaluator(train.class_names)
    for one, found in zip(test.images, detector.find([i.path for i in test.images]), strict=True):
        labels = [train.class_names.index(name) for name in found.labels]
        voc.add(
            {
                "boxes": one.boxes[None],
                "box_label": one.labels[None],
                "box_mask": np.ones((1, len(one.boxes))),
            },
            {
                "boxes": found.boxes[None],
                "scores": found.scores[None],
                "labels": np.array([labels], np.int32),
                "mask": np.ones((1, len(labels)), bool),
            },
        )
    assert voc.summarize()["mAP"] >= 0.8
    assert len(read_image(test.images[0].path)) == 96


def test_a_tiny_rcnn_is_trained_and_read_again(tmp_path):
    folder = write_shapes(np.random.default_rng(0), tmp_path / "shapes", 4)
    source = load_objects(folder, "train", size=64)
    recipe = RCNNRecipe(width=4, mode="single", regions=8, epochs=1, batch_size=8)
    options = RunOptions(workdir=tmp_path / "run", devices=1, quiet=True, evaluate_every=0)
    train_rcnn(recipe, options, source)
    detector = load_rcnn(tmp_path / "run")
    (found,) = detector.find([source.images[0].path])
    assert detector.class_names == ("square", "disk") and found.boxes.shape[1] == 4
    assert found.scores.min() >= 0 and found.scores.max() <= 1
    (tmp_path / "run" / MACHINES).unlink()
    with pytest.raises(JaxnetsError, match="the run is not finished"):
        load_rcnn(tmp_path / "run")
