"""Regions from outside for Fast R-CNN: beside each image of a source, and moved along with it."""

from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxnets.data import Batch, ObjectSource
from jaxnets.data.object_source import fitted_size
from jaxnets.data.proposals import selective_search

# Regions are at least so wide and high, in pixels of the canvas.
MIN_SIDE = 8.0


def propose_regions(image: np.ndarray, count: int) -> np.ndarray:
    """So many regions of an image, by selective search; NaN where there are fewer.

    Args:
        image: uint8 (H, W, 3).
        count: P.

    Returns:
        float32 (P, 4), corners in pixels.

    >>> regions = propose_regions(np.zeros((16, 16, 3), np.uint8), 2)
    >>> regions.tolist()
    [[0.0, 0.0, 16.0, 16.0], [nan, nan, nan, nan]]
    """
    found = selective_search(image, min_side=MIN_SIDE, max_boxes=count)
    return np.pad(found, ((0, count - len(found)), (0, 0)), constant_values=np.nan)


class ProposalSource:
    """An `jaxnets.data.ObjectSource` with ``proposals (B, P, 4)`` of each image.

    Args:
        source: annotated images.
        count: P.

    >>> import tempfile
    >>> from jaxnets.data import load_objects
    >>> from jaxnets.study.synthetic_objects import write_shapes
    >>> folder = write_shapes(np.random.default_rng(0), tempfile.mkdtemp(), 1, size=32)
    >>> source = ProposalSource(load_objects(folder, size=32), 20)
    >>> source.take(np.array([0]))["proposals"].shape
    (1, 20, 4)
    """

    def __init__(self, source: ObjectSource, count: int):
        self.source, self.count = source, count
        self.info, self.size, self.masks = source.info, source.size, source.masks
        self.max_objects = source.max_objects

    def __len__(self) -> int:
        return len(self.source)

    def take(self, rows: np.ndarray) -> Batch:
        """These examples as a batch, see `jaxnets.data.ObjectSource.take`."""
        batch = self.source.take(rows)
        found = []
        for image, size in zip(batch["image"], batch["image_size"], strict=True):
            height, width = fitted_size(tuple(size), self.size)
            found.append(propose_regions(image[:height, :width], self.count))
        return batch | {"proposals": np.stack(found)}


def move_proposals(prepare: Callable[..., Any]) -> Callable[..., Any]:
    """Random changes of examples that move proposals as they move the objects' boxes.

    Args:
        prepare: (key, batch, example_ids) → batch, see `jaxnets.augment.per_example`.

    Returns:
        The same, for batches with ``proposals``; what leaves the image becomes NaN.

    >>> moved = move_proposals(lambda key, batch, ids: batch | {"boxes": batch["boxes"] + 1})
    >>> batch = {"boxes": jnp.zeros((1, 1, 4)), "box_mask": jnp.ones((1, 1))}
    >>> batch |= {"proposals": jnp.array([[[1.0, 1, 5, 5], [jnp.nan] * 4]])}
    >>> moved(None, batch, None)["proposals"][0].tolist()
    [[2.0, 2.0, 6.0, 6.0], [nan, nan, nan, nan]]
    """

    def prepared(key: Any, batch: Mapping[str, Any], example_ids: Any) -> dict[str, Any]:
        regions, count = batch["proposals"], batch["boxes"].shape[1]
        there = ~jnp.isnan(regions).any(-1)
        both = {
            "boxes": jnp.concatenate(
                [batch["boxes"], jnp.where(there[..., None], regions, 0.0)], 1
            ),
            "box_mask": jnp.concatenate(
                [batch["box_mask"], there.astype(batch["box_mask"].dtype)], 1
            ),
        }
        rest = {name: each for name, each in batch.items() if name != "proposals"}
        moved = prepare(key, {**rest, **both}, example_ids)
        regions, there = (moved[name][:, count:] for name in ("boxes", "box_mask"))
        return {
            **moved,
            "boxes": moved["boxes"][:, :count],
            "box_mask": moved["box_mask"][:, :count],
            "proposals": jnp.where(there[..., None] != 0, regions, jnp.nan),
        }

    return prepared
