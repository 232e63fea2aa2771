"""Attention layers: one module for every kind of score, and multi-head attention on top of it."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxnets.nn.dense import Dense
from jaxnets.ops.attention import attend, join_heads, split_heads
from jaxnets.ops.attention_scores import (
    additive_scores,
    best_word_scores,
    dot_scores,
    multiplicative_scores,
)
from jaxnets.ops.positions import sinusoidal_positions

SCORES = ("scaled_dot", "dot", "multiplicative", "additive", "best_word")


class Attend(nn.Module):
    """context_i = Σ_j a_ij v_j: what "X, attend, Y" models of whatever kind share.

    The weights a are returned, and stored in the collection ``"attention"`` under ``weights`` where
    that is mutable: `model.apply(…, mutable=["attention"])` gives the maps of a whole network, each
    (…, Q, K), which `jaxnets.study.attention_figures` draws.

    Attributes:
        score: "scaled_dot" and "dot" have no parameters, "multiplicative" has ``kernel``
            (d_q, d_k), "additive" has ``query_kernel`` (d_q, units), ``key_kernel`` (d_k, units),
            ``bias`` (units,) and ``energy`` (units,). "best_word" has none: each key counts by the
            query that it answers best, so there is one row of weights for all queries.
        units: of the hidden layer of "additive" scores; the query's features where None.
        project_key: whether "additive" scores project the keys; False for keys of ``units``
            features that a decoder has projected once for all of its steps.
        glimpses: rows of weights of each query, for "additive" scores; ``energy`` is (units,
            glimpses) then, with an ``energy_bias`` (glimpses,), which the softmax cancels and
            published networks have.
        activation: of "additive" scores.
        dtype: compute dtype (None: that of the inputs and parameters together).
        param_dtype: dtype of the parameters.
        kernel_init: initializer.

    A call with (query (…, Q, d_q), key (…, K, d_k), value (…, K, d_v)) and the keywords ``mask``,
    ``causal`` and ``block_size`` of `jaxnets.ops.attend` returns (context, weights); without a
    value, the keys are the values.

    Source: Bahdanau et al. 2015, §3.1; Luong et al. 2015, §3.1; Vaswani et al. 2017, §3.2.1.

    >>> import jax, jax.numpy as jnp
    >>> layer, state, notes = Attend("additive", units=8), jnp.ones((2, 1, 3)), jnp.ones((2, 5, 4))
    >>> (context, weights), _ = layer.init_with_output(jax.random.key(0), state, notes)
    >>> context.shape, weights.shape
    ((2, 1, 4), (2, 1, 5))
    """

    score: str = "scaled_dot"
    units: int | None = None
    project_key: bool = True
    glimpses: int | None = None
    activation: Callable[[jax.Array], jax.Array] = jnp.tanh
    dtype: Any = None
    param_dtype: Any = jnp.float32
    kernel_init: nn.initializers.Initializer = nn.initializers.glorot_uniform()

    @nn.compact
    def __call__(
        self,
        query: jax.Array,
        key: jax.Array,
        value: jax.Array | None = None,
        *,
        mask: jax.Array | None = None,
        causal: bool = False,
        block_size: int | None = None,
    ) -> tuple[jax.Array, jax.Array | None]:
        value = key if value is None else value
        query, key, value = nn.dtypes.promote_dtype(query, key, value, dtype=self.dtype)
        if self.score == "additive":
            units = self.units or query.shape[-1]
            fields = {"dtype": self.dtype, "param_dtype": self.param_dtype}
            fields["kernel_init"] = self.kernel_init
            query = Dense(units, **fields, name="query")(query)
            if self.project_key:
                key = Dense(units, use_bias=False, **fields, name="key")(key)
            rows = () if self.glimpses is None else (self.glimpses,)
            energy = self.param(
                "energy", nn.initializers.normal(units**-0.5), (units, *rows), self.param_dtype
            )
            offset: Any = 0.0
            if rows:
                offset = self.param("energy_bias", nn.initializers.zeros, rows, self.param_dtype)
                offset = jnp.tile(offset, query.shape[-2])[:, None]

            def scores(q, k):
                found = additive_scores(q, k, energy.astype(q.dtype), activation=self.activation)
                return found + offset
        elif self.score == "multiplicative":
            shape = (query.shape[-1], key.shape[-1])
            kernel = self.param("kernel", self.kernel_init, shape, self.param_dtype)

            def scores(q, k):
                return multiplicative_scores(q, k, kernel.astype(q.dtype))
        elif self.score in ("dot", "scaled_dot"):
            scale = 1.0 if self.score == "dot" else None

            def scores(q, k):
                return dot_scores(q, k, scale=scale)
        elif self.score == "best_word":
            words = mask
            mask = None if mask is None else mask.any(-2, keepdims=True)

            def scores(q, k):
                return best_word_scores(q, k, mask=words)
        else:
            raise ValueError(f"score: got {self.score!r}; expected one of {', '.join(SCORES)}")
        context, weights = attend(
            query, key, value, scores=scores, mask=mask, causal=causal, block_size=block_size
        )
        if weights is not None and not self.is_initializing():
            self.sow("attention", "weights", weights)
        return context, weights


class MultiHeadAttention(nn.Module):
    """y = [head_1 … head_H] W_O, head_i = attend(q W_Q, k W_K, v W_V) on its part of the features.

    Self-attention is a call with the query alone.

    Attributes:
        heads: H.
        features: of query, key and value projections together; the query's where None.
        out_features: of the result; ``features`` where None.
        use_bias: whether the four projections have one.
        dtype: compute dtype (None: that of the inputs and parameters together).
        param_dtype: dtype of the parameters.
        kernel_init: initializer.

    Parameters: ``query``, ``key``, ``value`` and ``out``, each a `Dense`: 4 d² + 4 d numbers.

    A call with (query (…, Q, d), key, value) and the keywords of `Attend` returns (y (…, Q, d),
    weights (…, H, Q, K)); a mask is (…, Q, K), the same for all heads.

    Source: Vaswani et al. 2017, §3.2.2.

    >>> import jax, jax.numpy as jnp
    >>> layer, x = MultiHeadAttention(2), jnp.ones((3, 5, 8))
    >>> (y, weights), _ = layer.init_with_output(jax.random.key(0), x, causal=True)
    >>> y.shape, weights.shape
    ((3, 5, 8), (3, 2, 5, 5))
    """

    heads: int
    features: int | None = None
    out_features: int | None = None
    use_bias: bool = True
    dtype: Any = None
    param_dtype: Any = jnp.float32
    kernel_init: nn.initializers.Initializer = nn.initializers.glorot_uniform()

    @nn.compact
    def __call__(
        self,
        query: jax.Array,
        key: jax.Array | None = None,
        value: jax.Array | None = None,
        *,
        mask: jax.Array | None = None,
        causal: bool = False,
        block_size: int | None = None,
    ) -> tuple[jax.Array, jax.Array | None]:
        key = query if key is None else key
        value = key if value is None else value
        features = self.features or query.shape[-1]
        fields = {
            "use_bias": self.use_bias,
            "dtype": self.dtype,
            "param_dtype": self.param_dtype,
            "kernel_init": self.kernel_init,
        }
        parts = {"query": query, "key": key, "value": value}
        q, k, v = (
            split_heads(Dense(features, **fields, name=name)(x), self.heads)
            for name, x in parts.items()
        )
        if mask is not None:
            mask = jnp.expand_dims(mask, -3)
        attend = Attend(dtype=self.dtype, name="attend")
        context, weights = attend(q, k, v, mask=mask, causal=causal, block_size=block_size)
        out = Dense(self.out_features or features, **fields, name="out")
        return out(join_heads(context)), weights


class Positions(nn.Module):
    """x_t + p_t: positions that are learned, or sines and cosines.

    Attributes:
        max_length: positions that can be learned; None for `jaxnets.ops.sinusoidal_positions`,
            which have no end.
        param_dtype: dtype of the parameters.
        embedding_init: initializer.

    Parameters: ``embedding`` (max_length, d), where positions are learned.

    A call with x (…, T, d) and the keyword ``start``, the position of its first step, returns the
    sum.

    Source: Vaswani et al. 2017, §3.5; learned: Gehring et al. 2017, §3.1.

    >>> import jax, jax.numpy as jnp
    >>> Positions().apply({}, jnp.zeros((1, 2, 2))).round(2).tolist()
    [[[0.0, 1.0], [0.8399..., 0.5399...]]]
    """

    max_length: int | None = None
    param_dtype: Any = jnp.float32
    embedding_init: nn.initializers.Initializer = nn.initializers.normal(0.02)

    @nn.compact
    def __call__(self, x: jax.Array, *, start: int | jax.Array = 0) -> jax.Array:
        length, features = x.shape[-2:]
        if self.max_length is None:
            table = sinusoidal_positions(length, features, start=start)
        else:
            known = isinstance(start, int)
            if length + (start if known else 0) > self.max_length:
                raise ValueError(
                    f"x: got {length} steps from position {start}; expected at most "
                    f"{self.max_length} positions, max_length"
                )
            table = self.param(
                "embedding", self.embedding_init, (self.max_length, features), self.param_dtype
            )
            # Inside jit a start too far cannot be refused; NaN shows it.
            table = jnp.take(table, start + jnp.arange(length), 0, mode="fill")
        return x + jax.lax.expand_dims(table.astype(x.dtype), range(x.ndim - 2))
