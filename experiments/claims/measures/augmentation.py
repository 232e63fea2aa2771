"""Training with and without an augmentation, on few and on more images."""

from dataclasses import dataclass, replace

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from experiments.claims.measures.learning_rates import momentum
from jaxnets import augment as a
from jaxnets.augment.views import flip_views, padded_ten_crop
from jaxnets.ensembles.view_average import predict_with_views
from jaxnets.models.mlp import MLP
from jaxnets.nn import BatchNorm, Conv, Dense
from jaxnets.ops import max_pool, relu
from jaxnets.study.claims import Outcome, TrainingSettings
from jaxnets.study.effects import above, points
from jaxnets.study.figures import COLORS, dots, new_figure
from jaxnets.study.training import Runs


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
class Augmented(TrainingSettings):
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


@dataclass(frozen=True, kw_only=True)
class Comparison(Augmented):
    """Two kinds of augmentation.

    Attributes:
        kinds: names of `AUGMENTATIONS`; the claim is that the second is better than the first.
    """

    kinds: tuple[str, str]


def _crop(key, example):
    """Crops, and mirror images where there are colors: digits have none."""
    crop_key, flip_key = jax.random.split(key)
    side, _, channels = a.image_of(example).shape
    example = a.random_crop(crop_key, example, side // 8)
    return a.random_flip(flip_key, example) if channels == 3 else example


def _cutout(key, example):
    # Half of the side, as 16 of CIFAR-10's 32 pixels; zero is the mean of standardized images.
    return a.cutout(key, example, len(a.image_of(example)) // 2)


def _noise(key, example):
    # From black to white is about four standard deviations of CIFAR-10.
    colors = a.IMAGENET_COLORS
    if a.image_of(example).shape[-1] == 1:
        colors = a.ColorPCA(colors.eigenvalues[:1], np.ones((1, 1)))
    return a.random_color_noise(key, example, colors, white=4.0)


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


AUGMENTATIONS = {
    "as they are": None,
    "crops": crops,
    "crops and cutout": crops_and_cutout,
    "crops and mixup": crops_and_mixup,
    "crops and color noise": crops_and_noise,
}


def train(settings: Augmented, prepare, size: int | None = None, **options) -> Runs:
    """Runs with an augmentation, or with None, on ``size`` training images."""
    rate = {"rate": settings.rate, "floor": 0.0, "total": settings.steps}
    return settings.runs(
        options.pop("model", Net() if settings.convolutional else DENSE),
        momentum,
        {k: np.float32(v) for k, v in rate.items()},
        data=replace(settings, train=size or settings.sizes[0]).data(),
        prepare=prepare,
        **options,
    )


def compare(settings: Comparison) -> Outcome:
    """Effects of the second augmentation over the first, at every size of the training set.

    With two sizes there is a second claim: the gain on few images is larger.
    """
    names = settings.kinds
    gains, labels, values = [], [], []
    for size in settings.sizes:
        found = [train(settings, AUGMENTATIONS[name], size).accuracy for name in names]
        gains.append(found[1] - found[0])
        labels += [f"{size} images, {name}" for name in names]
        values += found
    effects = [
        points(f"test accuracy, {size} images, {names[1]} minus {names[0]}", gain, above(0))
        for size, gain in zip(settings.sizes, gains, strict=True)
    ]
    if len(gains) == 2:
        few, more = settings.sizes
        effects.append(points(f"gain at {few} minus gain at {more}", gains[0] - gains[1], above(0)))
    figure, (ax,) = new_figure(1)
    colors = [COLORS[i % 2] for i in range(len(labels))]
    dots(ax, labels, values, colors)
    ax.set(xlabel="test accuracy, %")
    passes = ", ".join(
        f"{settings.steps * settings.batch_size / size:.0f} passes over {size} images"
        for size in settings.sizes
    )
    return Outcome(effects=effects, figure=figure, remarks=[f"The runs are {passes}."])


def views_of(images) -> dict:
    """Views by name; digits have no mirror images."""
    ten = padded_ten_crop(images, images.shape[1] // 8)
    if images.shape[-1] == 1:
        return {"one view": images[None], "five crops": ten[:5]}
    return {"one view": images[None], "mirrored": flip_views(images), "ten crops": ten}


def accuracies(state, data) -> dict:
    """Test accuracy in per cent with each kind of views."""

    def predict(images):
        return jax.nn.softmax(state.apply_fn(state.variables, images, train=False))

    return {
        name: 100 * (jnp.argmax(predict_with_views(predict, views), -1) == data.test.labels).mean()
        for name, views in views_of(data.test.images).items()
    }


def several_views(settings: Augmented) -> Outcome:
    """Is the mean over mirror images and crops better than one view?"""
    runs = train(settings, crops, probe=accuracies)
    last = {name: values[..., -1] for name, values in runs.probe.items()}
    order = [name for name in ("one view", "five crops", "mirrored", "ten crops") if name in last]
    figure, (ax,) = new_figure(1)
    dots(ax, order, [last[name] for name in order])
    ax.set(xlabel="test accuracy, %")
    return Outcome(
        effects=[
            points(f"test accuracy, {name} minus one view", last[name] - last["one view"], above(0))
            for name in order[1:]
        ],
        figure=figure,
    )


WINDOWS = {"2/2": 2, "3/2": 3}


def overlapping_pooling(settings: Augmented) -> Outcome:
    """Is max pooling with overlapping windows, 3 of stride 2, better than with 2 of stride 2?"""
    runs = {
        name: train(settings, crops, model=Net((8, 16), pool=window))
        for name, window in WINDOWS.items()
    }
    accuracy = {name: run.accuracy for name, run in runs.items()}
    training = {name: 100 * run.train_accuracy[..., -1] for name, run in runs.items()}
    figure, (ax,) = new_figure(1)
    dots(ax, [f"window/stride {name}" for name in accuracy], list(accuracy.values()))
    ax.set(xlabel="test accuracy, %")
    overfit = {name: training[name] - accuracy[name] for name in WINDOWS}
    return Outcome(
        effects=[
            points(
                "test accuracy, windows 3/2 minus 2/2", accuracy["3/2"] - accuracy["2/2"], above(0)
            ),
            points(
                "training minus test accuracy, windows 3/2 minus 2/2",
                overfit["3/2"] - overfit["2/2"],
            ),
        ],
        figure=figure,
    )
