"""Known outcomes of the claims on penalties, early stopping, dropout and label smoothing."""

import math

import jax
import jax.numpy as jnp
import numpy as np

from experiments.claims.measures import dropout, teachers
from known_claims.answering import answering, answers, reader, with_codes
from known_claims.made_up import Known, known_in, trained

CASES: list[Known] = []
known = known_in(CASES)
TWO = {"rates": (0.25, 0.5)}
FINE = {"tolerance": 1e-3}


def penalized(gain: float):
    """With a penalty, known by what it does to a weight without gradient, other accuracies.

    The first half of the images chooses, and likes none best; the second half judges.
    """

    def run(arm):
        decay = round(float(-arm.updates([0.0])[0] / 0.05), 6)
        first, second = {0.0: (99, 80), 0.01: (70, 60), 0.02: (90, 80 + gain)}[decay]
        labels = arm.data.test.labels
        halves = np.split(np.asarray(labels), 2)
        logits = [answers(y, a - 2 * arm.key) for y, a in zip(halves, (first, second), strict=True)]
        return {"state": answering(jnp.concatenate(logits))}

    return trained(run)


decays = {"decays": (0.0, 0.01, 0.02), "rate": 0.05, "tolerance": 1e-4}
known("l2_helps", "holds", [4], penalized(4), **decays)
known("l2_helps", "fails", [-4], penalized(-4), **decays)


def kind_of(loss) -> str:
    """Of a loss function, by its value where cross entropy is ln(1 + e⁻²) = 0.1269."""
    value = round(float(loss(jnp.array([[2.0, 0.0]]), jnp.array([0]))), 4)
    # Smoothed by 0.1: + 0.05·2. Penalized by 0.3: − 0.3·(entropy 0.3653).
    return {0.1269: "plain", 0.2269: "special", 0.0173: "special"}[value]


def networks(**sides):
    """(Row that the network reads, confidence in its answer) by loss, at that loss's better rate.

    The row's accuracy is that of the network: 100 % for row 0, then ten less for each.
    """

    def run(arm):
        name = kind_of(arm.loss_fn)
        row, confidence = sides[name]
        if (arm.first_rate > 0.4) != (name == "special"):
            row = 3
        # eˢ/(eˢ + 9) is the confidence.
        params = reader(row, math.log(9 * confidence / (1 - confidence)), 16)
        return {"accuracy": 100 - 10 * row, "variables": {"params": params}}

    return with_codes(trained(run))


def entropy(row: int, confidence: float) -> float:
    """Cross entropy of such a network."""
    s = math.log(9 * confidence / (1 - confidence))
    return math.log(math.exp(s) + 9) - s * (1 - row / 10)


less, more = (1, 0.8), (2, 0.99)
ratio = entropy(*less) / entropy(*more)
name = "confidence_penalty_helps"
known(name, "holds", [10, ratio], networks(special=less, plain=more), **TWO, **FINE)
known(name, "fails", [-10, 1 / ratio], networks(special=more, plain=less), **TWO, **FINE)

# The error of a confidence that is the same everywhere is its distance from the accuracy.
name = "label_smoothing_calibrates"
near, far, cautious = (1, 0.95), (2, 0.99), (1, 0.5)
known(name, "holds", [5 - 19, 10], networks(special=near, plain=far), **TWO, **FINE)
known(name, "fails", [19 - 5, -10], networks(special=far, plain=near), **TWO, **FINE)
known(name, "fails", [40 - 19, 10], networks(special=cautious, plain=far), **TWO, **FINE)


def tightness(row: int) -> float:
    """Variance within over that between classes, of codes that are right for a share a.

    Within: 1 − a² − (1 − a)². Together with that between it is 1 − 1/10.
    """
    a = 1 - row / 10
    within = 1 - a**2 - (1 - a) ** 2
    return within / (0.9 - within)


name = "label_smoothing_tightens"
ratio = tightness(1) / tightness(2)
known(name, "holds", [ratio], networks(special=near, plain=far), **TWO, **FINE)
known(name, "fails", [1 / ratio], networks(special=far, plain=near), **TWO, **FINE)


def taught(**rows):
    """What students read, by the confidence of the teacher whose logits they get."""

    def distil(model, temperature, rate, keys, order, images, targets):
        assert targets.shape == (len(keys), len(images), 10) and temperature == 2
        # ln(9·0.95/0.05) = 5.14 and ln(9·0.99/0.01) = 6.79.
        name = "special" if targets.max() < 6 else "plain"
        best = (rate > 0.005) == (name == "special")
        params = reader(rows[name] if best else 3, 3.0, 10)
        return {"params": jax.tree.map(lambda x: jnp.stack([x] * len(keys)), params)}

    def scene(monkeypatch):
        networks(special=(2, 0.95), plain=(1, 0.99))(monkeypatch)
        monkeypatch.setattr(teachers, "_distil", distil)

    return scene


name = "label_smoothing_spoils_teachers"
students = {"student": 10, "student_rates": (0.001, 0.01), **TWO, **FINE}
known(name, "holds", [-20, -10], taught(special=2, plain=0), **students)
known(name, "fails", [20, -10], taught(special=0, plain=2), **students)


# Logits of the right class on the validation images, one an evaluation: the best before patience
# ends is the fourth, a better one comes too late.
VALIDATION = (0.0, 1.0, 2.0, 3.0, 2.5, 2.0, 1.5, 5.0, 4.0, 3.0, 2.0)


def stopped(at_best: tuple[float, float], at_end: tuple[float, float]):
    """(Accuracy, size of the logit) on the test images at the fourth evaluation and at the end.

    With wrong labels they are 2 points lower at the end.
    """

    def run(arm):
        train, labels = arm.data.train, np.asarray(arm.data.test.labels)
        truth = np.asarray(train.images)[:, 0, :, 0].argmax(-1)
        changed = np.mean(truth != np.asarray(train.labels))
        assert changed == 0 or 0.1 < changed < 0.3
        held = len(labels) - 100
        assert held == 25 and len(truth) == 75
        states = []
        for number, size in enumerate(VALIDATION):
            accuracy, sure = at_best if number == 3 else at_end
            accuracy -= 2 * (changed > 0 and number == len(VALIDATION) - 1)
            test = answers(labels[held:], accuracy - 10 * (number not in (3, 10)), sure)
            states.append(answering(jnp.concatenate([answers(labels[:held], 100, size), test])))
        return {"state": states}

    return with_codes(trained(run))


def saved(best, end) -> float:
    """Cross entropy at the end minus that at the best."""
    loss = [math.log(math.exp(s) + 9) - s * a / 100 for a, s in (best, end)]
    return loss[1] - loss[0]


ends = {"steps": 10, "evaluations": 10, "patience": 2, "tolerance": 1e-4}
best, end, lower = (80, 3.0), (80, 6.0), (78, 6.0)
effects = [0, saved(best, end), 2, saved(best, lower)]
known("stop_early", "holds", effects, stopped(best, end), **ends)
best, end, lower = (70, 3.0), (80, 3.0), (78, 3.0)
effects = [-10, saved(best, end), -8, saved(best, lower)]
known("stop_early", "fails", effects, stopped(best, end), **ends)


def noisy(kind: str, gain: float):
    """Accuracies with and without noise, each at its better rate."""

    def run(arm):
        assert arm.model.kind == kind
        drop = float(arm.started("fc1")["rate"])
        assert drop in (0.0, 0.5)
        best = (arm.first_rate > 0.4) == (drop > 0)
        accuracy = 80 + (gain if drop else 0) - (0 if best else 20 if drop else 25)
        return {"accuracy": accuracy, "train_accuracy": 95 if drop else 99}

    return trained(run)


for name, kind in (("dropout_helps", "dropout"), ("drop_connect_helps", "drop_connect")):
    known(name, "holds", [3, -7], noisy(kind, 3), **TWO)
    known(name, "fails", [-3, -1], noisy(kind, -3), **TWO)


def one_unit_a_class(arm):
    """Each answer hangs on one unit of each layer: a mask that drops it answers class 0."""
    rate = np.float32(arm.started("fc1")["rate"])
    return {"variables": {"params": {**reader(0, 3.0, 16), "rate": rate}}}


name = "dropout_is_an_ensemble"
single = 100 - 75 * 0.9
known(
    name,
    "holds",
    [100 - single, 100 - single, 0],
    with_codes(trained(one_unit_a_class)),
    masks=40,
    # A mask keeps both units with probability 1/4.
    tolerance=3,
)
# Nothing dropped: all three are the same.
each = ("fails", "fails", "holds")
known(name, "depends", [0, 0, 0], with_codes(trained(one_unit_a_class)), each=each, drop=0.0)


def worse_together(monkeypatch):
    """Single masks 84 and 86 %, two together 80 %, all units 82 %; less by a point for a key."""
    with_codes(trained(one_unit_a_class))(monkeypatch)
    lower = np.arange(2)[:, None]
    found = np.array([[84.0, 86.0]]) - lower, np.array([[84.0, 80.0]]) - lower
    monkeypatch.setattr(dropout, "_with_masks", lambda *_: found)
    monkeypatch.setattr(dropout, "accuracies", lambda *_: 82.0 - lower[:, 0])


known(name, "fails", [-5, -3, 2], worse_together, masks=2)
