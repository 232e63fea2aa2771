"""Detectors from files: a run of one's own, torchvision's weights, darknet's cfg and weights."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import jax.numpy as jnp

from jaxnets import models, pretrained
from jaxnets.data import COCO_CATEGORIES, COCO_CLASSES
from jaxnets.errors import JaxnetsError
from jaxnets.models.detection import (
    fastestdet_detections,
    fcos_detections,
    pooled_pyramid,
    rcnn_detections,
    resnet_pyramid,
    retinanet_detections,
    ssd_detections,
    yolo_detections,
)
from jaxnets.models.detection.darknet_layers import HEADS
from jaxnets.nn import BatchNorm
from jaxnets.ops.boxes import Detections
from jaxnets.tasks.detector import Detector, load_detector
from jaxnets.tasks.rcnn import MACHINES, load_rcnn
from jaxnets.tasks.region_detector import RegionDetector


class Published(NamedTuple):
    """How a published detector is fed and read.

    Attributes:
        detections: its outputs → `jaxnets.ops.boxes.Detections`.
        stretched: images are stretched to its input, as it was trained.
        fields: makes the fields in which the published network differs from a fresh one.
        classes: names of its classes.
        size: height and width of its images, where they differ.
        background: its classes are counted with the background.

    >>> PUBLISHED["ssd300_vgg16"].stretched
    True
    """

    detections: Callable[[Any], Detections]
    stretched: bool = True
    fields: Callable[[], dict[str, Any]] = dict
    classes: Sequence[str] = COCO_CATEGORIES
    size: tuple[int, int] | None = None
    background: bool = True


def _without_epsilon() -> dict[str, Any]:
    """Frozen normalizations had none when the weights were trained."""
    return {"backbone": resnet_pyramid(norm=partial(BatchNorm, epsilon=0.0))}


def _pooled_without_epsilon() -> dict[str, Any]:
    return {"backbone": pooled_pyramid(norm=partial(BatchNorm, epsilon=0.0))}


PUBLISHED: Final = {
    "fasterrcnn_mobilenet_v3_large_320_fpn": Published(rcnn_detections, False),
    "fasterrcnn_mobilenet_v3_large_fpn": Published(rcnn_detections, False),
    "fasterrcnn_resnet50_fpn": Published(rcnn_detections, False, _pooled_without_epsilon),
    "fasterrcnn_resnet50_fpn_v2": Published(rcnn_detections, False),
    "fastestdet": Published(fastestdet_detections, classes=COCO_CLASSES, background=False),
    "fcos_resnet50_fpn": Published(fcos_detections, False),
    "keypointrcnn_resnet50_fpn": Published(
        rcnn_detections, False, _pooled_without_epsilon, ("person",)
    ),
    "maskrcnn_resnet50_fpn": Published(rcnn_detections, False, _pooled_without_epsilon),
    "maskrcnn_resnet50_fpn_v2": Published(rcnn_detections, False),
    "retinanet_resnet50_fpn": Published(retinanet_detections, False, _without_epsilon),
    "ssd300_vgg16": Published(ssd_detections),
    "ssdlite320_mobilenet_v3_large": Published(
        partial(ssd_detections, threshold=0.55, min_score=0.001, candidates=300, max_outputs=300)
    ),
    "ssd_slim_face": Published(
        partial(ssd_detections, threshold=0.3, min_score=0.05, candidates=200),
        classes=("face",),
        size=(240, 320),
    ),
}

# Networks whose weights are darknet's files.
DARKNET: Final = ("yolov2", "yolov3", "yolov3_tiny")


def read_detector(
    weights: Path | str,
    *,
    model: str | None = None,
    cfg: Path | str | None = None,
    classes: Path | None = None,
) -> Detector | RegionDetector:
    """A detector from its files.

    Args:
        weights: the directory of a run of `jaxnets.tasks.train_detector` or
            `jaxnets.tasks.rcnn.train_rcnn`; or a file of weights.
        model: of torchvision's weights, such as "ssd300_vgg16"; or of darknet's, such as "yolov3".
        cfg: of darknet's weights, its cfg file.
        classes: a text file with the classes' names, one a line; by default COCO's, where their
            number fits, or numbers.

    Returns:
        `Detector`, or `jaxnets.tasks.region_detector.RegionDetector`, which has the same methods.

    Raises:
        JaxnetsError: a file without ``model`` or ``cfg``, files that do not fit each other, another
            number of names than classes.

    >>> read_detector("yolo.weights")
    Traceback (most recent call last):
    jaxnets.errors.JaxnetsError: yolo.weights: give --model NAME for torchvision's weights or ...
    """
    if model is not None and cfg is not None:
        raise JaxnetsError("--model is for torchvision's weights, --cfg for darknet's: give one")
    if cfg is not None:
        return _darknet(weights, cfg, classes)
    if model in DARKNET:
        kept = _names(classes, None, ()) if classes is not None else None
        fields = {} if kept is None else {"num_classes": len(kept)}
        return _darknet(weights, models.create_model(model, **fields).sections, classes)
    if model is not None:
        return _published(weights, model, classes)
    if (Path(weights) / MACHINES).is_file():
        return load_rcnn(weights)
    if Path(weights).is_dir():
        return load_detector(weights)
    raise JaxnetsError(
        f"{weights}: give --model NAME for torchvision's weights or --cfg FILE for darknet's, or "
        "the directory of a run"
    )


def _darknet(weights, cfg, classes):
    network, variables = pretrained.read_darknet(cfg, weights)
    sections = network.sections
    heads = [section for section in sections if section.kind in HEADS]
    if not heads:
        raise JaxnetsError(f"{cfg} has no [yolo] or [region] section; expected a detector")
    size = (sections[0].get("height", 416), sections[0].get("width", 416))

    def outputs(variables, images):
        return network.apply(variables, images.astype(jnp.float32) / 255)

    detections = partial(yolo_detections, sections=sections)
    names = _names(classes, heads[0].get("classes", 20), COCO_CLASSES)
    return Detector(names, size, outputs, variables, detections, stretched=True)


def _published(weights, model, classes):
    if model not in PUBLISHED:
        known = ", ".join((*PUBLISHED, *DARKNET))
        raise JaxnetsError(f"--model: got {model!r}; expected one of {known}")
    published = PUBLISHED[model]
    kept = _names(classes, None, ()) if classes is not None else None
    fields = {} if kept is None else {"num_classes": len(kept) + published.background}
    network, variables = pretrained.load(model, weights, **published.fields(), **fields)
    info = models.model_info(model)

    def outputs(variables, images):
        x = images.astype(jnp.float32) / 255
        x = (x - jnp.asarray(info.mean)) / jnp.asarray(info.std)
        return network.apply(variables, x, train=False)

    names = kept or _names(None, network.num_classes - published.background, published.classes)
    size = published.size or (info.input_size, info.input_size)
    return Detector(
        names, size, outputs, variables, published.detections, stretched=published.stretched
    )


def _names(classes: Path | None, count: int | None, default: Sequence[str]) -> tuple[str, ...]:
    if classes is None:
        return tuple(default) if len(default) == count else tuple(map(str, range(count or 0)))
    try:
        names = tuple(line.strip() for line in Path(classes).read_text().splitlines() if line)
    except OSError as error:
        raise JaxnetsError(f"can't read {classes}: {error.strerror}") from None
    if count is not None and len(names) != count:
        raise JaxnetsError(f"{classes} has {len(names)} names; expected {count}, one a class")
    return names
