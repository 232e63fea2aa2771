"""Features of videos with ActivityNet's annotations, as sequences of one length."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from jaxnets.data.video.lists import read_activitynet
from jaxnets.errors import JaxnetsError


def read_features(path: str | Path, *, channels: int | None = None) -> np.ndarray:
    """Features of one video from a file.

    Args:
        path: an .npy file, (T, C).
        channels: C that is expected.

    Returns:
        float32 (T, C).

    Raises:
        JaxnetsError: no such file, another shape, or numbers that are not finite.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.save(Path(folder, "a.npy"), np.zeros((5, 3)))
    ...     read_features(Path(folder, "a.npy"), channels=3).shape
    (5, 3)
    """
    try:
        found = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise JaxnetsError(f"{path}: cannot be read as .npy ({error})") from None
    wanted = "(T, C)" if channels is None else f"(T, {channels})"
    shape = getattr(found, "shape", None)
    if shape is None or len(shape) != 2 or not all(shape) or shape[1] != (channels or shape[1]):
        raise JaxnetsError(f"{path}: expected features {wanted}, got {shape}")
    found = np.asarray(found, np.float32)
    if not np.isfinite(found).all():
        raise JaxnetsError(f"{path}: has numbers that are not finite")
    return found


def stretch(sequence: np.ndarray, length: int) -> np.ndarray:
    """A sequence sampled linearly at the centers of ``length`` equal parts.

    Args:
        sequence: (T, C).
        length: steps of the result.

    Returns:
        float32 (length, C).

    >>> stretch(np.array([[0.0], [4.0]]), 4)[:, 0].tolist()
    [0.0, 1.0, 3.0, 4.0]
    """
    place = (np.arange(length) + 0.5) / length * len(sequence) - 0.5
    place = np.clip(place, 0, len(sequence) - 1)
    low = np.floor(place).astype(int)
    share = (place - low)[:, None]
    high = np.minimum(low + 1, len(sequence) - 1)
    return ((1 - share) * sequence[low] + share * sequence[high]).astype(np.float32)


def activity_sequences(
    path: str | Path,
    folder: str | Path,
    *,
    subset: str,
    length: int,
    channels: int | None = None,
    notify: Callable[[str], Any] = print,
) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """The videos of a subset of ActivityNet, each stretched to one length.

    Args:
        path: the annotations; see `read_activitynet`.
        folder: FOLDER/ID.npy or FOLDER/v_ID.npy (T, C) of each video.
        subset: "training", "validation" or "testing".
        length: steps of every sequence.
        channels: C that is expected.
        notify: told how many videos have no features and are left out.

    Returns:
        (arrays "sequence" (N, length, C), "segments" (N, M, 2) in steps, "segment_label" and
        "segment_mask" (N, M), names of all classes of the file, sorted).

    Raises:
        JaxnetsError: no video of the subset has features, or one has no duration.

    >>> import tempfile
    >>> text = '{"a": {"duration": 10, "subset": "training", "annotations": ['
    >>> text += '{"segment": [2, 5], "label": "jump"}]}}'
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "gt.json").write_text(text)
    ...     np.save(Path(folder, "a.npy"), np.zeros((5, 3)))
    ...     arrays, names = activity_sequences(
    ...         Path(folder, "gt.json"), folder, subset="training", length=20
    ...     )
    >>> arrays["segments"].tolist(), names
    ([[[4.0, 10.0]]], ('jump',))
    """
    folder, videos = Path(folder), read_activitynet(path)
    names = tuple(sorted({label for v in videos.values() for *_, label in v["segments"]}))
    wanted = {name: about for name, about in videos.items() if about["subset"] == subset}
    found, missing = [], 0
    for name, about in wanted.items():
        files = [folder / f"{prefix}{name}.npy" for prefix in ("", "v_")]
        file = next((file for file in files if file.is_file()), None)
        if file is None:
            missing += 1
            continue
        if not about["duration"] > 0:
            raise JaxnetsError(f"{path}: {name} has no duration")
        sequence = stretch(read_features(file, channels=channels), length)
        found.append((sequence, about["segments"], length / about["duration"]))
    if not found:
        raise JaxnetsError(
            f"{path}: none of the {len(wanted)} videos of the subset {subset!r} has features "
            f"ID.npy in {folder}"
        )
    if missing:
        notify(f"{folder}: {missing} of {len(wanted)} videos have no features and are left out")
    most = max(1, max(len(segments) for _, segments, _ in found))
    arrays = {
        "sequence": np.stack([sequence for sequence, *_ in found]),
        "segments": np.zeros((len(found), most, 2), np.float32),
        "segment_label": np.zeros((len(found), most), np.int32),
        "segment_mask": np.zeros((len(found), most), np.float32),
    }
    for n, (_, segments, scale) in enumerate(found):
        for m, (start, end, label) in enumerate(segments):
            arrays["segments"][n, m] = np.clip((start * scale, end * scale), 0, length)
            arrays["segment_label"][n, m] = names.index(label)
            arrays["segment_mask"][n, m] = 1
    return arrays, names
