"""A search for a recurrent cell, and what it found beside the LSTM and beside chance."""

from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxnets.errors import JaxnetsError
from jaxnets.nas.masked_cells import MaskedCells
from jaxnets.nas.report import train_in_groups, train_over_keys
from jaxnets.nas.rnn_cell import lstm_architecture
from jaxnets.nas.search import History, Store, run_search
from jaxnets.nas.strategies import Strategy
from jaxnets.study.summaries import summarize_keys

REWARD = 80.0


class FoundCell(NamedTuple):
    """What `search_cells` came to, in bits a character on the test text.

    Attributes:
        history: of the search; rewards are 80 / perplexity².
        found: (keys,), of the best cell, trained anew.
        lstm: (keys,), of the LSTM.
        random: (keys, R), of random cells.
        beside_lstm: found minus LSTM over keys: mean, interval.

    >>> FoundCell(History([], np.ones(0)), np.ones(2), np.ones(2), np.ones((2, 3)), {}).lstm.shape
    (2,)
    """

    history: History
    found: np.ndarray
    lstm: np.ndarray
    random: np.ndarray
    beside_lstm: dict[str, float]


def search_cells(
    strategy: Strategy,
    text: str,
    *,
    queries: int,
    together: int,
    steps: int,
    units: int,
    large_units: int,
    keys: int,
    random: int,
    learning_rate: float = 1e-2,
    length: int = 32,
    seed: int = 0,
    store: str | Path | None = None,
) -> FoundCell:
    """Search with small language models, then train the best cell, the LSTM and random ones larger.

    Args:
        strategy: of `rnn_space(8)`.
        text: the last tenth is the test, the tenth before it chooses.
        queries: cells of the search.
        together: trained side by side, between two updates of the strategy.
        steps: updates of a child.
        units: of the cells in the search.
        large_units: of the cells that are compared in the end.
        keys: repetitions of the comparison.
        random: cells that are drawn for it.
        learning_rate: of Adam, at first.
        length: characters of a window.
        seed: of the children.
        store: Optuna's SQLite file, which a search that was stopped goes on from.

    Returns:
        `FoundCell`.

    Raises:
        JaxnetsError: a text that is too short, or the store is of another search.

    Source: Zoph, Le, "Neural Architecture Search with Reinforcement Learning", 2017, section 4.2:
    the reward c / perplexity² with c = 80; the found cell is trained at a larger size.

    >>> from jaxnets.nas.rnn_cell import rnn_space
    >>> from jaxnets.nas.strategies import RandomSearch
    >>> sizes = {"queries": 1, "together": 1, "steps": 1, "keys": 1, "random": 1, "length": 8}
    >>> strategy = RandomSearch(rnn_space(8), seed=0)
    >>> found = search_cells(strategy, "to be or not " * 20, units=2, large_units=3, **sizes)
    >>> found.random.shape
    (1, 1)
    """
    known = {character: number for number, character in enumerate(sorted(set(text)))}
    tokens = np.array([known[character] for character in text], np.int32)
    tenth = len(tokens) // 10
    if tenth <= length:
        raise JaxnetsError(
            f"the text has {len(text)} characters; expected more than {10 * length + 10}, since a "
            f"tenth of it must be longer than the window of {length}"
        )
    learned, chosen, tested = np.split(tokens, [len(tokens) - 2 * tenth, len(tokens) - tenth])
    options = {"steps": steps, "learning_rate": learning_rate, "length": length}
    space, key = strategy.space, jax.random.key(seed)
    small = MaskedCells(space, units=units, vocabulary=len(known))

    def evaluate(architectures, before):
        own = jax.random.fold_in(key, before)
        bits = train_in_groups(own, small, architectures, (learned, chosen), together, **options)
        return (REWARD / 4.0**bits).tolist()

    about: dict[str, Any] = {
        **strategy.describe(),
        **options,
        "units": units,
        "children_seed": seed,
    }
    kept = None if store is None else Store(store, f"cells, {len(text)} characters", space, about)
    history = run_search(strategy, evaluate, queries=queries, together=together, store=kept)
    drawn = np.random.default_rng(seed + 1)
    those = [history.best, lstm_architecture(), *(space.draw(drawn) for _ in range(random))]
    large = MaskedCells(space, units=large_units, vocabulary=len(known))
    bits = train_over_keys(large, those, (learned, tested), seed + 1, keys, together, **options)
    difference = summarize_keys((bits[:, 0] - bits[:, 1]).tolist())
    return FoundCell(history, bits[:, 0], bits[:, 1], bits[:, 2:], difference)
