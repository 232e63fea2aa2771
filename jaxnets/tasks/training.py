"""Train a classifier by a recipe: data, network, task, run, pictures."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import optax

from jaxnets.data import Dataset, load_dataset, shuffle
from jaxnets.data.preprocessing import fit_channel_mean_std
from jaxnets.errors import JaxnetsError
from jaxnets.models import count_macs, count_parameters, model_info
from jaxnets.optim import Plateau
from jaxnets.tasks import recipe as build
from jaxnets.tasks.class_report import class_table, predict_source, save_mistakes, table_text
from jaxnets.tasks.classifier import ClassifierInfo
from jaxnets.tasks.recipe import Recipe
from jaxnets.tasks.report import first_filters, save_confusion, save_filters
from jaxnets.train import BATCH_AXIS, Fitted, RunOptions, fit, read_metrics
from jaxnets.train.curves import save_curves
from jaxnets.train.processes import is_main, join
from jaxnets.train.run_directory import settings_of, write_json


class Start(NamedTuple):
    """Where training begins, if not at random numbers.

    Attributes:
        variables: the network's, with as many classes as the data.
        mean, std: of the images that the weights were trained with, in gray levels.
        wrap_apply: see `jaxnets.train.fit`; with frozen layers.
        wrap_optimizer: the recipe's optimizer → the one that leaves frozen layers alone.

    >>> Start({"params": {}}, (127.5,), (127.5,)).wrap_apply is None
    True
    """

    variables: dict[str, Any]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    wrap_apply: Callable[[Callable], Callable] | None = None
    wrap_optimizer: Callable[[optax.GradientTransformation], optax.GradientTransformation] = (
        lambda rule: rule
    )


def load_recipe_dataset(recipe: Recipe, data_dir: Path | None = None) -> Dataset:
    """The recipe's data set.

    Args:
        recipe: which, and how it is cut and brought to a size.
        data_dir: where prepared TFDS sets lie.

    Returns:
        A `jaxnets.data.Dataset`.

    Raises:
        JaxnetsError: see `jaxnets.data.load_dataset`.

    >>> len(load_recipe_dataset(Recipe(validation=0.1)).validation)
    145
    """
    return load_dataset(
        recipe.dataset,
        data_dir=data_dir,
        train_examples=recipe.train_examples,
        size=recipe.image_size,
        validation=recipe.validation,
        skip_broken=recipe.skip_broken,
    )


def train_classifier(
    recipe: Recipe,
    options: RunOptions,
    *,
    data_dir: Path | None = None,
    dataset: Dataset | None = None,
    start: Start | None = None,
) -> dict[str, Any]:
    """Train (or resume) a network on a data set and leave a run that `load_classifier` reads.

    Args:
        recipe: what decides the result.
        options: how the run is carried out; ``workdir`` by default is
            ``runs/train_classifier/DATASET-MODEL``.
        data_dir: where prepared TFDS sets lie.
        dataset: the recipe's data set, where it is loaded already, or one of your own.
        start: where training begins (`jaxnets.transfer.fine_tune` makes it).

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
    ['confusion.png', 'curves.png', 'filters.png', 'mistakes.png']
    >>> classifier, step = load_classifier(options.workdir)
    >>> step, classifier(load_dataset("digits").test.images[:3]).shape
    (44, (3, 10))
    """
    recipe.check()
    join(options)
    dataset = dataset or load_recipe_dataset(recipe, data_dir)
    for skipped in dataset.train.info.get("skipped", ()):
        options.say(f"left out: {skipped}")
    mapped = options.parallel == "pmap"
    auxiliary = start is None and build.has_auxiliary(recipe.model, dataset.image_shape)
    if start is None and model_info(recipe.model).auxiliary and not auxiliary:
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
    if start is not None:
        info = replace(info, mean=start.mean, std=start.std)
    # Of a recipe's name nothing depends; what it stands for is among the other settings.
    settings = {k: v for k, v in settings_of(recipe, Recipe).items() if k != "recipe"}
    workdir = options.workdir or default_workdir(recipe)
    try:
        parameters = count_parameters(network, dataset.image_shape)
        macs = count_macs(network, dataset.image_shape)
    except (TypeError, ValueError, ZeroDivisionError) as error:
        raise JaxnetsError(
            f"--model {recipe.model} cannot work on images {tuple(dataset.image_shape)} of "
            f"{recipe.dataset}, for which it is too deep or not made: {error}"
        ) from error
    balance = balance_of(recipe, dataset)
    rule = build.build_optimizer(recipe, schedule)
    fitted = fit(
        network,
        dataset,
        task=build.build_task(
            recipe,
            dataset.num_classes,
            info.preprocess,
            auxiliary=auxiliary,
            class_weights=balance.get("class_weights"),
            total_steps=recipe.epochs * steps_per_epoch,
        ),
        optimizer=rule if start is None else start.wrap_optimizer(rule),
        epochs=recipe.epochs,
        batch_size=recipe.batch_size,
        workdir=workdir,
        early_stopping=recipe.early_stopping,
        order=balance.get("order"),
        prepare=build.build_prepare(recipe, dataset, axis_name=BATCH_AXIS if mapped else None),
        microbatches=recipe.microbatches,
        seed=recipe.seed,
        variables=None if start is None else start.variables,
        wrap_apply=None if start is None else start.wrap_apply,
        after_evaluation=_observe_plateau(schedule, mapped),
        settings=settings,
        # Runs that began before a setting existed did what its default does.
        settings_before=settings_of(Recipe(), Recipe),
        meta={"classifier": info.to_json(), "config": settings},
        summarize=partial(_summarize, recipe, dataset, info, workdir, steps_per_epoch, options),
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
    dataset = recipe.dataset
    if dataset.startswith(("folder:", "arrays:")):  # the last part of a path names it
        dataset = Path(dataset.partition(":")[2]).expanduser().resolve().stem
    name = f"{dataset}-{recipe.model}".replace("/", "-").replace(":", "-")
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


def balance_of(recipe: Recipe, dataset: Dataset) -> dict[str, Any]:
    """What the recipe's ``balance`` asks for: class weights, or an order of the examples.

    Weights are w_k = N / (K n_k), so that every class weighs the same and the mean weight is 1.

    Args:
        recipe: its ``balance``.
        dataset: whose training labels are counted.

    Returns:
        ``{"class_weights": [K]}``, ``{"order": (seed, epoch) → rows}``, or nothing.

    >>> digits = load_dataset("digits", train_examples=50)
    >>> balance_of(Recipe(balance="weights"), digits)["class_weights"][:2]
    [1.0, 1.0]
    """
    if recipe.balance == "sampler":
        return {"order": partial(shuffle.balanced_order, dataset.train.labels)}
    if recipe.balance == "weights":
        counts = np.bincount(dataset.train.labels, minlength=dataset.num_classes)
        present = (counts > 0).sum()
        weights = np.where(counts > 0, counts.sum() / (present * np.maximum(counts, 1)), 0.0)
        return {"class_weights": weights.tolist()}
    return {}


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
    recipe: Recipe,
    dataset: Dataset,
    info: ClassifierInfo,
    path: Path,
    steps_per_epoch: int,
    options: RunOptions,
    fitted: Fitted,
) -> dict[str, Any]:
    save_curves(read_metrics(path), path / "curves.png", epoch_steps=steps_per_epoch)
    confusion, names = fitted.measured["confusion"], dataset.class_names
    save_confusion(confusion, names, path / "confusion.png")
    filters = first_filters(fitted.variables["params"], dataset.image_shape)
    if filters is not None:
        save_filters(filters, path / "filters.png")
    table = class_table(confusion, names)
    write_json(path / "classes.json", table)
    options.say(table_text(table, most=10))
    network = info.network()
    found = predict_source(
        lambda images: network.apply(fitted.variables, info.preprocess(images), train=False),
        dataset.test,
    )
    save_mistakes(found, dataset.test, names, path / "mistakes.png")
    return {
        "dataset": recipe.dataset,
        "model": recipe.model,
        "test_accuracy": fitted.measured["accuracy"],
        "test_loss": fitted.measured["loss"],
    }


def _report(summary: dict[str, Any], path: Path) -> str:
    speed = summary["examples_per_second"]
    memory = summary["peak_memory_bytes"] / 2**20
    files = ["summary.json", "metrics.jsonl", "classes.json"]
    files += sorted(file.name for file in path.glob("*.png"))
    epochs = summary["epochs"]
    return (
        f"test accuracy {100 * summary['test_accuracy']:.2f} % after {epochs} "
        f"epoch{'s' if epochs != 1 else ''}, {summary['steps']} steps; {speed:,.0f} images/s, "
        f"peak memory {memory:,.0f} MiB\n{path}: {', '.join(files)}"
    )
