"""A search direction: what sets BFGS, L-BFGS and Newton apart, as one protocol.

A second-order method is a search for a direction and a descent along it. The descent is the same
for all of them (`jaxnets.optim.second_order.descent`); a `SearchDirection` is the other half.
"""

import abc
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp


class Direction(NamedTuple):
    """What `SearchDirection.update` proposes.

    Attributes:
        vector: d, shape (n,); the line search goes along x + t d.
        first_order: a boolean scalar: d rests on no curvature, so its length says nothing about
            the length of a good step.
        hessian_products: Hessian-vector products that it took; a whole Hessian counts as n.

    >>> Direction(jnp.array([-1.0, 2.0]), jnp.asarray(True), 0).vector.tolist()
    [-1.0, 2.0]
    """

    vector: jax.Array
    first_order: jax.Array
    hessian_products: jax.Array | int


class SearchDirection(abc.ABC):
    """The protocol of a method: from curvature seen so far to the next direction.

    The state is any pytree of a fixed structure. All methods are traced once, inside a loop.
    Subclasses define `init`, `reset` and `update`; the four others describe the set in which x
    moves, the whole space unless overridden.

    >>> class GradientDescent(SearchDirection):
    ...     def init(self, x):
    ...         return ()
    ...     def reset(self, state, when):
    ...         return state
    ...     def update(self, state, step, change, x, gradient):
    ...         return state, Direction(-gradient, jnp.asarray(True), 0)
    >>> method = GradientDescent()
    >>> x = jnp.array([1.0, -2.0])
    >>> _, direction = method.update(method.init(x), 0 * x, 0 * x, x, 2 * x)
    >>> method.move(x, direction.vector, 0.5).tolist()
    [0.0, 0.0]
    """

    @abc.abstractmethod
    def init(self, x: jax.Array) -> Any:
        """The state before any step, for points like x of shape (n,)."""

    @abc.abstractmethod
    def reset(self, state: Any, when: jax.Array) -> Any:
        """The initial state where `when`, a boolean scalar, is true, else the state as it is."""

    @abc.abstractmethod
    def update(
        self, state: Any, step: jax.Array, change: jax.Array, x: jax.Array, gradient: jax.Array
    ) -> tuple[Any, Direction]:
        """Take in the last step and give the next direction.

        Args:
            state: from `init`, `reset` or `update`.
            step: s = x - x₋, shape (n,); zeros at the start and after a failed line search.
            change: y = ∇f(x) - ∇f(x₋), shape (n,); zeros where s is.
            x: the point, shape (n,).
            gradient: ∇f(x), shape (n,).

        Returns:
            The new state and a `Direction` at x.
        """

    def gradient_norm(self, x: jax.Array, gradient: jax.Array) -> jax.Array:
        """The number that is compared with tol: the largest absolute entry of the gradient."""
        return jnp.max(jnp.abs(gradient))

    def max_step(self, x: jax.Array, direction: jax.Array) -> jax.Array | float:
        """The longest step t that is allowed along a direction."""
        return jnp.inf

    def move(self, x: jax.Array, direction: jax.Array, step: jax.Array) -> jax.Array:
        """The point at step t, x + t d."""
        return x + step * direction

    def steepest_descent(self, x: jax.Array, gradient: jax.Array) -> jax.Array:
        """The direction that is taken in place of one along which the function rises."""
        return -gradient
