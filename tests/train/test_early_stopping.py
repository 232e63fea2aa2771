"""Early stopping: the exact step, the best parameters bit for bit, and a resumable rule."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnets import data, optim
from jaxnets.errors import JaxnetsError
from jaxnets.models import create_model
from jaxnets.tasks import classification
from jaxnets.train import Checkpoints, create_state, run_loop, train_step
from jaxnets.train.early_stopping import EarlyStopping, EarlyStoppingHook

TASK = classification(10, preprocess=partial(jnp.multiply, 1 / 255))


def follow(rule, values, state=None, first=0, update=None):
    """The rule over a curve, with parameters that tell the observations apart."""
    state = state or rule.init({"w": jnp.zeros(2)})
    for step, value in enumerate(values, start=first):
        state = (update or rule.update)(state, value, {"w": jnp.full(2, step + 0.1)}, step)
        if state.stop:
            return state, step
    return state, None


@pytest.mark.parametrize(
    ("rule", "curve", "best", "stopped"),
    [
        (EarlyStopping(2), [5, 4, 3, 4, 4, 1], 2, 4),
        (EarlyStopping(1), [5, 4, 4, 1], 1, 2),
        (EarlyStopping(3), [5, 4, 5, 5, 3, 9, 9, 9], 4, 7),
        (EarlyStopping(2), [5, 4, 3, 2], 3, None),
        # Better by no more than min_delta is no improvement, and does not move the bar.
        (EarlyStopping(3, 0.5), [5, 4.6, 4.4, 4.2, 4.0, 3.95], 2, 5),
        (EarlyStopping(2, mode="max"), [0.1, 0.5, 0.5, 0.4, 0.9], 1, 3),
        (EarlyStopping(2), [3, np.nan, np.nan], 0, 2),
        (EarlyStopping(2), [np.nan, np.nan, 1], -1, 1),
        (EarlyStopping(2), [np.inf, 7, 8], 1, None),
    ],
)
def test_stops_at_the_exact_step(rule, curve, best, stopped):
    state, at = follow(rule, curve)
    assert at == stopped
    assert int(state.best_step) == best
    if best >= 0:
        wanted = np.full(2, best + 0.1, np.float32)
        assert np.asarray(state.best["w"]).tobytes() == wanted.tobytes()
    jitted, at = follow(rule, curve, update=jax.jit(rule.update))
    assert at == stopped
    jax.tree.map(np.testing.assert_array_equal, state, jitted)


def test_after_the_end_nothing_changes():
    rule = EarlyStopping(1)
    state, _ = follow(rule, [1.0, 2.0])
    later = rule.update(state, 0.0, {"w": jnp.zeros(2)}, 9)
    jax.tree.map(np.testing.assert_array_equal, state, later)


def _loop(hook, state, digits, values, first_step, last_step, kept):
    """A real loop whose evaluation follows a given curve."""
    batches = data.Batches(digits.train, 20, seed=0)

    def evaluate(state):
        step = int(state.step)
        kept[step] = jax.tree.map(lambda x: np.array(x, copy=True), state.variables)
        return {"loss": values[step // 2 - 1]}

    return run_loop(
        state,
        jax.jit(partial(train_step, task=TASK), donate_argnums=0),
        batches.iterate(first_step, last_step),
        first_step=first_step,
        last_step=last_step,
        examples_per_step=20,
        evaluate=evaluate,
        evaluate_every=2,
        after_evaluation=hook.after_evaluation,
        stop_requested=hook.stop_requested,
    )


def test_in_the_loop_resumed_through_a_checkpoint(tmp_path):
    """A run that was cut in the middle stops where the whole one does, with the same parameters."""
    digits = data.load_dataset("digits", train_examples=60)
    network = create_model("resnet20", blocks=1, widths=(2,))

    def start():
        rule = optim.create_optimizer("momentum", 0.05)
        example = digits.train.take([0])
        return create_state(network, rule, example, jax.random.key(0), task=TASK)

    curve = [3.0, 2.0, 2.5, 2.5, 2.5, 1.0, 1.0]  # after steps 2, 4, 6, …; stops after step 10
    kept = {}
    hook = EarlyStoppingHook(EarlyStopping(3), start().variables)
    result = _loop(hook, start(), digits, curve, 0, 14, kept)
    assert result.stopped and result.step == 10
    assert int(hook.state.best_step) == 4
    jax.tree.map(np.testing.assert_array_equal, hook.state.best, kept[4])
    before, after = (kept[step]["params"]["head"]["kernel"] for step in (4, 10))
    assert np.abs(before - after).max() > 0

    half = EarlyStoppingHook(EarlyStopping(3), start().variables)
    middle = _loop(half, start(), digits, curve, 0, 6, {})
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(6, half.arrays(), {})
    resumed = EarlyStoppingHook(EarlyStopping(3), start().variables)
    resumed.restore(checkpoints.restore().arrays)
    checkpoints.close()
    result = _loop(resumed, middle.state, digits, curve, 6, 14, {})
    assert result.stopped and result.step == 10
    jax.tree.map(np.testing.assert_array_equal, resumed.state, hook.state)


def test_mistakes():
    with pytest.raises(ValueError, match="patience must be a whole number ≥ 1, got 0"):
        EarlyStopping(0)
    with pytest.raises(ValueError, match="min_delta must be a number ≥ 0, got -1"):
        EarlyStopping(1, -1)
    with pytest.raises(ValueError, match="mode must be 'min' or 'max', got 'low'"):
        EarlyStopping(1, mode="low")
    rule = EarlyStopping(1)
    with pytest.raises(ValueError, match="value must be one number"):
        rule.update(rule.init({}), jnp.zeros(2), {}, 0)
    hook = EarlyStoppingHook(rule, {"w": np.zeros(2)}, metric="los")
    with pytest.raises(ValueError, match=r"metric 'los' is not measured; there are \['loss'\]"):
        hook.after_evaluation(None, {"loss": 1.0})
    other = EarlyStoppingHook(rule, {"w": np.zeros(3)})
    with pytest.raises(JaxnetsError, match="best/w"):
        hook.restore(other.arrays())
