"""A trained detector as one thing: network, variables, canvas, class names; images to objects."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jaxnets.data import read_image
from jaxnets.data.object_source import fitted_size, resize
from jaxnets.data.preprocessing import Standardization
from jaxnets.errors import JaxnetsError
from jaxnets.models.detection import (
    AnchorShapes,
    rcnn_detections,
    rcnn_losses,
    small_rcnn,
    small_ssd,
    small_yolo,
    ssd_detections,
    ssd_losses,
    yolo_detections,
    yolo_losses,
    yolo_sections,
)
from jaxnets.ops.boxes import Detections
from jaxnets.ops.roi import paste_masks
from jaxnets.train.arrays import named_leaves, require_same_arrays
from jaxnets.train.reopen import reopen
from jaxnets.train.state import network_functions

# Pixels, to a multiple of which images are enlarged while masks are pasted.
STEP = 128
SSDS: Final = ("ssd", "mobilenet_ssd")
_paste_one = jax.jit(paste_masks, static_argnums=2)


@dataclass(frozen=True)
class DetectorInfo:
    """What must be known beside the arrays to use a detector that was trained here.

    Attributes:
        class_names: in the order of the labels, without background.
        size: (H, W) of the canvas that images are fitted into.
        mean, std: per channel, in gray levels 0 … 255.
        anchors: (width, height) in pixels of each anchor, map by map.
        width: of the network, see `jaxnets.models.detection.small_ssd`.
        dtype: compute dtype.
        kind: "ssd"; "mobilenet_ssd", the same on a MobileNet v1; "yolo", see
            `jaxnets.models.detection.small_yolo`; "faster_rcnn", "mask_rcnn" or "keypoint_rcnn",
            see `jaxnets.models.detection.small_rcnn`.
        ratios: height over width of an R-CNN's anchors.
        trunk: an R-CNN stands on a ShuffleNetV2.
        joints: key points of each object, of a Keypoint R-CNN.
        joint_names: of them, where the data set names them.

    >>> info = DetectorInfo(("cell",), (32, 32), (128.0,), (64.0,), (((8.0, 8.0),),) * 3, 4)
    >>> DetectorInfo.from_json(info.to_json()) == info
    True
    """

    class_names: tuple[str, ...]
    size: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    anchors: tuple[tuple[tuple[float, float], ...], ...]
    width: int
    dtype: str = "float32"
    kind: str = "ssd"
    ratios: tuple[float, ...] = ()
    trunk: bool = False
    joints: int = 0
    joint_names: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As JSON values, for a checkpoint."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "DetectorInfo":
        """What `to_json` gave."""
        return cls(**{k: _tuples(v) for k, v in values.items()})

    def preprocess(self, images: jax.Array) -> jax.Array:
        """Images as stored, uint8 (B, H, W, C), as the network wants them."""
        return Standardization(np.asarray(self.mean), np.asarray(self.std)).apply(images)

    def network(self) -> nn.Module:
        """The module, not yet initialized."""
        classes, common = len(self.class_names) + 1, {"width": self.width}
        common["dtype"] = jnp.dtype(self.dtype)
        if self.kind in SSDS:
            common["mobile"] = self.kind == "mobilenet_ssd"
            return small_ssd(classes, AnchorShapes(self.anchors), **common)
        if self.kind == "yolo":
            return small_yolo(classes - 1, AnchorShapes(self.anchors), **common)
        common |= {"masks": self.kind == "mask_rcnn", "keypoints": self.joints}
        return small_rcnn(classes, ratios=self.ratios, trunk=self.trunk, **common)

    @property
    def two_stages(self) -> bool:
        """Whether the network draws regions from the objects."""
        return self.kind not in (*SSDS, "yolo")

    @property
    def losses(self) -> Callable[..., Any]:
        """Of the network's outputs and a batch."""
        if self.kind == "yolo":
            return partial(yolo_losses, sections=self._sections)
        return ssd_losses if self.kind in SSDS else rcnn_losses

    @property
    def detections(self) -> Callable[[Any], Any]:
        """Of the network's outputs."""
        if self.kind == "yolo":
            return partial(yolo_detections, sections=self._sections)
        return ssd_detections if self.kind in SSDS else rcnn_detections

    @property
    def _sections(self) -> tuple[Any, ...]:
        return yolo_sections(AnchorShapes(self.anchors), len(self.class_names), self.size)


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
        outputs: (variables, images uint8 (B, H, W, 3)) → the network's outputs.
        variables: of the network.
        detections: outputs → `jaxnets.ops.boxes.Detections`.
        stretched: images are stretched to the canvas, as their network was trained, instead of
            keeping their proportions.

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

    @cached_property
    def _run(self) -> Callable[[Any, jax.Array], Detections]:
        return jax.jit(lambda variables, x: self.detections(self.outputs(variables, x)))

    def __call__(self, images: np.ndarray | jax.Array) -> Detections:
        """Objects on the canvas of uint8 images (B, H, W, 3); compiled once a shape.

        Raises:
            JaxnetsError: images of another dtype, whose scale is unknown.
        """
        if images.dtype != jnp.uint8:
            raise JaxnetsError(
                f"a detector takes images as they are stored, uint8 0 … 255, got {images.dtype}"
            )
        return self._run(self.variables, images)

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
            found = jax.tree.map(np.asarray, self(canvas))
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

    def outputs(variables, images):
        return apply_fn(variables, info.preprocess(images), train=False)

    return Detector(info.class_names, info.size, outputs, found.variables, info.detections)


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


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
