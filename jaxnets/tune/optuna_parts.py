"""What a study takes from Optuna: samplers, pruners, and its form of a search space."""

import hashlib
from collections.abc import Mapping
from typing import Any, Literal

from jaxnets.errors import JaxnetsError
from jaxnets.tune.space import Choice, Range, Space

Sampler = Literal["random", "grid", "tpe"]
Pruner = Literal["halving", "hyperband", "none"]


def import_optuna() -> Any:
    """Optuna, or a `JaxnetsError` that says how to install it.

    Returns:
        The module, told to be quiet.

    >>> import_optuna().__name__
    'optuna'
    """
    try:
        import optuna
    except ImportError as error:
        raise JaxnetsError(
            "searching needs Optuna, which keeps and draws the trials: "
            "pip install 'jaxnets[search]'"
        ) from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def make_pruner(kind: Pruner, epochs: int, reduction: int, first_rung: float) -> Any:
    """Optuna's pruner: what ends a trial early.

    Args:
        kind: "halving" (asynchronous successive halving), "hyperband", or "none".
        epochs: measurements of a complete trial.
        reduction: of the trials that reach a rung, one in so many goes on.
        first_rung: the share of the epochs before which no trial is stopped.

    Returns:
        An Optuna pruner.

    Raises:
        JaxnetsError: a share outside (0, 1].

    >>> type(make_pruner("none", 9, 3, 0.2)).__name__
    'NopPruner'
    """
    if not 0 < first_rung <= 1:
        raise JaxnetsError(f"first_rung is a share in (0, 1], got {first_rung}")
    pruners = import_optuna().pruners
    rung = max(1, int(epochs * first_rung))
    if kind == "none":
        return pruners.NopPruner()
    if kind == "halving":
        return pruners.SuccessiveHalvingPruner(min_resource=rung, reduction_factor=reduction)
    return pruners.HyperbandPruner(
        min_resource=rung, max_resource=epochs, reduction_factor=reduction
    )


def make_sampler(kind: Sampler, seed: int, name: str, drawing: int) -> Any:
    """Optuna's sampler for one drawing: a stream of its own, by (seed, name, drawing) alone.

    Args:
        kind: "tpe", or anything else for a random one.
        seed: of the study.
        name: of the study.
        drawing: its number.

    Returns:
        An Optuna sampler.

    >>> type(make_sampler("tpe", 0, "demo", 3)).__name__
    'TPESampler'
    """
    samplers = import_optuna().samplers
    digest = hashlib.sha256(f"{seed}/{name}/{drawing}".encode()).digest()
    own = int.from_bytes(digest[:4], "little")
    if kind == "tpe":
        return samplers.TPESampler(seed=own)
    return samplers.RandomSampler(seed=own)


def distributions_of(space: Space, point: Mapping[str, Any]) -> dict[str, Any]:
    """Optuna's form of a space, each range wide enough to hold a point.

    Args:
        space: name to `Range` or `Choice`.
        point: values of some names.

    Returns:
        Name → an Optuna distribution.

    >>> found = distributions_of({"x": Range(1.0, 2.0)}, {"x": 5.0})
    >>> found["x"].low, found["x"].high
    (1.0, 5.0)
    """
    kinds = import_optuna().distributions
    found = {}
    for name, part in space.items():
        if isinstance(part, Choice):
            found[name] = kinds.CategoricalDistribution(part.values)
        else:
            value = point.get(name, part.low)
            limits = min(part.low, value), max(part.high, value)
            found[name] = kinds.FloatDistribution(*limits, log=part.log)
    return found


def grid_of(space: Space, points: int) -> list[dict[str, Any]]:
    """All combinations; each range at ``points`` values, in the middle of equal parts.

    Args:
        space: name to `Range` or `Choice`.
        points: of each range.

    Returns:
        Settings, the last name varying fastest.

    >>> grid_of({"x": Range(0.0, 1.0, log=False), "z": Choice(("a", "b"))}, 1)
    [{'x': 0.5, 'z': 'a'}, {'x': 0.5, 'z': 'b'}]
    """
    found: list[dict[str, Any]] = [{}]
    for name, part in space.items():
        if isinstance(part, Range):
            values = [part.at((i + 0.5) / points) for i in range(points)]
        else:
            values = list(part.values)
        found = [{**one, name: value} for one in found for value in values]
    return found
