"""Decoding one token after another, under jit: the likeliest, or drawn.

A decoder is a function ``step(carry, token (B,)) → (carry, logits (B, V))``; every array of the
carry has the batch as its first axis. With a Flax module that is
``lambda carry, token: model.apply(variables, carry, token, method="step")``.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jaxnets.ops.precision import at_least_float32

Step = Callable[[Any, jax.Array], tuple[Any, jax.Array]]


class Decoded(NamedTuple):
    """Sequences that a decoder made.

    Attributes:
        tokens: (…, max_length) integers; behind the end there are only end tokens.
        lengths: (…,) tokens of each, the end token included.
        scores: (…,) sum of the tokens' log-probabilities, by a length penalty where there is one.

    >>> import jax.numpy as jnp
    >>> Decoded(jnp.array([[2, 0, 0]]), jnp.array([2]), jnp.array([-1.0])).lengths.tolist()
    [2]
    """

    tokens: jax.Array
    lengths: jax.Array
    scores: jax.Array


def greedy(step: Step, carry: Any, start: jax.Array, *, end: int, max_length: int) -> Decoded:
    """The likeliest token at each step, until every sequence has ended.

    Args:
        step: (carry, token (B,)) → (carry, logits (B, V)).
        carry: of the decoder before its first step.
        start: (B,) integers, the first token that goes in; it is no part of the result.
        end: token that ends a sequence.
        max_length: tokens at most, the end token included.

    Returns:
        `Decoded`, (B, max_length); ``scores`` are sums of log-probabilities.

    Raises:
        ValueError: a ``max_length`` below 1, or starts that are no (B,) integers.

    >>> import jax.numpy as jnp
    >>> def count(carry, token):  # the next number is certain, up to 3; then 0
    ...     return carry, 99.0 * jax.nn.one_hot((token + 1) % 4, 4)
    >>> result = greedy(count, (), jnp.array([0, 2]), end=0, max_length=5)
    >>> result.tokens.tolist(), result.lengths.tolist()
    ([[1, 2, 3, 0, 0], [3, 0, 0, 0, 0]], [4, 2])
    """
    return _decode(lambda key, logits: logits.argmax(-1), None, step, carry, start, end, max_length)


def sample(
    key: jax.Array,
    step: Step,
    carry: Any,
    start: jax.Array,
    *,
    end: int,
    max_length: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> Decoded:
    """Tokens drawn from the decoder's distribution, until every sequence has ended.

    Args:
        key: random key.
        step: (carry, token (B,)) → (carry, logits (B, V)).
        carry: of the decoder before its first step.
        start: (B,) integers, the first token that goes in.
        end: token that ends a sequence.
        max_length: tokens at most, the end token included.
        temperature: logits are divided by it; below 1 likely tokens become likelier.
        top_k: draw among the k likeliest tokens only.
        top_p: draw among the fewest likeliest tokens that have this probability together.

    Returns:
        `Decoded`, (B, max_length); ``scores`` are log-probabilities of the decoder's own
        distribution, neither cut nor sharpened.

    Raises:
        ValueError: a temperature of 0 or less (that is `greedy`), ``top_k`` below 1, ``top_p``
            outside (0, 1], or as `greedy`.

    Source: top-p: Holtzman et al. 2020 (The Curious Case of Neural Text Degeneration), §3.1.

    >>> import jax, jax.numpy as jnp
    >>> fair = lambda carry, token: (carry, jnp.zeros((*token.shape, 2)))
    >>> start = jnp.zeros(20_000, int)
    >>> result = sample(jax.random.key(0), fair, (), start, end=1, max_length=9)
    >>> round(float(result.lengths.mean()), 1)  # 1 + ½ + ¼ + …
    2.0
    """
    if isinstance(temperature, int | float) and temperature <= 0:
        raise ValueError(f"temperature: got {temperature}; expected more than 0 (0 is `greedy`)")
    if top_k is not None and top_k < 1:
        raise ValueError(f"top_k: got {top_k}; expected at least 1")
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"top_p: got {top_p}; expected a probability in (0, 1]")

    def choose(key: jax.Array, logits: jax.Array) -> jax.Array:
        return jax.random.categorical(key, keep_likely(logits / temperature, top_k, top_p))

    return _decode(choose, key, step, carry, start, end, max_length)


def keep_likely(logits: jax.Array, top_k: int | None, top_p: float | None) -> jax.Array:
    """−∞ in place of the logits that neither ``top_k`` nor ``top_p`` keeps.

    Args:
        logits: (…, V).
        top_k: keep the k greatest.
        top_p: keep the greatest whose probabilities, up to the one before, sum to less than this.

    Returns:
        (…, V).

    >>> import jax.numpy as jnp
    >>> keep_likely(jnp.log(jnp.array([0.5, 0.2, 0.3])), None, 0.6).round(2).tolist()
    [-0.6899..., -inf, -1.1999...]
    """
    if top_k is not None and top_k < logits.shape[-1]:
        least = lax.top_k(logits, top_k)[0][..., -1:]
        logits = jnp.where(logits >= least, logits, -jnp.inf)
    if top_p is not None and top_p < 1:
        ordered = -jnp.sort(-logits, -1)
        shares = jax.nn.softmax(ordered, -1)
        kept = jnp.cumsum(shares, -1) - shares < top_p
        least = jnp.where(kept, ordered, jnp.inf).min(-1, keepdims=True)
        logits = jnp.where(logits >= least, logits, -jnp.inf)
    return logits


def check_start(start: jax.Array, max_length: int) -> None:
    """Raise a ValueError where decoding cannot begin."""
    if max_length < 1:
        raise ValueError(f"max_length: got {max_length}; expected at least 1 token")
    if getattr(start, "ndim", None) != 1 or not jnp.issubdtype(start.dtype, jnp.integer):
        got = getattr(start, "dtype", type(start).__name__), getattr(start, "shape", "")
        raise ValueError(f"start: got {got[0]} {got[1]}; expected integers (batch,)")


def _decode(choose, key, step, carry, start, end, max_length) -> Decoded:
    check_start(start, max_length)
    batch = start.shape[0]
    result = Decoded(
        jnp.full((batch, max_length), end, start.dtype),
        jnp.zeros(batch, jnp.int32),
        jnp.zeros(batch, jnp.float32),
    )

    def going(state) -> jax.Array:
        t, _, _, _, ended, _ = state
        return (t < max_length) & ~ended.all()

    def body(state):
        t, key, carry, token, ended, (tokens, lengths, scores) = state
        carry, logits = step(carry, token)
        logits = at_least_float32(logits)
        draw = key
        if key is not None:
            key, draw = jax.random.split(key)
        token = choose(draw, logits).astype(start.dtype)
        share = jnp.take_along_axis(jax.nn.log_softmax(logits), token[:, None], -1)[:, 0]
        token = jnp.where(ended, jnp.asarray(end, start.dtype), token)
        scores = jnp.where(ended, scores, scores + share.astype(scores.dtype))
        lengths = jnp.where(ended, lengths, lengths + 1)
        tokens = lax.dynamic_update_slice_in_dim(tokens, token[:, None], t, 1)
        return t + 1, key, carry, token, ended | (token == end), (tokens, lengths, scores)

    state = jnp.int32(0), key, carry, start, jnp.zeros(batch, bool), tuple(result)
    return Decoded(*lax.while_loop(going, body, state)[-1])
