"""LR-ASPP: a segmenter for small devices, one fine and one coarse map of MobileNet v3.

Source: Howard et al., "Searching for MobileNetV3", 2019, section 6.4, figure 10; torchvision's.
"""

from typing import Any

import flax.linen as nn
import jax

from jaxnets.models import papers
from jaxnets.models.layers import ConvNorm
from jaxnets.models.mobilenet_v3 import MobileNetV3
from jaxnets.models.registry import IMAGENET_MEAN, IMAGENET_STD, register
from jaxnets.models.upsample import upsample
from jaxnets.nn import Conv
from jaxnets.ops import sigmoid


class LRASPP(nn.Module):
    """Scores of the coarse map, weighted by what the whole map holds, plus those of the fine one.

    Attributes:
        backbone: images → mapping of maps, "low" and "last" among them.
        num_classes: K, background among them as class 0, as torchvision counts; None returns the
            backbone's maps.
        features: channels that the coarse map is brought to.
        dtype: compute dtype.

    Call: images (N, H, W, C) → scores (N, H, W, K), float32. Updates "batch_stats" where ``train``
    is set.

    >>> network = LRASPP(MobileNetV3(num_classes=None, width=0.25, dilated=True), 3)
    >>> x = jax.ShapeDtypeStruct((1, 40, 48, 3), "float32")
    >>> jax.eval_shape(network.init_with_output, jax.random.key(0), x)[0].shape
    (1, 40, 48, 3)
    """

    backbone: nn.Module
    num_classes: int | None = 21
    features: int = 128
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False) -> Any:
        maps = self.backbone(x, train=train)
        if self.num_classes is None:
            return maps
        low, high = maps["low"], maps["last"]
        y = ConvNorm(self.features, dtype=self.dtype, name="block")(high, train)
        scale = Conv(self.features, (1, 1), use_bias=False, dtype=self.dtype, name="scale")
        y = y * sigmoid(scale(high.mean((1, 2), keepdims=True)))
        y = upsample(y, low.shape[1:3]).astype(y.dtype)
        low = Conv(self.num_classes, (1, 1), dtype=self.dtype, name="low_score")(low)
        high = Conv(self.num_classes, (1, 1), dtype=self.dtype, name="high_score")(y)
        return upsample(low + high, x.shape[1:3])


@register(
    paper=papers.MOBILENET_V3,
    parameters=3_221_538,
    macs=2_086_219_688,
    input_size=520,
    mean=IMAGENET_MEAN,
    std=IMAGENET_STD,
    weights=("torchvision lraspp_mobilenet_v3_large",),
    task="segmentation",
    published="mean IoU 57.9 on COCO val2017's VOC classes (torchvision)",
)
def lraspp_mobilenet_v3_large(
    *, num_classes: int | None = 21, name: str | None = None, **fields: Any
) -> LRASPP:
    """LR-ASPP on a dilated MobileNetV3-Large.

    Args:
        num_classes: background among them.
        name: Flax's.
        **fields: of `LRASPP`.

    Returns:
        An `LRASPP`.

    >>> lraspp_mobilenet_v3_large().features
    128
    """
    network = MobileNetV3(num_classes=None, dilated=True, dtype=fields.get("dtype"))
    return LRASPP(num_classes=num_classes, name=name, **{"backbone": network, **fields})
