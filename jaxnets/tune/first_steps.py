"""Steps 1 to 3 for a recipe: first loss, overfitting a small set, the range of learning rates."""

from pathlib import Path
from typing import Any

import jax

from jaxnets.data import Dataset, stratified_subset
from jaxnets.data.preprocessing import fit_channel_mean_std
from jaxnets.optim import mask_by_name
from jaxnets.optim.regularize import elastic_penalty
from jaxnets.tasks import recipe as build
from jaxnets.tasks.recipe import Recipe
from jaxnets.tune import figures
from jaxnets.tune.examples import draw_batches
from jaxnets.tune.first_loss import check_first_loss
from jaxnets.tune.learning_rate_range import range_test
from jaxnets.tune.overfit import overfit_small_set
from jaxnets.tune.rate_grid import rate_grid
from jaxnets.tune.training_loss import classification_loss


def first_steps(
    recipe: Recipe,
    dataset: Dataset,
    workdir: Path,
    *,
    small_set: int,
    overfit_steps: int,
    rates: int,
) -> dict[str, Any]:
    """Run the three steps, and draw rates.png.

    Args:
        recipe: network, optimizer and batch size.
        dataset: whose training split is used.
        workdir: for the picture.
        small_set: images to overfit.
        overfit_steps: budget for that.
        rates: steps of the range test.

    Returns:
        What they found as JSON values: ``first_loss``, ``overfit`` and ``rates``, each with its
        ``findings`` as sentences.

    >>> import tempfile
    >>> from jaxnets.data import load_dataset
    >>> found = first_steps(
    ...     Recipe(model="mlp", batch_size=20), load_dataset("digits", train_examples=100),
    ...     Path(tempfile.mkdtemp()), small_set=20, overfit_steps=100, rates=40)
    >>> found["first_loss"]["ok"], found["overfit"]["images"]
    (True, 20)
    """
    network = build.build_network(recipe.model, dataset.num_classes, recipe.dtype)
    preprocess = fit_channel_mean_std(dataset.train.images).apply
    few = stratified_subset(dataset.train, min(256, len(dataset.train)))
    keys = {"params": jax.random.key(recipe.seed), "dropout": jax.random.key(recipe.seed + 1)}
    variables = jax.jit(lambda x: network.init(keys, preprocess(x), train=False))(few.images[:1])
    loss = check_first_loss(
        network,
        variables,
        few.images,
        few.labels,
        num_classes=dataset.num_classes,
        preprocess=preprocess,
        penalty=lambda params: elastic_penalty(params, l2=1e-4, mask=mask_by_name),
    )

    small = stratified_subset(dataset.train, min(small_set, len(dataset.train)))
    overfit = overfit_small_set(
        network, small.images, small.labels, steps=overfit_steps, preprocess=preprocess
    )

    batch_size = min(recipe.batch_size, len(dataset.train))
    batches = draw_batches(dataset.train, batch_size, rates, seed=recipe.seed)
    loss_of = classification_loss(network, variables, preprocess=preprocess)
    swept = range_test(loss_of, variables["params"], batches, optimizer=recipe.optimizer)
    grid = rate_grid(loss_of, variables["params"], batches, optimizer=recipe.optimizer)
    figures.save_rates(swept, grid, workdir / "rates.png")
    return {
        "first_loss": {
            "loss": loss.loss,
            "expected": loss.expected,
            "with_penalty": loss.penalized,
            "ok": loss.ok,
            "findings": list(loss.findings),
        },
        "overfit": {
            "images": len(small),
            "steps": overfit.steps,
            "accuracy": overfit.accuracy,
            "ok": overfit.ok,
            "findings": list(overfit.findings),
        },
        "rates": {
            "suggestion": swept.suggestion,
            "diverged_at": swept.diverged_at,
            "grid": dict(zip(map(str, grid.rates.tolist()), grid.verdicts, strict=True)),
            "grid_best": grid.best,
            "findings": [swept.finding, grid.finding],
        },
    }
