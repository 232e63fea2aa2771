"""A search with children that are trained, and what it found beside chance."""

from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxnets.nas.masked_children import MaskedChildren
from jaxnets.nas.report import AgainstChance, against_chance, train_in_groups
from jaxnets.nas.search import History, Store, run_search
from jaxnets.nas.space import SearchSpace, conv_space
from jaxnets.nas.strategies import Strategy
from jaxnets.study.data import Data


class FoundChild(NamedTuple):
    """What `search_children` came to.

    Attributes:
        space: that was searched.
        history: of the search; rewards are accuracies in per cent on images that were held out.
        compared: the best one trained anew, beside random ones, on test images.

    >>> FoundChild(conv_space(1), History([(0, 0, 0)], np.ones(1)), None).history.best
    (0, 0, 0)
    """

    space: SearchSpace
    history: History
    compared: AgainstChance


def small_space(layers: int) -> SearchSpace:
    """Convolutions of 1 or 3 rows and columns and 2 to 8 filters, for images of 8×8.

    Args:
        layers: how many.

    Returns:
        The space.

    >>> small_space(2).size
    288
    """
    return conv_space(layers, heights=(1, 3), widths=(1, 3), filters=(2, 4, 8))


def search_children(
    strategy: Strategy,
    data: Data,
    *,
    queries: int,
    together: int,
    steps: int,
    learning_rate: float = 0.03,
    keys: int,
    random: int,
    seed: int = 0,
    store: str | Path | None = None,
) -> FoundChild:
    """Search with real children, then train the best one and random ones anew.

    Args:
        strategy: of a convolutional space without strides.
        data: standardized images; as many of the training part as there are test images (at most
            half) are held out to choose by.
        queries: children of the search.
        together: trained side by side, between two updates of the strategy.
        steps: updates of a child.
        learning_rate: of its Adam, at first.
        keys: repetitions of the comparison.
        random: architectures that are drawn for it.
        seed: of the children.
        store: Optuna's SQLite file, which a search that was stopped goes on from.

    Returns:
        `FoundChild`.

    Raises:
        JaxnetsError: the store is of another search.

    Example: `experiments/search/search_architecture.py`.

    >>> from jaxnets.nas.strategies import RandomSearch
    >>> from jaxnets.study.data import load
    >>> sizes = {"queries": 1, "together": 1, "steps": 1, "keys": 1, "random": 1}
    >>> strategy = RandomSearch(conv_space(1, heights=(1,), widths=(1,), filters=(2,)), seed=0)
    >>> search_children(strategy, load("digits", train=50, test=20), **sizes).history.best
    (0, 0, 0)
    """
    images, labels = np.asarray(data.train.images), np.asarray(data.train.labels)
    order = np.random.default_rng(0).permutation(len(labels))
    # As many as are tested on in the end: the same shapes, and so the same compiled program.
    held, kept = np.split(order, [min(len(data.test.labels), len(labels) // 2)])
    parts = images[kept], labels[kept], images[held], labels[held]
    space = strategy.space
    children = MaskedChildren(space, channels=images.shape[-1], num_classes=data.num_classes)
    key = jax.random.key(seed)
    options = {"steps": steps, "learning_rate": learning_rate}

    def evaluate(architectures, before):
        own = jax.random.fold_in(key, before)
        found = train_in_groups(own, children, architectures, parts, together, **options)
        return (100 * found).tolist()

    about: dict[str, Any] = {**strategy.describe(), **options, "children_seed": seed}
    kept_trials = None if store is None else Store(store, data.name, space, about)
    history = run_search(strategy, evaluate, queries=queries, together=together, store=kept_trials)
    test = np.asarray(data.test.images), np.asarray(data.test.labels)
    compared = against_chance(
        children,
        history.best,
        (images[kept], labels[kept], *test),
        seed=seed + 1,
        keys=keys,
        random=random,
        together=together,
        **options,
    )
    return FoundChild(space, history, compared)
