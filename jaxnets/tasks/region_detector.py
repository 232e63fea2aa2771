"""Detectors that look at one crop after the other: propose, warp, score, suppress.

Source: Girshick et al., "Rich feature hierarchies for accurate object detection and semantic
segmentation", 2014, section 2.2.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.data import read_image
from jaxnets.data.object_source import fitted_size, resize
from jaxnets.errors import JaxnetsError
from jaxnets.ops import warp_regions
from jaxnets.ops.boxes import clip, select_detections
from jaxnets.tasks.detector import FoundObjects

# Crops that are looked at together, and steps in which numbers of regions are padded: few programs
# are compiled.
TOGETHER = 64


@dataclass(frozen=True, eq=False)
class RegionDetector:
    """Regions of an image, and what is said of the crop of each.

    Attributes:
        class_names: in the order of the labels.
        size: (H, W) of the canvas that images are fitted into.
        propose: image uint8 (H', W', 3), fitted → regions (R, 4), corners in its pixels.
        look: (canvas uint8 (H, W, 3), regions (R, 4)) → scores (R, K), from 0 to 1 and without
            background, and boxes (R, K, 4) or (R, 4).
        threshold: a detection is suppressed when its IoU with a better one of its class is above
            it.
        max_outputs: objects of an image at most.

    >>> detector = RegionDetector(("cat",), (8, 8), lambda image: np.float32([[0, 0, 4, 4]]),
    ...     lambda canvas, regions: (np.ones((1, 1)), regions))
    >>> detector.find_in([np.zeros((16, 16, 3), np.uint8)])[0].boxes.tolist()
    [[0.0, 0.0, 8.0, 8.0]]
    """

    class_names: tuple[str, ...]
    size: tuple[int, int]
    propose: Callable[[np.ndarray], np.ndarray]
    look: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
    threshold: float = 0.3
    max_outputs: int = 100

    def find(
        self, paths: Sequence[Path], *, batch_size: int = 8, min_score: float = 0.0
    ) -> Iterator[FoundObjects]:
        """The objects in image files, of any sizes.

        Args:
            paths: image files.
            batch_size: not used: images are looked at one by one.
            min_score: what is less certain is left out.

        Returns:
            An iterator over `jaxnets.tasks.FoundObjects`, in the order of the files.

        Raises:
            JaxnetsError: a file that cannot be read.
        """
        for path in paths:
            found = self.find_in([read_image(path)], batch_size=batch_size, min_score=min_score)
            yield found[0]._replace(path=path)

    def find_in(
        self, images: Sequence[np.ndarray], *, batch_size: int = 8, min_score: float = 0.0
    ) -> list[FoundObjects]:
        """The objects in uint8 images (H, W, 3), of any sizes; their paths are empty.

        Args:
            images: such as frames of a video.
            batch_size, min_score: see `find`.

        Returns:
            `jaxnets.tasks.FoundObjects` of each.
        """
        del batch_size
        results = []
        for image in images:
            size = image.shape[:2]
            inside = fitted_size(size, self.size)
            small = resize(image, inside)
            canvas = np.zeros((*self.size, 3), np.uint8)
            canvas[: inside[0], : inside[1]] = small
            regions = np.asarray(self.propose(small), np.float32).reshape(-1, 4)
            corners, scores, labels = self._select(canvas, regions, inside, min_score)
            factors = np.asarray(size, np.float32) / np.asarray(inside, np.float32)
            names = tuple(self.class_names[k] for k in labels)
            corners = corners * np.tile(factors[::-1], 2)
            results.append(FoundObjects(Path(), size, corners, scores, names))
        return results

    def _select(self, canvas, regions, inside, min_score):
        if not len(regions):
            return np.zeros((0, 4), np.float32), np.zeros(0), np.zeros(0, int)
        scores, corners = self.look(canvas, regions)
        missing = -len(regions) % TOGETHER
        scores = np.pad(np.asarray(scores, np.float32), ((0, missing), (0, 0)))
        padding = ((0, missing), *((0, 0),) * (np.ndim(corners) - 1))
        corners = clip(jnp.asarray(np.pad(np.asarray(corners, np.float32), padding)), inside)
        # A score of 0 is that of padding.
        found = select_detections(
            corners,
            jnp.asarray(scores),
            threshold=self.threshold,
            min_score=max(min_score - 1e-7, 1e-6),
            max_outputs=self.max_outputs,
        )
        found = jax.tree.map(np.asarray, found)
        return (each[found.mask] for each in (found.boxes, found.scores, found.labels))


def crops_of(
    look: Callable[[jax.Array], Any],
    canvas: np.ndarray,
    regions: np.ndarray,
    *,
    size: int,
    context: int = 16,
    fill: Sequence[float] | float = 0.0,
) -> Any:
    """What a compiled function says of the crops of an image's regions, some at a time.

    Args:
        look: crops (64, size, size, 3), gray levels 0 … 255, floating → arrays (64, …).
        canvas: uint8 (H, W, 3).
        regions: (R, 4), corners in pixels.
        size, context, fill: of `jaxnets.ops.warp_regions`.

    Returns:
        What ``look`` gives, as NumPy arrays (R, …).

    Raises:
        JaxnetsError: there are no regions.

    >>> crops_of(lambda x: x.mean((1, 2, 3)), np.full((8, 8, 3), 7, np.uint8),
    ...     np.float32([[0, 0, 4, 4]]), size=6, context=1, fill=7.0).tolist()
    [7.0]
    """
    if not len(regions):
        raise JaxnetsError("regions: got none; expected at least one")
    regions = np.asarray(regions, np.float32)
    padded = np.pad(regions, ((0, -len(regions) % TOGETHER), (0, 0)), mode="edge")
    warp = partial(warp_regions, size=size, context=context, fill=jnp.asarray(fill))
    parts = [
        jax.tree.map(np.asarray, look(warp(jnp.asarray(canvas), jnp.asarray(part))))
        for part in padded.reshape(-1, TOGETHER, 4)
    ]
    return jax.tree.map(lambda *arrays: np.concatenate(arrays)[: len(regions)], *parts)
