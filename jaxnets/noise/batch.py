"""Noise of batch composition: batch normalization depends on the other examples of the batch."""

import itertools
import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.noise.source import MAX_OUTCOMES, Function, NoiseSource, Outcomes
from jaxnets.ops.activations import identity
from jaxnets.ops.batch_norm import batch_norm, batch_norm_inference


@dataclass(frozen=True, eq=False)
class BatchNorm(NoiseSource):
    """x (…, C) ↦ x normalized with the statistics of itself and random other examples.

    The others are drawn without replacement from a population that does not hold x itself. Exact
    for any function for up to 65,536 possible batches. `test_pass` normalizes by
    the statistics of x and the whole population (what running averages estimate), and is exact for
    no function: a batch's variance is in the denominator.

    Attributes:
        population: (M, …, C), the examples to draw from.
        batch_size: examples in a batch, x included.
        epsilon: added to the variance.

    Raises:
        ValueError: a batch of one, or larger than the population and x.

    Source: Ioffe & Szegedy 2015, §3.4 ("a training example is seen in conjunction with other
    examples").

    >>> noise = BatchNorm(jnp.array([[0.0], [4.0]]), batch_size=2)
    >>> float(noise.marginalize(jnp.array([2.0]))[0].round(3))  # (2 − 1)/1 and (2 − 3)/1
    0.0
    """

    population: jax.Array
    batch_size: int
    epsilon: float = 1e-5

    def __post_init__(self):
        if not 2 <= self.batch_size <= len(self.population) + 1:
            raise ValueError(
                f"batch_size: got {self.batch_size}; expected 2 to {len(self.population) + 1}, x "
                f"and some of a population of {len(self.population)}"
            )

    def _with(self, x: jax.Array, others: jax.Array) -> jax.Array:
        batch = jnp.concatenate([x[None], self.population[others]])
        return batch_norm(batch, epsilon=self.epsilon)[0][0]

    def sample(self, key: jax.Array, x: jax.Array) -> jax.Array:
        order = jnp.argsort(jax.random.bits(key, (len(self.population),)))
        return self._with(x, order[: self.batch_size - 1])

    def outcomes(self, x: jax.Array) -> Outcomes:
        members, others = len(self.population), self.batch_size - 1
        count = math.comb(members, others)
        if count > MAX_OUTCOMES:
            choices = None  # never asked for
        else:
            choices = jnp.asarray(
                np.array(list(itertools.combinations(range(members), others))), jnp.int32
            )
        return Outcomes(
            count, lambda i: self._with(x, choices[i]), lambda i: jnp.asarray(1.0 / count, float)
        )

    def test_pass(self, x: jax.Array, function: Function = identity) -> jax.Array:
        whole = jnp.concatenate([x[None], self.population])
        _, mean, variance = batch_norm(whole, epsilon=self.epsilon)
        return function(batch_norm_inference(x, mean, variance, epsilon=self.epsilon))
