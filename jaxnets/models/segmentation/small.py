"""A small segmenter for images of one's own: a narrow residual network with a feature pyramid."""

from typing import Any

import flax.linen as nn
import jax

from jaxnets.models.backbone import backbone
from jaxnets.models.detection.small_ssd import TopDown
from jaxnets.models.upsample import upsample
from jaxnets.nn import Conv

STRIDES = (4, 8, 16, 32)


class PyramidSegmenter(nn.Module):
    """Scores of classes from the finest map of a pyramid, enlarged to the image.

    Attributes:
        maps: images → ordered mapping of maps, the finest first.
        num_classes: K; None returns the maps.
        dtype: compute dtype.

    Call: images (N, H, W, C) → scores (N, H, W, K), float32.

    Source: Kirillov et al., "Panoptic Feature Pyramid Networks", 2019, section 3, of one map.

    >>> network = small_segmenter(3, width=4)
    >>> x = jax.ShapeDtypeStruct((1, 44, 60, 3), "float32")
    >>> jax.eval_shape(network.init_with_output, jax.random.key(0), x)[0].shape
    (1, 44, 60, 3)
    """

    maps: nn.Module
    num_classes: int | None
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False) -> Any:
        maps = self.maps(x, train=train)
        if self.num_classes is None:
            return maps
        finest = next(iter(maps.values()))
        scores = Conv(self.num_classes, (1, 1), dtype=self.dtype, name="head")(finest)
        return upsample(scores, x.shape[1:3])


def small_segmenter(
    num_classes: int | None, *, width: int = 24, dtype: Any = None
) -> PyramidSegmenter:
    """A segmenter on a residual network of ten layers, with scores at stride 4.

    Args:
        num_classes: K.
        width: channels of the network's stem; its stages have 1, 2, 4 and 8 times as many.
        dtype: compute dtype.

    Returns:
        A network for images of any size of at least 32×32.

    >>> small_segmenter(11).maps.features
    48
    """
    network = backbone("resnet18", STRIDES, stages=(1, 1, 1, 1), width=width, dtype=dtype)
    return PyramidSegmenter(TopDown(network, 2 * width, dtype), num_classes, dtype)
