"""Copying and reversing: what a network of translation has to learn, and where it looks.

Every batch is fresh, so that nothing can be learned but the rule.
"""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnets import train
from jaxnets.data.text import END
from jaxnets.metrics import diagonal_mass
from jaxnets.models.sequence import EncoderDecoder, RNNSearch
from jaxnets.models.sequence.encoder_decoder import reverse_within_length
from jaxnets.tasks.writing import free_running, same_sequence, sequence_to_sequence
from jaxnets.tasks.writing_training import warm_adam

FIRST, SYMBOLS = 4, 8
VOCABULARY = FIRST + SYMBOLS
TASK = sequence_to_sequence()


def sequences(key, count: int, longest: int, reverse: bool) -> dict:
    """Random symbols of random lengths, and the same in order or from the last to the first."""
    length_key, symbol_key = jax.random.split(key)
    lengths = jax.random.randint(length_key, (count, 1), 1, longest + 1)
    steps = jnp.arange(longest + 1)[None]
    symbols = jax.random.randint(symbol_key, (count, longest), FIRST, VOCABULARY)
    mask = steps[:, :-1] < lengths
    read = jnp.where(mask, symbols, 0)
    said = reverse_within_length(read, mask) if reverse else read
    targets = jnp.where(steps == lengths, END, jnp.pad(said, ((0, 0), (0, 1))))
    mask_said = steps <= lengths
    return {"tokens": read, "token_mask": mask, "targets": targets, "target_mask": mask_said}


def test_what_is_to_be_said_is_what_was_read():
    found = jax.tree.map(np.asarray, sequences(jax.random.PRNGKey(0), 50, 5, True))
    names = ("tokens", "token_mask", "targets", "target_mask")
    for read, mask, said, there in zip(*(found[name] for name in names), strict=True):
        assert said[there].tolist() == [*read[mask][::-1].tolist(), END]
        assert there.sum() == mask.sum() + 1


def learn(model, *, longest: int, reverse: bool, steps: int, rate: float = 5e-3):
    """Parameters after so many steps on 64 fresh sequences each."""
    batch = partial(sequences, count=64, longest=longest, reverse=reverse)
    state_key, key = jax.random.split(jax.random.PRNGKey(0))
    state = train.create_state(model, warm_adam(rate, steps), batch(key), state_key, task=TASK)

    @jax.jit
    def run(state):
        def step(state, number):
            return train.train_step(state, batch(jax.random.fold_in(key, number)), task=TASK)

        return jax.lax.scan(step, state, jnp.arange(steps))

    state, metrics = run(state)
    assert np.isfinite(metrics["loss"]).all()
    return state.variables


def exact(model, variables, batch) -> np.ndarray:
    """(N,) which sequences are written without a fault, running freely."""
    longest = batch["targets"].shape[1]
    apply = jax.jit(free_running(model.apply, max_length=longest), static_argnames="train")
    found = apply(variables, **TASK.inputs(batch), train=False)
    return np.asarray(same_sequence(found["tokens"], batch["targets"], batch["target_mask"]))


@pytest.mark.slow
@pytest.mark.parametrize("reverse", [False, True])
def test_an_encoder_and_a_decoder_copy_and_reverse(reverse):
    model = EncoderDecoder(VOCABULARY, VOCABULARY, 96, embedding=16, cell="gru")
    variables = learn(model, longest=6, reverse=reverse, steps=3000)
    right = exact(model, variables, sequences(jax.random.PRNGKey(9), 1000, 6, reverse))
    assert right.mean() > 0.99, right.mean()


@cache
def searcher(reverse: bool):
    model = RNNSearch(VOCABULARY, VOCABULARY, 32, embedding=16)
    return model, learn(model, longest=12, reverse=reverse, steps=3000)


@pytest.mark.slow
@pytest.mark.parametrize("reverse", [False, True])
def test_attention_moves_along_what_is_copied_and_back_over_what_is_reversed(reverse):
    """Of the weights of the i-th word more than 0.8 lie within one step of the i-th word read."""
    model, variables = searcher(reverse)
    batch = sequences(jax.random.PRNGKey(9), 500, 12, reverse)
    assert exact(model, variables, batch).mean() > 0.95
    _, stored = model.apply(variables, **TASK.inputs(batch), mutable=["attention"])
    (weights,) = jax.tree.leaves(stored)
    counts = np.asarray(batch["token_mask"].sum(1))
    near, other = [], []
    for one, count in zip(weights, counts, strict=True):
        if count >= 6:
            own = one[:count, :count]
            near.append(float(diagonal_mass(own, reverse=reverse)))
            other.append(float(diagonal_mass(own, reverse=not reverse)))
    assert np.mean(near) > 0.8 > np.mean(other) + 0.3, (np.mean(near), np.mean(other))
