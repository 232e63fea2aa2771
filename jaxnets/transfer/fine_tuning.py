"""Fine-tune published weights by a recipe: all layers, the classifier alone, or gradually."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import jax

from jaxnets.data import Dataset
from jaxnets.errors import JaxnetsError
from jaxnets.models import create_model
from jaxnets.pretrained import load, preprocessing
from jaxnets.tasks import Recipe, Start, load_classifier, train_classifier
from jaxnets.tasks.training import default_workdir, load_recipe_dataset
from jaxnets.train import RunOptions
from jaxnets.transfer.freeze import freeze, frozen_apply
from jaxnets.transfer.layers import layer_groups, layers_up_to
from jaxnets.transfer.rates import unfreezing_phases

# Gradual unfreezing: the classifier alone, then from the middle on, then everything.
PHASES = 3


def fine_tune(
    recipe: Recipe,
    options: RunOptions,
    *,
    data_dir: Path | None = None,
    dataset: Dataset | None = None,
) -> dict[str, Any]:
    """Train a network that begins with the weights of ``recipe.weights``.

    The classifier is made anew, images are normalized as the weights were trained, and
    ``recipe.fine_tune`` says which layers move: "all" (the default), "head", or "gradual": in three
    phases of equal length the classifier alone, the later half, everything. Frozen layers keep
    every bit, their running statistics included.

    Args:
        recipe: what decides the result; has ``weights``.
        options: how the run is carried out. Earlier phases leave their runs in
            ``WORKDIR/phases/``.
        data_dir: where prepared TFDS sets lie.
        dataset: the recipe's data set, where it is loaded already, or one of your own.

    Returns:
        The contents of ``summary.json``.

    Raises:
        JaxnetsError: no weights, weights that do not fit, images of other channels.
        KeyboardInterrupt: after Ctrl-C, when the state is saved.

    >>> fine_tune(Recipe(), RunOptions())
    Traceback (most recent call last):
    jaxnets.errors.JaxnetsError: fine-tuning begins with weights: give --weights FILE
    """
    if recipe.weights is None:
        raise JaxnetsError("fine-tuning begins with weights: give --weights FILE")
    recipe.check()
    known = preprocessing(recipe.model)
    if recipe.image_size is None and recipe.dataset.startswith("folder:"):
        recipe = replace(recipe, image_size=known.crop)
    dataset = dataset or load_recipe_dataset(recipe, data_dir)
    if dataset.image_shape[-1] != known.channels:
        raise JaxnetsError(
            f"--dataset {recipe.dataset} has images {tuple(dataset.image_shape)}; {recipe.model} "
            f"was published for {known.channels} channel(s)"
        )
    # The head is drawn by a key of its own; the run's other randomness is as without weights.
    network, variables = load(
        recipe.model,
        recipe.weights,
        num_classes=dataset.num_classes,
        reset_head=True,
        key=jax.random.fold_in(jax.random.key(recipe.seed), 1),
    )
    if network != create_model(recipe.model, num_classes=dataset.num_classes):
        raise JaxnetsError(
            f"--weights {recipe.weights}: these weights want {recipe.model} with other fields than "
            "its own, which a run cannot keep; use jaxnets.pretrained.load and jaxnets.train.fit"
        )
    shape = tuple(dataset.image_shape)
    mean, std = tuple(255 * m for m in known.mean), tuple(255 * s for s in known.std)
    workdir = options.workdir or default_workdir(recipe)
    options = replace(options, workdir=workdir)
    if recipe.fine_tune != "gradual":
        to = "backbone" if recipe.fine_tune == "head" else None
        start = _start(variables, mean, std, layers_up_to(network, shape, to))
        return train_classifier(recipe, options, dataset=dataset, start=start)
    phases = _phases(network, shape)
    epochs = _share(recipe.epochs, len(phases))
    summary: dict[str, Any] = {}
    for number, (frozen, count) in enumerate(zip(phases, epochs, strict=True), 1):
        last = number == len(phases)
        place = workdir if last else workdir / "phases" / str(number)
        options.say(f"phase {number} of {len(phases)}: {len(frozen)} layers frozen, {count} epochs")
        start = _start(variables, mean, std, frozen)
        phase = replace(
            recipe, epochs=count, early_stopping=recipe.early_stopping if last else None
        )
        at = replace(options, workdir=place)
        summary = train_classifier(phase, at, dataset=dataset, start=start)
        if "interrupted_at" in summary:
            return summary
        if not last:
            variables = load_classifier(place, notify=options.say)[0].variables
    return summary


def _start(
    variables: dict[str, Any], mean: tuple[float, ...], std: tuple[float, ...], frozen: tuple
) -> Start:
    if not frozen:
        return Start(variables, mean, std)
    return Start(
        variables,
        mean,
        std,
        partial(frozen_apply, frozen=frozen),
        partial(freeze, frozen=frozen),
    )


def _phases(network: Any, shape: tuple[int, int, int]) -> list[tuple[str, ...]]:
    """The frozen layers of each phase: all but the head, the earlier half, none."""
    every = unfreezing_phases(layer_groups(network, shape))
    places = sorted({0, len(every) // 2, len(every) - 1})
    return [every[place] for place in places]


def _share(epochs: int, phases: int) -> list[int]:
    """Epochs of each phase; a run shorter than its phases gives each of them one.

    >>> _share(20, 3), _share(1, 3)
    ([6, 6, 8], [1, 1, 1])
    """
    each = max(1, epochs // phases)
    return [each] * (phases - 1) + [max(1, epochs - each * (phases - 1))]
