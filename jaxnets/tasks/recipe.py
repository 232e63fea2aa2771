"""What decides the result of training a classifier: the settings, and what they are turned into."""

import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from jaxnets.augment import chain, create_policy, cutmix, mixup, per_example
from jaxnets.data import Dataset
from jaxnets.errors import JaxnetsError
from jaxnets.losses import cross_entropy
from jaxnets.models import create_model, model_info
from jaxnets.models.lenet import map_loss
from jaxnets.nn import BatchNorm
from jaxnets.optim import Plateau, create_optimizer, create_schedule, mask_by_name
from jaxnets.tasks.classification import classification
from jaxnets.train.parallel import BATCH_AXIS
from jaxnets.train.task import Task

DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}


@dataclass(frozen=True)
class Recipe:
    """The settings that decide what is learned; two runs with equal recipes learn the same.

    Attributes:
        dataset: "digits" (embedded), folder:PATH (a sub-folder of images for each class),
            arrays:FILE.npz, or a TFDS image-classification set by its name.
        image_size: bring images to squares of this side: the shorter side resized, the center cut
            out.
        validation: split off this share of the training images; the parameters that are best
            there are the result, and the test images are looked at once.
        skip_broken: of a folder: leave out files that cannot be read.
        train_examples: train on this many examples only, equally many of each class.
        model: a name of `jaxnets.list_models()`.
        weights: begin with the weights of this file (.safetensors, .pth, .th, .npz, hf://…,
            https://…), with a new classifier, and their own normalization.
        fine_tune: with weights: train all layers, the new classifier alone (head), or the
            classifier first and then more and more (gradual).
        recipe: settings that suit network and data (auto), or one of
            `jaxnets.tasks.list_recipes()`; what is given beside it wins.
        epochs: passes over the training set.
        batch_size: examples per update, over all devices.
        optimizer: a name of `jaxnets.optim.list_optimizers()`.
        learning_rate: the highest learning rate.
        schedule: a name of `jaxnets.optim.list_schedules()`.
        warmup_epochs: the learning rate rises linearly from 0 over these epochs.
        weight_decay: λ of the optimizer; not applied to biases and normalization.
        clip_norm: scale gradients down to this global norm.
        label_smoothing: ε: targets (1 − ε)·one-hot + ε/K.
        loss: "cross_entropy", or "map": the criterion of LeNet-5's paper, for lenet5_1998.
        drop_path: highest probability to drop a path of a network that has such a field; NASNet's
            rises to it over the run.
        augment: a name of `jaxnets.augment.list_policies()`: crops of the image padded by an
            eighth, on request mirrored; or as AlexNet or GoogLeNet did.
        cutout: hide a square of so many pixels a side; 16 is usual on CIFAR-10.
        mixup: α: train on weighted means of two images and labels; 1 is usual on CIFAR-10.
        cutmix: α: paste a rectangle of another image and mix the labels by area; usually 1.
        dtype: compute in this dtype; parameters, statistics and losses stay float32.
        microbatches: work through each device's batch in this many parts (gradient accumulation).
        early_stopping: stop after so many evaluations without a better loss on the validation
            split.
        balance: for classes of unequal size: weights of the loss, or a sampler that shows all
            classes equally often.
        seed: of the initial parameters, the order of the data and all randomness of the steps.

    >>> recipe = Recipe(dataset="cifar10", model="resnet20", augment="crop_flip", mixup=0.2)
    >>> recipe.check()
    >>> Recipe(mixup=0.2, cutmix=1.0).check()
    Traceback (most recent call last):
    jaxnets.errors.JaxnetsError: --mixup and --cutmix exclude each other; give one of them
    """

    dataset: str = "digits"
    image_size: int | None = None
    validation: float | None = None
    skip_broken: bool = False
    train_examples: int | None = None
    model: str = "lenet5"
    weights: str | None = None
    fine_tune: Literal["all", "head", "gradual"] | None = None
    recipe: str | None = None
    epochs: int = 50
    batch_size: int = 64
    optimizer: str = "adam"
    learning_rate: float = 3e-3
    schedule: str = "cosine"
    warmup_epochs: float = 1.0
    weight_decay: float = 0.0
    clip_norm: float | None = None
    label_smoothing: float = 0.05
    loss: Literal["cross_entropy", "map"] = "cross_entropy"
    drop_path: float | None = None
    augment: Literal["none", "crop", "crop_flip", "alexnet", "googlenet"] = "crop"
    cutout: int = 0
    mixup: float = 0.0
    cutmix: float = 0.0
    dtype: Literal["float32", "bfloat16"] = "float32"
    microbatches: int = 1
    early_stopping: int | None = None
    balance: Literal["weights", "sampler"] | None = None
    seed: int = 0

    def check(self) -> None:
        """Raise a `JaxnetsError` for values that no run can have."""
        for name, value in vars(self).items():
            option = f"--{name.replace('_', '-')}"
            if isinstance(value, float) and not math.isfinite(value):
                raise JaxnetsError(f"{option} must be a finite number, got {value}")
            counts = ("epochs", "batch_size", "learning_rate", "microbatches")
            if name in counts and not value > 0:
                raise JaxnetsError(f"{option} must be above 0, got {value}")
            not_negative = ("warmup_epochs", "weight_decay", "cutout", "mixup", "cutmix", "seed")
            if name in not_negative and value < 0:
                raise JaxnetsError(f"{option} must be 0 or more, got {value}")
        if self.seed >= 2**63:
            raise JaxnetsError(f"--seed must be below 2**63, got {self.seed}")
        if not 0 <= self.label_smoothing < 1:
            raise JaxnetsError(f"--label-smoothing must lie in [0, 1), got {self.label_smoothing}")
        if self.early_stopping is not None and self.validation is None:
            raise JaxnetsError(
                "--early-stopping needs images that are neither trained nor tested on: add "
                "--validation 0.1"
            )
        for name in ("image_size", "early_stopping"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise JaxnetsError(f"--{name.replace('_', '-')} must be at least 1, got {value}")
        if self.validation is not None and not 0 < self.validation < 1:
            raise JaxnetsError(f"--validation must lie between 0 and 1, got {self.validation}")
        if self.fine_tune is not None and self.weights is None:
            raise JaxnetsError(f"--fine-tune {self.fine_tune} needs --weights FILE to begin with")
        if self.loss == "map" and (self.label_smoothing or self.mixup or self.cutmix):
            raise JaxnetsError(
                "--loss map takes class numbers: give --label-smoothing 0, --mixup 0, --cutmix 0"
            )
        if self.loss == "map" and self.balance == "weights":
            raise JaxnetsError("--loss map takes no weights: give --balance sampler")
        if self.drop_path is not None and not 0 <= self.drop_path < 1:
            raise JaxnetsError(f"--drop-path must lie in [0, 1), got {self.drop_path}")
        if self.mixup and self.cutmix:
            raise JaxnetsError("--mixup and --cutmix exclude each other; give one of them")
        if self.clip_norm is not None and not self.clip_norm > 0:
            raise JaxnetsError(f"--clip-norm must be above 0, got {self.clip_norm}")

    @property
    def warmup(self) -> float:
        """The warm-up in epochs; where it leaves nothing of the run, a quarter of the run."""
        return self.warmup_epochs if self.warmup_epochs < self.epochs else self.epochs / 4


def build_network(
    name: str,
    num_classes: int,
    dtype: str = "float32",
    *,
    synchronize: bool = False,
    auxiliary: bool = False,
    drop_path: float | None = None,
) -> nn.Module:
    """The network of a recipe.

    Args:
        name: as in `jaxnets.create_model`.
        num_classes: K.
        dtype: compute dtype.
        synchronize: batch normalization takes its statistics over all devices of a `pmap`; under
            `jit` they are always those of the whole batch.
        auxiliary: with the auxiliary heads that the network was published with (see
            `has_auxiliary`); they have no part in evaluation.
        drop_path: probability to drop a path, for networks with such a field; None leaves it.

    Raises:
        JaxnetsError: unknown name (the nearest are named), or a network that classifies no images.
    """
    kind = model_info(name).task
    if kind != "classification":
        raise JaxnetsError(
            f"{name} is a network for {kind}; expected one of list_models(task='classification')"
        )
    network = create_model(name, num_classes=num_classes)
    has_fields = type(network).__dataclass_fields__
    changes: dict[str, Any] = {}
    if auxiliary:
        changes["auxiliary"] = True
    if drop_path is not None:
        if "drop_path" not in has_fields:
            raise JaxnetsError(f"--drop-path {drop_path}: {name} drops no paths")
        changes["drop_path"] = drop_path
    if dtype != "float32":
        changes["dtype"] = DTYPES[dtype]
    if synchronize and "norm" in has_fields:
        changes["norm"] = partial(BatchNorm, axis_name=BATCH_AXIS)
    return network.clone(**changes) if changes else network


def has_auxiliary(name: str, image_shape: tuple[int, int, int]) -> bool:
    """Whether a network was published with auxiliary heads, and can have them on such images.

    >>> has_auxiliary("googlenet", (224, 224, 3)), has_auxiliary("resnet50", (224, 224, 3))
    (True, False)
    """
    if not model_info(name).auxiliary:
        return False
    network = build_network(name, 2, auxiliary=True)
    images = jax.ShapeDtypeStruct((1, *image_shape), jnp.float32)
    keys = {"params": jax.random.key(0), "dropout": jax.random.key(0)}
    try:
        jax.eval_shape(lambda x: network.init(keys, x, train=True), images)
    except ValueError:
        return False
    return True


def build_schedule(recipe: Recipe, steps_per_epoch: int) -> optax.Schedule | Plateau:
    """The recipe's learning rate over the whole run."""
    # The papers' schedules that are given in epochs.
    per_epoch = recipe.schedule in ("googlenet", "inception")
    options = {"steps_per_epoch": steps_per_epoch} if per_epoch else {}
    try:
        return create_schedule(
            recipe.schedule,
            recipe.learning_rate,
            recipe.epochs * steps_per_epoch,
            warmup_steps=round(recipe.warmup * steps_per_epoch),
            **options,
        )
    except JaxnetsError:
        raise
    except ValueError as error:
        raise JaxnetsError(f"--schedule {recipe.schedule}: {error}") from error


def build_optimizer(
    recipe: Recipe, schedule: optax.Schedule | Plateau
) -> optax.GradientTransformation:
    """The recipe's optimizer; weights alone decay, by their role (`jaxnets.optim.mask_by_name`)."""
    return create_optimizer(
        recipe.optimizer,
        schedule,
        weight_decay=recipe.weight_decay,
        clip_norm=recipe.clip_norm,
        mask=mask_by_name,
    )


def build_loss(recipe: Recipe):
    """The recipe's loss: cross entropy with its label smoothing, or LeNet-5's of 1998."""
    if recipe.loss == "map":
        return _mean_map_loss
    if recipe.label_smoothing == 0:
        return cross_entropy
    return partial(cross_entropy, label_smoothing=recipe.label_smoothing)


def _mean_map_loss(logits: jax.Array, labels: jax.Array) -> jax.Array:
    return map_loss(logits, labels).mean()


def build_prepare(recipe: Recipe, dataset: Dataset, *, axis_name: str | None = None):
    """(key, batch, example_ids) → batch, or None: the ``prepare`` of `train_step`.

    Args:
        recipe: which augmentation and mixing.
        dataset: whose training images it is made for.
        axis_name: the mapped axis under `pmap`, so that examples mix across devices.

    Raises:
        JaxnetsError: an augmentation that does not fit the images.
    """
    try:
        policy = create_policy(recipe.augment, dataset.train.images, cutout_size=recipe.cutout)
    except ValueError as error:
        raise JaxnetsError(f"--augment {recipe.augment}: {error}") from error
    mix = None
    if recipe.mixup:
        mix = partial(mixup, alpha=recipe.mixup)
    elif recipe.cutmix:
        mix = partial(cutmix, alpha=recipe.cutmix)
    return chain(
        None if policy is None else per_example(policy),
        mix and partial(mix, num_classes=dataset.num_classes, axis_name=axis_name),
    )


def build_task(
    recipe: Recipe,
    num_classes: int,
    preprocess: Callable[[jax.Array], jax.Array],
    *,
    auxiliary: bool = False,
    class_weights: Sequence[float] | None = None,
    total_steps: int | None = None,
) -> Task:
    """The recipe's task: its loss with label smoothing, and the losses of auxiliary heads.

    A network that takes ``progress``, the share of training that is done, is told it.

    Args:
        recipe: which network and loss.
        num_classes: K.
        preprocess: images as stored → images as the network wants them.
        auxiliary: whether `build_network` gave the network its auxiliary heads.
        class_weights: of the loss; see `classification`.
        total_steps: updates of the whole run; needed for ``progress``.
    """
    weights = model_info(recipe.model).auxiliary if auxiliary else {}
    scheduled = {}
    arguments = inspect.signature(type(create_model(recipe.model)).__call__).parameters
    if total_steps is not None and "progress" in arguments:
        scheduled["progress"] = lambda step: step / total_steps
    return classification(
        num_classes,
        loss=build_loss(recipe),
        preprocess=preprocess,
        auxiliary=weights,
        class_weights=class_weights,
        scheduled=scheduled,
    )
