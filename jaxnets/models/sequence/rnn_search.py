"""RNNsearch: a decoder that, before each word, looks again at everything that was read."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxnets.nn import Attend, Dense, Dropout, Maxout, Recurrent
from jaxnets.nn.recurrent import DirectionWeights
from jaxnets.ops.recurrent import project
from jaxnets.ops.recurrent_checks import find_cell


class SearchCell(nn.Module):
    """One step of a decoder with attention: c = attend(s, annotations), s' = cell(y, c, s).

    Attributes:
        features: of the state.
        units: of the hidden layer of additive attention.
        cell: a name of `jaxnets.ops.RECURRENT_CELLS`.
        dtype: compute dtype.

    Call: carry, inputs (B, gates · features), the projected embedding of the word before; keys
    (B, S, units), values (B, S, D) and mask (B, S) of the annotations → (carry, (s before
    (B, features), context (B, D), weights (B, S))). Layers: attend, recurrent.

    >>> import jax, jax.numpy as jnp
    >>> cell, carry = SearchCell(4, 3, "gru"), (jnp.zeros((2, 4)),)
    >>> annotations = jnp.ones((2, 5, 3)), jnp.ones((2, 5, 6)), jnp.ones((2, 5), bool)
    >>> out, _ = cell.init_with_output(jax.random.key(0), carry, jnp.ones((2, 12)), *annotations)
    >>> out[0][0].shape, out[1][2].shape
    ((2, 4), (2, 5))
    """

    features: int
    units: int
    cell: str
    dtype: Any = None

    @nn.compact
    def __call__(self, carry, inputs, keys, values, mask):
        attend = Attend("additive", self.units, False, dtype=self.dtype, name="attend")
        context, weights = attend(carry[0][:, None], keys, values, mask=mask[:, None])
        context, before = context[:, 0], carry[0]
        recurrent = DirectionWeights(self.features, self.cell, name="recurrent")
        own = recurrent(context.shape[-1])
        if self.dtype is not None:
            own = jax.tree.map(lambda leaf: leaf.astype(self.dtype), own)
        projected = project(context.astype(own.input.dtype), own) + inputs
        step = find_cell(self.cell).step
        carry, _ = step(projected, carry, own.recurrent, own.recurrent_bias)
        return carry, (before, context, weights[:, 0])


class RNNSearch(nn.Module):
    """A bidirectional encoder's annotations, additive attention to them, a maxout readout.

    s_0 = tanh(W_s h⃖_1), c_i = attend(s_{i−1}, h), s_i = cell(y_{i−1}, c_i, s_{i−1}),
    p(y_i) = softmax(W_o maxout(U_o s_{i−1} + V_o y_{i−1} + C_o c_i)).

    Attributes:
        source_vocabulary: number of tokens that are read.
        vocabulary: number of tokens that are written, V.
        features: units of each direction of the encoder, of the decoder and of the attention.
        embedding: features of a token's embedding, and of the readout.
        cell: a name of `jaxnets.ops.RECURRENT_CELLS`; the paper's is "gru_reset_before".
        dropout: rate, of embeddings, annotations and readout.
        dtype: compute dtype.

    Call: source (B, S), target (B, T) from its start token on, perhaps source_mask (B, S) → logits
    (B, T, V) float32, teacher forcing. ``encode`` (source, source_mask) → carry and ``step``
    (carry, token (B,)) → (carry, logits (B, V)) are for `jaxnets.ops.greedy` and the like. The maps
    are in the collection "attention", (B, T, S). Needs the rng "dropout" in training where
    ``dropout`` > 0. Layers: source_embed, encoder, start, key, embed, input, search, readout, head.

    Source: Bahdanau et al. 2015 (Neural Machine Translation by Jointly Learning to Align and
    Translate), §3 and §A.

    >>> import jax, jax.numpy as jnp
    >>> model, source = RNNSearch(9, 7, 4, embedding=4), jnp.zeros((2, 5), int)
    >>> logits, _ = model.init_with_output(jax.random.key(0), source, jnp.zeros((2, 3), int))
    >>> logits.shape
    (2, 3, 7)
    """

    source_vocabulary: int
    vocabulary: int
    features: int
    embedding: int
    cell: str = "gru_reset_before"
    dropout: float = 0.0
    dtype: Any = None

    def setup(self):
        self.source_embed = nn.Embed(self.source_vocabulary, self.embedding, dtype=self.dtype)
        self.encoder = Recurrent(self.features, self.cell, bidirectional=True, dtype=self.dtype)
        self.set_up_decoder()

    def set_up_decoder(self):
        kind = find_cell(self.cell)
        self.start = Dense(self.features * kind.states, dtype=self.dtype)
        self.key = Dense(self.features, use_bias=False, dtype=self.dtype)
        self.embed = nn.Embed(self.vocabulary, self.embedding, dtype=self.dtype)
        self.input = Dense(kind.gates * self.features, use_bias=False, dtype=self.dtype)
        self.search = nn.scan(
            SearchCell,
            variable_broadcast="params",
            split_rngs={"params": False},
            in_axes=(1, nn.broadcast, nn.broadcast, nn.broadcast),
            out_axes=1,
        )(self.features, self.features, self.cell, self.dtype)
        self.drop = Dropout(self.dropout)
        self.readout = Maxout(self.embedding, dtype=self.dtype)
        self.head = Dense(self.vocabulary, dtype=self.dtype)

    def __call__(
        self,
        source: jax.Array,
        target: jax.Array,
        *,
        source_mask: jax.Array | None = None,
        train: bool = False,
    ) -> jax.Array:
        return self.decode(self.encode(source, source_mask, train=train), target, train=train)[1]

    def encode(
        self, source: jax.Array, source_mask: jax.Array | None = None, *, train: bool = False
    ) -> Any:
        mask = jnp.ones(source.shape, bool) if source_mask is None else source_mask
        x = self.drop(self.source_embed(source), train=train)
        annotations, ((_, backward),) = self.encoder(x, mask=mask, train=train)
        return self.begin(annotations, backward[0], mask, train)

    def begin(self, annotations, last, mask, train) -> Any:
        """The decoder's carry: its first state, of the backward direction's end at step 1."""
        start = jnp.tanh(self.start(last)).astype(jnp.float32)
        states = tuple(jnp.split(start, find_cell(self.cell).states, -1))
        annotations = self.drop(annotations, train=train)
        return states, (self.key(annotations), annotations, mask)

    def decode(
        self, carry: Any, target: jax.Array, *, train: bool = False
    ) -> tuple[Any, jax.Array]:
        states, annotations = carry
        words = self.drop(self.embed(target), train=train)
        inputs = self.input(words).astype(jnp.float32)
        states, (before, context, weights) = self.search(states, inputs, *annotations)
        if not self.is_initializing():
            self.sow("attention", "weights", weights)
        seen = jnp.concatenate((before.astype(words.dtype), words, context), -1)
        readout = self.drop(self.readout(seen), train=train)
        return (states, annotations), self.head(readout).astype(jnp.float32)

    def step(self, carry: Any, token: jax.Array) -> tuple[Any, jax.Array]:
        carry, logits = self.decode(carry, token[:, None])
        return carry, logits[:, 0]
