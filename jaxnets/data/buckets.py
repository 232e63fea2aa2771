"""Pairs of sequences in buckets of lengths: little padding, and one compilation for each bucket."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from jaxnets.data import shuffle
from jaxnets.data.batch import Batch
from jaxnets.data.sequences import pad_sequences
from jaxnets.errors import JaxnetsError

Bounds = tuple[tuple[int, int], ...]


def choose_buckets(
    source_lengths: Sequence[int], target_lengths: Sequence[int], count: int, *, multiple: int = 1
) -> Bounds:
    """The bounds of buckets that pad least.

    The length of a pair is that of its longer side. Of all choices of ``count`` bounds the one with
    the least sum of padded lengths is found by dynamic programming.

    Args:
        source_lengths: (N,) steps of each source.
        target_lengths: (N,) steps of each target.
        count: buckets at most; each is compiled once.
        multiple: bounds are multiples of it.

    Returns:
        For each bucket (steps of the source, steps of the target) at most, both ascending.

    Raises:
        ValueError: no examples, or a count below 1.

    >>> choose_buckets([1, 2, 3, 9], [2, 2, 4, 5], 2)
    ((4, 4), (9, 5))
    """
    sources, targets = np.asarray(source_lengths), np.asarray(target_lengths)
    if count < 1 or sources.size == 0 or sources.shape != targets.shape:
        raise ValueError(
            f"count: got {count} buckets for {sources.size} sources and {targets.size} targets; "
            "expected at least one bucket and as many targets as sources"
        )
    lengths = -(-np.maximum(sources, targets) // multiple) * multiple
    edges, sizes = np.unique(lengths, return_counts=True)
    below = np.concatenate(([0], np.cumsum(sizes)))
    # cost[j]: of the pairs up to edge j in so many buckets; came[k][j]: where the last one began.
    cost, came = below[1:] * edges, []
    for _ in range(min(count, len(edges)) - 1):
        last = (below[1:, None] - below[None, 1:]) * edges[:, None]
        total = np.where(np.tri(len(edges), k=-1, dtype=bool), cost[None] + last, np.iinfo(int).max)
        came.append(total.argmin(1))
        cost = np.minimum(cost, total.min(1))
    chosen, end = [len(edges) - 1], len(edges) - 1
    for begins in reversed(came):
        if end == 0:
            break
        end = int(begins[end])
        chosen.append(end)
    most = [-(-int(side.max()) // multiple) * multiple for side in (sources, targets)]
    bounds = (tuple(min(int(edges[j]), top) for top in most) for j in reversed(chosen))
    return tuple((source, target) for source, target in bounds)


class SequencePairs:
    """Pairs of sequences as a `jaxnets.data.Source` whose batches have the shapes of buckets.

    A batch is padded to the smallest bucket that holds all of its pairs. `order` puts pairs of one
    bucket into one batch, so a network is compiled once for each bucket.

    Args:
        sources: each (S,) tokens, or (S, D) numbers.
        targets: each (T,) tokens, the end token included.
        buckets: bounds (S, T), ascending, as `choose_buckets` makes them.
        info: what a task may want to know.
        extra: further arrays (N, …) by batch key.

    A batch has ``tokens`` and ``token_mask``, or ``sequence`` and ``sequence_mask``; ``targets``
    and ``target_mask``; and those of ``extra``.

    Raises:
        JaxnetsError: unequally many, none, or a pair that no bucket holds.

    >>> pairs = SequencePairs([[5, 6], [7], [8]], [[5, 2], [6, 2], [7, 2]], ((1, 2), (2, 2)))
    >>> pairs.take(np.array([1, 2]))["tokens"].shape, pairs.take(np.array([0, 1]))["tokens"].shape
    ((2, 1), (2, 2))
    """

    def __init__(
        self,
        sources: Sequence[Any],
        targets: Sequence[Any],
        buckets: Bounds,
        *,
        info: Mapping[str, Any] | None = None,
        extra: Mapping[str, np.ndarray] | None = None,
    ):
        if len(sources) != len(targets) or not len(sources):
            raise JaxnetsError(
                f"got {len(sources)} sources and {len(targets)} targets; expected as many of each"
            )
        self.sources = [np.asarray(source) for source in sources]
        self.targets = [np.asarray(target, np.int32) for target in targets]
        if self.sources[0].dtype.kind in "iu" and self.sources[0].ndim == 1:
            self.sources = [source.astype(np.int32) for source in self.sources]
        self.buckets, self.info = tuple(buckets), MappingProxyType(dict(info or {}))
        self.extra = {key: np.asarray(array) for key, array in (extra or {}).items()}
        self._key = "tokens" if self.sources[0].ndim == 1 else "sequence"
        lengths = [(len(s), len(t)) for s, t in zip(self.sources, self.targets, strict=True)]
        self._bucket = np.array([self._find(pair, row) for row, pair in enumerate(lengths)])

    def _find(self, lengths: tuple[int, int], row: int) -> int:
        for number, (source, target) in enumerate(self.buckets):
            if 0 < lengths[0] <= source and 0 < lengths[1] <= target:
                return number
        longest = self.buckets[-1]
        raise JaxnetsError(
            f"pair {row} has lengths {lengths}; expected at least 1 and at most {longest}, the "
            "longest bucket. Leave it out, cut it, or take longer buckets"
        )

    def __len__(self) -> int:
        return len(self.sources)

    def take(self, rows: np.ndarray) -> Batch:
        """These pairs as a batch, padded to the smallest bucket that holds them."""
        rows = np.asarray(rows)
        source, target = self.buckets[int(self._bucket[rows].max())]
        read, read_mask = pad_sequences([self.sources[row] for row in rows], source)
        said, said_mask = pad_sequences([self.targets[row] for row in rows], target)
        mask_key = "token_mask" if self._key == "tokens" else "sequence_mask"
        batch = {self._key: read, mask_key: read_mask, "targets": said, "target_mask": said_mask}
        return batch | {key: array[rows] for key, array in self.extra.items()}

    def order(self, batch_size: int) -> Callable[[int, int], np.ndarray]:
        """An order of the examples for `jaxnets.data.Batches` and `jaxnets.train.fit`.

        Each bucket is shuffled and cut into whole batches, and the batches are shuffled. What is
        left over of the buckets fills the last batches of the epoch.

        Args:
            batch_size: that of the run.

        Returns:
            (seed, epoch) → int64 (N,), a pure function.
        """

        def ordered(seed: int, epoch: int) -> np.ndarray:
            order = shuffle.permutation(len(self), seed, epoch)
            whole, rest = [], []
            for bucket in range(len(self.buckets)):
                own = order[self._bucket[order] == bucket]
                cut = len(own) // batch_size * batch_size
                whole += list(own[:cut].reshape(-1, batch_size))
                rest.append(own[cut:])
            if whole:
                mixed = shuffle.permutation(len(whole), seed, epoch, use=shuffle.BUCKETS)
                whole = [whole[number] for number in mixed]
            return np.concatenate([*whole, *rest])

        return ordered

    def by_length(self) -> np.ndarray:
        """Example numbers in ascending order of length, so that evaluation pads little."""
        return np.lexsort(([len(s) for s in self.sources], self._bucket))

    def subset(self, rows: Sequence[int] | np.ndarray) -> "SequencePairs":
        """These examples, in this order, as a source of their own."""
        return SequencePairs(
            [self.sources[row] for row in rows],
            [self.targets[row] for row in rows],
            self.buckets,
            info=self.info,
            extra={key: array[np.asarray(rows)] for key, array in self.extra.items()},
        )
