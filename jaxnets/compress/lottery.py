"""Lottery tickets: which first weights would have been enough; and what each layer can lose."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jaxnets.compress.masks import Scope, Structure, apply_mask, check_sparsity, magnitude_mask
from jaxnets.compress.weights import weight_paths
from jaxnets.errors import JaxnetsError
from jaxnets.study.figures import new_figure, save_figure


class Ticket(NamedTuple):
    """A sub-network at its beginning.

    Attributes:
        sparsity: share of its weights that are dropped.
        mask: of the weights that stay.
        params: the first parameters under the mask.
        trained: what training made of the ticket before.

    >>> Ticket(0.2, {}, {}, {}).sparsity
    0.2
    """

    sparsity: float
    mask: Any
    params: Any
    trained: Any


def lottery_tickets(
    initial: Mapping[str, Any],
    train: Callable[[Any, Any], Any],
    *,
    sparsity: float,
    rounds: int,
    scope: Scope = "global",
) -> Iterator[Ticket]:
    """Train, drop the smallest, go back to the first weights, and again.

    .. math:: s_r = 1 - (1 - s)^{r / R}

    Each round drops the same share of what is left. With the parameters after a few hundred updates
    as ``initial`` it is late rewinding.

    Args:
        initial: the parameters to go back to.
        train: (parameters, mask) → trained parameters, with zeros where the mask is False; the
            first mask is of ones. See `prune` with ``mask=``.
        sparsity: of the last ticket.
        rounds: R.
        scope: see `magnitude_mask`.

    Yields:
        One `Ticket` a round; whether it wins shows when it is trained.

    Returns:
        An iterator.

    Raises:
        JaxnetsError: a sparsity outside [0, 1), or no rounds.

    Source: Frankle, Carbin, "The Lottery Ticket Hypothesis", 2019, strategy 1; Frankle et al.,
    "Stabilizing the Lottery Ticket Hypothesis", 2019 (late rewinding).

    >>> import numpy as np
    >>> first = {"fc": {"kernel": np.array([[1.0, 2.0, 3.0, 4.0]])}}
    >>> def train(params, mask):
    ...     return {"fc": {"kernel": 5.0 - params["fc"]["kernel"]}}
    >>> ticket = next(lottery_tickets(first, train, sparsity=0.5, rounds=1))
    >>> ticket.params["fc"]["kernel"].tolist()
    [[1.0, 2.0, 0.0, 0.0]]
    """
    check_sparsity(sparsity, "the last ticket")
    if rounds < 1:
        raise JaxnetsError(f"lottery_tickets needs at least 1 round, got {rounds}")
    mask = magnitude_mask(initial, 0.0)
    params: Any = initial
    for number in range(1, rounds + 1):
        trained = train(params, mask)
        share = 1 - (1 - sparsity) ** (number / rounds)
        mask = magnitude_mask(apply_mask(trained, mask), share, scope=scope)
        params = apply_mask(initial, mask)
        yield Ticket(share, mask, params, trained)


def sensitivity(
    params: Mapping[str, Any],
    measure: Callable[[Any], float],
    sparsities: Sequence[float] = (0.0, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95),
    *,
    structure: Structure = "weights",
) -> dict[str, list[float]]:
    """What a network loses when one layer after the other is pruned, without retraining.

    Args:
        params: of a trained network.
        measure: parameters → a number, such as the accuracy.
        sparsities: shares to drop of the layer.
        structure: see `magnitude_mask`.

    Returns:
        Path of a weight → one number for each sparsity.

    Source: Han, Pool, Tran, Dally, 2015, section 3 and figure 6.

    >>> import numpy as np
    >>> params = {"fc": {"kernel": np.array([[1.0, 2.0]])}}
    >>> sensitivity(params, lambda p: float(p["fc"]["kernel"].sum()), (0.0, 0.5))
    {'fc/kernel': [3.0, 2.0]}
    """
    found = {}
    for path in weight_paths(params):
        masks = [magnitude_mask(params, {path: s}, structure=structure) for s in sparsities]
        found[path] = [float(measure(apply_mask(params, mask))) for mask in masks]
    return found


def sensitivity_figure(
    curves: Mapping[str, Sequence[float]], sparsities: Sequence[float], path: str | Path
) -> Path:
    """Draw one curve a layer.

    Args:
        curves: of `sensitivity`.
        sparsities: that they were measured at.
        path: of the picture.

    Returns:
        The path.

    Raises:
        JaxnetsError: the file cannot be written.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "curves.png"
    >>> sensitivity_figure({"fc/kernel": [0.9, 0.5]}, [0.0, 0.5], path).name
    'curves.png'
    """
    figure, (axes,) = new_figure(width=6.0, height=4.0)
    for layer, values in curves.items():
        axes.plot(sparsities, values, "o-", ms=3, lw=1.2, label=layer.removesuffix("/kernel"))
    axes.set_xlabel("share of the layer's weights that is dropped")
    axes.set_ylabel("measure, without retraining")
    axes.legend(frameon=False, fontsize=7, ncols=1 + len(curves) // 12)
    return save_figure(figure, path)
