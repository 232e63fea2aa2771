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
        features: units of each layer, and of the embeddings.
        cell: a name of `jaxnets.ops.RECURRENT_CELLS`.
        layers: of encoder and decoder.
        dropout: rate, of embeddings, between the layers and of the last one's outputs.
        dtype: compute dtype.

    Call: source (B, S), target (B, T) from its start token on, perhaps source_mask (B, S) → logits
    (B, T, V) float32, teacher forcing. Padding of the source changes nothing. ``encode`` (source,
    mask) → carry and ``step`` (carry, token (B,)) → (carry, logits (B, V)) are for
    `jaxnets.ops.greedy` and the like. Needs the rng "dropout" in training where ``dropout`` > 0.
    Layers: source_embed, encoder, embed, decoder, head.

    Source: Cho et al. 2014 (Learning Phrase Representations using RNN Encoder-Decoder), §2.2;
    Sutskever et al. 2014 (Sequence to Sequence Learning with Neural Networks), §2.

    >>> import jax, jax.numpy as jnp
    >>> model, source = EncoderDecoder(9, 7, 4, cell="gru"), jnp.zeros((2, 5), int)
    >>> logits, _ = model.init_with_output(jax.random.key(0), source, jnp.zeros((2, 3), int))
    >>> logits.shape
    (2, 3, 7)
    """

    source_vocabulary: int
    vocabulary: int
    features: int
    cell: str = "lstm"
    layers: int = 1
    dropout: float = 0.0
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
        self.source_embed = nn.Embed(self.source_vocabulary, self.features, dtype=self.dtype)
        self.encoder = Recurrent(**fields)
        self.embed = nn.Embed(self.vocabulary, self.features, dtype=self.dtype)
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
        self, source: jax.Array, mask: jax.Array | None = None, *, train: bool = False
    ) -> Any:
        x = self.drop(self.source_embed(source), train=train)
        return self.encoder(x, mask=mask, train=train)[1]

    def decode(
        self, carry: Any, target: jax.Array, *, train: bool = False
    ) -> tuple[Any, jax.Array]:
        x = self.drop(self.embed(target), train=train)
        x, carry = self.decoder(x, carry, train=train)
        return carry, self.head(self.drop(x, train=train)).astype(jnp.float32)

    def step(self, carry: Any, token: jax.Array) -> tuple[Any, jax.Array]:
        carry, logits = self.decode(carry, token[:, None])
        return carry, logits[:, 0]
