"""Races to a training error or loss: short runs choose the rates that run to the end."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import flax.linen as nn
import jax
import numpy as np

from jaxnets.study.claims import TrainingSettings
from jaxnets.study.sweep import make_keys
from jaxnets.study.training import best, steps_to

Quantity = Literal["train_error", "train_loss"]


@dataclass(frozen=True, kw_only=True)
class Halving(TrainingSettings):
    """Many rates run a little, with some of the keys; the best ones run far, with all of them.

    Attributes:
        trial: evaluations that a trial is long.
        trial_keys: of every trial.
        finalists: rates that run with all keys, until they are there or the steps are used up.
    """

    trial: int = 8
    trial_keys: int = 1
    finalists: int = 2


class Fastest(NamedTuple):
    """The setting that needs the fewest steps.

    Attributes:
        place: its index among the values.
        steps: (E,) of the evaluations.
        needed: (keys,) steps to the target; twice the last where a run never gets there.
        curve: (keys, E); what a run that is there leaves out repeats its last value.
    """

    place: int
    steps: np.ndarray
    needed: np.ndarray
    curve: np.ndarray


def curve_of(found: Mapping[str, Any], quantity: Quantity) -> Any:
    """What has to fall, of runs or of one evaluation."""
    return 1 - found["train_accuracy"] if quantity == "train_error" else found["train_loss"]


def fastest(
    settings: Halving,
    model: nn.Module,
    rule: Callable,
    values: Any,
    *,
    quantity: Quantity,
    target: float,
    **options: Any,
) -> Fastest:
    """The best of the values, by the mean logarithm of the steps over all keys.

    Args:
        settings: of the races.
        model, rule, values, options: of `jaxnets.study.training.train_many`.
        quantity: what has to fall.
        target: to this.
    """

    def run(places, count, evaluations):
        block = settings.steps // settings.evaluations
        runs = settings.runs(
            model,
            rule,
            jax.tree.map(lambda v: v[places], values),
            keys=make_keys(settings.keys)[:count],
            steps=block * evaluations,
            evaluations=evaluations,
            until=lambda found: bool(curve_of(found, quantity) <= target),
            **options,
        )
        curve = curve_of(runs._asdict(), quantity)
        return runs.steps, curve, steps_to(runs.steps, curve, target)

    places = np.arange(len(jax.tree.leaves(values)[0]))
    if len(places) > settings.finalists:
        length = min(settings.trial, settings.evaluations)
        _, curve, needed = run(places, settings.trial_keys, length)
        last = np.where(np.isfinite(curve[..., -1]), curve[..., -1], np.inf)
        # Those that are there by their steps, the others, which count alike, by how far they are.
        order = np.lexsort((last.mean(1), np.log(needed + 1).mean(1)))
        places = np.sort(order[: settings.finalists])
    steps, curve, needed = run(places, settings.keys, settings.evaluations)
    chosen = best(np.log(needed + 1))
    return Fastest(int(places[chosen]), steps, np.maximum(needed[chosen], 1), curve[chosen])
