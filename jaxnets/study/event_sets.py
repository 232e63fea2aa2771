"""What `experiments/video/localize` trains on, by one word: generated events or ActivityNet."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jaxnets.data import ArraySource, Source
from jaxnets.data.video import activity_sequences, synthetic_events
from jaxnets.errors import JaxnetsError

EVENTS = ("appearance", "motion")


def read_sequences(
    dataset: str,
    *,
    streams: Sequence[int],
    length: int,
    features: Path | None = None,
    examples: int = 2000,
    seed: int = 0,
    without: str | None = None,
) -> tuple[Source, Source, tuple[str, ...]]:
    """Sequences of features to train on and to test with.

    Args:
        dataset: "events": `jaxnets.data.video.synthetic_events`; "activitynet:FILE": annotations,
            training on the subset "training", test on "validation".
        streams: channels of each stream.
        length: steps of every sequence.
        features: with ActivityNet, the folder of ID.npy (T, C).
        examples: sequences of "events"; 200 more for the test.
        seed: of "events".
        without: the stream of "events" that is set to 0, "appearance" or "motion": a control, as
            neither stream alone tells the classes apart.

    Returns:
        (training source, test source, names of the classes).

    Raises:
        JaxnetsError: another word, streams that do not fit, files that cannot be used.

    >>> train, test, names = read_sequences("events", streams=(4, 4), length=96, examples=3)
    >>> len(train), len(test), names[1]
    (3, 200, 'appearance 0, motion 1')
    """
    kind, _, path = dataset.partition(":")
    if without is not None and (kind != "events" or without not in EVENTS):
        raise JaxnetsError(f"--without is for --dataset events, and one of {', '.join(EVENTS)}")
    if kind == "events" and not path:
        if len(streams) != 2 or len(set(streams)) != 1:
            raise JaxnetsError("--dataset events has two equal streams, such as --streams 8 8")
        rng, channels = np.random.default_rng(seed), streams[0]
        sources = []
        for count in (examples, 200):
            made = synthetic_events(rng, count, length=length, channels=channels)
            if without is not None:
                first = channels * EVENTS.index(without)
                made["sequence"][..., first : first + channels] = 0
            sources.append(ArraySource(made))
        names = tuple(f"appearance {a}, motion {b}" for a in (0, 1) for b in (0, 1))
        return sources[0], sources[1], names
    if kind != "activitynet" or not path:
        raise JaxnetsError(f"--dataset: got {dataset!r}; expected events, activitynet:FILE")
    if features is None:
        raise JaxnetsError("--dataset activitynet needs --features FOLDER with an .npy a video")
    options = {"length": length, "channels": sum(streams)}
    first, names = activity_sequences(path, features, subset="training", **options)
    second, _ = activity_sequences(path, features, subset="validation", **options)
    return ArraySource(first), ArraySource(second), names
