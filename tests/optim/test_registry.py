"""Optimizers and schedules by name."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxnets import optim
from jaxnets.errors import UnknownNameError


def first_step(rule, params, grads):
    return rule.update(grads, rule.init(params), params)[0]


def test_names():
    assert optim.list_optimizers() == [
        "adadelta",
        "adagrad",
        "adam",
        "adamw",
        "amsgrad",
        "momentum",
        "nesterov",
        "rmsprop",
        "sgd",
    ]
    wanted = {"constant", "step", "multi_step", "exponential", "linear", "inverse_sqrt", "cosine"}
    wanted |= {"polynomial", "plateau", "warm_restarts", "snapshot", "googlenet", "inception"}
    assert wanted | {"squeezenet", "bvlc_googlenet"} <= set(optim.list_schedules())


@pytest.mark.parametrize("name", optim.list_schedules())
def test_every_schedule_starts_at_its_base_and_stays_within(name):
    options: dict = {"cycles": 4} if name == "snapshot" else {}
    if name in ("googlenet", "inception", "sutskever"):
        options = {"steps_per_epoch": 3}
    schedule = optim.create_schedule(name, 0.5, 100, **options)
    if name == "plateau":
        assert float(schedule(schedule.init())) == 0.5
        with pytest.raises(ValueError, match="warmup_steps must be 0"):
            optim.create_schedule(name, 0.5, 100, warmup_steps=5)
        return
    rates = np.array([float(schedule(t)) for t in range(0, 101, 10)])
    assert rates[0] == pytest.approx(0.5)
    assert ((rates >= 0) & (rates <= 0.5 + 1e-6)).all()
    warm = optim.create_schedule(name, 0.5, 100, warmup_steps=10, warmup_start=0.1, **options)
    np.testing.assert_allclose([float(warm(0)), float(warm(10))], [0.05, 0.5], rtol=1e-6)


def test_lengths_are_filled_in_from_the_total():
    def rates(name, counts, **options):
        schedule = optim.create_schedule(name, 1.0, 90, **options)
        return [round(float(schedule(t)), 6) for t in counts]

    assert rates("step", (29, 30, 60, 89)) == [1.0, 0.1, 0.01, 0.01]
    assert rates("step", (9, 10), step_size=10, gamma=0.5) == [1.0, 0.5]
    assert rates("multi_step", (44, 45, 67)) == [1.0, 0.1, 0.01]
    assert rates("multi_step", (5, 6), milestones=(6,)) == [1.0, 0.1]
    assert rates("exponential", (0, 45, 90)) == [1.0, 0.1, 0.01]
    assert rates("exponential", (1,), gamma=0.5) == [0.5]
    assert rates("cosine", (100,), warmup_steps=40, end_value=0.25) == [0.25]
    assert rates("warm_restarts", (29, 30), first_cycle=30)[1] == 1.0


def test_options_reach_the_rule():
    params, grads = jnp.zeros(2), jnp.array([3.0, -4.0])
    clipped = first_step(optim.create_optimizer("sgd", 1.0, clip_norm=1.0), params, grads)
    np.testing.assert_allclose(clipped, [-0.6, 0.8], rtol=1e-6)
    ahead = first_step(optim.create_optimizer("nesterov", 1.0, momentum=0.5), params, grads)
    np.testing.assert_allclose(ahead, -1.5 * grads)


def test_decay_is_not_clipped():
    """PyTorch's order: the limit is on the gradient of the loss alone."""
    params, grads = jnp.array([100.0, 0.0]), jnp.array([3.0, -4.0])
    rule = optim.create_optimizer("sgd", 1.0, clip_norm=1.0, weight_decay=0.1)
    np.testing.assert_allclose(first_step(rule, params, grads), [-10.6, 0.8], rtol=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: optim.create_optimizer("adm", 0.1), "unknown optimizer 'adm'.*'adam'"),
        (lambda: optim.create_schedule("cosin", 0.1, 10), "unknown schedule 'cosin'.*'cosine'"),
    ],
)
def test_unknown_names_offer_the_nearest(call, message):
    with pytest.raises(UnknownNameError, match=message):
        call()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: optim.create_optimizer("adam", 0.1, momentum=0.9), "no option 'momentum'"),
        (lambda: optim.create_optimizer("momentum", 0.1, momentun=0.9), "mean 'momentum'"),
        (lambda: optim.create_optimizer("sgd", -0.1), "learning_rate must be a number ≥ 0"),
        (lambda: optim.create_optimizer("sgd", "0.1"), "learning_rate must be a number"),
        (lambda: optim.create_optimizer("sgd", float("nan")), "learning_rate must be"),
        (lambda: optim.create_optimizer("sgd", float("inf")), "learning_rate must be"),
        (lambda: optim.create_optimizer("sgd", 0.1, clip_norm=0.0), "clip_norm must be"),
        (lambda: optim.create_optimizer("sgd", 0.1, weight_decay=-1.0), "weight_decay must be"),
        (lambda: optim.create_optimizer("momentum", 0.1, momentum=1.0), "momentum must be"),
        (lambda: optim.create_optimizer("adam", 0.1, b2=1.0), "b2 must be"),
        (lambda: optim.create_optimizer("adam", 0.1, eps=-1e-8), "eps must be"),
        (lambda: optim.create_optimizer("rmsprop", 0.1, decay=1.5), "decay must be"),
        (lambda: optim.create_optimizer("adadelta", 0.1, eps=0.0), "eps must be a number > 0"),
        (lambda: optim.create_schedule("cosine", 0.1, 0), "total_steps must be"),
        (lambda: optim.create_schedule("cosine", 0.1, 10, warmup_steps=10), "less than total"),
        (lambda: optim.create_schedule("cosine", 0.1, 10, gamma=0.1), "no option 'gamma'"),
        (lambda: optim.create_schedule("googlenet", 0.1, 10), "needs the option 'steps_per_e"),
    ],
)
def test_mistakes_say_what_to_do(call, message):
    with pytest.raises(ValueError, match=message):
        call()
