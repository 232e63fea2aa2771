"""Train a detector of actions on clips with people, in one call."""

from dataclasses import asdict, dataclass
from typing import Any

import optax

from jaxnets.data import Source
from jaxnets.tasks.action_finder import ActionInfo
from jaxnets.tasks.actions import action_detection
from jaxnets.tasks.small_training import check_recipe, workdir_of
from jaxnets.train import Fitted, RunOptions, fit


@dataclass(frozen=True)
class ActionRecipe:
    """What decides how good a detector of actions becomes.

    Attributes:
        epochs: passes over the training clips.
        batch_size: clips an update.
        learning_rate: of Adam; it falls to 0 along a cosine.
        seed: of everything random.

    >>> ActionRecipe(epochs=0).check()
    Traceback (most recent call last):
    jaxnets.errors.JaxnetsError: epochs must be at least 1, got 0
    """

    epochs: int = 8
    batch_size: int = 16
    learning_rate: float = 3e-3
    seed: int = 0

    def check(self) -> None:
        """Raise a `JaxnetsError` for values that no training can have."""
        check_recipe(self, ("epochs", "batch_size"))


def train_actions(
    recipe: ActionRecipe,
    options: RunOptions,
    source: Source,
    info: ActionInfo,
    *,
    test: Source | None = None,
    settings: dict[str, Any] | None = None,
    variables: Any = None,
) -> Fitted:
    """Train (or resume) a detector of actions and leave a run that `read_action_finder` reads.

    Args:
        recipe: what decides the result.
        options: how the run is carried out; it names ``workdir``.
        source: clips with people, see `jaxnets.tasks.action_detection`.
        info: of the clips and the network.
        test: measured after every ``options.evaluate_every`` epochs.
        settings: further JSON values that decide what is learned.
        variables: where to begin, such as PySlowFast's.

    Returns:
        `jaxnets.train.Fitted`; its summary has ``mAP``, AVA's frame average precision.

    Raises:
        JaxnetsError: whatever a user can mend.

    See ``experiments/video/train_actions.py`` for the command.

    >>> train_actions(ActionRecipe(epochs=0), RunOptions(), None, None)
    Traceback (most recent call last):
    jaxnets.errors.JaxnetsError: epochs must be at least 1, got 0
    """
    recipe.check()
    steps = max(1, recipe.epochs * (len(source) // recipe.batch_size))
    schedule = optax.cosine_decay_schedule(recipe.learning_rate, steps)
    return fit(
        info.network(),
        source,
        task=action_detection(info.class_names, preprocess=info.preprocess),
        optimizer=optax.chain(optax.clip_by_global_norm(1.0), optax.adam(schedule)),
        workdir=workdir_of(options),
        epochs=recipe.epochs,
        batch_size=recipe.batch_size,
        test=test,
        seed=recipe.seed,
        variables=variables,
        meta={"actions": info.to_json()},
        settings={"recipe": asdict(recipe), "actions": info.to_json(), **(settings or {})},
        options=options,
    )
