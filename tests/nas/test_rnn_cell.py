"""Recurrent cells from tokens: the paper's example, and the LSTM among them."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxnets.errors import JaxnetsError
from jaxnets.nas import (
    TreeCell,
    TreeWeights,
    decode_cell,
    draw_tree,
    lstm_architecture,
    lstm_tree_weights,
    rnn_space,
    tree_recurrent,
    tree_step,
)
from jaxnets.ops.recurrent import RecurrentWeights, recurrent


def random(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape)


def test_the_papers_example(x64):
    """Section 3.4, figure 5, base 2: each line of the text in NumPy."""
    add, mul = 0, 1
    identity, tanh, sigmoid, relu = range(4)
    tokens = (add, tanh, mul, relu, mul, sigmoid, add, relu, 1, 0)
    cell = decode_cell(rnn_space(2), tokens)
    assert isinstance(cell, TreeCell) and (cell.out, cell.into) == (1, 0)
    assert cell.inject == ("add", "relu") and identity == 0
    x, h, c = random(3, 4), random(3, 5), random(3, 5, seed=1)
    weights = TreeWeights(random(4, 10), random(5, 10), np.zeros(10))
    w1, w3 = np.split(weights.input, 2, 1)
    w2, w4 = np.split(weights.recurrent, 2, 1)
    a0 = np.tanh(x @ w1 + h @ w2)
    a1 = np.maximum((x @ w3) * (h @ w4), 0)
    a0_new = np.maximum(a0 + c, 0)
    h_new = 1 / (1 + np.exp(-(a0_new * a1)))
    found_h, found_c = tree_step(cell, *map(jnp.asarray, (x, h, c)), weights)
    np.testing.assert_allclose(found_h, h_new, rtol=1e-12)
    np.testing.assert_allclose(found_c, (x @ w3) * (h @ w4), rtol=1e-12)


def test_the_lstm_is_in_the_space(x64):
    space = rnn_space(8)
    cell = decode_cell(space, lstm_architecture())
    assert cell.base == 8
    plain = RecurrentWeights(*(jnp.asarray(random(*s)) for s in ((3, 16), (4, 16), (16,))))
    x = jnp.asarray(random(2, 6, 3))
    expected, (h, c) = recurrent("lstm", x, plain)
    found, (tree_h, tree_c) = tree_recurrent(cell, x, lstm_tree_weights(plain))
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(tree_h, h, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(tree_c, c, rtol=1e-12, atol=1e-14)
    without = lstm_tree_weights(plain._replace(bias=None))
    assert not np.asarray(without.bias).any()


def test_another_token_is_another_cell(x64):
    space = rnn_space(8)
    x = jnp.asarray(random(1, 3, 3))
    weights = TreeWeights(random(3, 32), random(4, 32), random(32))
    architecture = lstm_architecture()
    first = tree_recurrent(decode_cell(space, architecture), x, weights)[0]
    other = list(architecture)
    other[-1] = 0  # the memory enters another leaf
    assert np.abs(tree_recurrent(decode_cell(space, other), x, weights)[0] - first).max() > 1e-3


def test_wrong_architectures_are_refused():
    with pytest.raises(JaxnetsError, match=r"number 33 \(memory_in\) is 15"):
        decode_cell(rnn_space(8), (*lstm_architecture()[:-1], 15))


def test_the_picture(tmp_path):
    cell = decode_cell(rnn_space(8), lstm_architecture())
    assert draw_tree(cell, tmp_path / "lstm.png").stat().st_size > 10_000
