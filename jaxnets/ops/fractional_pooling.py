"""Fractional max pooling: shrink a map by a factor between 1 and 2, at random places."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from jaxnets.ops.fractional_sequences import Regions

SEQUENCES = ("pseudo-random", "random")
SHARES = ("batch", "example", "channel")


def fractional_max_pool(
    key: jax.Array | None,
    x: jax.Array,
    *,
    ratio: float | None = None,
    output_size: int | Sequence[int] | None = None,
    sequence: str = "pseudo-random",
    overlapping: bool = True,
    window: int | None = None,
    share: str = "example",
    samples: jax.Array | None = None,
) -> jax.Array:
    """Largest value of each of m < n regions an axis, whose sizes vary at random.

    The regions along an axis begin at a sequence of integers with increments 1 and 2: region i is
    [a_i, a_{i+1}] (overlapping) or [a_i, a_{i+1} − 1] (disjoint), so a map shrinks by n/m between 1
    and 2. "random" permutes the increments; "pseudo-random" has them as even as can be,
    a_i = ⌊α i + φ⌋, with a random phase. With ``window`` = k every region has k entries and starts
    at
    a_i = ⌊(i + u) α⌋ − ⌊u α⌋, α = (n − k)/(m − 1), as in PyTorch. The gradient goes to the first of
    equal maxima.

    Args:
        key: random key; None with ``samples``.
        x: (N, spatial…, C).
        ratio: n/m, in (1, 2), like √2 or 2^(1/3); m is ⌊n/ratio⌋. Or give
        output_size: m, an int or one for each spatial axis.
        sequence: "pseudo-random" or "random".
        overlapping: neighboring regions share an entry (the paper found it better).
        window: entries of every region, instead of ``overlapping``.
        share: whose regions are the same: those of the whole "batch", of each "example", or of
            each "channel" alone (as in PyTorch).
        samples: the numbers u in [0, 1) of pseudo-random sequences instead of a key, (N or 1, C or
            1, spatial axes), in the axes' order; PyTorch's ``_random_samples`` for two dimensions
            has them as (width, height).

    Returns:
        (N, m…, C).

    Raises:
        ValueError: a ratio or sizes out of range, unknown options, ``samples`` that do not fit.

    Source: Graham 2014 (Fractional Max-Pooling), §2.

    >>> import jax, jax.numpy as jnp
    >>> x = jnp.arange(9.0).reshape(1, 9, 1)
    >>> fractional_max_pool(None, x, output_size=5, samples=jnp.zeros((1, 1, 1))).ravel().tolist()
    [1.0, 3.0, 4.0, 6.0, 8.0]
    >>> fractional_max_pool(jax.random.key(0), jnp.zeros((2, 36, 36, 3)), ratio=2**0.5).shape
    (2, 25, 25, 3)
    """
    regions = fractional_regions(x.shape, ratio, output_size, window, overlapping, sequence)
    shape = _sharing(x.shape, share, samples)
    rank = len(regions)
    if samples is not None:
        if sequence != "pseudo-random":
            raise ValueError("samples: a random sequence needs a key; leave samples out")
        numbers = samples if samples.dtype == jnp.float64 else samples.astype(jnp.float32)
    elif key is None:
        raise ValueError("key: got None; expected a random key, or samples")
    elif sequence == "pseudo-random":
        numbers = jax.random.uniform(key, (*shape, rank), jnp.float32)
    else:
        numbers = jax.random.split(key, (*shape, rank))

    def one(x, numbers):
        draw = [r.random if sequence == "random" else r.pseudo_random for r in regions]
        return pool_places(x, regions, [draw[axis](numbers[axis]) for axis in range(rank)])

    of_channels = jax.vmap(one, (-1, 0), -1) if shape[1] > 1 else lambda x, n: one(x, n[0])
    if shape[0] == 1:
        return jax.vmap(of_channels, (0, None))(x, numbers[0])
    return jax.vmap(of_channels)(x, numbers)


def pool_places(
    x: jax.Array,
    regions: Sequence[Regions],
    places: Sequence[tuple[jax.Array, jax.Array]],
) -> jax.Array:
    """Largest values of given regions of one map (spatial…, C): (first, last) entries an axis.

    >>> import jax.numpy as jnp
    >>> first, last = jnp.array([0, 2]), jnp.array([2, 3])
    >>> pool_places(jnp.array([[1.0], [5.0], [2.0], [3.0]]), [Regions(4, 2, None, True)],
    ...     [(first, last)]).ravel().tolist()
    [5.0, 3.0]
    """
    # Last axis first: then the first of equal maxima is the first in reading order.
    for axis in reversed(range(len(regions))):
        x = _max_of_regions(x, axis, *places[axis], regions[axis].longest)
    return x


def fractional_regions(
    shape: tuple[int, ...],
    ratio: float | None = None,
    output_size: int | Sequence[int] | None = None,
    window: int | None = None,
    overlapping: bool = True,
    sequence: str = "pseudo-random",
) -> tuple[Regions, ...]:
    """The `Regions` along each spatial axis of an array; arguments of `fractional_max_pool`.

    >>> [r.out for r in fractional_regions((1, 36, 25, 3), ratio=2**0.5)]
    [25, 17]
    """
    if sequence not in SEQUENCES:
        raise ValueError(f"sequence: got {sequence!r}; expected one of {SEQUENCES}")
    if len(shape) < 3:
        raise ValueError(
            f"x: got shape {shape}; expected (batch, spatial…, channels), at least 3 axes"
        )
    if (ratio is None) == (output_size is None):
        raise ValueError(
            f"ratio, output_size: got {ratio} and {output_size}; expected one of the two"
        )
    if window is not None and window < 1:
        raise ValueError(f"window: got {window}; expected at least 1 entry, or None")
    sizes = shape[1:-1]
    if ratio is not None:
        if not 1.0 < ratio < 2.0:
            raise ValueError(
                f"ratio: got {ratio}; expected input size over output size, between 1 and 2"
            )
        # The margin makes 5 / 1.25 come to 4 whatever the rounding.
        outs = tuple(int(n / ratio + 1e-9) for n in sizes)
    else:
        outs = (output_size,) * len(sizes) if isinstance(output_size, int) else tuple(output_size)
    if len(outs) != len(sizes) or min(outs) < 1:
        raise ValueError(
            f"output_size: got {outs}; expected a positive int for each of the {len(sizes)} "
            f"spatial axes, of {sizes} entries"
        )
    regions = tuple(
        Regions(n, out, window, overlapping) for n, out in zip(sizes, outs, strict=True)
    )
    for axis, region in enumerate(regions):
        region.check(axis, increments_of_1_and_2=window is None or sequence == "random")
    return regions


def _sharing(shape: tuple[int, ...], share: str, samples: jax.Array | None) -> tuple[int, int]:
    """For how many examples and channels sequences are drawn."""
    n, channels, rank = shape[0], shape[-1], len(shape) - 2
    if samples is not None:
        allowed = ((1, n), (1, channels), (rank,))
        fits = samples.ndim == 3 and all(
            a in b for a, b in zip(samples.shape, allowed, strict=True)
        )
        if not fits:
            raise ValueError(
                f"samples: got shape {samples.shape}; expected ({n} or 1, {channels} or 1, {rank})"
            )
        return samples.shape[:2]
    if share not in SHARES:
        raise ValueError(f"share: got {share!r}; expected one of {SHARES}")
    return {"batch": (1, 1), "example": (n, 1), "channel": (n, channels)}[share]


def _max_of_regions(
    x: jax.Array, axis: int, first: jax.Array, last: jax.Array, longest: int
) -> jax.Array:
    best = jnp.take(x, first, axis, mode="clip")
    for offset in range(1, longest):
        # Shorter regions look at their last entry again.
        value = jnp.take(x, jnp.minimum(first + offset, last), axis, mode="clip")
        # "greater", so that the first of equals keeps its gradient; and a NaN is not hidden.
        wins = (value > best) | jnp.isnan(value)
        best = jnp.where(wins, value, best)
    return best
