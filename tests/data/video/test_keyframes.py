"""Clips around seconds with their people: moments, boxes, what is said of files that do not fit."""

import numpy as np
import pytest

from jaxnets.data.video import (
    PEOPLE_ACTIONS,
    KeyframeSource,
    Video,
    keyframe_indices,
    read_action_names,
    synthetic_people,
)
from jaxnets.errors import JaxnetsError

OPTIONS = {"num_actions": 4, "size": (8, 8), "frames": 4, "fps": 10}


def film(seconds=3, size=(8, 16)):
    """The value of each pixel is the number of its frame."""
    frames = np.arange(10 * seconds, dtype=np.uint8)[:, None, None, None]
    times = np.arange(10 * seconds) / 10
    return Video(np.broadcast_to(frames, (10 * seconds, *size, 3)), times, True)


def row(second=1, box=(0.0, 0.0, 0.5, 1.0), action=2, video="a"):
    return {"video": video, "second": second, "box": box, "action": action}


def test_frames_lie_around_the_moment_and_stand_still_at_the_ends():
    times = np.arange(30) / 10
    assert keyframe_indices(times, 1.5, 5, 2, fps=10).tolist() == [11, 13, 15, 17, 19]
    assert keyframe_indices(times, 0.1, 4, 2, fps=10).tolist() == [0, 0, 1, 3]
    assert keyframe_indices(times, 2.9, 4, 1, fps=10).tolist() == [27, 28, 29, 29]
    # Rounded to milliseconds, as Matroska stores them.
    rounded = np.round(np.arange(90) / 30, 3)
    assert keyframe_indices(rounded, 1.0, 8).tolist() == list(range(26, 34))
    # Whatever the file's own rate: the frame that is shown at that time.
    uneven = np.array([0.0, 0.05, 0.4, 0.41, 1.0])
    assert keyframe_indices(uneven, 0.4, 4, 2, fps=10).tolist() == [0, 1, 2, 3]
    with pytest.raises(JaxnetsError, match=r"second 900: the video has seconds 0 … 2\.9"):
        keyframe_indices(times, 900, 4)


def test_a_person_with_two_actions_is_one_box_and_moves_into_the_canvas():
    rows = [row(), row(action=4), row(box=(0.5, 0.5, 1.0, 1.0), action=1), row(second=2)]
    source = KeyframeSource({"a": film()}, rows, **OPTIONS)
    batch = source.take(np.arange(2))
    # 8×16 fits into 8×8 as 4×8.
    assert batch["boxes"].tolist() == [[[0, 0, 4, 4], [4, 2, 8, 4]], [[0, 0, 4, 4], [0, 0, 0, 0]]]
    assert batch["actions"][0].tolist() == [[0, 1, 0, 1], [1, 0, 0, 0]]
    assert batch["box_mask"].tolist() == [[1, 1], [1, 0]]
    assert batch["clip"][0, :, 0, 0, 0].tolist() == [8, 9, 10, 11]
    assert not batch["clip"][:, :, 4:].any()
    assert batch["second"].tolist() == [1, 2]


def test_excerpts_begin_later_and_boxes_may_be_a_detector_s():
    rows = [row(second=901), {**row(second=902), "box": (), "action": None}]
    asked = [{**row(second=902), "action": None}]
    source = KeyframeSource({"a": film()}, rows, **OPTIONS, start=900, boxes=asked)
    batch = source.take(np.arange(2))
    # A second where the detector finds nobody is measured as well.
    assert batch["box_mask"].tolist() == [[0], [1]]
    assert batch["true_mask"].tolist() == [[1], [0]]
    assert batch["true_actions"][0, 0].tolist() == [0, 1, 0, 0] and not batch["actions"].any()
    assert source.people(0) == [] and source.people(1) == [(0.0, 0.0, 0.5, 1.0)]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([row(video="b")], "rows name videos that are not there: b"),
        ([row(action=5)], "action 5 of a, second 1; expected 1 … 4"),
        ([{**row(), "box": (), "action": None}], "nobody at any second"),
    ],
)
def test_rows_that_do_not_fit_are_said(rows, message):
    with pytest.raises(JaxnetsError, match=message):
        KeyframeSource({"a": film()}, rows, **OPTIONS)


def test_a_second_that_the_video_does_not_have_names_the_video():
    source = KeyframeSource({"a": film()}, [row(second=950)], **OPTIONS, start=900)
    with pytest.raises(JaxnetsError, match=r"^a: second 50: the video has .* counted from 900 on"):
        source.take(np.array([0]))


def test_lists_of_names(tmp_path):
    path = tmp_path / "names.txt"
    path.write_text("sit\n\nstand\n")
    assert read_action_names(path) == ({1: "sit", 2: "stand"}, 2)
    path.write_text('label {\n  name: "run"\n  label_id: 7\n}\n')
    assert read_action_names(path) == ({7: "run"}, 7)
    for text in ("", "item { id: 3 }"):
        path.write_text(text)
        with pytest.raises(JaxnetsError, match=r"expected a \.pbtxt with name and id"):
            read_action_names(path)


def test_a_single_frame_of_people_says_nothing_of_the_direction():
    made = synthetic_people(np.random.default_rng(0), 200, frames=3, noise=0.0)
    boxes, mask, actions = made["boxes"].astype(int), made["box_mask"], made["actions"]
    right = []
    for n, m in zip(*np.nonzero(mask), strict=True):
        left, top, end, bottom = boxes[n, m]
        first, second = made["clip"][n, :2, top:bottom, left:end, 0].astype(int)
        steps = {"right": (0, 2), "left": (0, -2), "down": (2, 0), "up": (-2, 0)}
        errors = [np.abs(np.roll(first, s, (0, 1)) - second).sum() for s in steps.values()]
        right.append(np.argmin(errors) == actions[n, m, :4].argmax() and min(errors) == 0)
        assert (first.mean() > 127.5) == bool(actions[n, m, PEOPLE_ACTIONS.index("is bright")])
    # By the motion alone it can be told in all.
    assert len(right) > 200 and all(right)
    share = actions[mask > 0][:, :4].mean(0)
    assert (np.abs(share - 0.25) < 0.07).all()
