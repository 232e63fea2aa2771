"""Beam search under jit: the most likely whole sequences, as far as a few partial ones lead."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jaxnets.ops.decoding import Decoded, Step, check_start
from jaxnets.ops.precision import at_least_float32


def beam_search(
    step: Step,
    carry: Any,
    start: jax.Array,
    *,
    end: int,
    max_length: int,
    beams: int,
    length_penalty: float = 0.0,
    stop_early: bool = True,
) -> Decoded:
    """The best sequences among those that ``beams`` partial sequences at a time lead to.

    At each step the likeliest continuations of all living sequences are kept. One that ends leaves
    the beam and keeps its place, apart from the living; so a beam of 1 is `jaxnets.ops.greedy`, and
    a beam as large as the number of sequences finds the best of all.

    score = log P / ((5 + length) / 6)^α, length with the end token. Sequences of ``max_length``
    tokens count as they are, ended or not. The search stops when nothing that lives can overtake
    the best ended sequence: the bound takes what a sequence could score if it lost nothing more, at
    the longest length for α > 0 and at the next one for α < 0.

    Args:
        step: (carry, token (N,)) → (carry, logits (N, V)); called with N = B · beams.
        carry: of the decoder before its first step; its arrays have B as their first axis.
        start: (B,) integers, the first token that goes in.
        end: token that ends a sequence.
        max_length: tokens at most, the end token included.
        beams: partial sequences at a time.
        length_penalty: α; 0 for log P, positive to prefer longer sequences.
        stop_early: stop at the bound. It does not change the best sequence, only which others stand
            behind it.

    Returns:
        `Decoded`, (B, beams, max_length), the best first; places that were never filled have the
        score −∞ and the length 0.

    Raises:
        ValueError: ``beams`` or ``max_length`` below 1, or starts that are no (B,) integers.

    Source: Graves 2012 (Sequence Transduction with RNNs), §2.6; Bahdanau et al. 2015, §B.2.2; Wu et
    al. 2016 (Google's Neural Machine Translation System), §7.

    >>> import jax.numpy as jnp
    >>> shares = jnp.array([[0.0, 0.55, 0.45], [0.3, 0.3, 0.4], [1.0, 0.0, 0.0]])
    >>> step = lambda carry, token: (carry, jnp.log(shares[token]))
    >>> for beams in (1, 2):
    ...     best = beam_search(step, (), jnp.array([0]), end=0, max_length=3, beams=beams)
    ...     print(best.tokens[0, 0].tolist(), f"{jnp.exp(best.scores[0, 0]):.2f}")
    [1, 2, 0] 0.22
    [2, 0, 0] 0.45
    """
    check_start(start, max_length)
    if beams < 1:
        raise ValueError(f"beams: got {beams}; expected at least 1")
    batch = start.shape[0]
    width = (batch, beams)
    first = jnp.arange(beams) == 0

    def penalty(length: jax.Array) -> jax.Array:
        return ((5.0 + length.astype(jnp.float32)) / 6.0) ** length_penalty

    living = (
        jnp.broadcast_to(start[:, None], width),
        jnp.full((*width, max_length), end, start.dtype),
        jnp.broadcast_to(jnp.where(first, jnp.float32(0), -jnp.inf)[None], width),
    )
    ended = Decoded(
        jnp.full((*width, max_length), end, start.dtype),
        jnp.zeros(width, jnp.int32),
        jnp.full(width, -jnp.inf, jnp.float32),
    )
    carry = jax.tree.map(lambda leaf: jnp.repeat(leaf, beams, 0), carry)

    def going(state) -> jax.Array:
        t, _, (_, _, log_p), ended = state
        best = log_p.max(-1)
        lengths = t + 1, jnp.int32(max_length)
        bound = jnp.maximum(*(best / penalty(length) for length in lengths))
        alive = best > -jnp.inf
        if stop_early:
            alive &= bound > ended.scores.max(-1)
        return (t < max_length) & alive.any()

    def body(state):
        t, carry, (token, tokens, log_p), ended = state
        carry, logits = step(carry, token.reshape(-1))
        shares = jax.nn.log_softmax(at_least_float32(logits)).astype(log_p.dtype)
        vocabulary = shares.shape[-1]
        total = (log_p[..., None] + shares.reshape(*width, vocabulary)).reshape(batch, -1)
        # A vocabulary smaller than the beam has fewer continuations than places.
        short = max(0, beams - total.shape[1])
        total = jnp.pad(total, ((0, 0), (0, short)), constant_values=-jnp.inf)
        log_p, chosen = lax.top_k(total, beams)
        parent = jnp.minimum(chosen // vocabulary, beams - 1)
        token = (chosen % vocabulary).astype(start.dtype)
        tokens = jnp.take_along_axis(tokens, parent[..., None], 1)
        tokens = lax.dynamic_update_slice_in_dim(tokens, token[..., None], t, 2)
        rows = (jnp.arange(batch)[:, None] * beams + parent).reshape(-1)
        carry = jax.tree.map(lambda leaf: leaf[rows], carry)

        # What has ended keeps its place, so that only the others' places are left to the living.
        filled = (ended.lengths > 0).sum(-1, keepdims=True)
        log_p = jnp.where(jnp.arange(beams)[None] < beams - filled, log_p, -jnp.inf)
        over = ((token == end) | (t + 1 == max_length)) & (log_p > -jnp.inf)
        place = jnp.where(over, filled + jnp.cumsum(over, -1) - 1, beams)
        new = Decoded(tokens, jnp.full(width, t + 1), log_p / penalty(t + 1))
        index = jnp.arange(batch)[:, None]
        ended = jax.tree.map(
            lambda old, new: old.at[index, place].set(new, mode="drop"), ended, new
        )
        return t + 1, carry, (token, tokens, jnp.where(over, -jnp.inf, log_p)), ended

    *_, ended = lax.while_loop(going, body, (jnp.int32(0), carry, living, ended))
    order = jnp.argsort(-ended.scores, -1)
    tokens = jnp.take_along_axis(ended.tokens, order[..., None], 1)
    lengths, scores = (jnp.take_along_axis(x, order, 1) for x in ended[1:])
    return Decoded(tokens, lengths, scores)
