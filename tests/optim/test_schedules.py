"""Schedules: Caffe's and the papers' formulas, precision far out, and use inside optimizers.

Their equality with PyTorch is in test_torch.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxnets import optim
from jaxnets.optim import paper_schedules as papers
from jaxnets.optim import schedules as s

COUNTS = np.array([0, 1, 7, 99, 100, 250, 399, 400])


def caffe(policy, t, base, gamma=None, power=None, step=None, milestones=None, max_iter=None):
    """GetLearningRate of Caffe's solver, in Python floats."""
    if policy == "fixed":
        return base
    if policy == "step":
        return base * gamma ** (t // step)
    if policy == "exp":
        return base * gamma**t
    if policy == "inv":
        return base * (1 + gamma * t) ** -power
    if policy == "multistep":
        return base * gamma ** sum(t >= m for m in milestones)
    if policy == "poly":
        return base * (1 - t / max_iter) ** power
    raise AssertionError(policy)


@pytest.mark.parametrize(
    ("schedule", "policy", "options"),
    [
        (s.constant(0.1), "fixed", {}),
        (s.step(0.1, 100, 0.3), "step", {"gamma": 0.3, "step": 100}),
        (s.exponential(0.1, 0.99), "exp", {"gamma": 0.99}),
        (s.inverse(0.1, 1e-2, 0.75), "inv", {"gamma": 1e-2, "power": 0.75}),
        (s.inverse_sqrt(0.1, 10.0), "inv", {"gamma": 0.1, "power": 0.5}),
        (s.multi_step(0.1, (7, 250)), "multistep", {"gamma": 0.1, "milestones": (7, 250)}),
        (s.polynomial(0.1, 400, 1.0), "poly", {"power": 1.0, "max_iter": 400}),
        (s.polynomial(0.1, 400, 0.5), "poly", {"power": 0.5, "max_iter": 400}),
        (s.linear(0.1, 400), "poly", {"power": 1.0, "max_iter": 400}),
    ],
)
def test_caffe_formula(x64, schedule, policy, options):
    found = jax.jit(jax.vmap(schedule))(jnp.asarray(COUNTS))
    wanted = [caffe(policy, int(t), 0.1, **options) for t in COUNTS]
    np.testing.assert_allclose(found, wanted, rtol=1e-13, atol=1e-16)


def test_papers(x64):
    """Five values each, from the papers' words."""
    spe = 5005
    t = np.array([0, 2 * spe - 1, 2 * spe, 8 * spe, 33 * spe])
    epoch = t // spe
    for schedule, wanted in (
        (papers.googlenet(0.01, spe), 0.01 * 0.96 ** (epoch // 8)),
        (papers.inception(0.045, spe), 0.045 * 0.94 ** (epoch // 2)),
        (papers.squeezenet(), 0.04 * (1 - t / 170_000)),
    ):
        np.testing.assert_allclose(jax.vmap(schedule)(t), wanted, rtol=1e-13, atol=1e-17)
    t = np.array([0, 99_999, 319_999, 320_000, 640_000, 2_399_999])
    for schedule, wanted in (
        (papers.bvlc_googlenet(), 0.01 * 0.96 ** (t // 320_000)),
        (papers.bvlc_googlenet_quick(), 0.01 * np.sqrt((2_400_000 - t) / 2_400_000)),
        (papers.bvlc_alexnet(), 0.01 * 0.1 ** (t // 100_000)),
        (papers.resnet_cifar(), [0.1, 1e-3, 1e-3, 1e-3, 1e-3, 1e-3]),
    ):
        np.testing.assert_allclose(jax.vmap(schedule)(t), wanted, rtol=1e-13)
    # From the start of the sixth epoch on each half of an epoch has half of the rate before it.
    halves = np.arange(15)
    found = jax.vmap(papers.sutskever(0.7, 10))(5 * halves + 4)
    np.testing.assert_allclose(found, 0.7 * 0.5 ** np.maximum(0, halves - 9), rtol=1e-13)


def test_snapshots(x64):
    """Huang et al.'s values for α₀ = 0.1, T = 300, M = 6, and their formula for odd lengths."""
    rate = s.snapshot_cosine(0.1, 300, 6)
    found = [float(rate(t - 1)) for t in (1, 26, 50, 51)]
    np.testing.assert_allclose(found, [0.1, 0.05, 0.1 / 2 * (np.cos(np.pi * 0.98) + 1), 0.1])
    assert round(found[2], 4) == 0.0001
    t = np.arange(1, 101)
    wanted = 0.05 * (np.cos(np.pi * ((t - 1) % 15) / 15) + 1)
    found = jax.vmap(s.snapshot_cosine(0.1, 100, 7))(t - 1)
    np.testing.assert_allclose(found, wanted, atol=1e-15)
    for total, cycles in ((300, 6), (100, 7), (5, 5), (7, 3)):
        rates = np.asarray(jax.vmap(s.snapshot_cosine(1.0, total, cycles))(np.arange(total)))
        for after in s.snapshot_steps(total, cycles):
            # The next cycle begins at the top. One of a single step never leaves it.
            assert after == total or rates[after] == 1.0
            assert after % -(-total // cycles) or total == cycles or rates[after - 1] < 0.51
        assert s.snapshot_steps(total, cycles)[-1] == total


def test_the_end_is_held():
    for schedule, end in (
        (s.linear(1.0, 10, 0.2), 0.2),
        (s.polynomial(1.0, 10, 2.0, 0.1), 0.1),
        (s.cosine(1.0, 10, 0.3), 0.3),
    ):
        assert float(schedule(10)) == pytest.approx(end)
        assert float(schedule(1_000_000)) == pytest.approx(end)


def test_restarts_are_on_time_in_float32():
    """Starts are 3(2^k − 1): a logarithm in float32 would be late at some of them."""
    rate = jax.jit(s.warm_restarts(1.0, 3, 2))
    for k in range(1, 29):
        start = 3 * (2**k - 1)
        assert float(rate(start)) == 1.0
        assert float(rate(start - 1)) < 0.76
    assert np.isfinite(float(rate(2**31 - 1)))


def test_steps_are_on_time_in_float32():
    rate = jax.jit(s.step(1.0, 3, 0.5))
    t = 3 * 2**24 + 3  # Not a float32 number.
    assert t != int(np.float32(t))
    late = s.multi_step(1.0, (t,), 0.5)
    assert (float(late(t - 1)), float(late(t))) == (1.0, 0.5)
    assert float(rate(5)) == 0.5


def test_warm_up_meets_the_schedule():
    rate = s.warm_up(s.cosine(0.4, 90), 10, start=0.25)
    found = jax.jit(jax.vmap(rate))(jnp.arange(101))
    np.testing.assert_allclose(found[:11], np.linspace(0.1, 0.4, 11), rtol=1e-6)
    np.testing.assert_allclose(found[10:], jax.vmap(s.cosine(0.4, 90))(jnp.arange(91)), atol=1e-8)
    assert float(s.warm_up(0.3, 4)(4)) == pytest.approx(0.3)
    assert s.warm_up(rate, 0) is rate


def test_optimizer_takes_a_schedule_and_counts_from_zero():
    rule = optim.create_optimizer("sgd", s.multi_step(1.0, (2, 3), 0.5))
    state = rule.init(jnp.zeros(1))
    moves = []
    for _ in range(4):
        updates, state = rule.update(jnp.ones(1), state)
        moves.append(float(updates[0]))
    assert moves == [-1.0, -1.0, -0.5, -0.25]


class TestPlateau:
    def test_observed_between_steps(self):
        schedule = optim.Plateau(0.1, patience=1)
        rule = optim.create_optimizer("momentum", schedule, clip_norm=1.0)
        params = {"w": jnp.zeros(2)}
        state = rule.init(params)
        update = jax.jit(rule.update)
        rates = []
        for error in (1.0, 0.9, 0.9, 0.9, 0.5, 0.5, 0.5):
            for _ in range(3):  # An epoch: nothing is observed inside it.
                _, state = update({"w": jnp.ones(2)}, state, params)
            state = schedule.observe(state, error)
            rates.append(float(state[1][1].schedule.rate))
        np.testing.assert_allclose(rates, [0.1, 0.1, 0.1, 0.01, 0.01, 0.01, 0.001], rtol=1e-6)
        assert update._cache_size() == 1

    def test_observed_within_the_step(self):
        schedule = optim.Plateau(0.1, patience=0, factor=0.5, every_update=True)
        rule = optax.chain(optim.clip_by_value(10.0), optim.sgd(schedule))
        state = rule.init(jnp.zeros(1))
        moves = []
        for loss in (1.0, 1.0, 0.5, 0.6):
            updates, state = rule.update(jnp.ones(1), state, value=loss)
            moves.append(float(updates[0]))
        np.testing.assert_allclose(moves, [-0.1, -0.05, -0.05, -0.025], rtol=1e-6)

    def test_losses_of_batches_are_no_observations(self):
        """The training step gives every optimizer its batch's loss, which rises and falls."""
        schedule = optim.Plateau(0.1, patience=0)
        rule = optim.create_optimizer("momentum", schedule, clip_norm=1.0)
        state = rule.init(jnp.zeros(1))
        for loss in (1.0, 2.0, 3.0):
            _, state = rule.update(jnp.ones(1), state, jnp.zeros(1), value=loss)
        assert float(state[1][1].schedule.rate) == pytest.approx(0.1)
        for error in (1.0, 1.0):
            state = schedule.observe(state, error)
        assert float(state[1][1].schedule.rate) == pytest.approx(0.01)

    def test_not_a_number_is_no_improvement(self):
        schedule = optim.Plateau(1.0, patience=0)
        state = schedule.update(schedule.init(), value=jnp.nan)
        assert float(schedule(state)) == pytest.approx(0.1)

    def test_vmapped_over_replicas(self):
        schedule = optim.Plateau(1.0, patience=0)
        state = jax.tree.map(lambda leaf: jnp.stack([leaf] * 2), schedule.init())
        for value in ([1.0, 2.0], [0.5, 3.0]):
            state = jax.vmap(schedule.observe)(state, jnp.array(value))
        np.testing.assert_allclose(state.rate, [1.0, 0.1], rtol=1e-6)

    def test_mistakes(self):
        with pytest.raises(ValueError, match="mode must be 'min' or 'max', got 'low'"):
            optim.Plateau(0.1, mode="low")
        with pytest.raises(ValueError, match="threshold_mode"):
            optim.Plateau(0.1, threshold_mode="relative")
        with pytest.raises(ValueError, match="factor must be"):
            optim.Plateau(0.1, factor=1.0)
        with pytest.raises(ValueError, match="holds no plateau"):
            optim.Plateau(0.1).observe(optim.sgd(0.1).init(jnp.zeros(1)), 1.0)
        with pytest.raises(ValueError, match="must be one number"):
            schedule = optim.Plateau(0.1)
            schedule.update(schedule.init(), value=jnp.zeros(3))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: s.step(0.1, 0), "step_size must be a whole number ≥ 1, got 0"),
        (lambda: s.step(0.1, 2.5), "step_size must be a whole number"),
        (lambda: s.step(-0.1, 2), "init_value must be a number ≥ 0, got -0.1"),
        (lambda: s.multi_step(0.1, (20, 10)), "milestones must increase"),
        (lambda: s.multi_step(0.1, (0.5,)), "milestones must be a whole number"),
        (lambda: s.exponential(0.1, 0.0), "gamma must be a number > 0"),
        (lambda: s.cosine(0.1, 0), "total_steps must be"),
        (lambda: s.cosine(0.1, 10, -1.0), "end_value must be"),
        (lambda: s.polynomial(0.1, 10, -1.0), "power must be"),
        (lambda: s.inverse_sqrt(0.1, 0.0), "timescale must be"),
        (lambda: s.warm_restarts(0.1, 0), "first_cycle must be"),
        (lambda: s.warm_restarts(0.1, 5, 0), "multiplier must be"),
        (lambda: s.snapshot_cosine(0.1, 5, 0), "cycles must be"),
        (lambda: s.warm_up(0.1, -1), "steps must be"),
        (lambda: papers.googlenet(0.1, 0), "steps_per_epoch must be"),
    ],
)
def test_mistakes_name_the_argument(build, message):
    with pytest.raises(ValueError, match=message):
        build()
