"""Generated events, and annotations with features, in one form."""

import json

import numpy as np
import pytest

from jaxnets.data.video import activity_sequences, read_features, synthetic_events
from jaxnets.errors import JaxnetsError


def test_events_are_where_the_segments_say_and_neither_stream_tells_the_class():
    made = synthetic_events(np.random.default_rng(0), 300, strength=6.0)
    inside = {0: [], 1: [], 2: [], 3: []}
    for n in range(300):
        real = made["segments"][n][made["segment_mask"][n] > 0]
        assert (real[:, 1] > real[:, 0]).all() and real.min() >= 0 and real.max() <= 96
        ordered = real[real[:, 0].argsort()]
        assert (ordered[1:, 0] > ordered[:-1, 1]).all()
        for (start, end), label in zip(real, made["segment_label"][n], strict=False):
            steps = slice(int(np.ceil(start)), int(end))
            inside[int(label)].append(made["sequence"][n, steps].mean(0))
    mean = np.array([np.mean(inside[label], 0) for label in range(4)])
    np.testing.assert_allclose(np.linalg.norm(mean.reshape(4, 2, 8), axis=-1), 6.0, atol=0.5)
    # Classes 2k and 2k + 1 look alike, those of equal motion move alike.
    np.testing.assert_allclose(mean[0, :8], mean[1, :8], atol=0.5)
    np.testing.assert_allclose(mean[0, 8:], mean[2, 8:], atol=0.5)
    assert np.linalg.norm(mean[0] - mean[3]) > 8


def test_videos_without_features_are_told(tmp_path):
    about = {"duration": 10.0, "subset": "training"}
    about["annotations"] = [{"segment": [2, 5], "label": "jump"}]
    path = tmp_path / "gt.json"
    path.write_text(json.dumps({"database": {"a": about, "b": about}}))
    with pytest.raises(JaxnetsError, match="none of the 2 videos"):
        activity_sequences(path, tmp_path, subset="training", length=20)
    np.save(tmp_path / "v_b.npy", np.ones((7, 2)))
    said = []
    arrays, _ = activity_sequences(path, tmp_path, subset="training", length=20, notify=said.append)
    assert arrays["sequence"].shape == (1, 20, 2) and "1 of 2" in said[0]
    np.save(tmp_path / "v_b.npy", np.full((7, 2), np.nan))
    with pytest.raises(JaxnetsError, match="not finite"):
        read_features(tmp_path / "v_b.npy")
