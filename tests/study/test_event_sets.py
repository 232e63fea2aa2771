"""Sequences by one word: the control hides one stream, and wrong words are said."""

import numpy as np
import pytest

from jaxnets.errors import JaxnetsError
from jaxnets.study.event_sets import read_sequences

OPTIONS = {"streams": (4, 4), "length": 96, "examples": 3}


@pytest.mark.parametrize(("without", "hidden"), [("appearance", slice(4)), ("motion", slice(4, 8))])
def test_a_stream_is_hidden_and_nothing_else_changes(without, hidden):
    rows = np.arange(3)
    whole, control = (
        read_sequences("events", **OPTIONS, without=w)[0].take(rows) for w in (None, without)
    )
    assert not control["sequence"][..., hidden].any()
    there = np.ones(8, bool)
    there[hidden] = False
    np.testing.assert_array_equal(control["sequence"][..., there], whole["sequence"][..., there])
    np.testing.assert_array_equal(control["segments"], whole["segments"])


@pytest.mark.parametrize(
    ("dataset", "more", "message"),
    [
        ("thumos", {}, "expected events, activitynet:FILE"),
        ("activitynet:gt.json", {}, "needs --features FOLDER"),
        ("events", {"streams": (4, 5)}, "two equal streams"),
        ("events", {"without": "sound"}, "appearance, motion"),
        ("activitynet:gt.json", {"without": "motion"}, "--without is for --dataset events"),
    ],
)
def test_wrong_words_are_said(dataset, more, message):
    with pytest.raises(JaxnetsError, match=message):
        read_sequences(dataset, **{**OPTIONS, **more})
