"""Shuffling that gives the same order on every platform and with every NumPy.

NumPy promises that a bit generator's raw stream never changes, but not what ``Generator`` makes of
it. So orders are made here from the raw Philox stream: draw one 64-bit number an example, sort.
"""

from typing import Final

import numpy as np

# One number a use, so that two uses of one seed never see the same stream.
EPOCH_ORDER: Final = 0
SUBSET: Final = 1
DIGITS_SPLIT: Final = 2
HOLDOUT: Final = 3
VALIDATION: Final = 4
BALANCED: Final = 5
BUCKETS: Final = 6


def permutation(count: int, seed: int, index: int = 0, *, use: int = EPOCH_ORDER) -> np.ndarray:
    """A random order of ``0 … count-1``, a pure function of its arguments.

    The key of Philox-4x64 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011)
    is (seed, index), so orders of neighboring seeds or epochs are unrelated, and none has to be
    drawn before another.

    Args:
        count: how many elements.
        seed: any integer; taken modulo 2⁶⁴.
        index: which order of this seed: the epoch, or the class.
        use: what the order is for; different uses of one seed are unrelated.

    Returns:
        int64 (count,).

    >>> permutation(5, seed=0).tolist()
    [0, 2, 1, 4, 3]
    >>> sorted(permutation(5, seed=1, index=7).tolist())
    [0, 1, 2, 3, 4]
    """
    key = np.array([seed % 2**64, index % 2**64], np.uint64)
    counter = np.array([0, 0, 0, use], np.uint64)
    draws = np.random.Philox(key=key, counter=counter).random_raw(count)
    return np.argsort(draws, kind="stable")


def stratified_choice(labels: np.ndarray, count: int, seed: int, *, use: int) -> np.ndarray:
    """Indices of ``count`` examples in which every class has its share, in ascending order.

    A class with n of the N examples gives ``count·n/N`` of them, rounded by largest remainder (ties
    to the lower class), so each share is right to less than one example and the sum is exact.

    Args:
        labels: integer (N,), not negative.
        count: how many to choose, at most N.
        seed: which examples of a class are chosen.
        use: see ``permutation``.

    Returns:
        int64 (count,), ascending.

    >>> stratified_choice(np.array([0, 0, 0, 0, 1, 1]), 3, seed=0, use=SUBSET).size
    3
    """
    labels = np.asarray(labels)
    sizes = np.bincount(labels)
    # Whole numbers throughout: no rounding that could differ between platforms.
    shares, remainders = np.divmod(sizes.astype(np.int64) * count, labels.size)
    largest_first = np.argsort(-remainders, kind="stable")
    shares[largest_first[: count - shares.sum()]] += 1
    chosen = [
        np.flatnonzero(labels == label)[permutation(size, seed, label, use=use)[:share]]
        for label, (size, share) in enumerate(zip(sizes, shares, strict=True))
    ]
    return np.sort(np.concatenate(chosen))


def held_out_rows(labels: np.ndarray, share: float, seed: int, *, use: int) -> np.ndarray:
    """Indices of about ``share`` of the examples of every class, in ascending order.

    A class with n examples gives round(share·n) of them, but at least one and not the last; a class
    of a single example gives none.

    Args:
        labels: integer (N,), not negative.
        share: between 0 and 1.
        seed: which examples of a class are chosen.
        use: see ``permutation``.

    Returns:
        int64, ascending.

    >>> held_out_rows(np.array([0, 0, 0, 0, 0, 1, 1, 2]), 0.2, seed=0, use=HOLDOUT).size
    2
    """
    labels = np.asarray(labels)
    chosen = [np.empty(0, np.int64)]
    for label, size in enumerate(np.bincount(labels)):
        count = min(max(1, int(share * size + 0.5)), int(size) - 1)
        if count > 0:
            order = permutation(int(size), seed, label, use=use)
            chosen.append(np.flatnonzero(labels == label)[order[:count]])
    return np.sort(np.concatenate(chosen))


def balanced_order(labels: np.ndarray, seed: int, epoch: int) -> np.ndarray:
    """An order of one epoch in which all classes come equally often, whatever their sizes.

    It has as many rows as there are examples. Small classes are repeated and large ones shortened;
    within a class every example comes equally often, up to one, over the epochs as well.

    Args:
        labels: integer (N,), not negative.
        seed: of the order.
        epoch: which epoch; neither order needs the ones before it.

    Returns:
        int64 (N,).

    >>> labels = np.array([0, 0, 0, 0, 0, 0, 0, 1])
    >>> np.bincount(labels[balanced_order(labels, seed=0, epoch=0)]).tolist()
    [4, 4]
    """
    labels = np.asarray(labels)
    present = np.unique(labels)
    share, more = divmod(len(labels), len(present))
    rows = []
    for place, label in enumerate(present):
        own = np.flatnonzero(labels == label)
        # Which classes have one more moves on from epoch to epoch. The class's examples are an
        # endless row of permutations, of which each epoch takes the next window.
        first, end = (e * share - ((place - e * more) // len(present)) for e in (epoch, epoch + 1))
        places = np.arange(first, end)
        orders = {
            turn: permutation(len(own), seed + turn, int(label), use=BALANCED)
            for turn in np.unique(places // len(own)).tolist()
        }
        rows += [own[orders[p // len(own)][p % len(own)]] for p in places.tolist()]
    return np.asarray(rows, np.int64)[permutation(len(rows), seed, epoch)]
