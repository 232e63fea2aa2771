"""Sequences of features with events in them: to localize actions in time."""

import numpy as np


def synthetic_events(
    rng: np.random.Generator,
    count: int,
    *,
    length: int = 96,
    channels: int = 8,
    kinds: int = 2,
    most: int = 3,
    shortest: float = 6.0,
    longest: float = 36.0,
    strength: float = 2.5,
) -> dict[str, np.ndarray]:
    """Two streams of noise in which events of 2·kinds classes begin and end.

    An event is of one of ``kinds`` appearances, a direction in the space of the first stream, and
    of one of two motions, a direction in that of the second: neither stream alone can tell the
    classes apart. Single steps with the same directions are no events.

    Args:
        rng: NumPy's generator; the directions do not depend on it.
        count: N sequences.
        length: T, steps.
        channels: C, of each stream.
        kinds: appearances.
        most: events of a sequence, M; there is at least one, and they do not overlap.
        shortest, longest: an event's duration, in steps, log-uniform.
        strength: of the directions; noise has standard deviation 1.

    Returns:
        "sequence" (N, T, 2 C), "segments" (N, M, 2) in steps, "segment_label" (N, M) =
        2 · appearance + motion, "segment_mask" (N, M).

    Raises:
        ValueError: events that do not fit.

    >>> made = synthetic_events(np.random.default_rng(0), 4)
    >>> made["sequence"].shape, made["segments"].shape, bool(made["segment_mask"].any(1).all())
    ((4, 96, 16), (4, 3, 2), True)
    """
    if not 1 <= kinds <= channels or channels < 2:
        raise ValueError(f"kinds: expected 1 … channels = {channels}, at least 2, got {kinds}")
    if not 0 < shortest <= longest or most < 1 or most * longest > 1.5 * length:
        raise ValueError(
            f"synthetic_events: {most} events of {shortest} to {longest} steps do not fit into "
            f"{length} steps"
        )
    basis = np.linalg.qr(np.random.default_rng(0).standard_normal((2, channels, channels)))[0]
    sequence = rng.standard_normal((count, length, 2 * channels))
    segments = np.zeros((count, most, 2))
    labels = np.zeros((count, most), np.int32)
    mask = np.zeros((count, most), np.float32)
    steps = np.arange(length)
    for n in range(count):
        wanted, found = rng.integers(1, most + 1), []
        while not found or (len(found) < wanted and rng.random() > 0.02):
            duration = np.exp(rng.uniform(np.log(shortest), np.log(longest)))
            start = rng.uniform(0, length - duration) if duration < length else 0.0
            end = min(start + duration, length)
            if all(end + 2 < a or start - 2 > b for a, b in found):
                found.append((start, end))
        for m, (start, end) in enumerate(found):
            kind, motion = rng.integers(kinds), rng.integers(2)
            # A step that an event covers in part shows it in part.
            share = np.clip(np.minimum(steps + 1, end) - np.maximum(steps, start), 0, 1)
            shown = np.concatenate((basis[0, kind], basis[1, motion])) * strength
            sequence[n] += share[:, None] * shown
            segments[n, m], labels[n, m], mask[n, m] = (start, end), 2 * kind + motion, 1
        for step in rng.integers(length, size=2):
            shown = (basis[0, rng.integers(kinds)], basis[1, rng.integers(2)])
            if all(step + 1 < a or step > b for a, b in found):
                sequence[n, step] += np.concatenate(shown) * strength
    return {
        "sequence": sequence.astype(np.float32),
        "segments": segments.astype(np.float32),
        "segment_label": labels,
        "segment_mask": mask,
    }
