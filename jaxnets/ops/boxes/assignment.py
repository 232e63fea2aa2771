"""The assignment problem: each object gets a prediction of its own, at the smallest total cost."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.ops.boxes.checks import check_floating, check_shape


def assign(costs: jax.Array, *, mask: jax.Array | None = None) -> jax.Array:
    """Hungarian matching, solved by SciPy on the host, also from within jit and vmap.

    Args:
        costs: (…, M, N), of giving object i the prediction j; floating and finite.
        mask: (…, M), true for an object, false for padding; by default all are objects.

    Returns:
        int32 (…, M): the prediction of each object, −1 for padding and, where there are more
        objects than predictions, for those that get none. It has no derivatives.

    Raises:
        ValueError: shapes that do not fit. Costs that are NaN or −∞ make SciPy raise when the
            program runs.

    Source: Erhan et al., "Scalable object detection using deep neural networks", 2014, section 3.1;
    the solver is that of Crouse, "On implementing 2D rectangular assignment algorithms", 2016.

    >>> assign(jnp.array([[1.0, 2.0, 9.0], [1.0, 5.0, 9.0]])).tolist()
    [1, 0]
    """
    check_floating("costs", costs)
    if costs.ndim < 2:
        raise ValueError(
            f"costs: got shape {costs.shape}; expected (…, M, N): objects, predictions"
        )
    mask = jnp.ones(costs.shape[:-1], bool) if mask is None else mask
    check_shape("mask", mask, costs.shape[:-1], "one for each object")
    result = jax.ShapeDtypeStruct(costs.shape[:-1], jnp.int32)
    costs = jax.lax.stop_gradient(costs)
    return jax.pure_callback(_solve, result, costs, mask, vmap_method="expand_dims")


def _solve(costs, mask):
    from scipy.optimize import linear_sum_assignment

    costs, mask = np.asarray(costs, np.float64), np.asarray(mask) != 0
    lead = np.broadcast_shapes(costs.shape[:-2], mask.shape[:-1])
    costs = np.broadcast_to(costs, lead + costs.shape[-2:])
    mask = np.broadcast_to(mask, lead + mask.shape[-1:])
    chosen = np.full(mask.shape, -1, np.int32)
    for place in np.ndindex(*lead):
        objects = np.flatnonzero(mask[place])
        if len(objects) == 0 or costs.shape[-1] == 0:
            continue
        rows, columns = linear_sum_assignment(costs[place][objects])
        chosen[(*place, objects[rows])] = columns
    return chosen
