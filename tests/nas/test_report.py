"""Searches over keys are kept in files; a found child stands beside random ones."""

import numpy as np
import pytest

from jaxnets.nas import (
    AgainstChance,
    FoundChild,
    MaskedChildren,
    RandomSearch,
    against_chance,
    conv_space,
    macro_space,
    make_strategy,
    search_children,
    search_over_keys,
    search_table,
    small_space,
    summarize_searches,
)
from jaxnets.study.data import load


def test_strategies_have_names():
    space = macro_space()
    for name in ("random", "evolution", "reinforce"):
        assert make_strategy(name, space, seed=3).describe()["strategy"] == name
    with pytest.raises(ValueError, match="one of random, evolution, reinforce; got 'best'"):
        make_strategy("best", space, seed=0)


def test_a_finished_key_is_read_and_not_searched_again(tmp_path):
    def make(key):
        return RandomSearch(macro_space(), seed=key)

    options = {"queries": 6, "together": 3, "folder": tmp_path, "name": "x"}
    first = search_over_keys(make, sum, keys=2, **options)
    more = search_over_keys(make, lambda a: 100 + sum(a), keys=3, **options)
    np.testing.assert_array_equal(more[:2], first)
    assert (more[2] >= 100).all()
    summary = summarize_searches({"random": more}, last=3)
    assert summary["random"]["last"]["mean"] == pytest.approx(more[:, -3:].mean())
    assert summary["random"]["best"]["n"] == 3
    assert "| random |" in search_table(summary, last=3)


def test_a_found_child_is_trained_beside_random_ones(tmp_path):
    space = conv_space(1, heights=(1, 3), widths=(1,), filters=(2, 4))
    data = load("digits", train=60, test=30)
    options = {"together": 2, "steps": 2, "keys": 2, "random": 2}
    strategy = RandomSearch(space, seed=0)
    found = search_children(strategy, data, queries=4, store=tmp_path / "s.db", **options)
    assert isinstance(found, FoundChild) and len(found.history.rewards) == 4
    assert isinstance(found.compared, AgainstChance)
    compared = found.compared
    assert compared.found.shape == (2,) and compared.random.shape == (2, 2)
    expected = (compared.found - np.median(compared.random, 1)).mean()
    assert compared.difference["mean"] == pytest.approx(expected)
    again = search_children(
        RandomSearch(space, seed=0), data, queries=4, store=tmp_path / "s.db", **options
    )
    np.testing.assert_array_equal(again.history.rewards, found.history.rewards)
    assert small_space(3).sizes[:3] == (2, 2, 3)
    children = MaskedChildren(space, channels=1, num_classes=10)
    parts = (*data.train, *data.test)
    same = against_chance(
        children, found.history.best, parts, seed=1, keys=1, random=1, together=2, steps=4
    )
    assert same.found.shape == (1,)
