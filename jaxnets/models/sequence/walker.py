"""Listen, attend and walk: words are read, attended to, and turned into actions in a world."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxnets.data.text import END
from jaxnets.data.worlds import ACTION_TOKENS, World
from jaxnets.nn import Attend, Dense, Dropout, Recurrent
from jaxnets.nn.recurrent import DirectionWeights
from jaxnets.ops.recurrent import recurrent_step


class WalkCell(nn.Module):
    """One action: move by the one before, look, attend to the words, update, decide.

    Attributes:
        features: of the decoder's state.
        world: the `jaxnets.data.worlds.World`.
        dropout: rate, of the decoder's output.
        train: whether there is dropout.
        dtype: compute dtype.

    Call: carry (h, c, pose (B,)), action before (B,), keys (B, S, units), words (B, S, D), mask
    (B, S) → (carry, (logits (B, actions), weights (B, S))). Layers: look, attend, recurrent,
    from_world, from_state, from_words, head.

    >>> import jax, jax.numpy as jnp
    >>> from jaxnets.data.sail import made_up_walks
    >>> cell, state = WalkCell(4, made_up_walks(1)[0]), jnp.ones((2, 4))
    >>> carry = state, state, jnp.array([0, 7])
    >>> words = jnp.ones((2, 3, 4)), jnp.ones((2, 3, 5)), jnp.ones((2, 3), bool)
    >>> out, _ = cell.init_with_output(jax.random.key(0), carry, jnp.array([4, 5]), *words)
    >>> out[1][0].shape
    (2, 7)
    """

    features: int
    world: World
    dropout: float = 0.0
    train: bool = False
    dtype: Any = None

    @nn.compact
    def __call__(self, carry, action, keys, words, mask):
        *state, pose = carry
        pose = jnp.asarray(self.world.moves)[pose, action]
        seen = jnp.asarray(self.world.sight)[pose]
        seen = Dense(self.features, use_bias=False, dtype=self.dtype, name="look")(seen)
        attend = Attend("additive", self.features, False, dtype=self.dtype, name="attend")
        context, weights = attend(state[0][:, None], keys, words, mask=mask[:, None])
        inputs = jnp.concatenate((context[:, 0], seen), -1)
        own = DirectionWeights(self.features, "lstm", name="recurrent")(inputs.shape[-1])
        _, state = recurrent_step("lstm", inputs, own, tuple(state))
        hidden = Dropout(self.dropout, name="drop")(state[0], train=self.train)
        parts = {"from_world": seen, "from_state": hidden, "from_words": context[:, 0]}
        deep = sum(
            Dense(self.features, dtype=self.dtype, name=name)(x) for name, x in parts.items()
        )
        logits = Dense(ACTION_TOKENS, dtype=self.dtype, name="head")(deep)
        return (*state, pose), (logits.astype(jnp.float32), weights[:, 0])


class Walker(nn.Module):
    """A bidirectional LSTM over the words, an aligner over words and states, an LSTM that walks.

    z_t = Σ_j a_tj (x_j, h_j); s_t = lstm(z_t, y_t, s_{t−1}) with y_t what is seen;
    p(action) = softmax(L_o (L_y y_t + L_s s_t + L_z z_t)).

    Attributes:
        source_vocabulary: number of words.
        features: of each direction of the encoder, of embeddings and of the decoder.
        world: the `jaxnets.data.worlds.World`; it is no parameter, and another one may be walked
            with the same parameters.
        dropout: rate, of embeddings, words and the decoder's output.
        dtype: compute dtype.

    Call: source (B, S), pose (B,) at the start, target (B, T) from the start token on, perhaps
    source_mask (B, S) → logits (B, T, `jaxnets.data.worlds.ACTION_TOKENS`). ``encode`` (source,
    pose, source_mask) → carry and ``step`` (carry, token (B,)) → (carry, logits) walk freely: the
    carry knows where the walk has led. The maps are in the collection "attention". Needs the rng
    "dropout" in training where ``dropout`` > 0. Layers: embed, encoder, start, key, walk.

    Source: Mei et al. 2016 (Listen, Attend, and Walk: Neural Mapping of Navigational Instructions
    to Action Sequences), §4.

    >>> import jax, jax.numpy as jnp
    >>> from jaxnets.data.sail import made_up_walks
    >>> model, source = Walker(9, 4, made_up_walks(1)[0]), jnp.zeros((2, 5), int)
    >>> start, target = jnp.array([0, 7]), jnp.array([[1, 4], [1, 5]])
    >>> model.init_with_output(jax.random.key(0), source, start, target)[0].shape
    (2, 2, 7)
    """

    source_vocabulary: int
    features: int
    world: World
    dropout: float = 0.0
    dtype: Any = None

    @nn.nowrap
    def _cell(self, train: bool):
        scanned = nn.scan(
            WalkCell,
            variable_broadcast="params",
            split_rngs={"params": False, "dropout": True},
            in_axes=(1, nn.broadcast, nn.broadcast, nn.broadcast),
            out_axes=1,
        )
        return scanned(self.features, self.world, self.dropout, train, self.dtype, name="walk")

    @nn.compact
    def __call__(
        self,
        source: jax.Array | None,
        pose: jax.Array | None,
        target: jax.Array | None,
        *,
        source_mask: jax.Array | None = None,
        train: bool = False,
        carry: Any = None,
    ) -> Any:
        alone = carry is None
        if carry is None:
            mask = jnp.ones(source.shape, bool) if source_mask is None else source_mask
            drop = Dropout(self.dropout, name="drop")
            embed = nn.Embed(self.source_vocabulary, self.features, dtype=self.dtype, name="embed")
            x = drop(embed(source), train=train)
            encoder = Recurrent(self.features, bidirectional=True, dtype=self.dtype, name="encoder")
            states, ((_, backward),) = encoder(x, mask=mask, train=train)
            words = drop(jnp.concatenate((x, states), -1), train=train)
            start = Dense(2 * self.features, dtype=self.dtype, name="start")(backward[0])
            h, c = jnp.split(jnp.tanh(start).astype(jnp.float32), 2, -1)
            keys = Dense(self.features, use_bias=False, dtype=self.dtype, name="key")(words)
            carry = (h, c, pose), (keys, words, mask)
            if target is None:
                return carry
        state, read = carry
        state, (logits, weights) = self._cell(train)(state, target, *read)
        if not self.is_initializing():
            self.sow("attention", "weights", weights)
        return logits if alone else ((state, read), logits)

    def encode(self, source, pose, source_mask=None, *, train: bool = False) -> Any:
        return self(source, pose, None, source_mask=source_mask, train=train)

    def step(self, carry: Any, token: jax.Array) -> tuple[Any, jax.Array]:
        carry, logits = self(None, None, token[:, None], carry=carry)
        # Only actions and the stop can be said.
        able = jnp.arange(ACTION_TOKENS) > END + 1
        able = able.at[END].set(True)
        return carry, jnp.where(able, logits[:, 0], -jnp.inf)
