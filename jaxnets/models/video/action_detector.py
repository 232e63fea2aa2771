"""Who does what: actions of the people in a clip, whose boxes are given.

The features of the last stage are averaged over time and taken from each person's box; people do
several things at once, so that each action has a sigmoid of its own.

Source: Feichtenhofer, Fan, Malik, He, "SlowFast Networks for Video Recognition", 2018, section 5;
Gu et al., "AVA: A Video Dataset of Spatio-temporally Localized Atomic Visual Actions", 2017,
section 4; details as in PySlowFast, whose parameters have the same shapes.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxnets.models import papers
from jaxnets.models.registry import register
from jaxnets.models.video.non_local import NonLocal
from jaxnets.models.video.slow import DEPTHS, SLOWFAST_MEAN, SLOWFAST_STD, Slow
from jaxnets.models.video.slowfast import R101, SlowFast
from jaxnets.nn import Dense, Dropout
from jaxnets.ops.roi import roi_align

# Both pathways' last stage keeps the size of the one before (section 5).
SLOWFAST_8X8 = partial(SlowFast, alpha=4, fusion_kernel=7, output_stride=16)
# Three blocks in the 23 of the fourth stage, as PySlowFast's configuration of ResNet-101 has them.
R101_NON_LOCAL = {
    "non_local": ((), (), (6, 13, 20), ()),
    "non_local_block": partial(NonLocal, form="dot_product", pool=(2, 2, 2)),
}


class ActionDetector(nn.Module):
    """A video network, its last maps averaged over time, RoIAlign, a maximum and a linear head.

    Attributes:
        num_classes: actions, 80 of AVA (of which 60 are measured); None returns the backbone's
            endpoints.
        backbone: makes the video network, called with ``num_classes=None``, ``dtype`` and ``name``.
        maps: its endpoints that the head sees, one behind the other.
        stride: pixels of the clip to a position of these maps.
        output_size: cells of RoIAlign's grid in each direction; their maximum is taken.
        aligned: see `jaxnets.ops.roi.roi_align`; the weights converted from Caffe2 are without.
        dropout_rate: in front of the head.
        dtype: compute dtype.

    Call: clips (N, T, H, W, C) and ``boxes`` (N, R, 4), corners in pixels, with ``box_mask``
    (N, R) where some are padding → logits (N, R, num_classes), float32. Without boxes one spans
    the picture. Updates "batch_stats" and needs the rng "dropout" in training.

    >>> small = partial(SlowFast, stages=(1, 1, 1, 1), width=16, alpha=4, output_stride=16)
    >>> network, key = ActionDetector(num_classes=3, backbone=small), jax.random.key(0)
    >>> x, boxes = jnp.zeros((1, 8, 32, 32, 3)), jnp.array([[[0.0, 0, 16, 32], [8, 8, 32, 32]]])
    >>> jax.eval_shape(lambda *a: network.init_with_output(key, *a)[0], x, boxes).shape
    (1, 2, 3)
    """

    num_classes: int | None = 80
    backbone: Callable[..., nn.Module] = SLOWFAST_8X8
    maps: Sequence[str] = ("slow_stage4", "fast_stage4")
    stride: int = 16
    output_size: int = 7
    aligned: bool = True
    dropout_rate: float = 0.5
    dtype: Any = None

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        boxes: jax.Array | None = None,
        *,
        box_mask: jax.Array | None = None,
        train: bool = False,
    ):
        endpoints = self.backbone(num_classes=None, dtype=self.dtype, name="backbone")(
            x, train=train
        )
        if self.num_classes is None:
            return endpoints
        if boxes is None:
            corners = jnp.array([0, 0, x.shape[3], x.shape[2]], jnp.float32)
            boxes = jnp.broadcast_to(corners, (x.shape[0], 1, 4))
        if boxes.ndim != 3 or boxes.shape[::2] != (x.shape[0], 4):
            raise ValueError(
                f"ActionDetector: expected boxes ({x.shape[0]}, R, 4), some of each clip, got "
                f"shape {boxes.shape}"
            )
        regions = []
        for name in self.maps:
            features = roi_align(
                endpoints[name].mean(1),
                boxes,
                self.output_size,
                strides=float(self.stride),
                mask=box_mask,
                samples=None,
                aligned=self.aligned,
            )
            regions.append(features.max((2, 3)))
        y = jnp.concatenate(regions, -1)
        y = Dropout(self.dropout_rate, name="dropout")(y, train=train)
        return Dense(self.num_classes, dtype=self.dtype, name="head")(y).astype(jnp.float32)


_ava = partial(
    register,
    paper=papers.SLOWFAST,
    task="action detection",
    mean=SLOWFAST_MEAN,
    std=SLOWFAST_STD,
)


def _detector(backbone: Callable[..., nn.Module], num_classes, name, fields) -> ActionDetector:
    return ActionDetector(num_classes=num_classes, name=name, **{"backbone": backbone, **fields})


@_ava(
    parameters=31_798_416,
    macs=31_814_156_288,
    frames=4,
    weights=("pyslowfast AVA/SLOW_8x8_R50_SHORT",),
    published="AVA 2.2: mAP 19.5 % (PySlowFast)",
)
def ava_slow_4x16_r50(
    *, num_classes: int | None = 80, name: str | None = None, **fields: Any
) -> ActionDetector:
    """Actions by the slow pathway alone, 4 frames, 16 apart; ``fields`` of `ActionDetector`."""
    fields = {"maps": ("stage4",), **fields}
    backbone = partial(Slow, stages=DEPTHS[50], output_stride=16)
    return _detector(backbone, num_classes, name, fields)


@_ava(
    parameters=33_828_888,
    macs=74_180_382_720,
    frames=32,
    weights=("pyslowfast AVA/SLOWFAST_32x2_R50_SHORT",),
)
def ava_slowfast_8x8_r50(
    *, num_classes: int | None = 80, name: str | None = None, **fields: Any
) -> ActionDetector:
    """Actions by SlowFast-50, 8 and 32 frames; ``fields`` of `ActionDetector`."""
    return _detector(SLOWFAST_8X8, num_classes, name, fields)


@_ava(
    parameters=59_342_488,
    macs=111_912_734_720,
    frames=32,
    weights=("pyslowfast AVA/SLOWFAST_32x2_R101_50_50",),
    published="AVA 2.2: mAP 29.1 %, 2.1: 28.2 % (PySlowFast)",
)
def ava_slowfast_8x8_r101(
    *, num_classes: int | None = 80, name: str | None = None, **fields: Any
) -> ActionDetector:
    """Actions by SlowFast-101 with three non-local blocks; ``fields`` of `ActionDetector`."""
    backbone = partial(SlowFast, **R101, **R101_NON_LOCAL, output_stride=16)
    return _detector(backbone, num_classes, name, {"aligned": False, **fields})
