"""Networks of sequences: sizes of the papers, steps beside whole sequences, padding."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.models.sequence import EncoderDecoder, LanguageModel


def test_sutskevers_network_has_the_papers_384_million_parameters():
    """§3.4: 64 M recurrent (biases apart), 80 M softmax, 240 M embeddings; nothing is allocated."""
    model = EncoderDecoder(160_000, 80_000, 1000, layers=4)
    token = jnp.zeros((1, 1), jnp.int32)
    shapes = jax.eval_shape(model.init, jax.random.PRNGKey(0), token, token)["params"]
    sizes = {"recurrent": 0, "bias": 0, "head": 0, "embed": 0}
    for path, leaf in jax.tree_util.tree_leaves_with_path(shapes):
        name = jax.tree_util.keystr(path)
        kind = next((k for k in ("bias", "embed", "head") if k in name), "recurrent")
        sizes[kind] += leaf.size
    assert sizes == {
        "recurrent": 64_000_000,
        "head": 80_000_000,
        "embed": 240_000_000,
        "bias": 8 * 4000 + 80_000,
    }


def test_steps_are_the_whole_sequence():
    model, tokens = LanguageModel(7, 4, layers=2), jnp.array([[1, 2, 3], [6, 5, 4]])
    variables = jax.jit(model.init)(jax.random.PRNGKey(0), tokens)
    whole, end = jax.jit(model.apply)(variables, tokens)
    step = jax.jit(partial(model.apply, variables, method="step"))
    carry = model.start(2)
    for t in range(3):
        carry, logits = step(carry, tokens[:, t])
        np.testing.assert_allclose(logits, whole[:, t], atol=1e-6)
    jax.tree.map(partial(np.testing.assert_allclose, atol=1e-6), carry, end)


def test_padding_of_the_source_changes_nothing():
    model, target = EncoderDecoder(9, 7, 4, cell="gru"), jnp.array([[1, 2]])
    source = jnp.array([[3, 4, 5, 0, 0]])
    variables = jax.jit(model.init)(jax.random.PRNGKey(0), source, target)
    apply = jax.jit(model.apply)
    mask = jnp.array([[True, True, True, False, False]])
    padded = apply(variables, source.at[0, 3:].set(8), target, source_mask=mask)
    np.testing.assert_allclose(padded, apply(variables, source[:, :3], target), atol=1e-6)
