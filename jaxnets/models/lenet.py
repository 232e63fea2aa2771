"""LeNet-5: as everybody builds it today, and as it was in 1998, to the last parameter.

Source: LeCun, Bottou, Bengio, Haffner, "Gradient-Based Learning Applied to Document Recognition",
1998, section II.B, table I, figure 3, appendices A and B.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.models import papers
from jaxnets.models.checks import check_images
from jaxnets.models.registry import register
from jaxnets.nn import Conv, Dense
from jaxnets.ops import avg_pool, max_pool, relu, scaled_tanh
from jaxnets.ops.class_numbers import take_class

# Table I: the S2 maps that each of the 16 maps of C3 sees. Different inputs force the maps to
# extract different features, and keep the number of connections within bounds.
C3_INPUTS = (
    *((0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (0, 4, 5), (0, 1, 5)),
    *((0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5), (0, 3, 4, 5), (0, 1, 4, 5), (0, 1, 2, 5)),
    *((0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5)),
    (0, 1, 2, 3, 4, 5),
)

# After figure 3: the ten digits as stylized 7×12 bitmaps, the targets of the output units.
_BITMAPS = """
..###..  ...##..  .#####.  #######  ....##.  #######  ..####.  #######  .#####.  .#####.
.#...#.  ..###..  ##...##  .....##  ...###.  ##.....  .##....  .....##  ##...##  ##...##
##...##  .####..  .....##  ....##.  ..#.##.  ##.....  ##.....  ....##.  ##...##  ##...##
##...##  ...##..  .....##  ...##..  .##.##.  ##.....  ##.....  ....##.  ##...##  ##...##
##...##  ...##..  .....##  ..####.  ##..##.  ######.  ##.###.  ...##..  .#...#.  ##...##
##...##  ...##..  ....##.  .....##  #######  ##...##  ###..##  ...##..  .#####.  ##..###
##...##  ...##..  ...##..  .....##  ....##.  .....##  ##...##  ..##...  ##...##  .###.##
##...##  ...##..  ..##...  .....##  ....##.  .....##  ##...##  ..##...  ##...##  .....##
##...##  ...##..  .##....  .....##  ....##.  .....##  ##...##  ..##...  ##...##  .....##
.#...#.  ...##..  ##.....  ##...##  ....##.  ##...##  ##...##  .##....  ##...##  ....##.
..###..  .######  #######  .#####.  ....##.  .#####.  .#####.  .##....  .#####.  .####..
.......  .......  .......  .......  .......  .......  .......  .......  .......  .......
"""


def digit_bitmaps() -> np.ndarray:
    """The ten targets of the output layer, (10, 84), +1 for ink and −1 for paper.

    >>> digit_bitmaps().shape
    (10, 84)
    """
    rows = [line.split() for line in _BITMAPS.split("\n") if line]
    ink = np.array([[[c == "#" for c in digit] for digit in row] for row in rows])
    return np.where(ink, 1.0, -1.0).transpose(1, 0, 2).reshape(10, 84).astype(np.float32)


def lecun_uniform(fan_in: int) -> nn.initializers.Initializer:
    """U(−2.4/fan_in, 2.4/fan_in), the initialization of the paper (appendix A)."""

    def init(key, shape, dtype=jnp.float32):
        bound = 2.4 / fan_in
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return init


def to_32(x: jax.Array) -> jax.Array:
    """Bring images to the 32×32 of the paper.

    From 28 to 32 pixels they are centered and surrounded by zeros, as the paper centered its 20×20
    digits so that a stroke's end can lie in the middle of the receptive field of the highest
    feature detectors. All other sizes are resized by bilinear interpolation (with antialias):
    an 8×8 digit has its strokes as wide, relative to the 5×5 kernels, as a digit of MNIST.
    """
    height, width = x.shape[1:3]
    if min(height, width) >= 28 and max(height, width) <= 32:
        top, left = (32 - height) // 2, (32 - width) // 2
        return jnp.pad(x, [(0, 0), (top, 32 - height - top), (left, 32 - width - left), (0, 0)])
    return jax.image.resize(x, (x.shape[0], 32, 32, x.shape[3]), "linear").astype(x.dtype)


class LeNet5(nn.Module):
    """LeNet-5 as it is built today: max pooling, ReLU, complete C3, a linear classifier.

    32×32 → C1 28×28×6 → S2 14×14×6 → C3 10×10×16 → S4 5×5×16 → C5 120 → F6 84 → classes;
    61,706 parameters with one channel and ten classes.

    Attributes:
        num_classes: width of the classifier; None returns the endpoints c1, s2, c3, s4, c5.
        activation: the nonlinearity.
        pool: the pooling, called as ``pool(x, (2, 2), strides=2)``.
        conv: convolution layer, called as ``conv(features, (5, 5), dtype=…, name=…)``.
        dtype: compute dtype.

    Call: images (N, H, W, C) of at least 8×8; sizes other than 32×32 are brought there by
    `to_32` → logits (N, num_classes), float32.
    """

    num_classes: int | None = 10
    activation: Callable[[jax.Array], jax.Array] = relu
    pool: Callable[..., jax.Array] = max_pool
    conv: Callable[..., nn.Module] = Conv
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False):
        check_images(self, x, smallest=8, stem="c1")
        endpoints = OrderedDict()
        x = to_32(x)
        x = self.activation(self.conv(6, (5, 5), dtype=self.dtype, name="c1")(x))
        endpoints["c1"] = x
        x = endpoints["s2"] = self.pool(x, (2, 2), strides=2)
        x = self.activation(self.conv(16, (5, 5), dtype=self.dtype, name="c3")(x))
        endpoints["c3"] = x
        x = endpoints["s4"] = self.pool(x, (2, 2), strides=2)
        x = self.activation(self.conv(120, (5, 5), dtype=self.dtype, name="c5")(x))
        endpoints["c5"] = x
        if self.num_classes is None:
            return endpoints
        x = x.reshape(x.shape[0], -1)
        x = self.activation(Dense(84, dtype=self.dtype, name="f6")(x))
        return Dense(self.num_classes, dtype=self.dtype, name="output")(x).astype(jnp.float32)


class Subsample(nn.Module):
    """Trainable sub-sampling: y = coefficient · (sum of a 2×2 patch) + bias, per channel.

    Attributes:
        dtype: compute dtype.
    """

    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        shape = (x.shape[-1],)
        coefficient = self.param("coefficient", lecun_uniform(4), shape)
        bias = self.param("bias", nn.initializers.zeros_init(), shape)
        x, coefficient, bias = nn.dtypes.promote_dtype(x, coefficient, bias, dtype=self.dtype)
        return 4.0 * avg_pool(x, (2, 2), strides=2) * coefficient + bias


class PartialConv(nn.Module):
    """A 5×5 convolution whose every output map sees only the input maps that a table gives it.

    Only the kernels of the table are parameters, (5, 5, number of connections); they are laid into
    a dense kernel whose other entries are zero.

    Attributes:
        inputs: for every output map, the input maps that it sees.
        conv: convolution layer whose ``algorithm`` computes it.
        dtype: compute dtype.
    """

    inputs: tuple[tuple[int, ...], ...]
    conv: Callable[..., nn.Module] = Conv
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        source = np.concatenate([np.array(maps) for maps in self.inputs])
        target = np.repeat(np.arange(len(self.inputs)), [len(maps) for maps in self.inputs])
        fan_in = np.repeat([len(maps) for maps in self.inputs], [len(m) for m in self.inputs]) * 25

        def init(key, shape, dtype=jnp.float32):
            return jax.random.uniform(key, shape, dtype, -1, 1) * (2.4 / fan_in).astype(dtype)

        kernels = self.param("kernel", init, (5, 5, len(source)))
        dense = jnp.zeros((5, 5, x.shape[-1], len(self.inputs)), kernels.dtype)
        dense = dense.at[:, :, source, target].set(kernels)
        bias = self.param("bias", nn.initializers.zeros_init(), (len(self.inputs),))
        layer = self.conv(len(self.inputs), (5, 5), dtype=self.dtype, parent=None)
        return layer.apply({"params": {"kernel": dense, "bias": bias}}, x)


class LeNet5Original(nn.Module):
    """LeNet-5 of 1998: exactly 60,000 trainable parameters, 340,908 connections.

    Layer by layer, trainable parameters: C1 156, S2 12, C3 1,516 (partial, `C3_INPUTS`), S4 32,
    C5 48,120, F6 10,164. The output layer has none: unit i is the squared distance of F6's 84
    states from the fixed bitmap of digit i. The logits are the negative penalties, so that argmax
    and cross-entropy work as for any network; `map_loss` is the criterion of the paper.

    Attributes:
        num_classes: 10, one for each bitmap; None returns the endpoints c1, s2, c3, s4, c5, f6.
        conv: convolution layer.
        dtype: compute dtype.

    Call: images (N, H, W, 1) of at least 8×8, brought to 32×32 by `to_32` → logits (N, 10),
    float32: −Σⱼ(xⱼ − wᵢⱼ)².
    """

    num_classes: int | None = 10
    conv: Callable[..., nn.Module] = Conv
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False):
        if self.num_classes not in (None, 10):
            raise ValueError(
                f"lenet5_1998: num_classes must be 10 (its output units are the bitmaps of the ten "
                f"digits), got {self.num_classes}. Take lenet5 for other classes."
            )
        check_images(self, x, smallest=8, channels=1)
        endpoints = OrderedDict()
        conv = self._conv
        x = endpoints["c1"] = scaled_tanh(conv(6, fan_in=25, name="c1")(to_32(x)))
        x = endpoints["s2"] = scaled_tanh(Subsample(self.dtype, name="s2")(x))
        x = PartialConv(C3_INPUTS, conv=self.conv, dtype=self.dtype, name="c3")(x)
        x = endpoints["c3"] = scaled_tanh(x)
        x = endpoints["s4"] = scaled_tanh(Subsample(self.dtype, name="s4")(x))
        x = endpoints["c5"] = scaled_tanh(conv(120, fan_in=400, name="c5")(x))
        x = x.reshape(x.shape[0], -1)
        init = lecun_uniform(120)
        x = scaled_tanh(Dense(84, kernel_init=init, dtype=self.dtype, name="f6")(x))
        endpoints["f6"] = x
        if self.num_classes is None:
            return endpoints
        distance = x.astype(jnp.float32)[:, None, :] - digit_bitmaps()
        return -jnp.sum(distance**2, axis=-1)

    def _conv(self, features: int, *, fan_in: int, name: str) -> nn.Module:
        init = lecun_uniform(fan_in)
        return self.conv(features, (5, 5), kernel_init=init, dtype=self.dtype, name=name)


class LeNetCaffe(nn.Module):
    """The LeNet-5 that came with Caffe, and that papers on compression mean by the name.

    28×28 → conv1 24×24×20 → 12×12 → conv2 8×8×50 → 4×4 → fc1 500, ReLU → classes: 431,080
    parameters with one channel and ten classes, seven times those of 1998. The convolutions have no
    nonlinearity but the pooling's.

    Attributes:
        num_classes: width of the classifier; None returns the endpoints conv1, pool1, conv2, pool2.
        widths: channels of the two convolutions, and width of the hidden layer.
        pool: the pooling, called as ``pool(x, (2, 2), strides=2)``.
        conv: convolution layer, called as ``conv(features, (5, 5), dtype=…, name=…)``.
        dtype: compute dtype.

    Call: images (N, H, W, C) of at least 16×16 → logits (N, num_classes), float32.
    """

    num_classes: int | None = 10
    widths: Sequence[int] = (20, 50, 500)
    pool: Callable[..., jax.Array] = max_pool
    conv: Callable[..., nn.Module] = Conv
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False):
        check_images(self, x, smallest=16, stem="conv1")
        endpoints = OrderedDict()
        for number in (1, 2):
            name = f"conv{number}"
            x = self.conv(self.widths[number - 1], (5, 5), dtype=self.dtype, name=name)(x)
            endpoints[name] = x
            x = endpoints[f"pool{number}"] = self.pool(x, (2, 2), strides=2)
        if self.num_classes is None:
            return endpoints
        x = x.reshape(x.shape[0], -1)
        x = relu(Dense(self.widths[2], dtype=self.dtype, name="fc1")(x))
        return Dense(self.num_classes, dtype=self.dtype, name="fc2")(x).astype(jnp.float32)


def map_loss(logits: jax.Array, labels: jax.Array, j: float = 10.0) -> jax.Array:
    """The discriminative criterion of the paper (equation 9), per example.

    E = y_D + log(e^(−j) + Σᵢ e^(−yᵢ)) with the penalties y = −logits: pull the right class's
    penalty down and, up to the constant j ("rubbish class"), push the others up.

    Args:
        logits: (…, K), the negative penalties.
        labels: (…) integers; the loss of one outside 0…K−1 is NaN.
        j: positive; penalties far above it are not pushed further.

    Returns:
        (…) losses, never negative.

    >>> penalties = jax.numpy.array([[0.0, 50.0]])
    >>> float(map_loss(-penalties, jax.numpy.array([0]), j=1000.0)[0])
    0.0
    """
    logits = jnp.asarray(logits)
    right = take_class(logits, labels)
    rubbish = jnp.full((*logits.shape[:-1], 1), -j, logits.dtype)
    return jax.nn.logsumexp(jnp.concatenate([logits, rubbish], axis=-1), axis=-1) - right


def connections() -> dict[str, int]:
    """Connections of the original network by layer, biases counted, as the paper counts them.

    >>> connections()["C3"], sum(connections().values())
    (151600, 340908)
    """
    kernels = sum(len(maps) for maps in C3_INPUTS)
    return {
        "C1": 28 * 28 * 6 * (25 + 1),
        "S2": 14 * 14 * 6 * (4 + 1),
        "C3": 10 * 10 * (kernels * 25 + 16),
        "S4": 5 * 5 * 16 * (4 + 1),
        "C5": 120 * (400 + 1),
        "F6": 84 * (120 + 1),
        "RBF": 84 * 10,
    }


_lenet = partial(
    register,
    paper=papers.LENET,
    input_size=32,
    channels=1,
    feature_strides={"c1": 1, "s2": 2, "c3": 2, "s4": 4, "c5": 4},
)


@_lenet(parameters=61_706, macs=416_520)
def lenet5(*, num_classes: int | None = 10, name: str | None = None, **fields: Any) -> LeNet5:
    """LeNet-5 as it is built today; ``fields`` of `LeNet5`."""
    return LeNet5(num_classes=num_classes, name=name, **fields)


# C3 runs as a dense convolution; the table's connections alone would be 325,680 of the products.
@_lenet(
    parameters=60_000,
    macs=415_680,
    published="MNIST test error 0.95 % (0.8 % with distorted training images)",
)
def lenet5_1998(
    *, num_classes: int | None = 10, name: str | None = None, **fields: Any
) -> LeNet5Original:
    """LeNet-5 of 1998, for ten classes; ``fields`` of `LeNet5Original`."""
    return LeNet5Original(num_classes=num_classes, name=name, **fields)


@register(
    paper=papers.LENET,
    input_size=28,
    channels=1,
    parameters=431_080,
    macs=2_293_000,
    feature_strides={"conv1": 1, "pool1": 2, "conv2": 2, "pool2": 4},
)
def lenet5_caffe(
    *, num_classes: int | None = 10, name: str | None = None, **fields: Any
) -> LeNetCaffe:
    """Caffe's LeNet-5, the one of papers on pruning; ``fields`` of `LeNetCaffe`."""
    return LeNetCaffe(num_classes=num_classes, name=name, **fields)
