"""VOC's average precision against its rules, step by step, and the confusion with background."""

import numpy as np
import pytest

from jaxnets.metrics import VocEvaluator, average_precision, detection_confusion

CLASSES, IMAGES, MOST = 3, 25, 7


def voc_ap(recall, precision, method):
    """The area or the eleven points, as a loop over thresholds of recall."""
    if method == "11point":
        total = 0.0
        for tenth in range(11):
            least = np.arange(0, 1.1, 0.1)[tenth]
            there = [p for r, p in zip(recall, precision, strict=True) if r >= least]
            total += max(there, default=0.0) / 11
        return total
    total, last = 0.0, 0.0
    for i, r in enumerate(recall):
        total += (r - last) * max(precision[i:])
        last = r
    return total


def voc_eval(images, label, threshold, method):
    """One class: boxes in pixels counted from 1, the last one included, hence the + 1."""
    wanted = sum(int(((t["labels"] == label) & ~t["difficult"]).sum()) for t, _ in images)
    ranked = [
        (float(f["scores"][j]), i, f["boxes"][j])
        for i, (_, f) in enumerate(images)
        for j in np.flatnonzero(f["labels"] == label)
    ]
    ranked.sort(key=lambda entry: -entry[0])
    taken = set()
    hits, misses = [], []
    for _, image, box in ranked:
        true = images[image][0]
        best, best_at = -1.0, None
        for j in np.flatnonzero(true["labels"] == label):
            other = true["boxes"][j]
            width = min(box[2], other[2]) - max(box[0], other[0]) + 1
            height = min(box[3], other[3]) - max(box[1], other[1]) + 1
            shared = max(width, 0.0) * max(height, 0.0)
            sizes = [(b[2] - b[0] + 1) * (b[3] - b[1] + 1) for b in (box, other)]
            overlap = shared / (sum(sizes) - shared)
            if overlap > best:
                best, best_at = overlap, j
        hit = miss = 0
        if best > threshold:
            if not true["difficult"][best_at]:
                hit, miss = (0, 1) if (image, best_at) in taken else (1, 0)
                taken.add((image, best_at))
        else:
            miss = 1
        hits.append(hit)
        misses.append(miss)
    found, wrong = np.cumsum(hits), np.cumsum(misses)
    recall = found / wanted
    precision = found / np.maximum(found + wrong, np.finfo(np.float64).eps)
    return voc_ap(recall, precision, method)


@pytest.fixture(scope="module")
def images():
    random = np.random.default_rng(2)
    made = []
    for number in range(IMAGES):
        count = 0 if number % 6 == 4 else random.integers(1, MOST)
        corners = random.integers(1, 40, (count, 2))
        boxes = np.concatenate([corners, corners + random.integers(0, 30, (count, 2))], 1)
        labels = random.integers(0, CLASSES, count)
        near = np.concatenate([boxes, boxes + random.integers(-3, 4, boxes.shape)])
        near[:, 2:] = np.maximum(near[:, 2:], near[:, :2])
        found = {
            "boxes": near,
            "labels": np.concatenate(
                [labels, np.where(random.uniform(size=count) < 0.8, labels, 0)]
            ),
            "scores": np.zeros(2 * count),
        }
        made.append(
            (
                {"boxes": boxes, "labels": labels, "difficult": random.uniform(size=count) < 0.2},
                found,
            )
        )
    total = sum(len(f["scores"]) for _, f in made)
    scores = iter(random.permutation(total) / total)
    for _, found in made:
        found["scores"] = np.array([next(scores) for _ in found["scores"]])
    return made


def batch_of(images, extra=0, shift=(1, 1, 0, 0)):
    """All images as one padded batch in continuous coordinates, objects in the opposite order."""
    truth = {
        "boxes": np.full((len(images), MOST + extra, 4), 3.0),
        "box_label": np.ones((len(images), MOST + extra), int),
        "box_mask": np.zeros((len(images), MOST + extra)),
        "box_ignore": np.zeros((len(images), MOST + extra)),
    }
    width = 2 * MOST + extra
    found = {
        "boxes": np.full((len(images), width, 4), 3.0),
        "scores": np.ones((len(images), width)),
        "labels": np.ones((len(images), width), int),
        "mask": np.zeros((len(images), width), bool),
    }
    for i, (t, f) in enumerate(images):
        n, d = len(t["boxes"]), len(f["boxes"])
        truth["boxes"][i, :n] = (t["boxes"] - shift)[::-1]
        truth["box_label"][i, :n] = t["labels"][::-1]
        truth["box_mask"][i, :n] = 1
        truth["box_ignore"][i, :n] = t["difficult"][::-1]
        found["boxes"][i, :d] = f["boxes"] - shift
        found["scores"][i, :d], found["labels"][i, :d] = f["scores"], f["labels"]
        found["mask"][i, :d] = True
    return truth, found


@pytest.mark.parametrize("method", ["area", "11point"])
@pytest.mark.parametrize("threshold", [0.5, 0.7])
def test_average_precision_is_vocs(method, threshold, images):
    evaluator = VocEvaluator(CLASSES, threshold=threshold, method=method)
    for start in range(0, IMAGES, 10):
        evaluator.add(*batch_of(images[start : start + 10], extra=start))
    summary = evaluator.summarize()
    expected = [voc_eval(images, label, threshold, method) for label in range(CLASSES)]
    assert all(0.1 < value < 0.99 for value in expected)
    for label, value in enumerate(expected):
        assert summary[f"AP/{label}"] == pytest.approx(value, abs=1e-9)
    assert summary["mAP"] == pytest.approx(np.mean(expected), abs=1e-9)


def test_empty_curves():
    assert average_precision(np.zeros(0), np.zeros(0)) == 0
    assert average_precision(np.zeros(0), np.zeros(0), method="11point") == 0
    assert np.isnan(VocEvaluator(2).summarize()["mAP"])
    with pytest.raises(ValueError, match="method: got 'mean'; expected area or 11point"):
        average_precision(np.zeros(1), np.zeros(1), method="mean")


def test_confusion_counts_every_object_and_every_detection(images):
    batch = batch_of(images)
    matrix = detection_confusion(*batch, CLASSES, min_score=0.3)
    wanted = np.zeros(CLASSES, int)
    for true, _ in images:
        np.add.at(wanted, true["labels"][~true["difficult"]], 1)
    np.testing.assert_array_equal(matrix[:CLASSES].sum(1), wanted)
    assert matrix[CLASSES, CLASSES] == 0 and matrix[:CLASSES, :CLASSES].trace() > 5
    truth, found = batch
    nothing_ignored = {**truth, "box_ignore": np.zeros_like(truth["box_ignore"])}
    columns = detection_confusion(nothing_ignored, found, CLASSES, min_score=0.3).sum(0)
    sure = found["labels"][found["mask"] & (found["scores"] >= 0.3)]
    np.testing.assert_array_equal(columns[:CLASSES], np.bincount(sure, minlength=CLASSES))
    np.testing.assert_array_equal(
        detection_confusion(*batch_of(images, extra=4), CLASSES, min_score=0.3), matrix
    )


def test_confusion_of_a_case_worked_by_hand():
    truth = {
        "boxes": np.array([[[0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10.0]]]),
        "box_label": np.array([[0, 1, 0]]),
        "box_mask": np.ones((1, 3)),
        "box_ignore": np.array([[0, 0, 1]]),
    }
    found = {
        # Right class; a worse one of the same object; the wrong class; on what is ignored.
        "boxes": np.array([[[0, 0, 10, 9], [0, 0, 10, 8], [20, 0, 30, 10], [40, 0, 50, 10.0]]]),
        "labels": np.array([[0, 1, 0, 1]]),
        "scores": np.full((1, 4), 0.9),
        "mask": np.ones((1, 4), bool),
    }
    expected = [[1, 0, 0], [1, 0, 0], [0, 1, 0]]
    assert detection_confusion(truth, found, 2).tolist() == expected
    nobody = {**found, "mask": np.zeros((1, 4), bool)}
    assert detection_confusion(truth, nobody, 2).tolist() == [[0, 0, 1], [0, 0, 1], [0, 0, 0]]
