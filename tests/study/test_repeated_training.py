"""Runs out of which several networks are kept."""

from functools import partial
from itertools import repeat

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnets import data, optim
from jaxnets.ensembles import mean_disagreement
from jaxnets.models import create_model
from jaxnets.study.repeated_training import train_and_keep
from jaxnets.tasks import classification
from jaxnets.train import create_state, train_step
from jaxnets.train.state import TrainState


def test_train_and_keep_keeps_what_was_there():
    """Snapshots equal a run that is stopped at each of their steps."""
    digits = data.load_dataset("digits", train_examples=60)
    rate = optim.create_schedule("snapshot", 0.1, 6, cycles=3)
    rule = optim.create_optimizer("momentum", rate)
    task = classification(10, preprocess=partial(jnp.multiply, 1 / 255))
    start = create_state(
        create_model("mlp", hidden=(5,), num_classes=10),
        rule,
        digits.train.take([0]),
        jax.random.key(0),
        task=task,
    )
    step = jax.jit(partial(train_step, task=task), donate_argnums=0)
    batches = data.Batches(digits.train, 20, seed=0)

    def fresh() -> TrainState:
        return jax.tree.map(jnp.copy, start)

    steps = optim.schedules.snapshot_steps(6, 3)
    assert steps == (2, 4, 6)
    state, kept = train_and_keep(fresh(), step, batches.iterate(0, 6), steps)
    assert int(state.step) == 6 and len(kept) == 3
    for number, variables in zip(steps, kept, strict=True):
        other = fresh()
        for i in range(number):
            other, _ = step(other, batches[i])
        jax.tree.map(np.testing.assert_array_equal, variables, other.variables)
    probabilities = [
        jax.nn.softmax(
            create_model("mlp", hidden=(5,), num_classes=10).apply(v, digits.test.images / 255.0)
        )
        for v in kept
    ]
    assert float(mean_disagreement(jnp.stack(probabilities))) > 0


@pytest.mark.parametrize("keep_after", [[], [3, 2]])
def test_steps_that_do_not_increase_are_refused(keep_after):
    with pytest.raises(ValueError, match="keep_after must be"):
        train_and_keep(None, None, repeat(0), keep_after)
