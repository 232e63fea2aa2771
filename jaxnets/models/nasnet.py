"""NASNet-A: two cells that a search found on CIFAR-10, stacked for CIFAR and for ImageNet.

Source: Zoph, Vasudevan, Shlens, Le, "Learning Transferable Architectures for Scalable Image
Recognition", 2017, figures 2 and 4, section 3; padding, stems and skips of the released TensorFlow
networks. timm's port counts the zeros of the padding in the average poolings of
stride 2, which the released networks and Cadene's port leave out, as here: with equal weights its
logits differ from these by parts in a thousand.
"""

from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxnets.models.checks import check_images
from jaxnets.models.registry import HALF, ModelInfo, register
from jaxnets.nn import BatchNorm, Conv, Dense, Dropout
from jaxnets.ops import avg_pool, global_avg_pool, max_pool, relu, stochastic_depth

# Figure 4. A pair is added; an operation reads "x" (the cell before), "prev" (the one before that)
# or an earlier pair; "sep5" is a separable 5×5 convolution. Stride 2 is on what reads x or prev.
NORMAL = (
    (("sep5", "x"), ("sep3", "prev")),
    (("sep5", "prev"), ("sep3", "prev")),
    (("avg3", "x"), ("identity", "prev")),
    (("avg3", "prev"), ("avg3", "prev")),
    (("sep3", "x"), ("identity", "x")),
)
REDUCTION = (
    (("sep5", "x"), ("sep7", "prev")),
    (("max3", "x"), ("sep7", "prev")),
    (("avg3", "x"), ("sep5", "prev")),
    (("avg3", 0), ("identity", 1)),
    (("sep3", 0), ("max3", "x")),
)
NORMAL_OUTPUTS = ("prev", 0, 1, 2, 3, 4)
REDUCTION_OUTPUTS = (1, 2, 3, 4)
# Of the authors' released training code (TensorFlow slim, train_image_classifier.py).
AUXILIARY_WEIGHTS = {"aux": 0.4}


def same_padding(x: jax.Array, kernel: int, strides: int) -> list[tuple[int, int]]:
    """TensorFlow's "SAME": ⌈n/stride⌉ outputs, what is odd of the padding goes behind.

    >>> same_padding(jnp.zeros((1, 6, 7, 1)), 5, 2)
    [(1, 2), (2, 2)]
    """
    pads = [max((-(-n // strides) - 1) * strides + kernel - n, 0) for n in x.shape[1:3]]
    return [(p // 2, p - p // 2) for p in pads]


class Separable(nn.Module):
    """Twice: ReLU, depthwise k×k, 1×1, normalization; the stride is in the first."""

    features: int
    kernel: int
    strides: int
    conv: Callable[..., nn.Module]
    norm: Callable[..., nn.Module]

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        k = self.kernel
        for i, strides in ((1, self.strides), (2, 1)):
            x, channels = relu(x), x.shape[-1]
            padding = same_padding(x, k, strides)
            x = self.conv(
                *(channels, (k, k)),
                strides=strides,
                padding=padding,
                groups=channels,
                name=f"depthwise{i}",
            )(x)
            x = self.conv(self.features, (1, 1), name=f"pointwise{i}")(x)
            x = self.norm(name=f"bn{i}")(x, train=train)
        return x


class Squeeze(nn.Module):
    """ReLU, 1×1 to ``features``, normalization.

    ``halve``: two 1×1 convolutions of half the channels on every second pixel, the second one's
    shifted by one, side by side (factorized reduction), so that no pixel on the diagonal is lost.
    """

    features: int
    halve: bool
    conv: Callable[..., nn.Module]
    norm: Callable[..., nn.Module]

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        x = relu(x)
        if self.halve:
            half = self.features // 2
            shifted = jnp.pad(x[:, 1:, 1:], [(0, 0), (0, 1), (0, 1), (0, 0)])
            left = self.conv(half, (1, 1), name="conv_even")(x[:, ::2, ::2])
            right = self.conv(self.features - half, (1, 1), name="conv_odd")(shifted[:, ::2, ::2])
            x = jnp.concatenate([left, right], axis=-1)
        else:
            x = self.conv(self.features, (1, 1), name="conv")(x)
        return self.norm(name="bn")(x, train=train)


class Cell(nn.Module):
    """A normal or a reduction cell of ``features`` filters.

    Args (fields):
        features: filters of each operation.
        reduction: which of the two.
        raw_prev: take ``prev`` as it is (the first cell of the stem has only one input).
        conv, norm: layers.

    Call: (x, prev, train, drop) → map; ``drop`` drops operations' outputs in training or is None.
    """

    features: int
    reduction: bool
    conv: Callable[..., nn.Module]
    norm: Callable[..., nn.Module]
    raw_prev: bool = False

    @nn.compact
    def __call__(self, x: jax.Array, prev: jax.Array, train: bool, drop: Callable | None):
        squeeze = partial(Squeeze, self.features, conv=self.conv, norm=self.norm)
        halve = prev.shape[1] != x.shape[1]
        values: dict[Any, jax.Array] = {"x": squeeze(halve=False, name="squeeze")(x, train)}
        values["prev"] = (
            prev if self.raw_prev else squeeze(halve=halve, name="squeeze_prev")(prev, train)
        )
        for i, pair in enumerate(REDUCTION if self.reduction else NORMAL):
            results = []
            for side, (operation, source) in zip(("left", "right"), pair, strict=True):
                strides = 2 if self.reduction and source in ("x", "prev") else 1
                y = self._operate(values[source], operation, strides, f"pair{i}_{side}", train)
                if drop is not None and operation != "identity":
                    y = drop(y)
                results.append(y)
            values[i] = results[0] + results[1]
        outputs = REDUCTION_OUTPUTS if self.reduction else NORMAL_OUTPUTS
        return jnp.concatenate([values[o] for o in outputs], axis=-1)

    def _operate(self, x: jax.Array, operation: str, strides: int, name: str, train: bool):
        if operation == "identity":
            return x
        kind, kernel = operation[:3], int(operation[3:])
        if kind == "sep":
            layer = Separable(self.features, kernel, strides, self.conv, self.norm, name=name)
            return layer(x, train)
        padding, window = same_padding(x, kernel, strides), (kernel, kernel)
        if kind == "max":
            return max_pool(x, window, strides=strides, padding=padding)
        return avg_pool(x, window, strides=strides, padding=padding, count_include_pad=False)


class NASNetA(nn.Module):
    """Stem, then three stacks of normal cells with a reduction cell before the second and third.

    Args (fields):
        num_classes: width of the classifier; None returns the endpoints stem, stack1, stack2,
            stack3 (strides 2, 8, 16, 32; for CIFAR 1, 1, 2, 4).
        cells: normal cells in each stack, N.
        features: filters of the last layer, as in "N @ features"; the cells of the first stack
            have features/24.
        imagenet: 3×3/2 stem and two more reduction cells; otherwise a 3×3 convolution.
        stem: channels of the first convolution.
        skip_reduction: the first cell of a stack takes as its second input not the map before the
            reduction but the one before that (the released large network).
        drop_path: highest probability to drop an operation's output in training; it grows linearly
            from cell to cell, and with ``progress``.
        dropout_rate: before the classifier.
        auxiliary: a second classifier behind the second stack. In training its logits are put into
            "aux_logits" as "aux"; the loss is main + 0.4 · aux (`AUXILIARY_WEIGHTS`).
        norm, conv: layers.
        dtype: compute dtype.

    Call: images (N, H, W, C) of at least 32×32; ``progress`` is the share of training that is
    done, for scheduled drop-path → logits (N, num_classes), float32. Updates "batch_stats" where
    ``train`` is set; needs the rng "dropout" then.
    """

    num_classes: int | None = 1000
    cells: int = 6
    features: int = 4032
    imagenet: bool = True
    stem: int = 96
    skip_reduction: bool = False
    drop_path: float = 0.0
    dropout_rate: float = 0.5
    auxiliary: bool = False
    norm: Callable[..., nn.Module] = BatchNorm
    conv: Callable[..., nn.Module] = Conv
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False, progress: float | jax.Array = 1.0):
        check_images(self, x, smallest=32 if self.imagenet else 8, stem="conv0")
        conv = partial(self.conv, use_bias=False, dtype=self.dtype)
        norm = partial(self.norm, epsilon=1e-3, dtype=self.dtype)
        cell = partial(Cell, conv=conv, norm=norm)
        filters, total = self.features // 24, 3 * self.cells + 2 + (2 if self.imagenet else 0)
        endpoints, number = OrderedDict(), 0

        def run(layer: nn.Module, x: jax.Array, prev: jax.Array) -> jax.Array:
            nonlocal number
            number += 1
            drop = self._dropper(number / total * progress) if train else None
            return layer(x, prev, train, drop)

        strides, padding = (2, 0) if self.imagenet else (1, 1)
        x = conv(self.stem, (3, 3), strides=strides, padding=padding, name="conv0")(x)
        x = prev = endpoints["stem"] = norm(name="bn0")(x, train=train)
        if self.imagenet:
            first = cell(filters // 4, True, raw_prev=True, name="stem_cell0")
            prev, x = x, run(first, x, x)
            prev, x = x, run(cell(filters // 2, True, name="stem_cell1"), x, prev)
        for i in range(3):
            before = prev
            if i > 0:
                reduced = run(cell(filters * 2**i, True, name=f"reduction{i}"), x, prev)
                prev, x = before if self.skip_reduction else x, reduced
            for j in range(self.cells):
                layer = cell(filters * 2**i, False, name=f"stack{i + 1}_cell{j}")
                y = run(layer, x, prev)
                prev, x = x, y
            endpoints[f"stack{i + 1}"] = relu(x)
            if i == 1:
                self._auxiliary(relu(x), conv, norm, train)
        if self.num_classes is None:
            return endpoints
        x = Dropout(self.dropout_rate, name="dropout")(global_avg_pool(relu(x)), train=train)
        return Dense(self.num_classes, dtype=self.dtype, name="fc")(x).astype(jnp.float32)

    def _dropper(self, share: float | jax.Array) -> Callable[[jax.Array], jax.Array] | None:
        """Drops the whole map of an example with probability drop_path · share, and rescales."""
        if self.drop_path == 0.0:
            return None
        rate = self.drop_path * share
        return lambda y: stochastic_depth(self.make_rng("dropout"), y, rate)

    def _auxiliary(self, x: jax.Array, conv: Callable, norm: Callable, train: bool) -> None:
        if not self.auxiliary or self.num_classes is None:
            return
        if not (train or self.is_initializing()):
            return
        if min(x.shape[1:3]) >= 5:
            x = avg_pool(x, (5, 5), strides=3)
        x = relu(norm(name="aux_bn0")(conv(128, (1, 1), name="aux_conv0")(x), train=train))
        x = conv(768, x.shape[1:3], name="aux_conv1")(x)
        x = global_avg_pool(relu(norm(name="aux_bn1")(x, train=train)))
        x = Dense(self.num_classes, dtype=self.dtype, name="aux_fc")(x)
        if not self.is_initializing():
            logits = x.astype(jnp.float32)
            self.sow("aux_logits", "aux", logits, lambda old, new: new, lambda: None)


def _nasnet(name: str, input_size: int, parameters: int, macs: int, published: str, **fields: Any):
    strides = {"stem": 2, "stack1": 8, "stack2": 16, "stack3": 32}
    if not fields.get("imagenet", True):
        strides = {"stem": 1, "stack1": 1, "stack2": 2, "stack3": 4}
    info = ModelInfo(
        name=name,
        family="nasnet",
        paper="Zoph, Vasudevan, Shlens, Le, Learning Transferable Architectures for Scalable Image "
        "Recognition",
        year=2017,
        input_size=input_size,
        channels=3,
        mean=HALF,
        std=HALF,
        parameters=parameters,
        macs=macs,
        weights=fields.pop("weights", ()),
        feature_strides=strides,
        auxiliary=AUXILIARY_WEIGHTS,
        published=published,
    )
    return register(info, NASNetA, fields)


nasnet_a_large = _nasnet(
    *("nasnet_a_large", 331, 88_753_150, 23_783_414_658),
    "ImageNet top-1/top-5 accuracy 82.7/96.2 %",
    weights=("timm nasnetalarge", "Cadene nasnetalarge"),
    skip_reduction=True,
)
nasnet_a_mobile = _nasnet(
    *("nasnet_a_mobile", 224, 5_289_978, 563_638_816),
    "ImageNet top-1/top-5 accuracy 74.0/91.6 %",
    weights=("Cadene nasnetamobile",),
    cells=4,
    features=1056,
    stem=32,
)
nasnet_a_cifar = _nasnet(
    *("nasnet_a_cifar", 32, 3_328_234, 525_786_624),
    "CIFAR-10 test error 3.41 % (2.65 % with cutout)",
    num_classes=10,
    cells=6,
    features=768,
    imagenet=False,
    stem=96,
)
