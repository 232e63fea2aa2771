"""Known outcomes of the claims on activations."""

from types import SimpleNamespace

import numpy as np

from experiments.claims.measures import activations
from known_claims.made_up import Known, known_in, trained

CASES: list[Known] = []
known = known_in(CASES)


def race(**steps):
    """Each activation needs so many steps at the rate 0.5, more at 0.25."""

    def run(arm):
        slower = 1 if arm.value > 0.4 else 2 if arm.model.activation == "ReLU" else 3
        needed = steps[arm.model.activation] * (1 + arm.key) * slower
        # A training error of 25 % at that step.
        return {"train_accuracy": 75 + 0.05 * (arm.steps - needed)}

    return trained(run)


RACE = {"rates": (0.25, 0.5), "steps": 400, "evaluations": 10}
known("relu_is_fast", "holds", [2, 3, 6], race(ReLU=10, tanh=20, sigmoid=60), **RACE)
known("relu_is_fast", "fails", [0.5, 0.1, 0.1], race(ReLU=100, tanh=50, sigmoid=10), **RACE)
# Four rates: trials of 40 steps leave two of them, for those that are there by then and the others.
FOUR = {**RACE, "rates": (0.1, 0.5, 0.2, 0.25), "trial": 1}
known("relu_is_fast", "holds", [2, 3, 6], race(ReLU=10, tanh=20, sigmoid=60), **FOUR)


def norms(**first_over_last):
    """Gradient norms whose first and last entries have a given ratio."""

    def found(settings, name):
        ratio = np.linspace(first_over_last[name], 1, settings.depth)
        return np.outer(np.arange(1, settings.keys + 1), ratio)

    return lambda monkeypatch: monkeypatch.setattr(activations, "gradient_norms", found)


name = "sigmoid_kills_gradients"
known(name, "holds", [0.001, 0.5, 0.2], norms(sigmoid=0.001, ReLU=0.5, tanh=0.2))
known(name, "fails", [0.5, 0.001, 0.2], norms(sigmoid=0.5, ReLU=0.001, tanh=0.2))
# Measured: σ' ≤ 1/4, so that eight layers leave at most about 4⁻⁷ of it; He's weights keep it.
deep = {"depth": 8, "width": 64, "examples": 50, "paired": False}
known(name, "holds", [None] * 3, lambda _: None, **deep)


def exchanged(monkeypatch):
    """ReLUs under the name of sigmoids, and the other way round."""
    cases = activations.CASES
    swapped = {"sigmoid": cases["ReLU"], "tanh": cases["tanh"], "ReLU": cases["sigmoid"]}
    monkeypatch.setattr(activations, "CASES", swapped)


known(name, "fails", [None] * 3, exchanged, **deep)


def one_sided(sigmoid, tanh):
    """Shares for single examples and for a batch, (start, middle, end) of the run."""

    def run(arm):
        table = sigmoid if arm.model.activation is activations.sigmoid else tanh
        return {"probe": np.array(table) / 100 - 0.001 * arm.key}

    return trained(run)


# Of the first the end counts, of the others the mean over the run.
sides = {
    "sigmoid": [[40, 80], [50, 60], [100, 70]],
    "tanh": [[0, 9], [10, 9], [20, 9]],
}
zigzag = {"steps": 2, "evaluations": 2, "paired": False}
known("sigmoid_zigzags", "holds", [99.95, 69.95, 9.95], one_sided(**sides), **zigzag)
sides = {"sigmoid": [[100, 30], [100, 20], [50, 10]], "tanh": [[70, 9], [80, 9], [90, 9]]}
known("sigmoid_zigzags", "fails", [49.95, 19.95, 79.95], one_sided(**sides), **zigzag)


def dying(low: int, high: int):
    """So many of the 128 units are dead at the lower and at the higher rate, a few more by key."""

    def run(arm):
        dead = (low if arm.value < 0.5 else high) + arm.key
        alive = np.where(np.arange(128) < dead, -1.0, 1.0).astype(np.float32).reshape(2, 64)
        layer = {"kernel": np.zeros((64, 64), np.float32)}
        params = {f"fc{i + 1}": {**layer, "bias": alive[i]} for i in range(2)}
        return {"state": SimpleNamespace(params={**params, "classifier": {}})}

    return trained(run)


known("high_rates_kill_relus", "holds", [50, 1], dying(16, 80), tolerance=1e-4)
known("high_rates_kill_relus", "fails", [-50, -1], dying(80, 16), tolerance=1e-4)
known("high_rates_kill_relus", "fails", [0, 0], dying(8, 8), tolerance=1e-4)
