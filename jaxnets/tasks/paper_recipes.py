"""How the papers trained their networks, as values: settings, sources, and what is made of them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import optax

from jaxnets.augment import (
    Transform,
    color_jitter,
    compose,
    random_color_noise,
    random_crop,
    random_flip,
    random_resized_crop,
    random_scale_crop,
    random_window,
)
from jaxnets.errors import UnknownNameError
from jaxnets.optim import Plateau, create_optimizer, create_schedule, mask_by_name, track
from jaxnets.optim.averaging import Average, ema, polyak
from jaxnets.tasks.recipe import Recipe, build_loss

IMAGENET_EXAMPLES = 1_281_167
CIFAR_EXAMPLES = 50_000


class Built(NamedTuple):
    """What a recipe is turned into; ``transform`` is for `jaxnets.augment.per_example`."""

    schedule: optax.Schedule | Plateau
    optimizer: optax.GradientTransformation
    loss: Callable
    transform: Transform
    steps: int


@dataclass(frozen=True)
class PaperRecipe:
    """A published way to train.

    Attributes:
        recipe: the settings that `jaxnets.train.Recipe` has; its dataset is the paper's.
        source: where the numbers are from.
        examples: size of the training set that epochs count.
        iterations: updates of the whole run where the source counts these, else None.
        optimizer_options, schedule_options: of `create_optimizer` and `create_schedule`.
        decay_biases: weight decay also falls on biases and normalization.
        average: the average of parameters that is evaluated, or None.
        transform: (key, stored image uint8) → training image.
        stored: what images the transform expects.
        test: how the paper evaluates.
        remarks: what the settings cannot say.
    """

    recipe: Recipe
    source: str
    transform: Transform
    stored: str
    test: str
    examples: int = IMAGENET_EXAMPLES
    iterations: int | None = None
    optimizer_options: MappingProxyType = field(default_factory=lambda: MappingProxyType({}))
    schedule_options: MappingProxyType = field(default_factory=lambda: MappingProxyType({}))
    decay_biases: bool = False
    average: Literal["polyak", "ema"] | None = None
    remarks: tuple[str, ...] = ()

    def build(self, steps_per_epoch: int | None = None) -> Built:
        """Schedule, optimizer, loss and transform, ready for a training step.

        Args:
            steps_per_epoch: of the data at hand, whose run is then ``recipe.epochs`` long; by
                default the paper's own data and number of updates.

        >>> built = paper_recipe("resnet_cifar").build()
        >>> built.steps, [round(float(built.schedule(t)), 4) for t in (31_999, 32_000, 48_000)]
        (64000, [0.1, 0.01, 0.001])
        """
        recipe = self.recipe
        own = steps_per_epoch is None
        if own:
            steps_per_epoch = -(-self.examples // recipe.batch_size)
        steps = self.iterations if own and self.iterations else recipe.epochs * steps_per_epoch
        options: dict[str, Any] = dict(self.schedule_options)
        if recipe.schedule in ("googlenet", "inception"):
            options["steps_per_epoch"] = steps_per_epoch
        schedule = create_schedule(recipe.schedule, recipe.learning_rate, steps, **options)
        optimizer = create_optimizer(
            recipe.optimizer,
            schedule,
            weight_decay=recipe.weight_decay,
            clip_norm=recipe.clip_norm,
            mask=None if self.decay_biases else mask_by_name,
            **self.optimizer_options,
        )
        if self.average is not None:
            averages: dict[str, Average] = {"polyak": polyak(), "ema": ema(0.9999)}
            optimizer = optax.chain(optimizer, track(averages[self.average]))
        return Built(schedule, optimizer, build_loss(recipe), self.transform, steps)


def list_paper_recipes() -> list[str]:
    """The names that `paper_recipe` knows.

    >>> list_paper_recipes()[:3]
    ['alexnet', 'densenet_cifar', 'densenet_imagenet']
    """
    return sorted(_RECIPES)


def paper_recipe(name: str) -> PaperRecipe:
    """The recipe of this name.

    Raises:
        UnknownNameError: a name that is not in the list.

    >>> paper_recipe("alexnet").recipe.weight_decay
    0.0005
    """
    if name not in _RECIPES:
        raise UnknownNameError("paper recipe", name, _RECIPES)
    return _RECIPES[name]


# Caffe and its ancestors: the rate enters the velocity, v ← 0.9v − η(g + λw).
_CAFFE_MOMENTUM = MappingProxyType({"momentum": 0.9, "learning_rate_in_velocity": True})
_MOMENTUM = MappingProxyType({"momentum": 0.9})
# TensorFlow's: ε under the root, the mean square begins at 1, the rate enters the velocity.
_TENSORFLOW_RMSPROP = MappingProxyType(
    {
        "decay": 0.9,
        "eps": 1.0,
        "momentum": 0.9,
        "eps_in_sqrt": True,
        "initial_scale": 1.0,
        "learning_rate_in_velocity": True,
    }
)
# ÷ 10, three times at most, each time the validation error stalls.
_THREE_DROPS = MappingProxyType({"factor": 0.1, "patience": 3, "end_value": 1e-5})

_settings = partial(
    Recipe, dataset="imagenet2012", warmup_epochs=0.0, label_smoothing=0.0, augment="none"
)
_colors = partial(color_jitter, brightness=0.5, contrast=0.5, saturation=0.5)
_inception_crop = compose(partial(random_resized_crop, size=224), _colors, random_flip)

_RECIPES: dict[str, PaperRecipe] = {
    "alexnet": PaperRecipe(
        recipe=_settings(
            model="alexnet",
            epochs=90,
            batch_size=128,
            optimizer="momentum",
            learning_rate=0.01,
            schedule="plateau",
            weight_decay=5e-4,
            augment="alexnet",
        ),
        source="Krizhevsky, Sutskever, Hinton 2012, sections 4.1 and 5",
        optimizer_options=_CAFFE_MOMENTUM,
        schedule_options=_THREE_DROPS,
        transform=compose(partial(random_window, size=227), random_flip, random_color_noise),
        stored="256×256: shorter side resized to 256, then the center",
        test="ten crops of 227, probabilities averaged",
        remarks=(
            "Kernels N(0, 0.01²); biases 1 in conv2, conv4, conv5, fc6, fc7, else 0.",
            "Crops of 227, as Caffe's: 55×55 outputs of conv1 from the 224 pixels that the paper "
            "names need AlexNet(stem_padding=2).",
            "The published patience is not known; the drops were made by hand.",
        ),
    ),
    "vgg": PaperRecipe(
        recipe=_settings(
            model="vgg16",
            epochs=74,
            batch_size=256,
            optimizer="momentum",
            learning_rate=0.01,
            schedule="plateau",
            weight_decay=5e-4,
            augment="alexnet",
        ),
        source="Simonyan, Zisserman 2014, section 3.1",
        iterations=370_000,
        optimizer_options=_CAFFE_MOMENTUM,
        schedule_options=_THREE_DROPS,
        transform=compose(
            partial(random_scale_crop, size=224, shorter=(256, 512)),
            random_flip,
            random_color_noise,
        ),
        stored="any size",
        test="dense, shorter sides 256, 384 and 512, each mirrored",
        remarks=("Deep configurations began with layers of the trained configuration A.",),
    ),
    "googlenet": PaperRecipe(
        recipe=_settings(
            model="googlenet",
            epochs=250,
            batch_size=32,
            optimizer="momentum",
            learning_rate=0.01,
            schedule="googlenet",
            weight_decay=2e-4,
            augment="googlenet",
        ),
        source="Szegedy et al. 2014, section 6; rate, batch, decay, epochs: BVLC's solver, "
        "10,000,000 updates",
        optimizer_options=_CAFFE_MOMENTUM,
        average="polyak",
        transform=_inception_crop,
        stored="any size",
        test="144 crops, probabilities averaged; seven networks",
        remarks=(
            "Trained by asynchronous SGD: jaxnets.optim.asynchronous.",
            "The two auxiliary losses count 0.3 each.",
        ),
    ),
    "inception_v3": PaperRecipe(
        recipe=_settings(
            model="inception_v3",
            epochs=100,
            batch_size=32,
            optimizer="rmsprop",
            learning_rate=0.045,
            schedule="inception",
            clip_norm=2.0,
            label_smoothing=0.1,
            augment="googlenet",
        ),
        source="Szegedy et al. 2015 (Rethinking), sections 7 and 8; momentum and the form of "
        "RMSProp: TensorFlow's, in which it was trained, and its published training program",
        optimizer_options=_TENSORFLOW_RMSPROP,
        average="ema",
        transform=compose(partial(random_resized_crop, size=299), _colors, random_flip),
        stored="any size",
        test="one crop of 299; 144 crops",
        remarks=("50 replicas, each with batches of 32.",),
    ),
    "resnet_imagenet": PaperRecipe(
        recipe=_settings(
            model="resnet50",
            epochs=120,
            batch_size=256,
            optimizer="momentum",
            learning_rate=0.1,
            schedule="plateau",
            weight_decay=1e-4,
            augment="alexnet",
        ),
        source="He et al. 2015, section 3.4, whose decay of 1e-5 is 1e-4",
        iterations=600_000,
        optimizer_options=_CAFFE_MOMENTUM,
        schedule_options=MappingProxyType({"factor": 0.1, "patience": 3}),
        transform=compose(
            partial(random_scale_crop, size=224, shorter=(256, 480)),
            random_flip,
            random_color_noise,
        ),
        stored="any size",
        test="ten crops; or dense, shorter sides 224, 256, 384, 480 and 640",
        remarks=("He's normal initialization; no dropout.",),
    ),
    "resnet_cifar": PaperRecipe(
        recipe=_settings(
            dataset="cifar10",
            model="resnet20",
            epochs=164,
            batch_size=128,
            optimizer="momentum",
            learning_rate=0.1,
            schedule="resnet_cifar",
            weight_decay=1e-4,
            augment="crop_flip",
        ),
        source="He et al. 2015, section 4.2",
        examples=CIFAR_EXAMPLES,
        iterations=64_000,
        optimizer_options=_CAFFE_MOMENTUM,
        transform=compose(partial(random_crop, padding=4), random_flip),
        stored="32×32",
        test="the image itself",
        remarks=("110 layers first train at 0.01 until 80 % training error, about 400 updates.",),
    ),
    "densenet_imagenet": PaperRecipe(
        recipe=_settings(
            model="densenet121",
            epochs=90,
            batch_size=256,
            optimizer="nesterov",
            learning_rate=0.1,
            schedule="step",
            weight_decay=1e-4,
            augment="googlenet",
        ),
        source="Huang, Liu, van der Maaten, Weinberger 2016, section 4.2",
        optimizer_options=_MOMENTUM,
        decay_biases=True,
        transform=_inception_crop,
        stored="any size",
        test="one crop; ten crops",
        remarks=("÷ 10 at epochs 30 and 60. Augmentation as fb.resnet.torch's, closely.",),
    ),
    "densenet_cifar": PaperRecipe(
        recipe=_settings(
            dataset="cifar10",
            model="densenet40_k12",
            epochs=300,
            batch_size=64,
            optimizer="nesterov",
            learning_rate=0.1,
            schedule="multi_step",
            weight_decay=1e-4,
            augment="crop_flip",
        ),
        source="Huang, Liu, van der Maaten, Weinberger 2016, section 4.2",
        examples=CIFAR_EXAMPLES,
        optimizer_options=_MOMENTUM,
        decay_biases=True,
        transform=compose(partial(random_crop, padding=4), random_flip),
        stored="32×32",
        test="the image itself",
        remarks=("÷ 10 at 50 % and 75 %. Dropout 0.2 where images are not augmented.",),
    ),
    "squeezenet": PaperRecipe(
        recipe=_settings(
            model="squeezenet1_0",
            epochs=68,
            batch_size=512,
            optimizer="momentum",
            learning_rate=0.04,
            schedule="squeezenet",
            weight_decay=2e-4,
            augment="crop_flip",
        ),
        source="Iandola et al. 2016 and its published solver",
        iterations=170_000,
        optimizer_options=_CAFFE_MOMENTUM,
        transform=compose(partial(random_window, size=227), random_flip),
        stored="256×256",
        test="the center of 227",
    ),
}
