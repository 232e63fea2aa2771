"""Batch normalization layer."""

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from jaxnets.ops.batch_norm import batch_norm, batch_norm_inference

MOMENTS = "batch_moments"


class BatchNorm(nn.Module):
    """Batch normalization over the last axis as channels.

    y = scale · (x − μ) / √(σ² + ε) + bias. With ``train=True`` μ and σ² are those of the batch, and
    the running averages take a step toward them: new = momentum · old + (1 − momentum) · batch.
    With ``train=False`` they are the running averages.

    Statistics are computed and kept in float32 or wider, whatever ``dtype`` is. Under plain
    `jax.jit` the batch is the whole batch, on however many devices it lies. Under `jax.pmap` or
    `jax.shard_map` it is the part on one device, unless ``axis_name`` says over which axis to
    share statistics.

    Attributes:
        axis_name: mapped axis over which a training step shares statistics. Not needed, and not
            looked at, in evaluation and initialization: the same module works there unmapped.
        momentum: share of the old running average that stays.
        epsilon: added to the variance.
        unbiased: the running variance collects n/(n−1)·σ² (the paper, PyTorch), n being the number
            of values a channel, over all devices; False: σ² itself (Flax, Keras).
        use_scale, use_bias: whether the layer has these parameters.
        scale_init, bias_init: their initializers.
        dtype: dtype of the result (None: that of the input and parameters together).
        param_dtype: dtype of parameters and running averages.

    Variables: ``params``: ``scale``, ``bias``; ``batch_stats``: ``mean``, ``var``; each (C,). If
    the collection ``batch_moments`` is mutable in training, it receives the batch's own ``mean``,
    biased ``var`` and ``count`` of values, for `jaxnets.nn.precise_batch_statistics`.

    Raises:
        ValueError: training on a batch with one value a channel, whose variance is 0.

    Source: Ioffe & Szegedy 2015, Algorithms 1 and 2.

    >>> import jax, jax.numpy as jnp
    >>> layer, x = BatchNorm(), jnp.array([[1.0], [3.0]])
    >>> variables = layer.init(jax.random.key(0), x, train=False)
    >>> y, updates = layer.apply(variables, x, train=True, mutable=["batch_stats"])
    >>> updates["batch_stats"]["var"]  # 0.9 · 1 + 0.1 · 2
    Array([1.1], dtype=float32)
    """

    axis_name: str | None = None
    momentum: float = 0.9
    epsilon: float = 1e-5
    unbiased: bool = True
    use_scale: bool = True
    use_bias: bool = True
    scale_init: nn.initializers.Initializer = nn.initializers.ones_init()
    bias_init: nn.initializers.Initializer = nn.initializers.zeros_init()
    dtype: Any = None
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        shape = (x.shape[-1],)
        scale = bias = None
        if self.use_scale:
            scale = self.param("scale", self.scale_init, shape, self.param_dtype)
        if self.use_bias:
            bias = self.param("bias", self.bias_init, shape, self.param_dtype)
        mean = self.variable("batch_stats", "mean", jnp.zeros, shape, self.param_dtype)
        var = self.variable("batch_stats", "var", jnp.ones, shape, self.param_dtype)

        dtype = nn.dtypes.canonicalize_dtype(x, scale, bias, dtype=self.dtype)
        # The op widens a narrow input by itself, and a wide one must not be narrowed before its
        # statistics are taken: only widening, to float64, is left to do here.
        if jnp.finfo(dtype).bits > jnp.finfo(x.dtype).bits:
            x = x.astype(dtype)

        if not train:
            y = batch_norm_inference(x, mean.value, var.value, scale, bias, epsilon=self.epsilon)
            return y.astype(dtype)

        axis_name = None if self.is_initializing() else self.axis_name
        y, batch_mean, batch_var = batch_norm(
            x, scale, bias, epsilon=self.epsilon, axis_name=axis_name
        )
        if not self.is_initializing():
            count = self._count(x, axis_name)
            if self.is_mutable_collection(MOMENTS):
                self._record_moments(batch_mean, batch_var, count)
            if self.unbiased:
                batch_var = batch_var * (count / (count - 1))
            mean.value = self._step(mean.value, batch_mean)
            var.value = self._step(var.value, batch_var)
        return y.astype(dtype)

    def _step(self, old: jax.Array, new: jax.Array) -> jax.Array:
        return self.momentum * old + (1.0 - self.momentum) * new.astype(old.dtype)

    def _count(self, x: jax.Array, axis_name: str | None) -> int:
        devices = 1 if axis_name is None else lax.psum(1, axis_name)
        count = math.prod(x.shape[:-1]) * devices
        if count < 2:
            raise ValueError(
                f"x: training batch normalization {self.name!r} got shape {x.shape}, one value a "
                "channel, whose variance is undefined; give a larger batch or image, or train=False"
            )
        return count

    def _record_moments(self, mean: jax.Array, var: jax.Array, count: int) -> None:
        moments = {"mean": mean, "var": var, "count": jnp.full((), count, mean.dtype)}
        if self.has_variable(MOMENTS, "mean"):  # a layer that is applied twice has seen both inputs
            before = {name: self.get_variable(MOMENTS, name) for name in moments}
            moments = pool_moments(before, moments)
        for name, value in moments.items():
            self.put_variable(MOMENTS, name, value)


def pool_moments(a: dict, b: dict) -> dict:
    """Mean, biased variance and count of two sets of values together, from those of each.

    Args:
        a, b: ``{"mean", "var", "count"}`` of each set.

    Returns:
        the same of both together.

    Source: Chan, Golub & LeVeque 1979 (Updating Formulae and a Pairwise Algorithm for Computing
    Sample Variances).

    >>> ab = pool_moments(dict(mean=1.0, var=0.0, count=1.0), dict(mean=3.0, var=0.0, count=1.0))
    >>> ab
    {'mean': 2.0, 'var': 1.0, 'count': 2.0}
    """
    count = a["count"] + b["count"]
    share_a, share_b = a["count"] / count, b["count"] / count
    gap = b["mean"] - a["mean"]
    return {
        "mean": a["mean"] + gap * share_b,
        "var": a["var"] * share_a + b["var"] * share_b + gap * gap * (share_a * share_b),
        "count": count,
    }
