"""Two networks that describe a picture: one reads it first, one looks at it before each word."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxnets.nn import Attend, Dense, Dropout, Recurrent
from jaxnets.nn.recurrent import DirectionWeights
from jaxnets.ops.recurrent import recurrent_step


class Captioner(nn.Module):
    """An LSTM whose first input is the picture, and whose others are the words so far.

    x_{−1} = W_p mean_l a_l, x_t = E y_t, (h_t, c_t) = LSTM(x_t, h_{t−1}, c_{t−1}),
    p(y_{t+1}) = softmax(W h_t).

    Attributes:
        vocabulary: number of words.
        features: of the LSTM.
        embedding: of a word, and of the picture.
        dropout: rate, of inputs and outputs.
        dtype: compute dtype.

    Call: source (B, L, D), the features of a picture's places, target (B, T) from the start token
    on → logits (B, T, vocabulary) float32. ``encode`` (source) → carry and ``step`` (carry, token)
    → (carry, logits) decode. Needs the rng "dropout" in training where ``dropout`` > 0. Layers:
    picture, embed, recurrent, head.

    Source: Vinyals et al. 2015 (Show and Tell), §3.1; Karpathy & Fei-Fei 2015, §3.2.

    >>> import jax, jax.numpy as jnp
    >>> model, places = Captioner(7, 4, 3), jnp.ones((2, 5, 6))
    >>> model.init_with_output(jax.random.key(0), places, jnp.ones((2, 3), int))[0].shape
    (2, 3, 7)
    """

    vocabulary: int
    features: int
    embedding: int
    dropout: float = 0.0
    dtype: Any = None

    def setup(self):
        self.picture = Dense(self.embedding, dtype=self.dtype)
        self.embed = nn.Embed(self.vocabulary, self.embedding, dtype=self.dtype)
        self.recurrent = Recurrent(self.features, dtype=self.dtype)
        self.drop = Dropout(self.dropout)
        self.head = Dense(self.vocabulary, dtype=self.dtype)

    def __call__(self, source: jax.Array, target: jax.Array, *, train: bool = False) -> jax.Array:
        return self.decode(self.encode(source, train=train), target, train=train)[1]

    def encode(self, source: jax.Array, *, train: bool = False) -> Any:
        picture = self.drop(self.picture(source.mean(1)), train=train)
        return self.recurrent(picture[:, None])[1]

    def decode(self, carry: Any, target: jax.Array, *, train: bool = False) -> Any:
        words = self.drop(self.embed(target), train=train)
        states, carry = self.recurrent(words, carry)
        return carry, self.head(self.drop(states, train=train)).astype(jnp.float32)

    def step(self, carry: Any, token: jax.Array) -> tuple[Any, jax.Array]:
        carry, logits = self.decode(carry, token[:, None])
        return carry, logits[:, 0]


class LookCell(nn.Module):
    """One word of `AttendingCaptioner`: look, gate what is seen, update the state.

    Attributes:
        features: of the state, and of the hidden layer of the attention.
        hard: whether one place is looked at, which training draws, instead of their mean.
        soft_share: with ``hard``, how often training takes the mean nevertheless.
        train: whether places are drawn.
        dtype: compute dtype.

    Call: carry (h, c), word (B, E), keys (B, L, features), places (B, L, D) → (carry, (h (B,
    features), seen (B, D), weights (B, L), log-probability (B,) of the place that was drawn, 0
    where none was)). Draws from the rng "dropout". Layers: attend, gate, recurrent.

    >>> import jax, jax.numpy as jnp
    >>> cell, state, places = LookCell(4), jnp.ones((2, 4)), jnp.ones((2, 5, 3))
    >>> inputs = (state, state), jnp.ones((2, 6)), jnp.ones((2, 5, 4)), places
    >>> cell.init_with_output(jax.random.key(0), *inputs)[0][1][1].shape
    (2, 3)
    """

    features: int
    hard: bool = False
    soft_share: float = 0.5
    train: bool = False
    dtype: Any = None

    @nn.compact
    def __call__(self, carry, word, keys, places):
        h = carry[0]
        attend = Attend("additive", self.features, False, dtype=self.dtype, name="attend")
        seen, weights = attend(h[:, None], keys, places)
        seen, weights = seen[:, 0], weights[:, 0]
        chance = jnp.zeros(len(seen), jnp.float32)
        if self.hard:
            log_weights = jnp.log(jnp.maximum(weights.astype(jnp.float32), 1e-30))
            place = log_weights.argmax(-1)
            drawn = jnp.ones(len(seen), bool)
            if self.train:
                place_key, share_key = jax.random.split(self.make_rng("dropout"))
                place = jax.random.categorical(place_key, log_weights)
                drawn = ~jax.random.bernoulli(share_key, self.soft_share, drawn.shape)
                chance = jnp.take_along_axis(log_weights, place[:, None], -1)[:, 0]
                chance = jnp.where(drawn, chance, 0.0)
            one = jnp.take_along_axis(places, place[:, None, None], 1)[:, 0]
            seen = jnp.where(drawn[:, None], one, seen)
        gate = nn.sigmoid(Dense(1, dtype=self.dtype, name="gate")(h))
        seen = gate.astype(seen.dtype) * seen
        inputs = jnp.concatenate((word, seen), -1)
        own = DirectionWeights(self.features, "lstm", name="recurrent")(inputs.shape[-1])
        _, carry = recurrent_step("lstm", inputs, own, tuple(carry))
        return carry, (carry[0], seen, weights, chance)


class AttendingCaptioner(nn.Module):
    """Show, attend and tell: before each word the decoder looks at the places of the picture.

    h_0, c_0 = tanh(W mean_l a_l); α_t = softmax_l of additive scores of h_{t−1} and a_l;
    z_t = β_t Σ_l α_tl a_l with the gate β_t = σ(w·h_{t−1}), or, hard, β_t a_s with s ~ α_t;
    h_t = LSTM([E y_{t−1}, z_t], h_{t−1}); p(y_t) = softmax(L_o (E y_{t−1} + L_h h_t + L_z z_t)).

    Attributes:
        vocabulary: number of words.
        features: of the LSTM and of the hidden layer of the attention.
        embedding: of a word.
        hard, soft_share: see `LookCell`; decoding looks at the likeliest place.
        dropout: rate, of words, places and what the word is read from.
        dtype: compute dtype.

    Call, ``encode`` and ``step`` as `Captioner`. The maps (B, T, L) are in the collection
    "attention", the log-probabilities (B, T) of the places that were drawn in "choices". Layers:
    start, key, embed, look, from_state, from_picture, head.

    Source: Xu et al. 2015 (Show, Attend and Tell: Neural Image Caption Generation with Visual
    Attention), §3 and §4.

    >>> import jax, jax.numpy as jnp
    >>> model, places = AttendingCaptioner(7, 4, 3), jnp.ones((2, 5, 6))
    >>> model.init_with_output(jax.random.key(0), places, jnp.ones((2, 3), int))[0].shape
    (2, 3, 7)
    """

    vocabulary: int
    features: int
    embedding: int
    hard: bool = False
    soft_share: float = 0.5
    dropout: float = 0.0
    dtype: Any = None

    @nn.nowrap
    def _cell(self, train: bool):
        scanned = nn.scan(
            LookCell,
            variable_broadcast="params",
            split_rngs={"params": False, "dropout": True},
            in_axes=(1, nn.broadcast, nn.broadcast),
            out_axes=1,
        )
        return scanned(self.features, self.hard, self.soft_share, train, self.dtype, name="look")

    @nn.compact
    def __call__(
        self,
        source: jax.Array | None,
        target: jax.Array | None,
        *,
        train: bool = False,
        carry: Any = None,
    ) -> Any:
        alone, drop = carry is None, Dropout(self.dropout, name="drop")
        if carry is None:
            start = Dense(2 * self.features, dtype=self.dtype, name="start")(source.mean(1))
            state = jnp.split(jnp.tanh(start).astype(jnp.float32), 2, -1)
            places = drop(source, train=train)
            keys = Dense(self.features, use_bias=False, dtype=self.dtype, name="key")(places)
            carry = tuple(state), (keys, places)
            if target is None:
                return carry
        state, read = carry
        embed = nn.Embed(self.vocabulary, self.embedding, dtype=self.dtype, name="embed")
        words = drop(embed(target), train=train)
        state, (hidden, seen, weights, chance) = self._cell(train)(state, words, *read)
        if not self.is_initializing():
            self.sow("attention", "weights", weights)
            self.sow("choices", "log_probability", chance)
        parts = {"from_state": drop(hidden, train=train), "from_picture": seen}
        deep = words + sum(
            Dense(self.embedding, dtype=self.dtype, name=name)(x) for name, x in parts.items()
        )
        head = Dense(self.vocabulary, dtype=self.dtype, name="head")
        logits = head(drop(jnp.tanh(deep), train=train)).astype(jnp.float32)
        return logits if alone else ((state, read), logits)

    def encode(self, source: jax.Array, *, train: bool = False) -> Any:
        return self(source, None, train=train)

    def step(self, carry: Any, token: jax.Array) -> tuple[Any, jax.Array]:
        carry, logits = self(None, token[:, None], carry=carry)
        return carry, logits[:, 0]
