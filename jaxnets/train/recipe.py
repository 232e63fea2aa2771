"""What decides the result of training a classifier: the settings, and what they are turned into."""

from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

from jaxnets.data import Dataset
from jaxnets.data.augment import augment_batch
from jaxnets.errors import JaxnetsError
from jaxnets.losses import cross_entropy
from jaxnets.models import create_model
from jaxnets.nn import BatchNorm
from jaxnets.optim import create_optimizer, create_schedule
from jaxnets.train.parallel import BATCH_AXIS

DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}


@dataclass(frozen=True)
class Recipe:
    """The settings that decide what is learned; two runs with equal recipes learn the same.

    Fields:
        dataset: "digits" (embedded), or a TFDS image-classification set by its name.
        train_examples: train on this many examples only, equally many of each class.
        model: a name of `jaxnets.list_models()`.
        epochs: passes over the training set.
        batch_size: examples per update, over all devices.
        optimizer: a name of `jaxnets.optim.list_optimizers()`.
        learning_rate: the highest learning rate.
        schedule: a name of `jaxnets.optim.list_schedules()`.
        warmup_epochs: the learning rate rises linearly from 0 over these epochs.
        weight_decay: λ of the optimizer; not applied to biases and normalisation.
        clip_norm: scale gradients down to this global norm.
        label_smoothing: ε: targets (1 − ε)·one-hot + ε/K.
        augment: random crops (padded by an eighth of the image), on request mirrored.
        dtype: compute in this dtype; parameters, statistics and losses stay float32.
        microbatches: work through each device's batch in this many parts (gradient accumulation).
        seed: of the initial parameters, the order of the data and all randomness of the steps.
    """

    dataset: str = "digits"
    train_examples: int | None = None
    model: str = "lenet5"
    epochs: int = 40
    batch_size: int = 64
    optimizer: str = "adam"
    learning_rate: float = 2e-3
    schedule: str = "cosine"
    warmup_epochs: float = 1.0
    weight_decay: float = 0.0
    clip_norm: float | None = None
    label_smoothing: float = 0.0
    augment: Literal["none", "crop", "crop_flip"] = "none"
    dtype: Literal["float32", "bfloat16"] = "float32"
    microbatches: int = 1
    seed: int = 0

    def check(self) -> None:
        """Raise a `JaxnetsError` for values that no run can have."""
        positive = ("epochs", "batch_size", "learning_rate", "microbatches")
        for name in positive:
            if not getattr(self, name) > 0:
                raise JaxnetsError(f"--{_option(name)} must be above 0, got {getattr(self, name)}")
        for name in ("warmup_epochs", "weight_decay", "seed"):
            if getattr(self, name) < 0:
                raise JaxnetsError(f"--{_option(name)} must be 0 or more, got {getattr(self, name)}")
        if not 0 <= self.label_smoothing < 1:
            raise JaxnetsError(f"--label-smoothing must lie in [0, 1), got {self.label_smoothing}")
        if self.warmup_epochs >= self.epochs and self.warmup_epochs > 0:
            raise JaxnetsError(
                f"--warmup-epochs {self.warmup_epochs} leaves nothing of --epochs {self.epochs}"
            )
        if self.clip_norm is not None and not self.clip_norm > 0:
            raise JaxnetsError(f"--clip-norm must be above 0, got {self.clip_norm}")


def _option(field: str) -> str:
    return field.replace("_", "-")


def build_network(
    name: str, num_classes: int, dtype: str = "float32", *, synchronise: bool = False
) -> nn.Module:
    """The network of a recipe.

    Args:
        name: as in `jaxnets.create_model`.
        num_classes: K.
        dtype: compute dtype.
        synchronise: batch normalisation takes its statistics over all devices of a `pmap`; under
            `jit` they are always those of the whole batch.

    Raises:
        JaxnetsError: unknown name (the nearest are named).
    """
    network = create_model(name, num_classes=num_classes)
    has_fields = type(network).__dataclass_fields__
    changes: dict[str, Any] = {}
    if dtype != "float32":
        changes["dtype"] = DTYPES[dtype]
    if synchronise and "norm" in has_fields:
        changes["norm"] = partial(BatchNorm, axis_name=BATCH_AXIS)
    return network.clone(**changes) if changes else network


def build_optimizer(recipe: Recipe, steps_per_epoch: int) -> optax.GradientTransformation:
    """The recipe's optimizer with its learning-rate schedule over the whole run."""
    total = recipe.epochs * steps_per_epoch
    warmup = round(recipe.warmup_epochs * steps_per_epoch)
    schedule = create_schedule(
        recipe.schedule, recipe.learning_rate, total_steps=total, warmup_steps=warmup
    )
    return create_optimizer(
        recipe.optimizer, schedule, weight_decay=recipe.weight_decay, clip_norm=recipe.clip_norm
    )


def build_loss(recipe: Recipe):
    """The recipe's loss: cross entropy with its label smoothing."""
    return partial(cross_entropy, label_smoothing=recipe.label_smoothing)


def build_augmentation(recipe: Recipe, dataset: Dataset):
    """(key, images, example_ids) → images, or None."""
    if recipe.augment == "none":
        return None
    padding = max(1, dataset.image_shape[0] // 8)
    return partial(augment_batch, padding=padding, flips=recipe.augment == "crop_flip")


@dataclass(frozen=True)
class Standardize:
    """Images uint8 (B, H, W, C) → (x/255 − mean) / std, float32, per channel.

    Fields:
        mean, std: one value per channel, in units of x/255, fitted on the training set.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __call__(self, images: jax.Array) -> jax.Array:
        scale = 1.0 / (255.0 * np.asarray(self.std, np.float32))
        offset = np.asarray(self.mean, np.float32) / np.asarray(self.std, np.float32)
        return images.astype(jnp.float32) * scale - offset
