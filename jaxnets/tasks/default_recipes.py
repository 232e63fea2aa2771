"""Settings that suit a network and its data, by name: where a run begins unless it says more."""

from dataclasses import fields, replace
from types import MappingProxyType
from typing import Any

from jaxnets.errors import UnknownNameError
from jaxnets.models import model_info
from jaxnets.tasks.recipe import Recipe

# Families without normalization layers that were made for images of 32 pixels and less.
_SMALL_FAMILIES = ("lenet", "mlp")

RECIPES: MappingProxyType[str, MappingProxyType[str, Any]] = MappingProxyType(
    {
        name: MappingProxyType(values)
        for name, values in {
            # Small networks on small images: the settings of the digits.
            "small": {},
            # He et al. 2016 (ResNet), section 4.2, with a cosine in place of the steps.
            "cifar": {
                "optimizer": "nesterov",
                "learning_rate": 0.1,
                "weight_decay": 1e-4,
                "augment": "crop_flip",
                "batch_size": 128,
                "epochs": 100,
                "label_smoothing": 0.0,
            },
            # Hundreds or thousands of photographs, from random numbers: many epochs, strong decay.
            "photos": {
                "optimizer": "nesterov",
                "learning_rate": 0.02,
                "weight_decay": 5e-4,
                "augment": "crop_flip",
                "batch_size": 32,
                "epochs": 60,
                "warmup_epochs": 3.0,
                "label_smoothing": 0.1,
                "clip_norm": 5.0,
            },
            # Goyal et al. 2017 (Accurate, Large Minibatch SGD), section 2.1: 0.1 for 256.
            "imagenet": {
                "optimizer": "nesterov",
                "learning_rate": 0.1,
                "weight_decay": 1e-4,
                "augment": "googlenet",
                "batch_size": 256,
                "epochs": 90,
                "warmup_epochs": 5.0,
                "label_smoothing": 0.1,
            },
            # From published weights: a tenth of the rate, few epochs.
            "fine_tune": {
                "optimizer": "nesterov",
                "learning_rate": 0.01,
                "weight_decay": 1e-4,
                "augment": "crop_flip",
                "batch_size": 32,
                "epochs": 20,
                "label_smoothing": 0.05,
                "clip_norm": 5.0,
            },
            # A new classifier on features that stay as they are: a convex problem, large steps.
            "head": {
                "optimizer": "nesterov",
                "learning_rate": 0.2,
                "weight_decay": 1e-4,
                "augment": "crop_flip",
                "batch_size": 32,
                "epochs": 20,
                "label_smoothing": 0.0,
            },
        }.items()
    }
)


def list_recipes() -> list[str]:
    """The names that `apply_recipe` knows, besides "auto".

    Returns:
        Names.

    >>> list_recipes()
    ['cifar', 'fine_tune', 'head', 'imagenet', 'photos', 'small']
    """
    return sorted(RECIPES)


def choose_recipe(
    model: str,
    *,
    examples: int,
    image_size: int,
    pretrained: bool = False,
    head_only: bool = False,
) -> str:
    """The recipe that suits a network and the size of its data.

    Args:
        model: a name of `jaxnets.list_models()`.
        examples: training images.
        image_size: the longer side of an image, in pixels.
        pretrained: training begins with published weights.
        head_only: and moves the classifier alone.

    Returns:
        A name of `list_recipes`.

    >>> choose_recipe("lenet5", examples=1437, image_size=8)
    'small'
    >>> choose_recipe("resnet20", examples=50_000, image_size=32)
    'cifar'
    >>> choose_recipe("resnet50", examples=400, image_size=224, pretrained=True)
    'fine_tune'
    """
    if pretrained:
        return "head" if head_only else "fine_tune"
    if model_info(model).family in _SMALL_FAMILIES:
        return "small"
    if image_size > 64 and examples >= 100_000:
        return "imagenet"
    return "cifar" if examples >= 5_000 else "photos"


def apply_recipe(settings: Recipe, name: str, *, examples: int) -> Recipe:
    """The settings with those of a recipe in their place.

    A batch holds a quarter of the training images at most, so that an epoch has a few updates; the
    learning rate shrinks with it.

    Args:
        settings: whose data, network and weights are kept.
        name: one of `list_recipes`.
        examples: training images.

    Returns:
        New settings.

    Raises:
        UnknownNameError: no such recipe; the message offers the nearest ones.

    >>> apply_recipe(Recipe(model="resnet20"), "cifar", examples=50_000).learning_rate
    0.1
    >>> apply_recipe(Recipe(model="resnet20"), "photos", examples=20).batch_size
    8
    """
    if name not in RECIPES:
        raise UnknownNameError("recipe", name, {*RECIPES, "auto"})
    kept = ("batch_size", "epochs", "optimizer", "learning_rate", "warmup_epochs", "weight_decay")
    kept += ("augment", "label_smoothing", "clip_norm", "schedule")
    usual = {field.name: field.default for field in fields(Recipe) if field.name in kept}
    values = usual | dict(RECIPES[name])
    batch = values["batch_size"]
    while batch > 8 and batch > examples / 4:
        batch //= 2
    # Steps of Adam do not depend on the size of the batch as those of momentum do.
    if values["optimizer"] != "adam":
        values["learning_rate"] *= (batch / values["batch_size"]) ** 0.5
    return replace(settings, **values | {"batch_size": batch, "recipe": name})


def describe_recipe(recipe: Recipe) -> str:
    """The settings that decide, in a line: what a run prints before it begins.

    Args:
        recipe: the settings.

    Returns:
        Text.

    >>> describe_recipe(Recipe(epochs=1))
    'adam, rate 0.003, cosine, 1 epoch in batches of 64, warm-up 0.25 epochs, augment crop'
    """
    epochs = f"{recipe.epochs} epoch{'s' if recipe.epochs != 1 else ''}"
    parts = [recipe.optimizer, f"rate {recipe.learning_rate:.4g}", recipe.schedule]
    parts.append(f"{epochs} in batches of {recipe.batch_size}")
    if recipe.warmup:
        parts.append(f"warm-up {recipe.warmup:g} epoch{'s' if recipe.warmup != 1 else ''}")
    if recipe.weight_decay:
        parts.append(f"weight decay {recipe.weight_decay:g}")
    parts.append(f"augment {recipe.augment}")
    for name in ("mixup", "cutmix", "cutout", "balance", "fine_tune", "validation"):
        if value := getattr(recipe, name):
            parts.append(f"{name.replace('_', '-')} {value}")
    return ", ".join(parts)
