"""Training of video networks: a run goes on only with what it began with."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from experiments.detection import train_detector
from experiments.video import detect_actions, train_actions, train_video
from jaxnets.data.video import write_video
from jaxnets.errors import JaxnetsError


def test_a_run_is_not_gone_on_with_something_else(tmp_path):
    config = dataclasses.replace(train_video.smoke(), workdir=tmp_path / "run", quiet=True)
    first = train_video.main(config)
    assert train_video.main(config) == first  # finished: read again
    for name, other in (("held_out", "shahar"), ("stride", 1), ("views", 4), ("size", 8)):
        with pytest.raises(JaxnetsError, match=name):
            train_video.main(dataclasses.replace(config, **{name: other}))


@pytest.mark.slow
def test_a_detector_of_our_own_finds_the_people(tmp_path, monkeypatch):
    """From film to rows: boxes of a run of train_detector, actions of one of train_actions."""
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "actions"
    one = {"quiet": True, "devices": 1}
    train_actions.main(dataclasses.replace(train_actions.smoke(), workdir=run, **one))
    found = train_detector.smoke()
    train_detector.main(dataclasses.replace(found, workdir=tmp_path / "people"))
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
        detect_actions.main(dataclasses.replace(config, person_class="person"))
