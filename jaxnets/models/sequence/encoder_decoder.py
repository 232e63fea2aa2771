"""Sequence to sequence: a recurrent network reads, its last state starts another that writes."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxnets.nn import Dense, Dropout, Recurrent


class EncoderDecoder(nn.Module):
    """The encoder's final state is the decoder's first one; the decoder is a language model.

    Attributes:
        source_vocabulary: number of tokens that are read.
        vocabulary: number of tokens that are written, V.
        features: units of each layer.
        embedding: features of a token's embedding; ``features`` where None.
        cell: a name of `jaxnets.ops.RECURRENT_CELLS`.
        layers: of encoder and decoder.
        dropout: rate, of embeddings, between the layers and of the last one's outputs.
        reverse_source: read each source from its last token to its first.
        dtype: compute dtype.

    Call: source (B, S), target (B, T) from its start token on, perhaps source_mask (B, S) → logits
    (B, T, V) float32, teacher forcing. Padding of the source changes nothing. ``encode`` (source,
    source_mask) → carry and ``step`` (carry, token (B,)) → (carry, logits (B, V)) are for
    `jaxnets.ops.greedy` and the like. Needs the rng "dropout" in training where ``dropout`` > 0.
    Layers: source_embed, encoder, embed, decoder, head.

    Source: Cho et al. 2014 (Learning Phrase Representations using RNN Encoder-Decoder), §2.2;
    Sutskever et al. 2014 (Sequence to Sequence Learning with Neural Networks), §2, and §3.3 for
    the reversed source.

    >>> import jax, jax.numpy as jnp
    >>> model, source = EncoderDecoder(9, 7, 4, cell="gru"), jnp.zeros((2, 5), int)
    >>> logits, _ = model.init_with_output(jax.random.key(0), source, jnp.zeros((2, 3), int))
    >>> logits.shape
    (2, 3, 7)
    """

    source_vocabulary: int
    vocabulary: int
    features: int
    embedding: int | None = None
    cell: str = "lstm"
    layers: int = 1
    dropout: float = 0.0
    reverse_source: bool = False
    dtype: Any = None

    def setup(self):
        fields: dict[str, Any] = {
            "features": self.features,
            "cell": self.cell,
            "layers": self.layers,
            "dropout": self.dropout,
            "recurrent_bias": self.cell == "gru",
            "dtype": self.dtype,
        }
        size = self.embedding or self.features
        self.source_embed = nn.Embed(self.source_vocabulary, size, dtype=self.dtype)
        self.encoder = Recurrent(**fields)
        self.embed = nn.Embed(self.vocabulary, size, dtype=self.dtype)
        self.decoder = Recurrent(**fields)
        self.drop = Dropout(self.dropout)
        self.head = Dense(self.vocabulary, dtype=self.dtype)

    def __call__(
        self,
        source: jax.Array,
        target: jax.Array,
        *,
        source_mask: jax.Array | None = None,
        train: bool = False,
    ) -> jax.Array:
        carry = self.encode(source, source_mask, train=train)
        return self.decode(carry, target, train=train)[1]

    def encode(
        self, source: jax.Array, source_mask: jax.Array | None = None, *, train: bool = False
    ) -> Any:
        if self.reverse_source:
            source = reverse_within_length(source, source_mask)
        x = self.drop(self.source_embed(source), train=train)
        return self.encoder(x, mask=source_mask, train=train)[1]

    def decode(
        self, carry: Any, target: jax.Array, *, train: bool = False
    ) -> tuple[Any, jax.Array]:
        x = self.drop(self.embed(target), train=train)
        x, carry = self.decoder(x, carry, train=train)
        return carry, self.head(self.drop(x, train=train)).astype(jnp.float32)

    def step(self, carry: Any, token: jax.Array) -> tuple[Any, jax.Array]:
        carry, logits = self.decode(carry, token[:, None])
        return carry, logits[:, 0]


def reverse_within_length(tokens: jax.Array, mask: jax.Array | None = None) -> jax.Array:
    """Sequences from their last token to their first; padding behind them stays where it is.

    Args:
        tokens: (B, T).
        mask: (B, T) booleans, True where there is a token; all where None.

    Returns:
        (B, T).

    >>> import jax.numpy as jnp
    >>> mask = jnp.array([[True, True, False]])
    >>> reverse_within_length(jnp.array([[5, 6, 0]]), mask).tolist()
    [[6, 5, 0]]
    """
    if mask is None:
        return tokens[:, ::-1]
    steps = jnp.arange(tokens.shape[1])[None]
    last = mask.sum(1, keepdims=True) - 1
    return jnp.take_along_axis(tokens, jnp.where(mask, last - steps, steps), 1)
