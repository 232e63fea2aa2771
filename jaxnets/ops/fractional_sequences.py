"""Where the regions of fractional max pooling begin: random and pseudo-random integer sequences."""

import itertools
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np


def pytorch_starts(u: jax.Array, size: int, out: int, window: int) -> jax.Array:
    """First entries of ``out`` regions of ``window`` entries, as PyTorch places them.

    a_i = ⌊(i + u) α⌋ − ⌊u α⌋ with α = (n − k) / (m − 1) for i < m − 1, and a_{m−1} = n − k. All in
    the dtype of ``u``, roundings included, so that float32 gives what PyTorch's float32 gives.

    Args:
        u: a number in [0, 1).
        size: n, length of the axis.
        out: m, regions.
        window: k, entries of a region.

    Returns:
        (m,) int32.

    Source: ``generate_intervals`` of torch.nn.functional.fractional_max_pool2d.

    >>> import jax.numpy as jnp
    >>> pytorch_starts(jnp.float32(0.5), 10, 6, 2).tolist()
    [0, 2, 4, 5, 7, 8]
    """
    if out == 1:
        return jnp.full((1,), size - window, jnp.int32)
    alpha = jnp.asarray((size - window) / (out - 1), u.dtype)
    places = (jnp.arange(out).astype(u.dtype) + u) * alpha
    starts = jnp.floor(places).astype(jnp.int32) - jnp.floor(u * alpha).astype(jnp.int32)
    return starts.at[-1].set(size - window)


def pseudo_random_steps(u: jax.Array, total: int, steps: int) -> jax.Array:
    """Integers that go from 0 to ``total`` as evenly as can be: a_i = ⌊α i + φ⌋, α = total/steps.

    The phase φ is ⌊u·steps⌋/steps: no other phase gives another sequence. In integers a_i =
    (i·total + ⌊u·steps⌋) div steps, so nothing is rounded, a_0 = 0 and a_steps = total. For α in
    (1, 2) all increments are 1 or 2.

    Args:
        u: a number in [0, 1).
        total: the last of the sequence.
        steps: how many increments.

    Returns:
        (steps + 1,) int32.

    Source: Graham 2014 (Fractional Max-Pooling), §2.1, a_i = ⌈α (i + u)⌉.

    >>> import jax.numpy as jnp
    >>> pseudo_random_steps(jnp.float32(0.0), 8, 5).tolist()
    [0, 1, 3, 4, 6, 8]
    >>> pseudo_random_steps(jnp.float32(0.9), 8, 5).tolist()
    [0, 2, 4, 5, 7, 8]
    """
    phase = jnp.clip(jnp.floor(u * steps).astype(jnp.int32), 0, steps - 1)
    return (jnp.arange(steps + 1, dtype=jnp.int32) * total + phase) // steps


def random_steps(key: jax.Array, total: int, steps: int) -> jax.Array:
    """Integers that go from 0 to ``total`` by increments of 1 and 2 in random order.

    Args:
        key: random key.
        total: the last of the sequence, from ``steps`` to 2·``steps``.
        steps: how many increments.

    Returns:
        (steps + 1,) int32.

    Source: Graham 2014, §2.1: "the increments are obtained by taking a random permutation of an
    appropriate number of ones and twos".

    >>> import jax
    >>> sequence = random_steps(jax.random.key(0), 8, 5)
    >>> int(sequence[0]), int(sequence[-1]), sorted(jnp.diff(sequence).tolist())
    (0, 8, [1, 1, 2, 2, 2])
    """
    words, places = jax.random.bits(key, (steps,)), np.arange(steps)
    # The smallest words get the twos. Counting how many are smaller is quick for sequences as short
    # as these; a sort compiles slowly, and XLA folds it for many seconds where the key is constant.
    less = words[None, :] < words[:, None]
    before = (words[None, :] == words[:, None]) & (places[None, :] < places[:, None])
    increments = 1 + ((less | before).sum(1) < total - steps).astype(jnp.int32)
    return jnp.concatenate([jnp.zeros(1, jnp.int32), jnp.cumsum(increments, dtype=jnp.int32)])


def all_random_steps(total: int, steps: int) -> np.ndarray:
    """Every sequence that `random_steps` may give, each equally likely: (count, steps + 1).

    >>> all_random_steps(4, 3).tolist()
    [[0, 2, 3, 4], [0, 1, 3, 4], [0, 1, 2, 4]]
    """
    rows = []
    for twos in itertools.combinations(range(steps), total - steps):
        increments = np.ones(steps, int)
        increments[list(twos)] = 2
        rows.append(np.concatenate([[0], np.cumsum(increments)]))
    return np.array(rows)


@dataclass(frozen=True)
class Regions:
    """The kind of regions along one axis, all static.

    Attributes:
        size: n, length of the axis.
        out: m, regions.
        window: entries of each region (PyTorch's form), or None: a region begins where a sequence
            of increments 1 and 2 says, and ends before the next one or, overlapping, on its first
            entry.
        overlapping: see above.
    """

    size: int
    out: int
    window: int | None
    overlapping: bool

    @property
    def total(self) -> int:
        """Where the sequence ends."""
        if self.window is not None:
            return self.size - self.window
        return self.size - 1 if self.overlapping else self.size

    @property
    def steps(self) -> int:
        """Increments of the sequence."""
        return self.out if self.window is None else self.out - 1

    @property
    def longest(self) -> int:
        """Entries of the largest region."""
        if self.window is not None:
            return self.window
        return -(-self.total // self.steps) + self.overlapping

    def pseudo_random(self, u: jax.Array) -> tuple[jax.Array, jax.Array]:
        """(first, last) entries of the regions for a number in [0, 1)."""
        if self.window is not None:
            return self._of_starts(pytorch_starts(u, self.size, self.out, self.window))
        return self.of_boundaries(pseudo_random_steps(u, self.total, self.steps))

    def random(self, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        """(first, last) entries of the regions for a key."""
        if self.window is not None and self.steps == 0:
            return self._of_starts(jnp.full((1,), self.total, jnp.int32))
        boundaries = random_steps(key, self.total, self.steps)
        if self.window is not None:
            return self._of_starts(boundaries)
        return self.of_boundaries(boundaries)

    def of_boundaries(self, boundaries: jax.Array) -> tuple[jax.Array, jax.Array]:
        """(first, last) entries of the regions between (out + 1) boundaries."""
        return boundaries[:-1], boundaries[1:] - (0 if self.overlapping else 1)

    def _of_starts(self, starts: jax.Array) -> tuple[jax.Array, jax.Array]:
        return starts, starts + (self.window - 1)

    def check(self, axis: int, increments_of_1_and_2: bool) -> None:
        """Check that such a sequence exists for these sizes.

        Raises:
            ValueError: there is none; the message says what would fit.
        """
        if self.window is not None and self.out + self.window - 1 > self.size:
            raise ValueError(
                f"output_size: got {self.out} regions of {self.window} entries on spatial axis "
                f"{axis} of {self.size} entries; expected at most "
                f"{max(self.size - self.window + 1, 0)} regions"
            )
        if increments_of_1_and_2 and not self.steps <= self.total <= 2 * self.steps:
            least, most = -(-self.total // 2), self.total
            if self.window is not None:
                least, most = least + 1, most + 1
            raise ValueError(
                f"output_size: got {self.out} on spatial axis {axis} of {self.size} entries; "
                f"regions that begin 1 or 2 entries apart number {least} to {most} there"
            )
