"""How far gradients reach: through the steps of a recurrent network, or a deep one's layers.

A product of many Jacobians grows or dies with the number of its factors. Adding the old state to
the new one (LSTM, GRU, residual blocks) puts a 1, or a gate near 1, on the diagonal of each factor.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jaxnets.ops.activations import sigmoid, tanh
from jaxnets.ops.recurrent import RecurrentWeights, recurrent_step
from jaxnets.ops.recurrent_cells import RECURRENT_CELLS


class GradientPaths(NamedTuple):
    """Norms of the derivatives of a last state by all earlier ones.

    Attributes:
        norms: (T + 1,) largest singular values of ∂ last / ∂ state_t, from t = 0 to T, where it is
            1; after 0, 1, … layers for a deep network.
        jacobian: ∂ last / ∂ state_0, (n, n).
        radii: (T,) spectral radii of the single steps' Jacobians.

    >>> import jax.numpy as jnp
    >>> GradientPaths(jnp.ones(3), jnp.eye(2), jnp.ones(2)).norms.shape
    (3,)
    """

    norms: jax.Array
    jacobian: jax.Array
    radii: jax.Array


def gradient_through_time(
    cell: str, x: jax.Array, weights: RecurrentWeights, carry=None, *, state: int | None = None
) -> GradientPaths:
    """∂s_T/∂s_t = ∏ ∂s_{k+1}/∂s_k of a recurrent layer along one sequence, exactly.

    For "rnn_linear" each factor is Uᵀ: the norms grow without end iff the spectral radius of U is
    above 1, and die iff it is below. `frozen_gates` has an LSTM's own path.

    Args:
        cell: a name of `jaxnets.ops.RECURRENT_CELLS`.
        x: (T, d), one sequence.
        weights: of the layer.
        carry: at the start, each (h,); zeros where None.
        state: number of the carry's array to look at, the products still being those of all: 0 for
            h, 1 for an LSTM's c. None: the last one.

    Returns:
        `GradientPaths` of an (h,) state.

    Raises:
        ValueError: as `jaxnets.ops.recurrent`.

    Source: Bengio et al. 1994; Pascanu et al. 2013 (On the Difficulty of Training Recurrent Neural
    Networks), §2.

    >>> import jax.numpy as jnp
    >>> weights = RecurrentWeights(jnp.zeros((1, 2)), jnp.diag(jnp.array([1.1, 0.5])))
    >>> gradient_through_time("rnn_linear", jnp.zeros((3, 1)), weights).norms.round(3).tolist()
    [1.3310..., 1.2100..., 1.1000..., 1.0]
    """
    size, count = weights.recurrent.shape[0], RECURRENT_CELLS[cell].states
    number = count - 1 if state is None else state
    start = jnp.zeros(count * size, x.dtype) if carry is None else jnp.concatenate(carry)

    def step(flat: jax.Array, x: jax.Array) -> jax.Array:
        parts = tuple(part[None] for part in jnp.split(flat, count))
        _, after = recurrent_step(cell, x[None], weights, parts)
        return jnp.concatenate([part[0] for part in after])

    def forward(flat, x):
        return step(flat, x), jax.jacfwd(step)(flat, x)

    _, jacobians = lax.scan(forward, start, x)
    part = slice(number * size, (number + 1) * size)
    return _paths(jacobians, part)


def frozen_gates(
    x: jax.Array, weights: RecurrentWeights, carry=None
) -> tuple[jax.Array, jax.Array]:
    """∂c_T/∂c_t of an LSTM with its gates held fixed: ∏ f_k, the path of its cell.

    Args:
        x: (T, d), one sequence.
        weights: of the layer.
        carry: at the start, h and c of (h,); zeros where None.

    Returns:
        (products (T + 1, h), forget gates (T, h)).

    Raises:
        ValueError: as `jaxnets.ops.recurrent`.

    Source: Hochreiter & Schmidhuber 1997, §3; Gers et al. 2000.

    >>> import jax.numpy as jnp
    >>> weights = RecurrentWeights(jnp.zeros((1, 4)), jnp.zeros((1, 4)))
    >>> frozen_gates(jnp.zeros((2, 1)), weights)[0].ravel().tolist()  # gates σ(0) = ½
    [0.25, 0.5, 1.0]
    """
    size = weights.recurrent.shape[0]
    start = tuple(jnp.zeros((2, size), x.dtype) if carry is None else carry)
    bias = 0.0 if weights.bias is None else weights.bias[size : 2 * size]
    kernels = (kernel[:, size : 2 * size] for kernel in (weights.input, weights.recurrent))
    by_input, by_state = kernels

    def step(carry, x):
        f = sigmoid(x @ by_input + carry[0] @ by_state + bias)
        _, after = recurrent_step("lstm", x[None], weights, tuple(s[None] for s in carry))
        return tuple(s[0] for s in after), f

    _, gates = lax.scan(step, start, x)
    products = jnp.cumprod(gates[::-1], 0)[::-1]
    return jnp.concatenate((products, jnp.ones_like(gates[:1]))), gates


def gradient_through_depth(
    key: jax.Array,
    x: jax.Array,
    *,
    depth: int,
    initializer: Callable,
    activation: Callable[[jax.Array], jax.Array] = tanh,
    residual: bool = False,
) -> GradientPaths:
    """∂h_L/∂h_l of a deep network of square layers, h + φ(h W) with ``residual``, else φ(h W).

    The Jacobian of a residual network is ∏ (I + J_l): it has the identity among its summands,
    however deep it is.

    Args:
        key: random key of the weights.
        x: (n,), one input.
        depth: L layers.
        initializer: (key, shape, dtype) → kernel.
        activation: φ, elementwise.
        residual: add each layer's input to its output.

    Returns:
        `GradientPaths`, from layer 0 (the input) to L.

    Source: He et al. 2016 (Identity Mappings in Deep Residual Networks), §2; Balduzzi et al. 2017
    (The Shattered Gradients Problem).

    >>> import jax
    >>> from jaxnets.ops import he_normal
    >>> small = lambda key, shape, dtype: 0.01 * he_normal(key, shape, dtype)
    >>> plain, added = (
    ...     gradient_through_depth(
    ...         jax.random.key(0), jnp.ones(4), depth=5, initializer=small, residual=residual
    ...     ).norms[0]
    ...     for residual in (False, True)
    ... )
    >>> bool(plain < 1e-6), bool(0.9 < added < 1.2)
    (True, True)
    """

    def layer(h: jax.Array, kernel: jax.Array) -> jax.Array:
        y = activation(h @ kernel)
        return h + y if residual else y

    def forward(h, layer_key):
        kernel = initializer(layer_key, (h.size, h.size), h.dtype)
        return layer(h, kernel), jax.jacfwd(layer)(h, kernel)

    _, jacobians = lax.scan(forward, x, jax.random.split(key, depth))
    return _paths(jacobians, slice(None))


def _paths(jacobians: jax.Array, part: slice) -> GradientPaths:
    """Products from the last step backwards; norms are those of one part of the state."""
    size = jacobians.shape[-1]
    identity = jnp.eye(size, dtype=jacobians.dtype)

    def back(product, jacobian):
        product = product @ jacobian
        return product, product[part, part]

    _, products = lax.scan(back, identity, jacobians, reverse=True)
    products = jnp.concatenate((products, identity[None, part, part]))
    norms = jnp.linalg.svd(products, compute_uv=False)[:, 0]
    radii = jnp.abs(jnp.linalg.eigvals(jacobians)).max(-1)
    return GradientPaths(norms, products[0], radii)
