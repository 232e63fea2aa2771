"""What must be known beside a detector's arrays: its kind, canvas, classes, anchors."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Final

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jaxnets.data.preprocessing import Standardization
from jaxnets.models.detection import (
    AnchorShapes,
    fast_rcnn_losses,
    overfeat_detections,
    overfeat_losses,
    pyramid_windows,
    rcnn_detections,
    rcnn_losses,
    small_fast_rcnn,
    small_overfeat,
    small_rcnn,
    small_ssd,
    small_yolo,
    ssd_detections,
    ssd_losses,
    yolo_detections,
    yolo_losses,
    yolo_sections,
)

SSDS: Final = ("ssd", "mobilenet_ssd")


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
        kind: "ssd"; "mobilenet_ssd", the same on a MobileNet v1; "yolo", "overfeat" and
            "fast_rcnn", see `jaxnets.models.detection.small_yolo`, ``small_overfeat`` and
            ``small_fast_rcnn``; "faster_rcnn", "mask_rcnn" or "keypoint_rcnn", see ``small_rcnn``.
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
        if self.kind == "overfeat":
            return small_overfeat(classes, **common)
        if self.kind == "fast_rcnn":
            return small_fast_rcnn(classes, **common)
        common |= {"masks": self.kind == "mask_rcnn", "keypoints": self.joints}
        return small_rcnn(classes, ratios=self.ratios, trunk=self.trunk, **common)

    @property
    def two_stages(self) -> bool:
        """Whether the network draws regions from the objects."""
        return self.kind not in (*SSDS, "yolo", "overfeat")

    @property
    def regions(self) -> int | None:
        """How many regions of an image come from outside; None: the network needs none."""
        return self.network().rules.proposals if self.kind == "fast_rcnn" else None

    @property
    def losses(self) -> Callable[..., Any]:
        """Of the network's outputs and a batch."""
        if self.kind == "yolo":
            return partial(yolo_losses, sections=self._sections)
        if self.kind == "overfeat":
            return partial(overfeat_losses, windows=pyramid_windows(self.network(), self.size))
        if self.kind == "fast_rcnn":
            return fast_rcnn_losses
        return ssd_losses if self.kind in SSDS else rcnn_losses

    @property
    def detections(self) -> Callable[[Any], Any]:
        """Of the network's outputs."""
        if self.kind == "yolo":
            return partial(yolo_detections, sections=self._sections)
        if self.kind == "overfeat":
            windows = pyramid_windows(self.network(), self.size)
            return partial(overfeat_detections, windows=windows, size=self.size)
        return ssd_detections if self.kind in SSDS else rcnn_detections

    @property
    def _sections(self) -> tuple[Any, ...]:
        return yolo_sections(AnchorShapes(self.anchors), len(self.class_names), self.size)


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
