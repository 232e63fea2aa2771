"""FastestDet, slim-320 and SSD on MobileNet v1: published layers, weights, figures."""

import gzip
import json
import os
import runpy
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from jaxnets import data, metrics
from jaxnets.models import count_parameters, create_model
from jaxnets.models.counting import abstract_variables
from jaxnets.models.detection import (
    FastestDetOutputs,
    SlimFace,
    fastestdet_boxes,
    fastestdet_detections,
    fastestdet_losses,
    mean_losses,
    mobilenet_ssd_anchors,
    ssd_losses,
)
from jaxnets.pretrained import load
from jaxnets.tasks.detector_files import read_detector

GOLDEN = Path(__file__).resolve().parents[2] / "golden"
VALUES = runpy.run_path(str(GOLDEN / "named_values.py"))
NAMES = json.loads(gzip.decompress((GOLDEN / "small_detector_names.json.gz").read_bytes()))
STORED = np.load(GOLDEN / "small_detectors.npz")


@pytest.mark.parametrize(
    ("name", "size"), [("fastestdet", (64, 96)), ("ssd_slim_face", (240, 320))]
)
def test_outputs_are_those_of_pytorch(name, size, quick_jit):
    """With the same values under the published names; tests/golden/make_small_detectors.py."""
    model, variables = load(
        name, {key: VALUES["value"](key, shape) for key, shape in NAMES[name].items()}
    )
    x = VALUES["images"](2, *size)
    if name == "fastestdet":
        assert model.blue_first
        x = x[..., ::-1]
    outputs = quick_jit(model.apply)(variables, x)
    for i, values in enumerate(outputs[: 3 if name == "fastestdet" else 2]):
        flat, theirs = np.asarray(values).reshape(-1), STORED[f"{name}/{i}"]
        ours = flat[:: max(1, len(flat) // 500)]
        assert len(theirs) >= min(500, len(flat))
        # Float32 sums through some dozen layers: of the largest value.
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-4 * np.abs(theirs).max())


def test_anchors_of_slim_320_are_the_published_ones():
    """Squares around cells' centers, in NumPy: 4,420, the largest cut to the image."""
    x = jax.ShapeDtypeStruct((1, 240, 320, 3), "float32")
    shapes = abstract_variables(SlimFace(), (240, 320, 3))
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    anchors = jax.jit(lambda: SlimFace().apply(zeros, jnp.zeros(x.shape)).anchors)()
    rows = []
    for width, height, sides in (
        (40, 30, (10, 16, 24)),
        (20, 15, (32, 48)),
        (10, 8, (64, 96)),
        (5, 4, (128, 192, 256)),
    ):
        for j in range(height):
            for i in range(width):
                cx, cy = (i + 0.5) * 320 / width, (j + 0.5) * 240 / height
                for side in sides:
                    w, h = min(side, 320), min(side, 240)
                    rows.append([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2])
    assert len(rows) == 4420
    np.testing.assert_allclose(anchors, rows, atol=1e-4)


def test_fastestdet_says_one_class_a_cell():
    rng = np.random.default_rng(0)
    shapes = ((1, 2, 3), (1, 2, 3, 4), (1, 2, 3, 5))
    raw = [np.float32(rng.normal(size=shape)) for shape in shapes]
    outputs = FastestDetOutputs(*map(jnp.asarray, raw), jnp.array([64.0, 96.0]))
    corners = fastestdet_boxes(outputs)
    found = fastestdet_detections(outputs, threshold=1.0, max_outputs=6)
    objectness, places, logits = (a.astype(float)[0] for a in raw)
    sigmoid = lambda v: 1 / (1 + np.exp(-v))  # noqa: E731
    expected = {}
    for row in range(2):
        for column in range(3):
            chance = np.exp(logits[row, column]) / np.exp(logits[row, column]).sum()
            score = sigmoid(objectness[row, column]) * chance.max()
            x = (column + np.tanh(places[row, column, 0])) * 32
            y = (row + np.tanh(places[row, column, 1])) * 32
            w, h = sigmoid(places[row, column, 2]) * 96, sigmoid(places[row, column, 3]) * 64
            box = [x - w / 2, y - h / 2, x + w / 2, y + h / 2]
            np.testing.assert_allclose(corners[0, row, column], box, rtol=1e-4, atol=1e-3)
            expected[3 * row + column] = (score, int(chance.argmax()))
    assert int(found.mask.sum()) == 6
    for index, score, label in zip(found.index[0], found.scores[0], found.labels[0], strict=True):
        assert expected[int(index)] == (pytest.approx(float(score), rel=1e-4), int(label))
    with pytest.raises(ValueError, match=r"64×90; expected sides that are multiples of 32"):
        network, x = create_model("fastestdet"), jnp.zeros((1, 64, 90, 3))
        jax.eval_shape(network.init, jax.random.key(0), x)


def complete_iou(a, b):
    """Of two boxes, in float64."""
    sides = np.maximum(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0)
    sizes = [x[2:] - x[:2] for x in (a, b)]
    shared = sides.prod()
    overlap = shared / (sizes[0].prod() + sizes[1].prod() - shared)
    hull = np.maximum(a[2:], b[2:]) - np.minimum(a[:2], b[:2])
    apart = (((a[:2] + a[2:]) - (b[:2] + b[2:])) ** 2).sum() / 4 / (hull**2).sum()
    angles = [np.arctan(w / h) for w, h in sizes]
    v = 4 / np.pi**2 * (angles[0] - angles[1]) ** 2
    return overlap - apart - v * v / (1 - overlap + v)


def test_fastestdet_s_losses_are_those_of_loops():
    rng = np.random.default_rng(0)
    shapes = ((2, 3, 4), (2, 3, 4, 4), (2, 3, 4, 5))
    raw = [np.float32(rng.normal(0, 0.5, shape)) for shape in shapes]
    outputs = FastestDetOutputs(*map(jnp.asarray, raw), jnp.array([96.0, 128.0]))
    corner = rng.uniform(0, 60, (2, 3, 2))
    true = np.float32(np.concatenate([corner, corner + rng.uniform(20, 60, (2, 3, 2))], -1))
    mask = np.array([[1, 1, 1], [0, 0, 1]])
    truth = {"boxes": true, "box_label": rng.integers(0, 5, (2, 3)), "box_mask": mask}
    found = np.asarray(fastestdet_boxes(outputs), float)
    pairs = []
    for n in range(2):
        for m in np.flatnonzero(mask[n]):
            cx, cy = (true[n, m, :2] + true[n, m, 2:]).astype(float) / 2 / 32
            for dx, dy in ((0, 0), (1, 0), (0, 1), (1, 1)):
                x, y = int(cx) + dx, int(cy) + dy
                if x < 4 and y < 3:
                    pairs.append(
                        (n, m, y, x, complete_iou(found[n, y, x], true[n, m].astype(float)))
                    )
    mean = np.mean([p[-1] for p in pairs])
    pairs = [p for p in pairs if p[-1] > mean]
    place = 8 * sum(1 - p[-1] for p in pairs)
    logs = raw[2] - np.log(np.exp(raw[2].astype(float)).sum(-1, keepdims=True))
    classes = -sum(logs[n, y, x, truth["box_label"][n, m]] for n, m, y, x, _ in pairs)
    objectness = 0.0
    for n in range(2):
        wanted, weight = np.zeros((3, 4)), np.full((3, 4), 0.75)
        own = [p for p in pairs if p[0] == n]
        for _, _, y, x, overlap in own:
            wanted[y, x] = max(wanted[y, x], overlap)
            weight[y, x] = 0.25 * 12 / len(own)
        error = np.abs(1 / (1 + np.exp(-raw[0][n].astype(float))) - wanted)
        objectness += 16 * (weight * np.where(error < 1, error**2 / 2, error - 0.5)).mean()
    losses = jax.jit(fastestdet_losses)(outputs, truth)
    expected = {"boxes": place, "classes": classes, "objectness": objectness}
    for name, value in expected.items():
        np.testing.assert_allclose(losses[name][0], value, rtol=1e-4, err_msg=name)
    assert int(losses["boxes"][1]) == len(pairs) > 2 and int(losses["objectness"][1]) == 2
    order = np.array([2, 0, 1])
    again = jax.jit(fastestdet_losses)(outputs, {k: v[:, order] for k, v in truth.items()})
    assert {k: float(v[0]) for k, v in again.items()} == {k: float(v[0]) for k, v in losses.items()}
    nothing = truth | {"box_mask": 0 * mask}
    slopes = jax.grad(lambda o: sum(t for t, _ in fastestdet_losses(o, nothing).values()))(outputs)
    assert (np.asarray(slopes.objectness) > 0).all() and np.isfinite(slopes.places).all()


def test_ssd_mobilenet_has_the_published_counts():
    """1,917 anchors; 5,783,417 parameters once normalizations are folded into convolutions."""
    network = create_model("ssd300_mobilenet_v1")
    x = jax.ShapeDtypeStruct((1, 300, 300, 3), "float32")
    outputs, variables = jax.eval_shape(network.init_with_output, jax.random.key(0), x)
    assert outputs.anchors.shape == (1917, 4) and outputs.logits.shape == (1, 1917, 21)
    params = flatten_dict(variables["params"])
    # Of a normalization only the offset is left, as the convolution's bias.
    factors = sum(leaf.size for path, leaf in params.items() if path[-1] == "scale")
    assert count_parameters(network, (300, 300, 3)) - factors == 5_783_417
    first, *_, last = mobilenet_ssd_anchors().shapes
    np.testing.assert_allclose(first[1], (60 * 2**0.5, 60 / 2**0.5))
    np.testing.assert_allclose(last[1], ((285 * 300) ** 0.5,) * 2)
    two = create_model("ssd300_mobilenet_v1", num_classes=3)
    outputs, _ = jax.eval_shape(two.init_with_output, jax.random.key(0), x)
    truth = {"boxes": jnp.zeros((1, 0, 4)), "box_label": jnp.zeros((1, 0), int)}
    losses = jax.eval_shape(
        lambda o: mean_losses(ssd_losses(o, truth | {"box_mask": jnp.zeros((1, 0))})), outputs
    )
    assert set(losses) == {"bbox_regression", "classification"}


def shared_data():
    """The folder of real data and weights, where the machine has it."""
    for place in (
        os.environ.get("JAXNETS_TEST_DATA"),
        GOLDEN.parents[1].parent / "shared" / "data",
    ):
        if place and (Path(place) / "weights" / "fastestdet").is_dir():
            return Path(place)
    return None


def weights(*names):
    return shared_data() / "weights" / Path(*names)


real = pytest.mark.skipif(shared_data() is None, reason="needs published weights")


@real
def test_the_published_face_detector_is_read():
    """It finds nothing on gray images; its file has every tensor in its place."""
    detector = read_detector(weights("ultralight", "version-slim-320.pth"), model="ssd_slim_face")
    assert detector.class_names == ("face",) and detector.size == (240, 320)
    found = detector(np.full((1, 240, 320, 3), 127, np.uint8))
    assert found.boxes.shape == (1, 200, 4) and not (found.scores > 0.5).any()


@real
@pytest.mark.slow
def test_fastestdet_finds_what_it_is_known_to_find():
    """COCO AP50 25.3 on val2017 is its author's; here 128 of its images, of at most 352 pixels."""
    detector = read_detector(weights("fastestdet", "fastestdet_280.pth"), model="fastestdet")
    folder = shared_data() / "detection" / "coco128_val"
    source = data.read_coco(folder / "instances.json", size=352, ignored=True)
    evaluator = metrics.CocoEvaluator(source.class_names)
    numbers = {name: i for i, name in enumerate(detector.class_names)}
    for one, seen in zip(
        source.images, detector.find([one.path for one in source.images]), strict=True
    ):
        truth = {"boxes": one.boxes, "box_label": one.labels, "box_mask": np.ones(len(one.boxes))}
        truth |= {"box_ignore": one.ignored, "box_area": one.areas}
        found = {"boxes": seen.boxes, "scores": seen.scores, "mask": np.ones(len(seen.boxes))}
        found["labels"] = np.array([numbers[name] for name in seen.labels], int)
        evaluator.add(*({k: v[None] for k, v in part.items()} for part in (truth, found)))
    summary = evaluator.summarize()
    # Measured: .3416 and .1974; float32 rounding moves single detections.
    assert summary["AP50"] == pytest.approx(0.3416, abs=0.003)
    assert summary["AP"] == pytest.approx(0.1974, abs=0.003)
