"""Training of video networks: a run goes on only with what it began with."""

import dataclasses

import pytest

from experiments.video import train_video
from jaxnets.errors import JaxnetsError


def test_a_run_is_not_gone_on_with_something_else(tmp_path):
    config = dataclasses.replace(train_video.smoke(), workdir=tmp_path / "run", quiet=True)
    first = train_video.main(config)
    assert train_video.main(config) == first  # finished: read again
    for name, other in (("held_out", "shahar"), ("stride", 1), ("views", 4), ("size", 8)):
        with pytest.raises(JaxnetsError, match=name):
            train_video.main(dataclasses.replace(config, **{name: other}))
