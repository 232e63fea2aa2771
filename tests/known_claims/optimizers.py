"""Known outcomes of the claims on first-order optimizers."""

import math
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np

from experiments.claims.measures import descent
from jaxnets import optim
from known_claims.answering import answers
from known_claims.made_up import Known, known_in, trained

CASES: list[Known] = []
known = known_in(CASES)


def nothing(monkeypatch):
    """Measured as it is."""


# At the rate 2/(1 + 1/κ) a step multiplies the steep axis by −(κ − 1)/(κ + 1), the flat one by
# +(κ − 1)/(κ + 1): each step goes across, and none.
known("sgd_oscillates", "holds", [100, 0, None], nothing, paired=False)


def slow_and_exchanged(monkeypatch):
    """A rate so small that no step goes across; momentum under the name of SGD at the saddle."""
    rules = SimpleNamespace(sgd=optim.momentum, momentum=optim.sgd)
    monkeypatch.setattr(descent, "optim", rules)
    monkeypatch.setattr(descent, "fastest_rate", lambda s: np.full(s.keys, 1e-3, np.float32))


known("sgd_oscillates", "fails", [0, 0, None], slow_and_exchanged, paired=False)


def descended(condition: float, start, rate: float, momentum: float, look_ahead: bool):
    """In float64: overshoot along the flat axis, per cent of the start, and steps to 1e-4 of f."""
    curvature = np.array([1, 1 / condition])
    x, speed = np.array(start, np.float64), np.zeros(2)
    path = [x]
    for _ in range(300):
        gradient = curvature * x
        speed = momentum * speed + gradient
        x = x - rate * (gradient + momentum * speed if look_ahead else speed)
        path.append(x)
    path = np.array(path)
    loss = (curvature * path**2).sum(1)
    steps = np.flatnonzero(loss > 1e-4 * loss[0])[-1] + 1
    return 100 * max(-path[:, 1].min(), 0) / start[1], steps


def momenta(**settings) -> list[float]:
    """The effects that follow."""
    starts, conditions = descent.valleys(descent.Valley(**settings))
    rows = []
    for start, c in zip(starts.astype(float), conditions.astype(float), strict=True):
        plain = descended(c, start, 2 / (1 + 1 / c), 0.0, False)
        heavy, nesterov = (descended(c, start, 1.0, 0.9, ahead) for ahead in (False, True))
        rows.append((heavy[0], nesterov[0] - heavy[0], np.log(plain[1] / heavy[1]), plain[0]))
    over, less, ratio, plain = np.mean(rows, 0)
    return [over, less, np.exp(ratio), plain]


loose = {"paired": False, "tolerance": 1e-3, "keys": 4, "steps": 300}
name, narrow, round_ = "momentum_overshoots", (70.0, 100.0), (5.0, 20.0)
known(name, "holds", momenta(keys=4, conditions=narrow), nothing, conditions=narrow, **loose)
# Where the valley is not narrow gradient descent arrives first.
each = ("holds", "holds", "fails", None)
effects = momenta(keys=4, conditions=round_)
known(name, "depends", effects, nothing, each=each, conditions=round_, **loose)


def without_memory(monkeypatch):
    """Both momenta are plain gradient descent at half of the fastest rate."""
    for name in ("heavy_ball", "nesterov"):
        monkeypatch.setattr(descent, name, lambda value: optim.sgd(value["rate"]))


known(name, "fails", [0, 0, None, 0], without_memory, **loose)


def slowing(gradients, losses):
    """Both rules get these gradients; their losses are given, at the better of two rates."""

    def run(arm):
        rule, weight = arm.make_rule(arm.value), {"w": jnp.ones(1)}
        # RMSProp's first mean is a hundredth of the square, so that its first step is ten times.
        name = {1: "AdaGrad", 10: "RMSProp"}[round(arm.first_rate / float(arm.value))]
        state, states = rule.init(weight), []
        states.append(SimpleNamespace(opt_state=state))
        for gradient in gradients:
            _, state = rule.update({"w": jnp.full(1, gradient)}, state, weight)
            states.append(SimpleNamespace(opt_state=state))
        worse = {"AdaGrad": 1 if arm.value > 0.4 else 3, "RMSProp": 4 if arm.value > 0.4 else 1}
        return {"train_loss": losses[name] * worse[name], "state": states}

    return trained(run)


name = "adagrad_slows_down"
grid = {"rates": (0.25, 0.5), "steps": 8, "evaluations": 8, "tolerance": 1e-4}
DECAY = 0.99


def squares(gradients):
    """1/√G of RMSProp's mean, last / first."""
    mean, seen = 0.0, []
    for gradient in gradients:
        mean = DECAY * mean + (1 - DECAY) * gradient**2
        seen.append(mean**-0.5)
    return seen[-1] / seen[0]


steady, fading = (1.0,) * 8, (1.0,) + (0.0,) * 7
scene = slowing(steady, {"AdaGrad": 0.2, "RMSProp": 0.1})
known(name, "holds", [8**-0.5, 2, squares(steady)], scene, **grid)
scene = slowing(fading, {"AdaGrad": 0.1, "RMSProp": 0.2})
known(name, "fails", [1, 0.5, squares(fading)], scene, **grid)


def table(accuracies, losses=None):
    """(method, schedule, rate) → accuracy, and loss; the method is known by what it does."""

    def run(arm):
        update = float(arm.updates([7.0])[0])
        rate = float(arm.value["rate"])
        method = "adam" if abs(-update / rate - 1) < 1e-3 else "momentum"
        assert method == "adam" or abs(-update / rate / 7 - 1) < 1e-3
        place = (method, "cosine" if arm.falls else "constant", round(rate, 6))
        found = {"accuracy": accuracies[place]}
        return {**found, "train_loss": losses[place]} if losses else found

    return trained(run)


def grid_of(method, **schedules):
    """Entries of `table` from lists over the rates."""
    return {
        (method, schedule, rate): value
        for schedule, values in schedules.items()
        for rate, value in zip(RATES[-len(values) :], values, strict=True)
    }


RATES = (0.001, 0.01, 0.1)
three = {"rates": RATES}
known(
    "decay_the_rate",
    "holds",
    [0.25, 2],
    table(
        # Chosen by loss and by accuracy at different rates.
        grid_of("momentum", constant=[80, 90, 85], cosine=[70, 60, 92]),
        grid_of("momentum", constant=[0.8, 0.5, 0.4], cosine=[0.1, 0.2, 0.7]),
    ),
    **three,
)
known(
    "decay_the_rate",
    "fails",
    [4, -2],
    table(
        grid_of("momentum", constant=[70, 60, 92], cosine=[80, 90, 85]),
        grid_of("momentum", constant=[0.1, 0.2, 0.7], cosine=[0.8, 0.5, 0.4]),
    ),
    **three,
)
adam = grid_of("adam", constant=[90, 91, 80], cosine=[70, 71, 91.5])
known("adam_needs_no_tuning", "holds", [-1, -1.5], table(adam), **three)
adam = grid_of("adam", constant=[86, 91, 80], cosine=[99, 71, 91.5])
known("adam_needs_no_tuning", "fails", [-5, -13], table(adam), **three)
wide, narrow = {"constant": [90, 89, 10], "cosine": [91, 80, 80]}, [[10, 20, 85], [70, 80, 93]]
narrow = dict(zip(wide, narrow, strict=True))
both = {**grid_of("adam", **wide), **grid_of("momentum", **narrow)}
known("tuned_momentum_beats_adam", "holds", [2, 1], table(both), **three)
both = {**grid_of("adam", **narrow), **grid_of("momentum", **wide)}
known("tuned_momentum_beats_adam", "fails", [-2, -1], table(both), **three)


def averages(last, averaged, loss_of_last: float):
    """Accuracies by rate; the optimizer's average of the parameters is 1, their last value 0."""

    def run(arm):
        rule, one = arm.make_rule(arm.value), {"w": jnp.ones(())}
        state = rule.init(one)
        for _ in range(2):
            _, state = rule.update({"w": jnp.zeros(())}, state, one)
        high = int(arm.value["rate"] > 0.05)
        labels = arm.data.test.labels

        def apply(variables, images):
            assert abs(float(variables["params"]["w"]) - 1) < 1e-6
            return answers(labels, averaged[high] - arm.key)

        assert not arm.falls
        seen = SimpleNamespace(opt_state=state, params={"w": jnp.zeros(())}, apply_fn=apply)
        loss = loss_of_last * (entropy(averaged[high] - arm.key))
        curve = [9.0] * (len(arm.steps) - 1) + [loss]
        return {"accuracy": last[high], "test_loss": curve, "state": seen}

    return trained(run)


def entropy(accuracy: float) -> float:
    """The cross entropy of `answers`."""
    return math.log(math.exp(3) + 9) - 3 * accuracy / 100


few = {"rates": (0.001, 0.1), "test": 100, "tolerance": 1e-4}
known("averaging_helps", "holds", [3, 0.5, 5], averages((80, 70), (83, 85), 2.0), **few)
known("averaging_helps", "fails", [-3, 2, -1], averages((80, 70), (77, 79), 0.5), **few)


def stale(fresh, late):
    """Accuracies at two rates; the staleness is how much later a gradient arrives."""

    def run(arm):
        found = arm.updates([0.0, 1.0] + [0.0] * 9)[1:]
        (steps,) = np.flatnonzero(found)
        accuracies = {0: fresh, 3: late, 5: late and np.subtract(late, 0.1)}[int(steps)]
        return {"accuracy": accuracies[int(-found[steps] > 0.2)]}

    return trained(run)


waits = {"staleness": (0, 3, 5), "rates": (0.1, 0.3)}
known("stale_gradients", "holds", [-0.2, -0.3, -20.1], stale((80, 90), (89.8, 70)), **waits)
known("stale_gradients", "fails", [-5, -5.1, -20.1], stale((80, 90), (85, 70)), **waits)
# Without any staleness there is no difference.
waits = {"staleness": (0, 0), "rates": (0.1, 0.3)}
known("stale_gradients", "holds", [0, 0], stale((80, 90), None), **waits)
