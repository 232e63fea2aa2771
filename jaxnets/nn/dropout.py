"""Dropout layer."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxnets.ops.dropout import check_rate, dropout, dropout_at_test


class Dropout(nn.Module):
    """Dropout: in training, each unit is zero with probability ``rate``.

    Attributes:
        rate: probability of a unit to be dropped.
        scale_in_training: scale the kept units by 1 / (1 − rate) (inverted dropout), so that the
            test pass does nothing; False is the first published form, which scales all units at
            test time instead.
        broadcast_axes: axes along which one mask is shared; (1, 2) on NHWC drops whole channels.

    The key comes from the collection ``"dropout"`` of `apply`'s ``rngs`` (needed in training only).

    Source: Srivastava et al. 2014; whole channels: Tompson et al. 2015.

    >>> import jax, jax.numpy as jnp
    >>> x, rngs = jnp.ones(6), {"dropout": jax.random.key(0)}
    >>> float(Dropout(0.5).apply({}, x, train=False).sum())
    6.0
    >>> sorted(set(Dropout(0.5).apply({}, x, train=True, rngs=rngs).tolist()))
    [0.0, 2.0]
    """

    rate: float = 0.5
    scale_in_training: bool = True
    broadcast_axes: Sequence[int] = ()

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        check_rate(self.rate)
        if not train:
            return x if self.scale_in_training else dropout_at_test(x, self.rate)
        if self.rate == 0.0:
            return x
        key = self.make_rng("dropout")
        if not self.broadcast_axes:
            return dropout(key, x, self.rate, scale_in_training=self.scale_in_training)
        shared = {axis % x.ndim for axis in self.broadcast_axes}
        shape = [1 if axis in shared else n for axis, n in enumerate(x.shape)]
        mask = dropout(
            key, jnp.ones(shape, x.dtype), self.rate, scale_in_training=self.scale_in_training
        )
        return x * mask
