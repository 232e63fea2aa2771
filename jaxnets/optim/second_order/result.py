"""What a minimization returns: the point, what is true there, and why it ended."""

import enum
from typing import Any, NamedTuple

import jax
import numpy as np


class Status(enum.IntEnum):
    """Why a minimization ended.

    >>> Status.CONVERGED.message
    'the gradient norm is at most tol'
    """

    RUNNING = 0
    CONVERGED = 1
    MAX_ITERATIONS = 2
    ROUNDING = 3
    LINE_SEARCH_FAILED = 4
    NON_FINITE = 5

    @property
    def message(self) -> str:
        """The status in words."""
        return {
            Status.RUNNING: "still running",
            Status.CONVERGED: "the gradient norm is at most tol",
            Status.MAX_ITERATIONS: "max_iterations reached before the gradient norm fell to tol",
            Status.ROUNDING: "rounding ended progress: neither value nor gradient norm improves "
            "any more in this precision, and the gradient norm is above tol",
            Status.LINE_SEARCH_FAILED: "no step along steepest descent lowers the value, though "
            "its slope says it should: is the gradient right, is the function smooth here?",
            Status.NON_FINITE: "the value or the gradient at the start is NaN or infinite",
        }[self]


class Trace(NamedTuple):
    """How a run went, one entry an iteration; entry 0 is the start.

    Attributes:
        value: the function's value, shape (max_iterations + 1,); NaN where not reached.
        gradient_norm: as `Result.gradient_norm`, same shape; NaN where not reached.
        evaluations: calls of the function so far, same shape, int32; -1 where not reached.

    >>> value, norm = np.array([[4, 0, np.nan, np.nan], [2, 0, np.nan, np.nan]])
    >>> trace = Trace(value, norm, np.array([1, 3, -1, -1]))  # one iteration, of three allowed
    >>> reached = trace.evaluations >= 0
    >>> trace.value[reached].tolist(), trace.evaluations[reached].tolist()
    ([4.0, 0.0], [1, 3])
    """

    value: jax.Array
    gradient_norm: jax.Array
    evaluations: jax.Array


class Result(NamedTuple):
    """Where a minimization ended and why. A pytree: it passes through jit and vmap.

    Attributes:
        x: the last point, a tree like x0.
        value: fun there, a scalar.
        gradient: its gradient, a tree like x0.
        gradient_norm: largest absolute entry of the gradient (with bounds: of the projected one).
        iterations: accepted steps, int32.
        evaluations: calls of fun with its gradient, int32.
        hessian_products: Hessian-vector products (a whole Hessian counts as n), int32.
        status: a `Status`, int32.
        aux: what fun returned beside the value at x; None without has_aux.
        trace: per-iteration values, gradient norms and evaluations with record=True, else None.

    >>> import jax.numpy as jnp
    >>> from jaxnets.optim import minimize
    >>> result = minimize(lambda x: x @ x, jnp.zeros(2), method="bfgs")
    >>> bool(result.converged), result.message
    (True, 'converged: the gradient norm is at most tol')
    >>> result
    Result(converged: the gradient norm is at most tol; value 0, gradient norm 0, 0 iterations, ...
    """

    x: Any
    value: jax.Array
    gradient: Any
    gradient_norm: jax.Array
    iterations: jax.Array
    evaluations: jax.Array
    hessian_products: jax.Array
    status: jax.Array
    aux: Any = None
    trace: Trace | None = None

    def __repr__(self) -> str:
        """One line; ``result.x`` and the other fields have the arrays."""
        if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(tuple(self))):
            return tuple.__repr__(self)
        if np.ndim(self.status):
            names = [Status(s).name.lower() for s in np.unique(np.asarray(self.status))]
            return f"Result({np.size(self.status)} runs: {', '.join(names)})"
        count = sum(np.size(leaf) for leaf in jax.tree.leaves(self.x))
        return (
            f"Result({self.message}; value {float(self.value):.6g}, gradient norm "
            f"{float(self.gradient_norm):.3g}, {int(self.iterations)} iterations, "
            f"{int(self.evaluations)} evaluations, x of {count:,} numbers)"
        )

    @property
    def converged(self) -> jax.Array:
        """Whether the gradient norm reached tol (an array under vmap)."""
        return self.status == Status.CONVERGED

    @property
    def message(self) -> str | list[str]:
        """The status in words; a list for a batch of runs."""
        status = np.asarray(self.status)
        words = [f"{Status(s).name.lower()}: {Status(s).message}" for s in status.reshape(-1)]
        return words if status.ndim else words[0]
