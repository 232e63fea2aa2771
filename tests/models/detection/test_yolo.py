"""YOLO v1 to v3: files of the published size, losses against NumPy, detections, learning."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxnets.errors import JaxnetsError
from jaxnets.models import create_model, model_info
from jaxnets.models.detection import (
    YOLO,
    AnchorShapes,
    Darknet,
    YOLOv1,
    mean_losses,
    parse_cfg,
    small_yolo,
    yolo_detections,
    yolo_losses,
    yolo_sections,
    yolo_v1_boxes,
    yolo_v1_detections,
    yolo_v1_losses,
)
from jaxnets.models.detection.darknet import anchors_of
from jaxnets.pretrained import read_darknet
from jaxnets.tasks.detector_files import read_detector


def leaves(name):
    model, info = create_model(name), model_info(name)
    x = jax.ShapeDtypeStruct((1, *info.input_shape), "float32")
    outputs, variables = jax.eval_shape(model.init_with_output, jax.random.key(0), x)
    return model, outputs, sum(np.prod(leaf.shape) for leaf in jax.tree.leaves(variables))


@pytest.mark.parametrize(
    ("name", "floats", "grids"),
    [
        ("yolov2", 50_983_561, [(19, 5)]),
        ("yolov3", 62_001_757, [(19, 3), (38, 3), (76, 3)]),
        ("yolov3_tiny", 8_858_734, [(13, 3), (26, 3)]),
    ],
)
def test_files_have_the_published_size(name, floats, grids):
    """yolov3.weights has 248,007,048 bytes: 62,001,757 numbers behind a head of 20."""
    model, outputs, count = leaves(name)
    assert isinstance(model, YOLO) and isinstance(model, Darknet) and count == floats
    assert [(raw.shape[1], raw.shape[3]) for raw in outputs] == grids
    assert all(raw.shape[4] == 85 for raw in outputs)


def test_yolov3_tiny_is_read_from_a_file_by_its_name(tmp_path):
    """Through the function that the command calls; a cut file and another network are refused."""
    numbers = np.random.default_rng(0).normal(0, 0.01, 8_858_734).astype("<f4")
    path = tmp_path / "yolov3-tiny.weights"
    head = np.array([0, 2, 0, 0, 0], "<i4").tobytes()
    path.write_bytes(head + np.abs(numbers).tobytes())
    detector = read_detector(path, model="yolov3_tiny")
    assert detector.size == (416, 416) and len(detector.class_names) == 80
    network, variables = read_darknet(create_model("yolov3_tiny").sections, path)
    assert variables["params"]["layer0"]["kernel"].shape == (3, 3, 3, 16)
    assert isinstance(network, Darknet)
    path.write_bytes(path.read_bytes()[:-400])
    with pytest.raises(JaxnetsError, match="cut off, or another network's"):
        read_detector(path, model="yolov3_tiny")
    with pytest.raises(JaxnetsError, match="yolov3_tiny"):
        read_detector(path, model="yolov4")


REGION = "[net]\nwidth=64\nheight=64\n[region]\nanchors=1,1, 2,0.5\nclasses=3\nsoftmax=1\nnum=2"
HEADS = (
    "[net]\nwidth=64\nheight=64\n[yolo]\nmask=1,2\nanchors=8,8, 12,30, 40,20\nclasses=3\n"
    "[yolo]\nmask=0\nanchors=8,8, 12,30, 40,20\nclasses=3\nscale_x_y=1.1"
)


def test_anchors_of_region_are_in_cells_and_of_yolo_in_pixels():
    assert anchors_of(parse_cfg(REGION)[1], 16.0) == [[16.0, 16.0], [32.0, 8.0]]
    assert anchors_of(parse_cfg(HEADS)[1], 16.0) == [[12.0, 30.0], [40.0, 20.0]]
    with pytest.raises(JaxnetsError, match="mask names anchor 3; there are 2"):
        anchors_of(parse_cfg("[net]\n[yolo]\nmask=0,3\nanchors=1,2,3,4")[1], 1.0)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_region_has_classes_by_softmax():
    raw = np.random.default_rng(0).standard_normal((1, 4, 4, 2, 8)).astype(np.float32)
    found = yolo_detections([raw], parse_cfg(REGION), threshold=1.0, min_score=0.0)
    shares = np.exp(raw[..., 5:]) / np.exp(raw[..., 5:]).sum(-1, keepdims=True)
    scores = sigmoid(raw[..., 4:5]) * shares
    best = np.unravel_index(scores.argmax(), scores.shape)
    assert float(found.scores[0, 0]) == pytest.approx(scores.max(), rel=1e-5)
    _, row, column, kind, label = best
    width = np.exp(raw[0, row, column, kind, 2]) * (16, 32)[kind]
    left = (column + sigmoid(raw[0, row, column, kind, 0])) * 16 - width / 2
    assert float(found.boxes[0, 0, 0]) == pytest.approx(left, abs=1e-3)
    assert int(found.labels[0, 0]) == label


def entropy(logit, target):
    return np.log1p(np.exp(-abs(logit))) + np.maximum(logit, 0) - logit * target


def overlap(a, b):
    left, top = np.maximum(a[:2], b[:2])
    right, bottom = np.minimum(a[2:], b[2:])
    common = max(right - left, 0) * max(bottom - top, 0)
    area = [(x[2] - x[0]) * (x[3] - x[1]) for x in (a, b)]
    return common / (sum(area) - common)


def plain_losses(outputs, sections, true, labels, ignored=0.5):
    """One image, object by object and cell by cell."""
    heads = sections[1:]
    anchors = [
        (h, k, np.array(pair))
        for h, section in enumerate(heads)
        for k, pair in enumerate(anchors_of(section, 64 / outputs[h].shape[1]))
    ]
    taken, where, what = {}, 0.0, 0.0
    for box, label in zip(true, labels, strict=True):
        size = box[2:] - box[:2]

        def alike(pair, size=size):
            common = np.minimum(size, pair).prod()
            return common / (size.prod() + pair.prod() - common)

        h, k, pair = max(anchors, key=lambda entry: alike(entry[2]))
        stride = 64 / outputs[h].shape[1]
        center = (box[:2] + box[2:]) / 2 / stride
        column, row = center.astype(int)
        if (h, row, column, k) in taken:
            continue
        taken[h, row, column, k] = True
        said = outputs[h][0, row, column, k]
        place = entropy(said[:2], center - (column, row)).sum()
        extent = 0.5 * ((said[2:4] - np.log(size / pair)) ** 2).sum()
        where += (2 - size.prod() / 64**2) * (place + extent)
        if heads[h].kind == "region":
            what -= said[5 + label] - np.log(np.exp(said[5:]).sum())
        else:
            what += entropy(said[5:], np.eye(3)[label]).sum()
    whether = 0.0
    for h, section in enumerate(heads):
        stride = 64 / outputs[h].shape[1]
        spread = section.get("scale_x_y", 1.0)
        for row, column, k in np.ndindex(outputs[h].shape[1:4]):
            said = outputs[h][0, row, column, k]
            pair = np.array(anchors_of(section, stride)[k])
            center = spread * sigmoid(said[:2]) - (spread - 1) / 2 + (column, row)
            half = pair * np.exp(said[2:4]) / 2
            box = np.concatenate((center * stride - half, center * stride + half))
            wanted = (h, row, column, k) in taken
            if wanted or max((overlap(box, t) for t in true), default=0) <= ignored:
                whether += entropy(said[4], float(wanted))
    return where, whether, what


@pytest.mark.parametrize(("cfg", "kinds"), [(REGION, [(4, 2)]), (HEADS, [(4, 2), (8, 1)])])
def test_losses_are_numpys(cfg, kinds, x64):
    drawn = np.random.default_rng(1)
    sections = parse_cfg(cfg)
    outputs = [drawn.normal(0, 0.7, (1, side, side, count, 8)) for side, count in kinds]
    true = np.array(
        [[3.0, 5, 40, 28], [20, 8, 32, 41], [1, 1, 9, 9], [22, 9, 34, 40], [0, 0, 9, 8]]
    )
    labels = np.array([0, 2, 1, 1, 2])
    images = jnp.zeros((2, 64, 64, 3))
    padded = np.zeros((2, 7, 4))
    padded[0, 1:6], padded[0, 6] = true, np.nan
    mask = np.zeros((2, 7))
    mask[0, 1:6] = 1
    marks = np.zeros((2, 7), int)
    marks[0, 1:6] = labels
    batch = {"image": images, "boxes": padded, "box_label": marks, "box_mask": mask}
    both = [jnp.asarray(np.concatenate((raw, raw))) for raw in outputs]
    alone = {**batch, "example_mask": jnp.array([1.0, 0.0])}
    found = yolo_losses(both, alone, sections)
    order = np.lexsort((true[:, 3], true[:, 2], true[:, 1], true[:, 0]))
    expected = plain_losses(outputs, sections, true[order], labels[order])
    for (total, count), value in zip(found.values(), expected, strict=True):
        assert int(count) == 5 and float(total) == pytest.approx(value, rel=1e-5)
    # An image without objects is background, and its gradients are finite.
    empty = {**batch, "example_mask": jnp.array([0.0, 1.0])}
    nothing = yolo_losses(both, empty, sections)
    assert float(nothing["boxes"][0]) == float(nothing["classes"][0]) == 0
    expected = sum(entropy(raw[..., 4], 0.0).sum() for raw in outputs)
    assert float(nothing["objectness"][0]) == pytest.approx(expected, rel=1e-5)
    slopes = jax.grad(
        lambda raw: sum(total for total, _ in yolo_losses(raw, batch, sections).values())
    )(both)
    assert all(np.isfinite(np.asarray(slope)).all() for slope in slopes)


def test_order_and_padding_of_objects_change_nothing():
    drawn = np.random.default_rng(2)
    sections = parse_cfg(HEADS)
    outputs = [drawn.normal(0, 1, (1, s, s, n, 8)).astype(np.float32) for s, n in ((4, 2), (8, 1))]
    corners = drawn.uniform(0, 40, (1, 6, 2))
    true = np.concatenate((corners, corners + drawn.uniform(3, 24, (1, 6, 2))), -1)
    batch = {"image": jnp.zeros((1, 64, 64, 3)), "boxes": true, "box_mask": np.ones((1, 6))}
    batch["box_label"] = drawn.integers(0, 3, (1, 6))
    turned = {k: v if k == "image" else v[:, ::-1] for k, v in batch.items()}
    wide = {
        k: v if k == "image" else np.pad(v, [(0, 0), (0, 3)] + [(0, 0)] * (v.ndim - 2))
        for k, v in batch.items()
    }
    first = yolo_losses(outputs, batch, sections)
    for other in (turned, wide):
        for a, b in zip(
            first.values(), yolo_losses(outputs, other, sections).values(), strict=True
        ):
            assert float(a[0]) == float(b[0])


def plain_v1(outputs, true, labels, side, size, per_cell):
    """Equation 3 for one image, cell by cell."""
    raw = outputs[..., : 5 * per_cell].reshape(side, side, per_cell, 5)
    kinds = outputs[..., 5 * per_cell :]
    sums, owners = np.zeros(5), {}
    for number, box in enumerate(true):
        center = (box[:2] + box[2:]) / 2 / size * side
        owners.setdefault(tuple(center.astype(int)[::-1]), number)
    busy = set()
    for (row, column), number in owners.items():
        box = true[number]
        center = (box[:2] + box[2:]) / 2 / size * side
        found = []
        for b in range(per_cell):
            x, y, w, h, _ = raw[row, column, b]
            middle = np.array([column + x, row + y]) / side * size
            half = np.array([w * w, h * h]) * size / 2
            found.append(overlap(np.concatenate((middle - half, middle + half)), box))
        b = int(np.argmax(found))
        busy.add((row, column, b))
        said = raw[row, column, b]
        sums[0] += 5 * ((said[:2] - (center - (column, row))) ** 2).sum()
        sums[1] += 5 * ((said[2:4] - np.sqrt((box[2:] - box[:2]) / size)) ** 2).sum()
        sums[2] += (said[4] - found[b]) ** 2
        sums[4] += ((kinds[row, column] - np.eye(kinds.shape[-1])[labels[number]]) ** 2).sum()
    for row, column, b in np.ndindex(side, side, per_cell):
        if (row, column, b) not in busy:
            sums[3] += 0.5 * raw[row, column, b, 4] ** 2
    return sums


def test_the_first_yolos_losses_are_numpys():
    drawn = np.random.default_rng(3)
    outputs = drawn.uniform(0.1, 0.9, (1, 4, 4, 13)).astype(np.float32)
    true = np.array([[2.0, 3, 20, 30], [4, 2, 19, 31], [30, 30, 60, 63]])
    labels = np.array([2, 0, 1])
    batch = {"image": jnp.zeros((1, 64, 64, 3)), "boxes": true[None], "box_mask": np.ones((1, 3))}
    batch["box_label"] = labels[None]
    found = yolo_v1_losses(outputs, batch)
    expected = plain_v1(outputs[0], true, labels, 4, 64.0, 2)
    assert list(found) == ["centers", "sizes", "objects", "nothing", "classes"]
    for (total, count), value in zip(found.values(), expected, strict=True):
        assert int(count) == 1 and float(total) == pytest.approx(value, rel=1e-4)


def test_the_first_yolo_learns_an_image_and_finds_it_again():
    """Fed directly as outputs, its losses go to what is best, and detections are the objects."""
    true = np.array([[[4.0, 4, 28, 30], [36, 34, 60, 50]]])
    batch = {"image": jnp.zeros((1, 64, 64, 3)), "boxes": true, "box_mask": np.ones((1, 2))}
    batch["box_label"] = np.array([[1, 0]])
    raw = jnp.full((1, 4, 4, 12), 0.3)
    rule = optax.adam(0.03)

    @jax.jit
    def step(raw, state):
        total = lambda r: sum(mean_losses(yolo_v1_losses(r, batch)).values())  # noqa: E731
        updates, state = rule.update(jax.grad(total)(raw), state)
        return optax.apply_updates(raw, updates), state

    state = rule.init(raw)
    for _ in range(300):
        raw, state = step(raw, state)
    found = yolo_v1_detections(raw, (64, 64), min_score=0.5)
    assert int(found.mask[0].sum()) == 2
    order = np.argsort(np.asarray(found.boxes[0, :2, 0]))
    np.testing.assert_allclose(np.asarray(found.boxes[0])[:2][order], true[0], atol=0.5)
    assert np.asarray(found.labels[0])[:2][order].tolist() == [1, 0]
    corners, sure, kinds = yolo_v1_boxes(raw, (64, 64))
    assert corners.shape == (1, 4, 4, 2, 4) and sure.shape[-1] == 2 and kinds.shape[-1] == 2


def test_the_first_yolo_has_seven_by_seven_cells_only_at_its_own_size():
    """A small one, with dropout before its last layer."""
    stages = (((4, 7),), ((4, 3),), ((4, 1), (4, 3), (4, 3), (4, 3)))
    network = YOLOv1(3, side=2, stages=stages, hidden=8)
    x = jnp.zeros((1, 32, 32, 3))
    variables = network.init(jax.random.key(0), x)
    assert network.apply(variables, x).shape == (1, 2, 2, 13)
    key = {"dropout": jax.random.key(1)}
    x = jax.random.uniform(jax.random.key(2), x.shape)
    assert (network.apply(variables, x, train=True, rngs=key) != network.apply(variables, x)).any()


def test_a_canvas_may_end_in_the_middle_of_a_cell():
    """56×72 has cells of 32 pixels at stride 32, not of 24: near the far corner all is learned."""
    anchors = AnchorShapes((((6, 6),), ((14, 14),), ((30, 30),)))
    sections = yolo_sections(anchors, 1, (56, 72))
    true = jnp.array([[[40.0, 24, 70, 54]]])  # its center lies in row 1, column 1 of stride 32
    batch = {"image": jnp.zeros((1, 56, 72, 3)), "boxes": true, "box_mask": jnp.ones((1, 1))}
    batch["box_label"] = jnp.zeros((1, 1), int)
    network = small_yolo(1, anchors, width=2)
    x = jax.ShapeDtypeStruct((1, 56, 72, 3), "float32")
    made = jax.eval_shape(network.init_with_output, jax.random.key(0), x)[0]
    raw = [jnp.full(each.shape, -9.0) for each in made]
    inside = jnp.array([55.0, 39.0]) / 32 - 1
    best = jnp.concatenate((jnp.log(inside / (1 - inside)), jnp.zeros(2), jnp.full(2, 9.0)))
    raw[2] = raw[2].at[0, 1, 1, 0].set(best)
    found = yolo_detections(raw, sections, min_score=0.5)
    assert int(found.mask.sum()) == 1
    np.testing.assert_allclose(found.boxes[0, 0], true[0, 0], atol=1e-3)
    # The least that cross entropy with this place can be.
    least = -(inside * jnp.log(inside) + (1 - inside) * jnp.log(1 - inside)).sum()
    least = least * (2 - 900 / (56 * 72))
    assert float(yolo_losses(raw, batch, sections)["boxes"][0]) == pytest.approx(
        float(least), rel=1e-4
    )


def test_an_object_without_width_counts_as_a_pixel_wide():
    """BCCD holds two; the logarithm of their width would outweigh all other objects."""
    sections = parse_cfg("[net]\n[yolo]\nmask=0\nanchors=8,8\nclasses=2")
    raw = [jnp.zeros((1, 2, 2, 1, 7))]

    def loss(right):
        batch = {
            "image": jnp.zeros((1, 16, 16, 3)),
            "boxes": jnp.array([[[4.0, 2.0, right, 6.0]]]),
            "box_label": jnp.array([[1]]),
            "box_mask": jnp.ones((1, 1)),
        }
        return float(yolo_losses(raw, batch, sections)["boxes"][0])

    # 2 − the share of the image, times twice ln 2 of the place, and half (ln 1/8)² + (ln 4/8)².
    large = 0.5 * (np.log(1 / 8) ** 2 + np.log(4 / 8) ** 2)
    share = 2 - 4 / 256
    # Its center is at 0.5 in the grid's cell, where the cross entropy of σ(0) is ln 2.
    assert loss(4.0) == pytest.approx(share * (2 * np.log(2) + large), rel=1e-5)
    assert loss(4.0) < loss(12.0) + 8
