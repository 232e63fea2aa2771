"""Candidates: one network trained under many settings, without compiling it again for each."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.data import Dataset, Split, shuffle
from jaxnets.data.preprocessing import fit_channel_mean_std
from jaxnets.errors import JaxnetsError, UnknownNameError
from jaxnets.losses import cross_entropy
from jaxnets.optim import Plateau
from jaxnets.tasks import recipe as build
from jaxnets.tasks.classification import classification
from jaxnets.tasks.recipe import Recipe
from jaxnets.train.state import TrainState, create_state
from jaxnets.train.step import train_step
from jaxnets.tune.search import Objective, Settings

# Settings that are arguments of the compiled step; all others are compiled in.
TRACED = ("learning_rate", "weight_decay", "label_smoothing")
# What may be searched: the fields of a recipe that decide how a given network learns.
SEARCHABLE = (
    *TRACED,
    *("augment", "batch_size", "clip_norm", "optimizer", "schedule", "warmup_epochs"),
)
_EVAL_BATCH = 500


class Candidates:
    """Trains the network of a recipe on one split and measures it on another, epoch by epoch.

    All candidates of one call begin with the same parameters and see the data in the same order,
    so that they differ by their settings alone. Learning rate, weight decay and label smoothing
    are arguments of the compiled step; another optimizer, augmentation or batch size compiles
    again, once.

    Args:
        recipe: what is not searched.
        dataset: names the classes and the image shape; its ``train`` split is trained on.
        held_out: measured on.
        epochs: of each candidate; the schedule spans them, warm-up is shortened in proportion.
        seed: of parameters, order and the steps' randomness.

    Raises:
        JaxnetsError: fewer images than classes or than a batch; a schedule that waits for
            plateaus, which has no length of its own.
    """

    def __init__(
        self,
        recipe: Recipe,
        dataset: Dataset,
        held_out: Split,
        epochs: int,
        *,
        seed: int = 0,
    ):
        count = len(dataset.train)
        if min(count, len(held_out)) < dataset.num_classes:
            raise JaxnetsError(
                f"{count} training and {len(held_out)} held-out images for "
                f"{dataset.num_classes} classes: each part needs one of every class at least"
            )
        self._recipe, self._dataset, self._held_out = recipe, dataset, held_out
        self._epochs, self._seed = epochs, seed
        self._preprocess = fit_channel_mean_std(dataset.train.images).apply
        self._network = build.build_network(
            recipe.model, dataset.num_classes, recipe.dtype, auxiliary=False
        )
        self._compiled: dict[Any, Any] = {}
        self._placed: dict[jax.Device, Any] = {}

    def objective(self) -> Objective:
        """For `run_trials`: the held-out accuracy after each epoch."""

        def accuracies(settings: list[Settings], device: jax.Device) -> Iterator[jax.Array]:
            for measured in self.train(settings, device):
                yield measured["accuracy"]

        return accuracies

    def train(
        self,
        settings: Sequence[Settings],
        device: jax.Device | None = None,
        *,
        measure_every: int = 1,
        seed: int | None = None,
    ) -> Iterator[dict[str, jax.Array]]:
        """Train one network for each of ``settings``; several are vmapped into one program.

        Args:
            settings: names of `SEARCHABLE` to values; those that are not `TRACED` must agree.
            device: where.
            measure_every: measure on the held-out split after every so many epochs, and the last.
            seed: another one than the constructor's; nothing is compiled again.

        Yields:
            after each measured epoch ``{"accuracy", "loss", "train_loss"}``, arrays
            (len(settings),), not waited for: held-out accuracy and cross entropy, and the mean
            loss over the epoch. The accuracy of a candidate whose loss is not finite is NaN.
            ``"batch_losses"``, (steps, len(settings)), are those of the epoch's steps.

        Raises:
            UnknownNameError: a name that cannot be searched.
            JaxnetsError: settings that cannot run together.
        """
        device = jax.local_devices()[0] if device is None else device
        recipe, hyper = self._split(settings)
        count = len(self._dataset.train)
        if recipe.batch_size > count:
            raise JaxnetsError(f"batch_size {recipe.batch_size} is above the {count} images")
        steps = count // recipe.batch_size
        start, step, measure = self._programs(recipe, steps, len(settings))
        images, labels, held_images, held_labels = self._place(device)
        hyper = jax.device_put(hyper, device)
        seed = self._seed if seed is None else seed
        state = start(hyper, jax.device_put(jax.random.key(seed), device))
        for epoch in range(self._epochs):
            order = shuffle.permutation(count, seed, epoch)
            losses = []
            for index in np.split(order[: steps * recipe.batch_size], steps):
                state, loss = step(state, hyper, images, labels, index.astype(np.int32))
                losses.append(loss)
                # A queue of a whole epoch would only hold memory.
                if len(losses) % 16 == 0:
                    losses[-16].block_until_ready()
            if (epoch + 1) % measure_every and epoch + 1 < self._epochs:
                continue
            hits, loss = 0.0, 0.0
            for first in range(0, len(held_labels), _EVAL_BATCH):
                part = slice(first, first + _EVAL_BATCH)
                new_hits, new_loss = measure(state, held_images[part], held_labels[part])
                hits, loss = hits + new_hits, loss + new_loss
            size = len(held_labels)
            batch_losses = jnp.stack(losses).reshape(steps, len(settings))
            train_loss = batch_losses.mean(0)
            accuracy = jnp.where(jnp.isfinite(train_loss), hits / size, jnp.nan)
            yield {
                "accuracy": accuracy.reshape(len(settings)),
                "loss": jnp.reshape(loss / size, len(settings)),
                "train_loss": train_loss,
                "batch_losses": batch_losses,
            }

    def _split(self, settings: Sequence[Settings]) -> tuple[Recipe, dict[str, np.ndarray]]:
        """The recipe that is compiled in, and the arguments."""
        base = {field.name: getattr(self._recipe, field.name) for field in fields(Recipe)}
        complete = []
        for one in settings:
            for name in one:
                if name not in SEARCHABLE:
                    raise UnknownNameError("hyper-parameter", name, SEARCHABLE)
            complete.append({**base, **one})
        fixed = [name for name in base if name not in TRACED]
        for name in fixed:
            if any(one[name] != complete[0][name] for one in complete):
                raise JaxnetsError(
                    f"{name} is compiled in, so trials with different ones run one by one: "
                    "take together=1"
                )
        epochs = self._epochs
        warmup = complete[0]["warmup_epochs"] * min(1.0, epochs / self._recipe.epochs)
        recipe = Recipe(**complete[0] | {"epochs": epochs, "warmup_epochs": warmup})
        replace(recipe, learning_rate=1.0, weight_decay=0.0, label_smoothing=0.0).check()
        for one in complete:
            replace(recipe, **{name: one[name] for name in TRACED}).check()
        return recipe, {name: np.float32([one[name] for one in complete]) for name in TRACED}

    def _place(self, device: jax.Device) -> Any:
        if device not in self._placed:
            train, held_out = self._dataset.train, self._held_out
            arrays = (train.images, train.labels, held_out.images, held_out.labels)
            self._placed[device] = jax.device_put(tuple(map(np.asarray, arrays)), device)
        return self._placed[device]

    def _programs(self, recipe: Recipe, steps: int, together: int) -> tuple[Callable, ...]:
        key = (replace(recipe, **dict.fromkeys(TRACED, 0.0)), together)
        if key not in self._compiled:
            self._compiled[key] = self._compile(recipe, steps, together)
        return self._compiled[key]

    def _compile(self, recipe: Recipe, steps: int, together: int) -> tuple[Callable, ...]:
        unit = build.build_schedule(replace(recipe, learning_rate=1.0), steps)
        if isinstance(unit, Plateau):
            raise JaxnetsError("a schedule that waits for plateaus cannot be searched; take cosine")
        network, classes = self._network, self._dataset.num_classes
        prepare = build.build_prepare(recipe, self._dataset)
        init_task = classification(classes)
        example = {"image": np.asarray(self._dataset.train.images[:1]), "label": np.zeros(1, int)}

        def rule_of(hyper):
            # Every schedule is proportional to its base rate, so the base can be an argument.
            return build.build_optimizer(
                replace(recipe, weight_decay=hyper["weight_decay"]),
                lambda count: hyper["learning_rate"] * unit(count),
            )

        def loss_of(hyper, logits, labels):
            smoothing = hyper["label_smoothing"]
            # Mixed images come with their labels as distributions already.
            mixed = labels.ndim == logits.ndim
            targets = labels if mixed else jax.nn.one_hot(labels, classes)
            return cross_entropy(logits, (1 - smoothing) * targets + smoothing / classes)

        def start(hyper, key):
            state = create_state(network, rule_of(hyper), example, key, task=init_task)
            return _arrays(state)

        def step(arrays, hyper, images, labels):
            state = TrainState(**arrays, apply_fn=network.apply, tx=rule_of(hyper))
            state, metrics = train_step(
                state,
                {"image": images, "label": labels},
                task=classification(
                    classes, loss=partial(loss_of, hyper), preprocess=self._preprocess
                ),
                prepare=prepare,
            )
            return _arrays(state), metrics["loss"]

        def measure(arrays, images, labels):
            variables = {"params": arrays["params"], **arrays["model_state"]}
            logits = network.apply(variables, self._preprocess(images), train=False)
            hits = (logits.argmax(-1) == labels).sum()
            return hits, cross_entropy(logits, labels, reduction="sum")

        if together > 1:
            start, step, measure = (
                jax.vmap(start, in_axes=(0, None)),
                jax.vmap(step, in_axes=(0, 0, None, None)),
                jax.vmap(measure, in_axes=(0, None, None)),
            )

        def gathered(arrays, hyper, images, labels, index):
            if together == 1:
                hyper = jax.tree.map(lambda value: value[0], hyper)
            return step(arrays, hyper, images[index], labels[index])

        def started(hyper, key):
            if together == 1:
                hyper = jax.tree.map(lambda value: value[0], hyper)
            return start(hyper, key)

        return jax.jit(started), jax.jit(gathered, donate_argnums=0), jax.jit(measure)


def _arrays(state: TrainState) -> dict[str, Any]:
    names = ("step", "params", "model_state", "opt_state", "key")
    return {name: getattr(state, name) for name in names}


def split_held_out(split: Split, share: float, *, seed: int = 0) -> tuple[Split, Split]:
    """Cut a validation part from training images: (the rest, the part), every class in both.

    The test images stay untouched by the search.

    Args:
        split: images and labels.
        share: of the part, between 0 and 1.
        seed: which images.

    Raises:
        JaxnetsError: a share that leaves one of the two without an example of every class.

    >>> from jaxnets.data import load_dataset
    >>> train, valid = split_held_out(load_dataset("digits").train, 0.2)
    >>> len(train), len(valid)
    (1150, 287)
    """
    count = round(share * len(split))
    classes = len(np.unique(split.labels))
    if not 0 < share < 1 or min(count, len(split) - count) < classes:
        raise JaxnetsError(
            f"a share of {share:g} of {len(split)} images for validation leaves fewer "
            f"images than the {classes} classes in one of the two parts"
        )
    mask = np.zeros(len(split), bool)
    labels = np.asarray(split.labels)
    mask[shuffle.stratified_choice(labels, count, seed, use=shuffle.HOLDOUT)] = True
    images = np.asarray(split.images)
    return Split(images[~mask], labels[~mask]), Split(images[mask], labels[mask])
