"""Two networks that answer a question about a picture: spatial memory, and glimpses."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxnets.nn import Attend, Conv, Dense, Dropout, Recurrent
from jaxnets.ops import relu


class PictureGrid(nn.Module):
    """A few convolutions that keep places apart: a picture becomes a grid of features.

    Attributes:
        widths: channels of each stage: a 3×3 convolution with stride 2 (5×5 in the first), and a
            3×3 one.
        dtype: compute dtype.

    Call: pictures (B, H, W, C) → (B, H / 2^stages, W / 2^stages, widths[-1]).

    >>> import jax, jax.numpy as jnp
    >>> grid, _ = PictureGrid((4, 6)).init_with_output(jax.random.key(0), jnp.ones((1, 16, 16, 3)))
    >>> grid.shape
    (1, 4, 4, 6)
    """

    widths: Sequence[int] = (32, 48, 64)
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        for number, width in enumerate(self.widths):
            side = 3 if number else 5
            down = Conv(
                width,
                (side, side),
                strides=2,
                padding=side // 2,
                dtype=self.dtype,
                name=f"down{number}",
            )
            same = Conv(width, (3, 3), padding=1, dtype=self.dtype, name=f"same{number}")
            x = relu(same(relu(down(x))))
        return x


class SpatialMemory(nn.Module):
    """SMem-VQA: the words choose places, the places are evidence, evidence and question answer.

    Places s_j (L of them), words v_i (T): weights a = softmax_j max_i v_i · (W_A s_j + b_A),
    evidence e = Σ_j a_j (W_E s_j + b_E), question q = Σ_i w_i v_i + b_q;
    p(answer) = softmax(W_P relu(e + q) + b_P). With a second hop, o = e + q asks once more:
    a' = softmax_j o · (W_E s_j + b_E), e' = Σ_j a'_j (W_E' s_j + b_E'), and o + e' in place of o.

    Attributes:
        vocabulary: number of words.
        answers: number of answers.
        features: of words and of both embeddings of places.
        longest: words of a question at most, T; each position has a weight w_i.
        hops: 1 or 2.
        dropout: rate, of words, places and what the answer is read from.
        see: a module from pictures to grids (B, h, w, M), which learns with the rest, or None for
            grids that are given.
        dtype: compute dtype.

    Call: image (pictures or grids), tokens (B, T), perhaps token_mask (B, T) → logits
    (B, answers) float32. Several questions about each picture may stand behind each other, and the
    picture is seen once. The maps are in the collection "attention", (B, 1, h · w), one a hop.
    Needs the rng "dropout" in training where ``dropout`` > 0. Layers: see, embed, match, evidence0,
    evidence1, hop0, hop1, head; parameters ``word_weights`` (T,), ``word_bias`` (features,).

    Source: Xu & Saenko 2016 (Ask, Attend and Answer: Exploring Question-Guided Spatial Attention
    for Visual Question Answering), §3.

    >>> import jax, jax.numpy as jnp
    >>> model, grids = SpatialMemory(9, 3, 4, longest=5), jnp.ones((2, 3, 3, 6))
    >>> model.init_with_output(jax.random.key(0), grids, jnp.ones((2, 5), int))[0].shape
    (2, 3)
    """

    vocabulary: int
    answers: int
    features: int
    longest: int
    hops: int = 1
    dropout: float = 0.0
    see: nn.Module | None = None
    dtype: Any = None

    @nn.compact
    def __call__(
        self,
        image: jax.Array,
        tokens: jax.Array,
        *,
        token_mask: jax.Array | None = None,
        train: bool = False,
    ) -> jax.Array:
        if self.hops not in (1, 2):
            raise ValueError(f"hops: got {self.hops}; expected 1 or 2")
        if tokens.shape[1] > self.longest:
            raise ValueError(f"tokens: got {tokens.shape[1]}; expected at most {self.longest}")
        drop = Dropout(self.dropout, name="drop")
        mask = jnp.ones(tokens.shape, bool) if token_mask is None else token_mask
        places = places_of(image if self.see is None else self.see(image), len(tokens))
        places = drop(places, train=train)
        embed = nn.Embed(self.vocabulary, self.features, dtype=self.dtype, name="embed")
        words = drop(embed(tokens), train=train)
        words = jnp.where(mask[..., None], words, jnp.zeros_like(words))

        position = self.param("word_weights", nn.initializers.ones, (self.longest,))
        bias = self.param("word_bias", nn.initializers.zeros, (self.features,))
        weights = position[: tokens.shape[1]].astype(words.dtype)
        question = jnp.einsum("btn,t->bn", words, weights) + bias.astype(words.dtype)

        match = Dense(self.features, dtype=self.dtype, name="match")(places)
        evidence = Dense(self.features, dtype=self.dtype, name="evidence0")(places)
        hop = Attend("best_word", dtype=self.dtype, name="hop0")
        found, _ = hop(words, match, evidence, mask=mask[..., None])
        said = question + found[:, 0]
        if self.hops == 2:
            more = Dense(self.features, dtype=self.dtype, name="evidence1")(places)
            hop = Attend("dot", dtype=self.dtype, name="hop1")
            found, _ = hop(said[:, None], evidence, more)
            said = said + found[:, 0]
        said = drop(relu(said), train=train)
        return Dense(self.answers, dtype=self.dtype, name="head")(said).astype(jnp.float32)


class GlimpseAnswerer(nn.Module):
    """Show, ask, attend, and answer: an LSTM reads, glimpses look, two layers answer.

    s = LSTM(tanh(embedding)), φ_l the features of a place, divided by their length; for each
    glimpse a = softmax_l u · relu(W s + V φ_l), x = Σ_l a_l φ_l;
    p(answer) = softmax(W_2 relu(W_1 [x_1, …, x_G, s])).

    Attributes:
        vocabulary: number of words.
        answers: number of answers; the paper has 3,000.
        features: of the LSTM.
        embedding: of a word.
        units: of the hidden layer of the attention.
        hidden: of the hidden layer before the answer.
        glimpses: G.
        dropout: rate, of every layer's inputs.
        see: as in `SpatialMemory`.
        dtype: compute dtype.

    Call: as `SpatialMemory`. The map is (B, G, h · w). The sizes are the paper's; on grids of 2,048
    features, from ResNet-152, there are 15,324,602 parameters and 300 for each word.

    Source: Kazemi & Elqursh 2017 (Show, Ask, Attend, and Answer: A Strong Baseline For Visual
    Question Answering), §3.

    >>> import jax, jax.numpy as jnp
    >>> model, grids = GlimpseAnswerer(9, 3, 4, 5, 6, 7), jnp.ones((2, 3, 3, 6))
    >>> model.init_with_output(jax.random.key(0), grids, jnp.ones((2, 5), int))[0].shape
    (2, 3)
    """

    vocabulary: int
    answers: int
    features: int = 1024
    embedding: int = 300
    units: int = 512
    hidden: int = 1024
    glimpses: int = 2
    dropout: float = 0.5
    see: nn.Module | None = None
    dtype: Any = None

    @nn.compact
    def __call__(
        self,
        image: jax.Array,
        tokens: jax.Array,
        *,
        token_mask: jax.Array | None = None,
        train: bool = False,
    ) -> jax.Array:
        drop = Dropout(self.dropout, name="drop")
        mask = jnp.ones(tokens.shape, bool) if token_mask is None else token_mask
        places = places_of(image if self.see is None else self.see(image), len(tokens))
        places = places / jnp.sqrt(jnp.sum(places**2, -1, keepdims=True) + 1e-8)
        embed = nn.Embed(self.vocabulary, self.embedding, dtype=self.dtype, name="embed")
        words = jnp.tanh(drop(embed(tokens), train=train))
        read = Recurrent(self.features, recurrent_bias=True, dtype=self.dtype, name="read")
        _, (state,) = read(words, mask=mask)
        question = state[0]

        attend = Attend(
            "additive", self.units, glimpses=self.glimpses, activation=relu, dtype=self.dtype,
            name="attend",
        )  # fmt: skip
        # Dropout on what the weights are computed from, not on what is looked at.
        asked, seen = drop(question, train=train), drop(places, train=train)
        glimpses, _ = attend(asked[:, None], seen, places)
        joined = jnp.concatenate((glimpses.reshape(len(glimpses), -1), question), -1)
        hidden = Dense(self.hidden, dtype=self.dtype, name="hidden")(drop(joined, train=train))
        head = Dense(self.answers, dtype=self.dtype, name="head")
        return head(drop(relu(hidden), train=train)).astype(jnp.float32)


def places_of(grid: jax.Array, questions: int) -> jax.Array:
    """A grid's places as a sequence, once for each question.

    Args:
        grid: (B, h, w, M), or (B, L, M).
        questions: B, or a multiple of it: as many about each picture, behind each other.

    Returns:
        (questions, h · w, M).

    Raises:
        ValueError: a number of questions that is no multiple.

    >>> import jax.numpy as jnp
    >>> places_of(jnp.ones((2, 3, 4, 5)), 6).shape
    (6, 12, 5)
    """
    if questions % len(grid):
        raise ValueError(
            f"tokens: got {questions} questions about {len(grid)} pictures; expected as many about "
            "each"
        )
    places = grid.reshape(len(grid), -1, grid.shape[-1])
    return jnp.repeat(places, questions // len(grid), 0)
