"""A trained detector as one thing: network, variables, canvas, class names; images to objects."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.data import read_image
from jaxnets.data.object_source import fitted_size, resize
from jaxnets.errors import JaxnetsError
from jaxnets.ops.boxes import Detections
from jaxnets.ops.roi import paste_masks
from jaxnets.tasks.detector_info import DetectorInfo
from jaxnets.tasks.given_regions import propose_regions
from jaxnets.train.arrays import named_leaves, require_same_arrays
from jaxnets.train.reopen import reopen
from jaxnets.train.state import network_functions

# Pixels, to a multiple of which images are enlarged while masks are pasted.
STEP = 128
_paste_one = jax.jit(paste_masks, static_argnums=2)


class FoundObjects(NamedTuple):
    """What was found in one image, by falling score.

    Attributes:
        path: of the image.
        size: its height and width in pixels.
        boxes: float32 (n, 4), corners in its pixels.
        scores: (n,).
        labels: names of classes.
        masks: bool (n, H, W), the pixels of each; None where the network paints none.
        keypoints: (n, J, 3), x and y in its pixels and a score; None where it finds none.

    >>> found = FoundObjects(Path("a.png"), (4, 4), np.zeros((1, 4)), np.ones(1), ("cat",))
    >>> found.to_json()["objects"]
    [{'label': 'cat', 'score': 1.0, 'box': [0.0, 0.0, 0.0, 0.0]}]
    """

    path: Path
    size: tuple[int, int]
    boxes: np.ndarray
    scores: np.ndarray
    labels: tuple[str, ...]
    masks: np.ndarray | None = None
    keypoints: np.ndarray | None = None

    def to_json(self) -> dict[str, Any]:
        """As JSON values; masks as COCO's run lengths."""
        rows = zip(self.labels, self.scores, self.boxes, strict=True)
        objects = [
            {"label": label, "score": float(score), "box": np.round(box, 2).tolist()}
            for label, score, box in rows
        ]
        for i, entry in enumerate(objects):
            if self.masks is not None:
                entry["mask"] = {"size": list(self.size), "counts": mask_runs(self.masks[i])}
            if self.keypoints is not None:
                entry["keypoints"] = np.round(self.keypoints[i].astype(float), 2).tolist()
        return {"image": str(self.path), "size": list(self.size), "objects": objects}


@dataclass(frozen=True, eq=False)
class Detector:
    """A network with its variables, ready to be called on images as they are stored.

    Attributes:
        class_names: in the order of the labels.
        size: (H, W) of the canvas.
        outputs: (variables, images uint8 (B, H, W, 3)) → the network's outputs; with ``propose``
            the regions (B, P, 4) are a third argument.
        variables: of the network.
        detections: outputs → `jaxnets.ops.boxes.Detections`.
        stretched: images are stretched to the canvas, as their network was trained, instead of
            keeping their proportions.
        propose: image uint8 (H', W', 3), fitted → regions (P, 4) that the network is given, NaN in
            padding; None: it finds its own.

    >>> def nothing(variables, images):
    ...     return Detections(*(jnp.zeros((1, 2, *s), t) for s, t in
    ...         (((4,), "f4"), ((), "f4"), ((), "i4"), ((), bool), ((), "i4"))))
    >>> detector = Detector(("cat",), (8, 8), nothing, {}, lambda outputs: outputs)
    >>> detector(np.zeros((1, 8, 8, 3), np.uint8)).mask.tolist()
    [[False, False]]
    """

    class_names: tuple[str, ...]
    size: tuple[int, int]
    outputs: Callable[[Any, jax.Array], Any]
    variables: Any
    detections: Callable[[Any], Detections]
    stretched: bool = False
    propose: Callable[[np.ndarray], np.ndarray] | None = None

    @cached_property
    def _run(self) -> Callable[..., Detections]:
        return jax.jit(lambda variables, *given: self.detections(self.outputs(variables, *given)))

    def __call__(
        self, images: np.ndarray | jax.Array, *, insides: Sequence[tuple[int, int]] = ()
    ) -> Detections:
        """Objects on the canvas of uint8 images (B, H, W, 3); compiled once a shape.

        Args:
            images: of the canvas' size.
            insides: height and width of what of each image is not padding, where regions are
                proposed; images beyond these get none. Default: all of each image.

        Returns:
            `Detections` of the batch.

        Raises:
            JaxnetsError: images of another dtype, whose scale is unknown.
        """
        if images.dtype != jnp.uint8:
            raise JaxnetsError(
                f"a detector takes images as they are stored, uint8 0 … 255, got {images.dtype}"
            )
        if self.propose is None:
            return self._run(self.variables, images)
        insides = insides or [self.size] * len(images)
        regions = np.stack(
            [
                self.propose(np.asarray(image)[:height, :width])
                for image, (height, width) in zip(images, insides, strict=False)
            ]
        )
        missing = ((0, len(images) - len(regions)), (0, 0), (0, 0))
        return self._run(self.variables, images, np.pad(regions, missing, constant_values=np.nan))

    def find(
        self, paths: Sequence[Path], *, batch_size: int = 8, min_score: float = 0.0
    ) -> Iterator[FoundObjects]:
        """The objects in image files, of any sizes.

        Args:
            paths: image files.
            batch_size: how many are looked at together; the last batch is filled up, so that all
                have one shape.
            min_score: what is less certain is left out.

        Returns:
            An iterator over `FoundObjects`, in the order of the files.

        Raises:
            JaxnetsError: a file that cannot be read.
        """
        for start in range(0, len(paths), batch_size):
            part = paths[start : start + batch_size]
            images = [read_image(path) for path in part]
            size = min(batch_size, len(paths))
            found = self.find_in(images, batch_size=size, min_score=min_score)
            for path, one in zip(part, found, strict=True):
                yield one._replace(path=path)

    def find_in(
        self, images: Sequence[np.ndarray], *, batch_size: int = 8, min_score: float = 0.0
    ) -> list[FoundObjects]:
        """The objects in uint8 images (H, W, 3), of any sizes; their paths are empty.

        Args:
            images: such as frames of a video.
            batch_size, min_score: see `find`.

        Returns:
            `FoundObjects` of each.
        """
        results = []
        for start in range(0, len(images), batch_size):
            part = images[start : start + batch_size]
            canvas = np.zeros((batch_size, *self.size, 3), np.uint8)
            insides = []
            for place, image in enumerate(part):
                size = image.shape[:2]
                insides.append(self.size if self.stretched else fitted_size(size, self.size))
                height, width = insides[-1]
                canvas[place, :height, :width] = resize(image, insides[-1])
            found = jax.tree.map(np.asarray, self(canvas, insides=insides))
            for i, image in enumerate(part):
                size, there = image.shape[:2], found.mask[i] & (found.scores[i] >= min_score)
                factors = np.asarray(size, np.float32) / np.asarray(insides[i], np.float32)
                corners = found.boxes[i][there] * np.tile(factors[::-1], 2)
                limit = np.tile(np.asarray(size, np.float32)[::-1], 2)
                labels = tuple(self.class_names[k] for k in found.labels[i][there])
                corners = np.clip(corners, 0, limit)
                masks = keypoints = None
                if getattr(found, "masks", None) is not None:
                    masks = _paste(found.masks[i][there], corners, size)
                if getattr(found, "keypoints", None) is not None:
                    keypoints = found.keypoints[i][there] * np.append(factors[::-1], 1)
                scores = found.scores[i][there]
                one = FoundObjects(Path(), size, corners, scores, labels, masks, keypoints)
                results.append(one)
        return results


def load_detector(workdir: str | Path, *, notify: Callable[[str], None] = print) -> Detector:
    """The detector of a run of `jaxnets.tasks.train_detector`.

    Args:
        workdir: the run's directory.
        notify: called with a sentence about a damaged checkpoint that is passed over.

    Returns:
        `Detector`, with the parameters that were best on the validation split where there was one.

    Raises:
        JaxnetsError: no run or no checkpoint there, or a run of something else.

    >>> load_detector("/nowhere")
    Traceback (most recent call last):
    jaxnets.errors.JaxnetsError: /nowhere holds no run (no config.json)...
    """
    found = reopen(workdir, notify=notify)
    if "detector" not in found.meta:
        raise JaxnetsError(
            f"{workdir} holds a run, but not of a detector. Train one first: "
            "python -m experiments.detection.train_detector --data FOLDER"
        )
    info = DetectorInfo.from_json(found.meta["detector"])
    network = info.network()
    init_fn, apply_fn = network_functions(network)
    images = jax.ShapeDtypeStruct((1, *info.size, 3), jnp.float32)
    wanted = jax.eval_shape(lambda x: init_fn(jax.random.key(0), x, train=False), images)
    require_same_arrays(named_leaves(wanted), named_leaves(found.variables))

    def outputs(variables, images, *proposals):
        given = {"proposals": proposals[0]} if proposals else {}
        return apply_fn(variables, info.preprocess(images), train=False, **given)

    propose = None if info.regions is None else partial(propose_regions, count=info.regions)
    parts = (info.class_names, info.size, outputs, found.variables, info.detections)
    return Detector(*parts, propose=propose)


def mask_runs(mask: np.ndarray) -> list[int]:
    """Lengths of the runs of 0 and 1 in turn, column by column, as COCO has them.

    Args:
        mask: bool (H, W).

    Returns:
        Lengths, the first of zeros.

    >>> mask_runs(np.array([[1, 1], [0, 1]], bool))
    [0, 1, 1, 2]
    """
    flat = np.concatenate([[0], np.asarray(mask, np.int8).ravel(order="F"), [2]])
    ends = np.flatnonzero(np.diff(flat))
    return np.diff(ends, prepend=0).tolist()


def _paste(masks, corners, size):
    """Masks (n, S, S) of boxes as those of an image: bool (n, H, W)."""
    result = np.zeros((len(masks), *size), bool)
    # Sizes in steps, so that few programs are compiled, and one object at a time.
    canvas = tuple(-(-length // STEP) * STEP for length in size)
    for i, (mask, box) in enumerate(zip(masks, corners, strict=True)):
        large = _paste_one(mask[None], box[None], canvas)[0]
        result[i] = np.asarray(large)[: size[0], : size[1]] >= 0.5
    return result
