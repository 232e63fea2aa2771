"""Sequences made from a key, to find out how far back a network remembers."""

import jax
import jax.numpy as jnp


def adding_problem(key: jax.Array, count: int, length: int) -> tuple[jax.Array, jax.Array]:
    """Sequences of random numbers, two of them marked, one in each half: what is their sum?

    Always saying 1 has the mean squared error 1/6, the variance of a sum of two uniform numbers.

    Args:
        key: random key.
        count: N.
        length: T.

    Returns:
        (x (N, T, 2): a number in [0, 1) and a marker, 0 or 1; sums (N,)).

    Raises:
        ValueError: a length below 2.

    Source: Hochreiter & Schmidhuber 1997, §5.4; in this form Le et al. 2015 (A Simple Way to
    Initialize Recurrent Networks of Rectified Linear Units), §4.1.

    >>> import jax
    >>> x, total = adding_problem(jax.random.key(0), 1000, 10)
    >>> x.shape, x[..., 1].sum(1).max().item(), round(float(total.var()), 1)
    ((1000, 10, 2), 2.0, 0.2)
    """
    if length < 2:
        raise ValueError(f"length: got {length}; expected at least 2, a marker in each half")
    keys, half = jax.random.split(key, 3), length // 2
    numbers = jax.random.uniform(keys[0], (count, length))
    first = jax.random.randint(keys[1], (count, 1), 0, half)
    second = jax.random.randint(keys[2], (count, 1), half, length)
    steps = jnp.arange(length)[None]
    markers = ((steps == first) | (steps == second)).astype(numbers.dtype)
    return jnp.stack((numbers, markers), -1), (numbers * markers).sum(1)


def copy_problem(
    key: jax.Array, count: int, length: int, *, copied: int = 10, symbols: int = 8
) -> tuple[jax.Array, jax.Array]:
    """Symbols, a pause, a mark: then the symbols are to be said again.

    Whoever remembers nothing says one of the symbols at random: the cross entropy of the last
    ``copied`` steps is then log ``symbols``.

    Args:
        key: random key.
        count: N.
        length: T, steps between the last symbol and the mark.
        copied: symbols to remember, S.
        symbols: how many kinds there are.

    Returns:
        (tokens (N, T + 2 S), targets likewise): 0 is a pause, 1 the mark, symbols begin at 2.

    Raises:
        ValueError: sizes below 1.

    Source: Hochreiter & Schmidhuber 1997, §5; in this form Arjovsky et al. 2016 (Unitary Evolution
    Recurrent Neural Networks), §4.1.

    >>> import jax
    >>> tokens, targets = copy_problem(jax.random.key(0), 1, 2, copied=2)
    >>> tokens[0, 2:].tolist(), bool((targets[0, 4:] == tokens[0, :2]).all())
    ([0, 1, 0, 0], True)
    """
    if min(length, copied, symbols) < 1:
        raise ValueError(
            f"length: got {length}, copied {copied}, symbols {symbols}; expected at least 1 of each"
        )
    said = jax.random.randint(key, (count, copied), 2, 2 + symbols)
    pause = jnp.zeros((count, length + copied), said.dtype)
    tokens = jnp.concatenate((said, pause), 1)
    tokens = tokens.at[:, copied + length - 1].set(1)
    return (
        jnp.concatenate((tokens, jnp.zeros((count, copied), said.dtype)), 1)[
            :, : length + 2 * copied
        ],
        jnp.concatenate((jnp.zeros((count, length + copied), said.dtype), said), 1),
    )
