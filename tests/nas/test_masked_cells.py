"""Cells under one program: each is the decoded cell, and a search of them ends beside the LSTM."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnets.errors import JaxnetsError
from jaxnets.nas import (
    FoundCell,
    MaskedCells,
    RandomSearch,
    RegularizedEvolution,
    conv_space,
    decode_cell,
    lstm_architecture,
    rnn_space,
    search_cells,
    tree_recurrent,
)

SPACE = rnn_space(8)


def test_each_cell_is_the_decoded_one(x64):
    """Outputs and gradients of random architectures, and of the LSTM."""
    cells = MaskedCells(SPACE, units=3, vocabulary=5)
    params = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), cells.init(jax.random.key(0)))
    drawn = np.random.default_rng(0)
    tokens = jnp.asarray(drawn.integers(0, 5, (2, 6)))

    def decoded(params, architecture):
        x = params["embedding"][tokens]
        outputs = tree_recurrent(decode_cell(SPACE, architecture), x, params["cell"])[0]
        return outputs @ params["head"]["kernel"] + params["head"]["bias"]

    apply = jax.jit(cells.apply)
    gradient = jax.jit(jax.grad(lambda p, a: jnp.sin(cells.apply(p, a, tokens)).sum()))
    for architecture in (lstm_architecture(), *(SPACE.draw(drawn) for _ in range(6))):
        numbers = jnp.asarray(architecture)
        expected = decoded(params, architecture)
        np.testing.assert_allclose(apply(params, numbers, tokens), expected, rtol=1e-10)
        slopes = jax.grad(lambda p, a=architecture: jnp.sin(decoded(p, a)).sum())(params)
        for one, other in zip(
            jax.tree.leaves(gradient(params, numbers)), jax.tree.leaves(slopes), strict=True
        ):
            np.testing.assert_allclose(one, other, rtol=1e-8, atol=1e-10)


def test_a_cell_that_remembers_learns_what_one_without_memory_cannot():
    """After "a" or "b" and two "x" the letter comes again: one bit in four letters to remember."""
    drawn = np.random.default_rng(0)
    letters = drawn.integers(0, 2, 400)
    tokens = np.stack([letters, np.full(400, 2), np.full(400, 2), letters], 1).reshape(-1)
    cells = MaskedCells(SPACE, units=8, vocabulary=3)
    lstm = lstm_architecture()
    # Products with h, which is 0 at first and so for ever: it knows how often letters come.
    forgets = (1, 1) * 8 + (0, 0) * 9
    keys = jax.random.split(jax.random.key(0), 2)
    sizes = {"steps": 120, "batch_size": 16, "length": 12, "learning_rate": 0.03}
    bits = cells.train(keys, [lstm, forgets], tokens[:1200], tokens[1200:], **sizes)
    # A new letter is one bit in four; the windows' first steps do not know where they are.
    assert bits[0] < 0.5 and bits[1] == pytest.approx(1.5, abs=0.02)


def test_a_child_that_diverges_is_worth_nothing():
    """Products of sums without bounds overflow; the others beside it go on."""
    cells = MaskedCells(SPACE, units=4, vocabulary=3)
    explodes = tuple([0, 0] * 8 + [1, 0] * 7 + [0, 0, 14, 14])
    keys = jax.random.split(jax.random.key(0), 2)
    tokens = np.random.default_rng(0).integers(0, 3, 400)
    sizes = {"steps": 20, "length": 32, "learning_rate": 3.0}
    bits = cells.train(keys, [explodes, lstm_architecture()], tokens, tokens, **sizes)
    assert bits[0] == np.inf and np.isfinite(bits[1])


def test_a_search_goes_on_from_its_store(tmp_path):
    text = "to be or not to be, that is the question\n" * 12
    sizes = {"together": 2, "steps": 3, "units": 3, "large_units": 4, "keys": 2, "random": 2}
    sizes["length"] = 16

    def strategy():
        return RegularizedEvolution(SPACE, seed=0, population=3, sample=2)

    whole = search_cells(strategy(), text, queries=6, **sizes)
    store = tmp_path / "search.db"
    search_cells(strategy(), text, queries=4, store=store, **sizes)
    found = search_cells(strategy(), text, queries=6, store=store, **sizes)
    assert isinstance(found, FoundCell)
    assert found.history.architectures == whole.history.architectures
    np.testing.assert_allclose(found.history.rewards, whole.history.rewards, rtol=1e-4)
    assert found.random.shape == (2, 2) and found.lstm.shape == (2,)
    difference = (found.found - found.lstm).mean()
    assert found.beside_lstm["mean"] == pytest.approx(difference, abs=1e-6)


def test_bad_input():
    with pytest.raises(JaxnetsError, match="cells are of rnn_space"):
        MaskedCells(conv_space(2), units=2, vocabulary=3)
    sizes = {"queries": 1, "together": 1, "steps": 1, "units": 2, "large_units": 2}
    with pytest.raises(JaxnetsError, match="expected more than 330"):
        search_cells(RandomSearch(SPACE, seed=0), "short", keys=1, random=1, **sizes)
    cells = MaskedCells(SPACE, units=2, vocabulary=3)
    with pytest.raises(JaxnetsError, match="a text of 9 characters"):
        cells.train(None, [lstm_architecture()], np.zeros(9, int), np.zeros(99, int), steps=1)
