"""Networks of darknet's cfg files: layers by hand, weights in their order, what is refused."""

import itertools
import os
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jaxnets import data, metrics
from jaxnets.errors import JaxnetsError
from jaxnets.models.detection import Darknet, parse_cfg, yolo_detections
from jaxnets.pretrained import read_darknet

ROOT = Path(__file__).resolve().parents[3]
CFG = """
[net]
width=16   # of the input
height=16
channels=3

[convolutional]
batch_normalize=1
filters=4
size=3
stride=2
pad=1
activation=leaky

[convolutional]
groups=2
filters=4
size=1
activation=linear

[shortcut]
from=-2
activation=linear

[maxpool]
size=2
stride=1

[maxpool]
size=2
stride=2

[upsample]
stride=2

[route]
layers=-1,0

[dropout]
probability=.5

[convolutional]
filters=14
size=1
activation=linear

[yolo]
mask=1,2
anchors=4,4, 8,6, 10,12
classes=2
"""


@pytest.fixture
def weights(tmp_path):
    """A file of weights for CFG, and its numbers by layer."""
    random = np.random.default_rng(0)
    parts = {
        "0": [random.standard_normal(4) for _ in range(3)]
        + [random.uniform(0.5, 2, 4), random.standard_normal((4, 3, 3, 3))],
        "1": [random.standard_normal(4), random.standard_normal((4, 2, 1, 1))],
        "8": [random.standard_normal(14), random.standard_normal((14, 8, 1, 1))],
    }
    parts = {k: [a.astype(np.float32) for a in v] for k, v in parts.items()}
    head = np.array([0, 2, 5, 123, 0], np.int32).tobytes()
    path = tmp_path / "small.weights"
    path.write_bytes(head + b"".join(a.tobytes() for a in itertools.chain(*parts.values())))
    return path, parts


def by_hand(x, parts):
    """The network of CFG in NumPy, float64, one image (H, W, C)."""
    bias, scale, mean, var, kernel = (a.astype(float) for a in parts["0"])
    padded = np.pad(x, ((1, 1), (1, 1), (0, 0)))
    y = np.zeros((8, 8, 4))
    for i, j in itertools.product(range(8), repeat=2):
        window = padded[2 * i : 2 * i + 3, 2 * j : 2 * j + 3]
        y[i, j] = np.einsum("hwc,ochw->o", window, kernel)
    first = scale * (y - mean) / np.sqrt(var + 1e-5) + bias
    first = np.where(first > 0, first, 0.1 * first)
    bias, kernel = (a.astype(float) for a in parts["1"])
    halves = [first[..., 2 * g : 2 * g + 2] @ kernel[2 * g : 2 * g + 2, :, 0, 0].T for g in (0, 1)]
    y = np.concatenate(halves, -1) + bias + first
    wide = np.pad(y, ((0, 1), (0, 1), (0, 0)), constant_values=-np.inf)
    y = np.max([wide[i : i + 8, j : j + 8] for i in (0, 1) for j in (0, 1)], 0)
    y = y.reshape(4, 2, 4, 2, 4).max((1, 3)).repeat(2, 0).repeat(2, 1)
    bias, kernel = (a.astype(float) for a in parts["8"])
    return np.concatenate([y, first], -1) @ kernel[..., 0, 0].T + bias


def test_a_network_is_what_its_file_says(weights):
    path, parts = weights
    network, variables = read_darknet(CFG, path)
    x = np.random.default_rng(1).uniform(size=(2, 16, 16, 3)).astype(np.float32)
    (output,) = jax.jit(network.apply)(variables, x)
    expected = np.stack([by_hand(image.astype(float), parts) for image in x])
    # Sums of some dozen products in float32.
    np.testing.assert_allclose(output, expected.reshape(2, 8, 8, 2, 7), rtol=1e-4, atol=1e-4)
    shapes = jax.eval_shape(network.init, jax.random.key(0), x)
    assert jax.tree.map(jnp.shape, variables) == jax.tree.map(jnp.shape, shapes)

    found = jax.jit(lambda y: yolo_detections(y, network.sections, min_score=0.3))((output,))
    best = int(found.scores[0].argmax())
    i, j, a = np.unravel_index(int(found.index[0, best]), (8, 8, 2))
    raw = expected.reshape(2, 8, 8, 2, 7)[0, i, j, a]

    def sigmoid(v):
        return 1 / (1 + np.exp(-v))

    center = (sigmoid(raw[:2]) + np.array([j, i])) * 2
    half = np.array([[8, 6], [10, 12]])[a] * np.exp(raw[2:4]) / 2
    np.testing.assert_allclose(
        found.boxes[0, best], [*(center - half), *(center + half)], rtol=1e-3
    )
    score = sigmoid(raw[4]) * sigmoid(raw[5 + int(found.labels[0, best])])
    np.testing.assert_allclose(found.scores[0, best], score, rtol=1e-3)


def test_reorg_is_darknets():
    network = Darknet(parse_cfg("[net]\n[reorg]\nstride=2"))
    channels, height, width = 8, 4, 4
    x = np.arange(height * width * channels * 1.0).reshape(1, height, width, channels)
    y = np.asarray(network.apply({}, jnp.asarray(x)))
    # The loop of its C code: memory in the order (C, H, W), read as (C/4, 2H, 2W).
    flat, out = x[0].transpose(2, 0, 1).ravel(), np.zeros(x.size)
    for k, j, i in itertools.product(range(channels), range(height), range(width)):
        offset, c = divmod(k, channels // 4)
        column, row = 2 * i + offset % 2, 2 * j + offset // 2
        out[i + width * (j + height * k)] = flat[column + 2 * width * (row + 2 * height * c)]
    np.testing.assert_array_equal(y[0], out.reshape(32, 2, 2).transpose(1, 2, 0))


def test_weights_that_do_not_fit_are_refused(weights, tmp_path):
    path, _ = weights
    content = path.read_bytes()
    (tmp_path / "short").write_bytes(content[:-400])
    with pytest.raises(
        JaxnetsError, match=r"short ends after .* numbers; \[convolutional\] in line"
    ):
        read_darknet(CFG, tmp_path / "short")
    (tmp_path / "long").write_bytes(content + b"\0" * 8)
    with pytest.raises(JaxnetsError, match=r"long holds .* numbers; expected .*another network"):
        read_darknet(CFG, tmp_path / "long")
    (tmp_path / "none").write_bytes(b"")
    with pytest.raises(JaxnetsError, match="none has 0 bytes; expected darknet's weights"):
        read_darknet(CFG, tmp_path / "none")
    with pytest.raises(JaxnetsError, match=r"can't read .*gone: No such file"):
        read_darknet(CFG, tmp_path / "gone")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[net]\n[lstm]", r"line 2: unknown section \[lstm\]; expected one of \[avgpool\]"),
        ("[maxpool]", r"the cfg does not begin with \[net\]"),
        ("[net]\nwidth", r"line 2: 'width'; expected \[section\] or name=value"),
    ],
)
def test_what_is_wrong_with_a_cfg_is_said(text, message):
    with pytest.raises(JaxnetsError, match=message):
        parse_cfg(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[convolutional]\nfilters=two", "filters=two; expected int"),
        ("[convolutional]\nactivation=gelu", "unknown activation 'gelu'"),
        ("[route]\nlayers=-3", r"\[route\] in line 2 names layer -3; expected one before it"),
        ("[maxpool]\nstride=2\n[route]\nlayers=0\n[shortcut]\nfrom=9", "names layer 9; expected"),
        ("[yolo]\nmask=0\nclasses=1", r"\[yolo\] in line 2 gets 3 channels; expected 6: 1 anchors"),
    ],
)
def test_sections_that_do_not_fit_are_refused(text, message):
    network = Darknet(parse_cfg(f"[net]\n{text}"))
    with pytest.raises(JaxnetsError, match=message):
        jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, 8, 8, 3)))


def test_scale_x_y_lets_centers_reach_their_cell_s_border():
    """YOLO v4: x = s·σ(t) − (s − 1)/2; at t = ±ln 4, σ is ⅘ and ⅕."""
    cfg = "[net]\nwidth=16\n[yolo]\nmask=0\nanchors=4,4\nclasses=1\nscale_x_y={}"
    raw = np.zeros((1, 2, 2, 1, 6), np.float32)
    raw[..., :2] = np.log(4) * np.array([1, -1])
    raw[..., 4:] = 9.0
    for scale, places in ((1.0, (0.8, 0.2)), (1.2, (0.86, 0.14)), (2.0, (1.1, -0.1))):
        found = yolo_detections([raw], parse_cfg(cfg.format(scale)), threshold=1.0, max_outputs=4)
        centers = (np.asarray(found.boxes[0, :, :2]) + np.asarray(found.boxes[0, :, 2:])) / 2
        expected = {(8 * (i + places[0]), 8 * (j + places[1])) for i in (0, 1) for j in (0, 1)}
        order = np.lexsort(centers.T[::-1].round(2))
        np.testing.assert_allclose(centers[order], sorted(expected), atol=1e-4)
    with pytest.raises(JaxnetsError, match="new_coords"):
        yolo_detections([raw], parse_cfg(cfg.format(1.0) + "\nnew_coords=1"))


def shared_data():
    """The folder of real data and weights, where the machine has it."""
    for place in (os.environ.get("JAXNETS_TEST_DATA"), ROOT.parent / "shared" / "data"):
        if place and (Path(place) / "weights" / "yolo_fastest").is_dir():
            return Path(place)
    return None


@pytest.mark.slow
@pytest.mark.skipif(shared_data() is None, reason="needs Yolo-Fastest's weights and COCO's images")
def test_yolo_fastest_finds_what_it_is_known_to_find():
    """AP50 36.5 is published for these 128 images at 640 pixels; here they have 352."""
    name = str(shared_data() / "weights" / "yolo_fastest" / "yolo-fastest-1.1")
    network, variables = read_darknet(f"{name}.cfg", f"{name}.weights")
    folder = shared_data() / "detection" / "coco128_val"
    source = data.read_coco(folder / "instances.json", size=352, ignored=True)
    find = jax.jit(lambda x: yolo_detections(network.apply(variables, x), network.sections))
    evaluator = metrics.CocoEvaluator(len(source.class_names))
    for start in range(0, len(source), 16):
        rows = np.arange(start, start + 16)
        truth = source.take(rows)
        size = truth["image_size"]
        images = []
        for image, (height, width) in zip(truth["image"], size, strict=True):
            # Darknet stretches an image to the network's square.
            inside = Image.fromarray(image[:height, :width])
            images.append(np.asarray(inside.resize((320, 320), Image.Resampling.BILINEAR)))
        found = find(np.stack(images).astype(np.float32) / 255)
        factors = np.concatenate([size[:, ::-1], size[:, ::-1]], 1) / 320
        evaluator.add(truth, found._replace(boxes=found.boxes * factors[:, None]))
    summary = evaluator.summarize()
    # Measured: .3496 and .1480; float32 rounding moves single detections.
    assert summary["AP50"] == pytest.approx(0.3496, abs=0.003)
    assert summary["AP"] == pytest.approx(0.148, abs=0.003)
