"""What `experiments/video` trains on, by one word: generated motion, silhouettes, a folder."""

from functools import partial

import numpy as np

from jaxnets.data import ArraySource, Source
from jaxnets.data.video import (
    ClipSource,
    cached_video,
    motion_suite,
    read_video_folder,
    read_weizmann,
)
from jaxnets.errors import JaxnetsError, UnknownNameError


def read_clips(
    dataset: str,
    *,
    frames: int,
    stride: int = 1,
    size: int = 32,
    views: int = 1,
    test_views: int | None = None,
    crops: int = 1,
    held_out: str = "daria",
    examples: int = 4000,
    seed: int = 0,
) -> tuple[Source, Source, int]:
    """Clips to train on and to test with.

    Args:
        dataset: "motion": `jaxnets.data.video.motion_suite`, labels of direction and appearance
            together; "weizmann:FILE": ten actions, tested on one person; "folder:FOLDER": a folder
            of video files for each class, every fifth of which is for the test.
        frames, stride: of a clip.
        size: height and width.
        views: clips of each video.
        test_views, crops: clips in time of each video of the test, default ``views``, and squares
            in space of each, 1 or 3; SlowFast is measured with 10 and 3.
        held_out: the person of "weizmann" that is tested on.
        examples: clips of "motion"; a fifth more for the test.
        seed: of "motion".

    Returns:
        (training source, test source, number of classes).

    Raises:
        JaxnetsError: another word, a file or folder that cannot be used, an unknown person.

    >>> train, test, classes = read_clips("motion", frames=4, size=8, examples=10)
    >>> len(train), len(test), classes
    (10, 2, 8)
    """
    kind, _, place = dataset.partition(":")
    if kind == "motion" and not place:
        rng = np.random.default_rng(seed)
        parts = []
        for count in (examples, max(examples // 5, 1)):
            made = motion_suite(rng, count, frames=frames, size=size)
            arrays = {"clip": made["clip"], "label": made["both"], "video_id": np.arange(count)}
            parts.append(ArraySource(arrays))
        return parts[0], parts[1], 8
    if kind == "weizmann" and place:
        found = read_weizmann(place, size=size)
        if held_out not in found.names:
            raise UnknownNameError("person", held_out, found.names)
        videos, labels, classes = found.videos, found.labels, len(found.actions)
        test = found.people == found.names.index(held_out)
    elif kind == "folder" and place:
        listed = read_video_folder(place)
        videos = [cached_video(v.path, short_side=size).frames for v in listed.videos]
        labels = np.array([v.label for v in listed.videos])
        classes = len(listed.classes)
        turn = np.array([np.sum(labels[:i] == label) for i, label in enumerate(labels)])
        test = turn % 5 == 4
        if not test.any():
            raise JaxnetsError(f"{place}: a class needs five videos, of which one is for the test")
    else:
        raise JaxnetsError(
            f"--dataset must be motion, weizmann:FILE or folder:FOLDER, got {dataset!r}"
        )
    clips = partial(ClipSource, frames=frames, stride=stride, crop=size)
    parts = [([videos[i] for i in np.flatnonzero(r)], labels[r]) for r in (~test, test)]
    tested = clips(*parts[1], views=test_views or views, crops=crops)
    return clips(*parts[0], views=views), tested, classes
