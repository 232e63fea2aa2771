"""A batch: a dict of arrays with a leading example axis and fixed keys, written down once here."""

import difflib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from jaxnets.errors import JaxnetsError

Batch = dict[str, Any]

# B examples; M boxes at most, K classes, L positions, T frames.
BATCH_KEYS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "image": "(B, H, W, C), uint8 0 … 255 as stored",
        "label": "(B,) class numbers, integer; or distributions (B, K), floating",
        "boxes": "(B, M, 4) corners x1, y1, x2, y2 in pixels",
        "box_label": "(B, M) class numbers, integer",
        "box_mask": "(B, M), 1 for a box, 0 for padding",
        "proposals": "(B, P, 4) corners of regions that may hold an object, NaN in padding",
        "actions": "(B, M, K), 1 for what the person in a box does",
        "box_ignore": "(B, M), 1 for a crowd or a difficult object: neither to find nor wrong to",
        "box_area": "(B, M) square pixels of the object in the image as it was stored",
        "image_id": "(B,) integer, the data set's own number of the image",
        "image_size": "(B, 2) height and width of the image as it was stored, in pixels",
        "masks": "(B, M, H, W) of objects, or (B, H, W) class numbers of pixels",
        "keypoints": "(B, M, J, 3) x and y in pixels, and visibility",
        "clip": "(B, T, H, W, C), uint8",
        "flow": "(B, L, H, W, 2) optical flow: pixels to the right and down, frame by frame",
        "video_id": "(B,) integer, the number of the video that a clip is of",
        "second": "(B,) integer, the moment of the video that a clip lies around",
        "true_boxes": "(B, M', 4) as boxes, of the truth where boxes are of a detector",
        "true_mask": "(B, M'), 1 for a true box, 0 for padding",
        "true_actions": "(B, M', K), 1 for what the person in a true box does",
        "tokens": "(B, L) integer",
        "token_mask": "(B, L), 1 for a token, 0 for padding",
        "targets": "(B, L) integer: what is to be said",
        "target_mask": "(B, L), 1 for a token, 0 for padding",
        "audio": "(B, L) samples in −1 … 1",
        "audio_mask": "(B, L), 1 for a sample, 0 for padding",
        "sequence": "(B, T, D) numbers",
        "sequence_mask": "(B, T), 1 for a step, 0 for padding",
        "segments": "(B, M, 2) starts and ends in time, in steps of the sequence",
        "segment_label": "(B, M) class numbers, integer",
        "segment_mask": "(B, M), 1 for a segment, 0 for padding",
        "number": "(B,) floating: what is to be estimated",
        "reset": "(B,), 1 where a new sequence begins and carried state is forgotten",
        "example_mask": "(B,), 1 for an example, 0 for padding at the end of a data set",
    }
)


class BatchError(JaxnetsError, ValueError):
    """A batch that cannot be trained on or measured."""


def check_batch(batch: Mapping[str, Any], where: str = "the batch") -> int:
    """Refuse what is not a batch; otherwise return how many examples it has.

    A key that is not in `BATCH_KEYS` is a key of your own, unless it is nearly one of them: then it
    is a slip of the pen.

    Args:
        batch: arrays by key, the example axis first.
        where: what the message calls it.

    Returns:
        the number of examples, B.

    Raises:
        BatchError: not a mapping, no arrays, no examples, arrays of different lengths, or a key
            that is nearly a known one.

    >>> check_batch({"image": np.zeros((2, 8, 8, 1)), "label": np.zeros(2, int)})
    2
    >>> check_batch({"images": np.zeros((2, 8, 8, 1))})
    Traceback (most recent call last):
    jaxnets.data.batch.BatchError: the batch has an unknown key 'images'. Did you mean 'image'?
    """
    if not isinstance(batch, Mapping):
        raise BatchError(
            f"{where} is a {type(batch).__name__}; expected a dict of arrays such as "
            '{"image": …, "label": …}'
        )
    if not batch:
        raise BatchError(f"{where} is empty; expected arrays such as image and label")
    lengths = {}
    for key, array in batch.items():
        if key not in BATCH_KEYS:
            near = difflib.get_close_matches(key, BATCH_KEYS, n=1, cutoff=0.85)
            if near:
                raise BatchError(f"{where} has an unknown key {key!r}. Did you mean {near[0]!r}?")
        if np.ndim(array) == 0:
            what = f"a {type(array).__name__}" if isinstance(array, Mapping) else "one number"
            raise BatchError(f"{where} holds {what} as {key!r}; expected one entry an example")
        lengths[key] = np.shape(array)[0]
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{key} {length}" for key, length in lengths.items())
        raise BatchError(f"{where} holds arrays of different lengths: {listed}")
    (count,) = set(lengths.values())
    if count == 0:
        raise BatchError(f"{where} has no examples")
    return count


def require_numbers(batch: Mapping[str, Any]) -> None:
    """Refuse text and Python objects, which no device can hold.

    Args:
        batch: arrays by key.

    Raises:
        BatchError: an array is of another dtype than numbers and booleans.

    >>> require_numbers({"tokens": np.zeros((2, 3), int), "reset": np.zeros(2, bool)})
    """
    for key, array in batch.items():
        dtype = np.asarray(array).dtype
        if dtype.kind in "OSUMm":
            raise BatchError(
                f"the batch holds {dtype} as {key!r}; devices hold numbers and booleans alone. "
                "Leave it out in take(), or encode it as numbers"
            )
