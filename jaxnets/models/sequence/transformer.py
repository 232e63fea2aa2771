"""The Transformer: an encoder and a decoder of attention and position-wise layers alone."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxnets.nn import Attend, Dense, Dropout, Positions
from jaxnets.ops.attention import join_heads, split_heads


class Heads(nn.Module):
    """`jaxnets.nn.MultiHeadAttention` in two halves, so that a decoder keeps keys and values.

    Attributes:
        heads: H.
        features: d, of the whole.
        dtype: compute dtype.

    ``keys_values`` (annotations (B, K, d)) → two (B, H, K, d / H); ``attend_to`` (x (B, Q, d),
    keys, values, mask (B or 1, Q or 1, K), causal) → (B, Q, d). A call is both, of x with itself.
    Parameters: those of `jaxnets.nn.MultiHeadAttention`.

    >>> import jax, jax.numpy as jnp
    >>> Heads(2, 4).init_with_output(jax.random.key(0), jnp.ones((3, 5, 4)))[0].shape
    (3, 5, 4)
    """

    heads: int
    features: int
    dtype: Any = None

    def setup(self):
        init = nn.initializers.glorot_uniform()
        fields: dict[str, Any] = {"dtype": self.dtype, "kernel_init": init}
        self.query = Dense(self.features, **fields)
        self.key = Dense(self.features, **fields)
        self.value = Dense(self.features, **fields)
        self.out = Dense(self.features, **fields)
        self.attend = Attend(dtype=self.dtype)

    def __call__(self, x, *, mask=None, causal=False):
        return self.attend_to(x, *self.keys_values(x), mask=mask, causal=causal)

    def keys_values(self, annotations: jax.Array) -> tuple[jax.Array, jax.Array]:
        return split_heads(self.key(annotations), self.heads), split_heads(
            self.value(annotations), self.heads
        )

    def attend_to(self, x, keys, values, *, mask=None, causal=False) -> jax.Array:
        query = split_heads(self.query(x), self.heads)
        mask = None if mask is None else mask[:, None]
        context, _ = self.attend(query, keys, values, mask=mask, causal=causal)
        return self.out(join_heads(context))


class Block(nn.Module):
    """x + self(norm x), then, in a decoder, + cross(norm x, annotations), then + mlp(norm x).

    Attributes:
        heads: H.
        features: d.
        hidden: of the position-wise layer.
        cross: whether it also attends to annotations.
        dropout: rate, of what each part adds.
        dtype: compute dtype.

    ``__call__`` takes whole sequences, ``step`` one position with the keys and values before it.

    >>> import jax, jax.numpy as jnp
    >>> Block(2, 4, 8).init_with_output(jax.random.key(0), jnp.ones((3, 5, 4)))[0].shape
    (3, 5, 4)
    """

    heads: int
    features: int
    hidden: int
    cross: bool = False
    dropout: float = 0.0
    dtype: Any = None

    def setup(self):
        self.self_norm = nn.LayerNorm(dtype=self.dtype)
        self.self_attention = Heads(self.heads, self.features, self.dtype)
        if self.cross:
            self.cross_norm = nn.LayerNorm(dtype=self.dtype)
            self.cross_attention = Heads(self.heads, self.features, self.dtype)
        self.mlp_norm = nn.LayerNorm(dtype=self.dtype)
        self.hidden_layer = Dense(self.hidden, dtype=self.dtype)
        self.out = Dense(
            self.features, dtype=self.dtype, kernel_init=nn.initializers.glorot_uniform()
        )
        self.drop = Dropout(self.dropout)

    def __call__(
        self, x, *, mask=None, causal=False, annotations=None, annotations_mask=None, train=False
    ):
        if mask is not None:
            mask = mask[:, None]
        y = self.self_attention(self.self_norm(x), mask=mask, causal=causal)
        x = x + self.drop(y, train=train)
        if self.cross:
            x = self._look(
                x, self.cross_attention.keys_values(annotations), annotations_mask, train
            )
        return self._think(x, train)

    def _look(self, x, annotations, annotations_mask, train):
        y = self.cross_attention.attend_to(
            self.cross_norm(x), *annotations, mask=annotations_mask[:, None]
        )
        return x + self.drop(y, train=train)

    def _think(self, x, train):
        y = self.out(self.drop(nn.relu(self.hidden_layer(self.mlp_norm(x))), train=train))
        return x + self.drop(y, train=train)

    def project_annotations(self, annotations):
        return self.cross_attention.keys_values(annotations)

    def step(self, x, past, position, annotations, annotations_mask):
        """One position (B, 1, d); ``past`` has room for all keys and values (B, H, L, d / H)."""
        x_norm = self.self_norm(x)
        new = self.self_attention.keys_values(x_norm)
        length = past[0].shape[2]
        here = jnp.arange(length)[None] == position[:, None]
        past = tuple(
            jnp.where(here[:, None, :, None], n.astype(p.dtype), p)
            for p, n in zip(past, new, strict=True)
        )
        seen = jnp.arange(length)[None] <= position[:, None]
        x = x + self.self_attention.attend_to(x_norm, *past, mask=seen[:, None])
        x = self._look(x, annotations, annotations_mask, False)
        return self._think(x, False), past


class Transformer(nn.Module):
    """Encoder and decoder of `Block`s; norms stand before each part and after the last one.

    Attributes:
        source_vocabulary: number of tokens that are read.
        vocabulary: number of tokens that are written, V.
        features: d, of embeddings and blocks.
        heads: H.
        layers: of the encoder, and of the decoder.
        hidden: of the position-wise layers; 4 d where None.
        dropout: rate, of embeddings and of what each part adds.
        max_length: steps that ``step`` has room for.
        dtype: compute dtype.

    Call: source (B, S), target (B, T) from its start token on, perhaps source_mask (B, S) → logits
    (B, T, V) float32, all positions at once. ``encode`` (source, source_mask) → carry and ``step``
    (carry, token (B,)) → (carry, logits (B, V)) are for `jaxnets.ops.greedy` and the like; they
    keep the keys and values of what was written. Beyond ``max_length`` steps the logits are NaN.
    The decoder's maps are in the collection "attention". The embedding of the target is the head's
    kernel as well. Needs the rng "dropout" in training where ``dropout`` > 0. Layers:
    source_embed, encoder_0 …, encoder_norm, embed, decoder_0 …, decoder_norm.

    Source: Vaswani et al. 2017 (Attention Is All You Need), §3; norms before each part: Xiong et
    al. 2020 (On Layer Normalization in the Transformer Architecture), §3.

    >>> import jax, jax.numpy as jnp
    >>> model, source = Transformer(9, 7, 4, heads=2, layers=1), jnp.zeros((2, 5), int)
    >>> logits, _ = model.init_with_output(jax.random.key(0), source, jnp.zeros((2, 3), int))
    >>> logits.shape
    (2, 3, 7)
    """

    source_vocabulary: int
    vocabulary: int
    features: int
    heads: int = 4
    layers: int = 3
    hidden: int | None = None
    dropout: float = 0.0
    max_length: int = 64
    dtype: Any = None

    def setup(self):
        init = nn.initializers.normal(self.features**-0.5)
        fields: dict[str, Any] = {"dtype": self.dtype, "embedding_init": init}
        self.source_embed = nn.Embed(self.source_vocabulary, self.features, **fields)
        self.embed = nn.Embed(self.vocabulary, self.features, **fields)
        self.positions = Positions()
        self.drop = Dropout(self.dropout)
        hidden = self.hidden or 4 * self.features
        parts = self.heads, self.features, hidden
        self.encoder = [Block(*parts, False, self.dropout, self.dtype) for _ in range(self.layers)]
        self.encoder_norm = nn.LayerNorm(dtype=self.dtype)
        self.decoder = [Block(*parts, True, self.dropout, self.dtype) for _ in range(self.layers)]
        self.decoder_norm = nn.LayerNorm(dtype=self.dtype)

    def __call__(
        self,
        source: jax.Array,
        target: jax.Array,
        *,
        source_mask: jax.Array | None = None,
        train: bool = False,
    ) -> jax.Array:
        annotations, mask = self._read(source, source_mask, train)
        x = self.drop(self._place(self.embed, target), train=train)
        for block in self.decoder:
            x = block(x, causal=True, annotations=annotations, annotations_mask=mask, train=train)
        return self._logits(x)

    def encode(
        self, source: jax.Array, source_mask: jax.Array | None = None, *, train: bool = False
    ) -> Any:
        annotations, mask = self._read(source, source_mask, train)
        shape = (len(source), self.heads, self.max_length, self.features // self.heads)
        past = tuple((jnp.zeros(shape, annotations.dtype),) * 2 for _ in range(self.layers))
        projected = tuple(block.project_annotations(annotations) for block in self.decoder)
        return jnp.zeros(len(source), jnp.int32), past, projected, mask

    def step(self, carry: Any, token: jax.Array) -> tuple[Any, jax.Array]:
        position, past, projected, mask = carry
        # All sequences of a batch, and all beams, are at the same position.
        x, new = self._place(self.embed, token[:, None], position[0]), []
        for block, own_past, annotations in zip(self.decoder, past, projected, strict=True):
            x, own_past = block.step(x, own_past, position, annotations, mask)
            new.append(own_past)
        logits = self._logits(x)[:, 0]
        logits = jnp.where((position < self.max_length)[:, None], logits, jnp.nan)
        return (position + 1, tuple(new), projected, mask), logits

    def _read(self, source, source_mask, train) -> tuple[jax.Array, jax.Array]:
        mask = jnp.ones(source.shape, bool) if source_mask is None else source_mask
        x = self.drop(self._place(self.source_embed, source), train=train)
        for block in self.encoder:
            x = block(x, mask=mask, train=train)
        return self.encoder_norm(x), mask

    def _place(self, embed, tokens, start=0):
        return self.positions(embed(tokens) * self.features**0.5, start=start)

    def _logits(self, x):
        return self.embed.attend(self.decoder_norm(x)).astype(jnp.float32)
