"""Training of video networks: a run goes on only with what it began with."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from experiments.detection import train_detector
from experiments.video import compare_flow, detect_actions, train_actions, train_video
from jaxnets.data.video import write_video
from jaxnets.errors import JaxnetsError


def test_a_run_is_not_gone_on_with_something_else(tmp_path):
    config = replace(train_video.smoke(), workdir=tmp_path / "run", quiet=True)
    first = train_video.main(config)
    assert train_video.main(config) == first  # finished: read again
    for name, other in (("held_out", "shahar"), ("stride", 1), ("views", 4), ("size", 8)):
        with pytest.raises(JaxnetsError, match=name):
            train_video.main(replace(config, **{name: other}))


@pytest.mark.slow
def test_a_detector_of_our_own_finds_the_people(tmp_path, monkeypatch):
    """From film to rows: boxes of a run of train_detector, actions of one of train_actions."""
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "actions"
    one = {"quiet": True, "devices": 1}
    train_actions.main(replace(train_actions.smoke(), workdir=run, **one))
    found = train_detector.smoke()
    train_detector.main(replace(found, workdir=tmp_path / "people"))
    random = np.random.default_rng(0)
    write_video("film.mp4", random.integers(0, 255, (30, 64, 64, 3), np.uint8), fps=10)
    config = detect_actions.Config(
        video=Path("film.mp4"),
        weights=run,
        detector=tmp_path / "people",
        person_class="square",
        person_score=0.0,
        min_score=0.0,
        workdir=tmp_path / "shown",
    )
    people = detect_actions.main(config)["people"]
    # Seconds 0, 1 and 2 of a film of three, and every person has all actions above 0.
    assert {person["second"] for person in people} <= {0.0, 1.0, 2.0} and people
    assert all(len(person["box"]) == 4 and person["actions"] for person in people)
    with pytest.raises(JaxnetsError, match="person"):
        detect_actions.main(replace(config, person_class="person"))


def test_methods_of_flow_are_compared_with_scikit_images(monkeypatch, tmp_path, capsys):
    """A peer that knows the truth, rows first as scikit-image gives them, has no error."""
    config = replace(compare_flow.smoke(), motion=(2.0, -1.0), workdir=tmp_path)

    def truth(first, second):
        assert first.shape == config.size and 0.3 < first.mean() < 0.7
        return np.stack((np.full(config.size, -1.0), np.full(config.size, 2.0)))

    registration = SimpleNamespace(optical_flow_tvl1=truth, optical_flow_ilk=truth)
    monkeypatch.setitem(sys.modules, "skimage", SimpleNamespace(registration=registration))
    found = compare_flow.main(config)["methods"]
    assert found["scikit-image tv_l1"]["endpoint_error"] == 0
    assert len(found) == 5 and found["jaxnets tv_l1"]["endpoint_error"] < 0.3
    assert (tmp_path / "flow.md").read_text() in capsys.readouterr().out
    monkeypatch.setitem(sys.modules, "skimage", None)
    assert len(compare_flow.methods(config)) == 3 and "not installed" in capsys.readouterr().out
    with pytest.raises(JaxnetsError, match="more than 24 pixels"):
        compare_flow.main(replace(config, size=(20, 40)))


def test_runs_on_silhouettes_that_were_centered_otherwise_do_not_go_on(tmp_path):
    masks = np.zeros((48, 40, 40), np.uint8)
    masks[:, 10:30, 12:20] = 1
    path = tmp_path / "masks.npz"
    bits, who = np.packbits(masks.reshape(48, -1), axis=1), ["daria"] * 2 + ["eli"] * 2
    np.savez(path, bits=bits, shape=[40, 40], length=[12] * 4, person=who, action=["a", "b"] * 2)
    config = replace(
        train_video.smoke(),
        dataset=f"weizmann:{path}",
        views=4,
        workdir=tmp_path / "run",
        quiet=True,
    )
    train_video.main(config)
    stored = tmp_path / "run" / "config.json"
    kept = json.loads(stored.read_text())
    assert kept.pop("silhouettes") == "on the person"
    stored.write_text(json.dumps(kept))
    with pytest.raises(JaxnetsError, match="silhouettes"):
        train_video.main(config)
