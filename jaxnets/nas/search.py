"""Run a search, keep what was tried in a store that a user knows (Optuna's), and go on with it."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxnets.errors import JaxnetsError
from jaxnets.nas.space import Architecture, SearchSpace
from jaxnets.nas.strategies import Strategy
from jaxnets.tune.optuna_parts import import_optuna

# The architectures of one step, and how many were asked before them → their rewards.
Evaluate = Callable[[list[Architecture], int], Sequence[float]]


class History(NamedTuple):
    """What was tried.

    Attributes:
        architectures: in the order of trial.
        rewards: (N,), what each was worth.

    >>> history = History([(0, 1), (1, 1)], np.array([0.5, 0.9]))
    >>> history.best
    (1, 1)
    """

    architectures: list[Architecture]
    rewards: np.ndarray

    @property
    def best(self) -> Architecture:
        """The first one of the greatest reward."""
        return self.architectures[int(np.argmax(self.rewards))]


class Store:
    """Trials on the disk: an Optuna study, to be looked at with all of Optuna's tools.

    Args:
        path: the SQLite file; None keeps the trials in memory.
        name: of the study.
        space: whose architectures are kept.
        configuration: what decides the search and its rewards, JSON values.

    Raises:
        JaxnetsError: Optuna is missing, or the file has a study of this name with another
            configuration.

    >>> from jaxnets.nas.space import macro_space
    >>> store = Store(None, "demo", macro_space(), {"seed": 0})
    >>> store.add([(0, 0, 0, 0, 0, 0, 0, 1)], [45.0])
    >>> store.history().rewards.tolist()
    [45.0]
    """

    def __init__(
        self, path: str | Path | None, name: str, space: SearchSpace, configuration: dict[str, Any]
    ):
        self._optuna, self.space = import_optuna(), space
        if path is not None:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
        self._study = self._optuna.create_study(
            storage=None if path is None else f"sqlite:///{Path(path).absolute()}",
            study_name=name,
            direction="maximize",
            load_if_exists=True,
        )
        before = self._study.user_attrs.get("configuration")
        if before is None:
            self._study.set_user_attr("configuration", configuration)
        elif before != configuration:
            keys = sorted(before.keys() | configuration.keys())
            changed = [
                f"{key}: {before.get(key)!r} there, {configuration.get(key)!r} now"
                for key in keys
                if before.get(key) != configuration.get(key)
            ]
            raise JaxnetsError(
                f"the store's search {name!r} is another one ({'; '.join(changed)}). Give the old "
                "settings, or another place"
            )
        kinds = self._optuna.distributions
        self._distributions = {
            f"{place:03d}_{token.slot}": kinds.CategoricalDistribution(
                tuple(range(len(token.values)))
            )
            for place, token in enumerate(space.tokens)
        }

    def add(self, architectures: Sequence[Architecture], rewards: Sequence[float]) -> None:
        """Keep finished trials."""
        for architecture, reward in zip(architectures, rewards, strict=True):
            trial = self._optuna.trial.create_trial(
                params=dict(zip(self._distributions, architecture, strict=True)),
                distributions=self._distributions,
                value=float(reward),
                user_attrs={"architecture": self.space.to_text(architecture)},
            )
            self._study.add_trial(trial)

    def history(self) -> History:
        """All trials in their order."""
        trials = self._study.get_trials(deepcopy=False)
        found = [self.space.from_text(trial.user_attrs["architecture"]) for trial in trials]
        return History(found, np.array([trial.value for trial in trials], np.float64))


def run_search(
    strategy: Strategy,
    evaluate: Evaluate,
    *,
    queries: int,
    together: int = 1,
    store: Store | None = None,
    progress: Any = None,
) -> History:
    """Ask, evaluate, tell, until so many architectures have been tried.

    What a store has already is not evaluated again: the strategy is asked and told as it was.

    Args:
        strategy: in its first state.
        evaluate: (architectures, how many were asked before) → rewards, higher is better.
        queries: architectures in all.
        together: architectures of one step, which ``evaluate`` may train side by side.
        store: where trials are kept.
        progress: a tqdm bar that counts trials.

    Returns:
        `History`.

    Raises:
        JaxnetsError: numbers below 1, a reward that is not finite, or a store whose trials the
            strategy does not ask for.

    >>> from jaxnets.nas.space import macro_space
    >>> from jaxnets.nas.strategies import RandomSearch
    >>> def evaluate(architectures, before):
    ...     return [float(sum(a)) for a in architectures]
    >>> history = run_search(RandomSearch(macro_space(), seed=0), evaluate, queries=10)
    >>> len(history.architectures), bool(history.rewards.max() == sum(history.best))
    (10, True)
    """
    if queries < 1 or together < 1:
        raise JaxnetsError(f"queries and together must be at least 1, got {queries}, {together}")
    known = History([], np.zeros(0)) if store is None else store.history()
    tried: list[Architecture] = []
    rewards: list[float] = []
    while len(tried) < queries:
        count = min(together, queries - len(tried))
        asked = strategy.ask(count)
        place = len(tried)
        old = known.architectures[place : place + count]
        if old != asked[: len(old)]:
            raise JaxnetsError(
                f"trial {place} of the store is of another search: it has "
                f"{strategy.space.to_text(old[0])}, this one asks for "
                f"{strategy.space.to_text(asked[0])}"
            )
        found = [float(r) for r in known.rewards[place : place + len(old)]]
        if len(old) < count:
            new = [float(r) for r in evaluate(asked[len(old) :], place + len(old))]
            if not np.isfinite(new).all():
                raise JaxnetsError(f"a reward after {place} trials is not finite: {new}")
            if store is not None:
                store.add(asked[len(old) :], new)
            found += new
        strategy.tell(asked, found)
        tried += asked
        rewards += found
        if progress is not None:
            progress.update(count)
    return History(tried, np.array(rewards))
