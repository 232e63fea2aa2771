"""What a decoder is fed while it learns: the truth, itself, or now one and now the other."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jaxnets.ops.decoding import Step


def teacher_forcing(step: Step, carry: Any, tokens: jax.Array) -> tuple[jax.Array, Any]:
    """Logits of a decoder that is fed the true tokens: one scan.

    Args:
        step: (carry, token (B,)) → (carry, logits (B, V)).
        carry: of the decoder before its first step.
        tokens: (B, T) integers, from the start token on; entry t is fed at step t.

    Returns:
        (logits (B, T, V), carry): those at t are about token t + 1.

    Raises:
        ValueError: tokens that are no (B, T) integers, or no step at all.

    Source: Williams & Zipser 1989.

    >>> import jax.numpy as jnp
    >>> step = lambda total, token: (total + token, jnp.stack((total, token), -1))
    >>> teacher_forcing(step, jnp.zeros(1, int), jnp.array([[3, 4, 5]]))[0].tolist()
    [[[0, 3], [3, 4], [7, 5]]]
    """
    _check_tokens(tokens)
    carry, logits = lax.scan(step, carry, tokens.T)
    return jnp.swapaxes(logits, 0, 1), carry


def scheduled_sampling(
    key: jax.Array, step: Step, carry: Any, tokens: jax.Array, rate: float | jax.Array
) -> tuple[jax.Array, Any]:
    """Logits of a decoder that is now and then fed a token that it drew itself.

    At each step but the first, for each sequence: with probability ``rate`` a token drawn from the
    logits of the step before goes in, else the true one. The key is part of the scan's carry. No
    gradient goes through what was drawn.

    Args:
        key: random key.
        step: (carry, token (B,)) → (carry, logits (B, V)).
        carry: of the decoder before its first step.
        tokens: (B, T) integers, from the start token on.
        rate: probability of its own token; may grow while a network learns. 0 is
            `teacher_forcing`.

    Returns:
        (logits (B, T, V), carry).

    Raises:
        ValueError: a rate outside [0, 1], or as `teacher_forcing`.

    Source: Bengio et al. 2015 (Scheduled Sampling for Sequence Prediction), §2.4.

    >>> import jax, jax.numpy as jnp
    >>> step = lambda carry, token: (carry, 99.0 * jax.nn.one_hot(token + 1, 5))
    >>> logits, _ = scheduled_sampling(jax.random.key(0), step, (), jnp.zeros((1, 3), int), 1.0)
    >>> logits.argmax(-1).tolist()  # it goes on from its own, not from 0
    [[1, 2, 3]]
    """
    _check_tokens(tokens)
    if isinstance(rate, int | float) and not 0 <= rate <= 1:
        raise ValueError(f"rate: got {rate}; expected a probability in [0, 1]")

    def body(state, true):
        key, carry, own, first = state
        key, choice_key, draw_key = jax.random.split(key, 3)
        use_own = jax.random.bernoulli(choice_key, rate, true.shape) & ~first
        carry, logits = step(carry, jnp.where(use_own, own, true))
        drawn = jax.random.categorical(draw_key, lax.stop_gradient(logits)).astype(true.dtype)
        return (key, carry, drawn, jnp.zeros_like(first)), logits

    state = key, carry, tokens[:, 0], jnp.ones((), bool)
    (_, carry, _, _), logits = lax.scan(body, state, tokens.T)
    return jnp.swapaxes(logits, 0, 1), carry


def free_running(
    step: Step, carry: Any, start: jax.Array, length: int
) -> tuple[jax.Array, jax.Array, Any]:
    """A decoder that is fed its own likeliest tokens for a number of steps, as validation must.

    Args:
        step: (carry, token (B,)) → (carry, logits (B, V)).
        carry: of the decoder before its first step.
        start: (B,) integers, the first token that goes in.
        length: T steps, whatever comes out; `jaxnets.ops.greedy` stops at an end token.

    Returns:
        (tokens (B, T), logits (B, T, V), carry).

    Raises:
        ValueError: a length below 1.

    >>> import jax, jax.numpy as jnp
    >>> step = lambda carry, token: (carry, jax.nn.one_hot(token + 1, 5))
    >>> free_running(step, (), jnp.array([0]), 3)[0].tolist()
    [[1, 2, 3]]
    """
    if length < 1:
        raise ValueError(f"length: got {length}; expected at least 1 step")

    def body(state, _):
        carry, token = state
        carry, logits = step(carry, token)
        token = logits.argmax(-1).astype(token.dtype)
        return (carry, token), (token, logits)

    (carry, _), (tokens, logits) = lax.scan(body, (carry, start), None, length)
    return tokens.T, jnp.swapaxes(logits, 0, 1), carry


def _check_tokens(tokens: jax.Array) -> None:
    integers = jnp.issubdtype(getattr(tokens, "dtype", jnp.float32), jnp.integer)
    if getattr(tokens, "ndim", None) != 2 or tokens.shape[1] == 0 or not integers:
        got = getattr(tokens, "dtype", type(tokens).__name__), getattr(tokens, "shape", "")
        raise ValueError(
            f"tokens: got {got[0]} {got[1]}; expected integers (batch, time), at least one step, "
            "sequences of different lengths padded to one (`jaxnets.data.pad_sequences`)"
        )
