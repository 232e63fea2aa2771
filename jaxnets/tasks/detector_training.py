"""Train a small detector on annotated images of one's own, in one call."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np
import optax

from jaxnets.data import ArraySource, ObjectSource, Source
from jaxnets.data.poses import mirror_pairs
from jaxnets.errors import JaxnetsError
from jaxnets.models.detection import AnchorShapes, fit_anchor_shapes
from jaxnets.models.detection.small_ssd import STRIDES
from jaxnets.tasks.detection import detection
from jaxnets.tasks.detector_info import SSDS, DetectorInfo
from jaxnets.tasks.given_regions import ProposalSource, move_proposals
from jaxnets.tasks.small_training import (
    begin_on_trunk,
    check_recipe,
    color_statistics,
    random_changes,
    warm_adamw,
    workdir_of,
)
from jaxnets.train import EarlyStopping, Fitted, RunOptions, fit

# Images that are decoded once and kept.
MOST_BYTES = 2**31


@dataclass(frozen=True)
class DetectorRecipe:
    """What decides how good a detector becomes.

    Attributes:
        kind: "ssd", "mobilenet_ssd" (on a MobileNet v1), "yolo", "overfeat", "faster_rcnn";
            "fast_rcnn", whose regions are selective search's; "mask_rcnn", which paints the
            objects, too, and needs masks of them to learn from; or "keypoint_rcnn", which finds
            their key points and needs those.
        width: of the network, see `jaxnets.models.detection.small_ssd`, ``small_yolo``,
            ``small_overfeat``, ``small_fast_rcnn`` and ``small_rcnn``.
        trunk: a file of a ShuffleNetV2's weights to begin with, an R-CNN's; see
            `jaxnets.pretrained.read_trunk`.
        anchors_per_map: shapes at each cell of each of the three maps.
        epochs: passes over the training images.
        batch_size: images an update.
        learning_rate: the highest, of AdamW; it rises over the first twentieth of the updates and
            falls along a cosine.
        weight_decay: of kernels.
        clip: the gradient's greatest norm.
        scales: range of the random factor of the image's size.
        flip: mirror half of the images; key points trade places by their names, "left_eye" with
            "right_eye". Where they have none, images are not mirrored.
        jitter: how far brightness, contrast and saturation vary.
        dtype: compute dtype.
        seed: of everything random.

    >>> DetectorRecipe(epochs=0).check()
    Traceback (most recent call last):
    jaxnets.errors.JaxnetsError: epochs must be at least 1, got 0
    """

    kind: Literal[
        "ssd",
        "mobilenet_ssd",
        "yolo",
        "overfeat",
        "fast_rcnn",
        "faster_rcnn",
        "mask_rcnn",
        "keypoint_rcnn",
    ] = "ssd"
    width: int = 24
    trunk: Path | None = None
    anchors_per_map: int = 3
    epochs: int = 60
    batch_size: int = 8
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    clip: float = 10.0
    scales: tuple[float, float] = (0.7, 1.5)
    flip: bool = True
    jitter: float = 0.2
    dtype: str = "float32"
    seed: int = 0

    def check(self) -> None:
        """Raise a `JaxnetsError` for values that no training can have."""
        check_recipe(self, ("width", "anchors_per_map", "epochs", "batch_size"))
        if self.trunk is not None and self.kind in (*SSDS, "yolo", "overfeat", "fast_rcnn"):
            raise JaxnetsError(f"trunk: {self.kind} has none; expected --recipe.kind mask_rcnn")


def train_detector(
    recipe: DetectorRecipe,
    options: RunOptions,
    source: ObjectSource,
    *,
    validation: ObjectSource | None = None,
    test: ObjectSource | None = None,
) -> Fitted:
    """Train (or resume) a detector and leave a run that `load_detector` reads.

    Args:
        recipe: what decides the result.
        options: how the run is carried out; it names ``workdir``.
        source: the training images, see `jaxnets.data.load_objects`.
        validation: images to choose the epoch by, with the highest AP50.
        test: measured at the end; with ``ignored=True`` crowds count as COCO wants.

    Returns:
        `jaxnets.train.Fitted`.

    Raises:
        JaxnetsError: whatever a user can mend: no objects, classes or canvases that differ.

    See ``experiments/detection/train_detector.py`` for the command.

    >>> train_detector(DetectorRecipe(epochs=0), RunOptions(), None)
    Traceback (most recent call last):
    jaxnets.errors.JaxnetsError: epochs must be at least 1, got 0
    """
    recipe.check()
    workdir = workdir_of(options)
    for name, other in (("validation", validation), ("test", test)):
        if other is not None and (other.class_names, other.size) != (
            source.class_names,
            source.size,
        ):
            raise JaxnetsError(
                f"the {name} images have the classes {other.class_names} and the canvas "
                f"{other.size}; expected those of training, {source.class_names}, {source.size}"
            )
    if recipe.kind == "mask_rcnn" and not source.masks:
        raise JaxnetsError("mask_rcnn learns from masks: load_objects(…, masks=True)")
    if recipe.kind == "keypoint_rcnn":
        _check_joints(source, {"validation": validation, "test": test})
    info = _describe(recipe, source)
    task = detection(
        info.class_names,
        losses=info.losses,
        detections=info.detections,
        size=info.size,
        preprocess=info.preprocess,
        two_stages=info.two_stages,
    )
    steps = max(1, recipe.epochs * (len(source) // recipe.batch_size))
    return fit(
        info.network(),
        _in_memory(source, info),
        task=task,
        optimizer=optax.chain(optax.clip_by_global_norm(recipe.clip), warm_adamw(recipe, steps)),
        workdir=workdir,
        epochs=recipe.epochs,
        batch_size=recipe.batch_size,
        validation=_in_memory(validation, info),
        test=_in_memory(test, info),
        # Never stops early; keeps the parameters with the highest average precision.
        early_stopping=None if validation is None else EarlyStopping(2**31 - 1, mode="max"),
        monitor="mAP",
        prepare=augmentation(recipe, info),
        seed=recipe.seed,
        variables=begin_on_trunk(
            info.network(), info.size, recipe.trunk, at="backbone/network", seed=recipe.seed
        ),
        meta={"detector": info.to_json()},
        settings={
            "recipe": asdict(recipe) | {"trunk": recipe.trunk and str(recipe.trunk)},
            "class_names": list(source.class_names),
            "size": list(source.size),
        },
        title="detector",
        options=options,
    )


def _describe(recipe: DetectorRecipe, source: ObjectSource) -> DetectorInfo:
    """What the training images decide: colors' statistics, anchors, classes, canvas."""
    sizes = []
    for one in source.images:
        factor = min(source.size[0] / one.size[0], source.size[1] / one.size[1])
        sizes.append((one.boxes[:, 2:] - one.boxes[:, :2]) * factor)
    key = jax.random.key(recipe.seed)
    all_sizes = np.concatenate(sizes) if sizes else np.zeros((0, 2))
    anchors, ratios = AnchorShapes(()), ()
    try:
        if recipe.kind in (*SSDS, "yolo"):
            anchors = fit_anchor_shapes(key, all_sizes, len(STRIDES), recipe.anchors_per_map)
        else:
            ratios = _ratios(all_sizes)
    except ValueError as error:
        raise JaxnetsError(f"the training images have too few objects: {error}") from None
    some = source.take(np.linspace(0, len(source) - 1, min(64, len(source))).astype(int))
    mean, std = color_statistics(some["image"])
    return DetectorInfo(
        class_names=source.class_names,
        size=source.size,
        mean=tuple(mean.tolist()),
        std=tuple(std.tolist()),
        anchors=anchors.shapes,
        width=recipe.width,
        dtype=recipe.dtype,
        kind=recipe.kind,
        ratios=ratios,
        trunk=recipe.trunk is not None,
        joints=source.joints if recipe.kind == "keypoint_rcnn" else 0,
        joint_names=source.joint_names if recipe.kind == "keypoint_rcnn" else (),
    )


def _check_joints(source, others):
    if not source.joints:
        raise JaxnetsError("keypoint_rcnn learns from key points: load_objects(…, keypoints=True)")
    for name, other in others.items():
        if other is not None and other.joints != source.joints:
            raise JaxnetsError(
                f"the {name} images have {other.joints} key points an object; expected those of "
                f"training, {source.joints}"
            )


def _ratios(sizes):
    """Height over width of the objects: medians of the flat, the common and the tall third."""
    sizes = sizes[(sizes > 0).all(1)]
    if not len(sizes):
        raise ValueError("sizes: got no objects with an area; expected at least one")
    ratios = np.quantile(sizes[:, 1] / sizes[:, 0], (1 / 6, 1 / 2, 5 / 6))
    return tuple(np.round(ratios, 2).tolist())


def _in_memory(given: ObjectSource | None, info: DetectorInfo) -> Source | None:
    """A source that decodes its images once, and proposes regions where the network wants them from
    outside, if all fit into two gigabytes."""
    if given is None:
        return None
    source = given if info.regions is None else ProposalSource(given, info.regions)
    channels = 3 + (source.max_objects if source.masks else 0)
    if len(source) * int(np.prod(source.size)) * channels > MOST_BYTES:
        return source
    return ArraySource(source.take(np.arange(len(source))), source.info)


def augmentation(recipe: DetectorRecipe, info: DetectorInfo) -> Any:
    """Random changes of training examples, boxes with them: scale, mirror image, colors.

    Args:
        recipe: how far.
        info: for the color of what comes into view, the mean.

    Returns:
        (key, batch, example_ids) → batch.

    >>> import jax.numpy as jnp
    >>> info = DetectorInfo(("cell",), (8, 8), (128.0,) * 3, (64.0,) * 3, (((4.0, 4.0),),) * 3, 4)
    >>> batch = {"image": jnp.zeros((1, 8, 8, 3), jnp.uint8), "boxes": jnp.ones((1, 1, 4))}
    >>> changed = augmentation(DetectorRecipe(), info)(jax.random.key(0), batch, jnp.arange(1))
    >>> changed["image"].shape, changed["box_mask"].tolist()
    ((1, 8, 8, 3), [[0.0]])
    """
    flip = recipe.flip and (info.joints == 0 or len(info.joint_names) > 0)
    pairs = mirror_pairs(info.joint_names)
    changes = random_changes(recipe, info.mean, flip=flip, pairs=pairs)
    return changes if info.regions is None else move_proposals(changes)
