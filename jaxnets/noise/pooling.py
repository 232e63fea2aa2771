"""Noise on pooling regions: fractional max pooling."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from jaxnets.noise.source import MAX_OUTCOMES, Function, NoiseSource, Outcomes
from jaxnets.ops.activations import identity
from jaxnets.ops.fractional_pooling import fractional_max_pool, fractional_regions, pool_places
from jaxnets.ops.fractional_sequences import all_random_steps


@dataclass(frozen=True)
class FractionalMaxPool(NoiseSource):
    """x (spatial…, C) ↦ maxima of random regions, fewer by a factor between 1 and 2.

    Exact for any function by all sequences: pseudo-random ones have m phases an axis, random ones
    are as many as there are orders of ones and twos, both up to 65,536 over all axes. `test_pass`
    takes the pseudo-random regions of the middle phase.

    Attributes:
        ratio, output_size, sequence, overlapping: see `jaxnets.ops.fractional_max_pool`.

    Source: Graham 2014 (Fractional Max-Pooling), §2.

    >>> x = jnp.arange(5.0).reshape(5, 1)
    >>> mean = FractionalMaxPool(output_size=3, overlapping=False).marginalize(x)
    >>> [f"{number:.3f}" for number in mean.ravel().tolist()]
    ['0.667', '2.333', '4.000']
    """

    ratio: float | None = None
    output_size: int | Sequence[int] | None = None
    sequence: str = "pseudo-random"
    overlapping: bool = True

    def _options(self) -> dict:
        return {
            "ratio": self.ratio,
            "output_size": self.output_size,
            "overlapping": self.overlapping,
        }

    def sample(self, key: jax.Array, x: jax.Array) -> jax.Array:
        return fractional_max_pool(key, x[None], sequence=self.sequence, **self._options())[0]

    def outcomes(self, x: jax.Array) -> Outcomes:
        regions = fractional_regions((1, *x.shape), sequence=self.sequence, **self._options())
        if self.sequence == "random":
            counts = [math.comb(r.steps, r.total - r.steps) for r in regions]
        else:
            counts = [r.steps for r in regions]
        count = math.prod(counts)
        tables = None
        if count <= MAX_OUTCOMES and self.sequence == "random":
            tables = [jnp.asarray(all_random_steps(r.total, r.steps), jnp.int32) for r in regions]

        def at(i):
            places = []
            for axis, region in enumerate(regions):
                i, mine = jnp.divmod(i, counts[axis])
                if tables is not None:
                    places.append(region.of_boundaries(tables[axis][mine]))
                else:
                    u = (mine.astype(jnp.float32) + 0.5) / counts[axis]
                    places.append(region.pseudo_random(u))
            return pool_places(x, regions, places)

        return Outcomes(count, at, lambda i: jnp.asarray(1.0 / count, float))

    def test_pass(self, x: jax.Array, function: Function = identity) -> jax.Array:
        middle = jnp.full((1, 1, x.ndim - 1), 0.5, jnp.float32)
        return function(fractional_max_pool(None, x[None], samples=middle, **self._options())[0])
