"""FCN-32s, 16s and 8s: VGG-16 made fully convolutional, its scores joined with finer maps'.

Source: Long, Shelhamer, Darrell, "Fully Convolutional Networks for Semantic Segmentation", 2015,
section 4, figure 3; the padding and the crops of its published networks.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.models import papers
from jaxnets.models.checks import check_images
from jaxnets.models.registry import IMAGENET_MEAN, IMAGENET_STD, register
from jaxnets.models.vgg import CONFIGURATIONS, VGGStage
from jaxnets.nn import Conv, Dropout
from jaxnets.ops import max_pool, relu

# Zeros around the image, so that the first connected layer sees a window around every pixel.
BORDER = 100
# Where the finer maps begin, in their own pixels.
CROPS = {"pool4": 5, "pool3": 9}
# Where the image begins in the last result's, by the stride of the finest map that is joined.
IMAGE_CROPS = {32: 19, 16: 27, 8: 31}


def bilinear_init(key: jax.Array, shape: Sequence[int], dtype: Any = jnp.float32) -> jax.Array:
    """The kernel of a transposed convolution that enlarges each channel by interpolation.

    Args:
        key: not used; initializers are called with one.
        shape: (side, side, K, K).
        dtype: of the kernel.

    Returns:
        The kernel.

    Source: the published networks' ``surgery.py``.

    >>> bilinear_init(None, (4, 4, 1, 1))[0, :, 0, 0].tolist()
    [0.0625, 0.1875, 0.1875, 0.0625]
    """
    side = shape[0]
    factor = (side + 1) // 2
    center = factor - 1 if side % 2 else factor - 0.5
    line = 1 - abs(np.arange(side) - center) / factor
    kernel = line[:, None, None, None] * line[None, :, None, None] * np.eye(shape[2])
    return jnp.asarray(kernel, dtype)


class FCNVGG(nn.Module):
    """Scores at stride 32, enlarged and added to those of finer maps, then enlarged to the image.

    Attributes:
        num_classes: K, background among them; None returns the maps pool3, pool4 and fc7.
        joined: the finer maps, "pool4" at stride 16 and "pool3" at 8: none for FCN-32s, the first
            for 16s, both for 8s.
        widths: channels of VGG's stages.
        fc_width: of fc6 and fc7.
        dropout_rate: after them.
        border: zeros around the image, at least the one that the first convolution pads.
        dtype: compute dtype.

    Call: images (N, H, W, C) → scores (N, H, W, K), float32. Needs the rng "dropout" in training.

    >>> network = FCNVGG(3, widths=(2, 2, 2, 2, 2), fc_width=4)
    >>> x = jax.ShapeDtypeStruct((1, 45, 70, 3), "float32")
    >>> jax.eval_shape(network.init_with_output, jax.random.key(0), x)[0].shape
    (1, 45, 70, 3)
    """

    num_classes: int | None = 21
    joined: tuple[str, ...] = ("pool4", "pool3")
    widths: Sequence[int] = (64, 128, 256, 512, 512)
    fc_width: int = 4096
    dropout_rate: float = 0.5
    border: int = BORDER
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False) -> Any:
        check_images(self, x, smallest=1, stem="stage1/conv1")
        height, width = x.shape[1:3]
        conv = partial(Conv, dtype=self.dtype)
        # The first convolution itself pads by one.
        around = (self.border - 1, self.border - 1)
        x = jnp.pad(x, ((0, 0), around, around, (0, 0)))
        maps = {}
        rows = zip(CONFIGURATIONS["D"], self.widths, strict=True)
        for i, (kernels, features) in enumerate(rows, start=1):
            x = VGGStage(features, kernels, False, None, conv, name=f"stage{i}")(x, train)
            # Caffe's pooling goes beyond the border.
            x = max_pool(x, 2, strides=2, padding=tuple((0, n % 2) for n in x.shape[1:3]))
            maps[f"pool{i}"] = x
        for name, side in (("fc6", 7), ("fc7", 1)):
            x = relu(conv(self.fc_width, (side, side), name=name)(x))
            x = maps[name] = Dropout(self.dropout_rate, name=f"dropout{name[-1]}")(x, train=train)
        if self.num_classes is None:
            return {name: maps[name] for name in ("pool3", "pool4", "fc7")}
        score = partial(conv, self.num_classes, (1, 1))
        x = score(name="score_fc7")(x)
        last = 32 >> len(self.joined)
        if self.joined:
            x = self._enlarge(x, 2, "upscore2")
        for name in self.joined:
            x = x + _cut(score(name=f"score_{name}")(maps[name]), CROPS[name], x.shape[1:3])
            x = self._enlarge(x, last if name == self.joined[-1] else 2, f"upscore_{name}")
        if not self.joined:
            x = self._enlarge(x, last, "upscore32")
        return _cut(x, IMAGE_CROPS[last], (height, width)).astype(jnp.float32)

    def _enlarge(self, x: jax.Array, factor: int, name: str) -> jax.Array:
        layer = nn.ConvTranspose(
            self.num_classes,
            (2 * factor, 2 * factor),
            strides=(factor, factor),
            padding="VALID",
            use_bias=False,
            kernel_init=bilinear_init,
            dtype=self.dtype,
            name=name,
        )
        return layer(x)


def _cut(x, start, size):
    return x[:, start : start + size[0], start : start + size[1]]


def convolutional(variables: Mapping[str, Any]) -> dict[str, Any]:
    """A classifier's VGG-16 as the one inside of an `FCNVGG`: its matrices become convolutions.

    Each unit of the first connected layer is a filter of 7×7, and of the others of 1×1. On an image
    of 224×224 without further zeros around it there is one place that they fit, and the scores are
    the classifier's; on a larger one there are more.

    Args:
        variables: ``{"params": …}`` of `jaxnets.models.vgg.VGG` without normalizations, with or
            without "head".

    Returns:
        ``{"params": …}`` with the stages, "fc6" and "fc7"; the head's, where there is one, under
        "score_fc7". Put them into the variables of a new `FCNVGG`; what is lacking is new there.

    Raises:
        ValueError: variables of something else.

    Source: Long, Shelhamer, Darrell, "Fully Convolutional Networks for Semantic Segmentation",
    2015, section 3.1.

    >>> stages = {f"stage{i}": {} for i in range(1, 6)}
    >>> layer = {"kernel": jnp.zeros((1, 1, 4, 4)), "bias": jnp.zeros(4)}
    >>> params = {**stages, "fc6": layer, "fc7": layer, "head": layer}
    >>> sorted(convolutional({"params": params})["params"])[:3]
    ['fc6', 'fc7', 'score_fc7']
    """
    params = variables.get("params", {})
    wanted = [*(f"stage{i}" for i in range(1, 6)), "fc6", "fc7"]
    if missing := [name for name in wanted if name not in params]:
        raise ValueError(f"variables: got none of {', '.join(missing)}; expected those of a VGG-16")
    # Their spatial layers keep kernels as (height, width, C, features), as convolutions do.
    found = {name: params[name] for name in wanted}
    if "head" in params:
        found["score_fc7"] = params["head"]
    return {"params": found}


_fcn = partial(
    register,
    paper=papers.FCN,
    input_size=500,
    mean=IMAGENET_MEAN,
    std=IMAGENET_STD,
    task="segmentation",
)
_iou = "VOC 2011 mean IoU {} (paper, table 3)".format


@_fcn(parameters=136_152_917, macs=181_365_854_976, published=_iou("59.4"))
def fcn32s_vgg16(*, num_classes: int | None = 21, name: str | None = None, **fields: Any) -> FCNVGG:
    """FCN-32s on VGG-16: scores at stride 32, enlarged at once.

    Args:
        num_classes: background among them.
        name: Flax's.
        **fields: of `FCNVGG`.

    Returns:
        An `FCNVGG`.

    >>> fcn32s_vgg16().joined
    ()
    """
    return FCNVGG(num_classes=num_classes, name=name, **{"joined": (), **fields})


@_fcn(parameters=134_815_994, macs=181_448_086_272, published=_iou("62.4"))
def fcn16s_vgg16(*, num_classes: int | None = 21, name: str | None = None, **fields: Any) -> FCNVGG:
    """FCN-16s on VGG-16: joined with the scores of the map at stride 16.

    Args:
        num_classes: background among them.
        name: Flax's.
        **fields: of `FCNVGG`.

    Returns:
        An `FCNVGG`.

    >>> fcn16s_vgg16().joined
    ('pool4',)
    """
    return FCNVGG(num_classes=num_classes, name=name, **{"joined": ("pool4",), **fields})


@_fcn(parameters=134_489_759, macs=181_529_034_048, published=_iou("62.7"))
def fcn8s_vgg16(*, num_classes: int | None = 21, name: str | None = None, **fields: Any) -> FCNVGG:
    """FCN-8s on VGG-16: joined with the scores of the maps at strides 16 and 8.

    Args:
        num_classes: background among them.
        name: Flax's.
        **fields: of `FCNVGG`.

    Returns:
        An `FCNVGG`.

    >>> fcn8s_vgg16().fc_width
    4096
    """
    return FCNVGG(num_classes=num_classes, name=name, **fields)
