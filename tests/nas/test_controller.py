"""The controller: a distribution over the space, and a gradient without bias."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnets.nas import (
    Reinforce,
    SearchSpace,
    Simulated,
    Token,
    Written,
    conv_space,
    init_controller,
    read,
    reinforce_loss,
    simulate_parameter_server,
    write,
)

TWO = SearchSpace("two", (Token("a", (0, 1)), Token("b", (0, 1, 2))))
SKIPS = conv_space(3, heights=(1, 3), widths=(3,), filters=(2, 4, 8))


def params_of(space, scale=1.0):
    return init_controller(jax.random.key(0), space, hidden=5, layers=2, scale=scale)


@pytest.mark.parametrize("space", [TWO, SKIPS], ids=["choices", "skips"])
def test_probabilities_of_all_architectures_sum_to_one(space):
    everything = jnp.array(list(space.all()))
    found = read(params_of(space), everything, space=space)
    p = np.exp(np.asarray(found.log_probs, np.float64))
    assert p.sum() == pytest.approx(1, abs=1e-5) and p.std() > 0
    # What is written is as frequent as it is likely: every frequency within 4.5 deviations.
    written = write(jax.random.key(1), params_of(space), space=space, count=20_000)
    assert isinstance(written, Written)
    codes = np.ravel_multi_index(np.asarray(written.tokens).T, space.sizes)
    share = np.bincount(codes, minlength=space.size) / 20_000
    assert (np.abs(share - p) < 4.5 * np.sqrt(p / 20_000) + 1e-4).all()
    again = read(params_of(space), written.tokens[:9], space=space)
    np.testing.assert_allclose(again.log_probs, written.log_probs[:9], rtol=1e-4)
    np.testing.assert_allclose(again.entropies, written.entropies[:9], rtol=1e-4)


def test_skips_are_drawn_by_attention_to_anchor_points():
    params = params_of(SKIPS)
    tokens = jnp.array([[0] * len(SKIPS.tokens)])
    skip = [place for place, token in enumerate(SKIPS.tokens) if token.source >= 0]
    without = {**params, "anchor": {**params["anchor"], "v": jnp.zeros(5)}}
    before = read(params, tokens, space=SKIPS)
    # Without v each skip is a coin.
    even = read(without, tokens, space=SKIPS)
    assert float(before.log_probs[0]) != float(even.log_probs[0])
    other = tokens.at[0, skip[-1]].set(1)
    flipped = read(without, other, space=SKIPS)
    np.testing.assert_allclose(flipped.log_probs[0] - even.log_probs[0], 0, atol=0.7)
    gradient = jax.grad(lambda p: read(p, tokens, space=SKIPS).log_probs[0])(params)
    assert all(bool(jnp.any(leaf)) for leaf in jax.tree.leaves(gradient["anchor"]))


def test_the_first_numbers_are_uniform():
    leaves = jax.tree.leaves(init_controller(jax.random.key(0), TWO))
    values = np.concatenate([np.ravel(leaf) for leaf in leaves])
    assert -0.08 <= values.min() < -0.079 and 0.079 < values.max() <= 0.08


def test_reinforces_gradient_is_unbiased(x64):
    """Its mean over drawn architectures beside the exact gradient of −E[R] − β H, enumerated."""
    params = init_controller(jax.random.key(0), TWO, hidden=3, layers=1, scale=1.0)
    params = jax.tree.map(lambda x: x.astype(jnp.float64), params)
    everything = jnp.array(list(TWO.all()))
    rewards, baseline, beta = jnp.array([0.3, 1.0, -0.5, 2.0, 0.1, 0.7]), 0.8, 0.25

    def exact(p):
        found = read(p, everything, space=TWO)
        return -jnp.sum(jnp.exp(found.log_probs) * rewards)

    expected = jax.grad(exact)(params)["output"]["kernel"]
    written = write(jax.random.key(3), params, space=TWO, count=4000)
    index = written.tokens @ jnp.array([3, 1])

    @jax.jit
    @jax.vmap
    def single(tokens, reward):
        loss = jax.grad(reinforce_loss)
        return loss(params, tokens[None], (reward - baseline)[None], space=TWO)["output"]["kernel"]

    each = np.asarray(single(written.tokens, rewards[index]))
    deviation = each.std(0) / np.sqrt(len(each))
    # 3 deviations for one number; a bit more for the largest of all of them.
    assert (np.abs(each.mean(0) - np.asarray(expected)) <= 4.5 * deviation + 1e-12).all()
    # The bonus is the entropy's own gradient, where all architectures are equally frequent.
    with_bonus = jax.grad(reinforce_loss)(
        params, everything, jnp.zeros(6), space=TWO, entropy_weight=beta
    )
    entropy = jax.grad(lambda p: -beta * read(p, everything, space=TWO).entropies.mean())(params)
    np.testing.assert_allclose(
        with_bonus["output"]["kernel"], entropy["output"]["kernel"], atol=1e-12
    )


def test_a_bandit_is_learned():
    rewards = np.array([[0.0, 0.2, 0.1], [0.3, 1.0, 0.2]])
    controller = Reinforce(TWO, seed=0, learning_rate=0.03, hidden=8, layers=1)
    for _ in range(50):
        asked = controller.ask(8)
        controller.tell(asked, [rewards[a] for a in asked])
    found = read(controller.params, jnp.array([[1, 1]]), space=TWO)
    assert float(jnp.exp(found.log_probs[0])) > 0.9
    assert controller.most_likely() == (1, 1)
    assert 0.8 < controller.baseline <= 1.0
    assert controller.describe()["learning_rate"] == 0.03


def test_replicas_and_a_server_learn_it_too():
    table = jnp.array([[0.0, 0.2, 0.1], [0.3, 1.0, 0.2]])

    def reward(tokens):
        return table[tokens[:, 0], tokens[:, 1]]

    options = {"space": TWO, "children": 8, "updates": 80, "learning_rate": 0.03}
    params = init_controller(jax.random.key(0), TWO, hidden=8, layers=1)
    found = simulate_parameter_server(jax.random.key(1), params, reward, replicas=4, **options)
    assert isinstance(found, Simulated)
    assert found.events.staleness.max() == 3 and set(found.events.worker.tolist()) == {0, 1, 2, 3}
    assert found.rewards[:5].mean() < 0.5 < 0.9 < found.rewards[-5:].mean()
    again = simulate_parameter_server(jax.random.key(1), params, reward, replicas=4, **options)
    np.testing.assert_array_equal(found.rewards, again.rewards)
    with pytest.raises(ValueError, match="at least 2"):
        simulate_parameter_server(
            jax.random.key(1), params, reward, space=TWO, replicas=1, children=1, updates=1
        )
