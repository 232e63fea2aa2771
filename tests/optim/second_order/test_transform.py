"""L-BFGS as Optax transforms: the deterministic one, and the multi-batch one that trains."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxnets.optim import lbfgs, minimize, multi_batch_gradients, multi_batch_lbfgs


def rosenbrock(tree, scale=100.0):
    x = tree["x"]
    return jnp.sum(scale * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def test_the_transform_takes_the_steps_of_minimize_and_compiles_once(x64):
    solver = lbfgs(memory_size=10)
    params = {"x": jnp.tile(jnp.asarray([-1.2, 1.0]), 3)}
    state = solver.init(params)
    value_and_grad = optax.value_and_grad_from_state(rosenbrock)
    traces = 0

    @jax.jit
    def step(params, state):
        nonlocal traces
        traces += 1
        value, grad = value_and_grad(params, state=state)
        updates, state = solver.update(grad, state, params, value=value, value_fn=rosenbrock)
        return optax.apply_updates(params, updates), state

    for _ in range(20):
        params, state = step(params, state)
    assert traces == 1
    reference = minimize(
        rosenbrock,
        {"x": jnp.tile(jnp.asarray([-1.2, 1.0]), 3)},
        memory_size=10,
        max_iterations=20,
        tol=0.0,
    )
    np.testing.assert_allclose(params["x"], reference.x["x"], rtol=1e-6)
    assert int(state.evaluations) == int(reference.evaluations) - 1  # minimize counts the start
    np.testing.assert_allclose(state.value, rosenbrock(params), rtol=1e-9)


def test_the_transform_converges_in_float32_chained_and_with_arguments():
    solver = optax.chain(lbfgs(memory_size=5), optax.identity())
    params = {"x": jnp.zeros(4)}
    state = solver.init(params)

    @jax.jit
    def step(params, state):
        value, grad = jax.value_and_grad(rosenbrock)(params, 10.0)
        updates, state = solver.update(
            grad, state, params, value=value, value_fn=rosenbrock, scale=10.0
        )
        return optax.apply_updates(params, updates), state

    for _ in range(40):
        params, state = step(params, state)
    np.testing.assert_allclose(params["x"], 1.0, atol=1e-2)


def test_missing_arguments_are_named():
    solver = lbfgs()
    x = jnp.ones(2)
    with pytest.raises(ValueError, match="value_fn=False"):
        solver.update(x, solver.init(x), x, value=1.0)
    with pytest.raises(ValueError, match="memory_size"):
        lbfgs(memory_size=0)
    noisy = multi_batch_lbfgs()
    with pytest.raises(ValueError, match="shared"):
        noisy.update(x, noisy.init(x), x)
    with pytest.raises(ValueError, match="0 < overlap"):
        multi_batch_gradients(lambda p, b: jnp.sum(p), x, jnp.ones(2), jnp.ones(4), 4)


def digits():
    from sklearn.datasets import load_digits

    bunch = load_digits()
    order = np.random.default_rng(0).permutation(len(bunch.target))
    images, labels = jnp.asarray(bunch.data[order] / 16.0, jnp.float32), bunch.target[order]
    return (images[:1500], jnp.asarray(labels[:1500])), (images[1500:], jnp.asarray(labels[1500:]))


def network(params, images):
    return jnp.tanh(images @ params["w1"] + params["b1"]) @ params["w2"] + params["b2"]


def loss(params, batch):
    images, labels = batch
    logits = network(params, images)
    return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, labels))


def test_multi_batch_lbfgs_trains_a_network():
    (images, labels), test = digits()
    keys = jax.random.split(jax.random.key(0), 2)
    params = {
        "w1": jax.random.normal(keys[0], (64, 32)) / 8,
        "b1": jnp.zeros(32),
        "w2": jax.random.normal(keys[1], (32, 10)) / 32**0.5,
        "b2": jnp.zeros(10),
    }
    size, overlap, epochs = 150, 30, 8
    solver = multi_batch_lbfgs(0.5, memory_size=10)

    @jax.jit
    def step(params, state, previous, batch):
        value, grads, shared, following, kept = multi_batch_gradients(
            loss, params, previous, batch, overlap
        )
        updates, state = solver.update(grads, state, params, shared=shared, following=following)
        return optax.apply_updates(params, updates), state, kept, value

    rng = np.random.default_rng(1)
    state, previous = solver.init(params), (images[:overlap], labels[:overlap])
    start = float(loss(params, (images, labels)))
    for _ in range(epochs):
        for rows in rng.permutation(1500).reshape(-1, size):
            params, state, previous, value = step(
                params, state, previous, (images[rows], labels[rows])
            )
            assert np.isfinite(value)
    accuracy = float(jnp.mean(jnp.argmax(network(params, test[0]), 1) == test[1]))
    assert float(loss(params, (images, labels))) < 0.05 * start
    assert accuracy >= 0.95  # 97 % is what this network reaches when trained to the end


def test_the_pieces_of_a_multi_batch_gradient_are_the_gradients_of_its_examples():
    rng = np.random.default_rng(0)
    params = {"w": jnp.asarray(rng.normal(size=3), jnp.float32)}

    def squares(params, x):
        return jnp.mean((x @ params["w"]) ** 2)

    previous = jnp.asarray(rng.normal(size=(2, 3)), jnp.float32)
    batch = jnp.asarray(rng.normal(size=(5, 3)), jnp.float32)
    value, grads, shared, following, kept = multi_batch_gradients(
        squares, params, previous, batch, 2
    )
    everything = jnp.concatenate([previous, batch])
    expected_value, expected = jax.value_and_grad(squares)(params, everything)
    np.testing.assert_allclose(value, expected_value, rtol=1e-5)
    np.testing.assert_allclose(grads["w"], expected["w"], rtol=1e-5)
    np.testing.assert_allclose(shared["w"], jax.grad(squares)(params, previous)["w"], rtol=1e-5)
    np.testing.assert_allclose(following["w"], jax.grad(squares)(params, kept)["w"], rtol=1e-5)
    np.testing.assert_array_equal(kept, batch[-2:])
