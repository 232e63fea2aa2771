"""Selective search and growing boxes, beside scikit-image, scikit-learn and naive computations.

tests/golden/make_proposals.py stored what scikit-image and OpenCV give.
"""

import json
import os
import runpy
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from jaxnets.data import load_objects, read_image
from jaxnets.data.proposals import (
    COLOR_SPACES,
    MODES,
    SIMILARITIES,
    describe_regions,
    group_regions,
    grow_box,
    grow_boxes,
    neighbors,
    objectness,
    segment_graph,
    selective_search,
    similarity,
    to_color_space,
)
from jaxnets.errors import JaxnetsError, UnknownNameError
from jaxnets.metrics import proposal_quality

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
MADE = runpy.run_path(str(GOLDEN / "make_proposals.py"))
STORED = np.load(GOLDEN / "proposals.npz")
DATA = Path(os.environ.get("JAXNETS_TEST_DATA") or GOLDEN.parents[2] / "shared" / "data")
PENNFUDAN = DATA / "detection" / "pennfudan"


@pytest.mark.parametrize("name", MADE["PICTURES"])
@pytest.mark.parametrize("k, min_size", MADE["SETTINGS"])
def test_segments_are_those_of_scikit_image(name, k, min_size):
    """Its `felzenszwalb`; where differences of neighbors are equal, it takes them in any order."""
    theirs = STORED[f"segments/{name}/{k}/{min_size}"]
    ours = segment_graph(MADE["pictures"]()[name], k=k, sigma=0.8, min_size=min_size)
    assert len(np.unique(theirs)) > 3
    assert adjusted_rand_score(theirs.ravel(), ours.ravel()) > 0.999


def test_segments_are_the_algorithm_s_word_for_word():
    """Without leaving any pair out."""
    rng = np.random.default_rng(0)
    image = rng.integers(0, 120, (14, 17, 3)).astype(np.float64)
    image[4:9, 3:12] += 60
    for k, least in ((30.0, 1), (150.0, 1), (150.0, 8), (900.0, 3)):
        np.testing.assert_array_equal(
            segment_graph(image, k=k, sigma=0, min_size=least), naive_segments(image, k, least)
        )


def naive_segments(image, k, least):
    height, width = image.shape[:2]
    edges = []
    for dy, dx in ((0, 1), (1, 0), (1, 1), (1, -1)):
        for y in range(height - dy):
            for x in range(max(0, -dx), width - max(0, dx)):
                other = (y + dy, x + dx)
                cost = np.sqrt(((image[y, x] - image[other]) ** 2).sum())
                edges.append((cost, (y, x), other))
    edges.sort(key=lambda edge: edge[0])
    members = {(y, x): frozenset([(y, x)]) for y in range(height) for x in range(width)}
    inside = dict.fromkeys(members.values(), 0.0)

    def join(a, b, cost):
        both = a | b
        inside[both] = cost
        for pixel in both:
            members[pixel] = both

    for cost, one, other in edges:
        a, b = members[one], members[other]
        if a is not b and cost < min(inside[a] + k / len(a), inside[b] + k / len(b)):
            join(a, b, cost)
    for cost, one, other in edges:
        a, b = members[one], members[other]
        if a is not b and min(len(a), len(b)) < least:
            join(a, b, cost)
    numbers: dict = {}
    labels = np.zeros((height, width), int)
    for y in range(height):
        for x in range(width):
            labels[y, x] = numbers.setdefault(members[y, x], len(numbers))
    return labels


@pytest.mark.parametrize("name", ["hsv", "lab"])
def test_colors_are_those_of_scikit_image(name):
    colors = MADE["colors"]()
    ours, theirs = to_color_space(colors, name), STORED[f"colors/{name}"]
    scale, shift = (255, 0) if name == "hsv" else (np.array([2.55, 1, 1]), [0, 128, 128])
    # Its sRGB constants have three digits less.
    np.testing.assert_allclose(ours, theirs * scale + shift, atol=1e-6 if name == "hsv" else 0.02)


def test_all_colors_stay_in_their_range():
    steps = np.arange(0, 256, 51, dtype=np.uint8)
    colors = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(36, 6, 3)
    for name in COLOR_SPACES:
        found = to_color_space(colors, name)
        assert found.min() >= 0 and found.max() <= 255.000001, name
    shaded = to_color_space(np.array([[[40, 60, 20]], [[80, 120, 40]]]), "rgi")
    np.testing.assert_allclose(shaded[0, 0, :2], shaded[1, 0, :2])
    with pytest.raises(UnknownNameError, match=r"color space 'hvs'.*hsv"):
        to_color_space(colors, "hvs")


def example(seed=0, side=24):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (side, side + 6, 3)).astype(np.uint8)
    image[6:15, 4:20] = rng.integers(60, 120, (9, 16, 3))
    labels = segment_graph(image, k=60, min_size=10)
    return to_color_space(image, "lab"), labels


def test_similarities_are_those_of_the_pixels_and_lie_between_0_and_1():
    image, labels = example()
    regions, pairs = describe_regions(image, labels), neighbors(labels)
    assert len(pairs) > 5
    a, b = pairs.T
    found = {name: similarity(regions, a, b, [name]) for name in SIMILARITIES}
    assert all(each.min() >= 0 and each.max() <= 1 for each in found.values())
    total = sum(found.values())
    np.testing.assert_allclose(similarity(regions, a, b), total)
    for row, (i, j) in enumerate(pairs):
        one, other = labels == i, labels == j
        # They touch.
        assert (np.roll(one, 1, 0)[1:] & other[1:]).any() or any(
            (np.roll(one, shift, axis) & other).any() for axis in (0, 1) for shift in (-1, 1)
        )
        histograms = []
        for mask in (one, other):
            parts = [np.histogram(image[mask][:, c], 25, (0, 255))[0] for c in range(3)]
            histograms.append(np.concatenate(parts) / (3 * mask.sum()))
        np.testing.assert_allclose(found["color"][row], np.minimum(*histograms).sum())
        size = (one.sum() + other.sum()) / labels.size
        np.testing.assert_allclose(found["size"][row], 1 - size)
        rows, columns = np.nonzero(one | other)
        box = (np.ptp(rows) + 1) * (np.ptp(columns) + 1) / labels.size
        np.testing.assert_allclose(found["fill"][row], 1 - (box - size))


def test_texture_knows_directions():
    """Stripes differ from stripes across them, and not from stripes moved along."""
    image = np.zeros((24, 72, 1))
    image[:, :24] = 255 * (np.arange(24) // 3 % 2)[None, :, None]
    image[:, 24:48] = 255 * (np.arange(24) // 3 % 2)[:, None, None]
    image[:, 48:] = image[:, :24]
    labels = np.repeat(np.arange(3), 24)[None].repeat(24, 0)
    regions = describe_regions(image, labels)
    across, same = similarity(regions, np.array([0, 0]), np.array([1, 2]), ["texture"])
    assert across < 0.8 and same > 0.95


@pytest.mark.parametrize("measures", [SIMILARITIES, ("fill",), ("size", "texture")])
def test_grouping_joins_the_most_similar_neighbors_until_one_is_left(measures):
    image, labels = example(1)
    regions, pairs = describe_regions(image, labels), neighbors(labels)
    tree = group_regions(regions, pairs, measures)
    count = int(labels.max()) + 1
    assert len(tree.children) == count - 1 and len(tree.boxes) == 2 * count - 1
    # Everything but the last is the child of exactly one union.
    assert sorted(tree.children.ravel()) == list(range(2 * count - 2))
    assert tree.boxes[-1].tolist() == [0, 0, 30, 24] and tree.sizes[-1] == labels.size
    # Step by step, from the pixels of each union.
    masks = [labels == i for i in range(count)]
    alive = dict(enumerate(masks))
    for step, (a, b) in enumerate(tree.children.tolist()):
        current = np.full(labels.shape, -1)
        names = sorted(alive)
        for place, name in enumerate(names):
            current[alive[name]] = place
        now = describe_regions(image, current)
        near = neighbors(current)
        values = similarity(now, near[:, 0], near[:, 1], measures)
        best = near[values.argmax()]
        assert values.max() == pytest.approx(tree.similarities[step])
        chosen = sorted((names.index(a), names.index(b)))
        row = np.flatnonzero((near == chosen).all(1))
        assert values[row][0] == pytest.approx(values.max()), (best, chosen)
        both = alive.pop(a) | alive.pop(b)
        rows, columns = np.nonzero(both)
        box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert tree.boxes[count + step].tolist() == box
        alive[count + step] = both


def scene():
    """Three objects on an uneven ground."""
    rng = np.random.default_rng(3)
    image = 90 + np.linspace(0, 40, 96)[None, :, None] + rng.normal(0, 4, (80, 96, 3))
    boxes = np.float32([[8, 10, 40, 60], [52, 20, 88, 44], [60, 54, 76, 72]])
    for (x1, y1, x2, y2), color in zip(boxes.astype(int), ((200, 50, 60), (40, 160, 70), (60,) * 3),
                                       strict=True):  # fmt: skip
        image[y1:y2, x1:x2] = color + rng.normal(0, 6, (y2 - y1, x2 - x1, 3))
    return np.clip(image, 0, 255).astype(np.uint8), boxes


def test_selective_search_covers_objects():
    image, objects = scene()
    found = selective_search(image)
    quality = proposal_quality([found], [objects])
    assert quality.recall == 1 and quality.mean_best_overlap > 0.85
    assert len(np.unique(found, axis=0)) == len(found)
    assert found.min() >= 0 and (found[:, 2:] <= [96, 80]).all()
    assert (found[:, 2:] > found[:, :2]).all() and [0, 0, 96, 80] in found.tolist()


def test_more_strategies_find_more_and_a_larger_scale_less():
    image, _ = scene()
    counts = [len(selective_search(image, mode=mode)) for mode in ("single", "fast")]
    assert counts[0] < counts[1]
    assert len(selective_search(image, mode="single", scale=2.0)) < 0.8 * counts[0]
    assert len(MODES["fast"].color_spaces) * len(MODES["fast"].measures) * 2 == 8
    few = selective_search(image, mode="single", max_boxes=5, min_side=20)
    assert len(few) == 5 and ((few[:, 2:] - few[:, :2]) >= 20).all()
    np.testing.assert_array_equal(
        selective_search(image, mode="single"), selective_search(image, mode="single")
    )


def test_one_gray_image_gives_the_whole_image():
    boxes = selective_search(np.full((9, 12, 3), 70, np.uint8))
    assert boxes.tolist() == [[0, 0, 12, 9]]
    assert grow_boxes(np.full((9, 12, 3), 70, np.uint8)).shape[1] == 4


def test_boxes_grow_to_exactly_the_tight_ones():
    rng = np.random.default_rng(0)
    for _ in range(40):
        # A connected shape, by random steps.
        mask, place = np.zeros((30, 40), bool), rng.integers(8, 20, 2)
        for _ in range(rng.integers(1, 200)):
            mask[tuple(place)] = True
            place = np.clip(place + rng.integers(-1, 2, 2), 0, (29, 39))
        rows, columns = np.nonzero(mask)
        tight = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        pick = rng.integers(len(rows))
        assert grow_box(mask, (rows[pick], columns[pick])).tolist() == tight
        assert grow_boxes(mask, reaches=[1]).tolist() == [tight]


def test_a_long_reach_frames_all_objects():
    mask = np.zeros((50, 60), bool)
    mask[3:9, 5:15] = mask[20:40, 30:33] = mask[44:46, 50:58] = True
    assert grow_box(mask, (5, 5)).tolist() == [5, 3, 15, 9]
    assert grow_box(mask, (5, 5), reach=20).tolist() == [5, 3, 58, 46]
    found = grow_boxes(mask, reaches=[1, 60]).tolist()
    assert [5, 3, 15, 9] in found and [30, 20, 33, 40] in found and [5, 3, 58, 46] in found


def test_objectness_is_high_on_objects():
    image, objects = scene()
    found = objectness(image)
    x1, y1, x2, y2 = objects[0].astype(int)
    assert found[y1:y2, x1:x2].mean() > 2 * found[62:, :50].mean()
    assert found.min() >= 0 and found.max() <= 1


def test_quality_of_proposals():
    boxes = [
        np.float32([[0, 0, 10, 10], [20, 20, 30, 40]]),
        np.zeros((0, 4)),
        np.float32([[0, 0, 8, 8]]),
    ]
    given = [np.float32([[0, 0, 10, 5]]), np.float32([[0, 0, 1, 1]]), np.zeros((0, 4))]
    labels = [np.array([0, 1]), np.zeros(0, int), np.array([0])]
    quality = proposal_quality(given, boxes, labels)
    # Class 0: ½ and 0; class 1: 0.
    assert quality.mean_best_overlap == pytest.approx(0.125)
    assert quality.recall == pytest.approx(1 / 3) and quality.proposals == pytest.approx(2 / 3)
    assert np.isnan(proposal_quality([np.zeros((0, 4))], [np.zeros((0, 4))]).recall)
    with pytest.raises(ValueError, match="got 1, 3 and 3"):
        proposal_quality(given[:1], boxes, labels)


def test_what_is_wrong_is_said():
    image = np.zeros((8, 8, 3), np.uint8)
    with pytest.raises(JaxnetsError, match=r"got shape \(8, 8\); expected \(H, W, 3\)"):
        selective_search(image[..., 0])
    with pytest.raises(UnknownNameError, match=r"'quick'.*fast"):
        selective_search(image, mode="quick")
    with pytest.raises(JaxnetsError, match="scale: got 0"):
        selective_search(image, scale=0)
    with pytest.raises(JaxnetsError, match="expected 0 or more"):
        segment_graph(image, k=-1)
    with pytest.raises(UnknownNameError, match=r"'colour'.*color"):
        group_regions(*(f(np.array([[0, 1]])) for f in (
            lambda labels: describe_regions(np.zeros((1, 2, 1)), labels), neighbors
        )), measures=["colour"])  # fmt: skip
    with pytest.raises(JaxnetsError, match="where it is true"):
        grow_box(np.zeros((4, 4), bool), (1, 1))
    with pytest.raises(JaxnetsError, match="reach: got 0"):
        grow_box(np.ones((4, 4), bool), (1, 1), reach=0)
    with pytest.raises(JaxnetsError, match="numbers from 0 to 1"):
        grow_boxes(image, shares=[30])


@pytest.mark.slow
@pytest.mark.skipif(not PENNFUDAN.is_dir(), reason="needs the Penn-Fudan pedestrians")
def test_pedestrians_are_covered_as_well_as_by_opencv():
    stored = json.loads((GOLDEN / "opencv_proposals.json").read_text())
    images = load_objects(PENNFUDAN, "test", size=64).images[: stored["images"]]
    pictures, truth = [read_image(one.path) for one in images], [one.boxes for one in images]
    found = [selective_search(picture) for picture in pictures]
    # As many as OpenCV has, on average.
    count = round(stored["fast"]["proposals"])
    for boxes in (found, [each[:count] for each in found]):
        quality = proposal_quality(boxes, truth)
        assert quality.mean_best_overlap >= stored["fast"]["mean_best_overlap"] - 0.03
        assert quality.recall >= stored["fast"]["recall"] - 0.05
    grown = proposal_quality([grow_boxes(picture) for picture in pictures], truth)
    assert 0.1 < grown.recall < quality.recall - 0.5
