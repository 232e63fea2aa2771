"""What searches came to: on a table over random keys, and with real children against chance."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.nas.masked_children import MaskedChildren
from jaxnets.nas.search import run_search
from jaxnets.nas.space import Architecture, SearchSpace
from jaxnets.nas.strategies import RandomSearch, RegularizedEvolution, Reinforce, Strategy
from jaxnets.study.summaries import summarize_keys
from jaxnets.study.tables import markdown_table

STRATEGIES = ("random", "evolution", "reinforce")


def make_strategy(
    name: str,
    space: SearchSpace,
    *,
    seed: int,
    learning_rate: float = 0.005,
    entropy_weight: float = 0.05,
    population: int = 50,
    sample: int = 10,
) -> Strategy:
    """A strategy by its name.

    Args:
        name: "random", "evolution" or "reinforce".
        space: to search.
        seed: of all drawing.
        learning_rate, entropy_weight: of "reinforce".
        population, sample: of "evolution".

    Returns:
        The strategy.

    Raises:
        ValueError: another name.

    >>> from jaxnets.nas.space import macro_space
    >>> make_strategy("random", macro_space(), seed=1).describe()["seed"]
    1
    """
    if name == "random":
        return RandomSearch(space, seed=seed)
    if name == "evolution":
        return RegularizedEvolution(space, seed=seed, population=population, sample=sample)
    if name == "reinforce":
        rates = {"learning_rate": learning_rate, "entropy_weight": entropy_weight}
        return Reinforce(space, seed=seed, **rates)
    raise ValueError(f"name must be one of {', '.join(STRATEGIES)}; got {name!r}")


def search_over_keys(
    make: Callable[[int], Strategy],
    reward: Callable[[Architecture], float],
    *,
    keys: int,
    queries: int,
    together: int,
    folder: str | Path,
    name: str,
) -> np.ndarray:
    """The same search from several keys on a table; finished ones are read from their files.

    Args:
        make: key → strategy.
        reward: of an architecture.
        keys: how many.
        queries: architectures of a search.
        together: of one step.
        folder: for one file a key.
        name: of the files.

    Returns:
        (keys, queries) rewards in the order of trial.

    >>> import tempfile
    >>> from jaxnets.nas.space import macro_space
    >>> found = search_over_keys(
    ...     lambda key: RandomSearch(macro_space(), seed=key),
    ...     sum,
    ...     keys=2,
    ...     queries=5,
    ...     together=5,
    ...     folder=tempfile.mkdtemp(),
    ...     name="random",
    ... )
    >>> found.shape
    (2, 5)
    """
    rows = []
    Path(folder).mkdir(parents=True, exist_ok=True)
    for key in range(keys):
        file = Path(folder) / f"{name}_{queries}_{key}.npy"
        if not file.exists():
            found = run_search(
                make(key),
                lambda architectures, before: [float(reward(a)) for a in architectures],
                queries=queries,
                together=together,
            )
            np.save(file, found.rewards)
        rows.append(np.load(file, allow_pickle=False))
    return np.stack(rows)


def summarize_searches(rewards: Mapping[str, np.ndarray], last: int = 50) -> dict[str, Any]:
    """Mean reward of the last trials and the best one found, with intervals over keys.

    Args:
        rewards: strategy → (keys, N).
        last: how many trials at the end.

    Returns:
        Strategy → ``{"last", "best"}``, each of `jaxnets.study.summaries.summarize_keys`.

    >>> summarize_searches({"random": np.ones((2, 60))})["random"]["last"]["mean"]
    1.0
    """
    return {
        name: {
            "last": summarize_keys(runs[:, -last:].mean(1).tolist()),
            "best": summarize_keys(runs.max(1).tolist()),
        }
        for name, runs in rewards.items()
    }


def search_table(summary: Mapping[str, Any], last: int = 50) -> str:
    """The summary as a Markdown table.

    Args:
        summary: of `summarize_searches`.
        last: of that function.

    Returns:
        The table.

    >>> print(search_table(summarize_searches({"random": np.ones((2, 60))})).splitlines()[-1])
    | random | 1.00 ± 0.00 | 1.00 ± 0.00 | 2 |
    """

    def text(entry):
        return f"{entry['mean']:.2f} ± {entry['high'] - entry['mean']:.2f}"

    rows = [
        [name, text(found["last"]), text(found["best"]), found["last"]["n"]]
        for name, found in summary.items()
    ]
    return markdown_table(["search", f"mean of the last {last}", "best found", "keys"], rows)


class AgainstChance(NamedTuple):
    """A found architecture beside random ones, each trained anew from the same keys.

    Attributes:
        found: (keys,), accuracy of the found one in per cent.
        random: (keys, R), of random ones.
        difference: found minus the median of the random ones, over keys.

    >>> AgainstChance(np.ones(2), np.ones((2, 3)), {"mean": 0.0}).random.shape
    (2, 3)
    """

    found: np.ndarray
    random: np.ndarray
    difference: dict[str, float]


def against_chance(
    children: MaskedChildren,
    architecture: Architecture,
    data: Sequence[Any],
    *,
    seed: int,
    keys: int,
    random: int,
    together: int,
    **options: Any,
) -> AgainstChance:
    """Train a found architecture and random ones anew, and compare key by key.

    Args:
        children: of the space.
        architecture: that was found.
        data: images, labels, test images, test labels; see `MaskedChildren.train`.
        seed: of the random architectures and of the trainings.
        keys: repetitions.
        random: R architectures, drawn evenly.
        together: trained side by side.
        options: of `MaskedChildren.train`.

    Returns:
        `AgainstChance`.

    Example: `experiments/search/search_architecture.py`.

    >>> against_chance.__name__
    'against_chance'
    """
    drawn = np.random.default_rng(seed)
    those = [architecture, *(children.space.draw(drawn) for _ in range(random))]
    accuracy = 100 * train_over_keys(children, those, data, seed, keys, together, **options)
    difference = accuracy[:, 0] - np.median(accuracy[:, 1:], 1)
    return AgainstChance(accuracy[:, 0], accuracy[:, 1:], summarize_keys(difference.tolist()))


def train_over_keys(
    children: Any, those: Sequence[Architecture], data, seed, keys, together, **options
) -> np.ndarray:
    """(keys, architectures): what ``children.train`` finds for each, anew from each key."""
    rows = []
    for number in range(keys):
        key = jax.random.fold_in(jax.random.key(seed), number)
        rows.append(train_in_groups(key, children, those, data, together, **options))
    return np.stack(rows)


def train_in_groups(
    key: Any, children: Any, those: Sequence[Architecture], data, together, **options
) -> np.ndarray:
    """What ``children.train`` finds, so many children at a time; the last group is filled up."""
    found: list[float] = []
    for start in range(0, len(those), together):
        group = list(those[start : start + together])
        filled = [*group, *(group[-1:] * (together - len(group)))]
        keys = jnp.stack([jax.random.fold_in(key, start + i) for i in range(together)])
        found += children.train(keys, filled, *data, **options).tolist()[: len(group)]
    return np.array(found)
