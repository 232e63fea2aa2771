"""Video metrics against the published evaluations' own figures, and what must not matter."""

import json
from pathlib import Path

import numpy as np
import pytest

from jaxnets.metrics import (
    ava_average_precision,
    temporal_average_precision,
    temporal_iou,
    video_accuracy,
    video_predictions,
)

STORED = json.loads(
    (Path(__file__).resolve().parents[1] / "golden" / "video_evaluation.json").read_text()
)


def ava_rows(name, last):
    return [
        {"video": r[0], "second": r[1], "box": r[2:6], "action": r[6], last: r[7]}
        for r in STORED[name]
    ]


def test_activitynet_s_fixture():
    """The figure that ActivityNet's evaluation code gives for these files."""
    truth, found = STORED["activitynet_truth"], STORED["activitynet_found"]
    result = temporal_average_precision(truth, found)
    assert result["mean"] == pytest.approx(0.6177579365, abs=1e-10)
    assert len(result["mean_ap"]) == 10
    # Detections of classes and videos that are not in the truth change nothing.
    more = {**found, "another": [[0, 1, "nothing", 1.0]]}
    assert temporal_average_precision(truth, more)["mean"] == result["mean"]
    with pytest.raises(ValueError, match="no instances"):
        temporal_average_precision({"a": []}, found)


def test_ava_s_fixture():
    """The figures that SlowFast's copy of AVA's evaluation code gives."""
    result = ava_average_precision(
        ava_rows("ava_truth", "person"), ava_rows("ava_found", "score"), actions=(1, 2, 3)
    )
    assert result["mean_ap"] == pytest.approx(0.0938552, abs=1e-7)
    assert result["ap"][2] == 0 and result["ap"][3] == pytest.approx(1 / 9)
    with pytest.raises(ValueError, match="none of the actions"):
        ava_average_precision(ava_rows("ava_truth", "person"), [], actions=(9,))


def test_a_second_detection_of_one_person_is_wrong():
    person = {"video": "a", "second": 1, "box": (0, 0, 1, 1), "action": 1}
    twice = [person | {"score": 0.9}, person | {"score": 0.8}]
    two = [person, person | {"box": (2, 2, 3, 3)}]
    assert ava_average_precision(two, twice)["mean_ap"] == 0.5
    elsewhere = [person | {"score": 0.9}, person | {"second": 7, "score": 1.0}]
    assert ava_average_precision([person], elsewhere)["mean_ap"] == 1.0  # not annotated: left out


def test_temporal_iou_of_degenerate_segments():
    assert temporal_iou((1, 1), [[1, 1], [0, 2]]).tolist() == [0, 0]
    assert temporal_iou((0, 2), np.zeros((0, 2))).shape == (0,)


def test_the_order_of_views_does_not_matter():
    random = np.random.default_rng(0)
    ids = np.repeat([4, 9, 2], 30)  # ten clips, three crops
    scores = random.dirichlet(np.ones(5), 90)
    order = random.permutation(90)
    first, second = video_predictions(scores, ids), video_predictions(scores[order], ids[order])
    np.testing.assert_array_equal(first[0], [2, 4, 9])
    np.testing.assert_allclose(first[1], second[1], rtol=1e-12)
    np.testing.assert_allclose(first[1][1], scores[:30].mean(0), rtol=1e-12)
    with pytest.raises(ValueError, match="several labels"):
        video_accuracy(scores, np.arange(90) % 5, ids)
    with pytest.raises(ValueError, match="expected"):
        video_predictions(scores, ids[:3])


def test_top_k_of_clips_and_videos():
    scores = np.array([[0.5, 0.3, 0.2], [0.1, 0.5, 0.4], [0.4, 0.35, 0.25]])
    labels, ids = np.array([1, 1, 2]), np.array([0, 0, 1])
    assert video_accuracy(scores, labels, ids) == {"clip": 1 / 3, "video": 0.5}
    assert video_accuracy(scores, labels, ids, k=2) == {"clip": 2 / 3, "video": 0.5}
    assert video_accuracy(scores, labels, ids, k=3) == {"clip": 1.0, "video": 1.0}
