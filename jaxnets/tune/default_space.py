"""What a search needs to begin: a space, checked or by default, a first trial, enough images."""

from collections.abc import Sequence
from typing import Any

import jax

from jaxnets.data import Dataset
from jaxnets.errors import JaxnetsError
from jaxnets.tasks.recipe import Recipe
from jaxnets.tune.candidate_programs import TRACED
from jaxnets.tune.candidates import SEARCHABLE
from jaxnets.tune.optuna_parts import import_optuna
from jaxnets.tune.space import Choice, Range, Space, check_space, parse_space


def check_search(recipe: Recipe, lines: Sequence[str] = ()) -> Space | None:
    """Make sure that a search can run before anything is computed.

    Args:
        recipe: the default one.
        lines: of `parse_space`; none for the default space.

    Returns:
        The space of the lines, None where there are none.

    Raises:
        JaxnetsError: Optuna is missing, or the recipe or the space cannot be used.

    >>> check_search(Recipe(), ["weight_decay=log:1e-6:1e-2"])
    {'weight_decay': Range(low=1e-06, high=0.01, log=True)}
    """
    import_optuna()
    recipe.check()
    if not lines:
        return None
    space = parse_space(lines)
    check_space(space, SEARCHABLE)
    return space


def require_enough(dataset: Dataset) -> None:
    """Raise a `JaxnetsError` for fewer than two training images a class.

    Args:
        dataset: to be searched on.

    >>> from jaxnets.data import load_dataset
    >>> require_enough(load_dataset("digits"))
    """
    if len(dataset.train) < 2 * dataset.num_classes:
        raise JaxnetsError(
            f"{len(dataset.train)} training images are too few for {dataset.num_classes} "
            "classes: give at least two of each"
        )


def default_space(recipe: Recipe, suggestion: float, dataset: Dataset) -> Space:
    """What is searched where nobody says: what regularizes, and the rate around a suggestion.

    Args:
        recipe: the default one; its learning rate is within the range.
        suggestion: of the range test.
        dataset: gray images are not mirrored.

    Returns:
        Name → `Range` or `Choice`.

    >>> from jaxnets.data import load_dataset
    >>> default_space(Recipe(batch_size=64), 0.01, load_dataset("digits"))["batch_size"]
    Choice(values=(16, 32, 64))
    """
    usual = recipe.learning_rate
    # A mirrored digit is no digit.
    flips = () if dataset.image_shape[-1] == 1 else ("crop_flip",)
    return {
        # The default recipe's rate is among them: what is found has to beat it.
        "learning_rate": Range(min(suggestion / 20, usual / 2), max(suggestion * 5, usual * 2)),
        # The epochs are given, so smaller batches mean more steps.
        "batch_size": Choice(tuple(sorted({max(1, recipe.batch_size // n) for n in (4, 2, 1)}))),
        "weight_decay": Range(1e-6, 1e-2),
        "label_smoothing": Range(0.0, 0.2, log=False),
        "augment": Choice(("none", "crop", *flips)),
    }


def settings_in_use(space: Space, recipe: Recipe) -> dict[str, Any] | None:
    """The default recipe as a point of the space; None where a choice excludes it.

    Args:
        space: what is searched.
        recipe: the default one.

    Returns:
        Name → the recipe's value, or None.

    >>> settings_in_use({"learning_rate": Range(1e-4, 1.0)}, Recipe(learning_rate=0.01))
    {'learning_rate': 0.01}
    >>> settings_in_use({"augment": Choice(("none",))}, Recipe(augment="crop")) is None
    True
    """
    usual = {name: getattr(recipe, name) for name in space}
    excluded = any(
        usual[name] not in part.values for name, part in space.items() if isinstance(part, Choice)
    )
    return None if excluded else usual


def trials_together(space: Space, model: str) -> int:
    """How many trials a device trains as one program.

    Side by side, convolutions become grouped ones, which are slow on CPUs; what is compiled in
    must agree.

    Args:
        space: what is searched.
        model: a name of `jaxnets.list_models()`.

    Returns:
        1, or 4 where that is faster.

    >>> trials_together({"augment": Choice(("none", "crop"))}, "mlp")
    1
    """
    if any(name not in TRACED for name in space):
        return 1
    on_cpu = jax.local_devices()[0].platform == "cpu"
    return 4 if not on_cpu or model == "mlp" else 1
