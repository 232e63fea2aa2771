"""What people do: loss and average precision by hand, and videos from end to end."""

import json

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.video import detect_actions
from jaxnets.data.video import write_video
from jaxnets.errors import JaxnetsError
from jaxnets.tasks import ActionFinder, ActionInfo, action_detection, read_action_finder
from jaxnets.tasks.actions import score_actions

INFO = ActionInfo(("is left", "is right"), (16, 32), 4, 1, 10.0, (0.5,) * 3, (0.5,) * 3)


class Sides(nn.Module):
    """Says where the middle of a box lies."""

    @nn.compact
    def __call__(self, x, boxes, *, box_mask=None, train=False):
        middle = (boxes[..., 0] + boxes[..., 2]) / x.shape[3] - 1
        return 10 * jnp.stack((-middle, middle), -1)


FINDER = ActionFinder(INFO, Sides(), {})


def test_padding_of_people_and_of_clips_does_not_count():
    task = action_detection(("sit", "talk"))
    batch = {"box_mask": jnp.array([[1.0, 0], [1, 1]]), "actions": jnp.ones((2, 2, 2))}
    logits = jnp.zeros((2, 2, 2)).at[0, 1].set(-50).at[1].set(-40)
    everyone, _ = task.loss(logits, {}, batch)
    np.testing.assert_allclose(everyone, (np.log(2) + 40 + 40) / 3, rtol=1e-6)
    sums = task.measure(logits, batch | {"example_mask": jnp.array([1.0, 0.0])})
    np.testing.assert_allclose(sums["loss"], (np.log(2), 1))
    nobody = {**batch, "box_mask": jnp.zeros((2, 2))}
    assert float(task.loss(logits, {}, nobody)[0]) == 0


def test_people_whom_the_detector_misses_cost_precision():
    box = np.array([[[0.0, 0, 4, 4]], [[0.0, 0, 4, 4]]])
    found = {"boxes": box, "mask": np.ones((2, 1)), "scores": np.full((2, 1, 2), 0.9)}
    found |= {"true_boxes": box, "true_mask": np.ones((2, 1))}
    found["true_actions"] = np.array([[[1, 0]], [[1, 0]]])
    assert score_actions(found, class_names="ab") == {"mAP": 1.0, "AP/a": 1.0}
    found["mask"] = np.array([[1], [0]])
    assert score_actions(found, class_names="ab")["AP/a"] == 0.5
    elsewhere = found | {"boxes": box + 3}
    assert score_actions(elsewhere, class_names="ab")["AP/a"] == 0.0


@pytest.fixture
def video(tmp_path):
    frames = np.full((25, 32, 64, 3), 90, np.uint8)
    return write_video(tmp_path / "two.mp4", frames, fps=10)


def rows(*people):
    return "".join(f"two,{s},{x1},0.1,{x2},0.9,{a},0\n" for s, x1, x2, a in people)


def run(monkeypatch, tmp_path, video, **options):
    monkeypatch.setattr(detect_actions, "read_action_finder", lambda *a, **k: FINDER)
    config = detect_actions.Config(video, tmp_path, workdir=tmp_path / "out", **options)
    return detect_actions.main(config)


def test_the_command_says_draws_and_measures(monkeypatch, tmp_path, video, capsys):
    truth = tmp_path / "truth.csv"
    truth.write_text(rows((1, 0.0, 0.3, 1), (1, 0.6, 0.9, 2), (2, 0.7, 1.0, 1)))
    found = run(monkeypatch, tmp_path, video, truth=truth)
    said = [list(person["actions"]) for person in found["people"]]
    assert said == [["is left"], ["is right"], ["is right"]]
    # "is left": right, wrong, right by falling score; "is right": wrong, right.
    assert found["mAP"] == pytest.approx(((0.5 + 0.5 * 2 / 3) + 0.5) / 2)
    assert "frame mAP" in capsys.readouterr().out
    assert (tmp_path / "out" / "two.mp4").stat().st_size > 100
    lines = (tmp_path / "out" / "two.csv").read_text().splitlines()
    assert len(lines) == 6 and lines[0].startswith("two,1,0.0000,0.1000,0.3000,0.9000,1,")

    boxes = tmp_path / "boxes.json"
    boxes.write_text(json.dumps([{"second": 901.5, "box": [0, 0, 0.2, 1]}]))
    found = run(monkeypatch, tmp_path, video, boxes=boxes, start=900, json=True)
    assert json.loads(capsys.readouterr().out)["people"] == found["people"]
    assert found["people"][0]["second"] == 901.5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("other,1,0,0,1,1,1,0\n", "has nobody of the video 'two'; it names other"),
        ("two,1,0,0,300,200,1,0\n", r"expected corners in 0 … 1, got \(0.0, 0.0, 300"),
        ("two,1,0.5,0,0.5,1,1,0\n", "expected x1 < x2 and y1 < y2"),
        ("two,one,0,0,1,1,1,0\n", "line 1: expected video,second"),
        ("two,30,0,0,1,1,1,0\n", "second 30: the video has seconds 0 … 2.4"),
    ],
)
def test_boxes_that_do_not_fit_are_said(monkeypatch, tmp_path, video, text, message):
    path = tmp_path / "boxes.csv"
    path.write_text(text)
    with pytest.raises(JaxnetsError, match=message):
        run(monkeypatch, tmp_path, video, boxes=path)


def test_what_is_missing_is_said(monkeypatch, tmp_path, video):
    with pytest.raises(JaxnetsError, match="give the people: --boxes FILE"):
        run(monkeypatch, tmp_path, video)
    broken = tmp_path / "boxes.json"
    broken.write_text('{"second": 1}')
    with pytest.raises(JaxnetsError, match=r"boxes\.json: expected"):
        run(monkeypatch, tmp_path, video, boxes=broken)
    with pytest.raises(JaxnetsError, match="expected seconds above 0"):
        run(monkeypatch, tmp_path, video, every=0)
    with pytest.raises(JaxnetsError, match="--model: got 'c3d'"):
        read_action_finder(tmp_path, model="c3d")
    with pytest.raises(JaxnetsError, match="holds no run"):
        read_action_finder(tmp_path)
