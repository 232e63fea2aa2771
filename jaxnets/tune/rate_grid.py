"""Step 3, coarser: a hundred iterations with each of a few learning rates."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.errors import JaxnetsError
from jaxnets.tune.rate_sweep import LossOf, prepare_sweep

DEFAULT_RATES = (1e-1, 1e-2, 1e-3, 1e-4)


class RateGrid(NamedTuple):
    """What `rate_grid` found.

    Attributes:
        rates: (R,).
        losses: (R, steps) the loss before each step.
        verdicts: R words: "falls", "hardly moves" or "diverges".
        best: the rate with the lowest loss at the end.
        finding: one sentence.

    >>> losses = np.array([[2.0, 1.0]])
    >>> RateGrid(np.array([0.1]), losses, ("falls",), 0.1, "0.1 falls: best 0.1").best
    0.1
    """

    rates: np.ndarray
    losses: np.ndarray
    verdicts: tuple[str, ...]
    best: float
    finding: str


def rate_grid(
    loss_of: LossOf,
    params: Any,
    batches: Any = None,
    *,
    rates: Sequence[float] = DEFAULT_RATES,
    steps: int = 100,
    optimizer: str = "sgd",
    loop: bool | None = None,
) -> RateGrid:
    """Train for a hundred iterations with each rate of a grid, from the same start.

    One compiled program serves all rates.

    Args:
        loss_of, params, batches, steps, optimizer, loop: as in `range_test`.
        rates: all positive.

    Returns:
        The `RateGrid`.

    Raises:
        JaxnetsError: no rates, or one that is not positive; no rate without divergence.

    >>> import jax.numpy as jnp
    >>> found = rate_grid(lambda w, _: 5.0 * w**2, jnp.float32(1.0), rates=(1.0, 0.1, 1e-5))
    >>> found.verdicts, found.best
    (('diverges', 'falls', 'hardly moves'), 0.1)
    """
    if not len(rates) or not all(rate > 0 for rate in rates):
        raise JaxnetsError(f"rates: expected positive numbers, got {tuple(rates)}")
    if batches is not None:
        steps = len(jax.tree.leaves(batches)[0])

    sweep = prepare_sweep(loss_of, params, batches, optimizer=optimizer, steps=steps, loop=loop)
    losses = np.asarray([sweep(jnp.full(steps, rate, jnp.float32)) for rate in rates], np.float64)
    window = max(steps // 10, 1)
    first = losses[:, :1].mean(1)
    last = losses[:, -window:].mean(1)
    # A jump far above the start counts as well: what comes back from it is mostly dead units.
    diverged = ~np.isfinite(last) | (last > first + 0.5 * np.abs(first))
    diverged |= losses.max(1) > first + 2 * np.abs(first)
    if diverged.all():
        raise JaxnetsError(
            f"every rate diverges ({', '.join(f'{r:g}' for r in rates)}): try lower ones"
        )
    fall = np.where(diverged, -np.inf, first - last)
    best = int(np.argmax(fall))
    verdicts = tuple(
        "diverges" if bad else "falls" if drop > 0.1 * max(fall[best], 1e-12) else "hardly moves"
        for bad, drop in zip(diverged, fall, strict=True)
    )
    finding = (
        "; ".join(f"{rate:g} {word}" for rate, word in zip(rates, verdicts, strict=True))
        + f": best {rates[best]:g}"
    )
    return RateGrid(np.asarray(rates), losses, verdicts, float(rates[best]), finding)
