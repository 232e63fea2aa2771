"""Known outcomes of the claims on transfer learning.

What stands for parameters is one number a key and layer: 0 in new networks, 1 and 2 in those that
were trained on the first and on the second half of the classes.
"""

from types import SimpleNamespace

import jax
import numpy as np

from experiments.claims.measures import dense
from jaxnets.study.data import load
from known_claims.made_up import Known, known_in, trained

CASES: list[Known] = []
known = known_in(CASES)

FRESH, A, B = 0, 1, 2


def layers(number: int, depth: int = 2) -> dict:
    """All of them of one origin."""
    names = [*(f"fc{i}" for i in range(1, depth + 1)), "classifier"]
    return {name: {"kernel": np.float32(number)} for name in names}


def trained_on(arm) -> int:
    """The half of the classes whose images these are."""
    data = load("digits").train
    labels = np.asarray(data.labels)
    halves = {A: labels < 5, B: labels >= 5}
    images = np.asarray(arm.data.train.images)
    (found,) = [n for n, h in halves.items() if np.array_equal(images, np.asarray(data.images)[h])]
    assert set(np.asarray(arm.data.train.labels)) == set(range(5))
    return found


def scrambled(images) -> bool:
    """Digits stand in the middle and are empty at the sides; in another order nothing is."""
    columns = np.asarray(images)[..., 0].mean((0, 1))
    return bool(columns[3:5].mean() - columns[[0, 7]].mean() < 1)


def pretraining(monkeypatch, depth: int = 2):
    """What was trained is known by its number."""
    trained(lambda arm: {"variables": {"params": layers(trained_on(arm), depth)}})(monkeypatch)

    def initial(model, image_shape, keys):
        return jax.tree.map(lambda x: np.repeat(x, len(keys)), layers(FRESH, depth))

    monkeypatch.setattr(dense, "initial", initial)


def small_sets(accuracy):
    """(way, examples a class, scrambled) → accuracy; the other rate is worse by 20 points."""

    def train_runs(model, starts, factors, rates, rows, seeds, part, *, steps, batch_size):
        del model, steps, batch_size
        assert all((np.asarray(f) == 1).all() for f in factors.values())
        found = []
        for run, (rate, seed) in enumerate(zip(np.asarray(rates), np.asarray(seeds), strict=True)):
            origin = {name: int(layer["kernel"][run]) for name, layer in starts.items()}
            assert origin["classifier"] == FRESH and origin["fc1"] == origin["fc2"]
            way = {A: "full", FRESH: "scratch"}[origin["fc1"]]
            right = accuracy(way, rows.shape[1] // 5, scrambled(part.images))
            found.append(right - 20 * ((rate > 0.4) != (way == "full")) - seed)
        return np.array(found)

    def features(model, variables, images):
        assert int(variables["params"]["fc2"]["kernel"]) == A
        return np.full(len(images), scrambled(images))

    calls = []

    def fit_linear_probe(x, labels, num_classes, *, l2):
        assert num_classes == 5 and l2 == 1 / len(labels)
        right = accuracy("probe", len(labels) // 5, bool(x[0]))
        key = len(calls) % 2
        calls.append(key)
        return SimpleNamespace(accuracy=lambda *_: (right - key) / 100)

    def scene(monkeypatch):
        pretraining(monkeypatch)
        monkeypatch.setattr(dense, "train_runs", train_runs)
        monkeypatch.setattr(dense, "accuracies", lambda model, ends, part: ends)
        monkeypatch.setattr(dense, "_features", features)
        monkeypatch.setattr(dense, "fit_linear_probe", fit_linear_probe)

    return scene


def similar(few: float, more: float, scratch: float = 60):
    """Gains of the probe over fine-tuning with 2 and with 3 examples."""

    def accuracy(way, size, other):
        assert not other
        return {"full": 80, "scratch": scratch, "probe": 80 + {2: few, 3: more}[size]}[way]

    return small_sets(accuracy)


two = {"rates": (0.25, 0.5)}
known("small_similar_probe", "holds", [3, 2, 23], similar(3, 2), **two)
known("small_similar_probe", "fails", [-3, -2, 17], similar(-3, -2), **two)
each = ("holds", "fails", None)
known("small_similar_probe", "depends", [3, -2, 23], similar(3, -2), each=each, **two)


def different(alike, unlike):
    """(Probe, fine-tuning, from scratch) on images of the same kind and on scrambled ones."""

    def accuracy(way, size, other):
        assert size == 3
        return dict(zip(("probe", "full", "scratch"), unlike if other else alike, strict=True))[way]

    return small_sets(accuracy)


name = "small_different_is_trouble"
known(name, "holds", [12, -4, 20], different((85, 90, 70), (78, 60, 82)), **two)
known(name, "fails", [-5, 3, 5], different((85, 70, 80), (60, 90, 87)), **two)


def frozen(accuracy):
    """(Origin, layers copied and frozen) → accuracy; the network that was trained on B has 90."""

    def train_runs(model, starts, factors, rates, rows, seeds, part, *, steps, batch_size):
        assert (
            np.asarray(part.images).shape[0] == (np.asarray(load("digits").train.labels) > 4).sum()
        )
        found = []
        for run, seed in enumerate(np.asarray(seeds)):
            origin = {name: int(layer["kernel"][run]) for name, layer in starts.items()}
            still = {name for name, factor in factors.items() if float(factor[run]) == 0}
            assert still == {name for name, number in origin.items() if number != FRESH}
            (source,) = {origin[name] for name in still}
            assert still == {f"fc{i + 1}" for i in range(len(still))}
            found.append(accuracy[source, len(still)] - float(seed))
        return np.array(found)

    def accuracies(model, params, part):
        if isinstance(params, dict):
            assert (params["fc1"]["kernel"] == B).all()
            return np.full(len(params["fc1"]["kernel"]), 90.0)
        return params

    def scene(monkeypatch):
        pretraining(monkeypatch)
        monkeypatch.setattr(dense, "train_runs", train_runs)
        monkeypatch.setattr(dense, "accuracies", accuracies)

    return scene


name = "first_layers_are_general"
general = {(A, 1): 88, (A, 2): 70, (B, 1): 89, (B, 2): 85}
known(name, "holds", [18, 15, 1], frozen(general))
known(name, "fails", [-8, -7, -1], frozen({(A, 1): 80, (A, 2): 88, (B, 1): 79, (B, 2): 81}))
