"""Step 5 and the end: the curves of a recipe found, and it beside the default on the test set."""

from pathlib import Path
from typing import Any

import numpy as np

from jaxnets.data import Dataset, Split
from jaxnets.errors import JaxnetsError
from jaxnets.study.statistics import difference_interval
from jaxnets.tasks.recipe import Recipe
from jaxnets.train.run_directory import read_json, write_json
from jaxnets.tune import figures
from jaxnets.tune.candidates import Candidates
from jaxnets.tune.diagnose import diagnose, smoothing_entropy


def diagnose_settings(
    recipe: Recipe, settings: dict[str, Any], dataset: Dataset, held_out: Split, target: Path
) -> dict[str, str]:
    """Train once, look at the curves and draw them.

    Args:
        recipe: what the settings are changes of.
        settings: names of a recipe's fields to values.
        dataset: trained on.
        held_out: measured on.
        target: the picture.

    Returns:
        ``{"kind", "finding", "advice"}`` of the diagnosis, or why there is none.

    >>> import tempfile
    >>> from jaxnets.data import load_dataset
    >>> digits = load_dataset("digits", train_examples=60)
    >>> recipe = Recipe(model="mlp", epochs=1, batch_size=30, warmup_epochs=0.0, augment="none")
    >>> path = Path(tempfile.mkdtemp()) / "curves.png"
    >>> diagnose_settings(recipe, {}, digits, digits.test, path)["kind"]
    'too short'
    """
    candidates = Candidates(recipe, dataset, held_out, recipe.epochs, seed=recipe.seed)
    train, valid = [], []
    for measured in candidates.train([settings]):
        train.append(np.asarray(measured["batch_losses"][:, 0]))
        valid.append(float(measured["loss"][0]))
    train = np.concatenate(train)
    smoothing = settings.get("label_smoothing", recipe.label_smoothing)
    try:
        found = diagnose(
            train,
            valid if len(valid) >= 4 else None,
            floor=smoothing_entropy(smoothing, dataset.num_classes),
            rate_decayed=settings.get("schedule", recipe.schedule) != "constant",
        )
    except JaxnetsError as error:
        return {"kind": "too short", "finding": str(error), "advice": "train for more epochs"}
    figures.save_curves(train, valid, found, target, unit="epoch", length=recipe.epochs)
    return {"kind": found.kind, "finding": found.finding, "advice": found.advice}


def compare_on_test_set(
    recipe: Recipe,
    settings: dict[str, Any],
    dataset: Dataset,
    *,
    keys: int,
    store: Path,
    progress: Any = None,
) -> dict[str, Any]:
    """Test accuracies of the recipe found and of the default one, key by key, and their interval.

    Both train on all training images for the same epochs, with equal keys: first parameters,
    order and augmentation of a pair are the same. Pairs of the same settings that are in ``store``
    are not run again.

    Args:
        recipe: the default one.
        settings: its changes in the recipe found; none where the default won.
        dataset: both splits.
        keys: pairs of runs.
        store: a JSON file.
        progress: a tqdm bar that counts runs, or None.

    Returns:
        ``{"found", "default": accuracies, "difference", "half": of the 95 % interval over keys,
        "verdict"}``.

    >>> import tempfile
    >>> from jaxnets.data import load_dataset
    >>> digits = load_dataset("digits", train_examples=100)
    >>> recipe = Recipe(model="mlp", epochs=1, batch_size=50, warmup_epochs=0.0, augment="none")
    >>> store = Path(tempfile.mkdtemp()) / "pairs.json"
    >>> compare_on_test_set(recipe, {}, digits, keys=1, store=store)["verdict"]
    'nothing better than the default was found'
    """
    before = read_json(store) or {}
    pairs = before["pairs"] if before.get("settings") == settings else []
    if progress is not None:
        progress.update(2 * len(pairs[:keys]))
    candidates = Candidates(recipe, dataset, dataset.test, recipe.epochs)
    # Where the default won the search, one run is both of the pair.
    runs = (settings, {}) if settings else ({},)
    for key in range(len(pairs), keys):
        accuracies = []
        for one in runs:
            # Keys that the search has not seen.
            seed = recipe.seed + 1000 + key
            *_, last = candidates.train([one], measure_every=recipe.epochs, seed=seed)
            accuracies.append(float(last["accuracy"][0]))
            if progress is not None:
                progress.update(2 // len(runs))
        pairs.append([accuracies[0], accuracies[-1]])
        write_json(store, {"settings": settings, "pairs": pairs})
    found, default = np.array(pairs[:keys]).T
    interval = difference_interval(found, default)
    difference, half = interval.estimate, interval.half
    if not settings:
        verdict = "nothing better than the default was found"
    elif not abs(difference) > half:
        verdict = "undecided: the interval holds 0"
    else:
        verdict = "the recipe found is better" if difference > 0 else "the default is better"
    return {
        "found": found.tolist(),
        "default": default.tolist(),
        "difference": difference,
        "half": half,
        "verdict": verdict,
    }
