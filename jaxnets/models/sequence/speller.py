"""Listen, attend and spell: a pyramid of recurrent layers hears, a decoder spells."""

from typing import Any

import jax
import jax.numpy as jnp

from jaxnets.models.sequence.rnn_search import RNNSearch
from jaxnets.nn import Recurrent


class Speller(RNNSearch):
    """`RNNSearch` whose encoder hears: each layer of it reads pairs of steps of the one below.

    h^j_i = BLSTM(h^j_{i−1}, [h^{j−1}_{2i}, h^{j−1}_{2i+1}]): ``pyramid`` layers make one step of
    2^pyramid.

    Attributes:
        source_vocabulary: features of a step of sound.
        vocabulary, features, embedding, cell, dropout, dtype: as in `RNNSearch`.
        pyramid: layers that halve the steps; the paper has one plain layer below three of them.

    Call: source (B, S, source_vocabulary) and the rest as there; an odd step at the end is paired
    with silence. Layers: listen_0 …, start, key, embed, input, search, readout, head.

    Source: Chan et al. 2016 (Listen, Attend and Spell), §3.

    >>> import jax, jax.numpy as jnp
    >>> model, sound = Speller(3, 7, 4, embedding=4, cell="lstm"), jnp.ones((2, 17, 3))
    >>> logits, _ = model.init_with_output(jax.random.key(0), sound, jnp.zeros((2, 3), int))
    >>> logits.shape
    (2, 3, 7)
    """

    pyramid: int = 3

    def setup(self):
        self.listen = [
            Recurrent(self.features, self.cell, bidirectional=True, dtype=self.dtype)
            for _ in range(self.pyramid)
        ]
        self.set_up_decoder()

    def encode(
        self, source: jax.Array, source_mask: jax.Array | None = None, *, train: bool = False
    ) -> Any:
        mask = jnp.ones(source.shape[:2], bool) if source_mask is None else source_mask
        x, backward = source, None
        for layer in self.listen:
            x, mask = pair_steps(x, mask)
            x, ((_, backward),) = layer(self.drop(x, train=train), mask=mask, train=train)
        return self.begin(x, backward[0], mask, train)


def pair_steps(x: jax.Array, mask: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Each two steps side by side as one; what is hidden counts as 0.

    Args:
        x: (B, T, D).
        mask: (B, T) booleans.

    Returns:
        (x (B, ⌈T / 2⌉, 2 D), mask (B, ⌈T / 2⌉): True where one of the two is there).

    >>> import jax.numpy as jnp
    >>> pairs, mask = pair_steps(jnp.array([[[1], [2], [3]]]), jnp.array([[True, False, False]]))
    >>> pairs.tolist(), mask.tolist()
    ([[[1, 0], [0, 0]]], [[True, False]])
    """
    odd = x.shape[1] % 2
    x = jnp.where(mask[..., None], x, jnp.zeros_like(x))
    x = jnp.pad(x, ((0, 0), (0, odd), (0, 0)))
    mask = jnp.pad(mask, ((0, 0), (0, odd)))
    return x.reshape(len(x), -1, 2 * x.shape[2]), mask.reshape(len(x), -1, 2).any(-1)
