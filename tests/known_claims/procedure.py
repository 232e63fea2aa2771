"""Known outcomes of the claims on checks, range tests and search."""

from types import SimpleNamespace

import numpy as np

from experiments.claims.measures import learning_rates
from jaxnets.errors import JaxnetsError
from jaxnets.study.data import load
from known_claims.made_up import Known, known_in, trained

CASES: list[Known] = []
known = known_in(CASES)

FAULTS = {
    (0.1, 1.0, 0.0): "sound",
    (0.1, 1.0, -1000.0): "dead hidden units",
    (0.1, 0.0, 0.0): "all weights zero",
    (0.1, 30.0, 0.0): "weights 30 times too large",
    (-0.1, 1.0, 0.0): "gradient of the wrong sign",
    (1e-5, 1.0, 0.0): "rate 10,000 times too low",
}


def fitting(*names: str):
    """The networks that fit all images, for a while, in the middle of the run."""

    def run(arm):
        first = arm.started("hidden", "classifier")
        scale = float(first["hidden"]["kernel"][0, 0])
        assert first["classifier"]["kernel"][0, 0] == first["classifier"]["bias"][0] == scale
        bias = float(first["hidden"]["bias"][0]) - scale
        name = FAULTS[round(arm.first_rate, 6), scale, bias]
        truth = np.asarray(load("digits", train=40).train.labels)
        if not np.array_equal(arm.data.train.labels, truth):
            assert np.array_equal(np.sort(arm.data.train.labels), np.sort(truth))
            name = "labels shuffled" if name == "sound" else name
        curve = np.full(len(arm.steps), 97.5)
        if name in names:
            curve[len(curve) // 2] = 100
        return {"train_accuracy": curve}

    return trained(run)


name, several = "overfitting_few_catches_faults", {"keys": 6, "steps": 40}
known(name, "holds", [1] * 7, fitting("sound"), **several)
known(name, "holds", [1] * 6 + [0], fitting("sound", "labels shuffled"), **several)
broken = [n for n in FAULTS.values() if n != "sound"]
known(name, "fails", [0] * 6 + [1], fitting(*broken), **several)
each = ("holds", "holds", "holds", "fails", "holds", "holds", None)
scene = fitting("sound", "weights 30 times too large")
known(name, "depends", [1, 1, 1, 0, 1, 1, 1], scene, each=each, **several)


def suggested(*rates: float | None):
    """Suggestions by key; the best rate of the grid is 0.1, those from 1 on end in NaN."""
    answers = list(rates)

    def range_test(loss_of, params, batches, *, lowest, highest, optimizer):
        assert (lowest, highest, optimizer) == (1e-5, 10, "sgd")
        rate = answers.pop(0)
        if rate is None:
            raise JaxnetsError("no minimum")
        return SimpleNamespace(suggestion=rate)

    def run(arm):
        away = abs(np.log10(arm.first_rate) + 1)
        return {"train_loss": np.nan if arm.first_rate > 0.9 else 0.1 + away}

    def scene(monkeypatch):
        answers[:] = rates
        trained(run)(monkeypatch)
        monkeypatch.setattr(learning_rates, "range_test", range_test)

    return scene


name, decades = "range_test_finds_a_good_rate", {"rates": 7}
known(name, "holds", [2], suggested(0.2, 0.05), **decades)
known(name, "fails", [5], suggested(0.5, 0.02), **decades)
# No suggestion counts as the lowest rate.
known(name, "fails", [10_000], suggested(None, None), **decades)


def table(accuracy):
    """(log₁₀ of the rate, place among the weight decays) → accuracy."""

    def run(arm):
        decay = -float(arm.updates([0.0])[0]) / arm.first_rate
        return {"accuracy": accuracy(np.log10(arm.first_rate), np.log10(decay))}

    return trained(run)


name = "random_search_beats_grid"
search = {"paired": False, "test": 50, "repeats": 400, "side": 4}
# One of 81 rates is good. Of 60 in a search's range 16 random ones meet it with probability
# 1 − (59/60)¹⁶ = 0.236; the grid's four, of 20 places of the range, at two.
needle = table(lambda rate, decay: 80.0 if abs(rate + 2) < 0.05 else 30.0)
known(name, "holds", [50 * 0.136, 0], needle, rates=81, decays=2, keys=4, tolerance=1.5, **search)
# The grid of four never meets the second of five decays, each random place with probability 1/4.
narrow = table(lambda rate, decay: 80.0 if abs(decay + 7.25) < 0.1 else 30.0)
known(name, "holds", [50 * 0.99, 50], narrow, rates=5, decays=5, tolerance=0.5, **search)
known(name, "fails", [0, 0], table(lambda *_: 80.0), rates=5, decays=2, **search)
# Fifteen of 81 rates are good, and no gap between the grid's four is wider.
wide = table(lambda rate, decay: 80.0 if -2.75 < rate < -1.15 else 30.0)
known(name, "fails", [-0.5, 0], wide, rates=81, decays=2, keys=6, tolerance=0.4, **search)


def ranked(first, fifth):
    """Accuracies of three candidates after one and after five epochs; at last 90, 80 and 70."""

    def run(arm):
        rates = np.float32(10 ** np.random.default_rng(0).uniform(-4, 0.5, 3))
        (place,) = np.flatnonzero(np.isclose(rates, arm.value["rate"]))
        curve = np.array([(3, 2, 1), first, first, first, first, fifth, (90, 80, 70)])
        return {"accuracy": curve[:, place] - 1.0 * arm.key}

    return trained(run)


right, wrong = (30, 20, 10), (10, 20, 30)
name, epochs = "short_runs_rank_long_ones", {"epochs": 6}
known(name, "holds", [1, 0, 1, 0], ranked(right, right), **epochs)
known(name, "fails", [-1, 20, -1, 20], ranked(wrong, wrong), **epochs)
each = ("fails", "fails", "holds", "holds")
known(name, "depends", [-1, 20, 1, 0], ranked(wrong, right), each=each, **epochs)
# Spearman's 1 − 6·Σd²/(n(n² − 1)) with ranks exchanged once.
known(name, "depends", [0.5, 10, 1, 0], ranked((20, 30, 10), right), each=each, **epochs)
