"""Known outcomes of the claims on ensembles."""

import math

import numpy as np

from known_claims.answering import answering, distribution
from known_claims.made_up import Known, known_in, trained

CASES: list[Known] = []
known = known_in(CASES)

# Probabilities of (the right class where it is right, (the next class, the right one) elsewhere).
MODEST = (0.9, (0.4, 0.3))  # one that is right prevails over one that is wrong
LOUD = (0.4, (0.9, 0.01))  # the other way round


def probabilities(labels, wrong, sure, elsewhere):
    """What a probe sees of a network that is wrong on the given examples."""
    right = ~np.isin(np.arange(len(labels)), wrong)
    return answering(distribution(labels, right, sure, elsewhere))


def committee(each: int, kind):
    """Two networks a key, each wrong on so many of 100 images, on others than the other one."""

    def run(arm):
        first = each * (arm.key % 2)
        return {"state": probabilities(arm.data.test.labels, np.arange(first, first + each), *kind)}

    return trained(run)


def less_loss(each: int, kind) -> float:
    """Mean loss of the two, minus the loss of their mean."""
    sure, (_, least) = kind
    one = -(1 - each / 100) * math.log(sure) - each / 100 * math.log(least)
    both = -(1 - each / 50) * math.log(sure) - each / 50 * math.log((sure + least) / 2)
    return one - both


few = {"test": 100, "tolerance": 1e-4}
name = "ensemble_gives_two_percent"
known(name, "holds", [2, 2, less_loss(2, MODEST)], committee(2, MODEST), keys=3, **few)
known(name, "fails", [-2, -2, less_loss(2, LOUD)], committee(2, LOUD), keys=3, **few)
known(
    name,
    "depends",
    [5, 5, less_loss(5, MODEST)],
    committee(5, MODEST),
    each=("fails", "holds", None),
    **few,
)


def last_ones(constant: int, falling: int, together_right: bool):
    """Of the last three checkpoints the last, or the two before it, are wrong on some images.

    Together they are right, or wrong, there. Earlier ones are wrong everywhere, and sure of it.
    """

    def run(arm):
        labels, nobody, all_of_them = arm.data.test.labels, [], np.arange(100)
        some = np.arange((falling if arm.falls else constant) + arm.key)
        sides = (nobody, some) if together_right else (some, nobody)
        kind = MODEST if together_right else LOUD
        before, last = (probabilities(labels, wrong, *kind) for wrong in sides)
        early = probabilities(labels, all_of_them, 0.9, (0.99, 0.001))
        return {"state": [early] * (len(arm.steps) - 3) + [before, before, last]}

    return trained(run)


checkpoints = {**few, "paired": False}
name = "checkpoint_ensemble_helps"
known(name, "holds", [30.5, 20.5], last_ones(30, 20, True), **checkpoints)
known(name, "fails", [-30.5, -20.5], last_ones(30, 20, False), **checkpoints)


def cycles(kind, first: int, second: int, whole: int):
    """Two snapshots wrong on so many images, on others each, and the run of one half cosine.

    Whether the rate rises again is seen after the first cycle. The other rate is worse for both.
    """

    def run(arm):
        labels = arm.data.test.labels
        after = int(arm.steps[1])
        velocity = sum(0.9**k for k in range(after + 1))
        rate = -arm.updates([1.0] * (after + 1))[-1] / velocity
        rises = abs(rate / arm.value["rate"] - 1) < 1e-3
        assert rises or abs(rate / arm.value["rate"] - 0.5) < 1e-3
        worse = 80 + np.arange(20 * ((arm.value["rate"] > 0.2) != rises))
        ends = (first, second) if rises else (50, whole)
        start = probabilities(labels, np.arange(100), 0.9, (0.99, 0.001))
        places = [np.append(np.arange(ends[0]), worse), np.append(60 + np.arange(ends[1]), worse)]
        if kind is None:
            # Both snapshots are one and the same.
            places = [places[1], places[1]]
        found = [probabilities(labels, wrong, *(kind or MODEST)) for wrong in places]
        return {"state": [start, *found]}

    return trained(run)


snapshots = {**few, "rates": (0.1, 0.3)}
name = "snapshots_beat_the_best"
known(name, "holds", [4, 3, 10], cycles(MODEST, 6, 4, 3), **snapshots)
each = ("fails", "fails", "holds")
known(name, "depends", [-6, -7, 10], cycles(LOUD, 6, 4, 3), each=each, **snapshots)
known(name, "fails", [0, -1, 0], cycles(None, 6, 4, 3), **snapshots)
