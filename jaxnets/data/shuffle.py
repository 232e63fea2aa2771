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
