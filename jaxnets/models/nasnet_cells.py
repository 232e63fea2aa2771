"""The two cells of NASNet-A, normal and reduction, that a search found on CIFAR-10.

Source: Zoph, Vasudevan, Shlens, Le, "Learning Transferable Architectures for Scalable Image
Recognition", 2017, figure 4; padding and squeezes of the released TensorFlow networks.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxnets.ops import avg_pool, max_pool, relu
from jaxnets.ops.half_bits import concatenate

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

Pair = tuple[tuple[str, Any], tuple[str, Any]]


class Genotype(NamedTuple):
    """Two cells: pairs of (operation, source), and what is put side by side at the end.

    Attributes:
        normal, reduction: pairs as in `NORMAL`: operations "identity", "sep3", "avg3", "max3" and
            the like, sources "x", "prev" or the number of an earlier pair.
        normal_outputs, reduction_outputs: sources that make up the cell's map.
    """

    normal: tuple[Pair, ...]
    reduction: tuple[Pair, ...]
    normal_outputs: tuple[Any, ...]
    reduction_outputs: tuple[Any, ...]


NASNET_A = Genotype(NORMAL, REDUCTION, NORMAL_OUTPUTS, REDUCTION_OUTPUTS)


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
            x = concatenate([left, right], axis=-1)
        else:
            x = self.conv(self.features, (1, 1), name="conv")(x)
        return self.norm(name="bn")(x, train=train)


class Cell(nn.Module):
    """A normal or a reduction cell of ``features`` filters.

    Attributes:
        features: filters of each operation.
        reduction: which of the two.
        raw_prev: take ``prev`` as it is (the first cell of the stem has only one input).
        genotype: what the cells are made of.
        conv, norm: layers.

    Call: (x, prev, train, drop) → map; ``drop`` drops operations' outputs in training or is None.
    """

    features: int
    reduction: bool
    conv: Callable[..., nn.Module]
    norm: Callable[..., nn.Module]
    raw_prev: bool = False
    genotype: Genotype = NASNET_A

    @nn.compact
    def __call__(self, x: jax.Array, prev: jax.Array, train: bool, drop: Callable | None):
        squeeze = partial(Squeeze, self.features, conv=self.conv, norm=self.norm)
        halve = prev.shape[1] != x.shape[1]
        values: dict[Any, jax.Array] = {"x": squeeze(halve=False, name="squeeze")(x, train)}
        values["prev"] = (
            prev if self.raw_prev else squeeze(halve=halve, name="squeeze_prev")(prev, train)
        )
        found = self.genotype
        for i, pair in enumerate(found.reduction if self.reduction else found.normal):
            results = []
            for side, (operation, source) in zip(("left", "right"), pair, strict=True):
                strides = 2 if self.reduction and source in ("x", "prev") else 1
                y = self._operate(values[source], operation, strides, f"pair{i}_{side}", train)
                if drop is not None and operation != "identity":
                    y = drop(y)
                results.append(y)
            values[i] = results[0] + results[1]
        outputs = found.reduction_outputs if self.reduction else found.normal_outputs
        return concatenate([values[o] for o in outputs], axis=-1)

    def _operate(self, x: jax.Array, operation: str, strides: int, name: str, train: bool):
        if operation == "identity":
            if strides == 1:
                return x
            return Squeeze(self.features, True, self.conv, self.norm, name=name)(x, train)
        kind, kernel = operation[:3], int(operation[3:])
        if kind == "sep":
            layer = Separable(self.features, kernel, strides, self.conv, self.norm, name=name)
            return layer(x, train)
        padding, window = same_padding(x, kernel, strides), (kernel, kernel)
        if kind == "max":
            return max_pool(x, window, strides=strides, padding=padding)
        return avg_pool(x, window, strides=strides, padding=padding, count_include_pad=False)
