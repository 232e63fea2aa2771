"""FractalNet: very deep without residuals, by paths of many lengths that are joined and dropped.

Source: Larsson, Maire, Shakhnarovich, "FractalNet: Ultra-Deep Neural Networks without Residuals",
2016, section 2, figures 1 and 2.
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
from jaxnets.models.registry import register
from jaxnets.nn import BatchNorm, Conv, Dense, Dropout
from jaxnets.ops import global_avg_pool, join_paths, keep_paths, max_pool


class FractalBlock(nn.Module):
    """f_1 = conv; f_{C+1} = join(f_C ∘ f_C, conv): C columns, of 1, 2, 4, … 2^(C−1) convolutions.

    Column c (from 0) has 2^c convolutions; where several columns end a convolution together, they
    are joined and all go on from the join.

    Attributes:
        features: channels.
        columns: C.
        only: run this column alone, as a plain network.
        layer: convolution with normalization and activation.
    """

    features: int
    columns: int
    only: int | None
    layer: Callable[..., nn.Module]

    @nn.compact
    def __call__(self, x: jax.Array, train: bool, keep: Callable | None) -> jax.Array:
        state, steps = [x] * self.columns, 2 ** (self.columns - 1)
        for step in range(1, steps + 1):
            # Column c ends a convolution every 2^(C − 1 − c) steps.
            done = [c for c in range(self.columns) if step % 2 ** (self.columns - 1 - c) == 0]
            if self.only is not None:
                done = [c for c in done if c == self.only]
            if not done:
                continue
            outputs = []
            for c in done:
                name = f"column{c}_conv{step * 2**c // steps}"
                conv = self.layer(self.features, (3, 3), padding=1, name=name)
                outputs.append(conv(state[c], train))
            joined = join_paths(outputs, keep(done) if keep and len(done) > 1 else None)
            for c in done:
                state[c] = joined
        return joined


class FractalNet(nn.Module):
    """A fractal block a stage, 2×2 max pooling after each, a linear head.

    Attributes:
        num_classes: width of the head; None returns the endpoints stage1, stage2, … (before
            their pooling, strides 1, 2, 4, …).
        widths: channels of each block.
        columns: C; the longest path has blocks · 2^(C−1) convolutions.
        drop_path: in training, the share of joins' inputs that local sampling drops.
        global_share: share of the examples that train one column through the whole network
            ("global" drop-path) instead of local sampling.
        dropout_rates: of each block, after its convolutions' activations.
        column: evaluate this column alone, through all blocks (the last is the deepest).
        norm, conv: layers.
        dtype: compute dtype.

    Call: images (N, H, W, C) of at least 2^(blocks − 1) pixels → logits (N, num_classes), float32.
    Updates "batch_stats" where ``train`` is set; needs the rng "dropout" then.
    """

    num_classes: int | None = 10
    widths: Sequence[int] = (64, 128, 256, 512, 512)
    columns: int = 3
    drop_path: float = 0.15
    global_share: float = 0.5
    dropout_rates: Sequence[float] = (0.0, 0.1, 0.2, 0.3, 0.4)
    column: int | None = None
    norm: Callable[..., nn.Module] = BatchNorm
    conv: Callable[..., nn.Module] = Conv
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False):
        first = self.columns - 1 if self.column is None else self.column
        stem = f"stage1/column{first}_conv1/conv"
        check_images(self, x, smallest=2 ** len(self.widths), stem=stem)
        if self.column is not None and not 0 <= self.column < self.columns:
            raise ValueError(
                f"FractalNet: column must be None or 0 to {self.columns - 1}, got {self.column}"
            )
        keep = self._sampler(x.shape[0]) if train and self.column is None else None
        endpoints = OrderedDict()
        for i, width in enumerate(self.widths, start=1):
            layer = partial(ConvNorm, norm=self.norm, conv=self.conv, dtype=self.dtype)
            block = FractalBlock(width, self.columns, self.column, layer, name=f"stage{i}")
            x = block(x, train, keep)
            x = Dropout(self.dropout_rates[i - 1], name=f"dropout{i}")(x, train=train)
            endpoints[f"stage{i}"] = x
            x = max_pool(x, (2, 2), strides=2)
        if self.num_classes is None:
            return endpoints
        x = global_avg_pool(x)
        return Dense(self.num_classes, dtype=self.dtype, name="head")(x).astype(jnp.float32)

    def _sampler(self, batch: int) -> Callable[[Sequence[int]], jax.Array] | None:
        """What gives each join its mask: one column an example is drawn here, for all joins."""
        if self.drop_path == 0.0 and self.global_share == 0.0:
            return None
        key_mode, key_column = jax.random.split(self.make_rng("dropout"))
        is_global = jax.random.bernoulli(key_mode, self.global_share, (batch, 1))
        column = jax.random.randint(key_column, (batch,), 0, self.columns)

        def keep(done: Sequence[int]) -> jax.Array:
            local = keep_paths(self.make_rng("dropout"), batch, len(done), self.drop_path)
            chosen = (column[:, None] == jnp.array(done)).astype(jnp.float32)
            # A join without the chosen column does not lie on its path: any value will do.
            chosen = jnp.where(chosen.any(axis=1, keepdims=True), chosen, 1.0)
            return jnp.where(is_global, chosen, local)

        return keep


_fractalnet = partial(
    register,
    paper=papers.FRACTALNET,
    input_size=32,
    feature_strides={f"stage{i}": 2 ** (i - 1) for i in range(1, 6)},
)
# The narrow networks of section 4.2, for CIFAR-100, whose columns are compared.
NARROW = (16, 32, 64, 128, 128)


@_fractalnet(
    parameters=33_724_618,
    macs=845_222_912,
    published="CIFAR-10 test error with augmentation 5.22 %",
)
def fractalnet(
    *, num_classes: int | None = 10, name: str | None = None, **fields: Any
) -> FractalNet:
    """FractalNet of 20 layers for CIFAR-10; ``fields`` of `FractalNet`."""
    return FractalNet(num_classes=num_classes, name=name, **fields)


@_fractalnet(parameters=258_292, macs=4_583_936)
def fractalnet_c1(
    *, num_classes: int | None = 100, name: str | None = None, **fields: Any
) -> FractalNet:
    """A narrow FractalNet with 1 column for CIFAR-100; ``fields`` of `FractalNet`."""
    return FractalNet(
        num_classes=num_classes, name=name, **{"widths": NARROW, "columns": 1, **fields}
    )


@_fractalnet(parameters=847_716, macs=19_182_080)
def fractalnet_c2(
    *, num_classes: int | None = 100, name: str | None = None, **fields: Any
) -> FractalNet:
    """A narrow FractalNet with 2 columns for CIFAR-100; ``fields`` of `FractalNet`."""
    return FractalNet(
        num_classes=num_classes, name=name, **{"widths": NARROW, "columns": 2, **fields}
    )


@_fractalnet(parameters=2_125_204, macs=53_834_240)
def fractalnet_c3(
    *, num_classes: int | None = 100, name: str | None = None, **fields: Any
) -> FractalNet:
    """A narrow FractalNet with 3 columns for CIFAR-100; ``fields`` of `FractalNet`."""
    return FractalNet(
        num_classes=num_classes, name=name, **{"widths": NARROW, "columns": 3, **fields}
    )


@_fractalnet(parameters=4_778_820, macs=128_594_432)
def fractalnet_c4(
    *, num_classes: int | None = 100, name: str | None = None, **fields: Any
) -> FractalNet:
    """A narrow FractalNet with 4 columns for CIFAR-100; ``fields`` of `FractalNet`."""
    return FractalNet(
        num_classes=num_classes, name=name, **{"widths": NARROW, "columns": 4, **fields}
    )


@_fractalnet(parameters=10_184_692, macs=283_570_688)
def fractalnet_c5(
    *, num_classes: int | None = 100, name: str | None = None, **fields: Any
) -> FractalNet:
    """A narrow FractalNet with 5 columns for CIFAR-100; ``fields`` of `FractalNet`."""
    return FractalNet(
        num_classes=num_classes, name=name, **{"widths": NARROW, "columns": 5, **fields}
    )


@_fractalnet(parameters=21_095_076, macs=598_979_072)
def fractalnet_c6(
    *, num_classes: int | None = 100, name: str | None = None, **fields: Any
) -> FractalNet:
    """A narrow FractalNet with 6 columns for CIFAR-100; ``fields`` of `FractalNet`."""
    return FractalNet(
        num_classes=num_classes, name=name, **{"widths": NARROW, "columns": 6, **fields}
    )
