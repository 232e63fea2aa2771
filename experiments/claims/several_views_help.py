"""Is the mean over mirror images and crops better than one view?"""

import jax
import jax.numpy as jnp

from experiments.claims._augmentations import FULL, QUICK, TINY, Augmented, crops, train
from experiments.claims.framework import Claim, Outcome, above, effect, figures
from jaxnets.augment.views import flip_views, padded_ten_crop
from jaxnets.ensembles.view_average import predict_with_views


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


def measure(settings: Augmented) -> Outcome:
    runs = train(settings, crops, probe=accuracies)
    last = {name: values[..., -1] for name, values in runs.probe.items()}
    order = [name for name in ("one view", "five crops", "mirrored", "ten crops") if name in last]
    figure, (ax,) = figures.new(1)
    figures.dots(ax, order, [last[name] for name in order])
    ax.set(xlabel="test accuracy, %")
    return Outcome(
        effects=[
            effect(
                f"test accuracy, {name} minus one view",
                last[name] - last["one view"],
                above(0),
                unit="points",
            )
            for name in order[1:]
        ],
        figure=figure,
    )


CLAIM = Claim(
    sentence="The mean over mirror images and crops classifies better than one view",
    notes="L202, L267",
    row="F07",
    experiment="A small convolutional network is trained on 2,000 images of CIFAR-10 with crops "
    "and mirror images. The same network then classifies each test image once, together with its "
    "mirror image, and in ten crops of the padded image; class probabilities are averaged. The "
    "quick form trains a dense network on crops of digits and averages five crops.",
    measure=measure,
    full=Augmented(**FULL | {"keys": 8}, sizes=(2000,), evaluations=1),
    quick=Augmented(**QUICK | {"evaluations": 1}),
    tiny=Augmented(**TINY | {"evaluations": 1}),
)
