"""The loop: what it counts, when it saves and evaluates, and when it stops."""

import itertools
import math

import jax
import jax.numpy as jnp
import pytest

from jaxnets.train import NonFiniteLossError, run_loop
from jaxnets.train.processes import StopRequest


@jax.jit
def count_step(state, batch):
    """A state that counts; the loss of step n is n, or NaN where the batch says so."""
    state = state + 1
    return state, {"loss": state * batch, "accuracy": state / 100}


def loop(last, first=0, batches=None, **options):
    records = []
    result = run_loop(
        jnp.float32(first),
        count_step,
        iter(batches or itertools.repeat(jnp.float32(1))),
        first_step=first,
        last_step=last,
        examples_per_step=8,
        record=records.append,
        **options,
    )
    return result, records


def test_counts_and_window_means():
    result, records = loop(25, record_every=10)
    assert result.step == 25 and float(result.state) == 25 and not result.stopped
    assert [(r["step"], r["loss"]) for r in records] == [(10, 5.5), (20, 15.5), (25, 23.0)]
    # The first step, which compiles, is not part of the speed.
    assert result.examples == 24 * 8
    assert result.seconds > 0 and 0 <= result.waiting_share < 1


def test_resumed_windows_repeat():
    _, whole = loop(40, record_every=10)
    _, rest = loop(40, first=20, record_every=10)
    assert rest == whole[2:]


def test_evaluates_on_schedule_and_at_the_end():
    seen = []

    def evaluate(state):
        seen.append(float(state))
        return {"accuracy": float(state) / 25}

    _, records = loop(25, evaluate=evaluate, evaluate_every=10)
    assert seen == [10, 20, 25]
    tests = [r for r in records if r["kind"] == "test"]
    assert [(r["step"], r["accuracy"]) for r in tests] == [(10, 0.4), (20, 0.8), (25, 1.0)]


def test_after_evaluation_changes_the_state():
    result, _ = loop(
        20,
        evaluate=lambda state: {"accuracy": 0.0},
        evaluate_every=10,
        after_evaluation=lambda state, measured: state + 100,
    )
    assert float(result.state) == 20 + 200


def test_saves_when_it_is_time_and_at_the_end():
    saved = []
    options = {"save": lambda step, state: saved.append(step), "save_seconds": 0}
    loop(25, record_every=10, **options)
    assert saved == list(range(1, 26))
    # Where processes must agree, they do so only where a record is made.
    saved.clear()
    loop(25, record_every=10, agree=lambda wish: wish, **options)
    assert saved == [10, 20, 25]
    saved.clear()
    loop(25, save=lambda step, state: saved.append(step), save_seconds=math.inf)
    assert saved == [25]


def test_stop_request_saves_and_ends():
    saved = []
    result, _ = loop(
        25,
        save=lambda step, state: saved.append((step, float(state))),
        stop_requested=lambda step: step == 7,
    )
    assert result.stopped and result.step == 7
    assert saved == [(7, 7.0)]


@pytest.mark.parametrize("bad_step", [1, 5, 24, 25])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_non_finite_loss_names_its_step(bad_step, value):
    batches = [jnp.float32(value if step == bad_step else 1) for step in range(1, 26)]
    saved = []
    with pytest.raises(NonFiniteLossError, match=f"at step {bad_step}") as error:
        loop(25, batches=batches, record_every=2, save_seconds=0, save=lambda s, _: saved.append(s))
    assert error.value.step == bad_step
    assert all(step < bad_step for step in saved)


@pytest.mark.parametrize("name", ["gradient_norm", "parameter_norm"])
def test_a_finite_loss_hides_no_divergence(name):
    """XLA's compiler for CPUs may make 0 of NaN in a ReLU: the loss then looks well."""

    def step(state, batch):
        return state + 1, {"loss": jnp.float32(1.1), name: batch}

    saved = []
    batches = iter([jnp.float32(math.nan if n == 3 else 1) for n in range(1, 9)])
    with pytest.raises(NonFiniteLossError, match=f"the norm of the {name[:8]}.* nan at step 3"):
        run_loop(
            jnp.float32(0),
            step,
            batches,
            first_step=0,
            last_step=8,
            examples_per_step=1,
            record_every=1,
            save=lambda step, state: saved.append(step),
            save_seconds=0,
        )
    assert all(step < 3 for step in saved)


def test_signals_are_remembered_once():
    import os
    import signal

    before = signal.getsignal(signal.SIGTERM)
    with StopRequest() as stop:
        assert not stop.requested(0)
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.requested(1) and stop.signal == signal.SIGTERM
        # A second signal acts as if nobody were watching.
        assert signal.getsignal(signal.SIGTERM) is before
    assert signal.getsignal(signal.SIGTERM) is before
