"""Stochastic depth layer."""

import flax.linen as nn
import jax

from jaxnets.ops.dropout import check_rate
from jaxnets.ops.stochastic_depth import stochastic_depth, stochastic_depth_at_test


class StochasticDepth(nn.Module):
    """Drops a residual block's branch in training: ``shortcut + StochasticDepth(rate)(branch)``.

    Attributes:
        rate: probability of the branch to be dropped; `jaxnets.ops.stochastic_depth_rates` gives
            the paper's, growing with depth.
        per_example: draw for each example; False: once for the whole batch, as first published.
        scale_in_training: scale what is kept by 1 / (1 − rate), so that the test pass does nothing;
            False is the first published form, which scales the branch at test time instead.

    The key comes from the collection ``"dropout"`` of `apply`'s ``rngs`` (needed in training only).

    Source: Huang et al. 2016, §3.

    >>> import jax, jax.numpy as jnp
    >>> layer, x = StochasticDepth(0.5), jnp.ones((4, 2))
    >>> layer.apply({}, x, train=True, rngs={"dropout": jax.random.key(0)}).shape
    (4, 2)
    >>> float(StochasticDepth(0.5, scale_in_training=False).apply({}, x, train=False).sum())
    4.0
    """

    rate: float = 0.5
    per_example: bool = True
    scale_in_training: bool = True

    @nn.compact
    def __call__(self, branch: jax.Array, *, train: bool) -> jax.Array:
        check_rate(self.rate)
        if not train:
            return branch if self.scale_in_training else stochastic_depth_at_test(branch, self.rate)
        if self.rate == 0.0:
            return branch
        return stochastic_depth(
            self.make_rng("dropout"),
            branch,
            self.rate,
            per_example=self.per_example,
            scale_in_training=self.scale_in_training,
        )
