"""Trainings that are made up: one side wins, or loses, by an amount that is known beforehand.

A measure asks for its runs as ever. What stands for the training looks at what it was asked for, by
what it does wherever that is cheap (`Arm.updates`, `Arm.started`, …), and answers with curves. So a
measure that trains the wrong side, subtracts the wrong way round, pairs keys wrongly or takes the
wrong evaluation finds another effect than the known one.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.claims import measures
from jaxnets.losses import cross_entropy
from jaxnets.study import claims
from jaxnets.study.training import Runs


class Known(NamedTuple):
    """A claim in a situation whose outcome is known.

    Attributes:
        claim: its name.
        verdict: of the claim; "holds" and "fails" are those of every effect.
        effects: their estimates, None where chance has a part in them.
        scene: monkeypatch → None; puts what is made up in its place.
        changes: of the claim's tiny settings.
        each: the verdicts of all effects where they differ.
        tolerance: of the estimates.
        paired: all keys have the same effect, so the interval is a point.
    """

    claim: str
    verdict: str
    effects: Sequence[float | None]
    scene: Callable
    changes: dict[str, Any]
    each: Sequence[str | None] | None = None
    tolerance: float = 1e-6
    paired: bool = True


def known_in(cases: list[Known]) -> Callable:
    """``known(claim, verdict, effects, scene, each=…, …, **changes)`` appends to a list of cases.

    Args:
        cases: of a chapter.
    """

    def known(claim, verdict, effects, scene, *, each=None, tolerance=1e-6, paired=True, **changes):
        cases.append(Known(claim, verdict, effects, scene, changes, each, tolerance, paired))

    return known


class Arm:
    """One run as it was asked for.

    Attributes:
        key: number of the random key, from 0.
        seed: that the key stands for.
        steps: (E,) of the evaluations.
        value: of the setting that is swept over.
    """

    def __init__(self, model, rule, value, data, key, seed, steps, loss_fn, prepare, start):
        self.model, self.make_rule, self.value, self.data = model, rule, value, data
        self.key, self.seed, self.steps = key, seed, steps
        self.loss_fn, self.prepare, self.start = loss_fn, prepare, start

    def updates(self, gradients: Sequence[float], weight: float = 1.0) -> np.ndarray:
        """What the optimizer adds to a weight that stays the same, step by step."""
        return _updates(self.make_rule, _frozen(self.value), tuple(gradients), weight)

    @property
    def first_rate(self) -> float:
        """The learning rate of the first step of a method without memory of earlier ones."""
        return -float(self.updates([1.0])[0])

    @property
    def falls(self) -> bool:
        """Whether the rate has come to 0 at the run's end."""
        moves = self.updates([1.0] * (int(self.steps[-1]) + 1))
        assert moves[0] < 0
        return abs(moves[-1]) < 1e-6

    def started(self, *layers: str) -> dict:
        """What becomes of first parameters whose entries are all 1."""
        ones = {n: {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)} for n in layers}
        return jax.tree.map(np.asarray, self.start(ones, self.value))


def trained(answer: Callable[[Arm], dict[str, Any]]) -> Callable:
    """A scene in which every training ends as ``answer`` says.

    Args:
        answer: arm → what is known of its run. ``accuracy`` (test), ``train_accuracy``: per cent;
            ``train_loss``, ``test_loss``: curves (E,), or their ends, which get worse from key to
            key, alike for all arms; before they are as good as guessing. ``state``: what a probe
            sees at the end, where it finds zeros before, or a list of one an evaluation; ``probe``:
            what it finds, (E, …). ``variables``: at the end.

    Returns:
        monkeypatch → None.
    """

    def scene(monkeypatch):
        fake = functools.partial(_train_many, answer)
        monkeypatch.setattr(claims, "train_many", fake)
        for name in ("dense", "ensembles", "procedure", "second_order"):
            module = __import__(f"{measures.__name__}.{name}", fromlist=["train_many"])
            monkeypatch.setattr(module, "train_many", fake)

    return scene


def _train_many(
    answer,
    model,
    rule,
    values,
    data,
    keys,
    *,
    steps,
    batch_size=64,
    evaluations=10,
    loss_fn=cross_entropy,
    prepare=None,
    start=None,
    probe=None,
    train_examples=1000,
    loop=None,
    until=None,
) -> Runs:
    del batch_size, train_examples, loop, until
    counts = np.arange(evaluations + 1) * (steps // evaluations)
    leaves, tree = jax.tree.flatten(values)
    swept = np.ndim(leaves[0]) > 0
    rows = list(zip(*leaves, strict=True)) if swept else [leaves]
    table = []
    for row in rows:
        value = jax.tree.unflatten(tree, row)
        for key, seed in enumerate(keys):
            arm = Arm(model, rule, value, data, key, int(seed), counts, loss_fn, prepare, start)
            table.append(_run(answer(arm), arm, probe))
    found = jax.tree.map(lambda *x: np.stack(x), *table)
    shape = (len(rows), len(keys)) if swept else (len(keys),)
    found = jax.tree.map(lambda x: x.reshape(*shape, *x.shape[1:]), found)
    return Runs(counts, np.ones((*shape, steps)), **found)


def _run(known: dict[str, Any], arm: Arm, probe) -> dict[str, Any]:
    unknown = set(known) - {*_CURVES, "state", "probe", "variables"}
    assert not unknown, unknown

    def curve(name, usual):
        value, start = known.get(name, usual), 10.0 if "accuracy" in name else 3.0
        if np.ndim(value) == 0:
            value = value - arm.key if "accuracy" in name else value * (1 + arm.key)
            value = [start] * (len(arm.steps) - 1) + [value]
        return np.array(value) / 100 if "accuracy" in name else np.array(value)

    seen = known.get("probe")
    if seen is None and probe is not None:
        states = known["state"]
        if not isinstance(states, list):
            one = jax.tree.map(np.asarray, probe(states, arm.data))
            before = len(arm.steps) - 1
            seen = jax.tree.map(lambda x: np.stack([np.zeros_like(x)] * before + [x]), one)
        else:
            each = [jax.tree.map(np.asarray, probe(s, arm.data)) for s in states]
            seen = jax.tree.map(lambda *x: np.stack(x), *each)
    curves = {field: curve(name, usual) for name, (field, usual) in _CURVES.items()}
    return {**curves, "probe": seen, "variables": known.get("variables", {})}


_CURVES = {
    "accuracy": ("test_accuracy", 50.0),
    "train_accuracy": ("train_accuracy", 50.0),
    "train_loss": ("train_loss", 1.0),
    "test_loss": ("test_loss", 1.0),
}


def _frozen(value) -> tuple:
    leaves, tree = jax.tree.flatten(value)
    return tuple(x.item() for x in map(np.asarray, leaves)), tree


@functools.lru_cache(maxsize=512)
def _updates(make_rule, value, gradients, weight) -> np.ndarray:
    leaves, tree = value
    leaves = [np.int32(x) if isinstance(x, int) else np.float32(x) for x in leaves]
    return np.asarray(_compiled(make_rule, tree)(leaves, jnp.float32(gradients), weight))


@functools.lru_cache(maxsize=32)
def _compiled(make_rule, tree) -> Callable:
    """One program for all values, which are traced, as they are where networks are trained."""

    @jax.jit
    def run(leaves, gradients, weight):
        rule = make_rule(jax.tree.unflatten(tree, leaves))
        params = {"w": jnp.full(1, weight)}

        def step(state, gradient):
            update, state = rule.update({"w": gradient[None]}, state, params)
            return state, update["w"][0]

        return jax.lax.scan(step, rule.init(params), gradients)[1]

    return run
