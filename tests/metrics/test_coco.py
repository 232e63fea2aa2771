"""COCO's measures through padded batches are pycocotools' of the same objects in COCO's JSON."""

import contextlib
import io
import json
import os
import warnings
from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as codes
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from jaxnets.metrics import CocoEvaluator, evaluate_coco, keypoint_sigmas

CLASSES, IMAGES, MOST, SIDE, JOINTS = 4, 14, 9, 64, 5
SIGMAS = np.linspace(0.03, 0.1, JOINTS)
random = np.random.default_rng(5)


def made_boxes(count):
    corners = random.uniform(0, 40, (count, 2))
    return np.concatenate([corners, corners + random.uniform(2, 24, (count, 2))], 1)


def mask_of(box):
    mask = np.zeros((SIDE, SIDE), np.uint8)
    x1, y1, x2, y2 = np.round(box).astype(int)
    mask[y1:y2, x1:x2] = 1
    mask[y1 : (y1 + y2) // 2, x1 : (x1 + x2) // 2] = 0
    return mask


@pytest.fixture(scope="module")
def objects():
    """Lists of an image's true and found objects: crowds, empty images, a class without objects."""
    images = []
    for number in range(IMAGES):
        count = 0 if number in (2, 5) else random.integers(1, MOST)
        boxes = made_boxes(count)
        true = {
            "boxes": boxes,
            "labels": random.integers(0, CLASSES - 1, count),
            "crowd": random.uniform(size=count) < 0.2,
            "masks": np.array([mask_of(b) for b in boxes]).reshape(-1, SIDE, SIDE),
            "keypoints": np.concatenate(
                [
                    random.uniform(0, 60, (count, JOINTS, 2)),
                    random.integers(0, 3, (count, JOINTS, 1)),
                ],
                -1,
            ),
        }
        if number in (5, 7):
            near, labels = made_boxes(0), np.zeros(0, int)
            points = np.zeros((0, JOINTS, 3))
        else:
            near = np.concatenate(
                [boxes + random.normal(0, 1.2, boxes.shape), boxes, made_boxes(3)]
            )
            near[:, 2:] = np.maximum(near[:, 2:], near[:, :2])
            labels = np.concatenate([true["labels"]] * 2 + [random.integers(0, CLASSES, 3)])
            points = np.concatenate([true["keypoints"]] * 2 + [np.zeros((3, JOINTS, 3))])
            points = points + random.normal(0, 0.4, points.shape)
        found = {
            "boxes": near,
            "labels": labels,
            "scores": np.round(random.uniform(size=len(near)), 1),  # many are equal
            "masks": np.array([mask_of(np.clip(b, 0, SIDE)) for b in near]).reshape(-1, SIDE, SIDE),
            "keypoints": points,
        }
        images.append((true, found))
    return images


def pixels(points):
    """COCO counts pixels: the center of pixel 0 is at 0 there, and at ½ in a batch."""
    return (points - (0.5, 0.5, 0)).ravel().tolist()


def in_coco_format(objects, kind):
    annotations, results = [], []
    for image, (true, found) in enumerate(objects, 1):
        for source, entries in ((true, annotations), (found, results)):
            for i, (x1, y1, x2, y2) in enumerate(source["boxes"].tolist()):
                entry = {"image_id": image, "category_id": int(source["labels"][i])}
                box, area = [x1, y1, x2 - x1, y2 - y1], (x2 - x1) * (y2 - y1)
                code = codes.encode(np.asfortranarray(source["masks"][i]))
                if source is true:
                    entry |= {"id": len(entries) + 1, "iscrowd": int(true["crowd"][i])}
                    entry |= {"bbox": box, "segmentation": code, "area": area}
                    if kind == "segm":
                        entry["area"] = float(source["masks"][i].sum())
                    entry["num_keypoints"] = int((source["keypoints"][i, :, 2] > 0).sum())
                    entry["keypoints"] = pixels(source["keypoints"][i])
                else:
                    entry["score"] = float(source["scores"][i])
                    entry |= {
                        "bbox": {"bbox": box},
                        "segm": {"segmentation": code},
                        "keypoints": {"keypoints": pixels(source["keypoints"][i])},
                    }[kind]
                entries.append(entry)
    categories = [{"id": i, "name": str(i)} for i in range(CLASSES)]
    images = [{"id": i + 1, "height": SIDE, "width": SIDE} for i in range(len(objects))]
    return {"images": images, "annotations": annotations, "categories": categories}, results


def padded(objects, rows, amount):
    """Some of the images as a batch, with the objects in another order."""
    truth, found = {}, {}
    names = {"labels": "box_label", "crowd": "box_ignore"}
    for side, (batch, width) in enumerate(((truth, MOST + amount), (found, 2 * MOST + 3 + amount))):
        sets = [objects[row][side] for row in rows]
        for key in sets[0]:
            values = [s[key][::-1] if side == 0 else s[key] for s in sets]
            shape = (len(rows), width, *values[0].shape[1:])
            array = np.full(shape, 7, values[0].dtype)  # what padding holds is nobody's business
            for place, value in enumerate(values):
                array[place, : len(value)] = value
            batch[names.get(key, key) if side == 0 else key] = array
        mask = np.array([np.arange(width) < len(s["boxes"]) for s in sets])
        batch["box_mask" if side == 0 else "mask"] = mask
    return truth, found


def straight(truth, results, kind):
    """pycocotools itself."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of NumPy, about pycocotools
        reference = COCO()
        reference.dataset = truth
        reference.createIndex()
        measure = COCOeval(reference, reference.loadRes(results), kind)
        measure.params.kpt_oks_sigmas = SIGMAS
        measure.evaluate()
        measure.accumulate()
        measure.summarize()
    return measure.stats


@pytest.mark.parametrize("kind", ["bbox", "segm", "keypoints"])
@pytest.mark.parametrize("amount", [0, 6])
def test_batches_measure_as_pycocotools_does(kind, amount, objects):
    evaluator = CocoEvaluator(CLASSES, kind=kind, sigmas=SIGMAS)
    for start in range(0, IMAGES, 4):
        rows = np.minimum(np.arange(start, start + 4), IMAGES - 1)
        truth, found = padded(objects, rows, amount)
        evaluator.add(truth | {"example_mask": np.arange(start, start + 4) < IMAGES}, found)
    summary = evaluator.summarize()
    stats = straight(*in_coco_format(objects, kind), kind)
    values = [v for k, v in summary.items() if "/" not in k]
    assert len(values) == len(stats) and 0.05 < stats[0] < 0.95
    np.testing.assert_allclose(values, stats, rtol=0, atol=1e-9)
    by_class = [summary[f"AP/{i}"] for i in range(CLASSES)]
    assert by_class[-1] == -1  # there is nothing of the last class to find
    np.testing.assert_allclose(np.mean(by_class[:-1]), stats[0], atol=1e-9)


def test_files_measure_as_pycocotools_does(objects):
    truth, results = in_coco_format(objects, "bbox")
    summary = evaluate_coco(truth, results)
    stats = straight(truth, results, "bbox")
    np.testing.assert_allclose([v for k, v in summary.items() if "/" not in k], stats, atol=1e-9)
    # Number 0 is nothing special, and nothing is written into what was given.
    renumbered = [{**e, "id": i} for i, e in enumerate(truth["annotations"])]
    assert evaluate_coco(truth | {"annotations": renumbered}, results) == summary


def test_nothing_found_and_nothing_to_find(objects):
    truth, results = in_coco_format(objects, "bbox")
    assert evaluate_coco(truth, [])["AP"] == 0
    assert evaluate_coco(truth | {"annotations": []}, results)["AP"] == -1


def test_bad_input_is_said(objects):
    truth, results = in_coco_format(objects, "keypoints")
    with pytest.raises(ValueError, match=r"sigmas: got 17 \(the default of COCO\); expected one"):
        evaluate_coco(truth, results, kind="keypoints")
    with pytest.raises(ValueError, match="found: got image_id 99, which truth does not name"):
        evaluate_coco(truth, [{"image_id": 99, "category_id": 0, "score": 1, "bbox": [0, 0, 1, 1]}])
    evaluator = CocoEvaluator(2)
    batch, found = padded(objects, [0, 1], 0)
    with pytest.raises(ValueError, match=r"class number [23]; expected 0 to 1, as there are 2"):
        evaluator.add(batch, found)
    with pytest.raises(ValueError, match=r"found: got .* expected labels as well"):
        CocoEvaluator(CLASSES).add(batch, {k: v for k, v in found.items() if k != "labels"})
    found["scores"][0, 0] = np.nan
    with pytest.raises(ValueError, match="a score is not a finite number"):
        CocoEvaluator(CLASSES).add(batch, found)


def real_people():
    """COCO's own annotations of people with keypoints, where the machine has them."""
    root = Path(__file__).resolve().parents[3] / "shared" / "data"
    place = Path(os.environ.get("JAXNETS_TEST_DATA") or root)
    path = place / "detection" / "coco_mini_annotations" / "person_keypoints_val2017.json"
    return path if path.is_file() else None


@pytest.mark.skipif(real_people() is None, reason="needs COCO's annotations")
def test_real_keypoints_measure_as_pycocotools_does():
    """With COCO's own tolerances, crowds and people without marked keypoints among them."""
    truth = json.loads(real_people().read_text())
    rng = np.random.default_rng(0)
    results = []
    for entry in truth["annotations"]:
        points = np.array(entry["keypoints"], float).reshape(-1, 3)
        points[:, :2] += rng.normal(0, 0.05 * np.sqrt(entry["area"]), (17, 2))
        one = {k: entry[k] for k in ("image_id", "category_id")} | {"score": float(rng.uniform())}
        results.append(one | {"keypoints": points.ravel().tolist()})
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of NumPy, about pycocotools
        reference = COCO(str(real_people()))
        measure = COCOeval(reference, reference.loadRes(results), "keypoints")
        measure.evaluate()
        measure.accumulate()
        measure.summarize()
        own = COCOeval(iouType="keypoints").params.kpt_oks_sigmas
    summary = evaluate_coco(truth, results, kind="keypoints")
    values = [v for k, v in summary.items() if "/" not in k]
    assert 0.05 < measure.stats[0] < 0.95
    np.testing.assert_allclose(values, measure.stats, rtol=0, atol=1e-9)
    np.testing.assert_allclose(keypoint_sigmas(17), own)
    np.testing.assert_allclose(keypoint_sigmas(5), np.full(5, np.mean(own)))
