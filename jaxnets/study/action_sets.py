"""What `experiments.video.train_actions` trains on, by one word: generated people, AVA's files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from jaxnets.data import ArraySource, Source
from jaxnets.data.video import (
    PEOPLE_ACTIONS,
    KeyframeSource,
    cached_video,
    read_action_names,
    read_ava,
    synthetic_people,
)
from jaxnets.data.video.lists import SUFFIXES
from jaxnets.errors import JaxnetsError


def read_people(
    dataset: str,
    *,
    size: int,
    frames: int,
    stride: int = 1,
    fps: float = 30.0,
    start: float = 0.0,
    examples: int = 1000,
    seed: int = 0,
    still: bool = False,
) -> tuple[Source, Source, tuple[str, ...]]:
    """Clips with people to train on and to test with.

    Args:
        dataset: "people": `jaxnets.data.video.synthetic_people`; "ava:FOLDER": a folder with
            train.csv and val.csv of AVA's form, actions.pbtxt or actions.txt with the names, and
            the videos in videos/; with val_boxes.csv the test asks about these people.
        size: height and width of the clips' canvas.
        frames, stride, fps, start: of AVA's clips, see `jaxnets.data.video.KeyframeSource`.
        examples: clips of "people"; a quarter more for the test.
        seed: of "people".
        still: every frame of "people" is the middle one: a control, as directions are not seen.

    Returns:
        (training source, test source, names of the actions).

    Raises:
        JaxnetsError: another word, or files that cannot be used.

    >>> train, test, names = read_people("people", size=32, frames=4, examples=4)
    >>> len(train), len(test), len(names)
    (4, 1, 6)
    """
    kind, _, place = dataset.partition(":")
    if kind == "people" and not place:
        rng, sources = np.random.default_rng(seed), []
        for count in (examples, max(examples // 4, 1)):
            made = synthetic_people(rng, count, frames=frames, size=size)
            if still:
                middle = made["clip"][:, frames // 2, None]
                made["clip"] = np.repeat(middle, frames, 1)
            sources.append(ArraySource(made))
        return sources[0], sources[1], PEOPLE_ACTIONS
    if kind != "ava" or not place:
        raise JaxnetsError(f"--dataset: got {dataset!r}; expected people or ava:FOLDER")
    if still:
        raise JaxnetsError("--still is for --dataset people")
    folder = Path(place)
    lists = [folder / "actions.pbtxt", folder / "actions.txt"]
    listed = next((path for path in lists if path.is_file()), lists[0])
    named, most = read_action_names(listed)
    options = {"size": (size, size), "frames": frames, "stride": stride, "fps": fps}
    sources = []
    for split in ("train", "val"):
        path, boxes = folder / f"{split}.csv", folder / f"{split}_boxes.csv"
        rows = read_ava(path)
        found = read_ava(boxes) if split == "val" and boxes.is_file() else None
        videos = find_videos(folder / "videos", {row["video"] for row in rows}, path, size)
        sources.append(
            KeyframeSource(
                videos, rows, num_actions=most, start=start, boxes=found, where=str(path), **options
            )
        )
    return sources[0], sources[1], tuple(named.get(k, str(k)) for k in range(1, most + 1))


def find_videos(
    folder: Path,
    names: set[str],
    where: Path,
    size: int,
    notify: Callable[[str], Any] = print,
) -> dict[str, Any]:
    """The videos of these names in a folder, decoded once into the cache.

    Args:
        folder: of NAME.mp4 and the like.
        names: without the ending.
        where: the file that names them, for the message.
        size: their shorter side.
        notify: told of files that are cut off.

    Returns:
        name → `jaxnets.data.video.Video`.

    Raises:
        JaxnetsError: names without a file.

    >>> find_videos(Path("/nowhere"), {"a"}, Path("train.csv"), 64)
    Traceback (most recent call last):
    jaxnets.errors.JaxnetsError: train.csv: rows name videos that are not in /nowhere: a
    """
    files = {
        name: next((p for p in (folder / f"{name}{s}" for s in SUFFIXES) if p.is_file()), None)
        for name in sorted(names)
    }
    missing = [name for name, path in files.items() if path is None]
    if missing:
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        raise JaxnetsError(
            f"{where}: rows name videos that are not in {folder}: {', '.join(missing[:5])}{more}"
        )
    return {
        name: cached_video(path, short_side=size, notify=notify)
        for name, path in files.items()
        if path is not None
    }
