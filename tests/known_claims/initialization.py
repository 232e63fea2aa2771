"""Known outcomes of the claims on the start of training, and of those on batch normalization."""

import math

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from experiments.claims.measures import initialization
from jaxnets.study.data import load
from known_claims.made_up import Known, known_in, trained

CASES: list[Known] = []
known = known_in(CASES)
CURVES = {"steps": 400, "evaluations": 10}


def reaching(target: float, arm, needed: float) -> dict:
    """A training loss that falls to ``target`` at a step; later for later keys."""
    return {"train_loss": target + 4e-4 * target * (needed * (1 + arm.key) - arm.steps)}


def scales(raw: float, centered: float, standardized: float):
    """Steps that each kind of input needs at the higher rate; the kind is seen from the images."""

    def run(arm):
        x = np.asarray(arm.data.train.images)
        if x.min() == 0 and abs(x.max() - 1) < 1e-6:
            needed, slower = raw, 2
        else:
            assert np.abs(x.mean(0)).max() < 1e-5
            needed, slower = (standardized if x.std(0).max() > 0.9 else centered), 3
        return reaching(0.2, arm, needed * (slower if arm.first_rate < 0.4 else 1))

    return trained(run)


rates = {"rates": (0.25, 0.5), **CURVES}
known("normalize_the_inputs", "holds", [4, 2], scales(120, 60, 30), **rates)
known("normalize_the_inputs", "fails", [0.25, 0.5], scales(30, 60, 120), **rates)


def diagonal(**factors):
    """Initial weights c·1: every layer multiplies by c, behind ReLUs the second moment by c²."""

    def make(c):
        return lambda key, shape, dtype=jnp.float32: c * jnp.eye(*shape, dtype=dtype)

    def scene(monkeypatch):
        for name, factor in factors.items():
            monkeypatch.setattr(initialization, name, make(factor))

    return scene


signal = {"depth": 4, "paired": False, "tolerance": 1e-4}
known("xavier_suits_tanh", "holds", [None, 0.5], diagonal(xavier_normal=0.5**0.5), **signal)
known("xavier_suits_tanh", "fails", [None, 0.04], diagonal(xavier_normal=0.2), **signal)


def he(second_moment: float, accuracy: dict):
    """Training accuracies of He's and Xavier's weights, known by the factor on them."""

    def run(arm):
        first = arm.started("fc1", "fc2", "classifier")
        scale = first["fc2"]["kernel"][0, 0]
        assert first["fc1"]["bias"][0] == first["classifier"]["kernel"][0, 0] == 1
        name = {1.0: "He", 0.7071: "Xavier"}[round(float(scale), 4)]
        low, worse = arm.first_rate < 0.2, {"He": 10, "Xavier": 12}
        return {"train_accuracy": accuracy[name] - worse[name] * (low == (name == "He"))}

    def scene(monkeypatch):
        # Xavier's are not used in the first effect: were they, it would be another.
        factors = {"he_normal": second_moment**0.5, "xavier_normal": 0.3}
        diagonal(**factors)(monkeypatch)
        trained(run)(monkeypatch)

    return scene


deep = {"rates": (0.1, 0.3), "tolerance": 1e-5}
known("he_suits_relu", "holds", [1.0, 3], he(1.0, {"He": 90, "Xavier": 87}), **deep)
known("he_suits_relu", "fails", [0.5, -3], he(0.5, {"He": 87, "Xavier": 90}), **deep)


class Confident(nn.Module):
    """Logits s for class 0 and 0 for the others, from the classifier's bias or from behind it."""

    behind: float
    bias: float

    @nn.compact
    def __call__(self, x, *, train: bool = False):
        first = jnp.eye(10)[0]
        dense = nn.Dense(
            10,
            kernel_init=nn.initializers.zeros,
            bias_init=lambda *_: self.bias * first,
            name="classifier",
        )
        return dense(x.reshape(len(x), -1)) + self.behind * first


def confident(**fields):
    """In place of every registered network."""

    def scene(monkeypatch):
        monkeypatch.setattr(initialization, "create_model", lambda *_, **__: Confident(**fields))

    return scene


share = float(np.mean(np.asarray(load("digits").train.labels[:32]) == 0))
wrong = math.log(math.exp(5) + 9) - 5 * share - math.log(10)
start = {"tolerance": 0.02, "paired": False, "keys": 8}
name = "loss_starts_at_ln_c"
known(name, "holds", [0, 0], confident(behind=0.0, bias=0.0), **start)
known(name, "fails", [wrong, wrong], confident(behind=5.0, bias=0.0), **start)
# The small last layer has no bias any more.
each = ("holds", "fails")
known(name, "depends", [0, wrong], confident(behind=0.0, bias=5.0), each=each, **start)


def race(**needed):
    """Steps with and without batch norm at the higher rate."""

    def run(arm):
        steps, slower = (needed["norm"], 2) if arm.model.norm else (needed["plain"], 3)
        return reaching(0.1, arm, steps * (slower if arm.first_rate < 0.4 else 1))

    return trained(run)


known("bn_speeds_training", "holds", [4], race(norm=20, plain=80), **rates)
known("bn_speeds_training", "fails", [0.25], race(norm=80, plain=20), **rates)
four = {**CURVES, "rates": (0.1, 0.5, 0.2, 0.25), "trial": 1}
known("bn_speeds_training", "holds", [4], race(norm=20, plain=80), **four)


def largest(**limit):
    """Trains up to a rate; at the last one again, which must not count, or as NaN."""

    def run(arm):
        rate, most = arm.first_rate, limit["norm" if arm.model.norm else "plain"]
        trains = rate < most * 1.01 or (most < 0.5 and rate > 1.5)
        bad = np.nan if rate > 0.7 else 2.4
        return {"train_loss": [2.3] * (len(arm.steps) - 1) + [2.2 if trains else bad]}

    return trained(run)


ladder = {"rates": (0.1, 0.2, 0.4, 0.8, 1.6)}
known("bn_allows_high_rates", "holds", [8], largest(norm=1.6, plain=0.2), **ladder)
known("bn_allows_high_rates", "fails", [0.125], largest(norm=0.2, plain=1.6), **ladder)
# No rate trains without: counted as half of the smallest.
known("bn_allows_high_rates", "holds", [8], largest(norm=0.4, plain=0.01), **ladder)


def spread(**sides):
    """(Relative change of the loss, lost points) of the worst scale, with and without."""

    def run(arm):
        first = arm.started("hidden0", "hidden1", "classifier")
        scale = first["hidden1"]["kernel"][0, 0]
        assert first["hidden0"]["bias"][0] == first["classifier"]["kernel"][0, 0] == 1
        change, lost = sides["norm" if arm.model.norm else "plain"]
        worst = scale > 2
        found = {"train_loss": 0.2 * (1 + change * worst) * (0.99 if scale < 1 else 1)}
        return {**found, "accuracy": 80 + lost * worst + 3 * (scale < 1)}

    return trained(run)


name, factors = "bn_forgives_initialization", {"scales": (0.5, 1.0, 4.0)}
sides = {"norm": (0.05, -0.5), "plain": (0.4, -9)}
known(name, "holds", [5, -0.5, 40, -9], spread(**sides), **factors)
sides = {"norm": (-0.4, -9), "plain": (0.05, -0.5)}
known(name, "fails", [40, -9, 5, -0.5], spread(**sides), **factors)


def regularized(gain: float):
    """Each at a rate of its own."""

    def run(arm):
        best = (arm.first_rate > 0.4) == arm.model.norm
        lost = 10 if arm.model.norm else 12
        return {"accuracy": 80 + gain * arm.model.norm - lost * (not best)}

    return trained(run)


known("bn_regularizes", "holds", [3], regularized(3), rates=(0.25, 0.5))
known("bn_regularizes", "fails", [-3], regularized(-3), rates=(0.25, 0.5))
