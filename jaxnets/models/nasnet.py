"""NASNet-A: two cells that a search found on CIFAR-10, stacked for CIFAR and for ImageNet.

Source: Zoph, Vasudevan, Shlens, Le, "Learning Transferable Architectures for Scalable Image
Recognition", 2017, figures 2 and 4, section 3; padding, stems and skips of the released TensorFlow
networks. timm's port counts the zeros of the padding in the average poolings of
stride 2, which the released networks and Cadene's port leave out, as here: with equal weights its
logits differ from these by parts in a thousand.
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
from jaxnets.models.nasnet_cells import NASNET_A, Cell, Genotype
from jaxnets.models.registry import HALF, register
from jaxnets.nn import BatchNorm, Conv, Dense, Dropout
from jaxnets.ops import avg_pool, global_avg_pool, relu, stochastic_depth

# Fields of the networks of tables 1 and 2; those of the large one are the defaults.
MOBILE = {"cells": 4, "features": 1056, "stem_width": 32}
CIFAR = {"cells": 6, "features": 768, "stem_width": 96, "imagenet": False}
# Of the authors' released training code (TensorFlow slim, train_image_classifier.py).
AUXILIARY_WEIGHTS = {"aux": 0.4}


class CellStage(nn.Module):
    """Normal cells one after another, "block0", "block1", …: each sees the two maps before it.

    Attributes:
        cell: makes a cell, called as ``cell(name=…)(x, prev, train, drop)``.

    Call: (x, prev, train, drops), a function or None for each cell → the last map and the one
    before it.
    """

    cell: Callable[..., nn.Module]

    @nn.compact
    def __call__(
        self, x: jax.Array, prev: jax.Array, train: bool, drops: Sequence[Callable | None]
    ) -> tuple[jax.Array, jax.Array]:
        for j, drop in enumerate(drops):
            prev, x = x, self.cell(name=f"block{j}")(x, prev, train, drop)
        return x, prev


class AuxiliaryHead(nn.Module):
    """A classifier on a map in the middle: pool to 5×5, 1×1 to 128, over all of it to 768, classes.

    Attributes:
        num_classes: its width.
        conv, norm: layers.
        dtype: compute dtype.
    """

    num_classes: int
    conv: Callable[..., nn.Module]
    norm: Callable[..., nn.Module]
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        if min(x.shape[1:3]) >= 5:
            x = avg_pool(x, (5, 5), strides=3)
        x = relu(self.norm(name="bn0")(self.conv(128, (1, 1), name="conv0")(x), train=train))
        x = self.conv(768, x.shape[1:3], name="conv1")(x)
        x = global_avg_pool(relu(self.norm(name="bn1")(x, train=train)))
        return Dense(self.num_classes, dtype=self.dtype, name="fc")(x).astype(jnp.float32)


class NASNetA(nn.Module):
    """Stem, then three stages of normal cells with a reduction cell before the second and third.

    Attributes:
        num_classes: width of the head; None returns the endpoints stem, stage1, stage2, stage3
            (strides 2, 8, 16, 32; for CIFAR 1, 1, 2, 4).
        cells: normal cells in each stage, N.
        features: filters of the last layer, as in "N @ features"; the cells of the first stage
            have features/24.
        imagenet: 3×3/2 stem and two more reduction cells; otherwise a 3×3 convolution.
        stem_width: channels of the first convolution.
        skip_reduction: the first cell of a stage takes as its second input not the map before the
            reduction but the one before that (the released large network).
        drop_path: highest probability to drop an operation's output in training; it grows linearly
            from cell to cell, and with ``progress``.
        dropout_rate: before the head.
        auxiliary: a second classifier behind the second stage. In training its logits are put into
            "aux_logits" as "aux"; the loss is main + 0.4 · aux (`AUXILIARY_WEIGHTS`).
        genotype: the cells; other ones than NASNet-A's come from a search
            (`jaxnets.nas.cell_space`).
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
    stem_width: int = 96
    skip_reduction: bool = False
    drop_path: float = 0.0
    dropout_rate: float = 0.5
    auxiliary: bool = False
    genotype: Genotype = NASNET_A
    norm: Callable[..., nn.Module] = BatchNorm
    conv: Callable[..., nn.Module] = Conv
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False, progress: float | jax.Array = 1.0):
        check_images(self, x, smallest=32 if self.imagenet else 8, stem="stem/conv")
        conv = partial(self.conv, use_bias=False, dtype=self.dtype)
        norm = partial(self.norm, epsilon=1e-3, dtype=self.dtype)
        cell = partial(Cell, conv=conv, norm=norm, genotype=self.genotype)
        filters, total = self.features // 24, 3 * self.cells + 2 + (2 if self.imagenet else 0)
        endpoints = OrderedDict()
        # Of every cell, in the order of computation.
        shares = (number / total * progress for number in range(1, total + 1))
        drops = (self._dropper(share) if train else None for share in shares)

        strides, padding = (2, 0) if self.imagenet else (1, 1)
        stem = partial(ConvNorm, strides=strides, padding=padding, activation=None)
        stem = partial(stem, norm=norm, conv=conv, dtype=self.dtype, name="stem")
        x = prev = endpoints["stem"] = stem(self.stem_width, (3, 3))(x, train)
        if self.imagenet:
            first = cell(filters // 4, True, raw_prev=True, name="stem_cell0")
            prev, x = x, first(x, x, train, next(drops))
            second = cell(filters // 2, True, name="stem_cell1")
            prev, x = x, second(x, prev, train, next(drops))
        for i in range(3):
            if i > 0:
                reduction = cell(filters * 2**i, True, name=f"reduction{i}")
                reduced = reduction(x, prev, train, next(drops))
                prev, x = prev if self.skip_reduction else x, reduced
            stage = CellStage(partial(cell, filters * 2**i, False), name=f"stage{i + 1}")
            x, prev = stage(x, prev, train, [next(drops) for _ in range(self.cells)])
            endpoints[f"stage{i + 1}"] = relu(x)
            if i == 1:
                self._auxiliary(relu(x), conv, norm, train)
        if self.num_classes is None:
            return endpoints
        x = Dropout(self.dropout_rate, name="dropout")(global_avg_pool(relu(x)), train=train)
        return Dense(self.num_classes, dtype=self.dtype, name="head")(x).astype(jnp.float32)

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
        logits = AuxiliaryHead(self.num_classes, conv, norm, self.dtype, name="aux_head")(x, train)
        if not self.is_initializing():
            self.sow("aux_logits", "aux", logits, lambda old, new: new, lambda: None)


_nasnet = partial(register, paper=papers.NASNET, mean=HALF, std=HALF, auxiliary=AUXILIARY_WEIGHTS)
_STRIDES = {"stem": 2, "stage1": 8, "stage2": 16, "stage3": 32}


@_nasnet(
    parameters=88_753_150,
    macs=23_783_414_658,
    input_size=331,
    weights=("timm nasnetalarge", "Cadene nasnetalarge"),
    feature_strides=_STRIDES,
    published="ImageNet top-1/top-5 accuracy 82.7/96.2 %",
)
def nasnet_a_large(
    *, num_classes: int | None = 1000, name: str | None = None, **fields: Any
) -> NASNetA:
    """NASNet-A (6 @ 4032); ``fields`` of `NASNetA`."""
    return NASNetA(num_classes=num_classes, name=name, **{"skip_reduction": True, **fields})


@_nasnet(
    parameters=5_289_978,
    macs=563_638_816,
    weights=("Cadene nasnetamobile",),
    feature_strides=_STRIDES,
    published="ImageNet top-1/top-5 accuracy 74.0/91.6 %",
)
def nasnet_a_mobile(
    *, num_classes: int | None = 1000, name: str | None = None, **fields: Any
) -> NASNetA:
    """NASNet-A (4 @ 1056); ``fields`` of `NASNetA`."""
    return NASNetA(num_classes=num_classes, name=name, **{**MOBILE, **fields})


@_nasnet(
    parameters=3_328_234,
    macs=525_786_624,
    input_size=32,
    feature_strides={"stem": 1, "stage1": 1, "stage2": 2, "stage3": 4},
    published="CIFAR-10 test error 3.41 % (2.65 % with cutout)",
)
def nasnet_a_cifar(
    *, num_classes: int | None = 10, name: str | None = None, **fields: Any
) -> NASNetA:
    """NASNet-A (6 @ 768) for CIFAR-10; ``fields`` of `NASNetA`."""
    return NASNetA(num_classes=num_classes, name=name, **{**CIFAR, **fields})
