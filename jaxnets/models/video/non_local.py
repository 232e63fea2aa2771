"""Non-local blocks: every position of a clip looks at every other one.

Source: Wang, Girshick, Gupta, He, "Non-local Neural Networks", 2017, section 3.
"""

from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxnets.nn import BatchNorm, Conv
from jaxnets.ops import attend, dot_scores, materialize, max_pool, relu

FORMS = ("embedded_gaussian", "gaussian", "dot_product", "concatenation")


class NonLocal(nn.Module):
    """z_i = x_i + W_z Σ_j f(x_i, x_j) g(x_j) / C(x), over all positions of space and time.

    | form | f(x_i, x_j) | C(x) |
    |---|---|---|
    | embedded_gaussian | exp(θ_i · φ_j) | Σ_j f: attention with one head |
    | gaussian | exp(x_i · x_j) | Σ_j f |
    | dot_product | θ_i · φ_j | number of positions j |
    | concatenation | relu(w · [θ_i, φ_j]) | number of positions j |

    θ, φ, g and W_z are 1×1×1 convolutions. The block starts as the identity: the normalization
    behind W_z starts with scale zero, or, without one, W_z itself is zero.

    Attributes:
        form: one of `FORMS`.
        inner: channels of θ, φ and g; None: half of those that come in.
        pool: window of a maximum in front of φ and g, in time, height and width, so that fewer
            positions are looked at; None: all are.
        scale: divide what is exponentiated by the root of its number of channels. The paper does
            not; PySlowFast does.
        norm: normalization behind W_z, called as ``norm(scale_init=…, name=…)(x, train=…)``, or
            None.
        conv: convolution layer.
        dtype: compute dtype.

    Call: (N, T, H, W, C), train → the same shape.

    >>> block, x = NonLocal(norm=None), jnp.arange(16.0).reshape(1, 2, 2, 2, 2)
    >>> y, variables = block.init_with_output(jax.random.key(0), x, False)
    >>> bool((y == x).all()), sorted(variables["params"])
    (True, ['g', 'out', 'phi', 'theta'])
    """

    form: str = "embedded_gaussian"
    inner: int | None = None
    pool: Sequence[int] | None = (1, 2, 2)
    scale: bool = False
    norm: Callable[..., nn.Module] | None = BatchNorm
    conv: Callable[..., nn.Module] = Conv
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        if self.form not in FORMS:
            raise ValueError(f"NonLocal: form must be one of {FORMS}, got {self.form!r}")
        if x.ndim != 5:
            raise ValueError(f"NonLocal: expected (N, T, H, W, C), got {x.ndim} axes: {x.shape}")
        x = materialize(x)  # Not to be computed again by each of its readers.
        inner = self.inner or max(1, x.shape[-1] // 2)
        seen = x if self.pool is None else max_pool(x, self.pool)
        if self.form == "gaussian":
            theta, phi = x, seen
        else:
            theta, phi = self._layer(inner, "theta")(x), self._layer(inner, "phi")(seen)
        g = self._layer(inner, "g")(seen)
        y = self._look(*(a.reshape(a.shape[0], -1, a.shape[-1]) for a in (theta, phi, g)))
        y = y.reshape(*x.shape[:-1], inner)
        if self.norm is None:
            return x + self._layer(x.shape[-1], "out", nn.initializers.zeros_init())(y)
        y = self._layer(x.shape[-1], "out")(y)
        norm = self.norm(scale_init=nn.initializers.zeros_init(), dtype=self.dtype, name="bn")
        return x + norm(y, train=train)

    def _layer(self, features: int, name: str, init: Any = None) -> nn.Module:
        more = {} if init is None else {"kernel_init": init}
        return self.conv(features, (1, 1, 1), dtype=self.dtype, name=name, **more)

    def _look(self, theta: jax.Array, phi: jax.Array, g: jax.Array) -> jax.Array:
        """Σ_j f(i, j) g_j / C over flat positions: (N, I, d), (N, J, d), (N, J, inner)."""
        if self.form in ("embedded_gaussian", "gaussian"):
            factor = theta.shape[-1] ** -0.5 if self.scale else 1.0
            return attend(theta, phi, g, scores=lambda q, k: dot_scores(q, k, scale=factor))[0]
        if self.form == "dot_product":
            f = dot_scores(theta, phi, scale=1.0)
        else:
            # w · [θ_i, φ_j] is a sum of one number of i and one of j.
            init = nn.initializers.normal(0.01)
            w = self.param("pair", init, (2 * theta.shape[-1],), jnp.float32).astype(theta.dtype)
            of_theta, of_phi = jnp.split(w, 2)
            f = relu((theta @ of_theta)[:, :, None] + (phi @ of_phi)[:, None, :])
        return (f.astype(g.dtype) / phi.shape[1]) @ g
