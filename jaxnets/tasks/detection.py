"""Detection: the objects of an image, each with a box and a class."""

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import jax
import numpy as np

from jaxnets.data import to_original
from jaxnets.metrics import CocoEvaluator, VocEvaluator, keypoint_sigmas
from jaxnets.models.detection.targets import mean_losses
from jaxnets.ops.activations import identity
from jaxnets.ops.boxes import Detections
from jaxnets.ops.roi import paste_masks
from jaxnets.train.task import Sums, Task

# Of a batch: what evaluation compares detections with.
TRUTH = ("boxes", "box_label", "box_mask", "box_ignore", "box_area", "image_size")

# And what a network of two stages draws regions from.
OBJECTS = ("boxes", "box_label", "box_mask")


def detection(
    class_names: Sequence[str],
    *,
    losses: Callable[[Any, Mapping[str, Any]], Mapping[str, tuple[jax.Array, jax.Array]]],
    detections: Callable[[Any], Detections],
    size: tuple[int, int],
    preprocess: Callable[[jax.Array], jax.Array] = identity,
    two_stages: bool = False,
) -> Task:
    """The task of finding objects, on batches of an `jaxnets.data.ObjectSource`.

    Training minimizes the sum of the network's losses; evaluation measures the same losses and,
    in the pixels of the images as they were stored, COCO's average precision.

    Args:
        class_names: of the objects, in the order of ``box_label``, without background.
        losses: (the network's outputs, batch) → name → (sum, count), such as
            `jaxnets.models.detection.ssd_losses`.
        detections: the network's outputs → `jaxnets.ops.boxes.Detections` of the batch.
        size: (H, W) of the canvas that the images are fitted into.
        preprocess: images as stored → images as the network wants them.
        two_stages: the network is called with the batch's ``objects``, too, to draw regions from,
            and with its ``proposals``, if it has any.

    Returns:
        A `jaxnets.train.Task`. Its training metrics are the losses by name; evaluation gives them
        too, their sum as ``loss``, and ``AP``, ``AP50``, ``AP75``, ``AP/name`` of each class
        (COCO's, with pycocotools installed) and ``mAP`` (PASCAL VOC's of 2010); of a network that
        paints masks also ``mask_AP``, ``mask_AP50`` and ``mask_AP75``, on the canvas; of one that
        finds key points ``keypoint_AP``, ``keypoint_AP50`` and ``keypoint_AP75``.

    >>> from jaxnets.models.detection import AnchorShapes, small_ssd, ssd_detections, ssd_losses
    >>> from jaxnets import train
    >>> import optax
    >>> network = small_ssd(2, AnchorShapes((((8, 8),), ((16, 16),), ((32, 32),))), width=2)
    >>> task = detection(["cell"], losses=ssd_losses, detections=ssd_detections, size=(32, 32))
    >>> batch = {"image": np.zeros((2, 32, 32, 3), np.float32), "boxes": np.zeros((2, 1, 4))}
    >>> batch |= {"box_label": np.zeros((2, 1), int), "box_mask": np.zeros((2, 1))}
    >>> state = jax.eval_shape(
    ...     lambda key: train.create_state(network, optax.sgd(0.1), batch, key, task=task),
    ...     jax.random.key(0),
    ... )
    >>> sorted(jax.eval_shape(partial(train.train_step, task=task), state, batch)[1])
    ['bbox_regression', 'classification', 'gradient_norm', 'loss', 'parameter_norm']
    """
    names = tuple(class_names)

    def loss(outputs, updates, batch):
        found = mean_losses(losses(outputs, batch))
        return sum(found.values()), found

    def collect(outputs, batch):
        found = {k: v for k, v in detections(outputs)._asdict().items() if v is not None}
        wanted = TRUTH + tuple(key for key in ("masks", "keypoints") if key in found)
        truth = {f"true/{key}": batch[key] for key in wanted if key in batch}
        return {**found, **truth}

    def inputs(batch):
        x = preprocess(batch["image"])
        if not two_stages:
            return x
        given = {"proposals": batch["proposals"]} if "proposals" in batch else {}
        return {"x": x, "objects": {key: batch[key] for key in OBJECTS}, **given}

    return Task(
        inputs=inputs,
        loss=loss,
        measure=losses,
        summarize=_summarize,
        collect=collect,
        score=partial(score_detections, class_names=names, size=tuple(size)),
        meta=(("class_names", list(names)), ("size", list(size))),
    )


def _summarize(sums: Sums) -> dict[str, float]:
    found = {name: float(total) / max(float(count), 1.0) for name, (total, count) in sums.items()}
    return {"loss": sum(found.values()), **found}


def score_detections(
    found: Mapping[str, np.ndarray], *, class_names: Sequence[str], size: tuple[int, int]
) -> dict[str, float]:
    """Average precision of what was collected over a data set.

    Args:
        found: boxes, scores, labels and mask of `jaxnets.ops.boxes.Detections`, and the batch's
            own entries as ``true/boxes`` and so on, all with a leading axis of images.
        class_names: K of them.
        size: (H, W) of the canvas; with ``true/image_size`` boxes are measured in the pixels of the
            images as they were stored.

    Returns:
        ``mAP``, and COCO's measures where pycocotools is installed.

    >>> box = np.array([[[0.0, 0, 4, 4]]])
    >>> found = {"boxes": box, "scores": np.ones((1, 1)), "labels": np.zeros((1, 1), int)}
    >>> found |= {"mask": np.ones((1, 1)), "true/boxes": box, "true/box_mask": np.ones((1, 1))}
    >>> found |= {"true/box_label": np.zeros((1, 1), int)}
    >>> score_detections(found, class_names=["cell"], size=(8, 8))["AP50"].__round__(6)
    1.0
    """
    truth = {k.removeprefix("true/"): np.asarray(v) for k, v in found.items() if "true/" in k}
    seen = {k: np.asarray(v) for k, v in found.items() if "true/" not in k}
    painted = None
    if "masks" in seen and "masks" in truth:
        painted = seen.pop("masks"), truth.pop("masks"), seen["boxes"], truth["boxes"]
    if "image_size" in truth:
        sizes = truth.pop("image_size")
        for part in (truth, seen):
            part["boxes"] = to_original(part["boxes"], sizes, size)
            if "keypoints" in part:
                part["keypoints"] = _original_points(part["keypoints"], sizes, size)
    voc = VocEvaluator(class_names)
    voc.add(truth, seen)
    results = {"mAP": voc.summarize()["mAP"]}
    if importlib.util.find_spec("pycocotools") is None:
        return results
    coco = CocoEvaluator(class_names)
    coco.add(truth, seen)
    measured = coco.summarize()
    kept = ("AP", "AP50", "AP75", *(f"AP/{name}" for name in class_names))
    results |= {name: measured[name] for name in kept}
    if "keypoints" in seen and "keypoints" in truth:
        sigmas = keypoint_sigmas(truth["keypoints"].shape[2])
        joints = CocoEvaluator(class_names, kind="keypoints", sigmas=sigmas)
        joints.add(truth, seen)
        measured = joints.summarize()
        results |= {f"keypoint_{name}": measured[name] for name in ("AP", "AP50", "AP75")}
    if painted is not None:
        results |= _score_masks(truth, seen, *painted, class_names=class_names)
    return results


def _original_points(points, sizes, canvas):
    """Key points (B, D, J, 3) of a canvas in the pixels of the images as they were stored."""
    images, objects, joints, _ = points.shape
    places = np.tile(points[..., :2], 2).reshape(images, objects * joints, 4)
    moved = to_original(places, sizes, canvas)[..., :2].reshape(images, objects, joints, 2)
    return np.concatenate([moved, points[..., 2:]], -1)


def _score_masks(truth, seen, masks, true_masks, corners, true_corners, *, class_names):
    """COCO's averages of masks on the canvas, image by image: all at once would fill the memory."""
    coco = CocoEvaluator(class_names, kind="segm")
    paste = jax.jit(paste_masks, static_argnums=2)
    for i in range(len(masks)):
        large = np.asarray(paste(masks[i], corners[i], true_masks.shape[-2:])) >= 0.5
        rows = {key: value[i : i + 1] for key, value in truth.items()}
        rows |= {"masks": true_masks[i : i + 1], "boxes": true_corners[i : i + 1]}
        found = {key: value[i : i + 1] for key, value in seen.items()}
        coco.add(rows, found | {"masks": large[None], "boxes": corners[i : i + 1]})
    measured = coco.summarize()
    return {f"mask_{name}": measured[name] for name in ("AP", "AP50", "AP75")}
