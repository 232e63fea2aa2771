"""The whole procedure: from a data set to a recipe, a comparison with the default, and a report."""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import jax

from jaxnets.data import Dataset
from jaxnets.tasks.recipe import Recipe
from jaxnets.train.run_directory import read_json, to_json, write_json
from jaxnets.tune import comparison, figures, finals, recipe_report
from jaxnets.tune.candidates import Candidates
from jaxnets.tune.default_space import default_space, settings_in_use, trials_together
from jaxnets.tune.examples import split_held_out
from jaxnets.tune.first_steps import first_steps
from jaxnets.tune.search import Round, coarse_to_fine, edge_warnings
from jaxnets.tune.space import Space, describe_space
from jaxnets.tune.study import Study

OVERFIT_STEPS = 400
RANGE_TEST_STEPS = 100


@dataclass(frozen=True)
class Budget:
    """How much a search may try.

    Attributes:
        coarse_trials: settings of the first round.
        coarse_epochs: epochs of its trials.
        fine_trials: settings of the second round, which train for all epochs of the recipe.
        zoom: how many times narrower the second round's ranges are.
        validation: of the training images, held out for the search.
        keys: runs of each recipe on the test set.
        small_set: images to overfit.

    >>> Budget().fine_trials
    14
    """

    coarse_trials: int = 16
    coarse_epochs: int = 3
    fine_trials: int = 14
    zoom: float = 2.0
    validation: float = 0.2
    keys: int = 5
    small_set: int = 50


def find_recipe(
    recipe: Recipe,
    dataset: Dataset,
    workdir: Path,
    budget: Budget,
    *,
    space: Space | None = None,
    devices: Sequence[jax.Device] | None = None,
    together: int | None = None,
    settings: dict[str, Any] | None = None,
    quiet: bool = False,
) -> dict[str, Any]:
    """Run all steps of the procedure, or the rest of them where it was killed.

    1. The loss of the untrained network is ln C. 2. It can overfit a small set. 3. A range test
    finds the learning rate. 4. Random search: short trials over wide ranges, then long ones around
    the best; at last the best few and the default again with other keys. 5. The curves are
    diagnosed, and both recipes compared on the test images, which nothing has seen before.

    Args:
        recipe: the default one: network, data, epochs, seed, and what is not searched.
        dataset: both splits.
        workdir: report.md with its pictures, recipe.json, summary.json, and the stores from which
            the same call goes on.
        budget: how much is tried.
        space: what is searched (default: `default_space`).
        devices: a trial on each (default: all of this process).
        together: trials on a device as one program (default: `trials_together`).
        settings: how it was called, for summary.json.
        quiet: no progress bar and no findings on the terminal.

    Returns:
        The contents of ``summary.json``.

    Raises:
        JaxnetsError: what the steps raise.

    >>> from jaxnets.data import load_dataset
    >>> recipe, few = Recipe(model="mlp", epochs=2), Budget(validation=0.001)
    >>> find_recipe(recipe, load_dataset("digits"), Path("runs/mine"), few, quiet=True)
    Traceback (most recent call last):
    ...
    jaxnets.errors.JaxnetsError: a share of 0.001 of 1437 images for validation leaves fewer ...
    """
    say = _silent if quiet else print
    bar = _no_bar if quiet else _open_bar
    train, valid = split_held_out(dataset.train, budget.validation, seed=recipe.seed)
    searched = dataset._replace(train=train)
    recipe = replace(recipe, batch_size=min(recipe.batch_size, len(train)))
    say(
        f"{recipe.model} on {recipe.dataset}: {len(train):,} images to train on, "
        f"{len(valid):,} held out for the search"
    )
    steps = _steps_1_to_3(recipe, searched, workdir, budget, say)
    space = space or default_space(recipe, steps["rates"]["suggestion"], dataset)
    say("4. searching " + ", ".join(f"{k} in {v}" for k, v in describe_space(space).items()))
    start = settings_in_use(space, recipe)
    together = together or trials_together(space, recipe.model)
    studies = coarse_to_fine(
        lambda epochs: Candidates(recipe, searched, valid, epochs, seed=recipe.seed).objective(),
        space,
        [
            Round(budget.coarse_trials, budget.coarse_epochs),
            # Augmentation and decay are behind until half of the epochs and ahead at the end.
            Round(budget.fine_trials, recipe.epochs, budget.zoom, first_rung=0.5),
        ],
        store=workdir / "study.db",
        configuration=to_json(asdict(recipe) | {"validation": budget.validation}),
        reduction=2,
        seed=recipe.seed,
        devices=devices,
        together=together,
        start=start,
        open_bar=None if quiet else _open_bar,
    )
    figures.save_search(studies, workdir / "search.png")
    warnings = edge_warnings(studies[0])
    ranking = _finals(recipe, studies, start, searched, valid, workdir, bar)
    best = ranking[0]["settings"]
    say(
        f"   best: {recipe_report.settings_in_words(best)}: {100 * ranking[0]['mean']:.2f} % of "
        "the held-out images"
    )
    for warning in warnings:
        say(f"   note: in the coarse round {warning}")
    curves = {
        name: comparison.diagnose_settings(
            recipe, one, searched, valid, workdir / f"curves_{name}.png"
        )
        for name, one in (("recipe", best), ("default", {}))
        if one or name == "default"
    }
    for name, entry in curves.items():
        say(
            f"5. {name}: {entry['kind'].replace('_', ' ')}. {entry['finding']}. "
            f"Advice: {entry['advice']}"
        )
    with bar("test set", 2 * budget.keys) as progress:
        compared = comparison.compare_on_test_set(
            recipe,
            best,
            dataset,
            keys=budget.keys,
            store=workdir / "comparison.json",
            progress=progress,
        )
    found = replace(recipe, **best)
    write_json(workdir / "recipe.json", asdict(found))
    summary = {
        "config": settings or {**asdict(recipe), **asdict(budget)},
        "train_images": len(train),
        "valid_images": len(valid),
        "steps": steps,
        "space": describe_space(space),
        "trials": [len(study.table()) for study in studies],
        "settings": best,
        "valid_accuracy": ranking[0]["mean"],
        "finals": ranking,
        "warnings": warnings,
        "curves": curves,
        "comparison": compared,
        "command": recipe_report.command_line(found),
    }
    tables = [recipe_report.trials_table(study) for study in studies]
    text = recipe_report.report_markdown(summary, tables)
    (workdir / "report.md").write_text(text, encoding="utf-8")
    # Last: its presence says that the search is finished.
    write_json(workdir / "summary.json", summary)
    say(recipe_report.ending(summary, workdir))
    return summary


def _steps_1_to_3(recipe, searched, workdir, budget, say) -> dict[str, Any]:
    """From steps.json, where they were made before."""
    steps = read_json(workdir / "steps.json")
    if steps is None or not (workdir / "rates.png").exists():
        steps = first_steps(
            recipe,
            searched,
            workdir,
            small_set=budget.small_set,
            overfit_steps=OVERFIT_STEPS,
            rates=RANGE_TEST_STEPS,
        )
        write_json(workdir / "steps.json", steps)
    for number, name in enumerate(("first_loss", "overfit", "rates"), start=1):
        for finding in steps[name]["findings"]:
            say(f"{number}. {finding}")
    if not steps["first_loss"]["ok"]:
        say("   note: step 1 is worth mending; the first steps of training go into it otherwise.")
    if not steps["overfit"]["ok"]:
        say("   note: mend what step 2 found first; what follows may be in vain.")
    return steps


def _finals(
    recipe: Recipe,
    studies: Sequence[Study],
    start: dict[str, Any] | None,
    searched: Dataset,
    valid: Any,
    workdir: Path,
    bar: Callable,
) -> list[dict[str, Any]]:
    contestants = finals.finalists(studies[-1], start and studies[0].point_of(start))
    with bar("finals", len(contestants) * finals.KEYS) as progress:
        return finals.run_finals(
            recipe,
            contestants,
            searched,
            valid,
            store=workdir / "finals.json",
            progress=progress,
        )


def _open_bar(name: str, total: int) -> Any:
    from tqdm import tqdm

    return tqdm(total=total, desc=f"   {name}", dynamic_ncols=True, smoothing=0.1)


def _no_bar(name: str, total: int) -> Any:
    return contextlib.nullcontext()


def _silent(*_: Any) -> None:
    """Says nothing."""
