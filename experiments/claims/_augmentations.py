"""Training with and without an augmentation, on few and on more images: shared by those claims."""

from dataclasses import dataclass, replace

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from experiments.claims._rates import momentum
from experiments.claims.framework import (
    Outcome,
    Runs,
    Settings,
    above,
    effect,
    figures,
    make_keys,
    train_many,
)
from jaxnets import augment as a
from jaxnets.models.mlp import MLP
from jaxnets.nn import BatchNorm, Conv, Dense
from jaxnets.ops import max_pool, relu


class Net(nn.Module):
    """3×3 convolutions, each batch-normalized: of stride 2, or of stride 1 and pooled after."""

    widths: tuple[int, ...] = (16, 32, 64)
    pool: int | None = None

    @nn.compact
    def __call__(self, x, *, train: bool = False):
        for i, width in enumerate(self.widths):
            stride = 2 if self.pool is None else 1
            x = Conv(width, (3, 3), strides=stride, padding=1, name=f"conv{i}")(x)
            x = relu(BatchNorm(name=f"norm{i}")(x, train=train))
            if self.pool is not None:
                window = (self.pool, self.pool)
                x = max_pool(x, window, strides=2, padding=(self.pool - 1) // 2)
        return Dense(10, name="classifier")(x.mean((1, 2)))


DENSE = MLP(10, (64,))


@dataclass(frozen=True, kw_only=True)
class Augmented(Settings):
    """One rate, which falls to zero as a cosine, for both sides.

    Attributes:
        convolutional: a small convolutional network instead of a dense one.
        sizes: of the training sets, the smallest first.
    """

    convolutional: bool = True
    sizes: tuple[int, ...] = (500,)
    rate: float = 0.05
    steps: int = 400
    evaluations: int = 4
    batch_size: int = 50


FULL = {"dataset": "cifar10", "test": 4000, "keys": 5}
QUICK = {"convolutional": False, "keys": 4, "steps": 200, "sizes": (100,), "evaluations": 2}
TINY = QUICK | {"keys": 2, "steps": 4}


def _crop(key, image):
    """Crops, and mirror images where there are colors: digits have none."""
    crop_key, flip_key = jax.random.split(key)
    image = a.random_crop(crop_key, image, image.shape[0] // 8)
    return a.random_flip(flip_key, image) if image.shape[-1] == 3 else image


def _cutout(key, image):
    # Half of the side, as 16 of CIFAR-10's 32 pixels; zero is the mean of standardized images.
    return a.cutout(key, image, image.shape[0] // 2)


def _noise(key, image):
    # From black to white is about four standard deviations of CIFAR-10.
    colors = a.IMAGENET_COLORS
    if image.shape[-1] == 1:
        colors = a.ColorPCA(colors.eigenvalues[:1], np.ones((1, 1)))
    return a.random_color_noise(key, image, colors, white=4.0)


crops = a.per_example(_crop)
crops_and_cutout = a.per_example(a.compose(_crop, _cutout))
crops_and_noise = a.per_example(a.compose(_crop, _noise))


def crops_and_mixup(key, batch, ids):
    """Mixup with α = 1 whose expected loss needs no mixed labels.

    λ·CE(x̃, y_a) + (1−λ)·CE(x̃, y_b) with λ ~ Beta(α, α) has the expectation over pairs, which are
    symmetric, of CE(x̃, y_a) alone with λ ~ Beta(α + 1, α).
    """
    weight_key, key = jax.random.split(key)
    images = crops(key, batch, ids)["image"]
    weight = jax.random.beta(weight_key, 2.0, 1.0, (len(images), 1, 1, 1))
    return {**batch, "image": weight * images + (1 - weight) * jnp.roll(images, 1, axis=0)}


def train(settings: Augmented, augment, size: int | None = None, **options) -> Runs:
    """Runs with an augmentation, or with None, on ``size`` training images."""
    return train_many(
        options.pop("model", Net() if settings.convolutional else DENSE),
        momentum,
        {k: np.float32(v) for k, v in _rate(settings).items()},
        replace(settings, train=size or settings.sizes[0]).data(),
        make_keys(settings.keys),
        steps=settings.steps,
        batch_size=settings.batch_size,
        evaluations=settings.evaluations,
        augment=augment,
        **options,
    )


def _rate(settings):
    return {"rate": settings.rate, "floor": 0.0, "total": settings.steps}


def compare(settings: Augmented, names: tuple[str, str], augmentations: tuple) -> Outcome:
    """Effects of the second augmentation over the first, at every size of the training set.

    With two sizes there is a second claim: the gain on few images is larger.
    """
    gains, labels, dots = [], [], []
    for size in settings.sizes:
        found = [train(settings, augment, size).accuracy for augment in augmentations]
        gains.append(found[1] - found[0])
        labels += [f"{size} images, {name}" for name in names]
        dots += found
    effects = [
        effect(
            f"test accuracy, {size} images, {names[1]} minus {names[0]}",
            gain,
            above(0),
            unit="points",
        )
        for size, gain in zip(settings.sizes, gains, strict=True)
    ]
    if len(gains) == 2:
        few, more = settings.sizes
        effects.append(
            effect(
                f"gain at {few} minus gain at {more}", gains[0] - gains[1], above(0), unit="points"
            )
        )
    figure, (ax,) = figures.new(1)
    colors = [figures.COLORS[i % 2] for i in range(len(labels))]
    figures.dots(ax, labels, dots, colors)
    ax.set(xlabel="test accuracy, %")
    passes = ", ".join(
        f"{settings.steps * settings.batch_size / size:.0f} passes over {size} images"
        for size in settings.sizes
    )
    return Outcome(effects=effects, figure=figure, remarks=[f"The runs are {passes}."])
