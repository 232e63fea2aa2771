"""Inception-v3: factorized convolutions, parallel grid reduction, one normalized auxiliary head.

Source: Szegedy, Vanhoucke, Ioffe, Shlens, Wojna, "Rethinking the Inception Architecture for
Computer Vision", 2015, figures 5, 6, 7, 10, section 4; layer widths of the released network.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxnets.models import papers
from jaxnets.models.checks import check_images
from jaxnets.models.layers import ConvNorm
from jaxnets.models.registry import HALF, register
from jaxnets.nn import BatchNorm, Conv, Dense, Dropout
from jaxnets.ops import avg_pool, global_avg_pool, max_pool
from jaxnets.ops.half_bits import concatenate

# A path is a list of (channels, kernel, stride); kernels with stride 1 keep the map's size.
Path = Sequence[tuple[int, tuple[int, int], int]]
ONE, THREE, FIVE, ROW, COLUMN = (1, 1), (3, 3), (5, 5), (1, 7), (7, 1)


class Branches(nn.Module):
    """Paths of convolutions side by side, and pool→1×1 (or a max pool alone), concatenated.

    Attributes:
        paths: of convolutions. The last step of a path may be a pair of steps: both see the same
            map and their results are concatenated (figure 7, the expanded filter bank).
        pool: channels of the 1×1 after a 3×3 average pool; 0: a 3×3/2 max pool alone (figure 10,
            the parallel reduction).
        layer: convolution with normalization.
    """

    paths: Sequence[Path]
    pool: int
    layer: Callable[..., nn.Module]

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        outputs = []
        for i, path in enumerate(self.paths, start=1):
            y = x
            for j, step in enumerate(path, start=1):
                steps = step if isinstance(step[0], tuple) else (step,)
                made = [
                    self._conv(y, s, f"path{i}_conv{j}{suffix}", train)
                    for s, suffix in zip(
                        steps, ("a", "b") if len(steps) > 1 else ("",), strict=True
                    )
                ]
                y = made[0] if len(made) == 1 else concatenate(made, axis=-1)
            outputs.append(y)
        if self.pool:
            y = avg_pool(x, (3, 3), strides=1, padding=1)
            outputs.append(self.layer(self.pool, name="pool_proj")(y, train))
        else:
            outputs.append(max_pool(x, (3, 3), strides=2))
        return concatenate(outputs, axis=-1)

    def _conv(self, x: jax.Array, step: Any, name: str, train: bool) -> jax.Array:
        channels, kernel, strides = step
        padding = [(k // 2, k // 2) for k in kernel] if strides == 1 else 0
        return self.layer(channels, kernel, strides=strides, padding=padding, name=name)(x, train)


def module_a(pool: int):
    """Figure 5, at 35×35 (the released network keeps a 5×5 in one path)."""
    return (
        ((64, ONE, 1),),
        ((48, ONE, 1), (64, FIVE, 1)),
        ((64, ONE, 1), (96, THREE, 1), (96, THREE, 1)),
    ), pool


def module_b():
    """Figure 10: 35×35×288 → 17×17×768."""
    return (((384, THREE, 2),), ((64, ONE, 1), (96, THREE, 1), (96, THREE, 2))), 0


def module_c(inner: int):
    """Figure 6: 7×7 as 1×7 and 7×1, at 17×17."""
    return (
        ((192, ONE, 1),),
        ((inner, ONE, 1), (inner, ROW, 1), (192, COLUMN, 1)),
        (
            (inner, ONE, 1),
            (inner, COLUMN, 1),
            (inner, ROW, 1),
            (inner, COLUMN, 1),
            (192, ROW, 1),
        ),
    ), 192


def module_d():
    """Figure 10: 17×17×768 → 8×8×1280."""
    return (
        ((192, ONE, 1), (320, THREE, 2)),
        ((192, ONE, 1), (192, ROW, 1), (192, COLUMN, 1), (192, THREE, 2)),
    ), 0


def module_e():
    """Figure 7: 3×3 as 1×3 beside 3×1, at 8×8 → 2048 channels."""
    wide = ((384, (1, 3), 1), (384, (3, 1), 1))
    return (
        ((320, ONE, 1),),
        ((384, ONE, 1), wide),
        ((448, ONE, 1), (384, THREE, 1), wide),
    ), 192


MODULES = {
    "mixed5b": module_a(32),
    "mixed5c": module_a(64),
    "mixed5d": module_a(64),
    "mixed6a": module_b(),
    "mixed6b": module_c(128),
    "mixed6c": module_c(160),
    "mixed6d": module_c(160),
    "mixed6e": module_c(192),
    "mixed7a": module_d(),
    "mixed7b": module_e(),
    "mixed7c": module_e(),
}


# The paper gives no number; 0.4 is that of the authors' released training code (TensorFlow models,
# inception_model.py and slim's train_image_classifier.py).
AUXILIARY_WEIGHTS = {"aux": 0.4}


def scale_step(step: Any, width: float) -> Any:
    """Multiply the channels of a step, or of a pair of steps."""
    if isinstance(step[0], tuple):
        return tuple(scale_step(s, width) for s in step)
    return (int(step[0] * width), *step[1:])


class AuxiliaryHead(nn.Module):
    """A classifier on a 17×17 map: pool to 5×5, 1×1 to 128, 5×5 to 768, classes.

    Attributes:
        num_classes: its width.
        width: multiplier of its channels.
        layer: convolution with normalization.
        dtype: compute dtype.
    """

    num_classes: int
    width: float
    layer: Callable[..., nn.Module]
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        x = avg_pool(x, (5, 5), strides=3)
        x = self.layer(int(128 * self.width), name="conv0")(x, train)
        x = self.layer(int(768 * self.width), FIVE, name="conv1")(x, train)
        x = Dense(self.num_classes, dtype=self.dtype, name="fc")(global_avg_pool(x))
        return x.astype(jnp.float32)


class InceptionV3(nn.Module):
    """299×299: a stem to 35×35×192, eleven modules at 35, 17 and 8, average pool, head.

    Attributes:
        num_classes: width of the head; None returns the endpoints stem1, stem2 (strides 2, 4),
            mixed5b…5d (8), 6a…6e (16), 7a…7c (32).
        auxiliary: a second classifier behind mixed6e. In training its logits are put (with
            `flax.linen.Module.sow`) into the collection "aux_logits" as "aux"; the loss is
            main + 0.4 · aux (`AUXILIARY_WEIGHTS`). In evaluation they are not computed.
        width: multiplier of all channels.
        dropout_rate: before the head.
        norm, conv: layers.
        dtype: compute dtype.

    Call: images (N, H, W, C) of at least 75×75 → logits (N, num_classes), float32. Needs the rng
    "dropout" in training.
    """

    num_classes: int | None = 1000
    auxiliary: bool = False
    width: float = 1.0
    dropout_rate: float = 0.5
    norm: Callable[..., nn.Module] = BatchNorm
    conv: Callable[..., nn.Module] = Conv
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False):
        check_images(self, x, smallest=75, stem="conv1a/conv")
        norm = partial(self.norm, epsilon=1e-3)
        layer = partial(ConvNorm, norm=norm, conv=self.conv, dtype=self.dtype)
        scale = lambda channels: int(channels * self.width)  # noqa: E731
        endpoints = OrderedDict()
        x = layer(scale(32), THREE, strides=2, name="conv1a")(x, train)
        x = layer(scale(32), THREE, name="conv2a")(x, train)
        x = endpoints["stem1"] = layer(scale(64), THREE, padding=1, name="conv2b")(x, train)
        x = max_pool(x, (3, 3), strides=2)
        x = layer(scale(80), name="conv3b")(x, train)
        x = endpoints["stem2"] = layer(scale(192), THREE, name="conv4a")(x, train)
        x = max_pool(x, (3, 3), strides=2)
        for name, (paths, pool) in MODULES.items():
            paths = tuple(tuple(scale_step(s, self.width) for s in path) for path in paths)
            x = Branches(paths, scale(pool), layer, name=name)(x, train)
            endpoints[name] = x
            if name == "mixed6e":
                self._auxiliary(x, layer, train)
        if self.num_classes is None:
            return endpoints
        x = Dropout(self.dropout_rate, name="dropout")(global_avg_pool(x), train=train)
        return Dense(self.num_classes, dtype=self.dtype, name="head")(x).astype(jnp.float32)

    def _auxiliary(self, x: jax.Array, layer: Callable, train: bool) -> None:
        if not self.auxiliary or self.num_classes is None:
            return
        if not (train or self.is_initializing()):
            return
        if min(x.shape[1:3]) < 17:
            raise ValueError(
                "InceptionV3: the auxiliary classifier needs images of at least 299 pixels, "
                f"got a map of {x.shape[1:3]} where it stands (17×17 at least)."
            )
        head = AuxiliaryHead(self.num_classes, self.width, layer, self.dtype, name="aux_head")
        logits = head(x, train)
        if not self.is_initializing():
            self.sow("aux_logits", "aux", logits, lambda old, new: new, lambda: None)


# torchvision's published network first turns images that are normalized with ImageNet's statistics
# into (x − 0.5) / 0.5 (its transform_input); the weights are TensorFlow's.
@register(
    parameters=23_834_568,
    macs=5_713_216_096,
    paper=papers.INCEPTION_V3,
    input_size=299,
    mean=HALF,
    std=HALF,
    weights=("torchvision inception_v3", "timm inception_v3"),
    feature_strides={
        "stem1": 2,
        "stem2": 4,
        **{name: {"5": 8, "6": 16, "7": 32}[name[5]] for name in MODULES},
    },
    auxiliary=AUXILIARY_WEIGHTS,
    published="ImageNet top-1 error 21.2 %",
)
def inception_v3(
    *, num_classes: int | None = 1000, name: str | None = None, **fields: Any
) -> InceptionV3:
    """Inception-v3; ``fields`` of `InceptionV3`."""
    return InceptionV3(num_classes=num_classes, name=name, **fields)
