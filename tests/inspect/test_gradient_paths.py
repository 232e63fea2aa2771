"""Products of Jacobians against closed forms and JAX's own derivative of whole sequences."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets import ops
from jaxnets.inspect import frozen_gates, gradient_through_depth, gradient_through_time


def weights(cell, h=3, d=2, scale=0.5):
    random = np.random.default_rng(0)
    wide = ops.RECURRENT_CELLS[cell].gates * h
    shapes = (d, wide), (h, wide), (wide,)
    return ops.RecurrentWeights(*(jnp.asarray(scale * random.standard_normal(s)) for s in shapes))


def test_a_linear_networks_gradient_is_a_power_of_its_weights(x64):
    w = weights("rnn_linear")
    paths = gradient_through_time("rnn_linear", jnp.ones((6, 2)), w)
    power = np.linalg.matrix_power(np.asarray(w.recurrent).T, 6)
    np.testing.assert_allclose(paths.jacobian, power, atol=1e-14)
    radius = np.abs(np.linalg.eigvals(w.recurrent)).max()
    np.testing.assert_allclose(paths.radii, radius, rtol=1e-12)
    for rho in (0.9, 1.1):
        scaled = w._replace(recurrent=w.recurrent * (rho / radius))
        norms = gradient_through_time("rnn_linear", jnp.ones((200, 2)), scaled).norms
        assert (norms[0] > 1e6) if rho > 1 else (norms[0] < 1e-6)


def test_the_product_is_the_derivative_of_the_whole_sequence(x64):
    w = weights("lstm")
    x = jnp.asarray(np.random.default_rng(1).standard_normal((5, 2)))

    def last(c):
        _, (_, c) = ops.recurrent("lstm", x[None], w, (jnp.zeros((1, 3)), c[None]))
        return c[0]

    paths = gradient_through_time("lstm", x, w)
    np.testing.assert_allclose(paths.jacobian, jax.jacobian(last)(jnp.zeros(3)), atol=1e-14)
    np.testing.assert_allclose(paths.norms[0], np.linalg.norm(paths.jacobian, 2), rtol=1e-12)
    assert paths.norms[-1] == 1


def test_an_lstms_cell_keeps_the_product_of_its_forget_gates(x64):
    """Without recurrent weights the gates do not see the state: what is frozen is all there is."""
    w = weights("lstm")._replace(recurrent=jnp.zeros((3, 12)))
    x = jnp.asarray(np.random.default_rng(1).standard_normal((5, 2)))
    products, gates = frozen_gates(x, w)
    np.testing.assert_allclose(products[0], gates.prod(0), rtol=1e-14)
    paths = gradient_through_time("lstm", x, w)
    np.testing.assert_allclose(paths.jacobian, jnp.diag(products[0]), atol=1e-15)
    np.testing.assert_allclose(paths.norms, products.max(-1), rtol=1e-12)


def test_lstm_remembers_a_thousand_times_more_than_a_plain_network(x64):
    key, x = jax.random.PRNGKey(0), jnp.zeros((100, 2))
    draw = jax.nn.initializers.orthogonal()(key, (3, 3), jnp.float64)
    plain = weights("rnn", scale=0.3)._replace(recurrent=0.9 * draw)
    lstm = weights("lstm", scale=0.1)
    lstm = lstm._replace(bias=jnp.zeros(12).at[3:6].set(5.0))
    norms = [gradient_through_time(c, x, w).norms[0] for c, w in (("rnn", plain), ("lstm", lstm))]
    assert norms[1] > 1e3 * norms[0]


def test_a_residual_networks_jacobian_is_a_product_of_identity_plus_layers(x64):
    key, x = jax.random.PRNGKey(0), jnp.asarray(np.random.default_rng(0).standard_normal(4))
    found = gradient_through_depth(key, x, depth=3, initializer=ops.xavier_normal, residual=True)
    h, expected = x, np.eye(4)
    for k in jax.random.split(key, 3):
        w = np.asarray(ops.xavier_normal(k, (4, 4), jnp.float64))
        y = np.tanh(np.asarray(h) @ w)
        expected = (np.eye(4) + (w * (1 - y**2)).T) @ expected
        h = h + y
    np.testing.assert_allclose(found.jacobian, expected, rtol=1e-12, atol=1e-14)
