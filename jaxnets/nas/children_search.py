"""A search with children that are trained, and what it found beside chance."""

from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxnets.nas.darts_search import darts_architecture
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


def small_space(layers: int, *, wider: int = 1) -> SearchSpace:
    """Convolutions of 1 or 3 rows and columns and 2 to 8 filters, or so many times more.

    Args:
        layers: how many.
        wider: factor of the filters: the same architectures, as larger networks.

    Returns:
        The space.

    >>> small_space(2).size
    288
    """
    filters = tuple(wider * count for count in (2, 4, 8))
    return conv_space(layers, heights=(1, 3), widths=(1, 3), filters=filters)


def search_children(
    strategy: Strategy | None,
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
    space: SearchSpace | None = None,
    compare_in: SearchSpace | None = None,
) -> FoundChild:
    """Search with real children, then train the best one and random ones anew.

    Args:
        strategy: of a convolutional space without strides; None for DARTS in ``space``.
        data: standardized images; as many of the training part as there are test images (at most
            half) are held out to choose by.
        queries: children of the search; by DARTS the one network of them all is trained for as many
            updates as these together, half of them of the shares.
        together: trained side by side, between two updates of the strategy.
        steps: updates of a child.
        learning_rate: of its Adam, at first.
        keys: repetitions of the comparison.
        random: architectures that are drawn for it.
        seed: of the children.
        store: Optuna's SQLite file, which a search that was stopped goes on from.
        space: of DARTS.
        compare_in: a space of the same choices with larger networks, for the comparison: search
            small, transfer large.

    Returns:
        `FoundChild`.

    Raises:
        JaxnetsError: the store is of another search.
        ValueError: neither a strategy nor a space, or choices of another number.

    Example: `experiments/search/search_architecture.py`.

    >>> from jaxnets.nas.strategies import RandomSearch
    >>> from jaxnets.study.data import load
    >>> sizes = {"queries": 1, "together": 1, "steps": 1, "keys": 1, "random": 1}
    >>> strategy = RandomSearch(conv_space(1, heights=(1,), widths=(1,), filters=(2,)), seed=0)
    >>> search_children(strategy, load("digits", train=50, test=20), **sizes).history.best
    (0, 0, 0)
    """
    space = space if strategy is None else strategy.space
    if space is None:
        raise ValueError("strategy: got None and no space; DARTS needs the space")
    if compare_in is not None and compare_in.sizes != space.sizes:
        raise ValueError(f"compare_in: {compare_in.name} has other choices than {space.name}")
    images, labels = np.asarray(data.train.images), np.asarray(data.train.labels)
    order = np.random.default_rng(0).permutation(len(labels))
    # As many as are tested on in the end: the same shapes, and so the same compiled program.
    held, kept = np.split(order, [min(len(data.test.labels), len(labels) // 2)])
    parts = images[kept], labels[kept], images[held], labels[held]
    children = partial(MaskedChildren, channels=images.shape[-1], num_classes=data.num_classes)
    small, key = children(space), jax.random.key(seed)
    options = {"steps": steps, "learning_rate": learning_rate}

    def evaluate(architectures, before):
        own = jax.random.fold_in(key, before)
        found = train_in_groups(own, small, architectures, parts, together, **options)
        return (100 * found).tolist()

    if strategy is None:
        rates = {**options, "steps": max(queries * steps // 2, 1)}
        best, _ = darts_architecture(key, small, *parts, **rates)
        history = History([best], np.array(evaluate([best], 0)))
    else:
        about: dict[str, Any] = {**strategy.describe(), **options, "children_seed": seed}
        trials = None if store is None else Store(store, data.name, space, about)
        history = run_search(strategy, evaluate, queries=queries, together=together, store=trials)
    compared = against_chance(
        small if compare_in is None else children(compare_in),
        history.best,
        (*parts[:2], np.asarray(data.test.images), np.asarray(data.test.labels)),
        seed=seed + 1,
        keys=keys,
        random=random,
        together=together,
        **options,
    )
    return FoundChild(space, history, compared)
