"""Successive halving: many architectures for a short time, few of them for long."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from jaxnets.errors import JaxnetsError
from jaxnets.nas.space import Architecture


class Rung(NamedTuple):
    """One round.

    Attributes:
        budget: what each architecture was given.
        architectures: that took part.
        rewards: of these.

    >>> Rung(10, [(0,)], np.array([0.5])).budget
    10
    """

    budget: int
    architectures: list[Architecture]
    rewards: np.ndarray


def successive_halving(
    architectures: Sequence[Architecture],
    evaluate: Callable[[list[Architecture], int], Sequence[float]],
    *,
    budget: int,
    reduction: int = 3,
) -> list[Rung]:
    """Keep the best of each round, 1 in so many, with that many times the budget.

    Args:
        architectures: of the first round.
        evaluate: (architectures, budget) → rewards.
        budget: of the first round.
        reduction: η.

    Returns:
        The rounds; the last one has a single architecture.

    Raises:
        JaxnetsError: no architectures, a budget below 1 or a reduction below 2.

    Source: Jamieson, Talwalkar, "Non-stochastic Best Arm Identification and Hyperparameter
    Optimization", 2016; η as in Li et al., "Hyperband", 2018.

    >>> rungs = successive_halving(
    ...     [(n,) for n in range(9)], lambda those, budget: [a[0] for a in those], budget=1
    ... )
    >>> [(rung.budget, len(rung.architectures)) for rung in rungs], rungs[-1].architectures
    ([(1, 9), (3, 3), (9, 1)], [(8,)])
    """
    left = list(architectures)
    if not left or budget < 1 or reduction < 2:
        raise JaxnetsError(
            "successive_halving needs architectures, a budget of at least 1 and a reduction of at "
            f"least 2; got {len(left)}, {budget} and {reduction}"
        )
    rungs = []
    while True:
        rewards = np.asarray(evaluate(left, budget), np.float64)
        rungs.append(Rung(budget, left, rewards))
        if len(left) == 1:
            return rungs
        best = np.argsort(-rewards, kind="stable")[: max(1, len(left) // reduction)]
        left, budget = [left[i] for i in best], budget * reduction
