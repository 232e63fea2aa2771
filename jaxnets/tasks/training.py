"""Train a classifier by a recipe: data, network, task, run, pictures."""

from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxnets.data import Dataset, load_dataset
from jaxnets.data.preprocessing import fit_channel_mean_std
from jaxnets.errors import JaxnetsError
from jaxnets.models import count_macs, count_parameters, model_info
from jaxnets.optim import Plateau
from jaxnets.tasks import recipe as build
from jaxnets.tasks.classifier import ClassifierInfo
from jaxnets.tasks.recipe import Recipe
from jaxnets.tasks.report import first_filters, save_confusion, save_curves, save_filters
from jaxnets.train import BATCH_AXIS, Fitted, RunOptions, fit, read_metrics
from jaxnets.train.processes import is_main, join
from jaxnets.train.run_directory import settings_of


def train_classifier(
    recipe: Recipe, options: RunOptions, *, data_dir: Path | None = None
) -> dict[str, Any]:
    """Train (or resume) a network on a data set and leave a run that `load_classifier` reads.

    Args:
        recipe: what decides the result.
        options: how the run is carried out; ``workdir`` by default is
            ``runs/train_classifier/DATASET-MODEL``.
        data_dir: where prepared TFDS sets lie.

    Returns:
        The contents of ``summary.json``. A run that was asked to stop (SIGTERM) returns
        ``{"interrupted_at": step}`` after it has saved its state.

    Raises:
        JaxnetsError: whatever a user can mend.
        KeyboardInterrupt: after Ctrl-C, when the state is saved.

    >>> import tempfile
    >>> from jaxnets.tasks import load_classifier
    >>> recipe = Recipe(model="mlp", epochs=1, warmup_epochs=0, batch_size=32, augment="none")
    >>> options = RunOptions(workdir=Path(tempfile.mkdtemp()), devices=1, quiet=True)
    >>> summary = train_classifier(recipe, options)
    >>> summary["steps"], summary["test_accuracy"] > 0.8
    (44, True)
    >>> sorted(path.name for path in options.workdir.glob("*.png"))
    ['confusion.png', 'curves.png', 'filters.png']
    >>> classifier, step = load_classifier(options.workdir)
    >>> step, classifier(load_dataset("digits").test.images[:3]).shape
    (44, (3, 10))
    """
    recipe.check()
    join(options)
    dataset = load_dataset(recipe.dataset, data_dir=data_dir, train_examples=recipe.train_examples)
    mapped = options.parallel == "pmap"
    auxiliary = build.has_auxiliary(recipe.model, dataset.image_shape)
    if model_info(recipe.model).auxiliary and not auxiliary:
        options.say(
            f"images {dataset.image_shape} are too small for {recipe.model}'s auxiliary heads"
        )
    network = build.build_network(
        recipe.model,
        dataset.num_classes,
        recipe.dtype,
        synchronize=mapped,
        auxiliary=auxiliary,
        drop_path=recipe.drop_path,
    )
    steps_per_epoch = max(1, len(dataset.train) // recipe.batch_size)
    schedule = build.build_schedule(recipe, steps_per_epoch)
    info = describe(recipe, dataset, auxiliary=auxiliary)
    settings = settings_of(recipe, Recipe)
    workdir = options.workdir or default_workdir(recipe)
    try:
        parameters = count_parameters(network, dataset.image_shape)
        macs = count_macs(network, dataset.image_shape)
    except (TypeError, ValueError, ZeroDivisionError) as error:
        raise JaxnetsError(
            f"--model {recipe.model} cannot work on images {tuple(dataset.image_shape)} of "
            f"{recipe.dataset}, for which it is too deep or not made: {error}"
        ) from error
    fitted = fit(
        network,
        dataset.train,
        task=build.build_task(
            recipe,
            dataset.num_classes,
            info.preprocess,
            auxiliary=auxiliary,
            total_steps=recipe.epochs * steps_per_epoch,
        ),
        optimizer=build.build_optimizer(recipe, schedule),
        epochs=recipe.epochs,
        batch_size=recipe.batch_size,
        workdir=workdir,
        test=dataset.test,
        prepare=build.build_prepare(recipe, dataset, axis_name=BATCH_AXIS if mapped else None),
        microbatches=recipe.microbatches,
        seed=recipe.seed,
        after_evaluation=_observe_plateau(schedule, mapped),
        settings=settings,
        meta={"classifier": info.to_json(), "config": settings},
        summarize=lambda fitted: _summarize(recipe, dataset, workdir, steps_per_epoch, fitted),
        title=f"{recipe.model} ({parameters:,} parameters, {macs:,} MACs an image) on "
        f"{recipe.dataset}",
        options=options,
    )
    if is_main() and not fitted.interrupted:
        options.say(_report(fitted.summary, workdir))
    if fitted.finished_before:
        options.say("This run is finished; --restart begins anew.")
    return fitted.summary


def default_workdir(recipe: Recipe) -> Path:
    """``runs/train_classifier/DATASET-MODEL``."""
    name = f"{recipe.dataset}-{recipe.model}".replace("/", "-").replace(":", "-")
    return Path("runs/train_classifier") / name


def describe(recipe: Recipe, dataset: Dataset, *, auxiliary: bool = False) -> ClassifierInfo:
    """What must be known beside the arrays to use the network; statistics of the training set."""
    statistics = fit_channel_mean_std(dataset.train.images)
    return ClassifierInfo(
        model=recipe.model,
        dtype=recipe.dtype,
        class_names=tuple(dataset.class_names),
        image_shape=tuple(dataset.image_shape),
        mean=tuple(map(float, np.ravel(statistics.mean))),
        std=tuple(map(float, np.ravel(statistics.std))),
        dataset=recipe.dataset,
        auxiliary=auxiliary,
    )


def _observe_plateau(schedule, mapped: bool):
    """Tell a plateau schedule the test loss after each evaluation."""
    if not isinstance(schedule, Plateau):
        return None

    def observe(state, measured):
        def one(opt_state):
            return schedule.observe(opt_state, measured["loss"])

        return state.replace(opt_state=(jax.vmap(one) if mapped else one)(state.opt_state))

    return observe


def _summarize(
    recipe: Recipe, dataset: Dataset, path: Path, steps_per_epoch: int, fitted: Fitted
) -> dict[str, Any]:
    save_curves(read_metrics(path), path / "curves.png", epoch_steps=steps_per_epoch)
    save_confusion(fitted.measured["confusion"], dataset.class_names, path / "confusion.png")
    filters = first_filters(fitted.variables["params"], dataset.image_shape)
    if filters is not None:
        save_filters(filters, path / "filters.png")
    return {
        "dataset": recipe.dataset,
        "model": recipe.model,
        "test_accuracy": fitted.measured["accuracy"],
        "test_loss": fitted.measured["loss"],
    }


def _report(summary: dict[str, Any], path: Path) -> str:
    speed = summary["examples_per_second"]
    memory = summary["peak_memory_bytes"] / 2**20
    return (
        f"test accuracy {100 * summary['test_accuracy']:.2f} % after {summary['epochs']} epochs, "
        f"{summary['steps']} steps; {speed:,.0f} images/s, peak memory {memory:,.0f} MiB\n"
        f"{path}: summary.json, metrics.jsonl, curves.png, confusion.png, filters.png"
    )
