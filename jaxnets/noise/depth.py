"""Noise on depth: residual blocks that are randomly skipped."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from jaxnets.noise.source import Function, NoiseSource, Outcomes, bits, probability_of
from jaxnets.ops.activations import identity
from jaxnets.ops.dropout import check_rate
from jaxnets.ops.stochastic_depth import stochastic_depth


@dataclass(frozen=True)
class StochasticDepth(NoiseSource):
    """x ↦ output of a stack of residual blocks, h ← h + b_l f_l(h), b_l ~ Bernoulli(1 − rate_l).

    Exact for any function, by all 2^L sub-networks of up to 16 blocks. `test_pass` scales each
    branch by its survival probability instead, which is exact for affine branches and
    functions only.

    Attributes:
        branches: f_1 … f_L, of one example's features.
        rates: probability of each to be dropped, see `jaxnets.ops.stochastic_depth_rates`.

    Raises:
        ValueError: not one rate in [0, 1] for each branch.

    Source: Huang et al. 2016 (Deep Networks with Stochastic Depth), §3; Veit et al. 2016 (Residual
    Networks Behave Like Ensembles of Relatively Shallow Networks), §3.

    >>> stack = StochasticDepth((jnp.sin, jnp.sin), (0.5, 0.5))
    >>> x = jnp.float32(1.0)
    >>> f"{float(stack.marginalize(x)):.4f}", f"{float(stack.test_pass(x)):.4f}"
    ('1.8720', '1.9151')
    """

    branches: Sequence[Callable[[jax.Array], jax.Array]]
    rates: Sequence[float]

    def __post_init__(self):
        if len(self.branches) != len(self.rates) or not self.branches:
            raise ValueError(
                f"rates: got {len(self.rates)} for {len(self.branches)} branches; expected one for "
                "each, and at least one branch"
            )
        for rate in self.rates:
            check_rate(rate)

    def sample(self, key: jax.Array, x: jax.Array) -> jax.Array:
        keys = jax.random.split(key, len(self.branches))
        for key, branch, rate in zip(keys, self.branches, self.rates, strict=True):
            h = branch(x)
            x = x + stochastic_depth(key, h[None], rate, scale_in_training=False)[0]
        return x

    def outcomes(self, x: jax.Array) -> Outcomes:
        depth, rates = len(self.branches), jnp.asarray(self.rates, float)

        def at(i):
            kept, h = bits(i, depth), x
            for keep, branch in zip(kept, self.branches, strict=True):
                h = h + jnp.where(keep, branch(h), jnp.zeros_like(h))
            return h

        return Outcomes(2**depth, at, lambda i: probability_of(bits(i, depth), rates))

    def test_pass(self, x: jax.Array, function: Function = identity) -> jax.Array:
        for branch, rate in zip(self.branches, self.rates, strict=True):
            x = x + (1.0 - rate) * branch(x)
        return function(x)
