"""ZFNet for small images, and its training with snapshots on the way."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxnets.data import Batches, Split
from jaxnets.interpret.filters import limit_filter_rms
from jaxnets.losses import cross_entropy
from jaxnets.nn import Conv, Dense, Dropout
from jaxnets.ops import global_avg_pool, max_pool, relu


class SmallZFNet(nn.Module):
    """Five convolutions as ZFNet's, with poolings behind the first, second and fifth, and a mean.

    Instead of ZFNet's connected layers the last map is averaged, so that the network also has class
    activation maps.

    Attributes:
        num_classes: width of the head; None returns the endpoints conv1 … conv5.
        widths: channels of the convolutions.
        first: kernel size and stride of the first convolution.
        dropout_rate: before the head.

    Call: images (N, H, W, C) → logits (N, num_classes). Needs the rng "dropout" in training.

    Source: Zeiler & Fergus 2014, figure 3; Lin, Chen & Yan 2013, for the mean.

    >>> net, x = SmallZFNet(widths=(4, 4, 4, 4, 4)), jnp.ones((1, 16, 16, 3))
    >>> net.init_with_output(jax.random.key(0), x)[0].shape
    (1, 10)
    """

    num_classes: int | None = 10
    widths: Sequence[int] = (32, 48, 64, 64, 64)
    first: tuple[int, int] = (5, 1)
    dropout_rate: float = 0.2

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False):
        ends = OrderedDict()
        kernel, stride = self.first
        for i, width in enumerate(self.widths, start=1):
            size, step = (kernel, stride) if i == 1 else (3, 1)
            conv = Conv(width, (size, size), strides=step, padding=size // 2, name=f"conv{i}")
            x = ends[f"conv{i}"] = relu(conv(x))
            if i in (1, 2, 5) and min(x.shape[1:3]) > 3:
                x = max_pool(x, 3, strides=2, padding=1)
        if self.num_classes is None:
            return ends
        x = Dropout(self.dropout_rate, name="dropout")(global_avg_pool(x), train=train)
        return Dense(self.num_classes, name="head")(x)


def train_snapshots(
    key: jax.Array,
    model: nn.Module,
    train: Split,
    epochs: Sequence[int],
    *,
    rate: float = 2e-3,
    batch_size: int = 64,
    rms_limit: float | None = None,
) -> dict[int, dict[str, Any]]:
    """Train a classifier by Adam with a falling rate, and keep it at some epochs.

    Args:
        key: of the start and of dropout.
        model: without running statistics.
        train: images as the network takes them, float32, and labels.
        epochs: after which the variables are kept, rising; the last one ends the training.
        rate: at the start; it falls to zero along a cosine.
        batch_size: images a step; images are mirrored at random where that is no other class
            (color images).
        rms_limit: renormalize filters to this RMS after every step, as the paper does.

    Returns:
        Epoch → variables.

    Raises:
        ValueError: epochs that do not rise from 1.

    >>> split = Split(np.ones((8, 16, 16, 1), np.float32), np.arange(8) % 2)
    >>> net = SmallZFNet(2, widths=(2, 2, 2, 2, 2))
    >>> list(train_snapshots(jax.random.key(0), net, split, [1, 2], batch_size=4))
    [1, 2]
    """
    epochs = list(epochs)
    if not epochs or epochs[0] < 1 or sorted(set(epochs)) != epochs:
        raise ValueError(f"epochs: got {epochs}; expected rising numbers from 1")
    batches = Batches(train, batch_size, seed=int(jax.random.randint(key, (), 0, 2**30)))
    total = epochs[-1] * batches.steps_per_epoch
    optimizer = optax.adam(optax.cosine_decay_schedule(rate, total))
    mirror = train.images.shape[-1] == 3

    def step(params, state, x, y, key):
        flip_key, dropout_key = jax.random.split(key)
        if mirror:
            flips = jax.random.bernoulli(flip_key, shape=(len(x), 1, 1, 1))
            x = jnp.where(flips, x[:, :, ::-1], x)

        def loss(params):
            logits = model.apply({"params": params}, x, train=True, rngs={"dropout": dropout_key})
            return cross_entropy(logits, y)

        updates, state = optimizer.update(jax.grad(loss)(params), state)
        params = optax.apply_updates(params, updates)
        if rms_limit is not None:
            params = jax.tree.map(
                lambda p: limit_filter_rms(p, rms_limit) if p.ndim == 4 else p, params
            )
        return params, state

    step = jax.jit(step, donate_argnums=(0, 1))
    x = jnp.asarray(train.images[:1])
    params = jax.jit(model.init)({"params": key, "dropout": key}, x)["params"]
    state, kept = optimizer.init(params), {}
    for i in range(total):
        batch = batches[i]
        params, state = step(
            params, state, batch["image"], batch["label"], jax.random.fold_in(key, i)
        )
        epoch, rest = divmod(i + 1, batches.steps_per_epoch)
        if rest == 0 and epoch in epochs:
            kept[epoch] = {"params": jax.tree.map(np.asarray, params)}
    return kept
