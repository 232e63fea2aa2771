"""Searches: kept, gone on with, and better than chance on a table."""

import os
from pathlib import Path

import numpy as np
import pytest

from jaxnets.errors import JaxnetsError
from jaxnets.nas import (
    History,
    MacroTable,
    RandomSearch,
    RegularizedEvolution,
    Reinforce,
    Rung,
    Store,
    Strategy,
    draw_search,
    load_macro_table,
    macro_space,
    run_search,
    successive_halving,
)

SPACE = macro_space(4)


def worth(architectures, before=0):
    return [float(np.dot(a, (4, 3, 2, 1))) for a in architectures]


def strategies(seed=0):
    return [
        RandomSearch(SPACE, seed=seed),
        RegularizedEvolution(SPACE, seed=seed, population=10, sample=4),
        Reinforce(SPACE, seed=seed, learning_rate=0.02, hidden=6, layers=1),
    ]


@pytest.mark.parametrize("kind", range(3), ids=["random", "evolution", "reinforce"])
def test_a_stopped_search_goes_on_as_if_it_had_not(kind, tmp_path):
    whole = run_search(strategies()[kind], worth, queries=24, together=4)
    asked = []

    def once(architectures, before):
        asked.extend(architectures)
        if before == 16:
            raise KeyboardInterrupt
        return worth(architectures)

    def store():
        return Store(tmp_path / "s.db", "x", SPACE, strategies()[kind].describe())

    with pytest.raises(KeyboardInterrupt):
        run_search(strategies()[kind], once, queries=24, together=4, store=store())
    assert len(store().history().rewards) == 16
    seen = []

    def rest(architectures, before):
        seen.append(before)
        return worth(architectures)

    again = run_search(strategies()[kind], rest, queries=24, together=4, store=store())
    assert isinstance(again, History) and seen == [16, 20]
    assert again.architectures == whole.architectures
    np.testing.assert_array_equal(again.rewards, whole.rewards)
    assert worth([again.best])[0] == again.rewards.max()


def test_another_searchs_store_is_refused(tmp_path):
    first = strategies()[0]
    run_search(first, worth, queries=2, store=Store(tmp_path / "s.db", "x", SPACE, {"seed": 0}))
    with pytest.raises(JaxnetsError, match="seed: 0 there, 1 now"):
        Store(tmp_path / "s.db", "x", SPACE, {"seed": 1})
    same = Store(tmp_path / "s.db", "x", SPACE, {"seed": 0})
    with pytest.raises(JaxnetsError, match="trial 0 of the store is of another search"):
        run_search(strategies(seed=5)[0], worth, queries=2, store=same)


def test_wrong_numbers_are_refused():
    with pytest.raises(JaxnetsError, match="not finite"):
        run_search(strategies()[0], lambda a, b: [float("nan")], queries=1)
    with pytest.raises(JaxnetsError, match="at least 1"):
        run_search(strategies()[0], worth, queries=0)
    with pytest.raises(JaxnetsError, match="sample must be"):
        RegularizedEvolution(SPACE, seed=0, population=3, sample=4)


def test_evolution_mutates_the_best_and_forgets_the_oldest():
    evolution = RegularizedEvolution(SPACE, seed=0, population=3, sample=3)
    first = evolution.ask(3)
    evolution.tell(first, [1.0, 3.0, 2.0])
    child = evolution.ask(1)[0]
    assert sum(a != b for a, b in zip(child, first[1], strict=True)) == 1
    evolution.tell([child] * 2, [0.5, 0.6])  # the first two of all are gone
    (next_one,) = evolution.ask(1)
    assert sum(a != b for a, b in zip(next_one, first[2], strict=True)) == 1
    strategy: Strategy = evolution
    assert strategy.describe()["population"] == 3


def test_evolution_and_the_controller_beat_chance():
    found = [
        run_search(s, worth, queries=200, together=10).rewards[-50:].mean() for s in strategies()
    ]
    assert found[1] > found[0] + 2 and found[2] > found[0] + 2


def test_halving_gives_more_to_fewer():
    seen = []

    def evaluate(architectures, budget):
        seen.append((len(architectures), budget))
        return worth(architectures)

    everything = list(SPACE.all())[:20]
    rungs = successive_halving(everything, evaluate, budget=2, reduction=2)
    assert seen == [(20, 2), (10, 4), (5, 8), (2, 16), (1, 32)]
    assert isinstance(rungs[-1], Rung)
    assert worth(rungs[-1].architectures)[0] == max(worth(everything))
    with pytest.raises(JaxnetsError, match="reduction of at least 2"):
        successive_halving(everything, evaluate, budget=1, reduction=1)


def test_the_picture(tmp_path):
    rewards = {"random": np.random.default_rng(0).random((3, 60)), "other": np.ones((1, 60))}
    assert draw_search(rewards, tmp_path / "x.png").stat().st_size > 5000


def table_file() -> Path | None:
    root = Path(__file__).resolve().parents[2]
    for place in (os.environ.get("JAXNETS_TEST_DATA"), root.parent / "shared" / "data"):
        file = Path(place or "/none") / "compression" / "nas_bench_macro.npz"
        if file.exists():
            return file
    return None


def test_a_table_is_read_in_the_order_of_the_space(tmp_path):
    everything = np.array(list(macro_space().all()), np.uint8)
    order = np.random.default_rng(0).permutation(6561)
    value = np.arange(6561.0)
    np.savez(
        tmp_path / "t.npz",
        arch=everything[order],
        acc=np.repeat(value[order, None], 3, 1),
        params=value[order],
        flops=value[order],
    )
    table = load_macro_table(tmp_path / "t.npz")
    assert isinstance(table, MacroTable)
    assert table.reward((0,) * 7 + (2,)) == 2 and table.reward((2,) * 8) == 6560
    np.testing.assert_array_equal(table.parameters, value)
    with pytest.raises(JaxnetsError, match="got 3"):
        table.reward((0, 1, 2))
    np.savez(tmp_path / "u.npz", arch=everything[:5], acc=np.ones((5, 3)), params=0, flops=0)
    with pytest.raises(JaxnetsError, match="expected 6561 architectures"):
        load_macro_table(tmp_path / "u.npz")
    (tmp_path / "v.npz").write_bytes(b"no table")
    with pytest.raises(JaxnetsError, match="cannot be read as NAS-Bench-Macro"):
        load_macro_table(tmp_path / "v.npz")


needs_table = pytest.mark.skipif(table_file() is None, reason="the table is not on this machine")


@needs_table
def test_the_published_table():
    table = load_macro_table(table_file())
    best = np.flatnonzero(table.means > table.means.max() - 1e-6)
    texts = [macro_space().to_text(list(macro_space().all())[i]) for i in best]
    assert texts == ["22212202", "22212220"]
    assert round(float(table.means.max()), 4) == 93.1267
    assert round(float(table.means.mean()), 2) == 90.25


@pytest.mark.slow
@needs_table
def test_five_hundred_queries_reach_92_6():
    table = load_macro_table(table_file())

    def evaluate(architectures, before):
        return [table.reward(a) for a in architectures]

    last = []
    for seed in range(20):
        controller = Reinforce(table.space, seed=seed, learning_rate=0.005, entropy_weight=0.05)
        last.append(run_search(controller, evaluate, queries=500, together=5).rewards[-50:].mean())
    assert np.mean(last) >= 92.6
