"""Candidates: one network trained under many settings, without compiling it again for each."""

from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.data import Dataset, Split, shuffle
from jaxnets.data.preprocessing import fit_channel_mean_std
from jaxnets.errors import JaxnetsError, UnknownNameError
from jaxnets.tasks import recipe as build
from jaxnets.tasks.recipe import Recipe
from jaxnets.tune.candidate_programs import TRACED, CandidatePrograms, compile_candidates
from jaxnets.tune.search import Objective, Settings

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

    >>> from jaxnets.data import load_dataset
    >>> digits = load_dataset("digits", train_examples=100)
    >>> recipe = Recipe(model="mlp", batch_size=50, warmup_epochs=0.0, augment="none")
    >>> candidates = Candidates(recipe, digits, digits.test, epochs=1)
    >>> (measured,) = candidates.train([{"learning_rate": 1e-3}, {"learning_rate": 1e-2}])
    >>> measured["accuracy"].shape, measured["batch_losses"].shape
    ((2,), (2, 2))
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

    def _programs(self, recipe: Recipe, steps: int, together: int) -> CandidatePrograms:
        key = (replace(recipe, **dict.fromkeys(TRACED, 0.0)), together)
        if key not in self._compiled:
            self._compiled[key] = compile_candidates(
                self._network, recipe, self._dataset, self._preprocess, steps, together
            )
        return self._compiled[key]
