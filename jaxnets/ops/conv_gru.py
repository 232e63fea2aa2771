"""Convolutional GRU: a GRU at every place of a map, which sees its neighbors."""

import jax
import jax.numpy as jnp
from jax import lax

from jaxnets.ops.activations import sigmoid
from jaxnets.ops.convolution import conv


def conv_gru(
    x: jax.Array,
    input_kernel: jax.Array,
    recurrent_kernel: jax.Array,
    bias: jax.Array | None = None,
    state: jax.Array | None = None,
    *,
    algorithm: str = "auto",
) -> jax.Array:
    """The states of a GRU whose products are convolutions.

    r_t = σ(W_r ⋆ x_t + U_r ⋆ h_{t−1}), z_t = σ(W_z ⋆ x_t + U_z ⋆ h_{t−1}),
    n_t = tanh(W_n ⋆ x_t + U_n ⋆ (r_t ∘ h_{t−1})), h_t = (1 − z_t) ∘ n_t + z_t ∘ h_{t−1}.

    With kernels of 1×1 it is the GRU "gru_reset_before" of `jaxnets.ops.recurrent` at every place.
    The paper's z is 1 − z here.

    Args:
        x: (N, T, H, W, C).
        input_kernel: (k, k, C, 3 · F), k odd; gates in the order r, z, n.
        recurrent_kernel: (k, k, F, 3 · F).
        bias: (3 · F,), or None.
        state: h_0 (N, H, W, F); None: zeros.
        algorithm: of the convolutions, see `jaxnets.ops.conv`.

    Returns:
        h_1, …, h_T as (N, T, H, W, F).

    Raises:
        ValueError: shapes that do not fit together.

    Source: Ballas, Yao, Pal, Courville 2015 (Delving Deeper into Convolutional Networks for
    Learning Video Representations), §3.1, equations 5–8.

    >>> states = conv_gru(jnp.ones((1, 4, 5, 5, 2)), jnp.ones((3, 3, 2, 9)), jnp.ones((3, 3, 3, 9)))
    >>> states.shape
    (1, 4, 5, 5, 3)
    """
    if x.ndim != 5:
        raise ValueError(f"x: expected (N, T, H, W, C), got {x.shape}")
    k, features = recurrent_kernel.shape[0], recurrent_kernel.shape[-2]
    for name, kernel, inputs in (
        ("input_kernel", input_kernel, x.shape[-1]),
        ("recurrent_kernel", recurrent_kernel, features),
    ):
        wanted = (k, k, inputs, 3 * features)
        if kernel.shape != wanted or k % 2 == 0:
            raise ValueError(
                f"{name}: expected (k, k, {inputs}, {3 * features}) with one odd k for both "
                f"kernels, got {kernel.shape}"
            )
    shape = (x.shape[0], *x.shape[2:4], features)
    if state is not None and state.shape != shape:
        raise ValueError(f"state: expected {shape}, got {state.shape}")
    # What comes from the input is convolved for all steps at once: inside a loop it is slow.
    images = x.reshape(-1, *x.shape[2:])
    seen = conv(images, input_kernel, padding=k // 2, algorithm=algorithm)
    if bias is not None:
        seen = seen + bias
    seen = jnp.moveaxis(seen.reshape(*x.shape[:4], -1), 1, 0)
    gates, candidate = jnp.split(recurrent_kernel, [2 * features], -1)
    padded = {"padding": k // 2, "algorithm": algorithm}

    def step(h, seen):
        r, z = jnp.split(sigmoid(seen[..., : 2 * features] + conv(h, gates, **padded)), 2, -1)
        n = jnp.tanh(seen[..., 2 * features :] + conv(r * h, candidate, **padded))
        h = n + z * (h - n)
        return h, h

    h = jnp.zeros(shape, seen.dtype) if state is None else state.astype(seen.dtype)
    return jnp.moveaxis(lax.scan(step, h, seen)[1], 0, 1)
