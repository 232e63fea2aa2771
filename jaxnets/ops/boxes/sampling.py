"""Which anchors or proposals enter a loss: a fixed number, drawn by a key, or the hardest."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jaxnets.ops.boxes.checks import check_count, check_fraction, check_shape
from jaxnets.ops.precision import at_least_float32


class Sample(NamedTuple):
    """Chosen anchors, padded to a fixed number S; positives come first.

    Attributes:
        index: int32 (S,), which anchors; 0 in padding.
        positive: bool (S,), true for an object, false for background and padding.
        mask: bool (S,), true for a chosen anchor, false for padding.

    >>> sample_of(jnp.array([1, 0]), jnp.array([1, -1]), 2).index.tolist()
    [1, 0]
    """

    index: jax.Array
    positive: jax.Array
    mask: jax.Array


def sample(
    key: jax.Array,
    matched: jax.Array,
    count: int,
    positive_share: float = 0.5,
) -> Sample:
    """Draw ``count`` anchors at random, at most ``positive_share`` of them positive.

    All sets of that size are equally likely. Where there are few positives, background fills up.

    Args:
        key: a JAX random key.
        matched: integer (N,), as `match` returns it: at least 0 for an object, −1 for background,
            below for neither.
        count: S, how many to draw: 256 for a region proposal network, 512 for its heads.
        positive_share: of S, rounded down.

    Returns:
        `Sample`, of S entries: also where there are fewer anchors.

    Raises:
        ValueError: a shape that is not (N,), S below 1, a share outside [0, 1].

    Source: Ren et al., "Faster R-CNN", 2015, section 3.1.3.

    >>> drawn = sample(jax.random.key(0), jnp.array([3, -1, -1, -2, -1]), 4)
    >>> drawn.index[0].item(), drawn.positive.tolist(), drawn.mask.tolist()
    (0, [True, False, False, False], [True, True, True, True])
    """
    check_count("count", count)
    check_fraction("positive_share", positive_share)
    if matched.ndim != 1:
        raise ValueError(f"matched: got shape {matched.shape}; expected (N,), one for each anchor")
    number = matched.shape[0]
    if number == 0:
        return Sample(jnp.zeros(count, jnp.int32), jnp.zeros(count, bool), jnp.zeros(count, bool))
    return _sample(key, matched, count, int(count * positive_share))


@partial(jax.jit, static_argnums=(2, 3), inline=True)
def _sample(key, matched, count, most):
    number = matched.shape[0]
    positive, negative = matched >= 0, matched == -1
    # A random order of all anchors; the first of each kind are taken.
    order = jax.random.permutation(key, number)
    taken = jnp.minimum(positive.sum(), most)
    first = _rank(positive, order) < taken
    second = _rank(negative, order) < count - taken
    chosen = (positive & first) | (negative & second)
    # Positives first, then background, each in the order of the anchors.
    rank = jnp.where(chosen & positive, 0, jnp.where(chosen, 1, 2))
    index = jnp.argsort(rank, stable=True)[:count]
    mask = chosen[index]
    missing = max(0, count - number)
    return Sample(
        jnp.pad(jnp.where(mask, index, 0), (0, missing)).astype(jnp.int32),
        jnp.pad(mask & positive[index], (0, missing)),
        jnp.pad(mask, (0, missing)),
    )


def sample_of(index: jax.Array, matched: jax.Array, count: int) -> Sample:
    """The sample of given anchors, such as those that another implementation drew.

    Args:
        index: integer (n,), n ≤ S; entries below 0 are padding. The order is kept.
        matched: integer (N,), as `match` returns it.
        count: S.

    Returns:
        `Sample`, of S entries.

    Raises:
        ValueError: more indices than ``count``, or shapes that do not fit.

    >>> sample_of(jnp.array([2, -1]), jnp.array([-1, -1, 0]), 3).mask.tolist()
    [True, False, False]
    """
    check_count("count", count)
    if index.ndim != 1 or index.shape[0] > count:
        raise ValueError(f"index: got shape {index.shape}; expected (n,) with n ≤ {count}")
    if matched.ndim != 1:
        raise ValueError(f"matched: got shape {matched.shape}; expected (N,), one for each anchor")
    index = jnp.pad(index.astype(jnp.int32), (0, count - index.shape[0]), constant_values=-1)
    mask = (index >= 0) & (index < matched.shape[0])
    index = jnp.where(mask, index, 0)
    positive = matched[index] >= 0 if matched.shape[0] else jnp.zeros(count, bool)
    return Sample(index, mask & positive, mask)


def hard_negatives(
    losses: jax.Array, matched: jax.Array, *, ratio: float = 3.0, at_least: int = 0
) -> jax.Array:
    """The background anchors with the largest losses, ``ratio`` for each positive.

    Args:
        losses: (N,), of the class scores at each anchor.
        matched: integer (N,), as `match` returns it.
        ratio: negatives to a positive.
        at_least: how many negatives to take in an image without objects, so that it teaches what
            background looks like; the paper takes none.

    Returns:
        bool (N,): true for a chosen background anchor. Of equal losses the earlier anchor counts as
        the larger.

    Raises:
        ValueError: shapes that do not fit, or a negative ratio.

    Source: Liu et al., "SSD: Single Shot MultiBox Detector", 2016, section 2.2, "Hard negative
    mining".

    >>> losses = jnp.array([9.0, 1.0, 3.0, 2.0, 0.0])
    >>> hard_negatives(losses, jnp.array([0, -1, -1, -1, -1]), ratio=2).tolist()
    [False, False, True, True, False]
    """
    check_shape("losses", losses, matched.shape, "one for each anchor, as matched")
    if ratio < 0:
        raise ValueError(f"ratio: got {ratio}; expected at least 0")
    return _hard_negatives(losses, matched, ratio, at_least)


@partial(jax.jit, inline=True)
def _hard_negatives(losses, matched, ratio, at_least):
    negative = matched == -1
    wide = jnp.where(negative, lax.stop_gradient(at_least_float32(losses)), -jnp.inf)
    order = jnp.argsort(-wide, stable=True)
    rank = jnp.zeros_like(order).at[order].set(jnp.arange(order.shape[0], dtype=order.dtype))
    wanted = jnp.floor((matched >= 0).sum().astype(wide.dtype) * ratio)
    return negative & (rank.astype(wide.dtype) < jnp.maximum(wanted, at_least))


def _rank(member, order):
    """How many members come before each entry in a given order."""
    ordered = member[order].astype(jnp.int32)
    before = jnp.cumsum(ordered) - ordered
    return jnp.zeros_like(before).at[order].set(before)
