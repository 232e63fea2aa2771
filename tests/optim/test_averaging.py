"""Running averages against explicit sums."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxnets import optim

T = 200
PATH = np.cumsum(np.random.default_rng(0).normal(size=(T + 1, 3)), axis=0).astype(np.float32)


def averages(average, path=PATH):
    """The average after each of path[1:], started on path[0]."""

    def see(state, p):
        state = average.update(state, p)
        return state, state.average

    return np.asarray(jax.lax.scan(see, average.init(jnp.asarray(path[0])), path[1:])[1])


# In float32 the running form rounds once a step: 1e-7 of values up to 20, times √200.
TOLERANCE = 1e-7 * np.abs(PATH).max() * np.sqrt(T)


def test_polyak_is_the_mean():
    wanted = np.cumsum(PATH[1:].astype(float), axis=0) / np.arange(1, T + 1)[:, None]
    np.testing.assert_allclose(averages(optim.polyak()), wanted, rtol=0, atol=TOLERANCE)


def test_polyak_from_a_start():
    found = averages(optim.polyak(start=50))
    np.testing.assert_allclose(found[:50], PATH[1:51], rtol=1e-6)
    wanted = PATH[51:].astype(float).mean(0)
    np.testing.assert_allclose(found[-1], wanted, rtol=0, atol=TOLERANCE)


def explicit_ema(beta):
    """β^t p₀ + (1−β) Σ β^(t−i) p_i, and the gathered weight 1 − β^t."""
    t = np.arange(1, T + 1)
    weights = np.tril((1 - beta) * beta ** (t[:, None] - t[None]).clip(0))
    past = beta ** t[:, None]
    return past * PATH[0] + weights @ PATH[1:].astype(float), weights @ PATH[1:], 1 - past


@pytest.mark.parametrize("beta", [0.0, 0.5, 0.9, 0.99])
def test_ema_is_the_explicit_average(beta):
    wanted, _, _ = explicit_ema(beta)
    np.testing.assert_allclose(averages(optim.ema(beta)), wanted, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("beta", [0.0, 0.5, 0.9, 0.99])
def test_debiased_ema_is_the_explicit_weighted_mean(beta):
    _, total, weight = explicit_ema(beta)
    found = averages(optim.ema(beta, debias=True))
    np.testing.assert_allclose(found, total / weight, rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(found[0], PATH[1], rtol=1e-6)


def test_bar_of_the_plan_in_float64(x64):
    """Equal to the explicit sums to 1e-7; in float64, to rounding."""
    path = PATH.astype(float)
    wanted, total, weight = explicit_ema(0.9)
    np.testing.assert_allclose(averages(optim.ema(0.9), path), wanted, rtol=0, atol=1e-12)
    found = averages(optim.ema(0.9, debias=True), path)
    np.testing.assert_allclose(found, total / weight, rtol=0, atol=1e-12)


def test_debiased_ema_equals_optax(x64):
    path = PATH.astype(float)
    theirs = optax.ema(0.9, debias=True)
    state = theirs.init(jnp.asarray(path[0]))
    for p in path[1:20]:
        wanted, state = theirs.update(jnp.asarray(p), state)
    found = averages(optim.ema(0.9, debias=True), path[:20])[-1]
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-12)


def test_warm_ema_is_tensorflows():
    a = PATH[0].astype(float)
    wanted = []
    for t in range(1, T + 1):
        beta = min(0.9, (1 + t) / (10 + t))
        a = beta * a + (1 - beta) * PATH[t]
        wanted.append(a)
    np.testing.assert_allclose(averages(optim.ema(0.9, warm=True)), wanted, rtol=0, atol=TOLERANCE)


def test_average_of_bfloat16_parameters_is_float32():
    """In bfloat16 an average of decay 0.999 would never move from 1 toward 1.25."""
    average = optim.ema(0.999)
    state = average.init({"w": jnp.ones(2, jnp.bfloat16)})
    update = jax.jit(average.update)
    for _ in range(2000):
        state = update(state, {"w": jnp.full(2, 1.25, jnp.bfloat16)})
    assert state.average["w"].dtype == jnp.float32
    np.testing.assert_allclose(state.average["w"], 1.25 - 0.25 * 0.999**2000, rtol=1e-5)


def test_track_follows_the_updated_parameters():
    rule = optax.chain(optim.momentum(0.1), optim.track(optim.ema(0.8)))
    average = optim.ema(0.8)
    params = {"w": jnp.array([1.0, -2.0], jnp.bfloat16), "b": jnp.array(0.5)}
    state, beside = rule.init(params), average.init(params)

    @jax.jit
    def step(params, state):
        updates, state = rule.update(jax.tree.map(jnp.sin, params), state, params)
        return optax.apply_updates(params, updates), state

    for _ in range(20):
        params, state = step(params, state)
        beside = average.update(beside, params)
    found = optim.averaged_params(state, params)
    assert found["w"].dtype == jnp.bfloat16
    np.testing.assert_allclose(found["b"], beside.average["b"], rtol=1e-6)
    np.testing.assert_allclose(
        found["w"].astype(float), beside.average["w"].astype(jnp.bfloat16).astype(float)
    )


def test_polyak_average_of_noisy_descent_is_nearer_than_the_last_iterate():
    """What the average is for: SGD at a constant rate rattles about, its mean does not."""
    noise = jax.random.normal(jax.random.key(0), (4000, 8))
    rule = optax.chain(optim.sgd(0.2), optim.track(optim.polyak(start=1000)))

    def step(carry, n):
        x, state = carry
        updates, state = rule.update(x + n, state, x)
        return (x + updates, state), jnp.sum((x + updates) ** 2)

    x = jnp.ones(8)
    (x, state), errors = jax.jit(lambda: jax.lax.scan(step, (x, rule.init(x)), noise))()
    mean = optim.averaged_params(state, x)
    assert float(jnp.sum(mean**2)) < 0.05 * float(jnp.mean(errors[1000:]))


def test_mistakes():
    with pytest.raises(ValueError, match=r"decay must be a number ≥ 0 and < 1, got 1\.0"):
        optim.ema(1.0)
    with pytest.raises(ValueError, match="choose one"):
        optim.ema(0.9, debias=True, warm=True)
    with pytest.raises(ValueError, match="start must be a whole number"):
        optim.polyak(0.5)
    with pytest.raises(ValueError, match="exactly one average, found 0"):
        optim.averaged_params(optim.sgd(0.1).init(jnp.zeros(1)), jnp.zeros(1))
    rule = optim.track(optim.polyak())
    with pytest.raises(ValueError, match="call update"):
        rule.update(jnp.zeros(1), rule.init(jnp.zeros(1)))
    with pytest.raises(ValueError, match="floating-point"):
        optim.polyak().init(jnp.arange(3))


@pytest.mark.parametrize("start", [np.nan, np.inf, 1e30])
def test_a_weight_of_one_takes_the_parameters_themselves(start):
    """a + (p - a) would keep what is not finite, and lose the digits of p beside a large a."""
    for average in (optim.polyak(), optim.ema(0.0), optim.ema(0.9, debias=True)):
        state = average.update(average.init(jnp.float32(start)), jnp.float32(0.3))
        assert float(state.average) == np.float32(0.3)
