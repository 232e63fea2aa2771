"""The finals of a search: the best of its last round and the default recipe, with other keys."""

import math
from pathlib import Path
from typing import Any

from jaxnets.data import Dataset, Split
from jaxnets.tasks.recipe import Recipe
from jaxnets.train.run_directory import read_json, write_json
from jaxnets.tune.candidates import Candidates
from jaxnets.tune.study import Study

# The best of many noisy scores is good by luck in part; a few are measured again, without it.
FINALISTS = 3
KEYS = 2


def finalists(study: Study, default: dict[str, Any] | None) -> list[dict[str, Any]]:
    """The default recipe, as no settings at all, and the best others that were carried through.

    Args:
        study: the last round.
        default: the default recipe's values of what is searched, None where it is not in the space.

    Returns:
        Settings, the default first.

    >>> from jaxnets.tune import Range, run_trials
    >>> study = Study(None, "demo", {"x": Range(1.0, 100.0)}, {}, pruner="none")
    >>> score = lambda settings, device: iter([[one["x"] for one in settings]])
    >>> [len(one) for one in finalists(run_trials(study, score, trials=5), None)]
    [0, 1, 1, 1]
    """
    complete = [row["params"] for row in study.table() if row["state"] == "complete"]
    if default is not None:
        complete = [one for one in complete if one != study.point_of(default)]
    return [{}, *complete[:FINALISTS]]


def run_finals(
    recipe: Recipe,
    contestants: list[dict[str, Any]],
    dataset: Dataset,
    held_out: Split,
    *,
    store: Path,
    progress: Any = None,
) -> list[dict[str, Any]]:
    """Train each for all epochs with keys that the search has not used; the best mean first.

    Args:
        recipe: what the settings are changes of.
        contestants: from `finalists`; of equals, the earlier wins.
        dataset: trained on.
        held_out: measured on.
        store: a JSON file; what is in it is not run again.
        progress: a tqdm bar that counts runs, or None.

    Returns:
        ``{"settings", "accuracies": one a key, "mean"}`` for each.

    >>> import tempfile
    >>> from jaxnets.data import load_dataset
    >>> digits = load_dataset("digits", train_examples=100)
    >>> recipe = Recipe(model="mlp", epochs=1, batch_size=50, warmup_epochs=0.0, augment="none")
    >>> store = Path(tempfile.mkdtemp()) / "finals.json"
    >>> (only,) = run_finals(recipe, [{}], digits, digits.test, store=store)
    >>> len(only["accuracies"])
    2
    """
    rows = read_json(store, list) or []
    candidates = Candidates(recipe, dataset, held_out, recipe.epochs)
    for settings in contestants:
        row = next((row for row in rows if row["settings"] == settings), None)
        if row is None:
            row = {"settings": settings, "accuracies": []}
            rows.append(row)
        if progress is not None:
            progress.update(len(row["accuracies"]))
        for key in range(len(row["accuracies"]), KEYS):
            seed = recipe.seed + 500 + key
            *_, last = candidates.train([settings], measure_every=recipe.epochs, seed=seed)
            accuracy = float(last["accuracy"][0])
            # A loss that is not finite has no accuracy; it must lose.
            row["accuracies"].append(accuracy if math.isfinite(accuracy) else 0.0)
            write_json(store, rows)
            if progress is not None:
                progress.update(1)
    taken = [next(row for row in rows if row["settings"] == one) for one in contestants]
    for row in taken:
        row["mean"] = sum(row["accuracies"]) / KEYS
    return sorted(taken, key=lambda row: -row["mean"])
