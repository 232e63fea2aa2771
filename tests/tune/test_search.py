"""Studies and searches: known response surfaces, kills, bad input."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxnets.errors import JaxnetsError
from jaxnets.tune import (
    Choice,
    Range,
    Round,
    Study,
    coarse_to_fine,
    edge_warnings,
    run_trials,
)
from jaxnets.tune.optuna_parts import import_optuna

ROOT = Path(__file__).resolve().parents[2]
SURFACE = {"x": Range(1e-4, 1.0), "y": Range(0.0, 1.0, log=False)}
BEST = {"x": 3e-3, "y": 0.7}


def height(settings):
    """A ridge with its top of 1 at `BEST`; x counts in decades."""
    dx = np.log10(settings["x"] / BEST["x"])
    dy = settings["y"] - BEST["y"]
    return float(np.exp(-(dx**2) / 2 - 8 * dy**2 - dx * dy))


def surface(epochs=1, score=height):
    def objective(settings, device):
        for epoch in range(1, epochs + 1):
            yield np.array([score(one) * epoch / epochs for one in settings])

    return objective


class TestSearch:
    def test_refined_optimum_lies_within_5_percent(self):
        for seed in range(3):
            studies = coarse_to_fine(
                surface, SURFACE, [Round(25, 1), Round(25, 1), Round(25, 1)], seed=seed
            )
            best = studies[-1].best()
            assert best["value"] > 0.95
            # Within 5 % of each range, on its own scale.
            for name, part in SURFACE.items():
                assert abs(part.share(best["params"][name]) - part.share(BEST[name])) < 0.05

    def test_random_beats_grid_when_one_dimension_is_irrelevant(self):
        """Bergstra and Bengio 2012, figure 1: 16 points see 16 or 4 values of what matters."""
        space = {"x": Range(1e-4, 1.0), "y": Range(0.0, 1.0, log=False)}
        rng = np.random.default_rng(0)
        wins = []
        for seed in range(20):
            top = 10 ** rng.uniform(-3.8, -0.2)

            def score(settings, top=top):
                return float(np.exp(-((np.log10(settings["x"] / top)) ** 2) / (2 * 0.15**2)))

            best = {}
            for sampler in ("random", "grid"):
                study = Study(
                    None, "s", space, {}, sampler=sampler, grid_points=4, pruner="none", seed=seed
                )
                run_trials(study, surface(score=score), trials=16)
                best[sampler] = study.best()["value"]
            wins.append(best["random"] > best["grid"])
        # Under the null hypothesis 15 or more of 20 have a probability of 2 %.
        assert sum(wins) >= 15

    def test_grid_visits_every_combination_once(self):
        space = {"x": Range(1.0, 100.0), "z": Choice(("a", "b", "c"))}
        study = Study(None, "g", space, {}, sampler="grid", grid_points=2, pruner="none")
        run_trials(study, surface(score=lambda s: s["x"]), trials=99)
        rows = study.table()
        assert len(rows) == study.grid_size == 6
        seen = {(round(row["params"]["x"], 4), row["params"]["z"]) for row in rows}
        assert seen == {(round(x, 4), z) for x in (10**0.5, 10**1.5) for z in "abc"}

    def test_halving_saves_epochs_and_keeps_the_best(self):
        spent = {}
        for pruner in ("none", "halving", "hyperband"):
            study = Study(None, pruner, SURFACE, {}, pruner=pruner, epochs=9, seed=1)
            run_trials(study, surface(epochs=9), trials=30)
            rows = study.table()
            spent[pruner] = sum(row["epochs"] for row in rows)
            # The surface's order does not change with training: halving cannot lose the best.
            if pruner == "halving":
                top = max(rows, key=lambda row: height(row["params"]))
                assert top["state"] == "complete"
        assert spent["none"] == 270
        assert spent["halving"] < 0.6 * spent["none"]
        assert spent["hyperband"] < spent["none"]

    def test_a_diverged_trial_is_kept_but_never_best(self):
        def score(settings):
            return float("nan") if settings["x"] > 1e-2 else settings["x"]

        study = Study(None, "d", {"x": Range(1e-4, 1.0)}, {}, pruner="none")
        run_trials(study, surface(score=score), trials=20)
        states = {row["state"] for row in study.table()}
        assert states == {"complete", "diverged"}
        assert study.best()["params"]["x"] <= 1e-2

    def test_all_diverged_is_said(self):
        study = Study(None, "d", SURFACE, {})
        run_trials(study, surface(score=lambda s: float("inf")), trials=2)
        with pytest.raises(JaxnetsError, match="all diverged"):
            study.best()

    def test_several_devices_and_trials_together_give_every_trial_its_own_score(self):
        seen = []

        def objective(settings, device):
            seen.append((len(settings), device))
            yield np.array([height(one) for one in settings])

        study = Study(None, "m", SURFACE, {}, pruner="none")
        run_trials(study, objective, trials=20, devices=jax.devices()[:3], together=4)
        assert len(study.table()) == 20
        assert {count for count, _ in seen} == {4}
        assert len({device for _, device in seen}) == 3
        for row in study.table():
            assert row["value"] == pytest.approx(height(row["params"]))

    def test_an_optimum_at_the_edge_is_noticed(self):
        options = {"sampler": "grid", "grid_points": 20, "pruner": "none"}
        study = Study(None, "e", {"x": Range(1e-4, 1.0)}, {}, **options)
        run_trials(study, surface(score=lambda s: s["x"]), trials=20)
        assert edge_warnings(study) == [
            "the best x lies at the upper limit of its range: widen the range there"
        ]

    def test_every_round_begins_with_what_was_best_and_with_what_is_in_use(self):
        seen = []

        def make(epochs):
            def objective(settings, device):
                seen.append(settings[0])
                yield [height(settings[0])]

            return objective

        # Beyond the range of y; z is not searched.
        start = {"x": 3e-3, "y": 1.2, "z": "other"}
        in_use = {"x": 3e-3, "y": 1.2}
        rounds = [Round(4, 1), Round(3, 1), Round(3, 1)]
        studies = coarse_to_fine(make, SURFACE, rounds, pruner="none", start=start)
        assert seen[0] == in_use
        assert seen[4] == studies[0].best()["params"]
        assert seen[7] == studies[1].best()["params"]
        assert in_use in seen[4:7] and in_use in seen[7:]
        values = [study.best()["value"] for study in studies]
        assert values == sorted(values)

    def test_a_late_bloomer_in_use_wins_the_long_round(self):
        """A short round prefers what learns fast; what is in use is carried to the end and wins."""

        def make(epochs):
            def objective(settings, device):
                slow = settings[0]["z"] == "augmented"
                for epoch in range(1, epochs + 1):
                    yield [epoch * 0.1 if slow else 0.3 + 0.01 * settings[0]["x"]]

            return objective

        space = {"x": Range(0.1, 1.0), "z": Choice(("plain", "augmented"))}
        rounds = [Round(6, 1), Round(8, 10, first_rung=0.1)]
        start = {"x": 0.05, "z": "augmented"}
        studies = coarse_to_fine(make, space, rounds, reduction=2, start=start)
        assert studies[0].best()["params"]["z"] == "plain"
        assert studies[1].best()["params"] == start
        complete = [row for row in studies[1].table() if row["state"] == "complete"]
        assert len(complete) < 8

    def test_what_is_tried_first_is_tried_once(self, tmp_path):
        start = {"x": 1e-2, "y": 0.5}
        for trials in (1, 3):
            study = Study(tmp_path / "s.db", "s", SURFACE, {}, pruner="none")
            study.try_first(start)
            run_trials(study, surface(), trials=trials)
        assert [row["params"] for row in study.table()].count(start) == 1
        # An old study takes it as its next trial.
        study.try_first({"x": 1e-3, "y": 0.5})
        assert study.ask().params == {"x": 1e-3, "y": 0.5}

    def test_what_cannot_be_tried_first_is_refused(self):
        study = Study(None, "s", {"x": Range(1.0, 2.0), "z": Choice(("a", "b"))}, {})
        with pytest.raises(JaxnetsError, match="do not say z"):
            study.try_first({"x": 1.5})
        with pytest.raises(JaxnetsError, match="z='c' to try first is none of"):
            study.try_first({"x": 1.5, "z": "c"})
        assert study.point_of({"x": 0, "z": "a"}) == {"x": 1.0, "z": "a"}
        with pytest.raises(JaxnetsError, match="on no such scale"):
            study.try_first({"x": -1.0, "z": "a"})

    def test_a_first_rung_is_a_share(self):
        with pytest.raises(JaxnetsError, match=r"first_rung is a share in \(0, 1\], got 5"):
            Study(None, "s", SURFACE, {}, first_rung=5)

    def test_bad_budgets(self):
        study = Study(None, "b", SURFACE, {})
        with pytest.raises(JaxnetsError, match="at least 1"):
            run_trials(study, surface(), trials=0)
        with pytest.raises(JaxnetsError, match="no rounds"):
            coarse_to_fine(surface, SURFACE, [])
        with pytest.raises(JaxnetsError, match="epochs must be at least 1"):
            coarse_to_fine(surface, SURFACE, [Round(3, 0)])


class TestStore:
    def test_goes_on_where_it_was(self, tmp_path):
        """Six trials, then six more in a study opened anew, are the twelve of one sitting."""
        options = {"pruner": "none", "seed": 5}
        whole = Study(None, "s", SURFACE, {}, **options)
        run_trials(whole, surface(), trials=12)
        first = Study(tmp_path / "s.db", "s", SURFACE, {}, **options)
        run_trials(first, surface(), trials=6)
        second = Study(tmp_path / "s.db", "s", SURFACE, {}, **options)
        assert second.done() == 6
        run_trials(second, surface(), trials=12)
        assert [r["params"] for r in second.table()] == [r["params"] for r in whole.table()]

    def test_a_killed_search_goes_on(self, tmp_path):
        """SIGKILL in the middle of a trial: the same settings are tried once more."""
        script = tmp_path / "search.py"
        script.write_text(
            "import os, signal, sys\n"
            "from jaxnets.tune import Range, Study, run_trials\n"
            "space = {'x': Range(1e-4, 1.0)}\n"
            f"study = Study({str(tmp_path / 's.db')!r}, 's', space, {{}}, pruner='none', seed=2)\n"
            "begun = study.done()\n"
            "def objective(settings, device):\n"
            "    global begun\n"
            "    begun += 1\n"
            "    for epoch in range(3):\n"
            "        if 'kill' in sys.argv and begun == 4 and epoch == 1:\n"
            "            os.kill(os.getpid(), signal.SIGKILL)\n"
            "        yield [-abs(settings[0]['x'] - 0.01)]\n"
            "run_trials(study, objective, trials=8)\n"
        )
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "XLA_FLAGS": ""}
        command = [sys.executable, str(script)]
        killed = subprocess.run([*command, "kill"], env=environment, check=False)
        assert killed.returncode == -signal.SIGKILL
        space = {"x": Range(1e-4, 1.0)}
        options = {"pruner": "none", "seed": 2}
        study = Study(tmp_path / "s.db", "s", space, {}, **options)
        assert study.done() == 3
        objective = surface(epochs=3, score=lambda s: -abs(s["x"] - 0.01))
        run_trials(study, objective, trials=8)
        undisturbed = Study(None, "s", space, {}, **options)
        run_trials(undisturbed, objective, trials=8)
        assert [r["params"] for r in study.table()] == [r["params"] for r in undisturbed.table()]

    def test_another_configuration_is_refused_with_what_differs(self, tmp_path):
        path = tmp_path / "s.db"
        Study(path, "s", SURFACE, {"model": "lenet5", "epochs": 3})
        Study(path, "s", SURFACE, {"model": "lenet5", "epochs": 3})
        with pytest.raises(JaxnetsError) as caught:
            Study(path, "s", SURFACE, {"model": "resnet20", "epochs": 3})
        assert "model: the study has 'lenet5', asked for 'resnet20'" in str(caught.value)
        assert "epochs" not in str(caught.value)
        with pytest.raises(JaxnetsError, match="space: the study has"):
            Study(path, "s", {"x": Range(1e-4, 0.5)}, {"model": "lenet5", "epochs": 3})

    def test_missing_optuna_says_how_to_install_it(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "optuna", None)
        with pytest.raises(JaxnetsError, match=r"pip install 'jaxnets\[search\]'"):
            import_optuna()
