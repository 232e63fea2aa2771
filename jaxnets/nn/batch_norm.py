"""Batch normalisation layer."""

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from jaxnets.ops.batch_norm import batch_norm, batch_norm_inference


class BatchNorm(nn.Module):
    """Batch normalisation over the last axis as channels.

    y = scale · (x − μ) / √(σ² + ε) + bias. With ``train=True`` μ and σ² are those of the batch, and
    the running averages take a step towards them: new = momentum · old + (1 − momentum) · batch.
    With ``train=False`` they are the running averages.

    Statistics are computed and kept in float32 or wider, whatever ``dtype`` is. Under plain
    `jax.jit` the batch is the whole batch, on however many devices it lies. Under `jax.pmap` or
    `jax.shard_map` it is the part on one device, unless ``axis_name`` says over which axis to
    share statistics.

    Args (fields):
        axis_name: mapped axis over which a training step shares statistics. Not needed, and not
            looked at, in evaluation and initialisation: the same module works there unmapped.
        momentum: share of the old running average that stays.
        epsilon: added to the variance.
        unbiased: the running variance collects n/(n−1)·σ² (the paper, PyTorch), n being the number
            of values a channel, over all devices; False: σ² itself (Flax, Keras).
        use_scale, use_bias: whether the layer has these parameters.
        scale_init, bias_init: their initialisers.
        dtype: dtype of the result (None: that of the input and parameters together).
        param_dtype: dtype of parameters and running averages.

    Variables: ``params``: ``scale``, ``bias``; ``batch_stats``: ``mean``, ``var``; each (C,).

    Raises:
        ValueError: training on a batch with one value a channel, whose variance says nothing.

    Source: Ioffe & Szegedy 2015, Algorithms 1 and 2; notes L39, L46-47.

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
        # A narrow input is widened inside the op; a wide one is not narrowed before its statistics
        # are taken.
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
            if self.unbiased:
                batch_var = batch_var * self._bessel(x, axis_name)
            mean.value = self._step(mean.value, batch_mean)
            var.value = self._step(var.value, batch_var)
        return y.astype(dtype)

    def _step(self, old: jax.Array, new: jax.Array) -> jax.Array:
        return self.momentum * old + (1.0 - self.momentum) * new.astype(old.dtype)

    def _bessel(self, x: jax.Array, axis_name: str | None) -> float:
        devices = 1 if axis_name is None else lax.psum(1, axis_name)
        count = math.prod(x.shape[:-1]) * devices
        if count < 2:
            raise ValueError(
                f"x: training batch normalisation {self.name!r} got shape {x.shape}, one value a "
                "channel, whose variance is undefined; give a larger batch or image, or train=False"
            )
        return count / (count - 1)
