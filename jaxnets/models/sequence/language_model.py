"""A recurrent language model: which token comes next."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxnets.nn import Dense, Dropout, Recurrent
from jaxnets.ops.recurrent_cells import RECURRENT_CELLS


class LanguageModel(nn.Module):
    """logits_t = W h_t + b, h = recurrent layers over the embedded tokens.

    Attributes:
        vocabulary: number of tokens, V.
        features: units of each layer.
        embedding: features of a token's embedding; ``features`` where None.
        cell: a name of `jaxnets.ops.RECURRENT_CELLS`.
        layers: on top of each other.
        dropout: rate, of the embeddings, between the layers and of the last one's outputs.
        dtype: compute dtype.

    Call: tokens (B, T), perhaps carry and mask (B, T) → (logits (B, T, V) float32, carry): those at
    t are about token t + 1. ``step`` (carry, token (B,)) → (carry, logits (B, V)) is what
    `jaxnets.ops.greedy`, `sample` and `beam_search` take; ``start`` gives a fresh carry. Needs the
    rng "dropout" in training where ``dropout`` > 0. Layers: embed, recurrent, head.

    Source: Mikolov et al. 2010 (Recurrent Neural Network Based Language Model); over characters:
    Graves 2013 (Generating Sequences With Recurrent Neural Networks), §3.

    >>> import jax, jax.numpy as jnp
    >>> model, tokens = LanguageModel(9, 4), jnp.zeros((2, 5), int)
    >>> (logits, carry), variables = model.init_with_output(jax.random.key(0), tokens)
    >>> carry, logits = model.apply(variables, carry, tokens[:, 0], method="step")
    >>> logits.shape
    (2, 9)
    """

    vocabulary: int
    features: int
    embedding: int | None = None
    cell: str = "lstm"
    layers: int = 1
    dropout: float = 0.0
    dtype: Any = None

    def setup(self):
        self.embed = nn.Embed(self.vocabulary, self.embedding or self.features, dtype=self.dtype)
        self.recurrent = Recurrent(
            self.features,
            self.cell,
            layers=self.layers,
            dropout=self.dropout,
            recurrent_bias=self.cell == "gru",
            dtype=self.dtype,
        )
        self.drop = Dropout(self.dropout)
        self.head = Dense(self.vocabulary, dtype=self.dtype)

    def __call__(
        self,
        tokens: jax.Array,
        carry: Any = None,
        *,
        mask: jax.Array | None = None,
        train: bool = False,
    ) -> tuple[jax.Array, Any]:
        x = self.drop(self.embed(tokens), train=train)
        x, carry = self.recurrent(x, carry, mask=mask, train=train)
        return self.head(self.drop(x, train=train)).astype(jnp.float32), carry

    def step(self, carry: Any, token: jax.Array) -> tuple[Any, jax.Array]:
        logits, carry = self(token[:, None], carry)
        return carry, logits[:, 0]

    def start(self, batch: int) -> Any:
        zeros = jnp.zeros((batch, self.features), jnp.float32)
        return ((zeros,) * RECURRENT_CELLS[self.cell].states,) * self.layers
