"""Why hidden layers no longer use the sigmoid: three properties that can be measured."""

import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from jaxnets.ops.precision import at_least_float32


def sigmoid_gradient_bound(kernels: Sequence[jax.Array]) -> jax.Array:
    """Largest factor by which a gradient can grow on its way back through sigmoid layers.

    The slope of σ is nowhere above 1/4, so through L layers h ← σ(h W + b)

        ‖∂loss/∂h_0‖ ≤ (1/4)^L · ∏ ‖W‖ · ‖∂loss/∂h_L‖

    with spectral norms. Twenty layers of norm 1 leave less than 10⁻¹² of a gradient.

    Args:
        kernels: one matrix (in, out) for each layer.

    Returns:
        the factor, a scalar in float32 or wider.

    Raises:
        ValueError: no kernel, or one that is no matrix.

    Source: Bengio, Simard & Frasconi 1994 (Learning Long-Term Dependencies with Gradient Descent is
    Difficult), §IV.

    >>> import jax.numpy as jnp
    >>> float(sigmoid_gradient_bound([jnp.eye(3), 2 * jnp.eye(3)]))
    0.125
    """
    if not kernels:
        raise ValueError("kernels: got none; expected one matrix for each layer")
    for i, kernel in enumerate(kernels):
        if kernel.ndim != 2:
            raise ValueError(f"kernels[{i}]: got shape {kernel.shape}; expected (in, out)")
    norms = [jnp.linalg.norm(at_least_float32(kernel), 2) for kernel in kernels]
    return math.prod(norms, start=jnp.asarray(0.25 ** len(kernels), norms[0].dtype))


def one_sided_share(kernel_gradient: jax.Array) -> jax.Array:
    """Share of the units all of whose weights would move in the same direction.

    For one example and one unit with z = h·w, ∂loss/∂w = h · ∂loss/∂z. Where all inputs h are
    positive, as a sigmoid's outputs are, every component has the sign of ∂loss/∂z: the weights can
    only all grow or all shrink, and reach a point that needs both by zig-zagging.

    Args:
        kernel_gradient: (in, units), the gradient of one example.

    Returns:
        the share, in [0, 1]; a gradient of zero counts as either sign.

    Raises:
        ValueError: ``kernel_gradient`` is no matrix.

    Source: LeCun et al. 1998 (Efficient BackProp), §4.3.

    >>> import jax.numpy as jnp
    >>> float(one_sided_share(jnp.array([[1.0, 1.0], [2.0, -1.0]])))
    0.5
    """
    if kernel_gradient.ndim != 2:
        raise ValueError(
            f"kernel_gradient: got shape {kernel_gradient.shape}; expected (in, units)"
        )
    one_sided = (kernel_gradient >= 0).all(0) | (kernel_gradient <= 0).all(0)
    return one_sided.mean(dtype=jnp.float32)


def transcendentals(function: Callable[[jax.Array], jax.Array], x: jax.Array) -> int:
    """How many transcendental functions (exp, log, tanh, …) one call evaluates, as XLA counts them.

    A sigmoid or tanh takes one for each number, a ReLU none. What an exponential costs
    beside a comparison depends on the machine; this count does not.

    Args:
        function: elementwise, of one array.
        x: an array, or a `jax.ShapeDtypeStruct`, of the shape to be counted for.

    Returns:
        their number in the program as traced, before any compiler replaces them.

    >>> import jax, jax.numpy as jnp
    >>> from jaxnets.ops import relu, sigmoid
    >>> transcendentals(relu, jnp.ones(100)), transcendentals(sigmoid, jnp.ones(100))
    (0, 100)
    """
    # Of the program as written: what a compiler makes of an exponential (a polynomial, on CPUs)
    # differs from machine to machine.
    costs = jax.jit(function).lower(x).cost_analysis() or {}
    return int(costs.get("transcendentals", 0))
