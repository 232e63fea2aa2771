"""Optical flow by three methods: Horn and Schunck, Lucas and Kanade, TV-L1.

All go from coarse to fine and warp the second picture by the flow found so far, so that only a
small rest is linearized: second(x + w) ≈ second_warped + ∇second_warped · (w − w₀). Pictures have
gray levels 0 … 255.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

from jaxnets.ops.flow.warping import as_pair, coarse_to_fine, gradients, smooth, warp

# The smaller to the first place, the larger to the second: in the end the median of nine is fifth.
# Source: Paeth 1990 (Median Finding on a 3×3 Grid), Graphics Gems.
EXCHANGES = (
    *((1, 2), (4, 5), (7, 8), (0, 1), (3, 4), (6, 7), (1, 2), (4, 5), (7, 8), (0, 3)),
    *((5, 8), (4, 7), (3, 6), (1, 4), (2, 5), (4, 7), (4, 2), (6, 4), (4, 2)),
)


@partial(jax.jit, static_argnames=("levels", "warps", "iterations"))
def horn_schunck(
    first: jax.Array,
    second: jax.Array,
    *,
    alpha: float = 8.0,
    levels: int = 5,
    warps: int = 5,
    iterations: int = 60,
) -> jax.Array:
    """Smooth flow: minimizes ∫ (∇I · w + I_t)² + α² (|∇u|² + |∇v|²).

    Args:
        first, second: pictures (H, W) or (H, W, C), 0 … 255.
        alpha: α, how smooth.
        levels: of the pyramid.
        warps: linearizations at each level.
        iterations: of Jacobi's for each of them.

    Returns:
        Flow (H, W, 2), pixels to the right and down.

    Raises:
        ValueError: pictures of other shapes.

    Source: Horn & Schunck 1981 (Determining Optical Flow), equations 13–15; warping: Brox et al.
    2004 (High Accuracy Optical Flow Estimation Based on a Theory for Warping).

    >>> image = jnp.zeros((16, 16))
    >>> horn_schunck(image, image, iterations=1).shape
    (16, 16, 2)
    """
    first, second = as_pair(first, second)

    def refine(first, second, flow):
        def warp_once(_, flow):
            (gx, gy), rest = _linearized(first, second, flow)
            start = flow

            def relax(_, flow):
                mean = _neighbors(flow)
                step = mean - start
                error = gx * step[..., 0] + gy * step[..., 1] + rest
                factor = error / (alpha**2 + gx**2 + gy**2)
                return mean - factor[..., None] * jnp.stack((gx, gy), -1)

            return _median(lax.fori_loop(0, iterations, relax, flow))

        return lax.fori_loop(0, warps, warp_once, flow)

    return coarse_to_fine(first, second, refine, levels=levels)


@partial(jax.jit, static_argnames=("levels", "warps", "sigma"))
def lucas_kanade(
    first: jax.Array,
    second: jax.Array,
    *,
    sigma: float = 3.0,
    levels: int = 5,
    warps: int = 8,
    damping: float = 1.0,
) -> jax.Array:
    """Flow that is constant around each pixel: minimizes Σ g (∇I · w + I_t)², g a Gaussian.

    Args:
        first, second: pictures (H, W) or (H, W, C), 0 … 255.
        sigma: of the Gaussian window, in pixels.
        levels: of the pyramid.
        warps: Newton steps at each level.
        damping: added to the diagonal of the 2×2 system, in squared gray levels a pixel: where
            nothing is seen, nothing moves.

    Returns:
        Flow (H, W, 2), pixels to the right and down.

    Raises:
        ValueError: pictures of other shapes.

    Source: Lucas & Kanade 1981 (An Iterative Image Registration Technique); Bouguet 2001 (Pyramidal
    Implementation of the Lucas Kanade Feature Tracker), section 2.

    >>> image = jnp.zeros((16, 16))
    >>> float(abs(lucas_kanade(image, image)).max())
    0.0
    """
    first, second = as_pair(first, second)

    def refine(first, second, flow):
        def newton(_, flow):
            (gx, gy), rest = _linearized(first, second, flow)
            around = partial(smooth, sigma=sigma)
            a, b, d = around(gx * gx) + damping, around(gx * gy), around(gy * gy) + damping
            p, q = around(gx * rest), around(gy * rest)
            determinant = a * d - b * b
            step = jnp.stack((b * q - d * p, b * p - a * q), -1) / determinant[..., None]
            # A linearization is not to be trusted further than this.
            return _median(flow + jnp.clip(step, -1.5, 1.5))

        return lax.fori_loop(0, warps, newton, flow)

    return coarse_to_fine(first, second, refine, levels=levels)


@partial(jax.jit, static_argnames=("levels", "warps", "iterations"))
def tv_l1(
    first: jax.Array,
    second: jax.Array,
    *,
    attachment: float = 0.15,
    tightness: float = 0.3,
    levels: int = 5,
    warps: int = 5,
    iterations: int = 30,
) -> jax.Array:
    """Flow with sharp edges: minimizes ∫ |∇u| + |∇v| + λ |∇I · w + I_t|.

    Alternates between w, by Chambolle's projection, and an auxiliary v that fits the pictures:
    ∫ |∇u| + |∇v| + |w − v|² / 2θ + λ |ρ(v)|.

    Args:
        first, second: pictures (H, W) or (H, W, C), 0 … 255.
        attachment: λ, how much the pictures count.
        tightness: θ, how far w and v may be apart.
        levels: of the pyramid.
        warps: linearizations at each level.
        iterations: alternations for each of them.

    Returns:
        Flow (H, W, 2), pixels to the right and down.

    Raises:
        ValueError: pictures of other shapes.

    Source: Zach, Pock, Bischof 2007 (A Duality Based Approach for Realtime TV-L1 Optical Flow),
    section 3; step 1/4 of the dual: Chambolle 2004.

    >>> image = jnp.zeros((16, 16))
    >>> float(abs(tv_l1(image, image, iterations=1)).max())
    0.0
    """
    first, second = as_pair(first, second)

    def refine(first, second, flow):
        def warp_once(_, flow):
            (gx, gy), rest = _linearized(first, second, flow)
            gradient, start = jnp.stack((gx, gy), -1), flow
            square = gx**2 + gy**2
            bound = attachment * tightness

            def alternate(_, carry):
                flow, dual = carry
                rho = rest + (gradient * (flow - start)).sum(-1)
                # Zach et al., proposition 3: three cases by the sign and size of the residual.
                inside = -rho / jnp.maximum(square, 1e-9)
                factor = jnp.clip(inside, -bound, bound)
                factor = jnp.where(square < 1e-9, 0.0, factor)
                fitted = flow + factor[..., None] * gradient
                flow = fitted + tightness * _divergence(dual)
                slope = _forward(flow)
                dual = dual + (0.25 / tightness) * slope
                size = jnp.sqrt((dual**2).sum(-2, keepdims=True))
                return flow, dual / jnp.maximum(1.0, size)

            dual = jnp.zeros((*flow.shape[:2], 2, 2), flow.dtype)
            return lax.fori_loop(0, iterations, alternate, (flow, dual))[0]

        return lax.fori_loop(0, warps, warp_once, flow)

    return coarse_to_fine(first, second, refine, levels=levels)


METHODS = {"horn_schunck": horn_schunck, "lucas_kanade": lucas_kanade, "tv_l1": tv_l1}


def clip_flow(clips: jax.Array, *, method: str = "lucas_kanade", **options) -> jax.Array:
    """Flow between the neighboring frames of clips.

    Args:
        clips: (N, T, H, W, C), 0 … 255.
        method: "horn_schunck", "lucas_kanade" or "tv_l1".
        **options: of the method.

    Returns:
        (N, T − 1, H, W, 2).

    Raises:
        ValueError: another method, or clips of one frame.

    >>> clip_flow(jnp.zeros((2, 3, 16, 16, 1), jnp.uint8), levels=1, warps=1).shape
    (2, 2, 16, 16, 2)
    """
    if method not in METHODS:
        raise ValueError(f"method: got {method!r}; expected one of {sorted(METHODS)}")
    if clips.ndim != 5 or clips.shape[1] < 2:
        raise ValueError(f"clips: expected (N, T, H, W, C) with T ≥ 2, got {clips.shape}")
    pairs = jax.vmap(jax.vmap(partial(METHODS[method], **options)))
    return pairs(clips[:, :-1], clips[:, 1:])


def _linearized(first, second, flow):
    """∇ of the warped second picture, and what it lacks to the first: I_t.

    All are zero where the flow leads out of the picture: there is nothing to compare with.
    """
    warped = warp(second, flow)
    (ax, ay), (bx, by) = gradients(first), gradients(warped)
    inside = jnp.ones(first.shape, bool)
    for axis, moved in enumerate((flow[..., 1], flow[..., 0])):
        place = lax.broadcasted_iota(flow.dtype, first.shape, axis) + moved
        inside &= (place >= 0) & (place <= first.shape[axis] - 1)
    seen = inside.astype(first.dtype)
    return (0.5 * (ax + bx) * seen, 0.5 * (ay + by) * seen), (warped - first) * seen


def _median(flow: jax.Array) -> jax.Array:
    """The median of 3×3 neighbors, which removes outliers between linearizations (Wedel et al.)."""
    padded = jnp.pad(flow, ((1, 1), (1, 1), (0, 0)), mode="edge")
    height, width = flow.shape[:2]
    near = [padded[i : i + height, j : j + width] for i in range(3) for j in range(3)]
    # Exchanges in place of a sort, which takes XLA most of the whole time.
    for a, b in EXCHANGES:
        near[a], near[b] = jnp.minimum(near[a], near[b]), jnp.maximum(near[a], near[b])
    return near[4]


def _neighbors(flow: jax.Array) -> jax.Array:
    """Horn and Schunck's mean: sixths from the sides, twelfths from the corners."""
    padded = jnp.pad(flow, ((1, 1), (1, 1), (0, 0)), mode="edge")
    height, width = flow.shape[:2]

    def at(i, j):
        return padded[i : i + height, j : j + width]

    sides = at(0, 1) + at(1, 0) + at(1, 2) + at(2, 1)
    return sides / 6 + (at(0, 0) + at(0, 2) + at(2, 0) + at(2, 2)) / 12


def _forward(flow: jax.Array) -> jax.Array:
    """Forward differences (H, W, 2 directions, 2 components), 0 at the far border."""
    x = jnp.pad(flow[:, 1:] - flow[:, :-1], ((0, 0), (0, 1), (0, 0)))
    y = jnp.pad(flow[1:] - flow[:-1], ((0, 1), (0, 0), (0, 0)))
    return jnp.stack((x, y), -2)


def _divergence(dual: jax.Array) -> jax.Array:
    """The negative adjoint of `_forward`."""
    x, y = dual[..., 0, :], dual[..., 1, :]
    x = x.at[:, -1].set(0)
    y = y.at[-1].set(0)
    dx = x - jnp.pad(x[:, :-1], ((0, 0), (1, 0), (0, 0)))
    return dx + y - jnp.pad(y[:-1], ((1, 0), (0, 0), (0, 0)))
