"""Temporal localization learns, without the truth among its proposals when it is measured."""

import jax
import numpy as np
import optax

from jaxnets import train
from jaxnets.data.video import synthetic_events
from jaxnets.models.video import TALNet
from jaxnets.tasks import temporal_localization


def test_the_truth_that_is_given_is_not_found_by_being_given():
    batch = synthetic_events(np.random.default_rng(0), 4, length=48, most=2, longest=20)
    task = temporal_localization("abcd", length=48)
    network = TALNet(4, streams=(8, 8), scales=(6, 18), features=4, hidden=4, proposals=6)
    state = train.create_state(network, optax.sgd(0.1), batch, jax.random.key(0), task=task)
    run = jax.jit(lambda b: task.collect(network.apply(state.variables, **task.inputs(b)), b))
    found = run(batch)
    elsewhere = run({**batch, "segments": batch["segments"] * 0.5})
    np.testing.assert_array_equal(found["segments"], elsewhere["segments"])
    assert set(task.score(jax.tree.map(np.asarray, found))) == {"mAP", "mAP@0.5"}
