"""A small detector of two stages for images of one's own, with masks or key points if wanted."""

from collections.abc import Sequence
from typing import Any, Final

from jaxnets.models.backbone import backbone
from jaxnets.models.detection.pyramid import FeaturePyramid
from jaxnets.models.detection.rcnn import RCNN
from jaxnets.models.detection.region_heads import BoxHead, KeypointHead, MaskHead
from jaxnets.models.detection.region_proposals import RATIOS
from jaxnets.models.detection.regions import RegionRules
from jaxnets.nn import BatchNorm

STRIDES: Final = (8, 16, 32)
# Two sizes of anchors a map, a half octave apart.
SIZES: Final = ((32.0, 45.0), (64.0, 91.0), (128.0, 181.0), (256.0, 362.0))
RULES: Final = RegionRules(
    candidates=200,
    proposals=100,
    train_candidates=200,
    train_proposals=150,
    drawn=64,
    pairs=500,
    detections=50,
)
# What it may stand on, as in `jaxnets.pretrained.read_trunk`.
TRUNK: Final = "shufflenet_v2_x0_5"


def small_rcnn(
    num_classes: int | None,
    *,
    width: int = 24,
    masks: bool = False,
    keypoints: int = 0,
    ratios: Sequence[float] = RATIOS,
    trunk: bool = False,
    dtype: Any = None,
) -> RCNN:
    """A Faster, Mask or Keypoint R-CNN with maps at strides 8, 16, 32 and 64.

    Args:
        num_classes: K, background among them.
        width: channels of the residual network's stem; its stages have 1, 2, 4 and 8 times as many,
            and the pyramid and heads four times.
        masks: with a head for masks.
        keypoints: J of each object, with a head for them; 0: without.
        ratios: height over width of the anchors.
        trunk: on a ShuffleNetV2 with half the channels, for which there are weights, instead of a
            residual network of ten layers.
        dtype: compute dtype.

    Returns:
        A network for images whose sides are multiples of 32, such as (N, 288, 288, 3).

    >>> import jax
    >>> network = small_rcnn(3, width=4, masks=True)
    >>> x = jax.ShapeDtypeStruct((2, 64, 96, 3), "float32")
    >>> outputs, _ = jax.eval_shape(network.init_with_output, jax.random.key(0), x)
    >>> outputs.found.boxes.shape, outputs.found.mask_logits.shape
    ((2, 50, 4), (2, 50, 28, 28, 3))
    """
    if trunk:
        network = backbone(TRUNK, STRIDES, parity=True, dtype=dtype)
    else:
        network = backbone("resnet18", STRIDES, stages=(1, 1, 1, 1), width=width, dtype=dtype)
    features = 4 * width
    maps = FeaturePyramid(
        network, features, coarser=False, pooled=True, norm=BatchNorm, dtype=dtype
    )
    wide = (features, features)
    points = KeypointHead(wide, keypoints, dtype=dtype) if keypoints else None
    return RCNN(
        maps,
        num_classes,
        BoxHead(widths=(256, 256), dtype=dtype),
        mask_head=MaskHead(wide, features, dtype=dtype) if masks else None,
        keypoint_head=points,
        sizes=SIZES,
        ratios=tuple(ratios),
        rules=RULES,
        dtype=dtype,
    )
