"""Joints from heat maps: each joint's place is the mean of a map of probabilities."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxnets.models.backbone import backbone
from jaxnets.models.detection.small_rcnn import TRUNK
from jaxnets.models.detection.small_ssd import TopDown
from jaxnets.nn import Conv

STRIDES = (4, 8, 16, 32)


class HeatMapPose(nn.Module):
    """A map of probabilities for each joint, and its mean as the joint's place.

    .. math:: p_j = Σ_x x · softmax(h_j)(x)

    Attributes:
        maps: images → ordered mapping of maps, the finest first.
        joints: J.
        dtype: compute dtype.

    Call: images (B, H, W, C) → {"heat": (B, h, w, J) logits, "points": (B, 1, J, 2), x and y as
    shares of the image's sides}; "points" has an axis of stages, of which there is one.

    Source: Sun, Xiao, Wei, Liang, Wei, "Integral Human Pose Regression", 2018, section 2.

    >>> network = heat_map_pose(14, width=4)
    >>> x = jax.ShapeDtypeStruct((2, 64, 64, 3), "float32")
    >>> found = jax.eval_shape(network.init_with_output, jax.random.key(0), x)[0]
    >>> found["heat"].shape, found["points"].shape
    ((2, 16, 16, 14), (2, 1, 14, 2))
    """

    maps: nn.Module
    joints: int
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False) -> dict[str, jax.Array]:
        finest = next(iter(self.maps(x, train=train).values()))
        heat = Conv(self.joints, (1, 1), dtype=self.dtype, name="head")(finest)
        heat = heat.astype(jnp.float32)
        height, width = heat.shape[1:3]
        share = jax.nn.softmax(heat.reshape(len(heat), -1, self.joints), axis=1)
        share = share.reshape(heat.shape)
        across = jnp.einsum("bhwj,w->bj", share, (jnp.arange(width) + 0.5) / width)
        down = jnp.einsum("bhwj,h->bj", share, (jnp.arange(height) + 0.5) / height)
        return {"heat": heat, "points": jnp.stack((across, down), -1)[:, None]}


def heat_map_pose(
    joints: int, *, width: int = 32, trunk: bool = False, dtype: Any = None
) -> HeatMapPose:
    """Heat maps on a small network, from its maps at strides 4 to 32, or 8 to 32 on a trunk.

    Args:
        joints: J.
        width: channels of the residual network's stem, whose stages have 1, 2, 4 and 8 times as
            many; joined maps have twice as many.
        trunk: on a ShuffleNetV2 with half the channels, for which there are weights
            (`jaxnets.pretrained.read_trunk`), instead of a residual network of ten layers.
        dtype: compute dtype.

    Returns:
        A network for images of at least 32×32.

    >>> x = jax.ShapeDtypeStruct((1, 64, 64, 3), "float32")
    >>> network = heat_map_pose(14, width=4, trunk=True)
    >>> jax.eval_shape(network.init_with_output, jax.random.key(0), x)[0]["heat"].shape
    (1, 8, 8, 14)
    """
    if trunk:
        network = backbone(TRUNK, STRIDES[1:], parity=True, dtype=dtype)
    else:
        network = backbone("resnet18", STRIDES, stages=(1, 1, 1, 1), width=width, dtype=dtype)
    return HeatMapPose(TopDown(network, 2 * width, dtype), joints, dtype)
