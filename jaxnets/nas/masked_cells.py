"""All recurrent cells of a tree's space as one program, so that many train side by side.

What is combined how, and what follows, is picked by numbers that are data, not code: of every node
both combinations are formed and all four activations of the one that counts. A child is a language
model on characters: embeddings, the cell, a linear layer.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from jaxnets.errors import JaxnetsError
from jaxnets.losses import cross_entropy
from jaxnets.nas.rnn_cell import ACTIVATE, COMBINE, TreeWeights
from jaxnets.nas.space import Architecture, SearchSpace


class MaskedCells:
    """The cells of `rnn_space`, each in a language model on characters.

    Args:
        space: of `rnn_space`.
        units: of the cell, and of the embeddings.
        vocabulary: characters.

    Raises:
        JaxnetsError: another space.

    Source: Zoph, Le, "Neural Architecture Search with Reinforcement Learning", 2017, section 3.4.

    >>> from jaxnets.nas.rnn_cell import lstm_architecture, rnn_space
    >>> cells = MaskedCells(rnn_space(8), units=4, vocabulary=10)
    >>> params = cells.init(jax.random.key(0))
    >>> tokens = jnp.zeros((2, 5), jnp.int32)
    >>> cells.apply(params, jnp.array(lstm_architecture()), tokens).shape
    (2, 5, 10)
    """

    def __init__(self, space: SearchSpace, *, units: int, vocabulary: int):
        if not space.tokens[-1].slot == "memory_in":
            raise JaxnetsError(f"cells are of rnn_space; {space.name} is another space")
        self.space, self.units, self.vocabulary = space, units, vocabulary
        self.nodes = len(space.tokens) // 2 - 2
        self.base = (self.nodes + 1) // 2

    def init(self, key: jax.Array) -> dict[str, Any]:
        """First parameters: matrices of deviation 1/√(inputs), biases 0."""
        keys = jax.random.split(key, 4)
        wide, scale = self.base * self.units, self.units**-0.5
        return {
            "embedding": jax.random.normal(keys[0], (self.vocabulary, self.units)),
            "cell": TreeWeights(
                scale * jax.random.normal(keys[1], (self.units, wide)),
                scale * jax.random.normal(keys[2], (self.units, wide)),
                jnp.zeros(wide),
            ),
            "head": {
                "kernel": scale * jax.random.normal(keys[3], (self.units, self.vocabulary)),
                "bias": jnp.zeros(self.vocabulary),
            },
        }

    def step(
        self, architecture: jax.Array, inputs: jax.Array, h: jax.Array, c: jax.Array, recurrent: Any
    ) -> tuple[jax.Array, jax.Array]:
        """One step of the cell.

        Args:
            architecture: (T,) numbers of the choices.
            inputs: (B, base · units), x W + bias.
            h: (B, units).
            c: (B, units).
            recurrent: (units, base · units), U.

        Returns:
            (h, c), both new.
        """
        kinds, ends = architecture[:-2].reshape(-1, 2), architecture[-2:]
        # A level of the tree at a time, its nodes along the first axis.
        left = _by_leaf(inputs, self.base)
        right = _by_leaf(h @ recurrent, self.base)
        begin, before = 0, []
        while True:
            end = begin + len(left)
            before.append(_combine(kinds[begin:end, 0], left, right))
            value = _activate(kinds[begin:end, 1], before[-1])
            entered = _activate(kinds[-1:, 1], _combine(kinds[-1:, 0], value, c[None]))
            here = (ends[1] == np.arange(begin, end))[:, None, None]
            value = jnp.where(here, entered, value)
            if len(value) == 1:
                return value[0], jnp.concatenate(before)[ends[0]]
            begin, left, right = end, value[0::2], value[1::2]

    def apply(self, params: Any, architecture: jax.Array, tokens: jax.Array) -> jax.Array:
        """Logits (B, T, vocabulary) for the token after each of (B, T)."""
        cell = params["cell"]
        x = params["embedding"][tokens] @ cell.input + cell.bias
        zeros = jnp.zeros((len(tokens), self.units), x.dtype)

        def body(carry, inputs):
            h, c = self.step(architecture, inputs, *carry, cell.recurrent)
            return (h, c), h

        _, outputs = lax.scan(body, (zeros, zeros), jnp.swapaxes(x, 0, 1))
        head = params["head"]
        return jnp.swapaxes(outputs, 0, 1) @ head["kernel"] + head["bias"]

    def train(
        self,
        keys: jax.Array,
        architectures: Sequence[Architecture],
        tokens: jax.Array,
        test_tokens: jax.Array,
        *,
        steps: int,
        batch_size: int = 32,
        length: int = 32,
        learning_rate: float = 1e-2,
    ) -> np.ndarray:
        """Train children side by side in one program and measure them.

        Args:
            keys: one for each child: of its first parameters and its batches.
            architectures: one for each child.
            tokens: (N,), the text.
            test_tokens: (M,), what is measured on.
            steps: updates by Adam, the gradient's norm at most 1, the rate falling to 0 by a
                cosine.
            batch_size: windows of a step.
            length: characters of a window.
            learning_rate: the first one.

        Returns:
            (children,): bits a character on the test text, read in windows; infinite for a child
            that diverged.

        Raises:
            JaxnetsError: a text that is shorter than a window.
        """
        if min(len(tokens), len(test_tokens)) <= length:
            shortest = min(len(tokens), len(test_tokens))
            raise JaxnetsError(
                f"a text of {shortest} characters; expected more than the window of {length}"
            )
        choices = jnp.asarray([self.space.check(one) for one in architectures])
        rows = (len(test_tokens) - 1) // length
        begins = length * np.arange(rows)[:, None] + np.arange(length + 1)
        test = jnp.asarray(np.asarray(test_tokens)[begins])
        sizes = int(steps), int(batch_size), int(length), float(learning_rate)
        nats = np.asarray(_train(keys, choices, jnp.asarray(tokens), test, self, *sizes))
        return np.where(np.isfinite(nats), nats, np.inf) / np.log(2)


def _by_leaf(x: jax.Array, base: int) -> jax.Array:
    """(B, base · units) → (base, B, units)."""
    return jnp.moveaxis(x.reshape(len(x), base, -1), 1, 0)


def _combine(numbers: jax.Array, left: jax.Array, right: jax.Array) -> jax.Array:
    """(n, B, units), each node by its own combination."""
    return _select(numbers, [combine(left, right) for combine in COMBINE.values()])


def _activate(numbers: jax.Array, x: jax.Array) -> jax.Array:
    """(n, B, units), each node by its own activation."""
    return _select(numbers, [activate(x) for activate in ACTIVATE.values()])


def _select(numbers: jax.Array, those: list[jax.Array]) -> jax.Array:
    found = those[0]
    for number, one in enumerate(those[1:], 1):
        found = jnp.where((numbers == number)[:, None, None], one, found)
    return found


@partial(jax.jit, static_argnums=(4, 5, 6, 7, 8))
def _train(keys, choices, tokens, test, cells, steps, batch_size, length, learning_rate):
    rule = optax.chain(
        optax.clip_by_global_norm(1.0),
        optax.adam(optax.cosine_decay_schedule(learning_rate, steps)),
    )

    def loss(params, choice, windows):
        return cross_entropy(cells.apply(params, choice, windows[:, :-1]), windows[:, 1:])

    def one(key, choice):
        params = cells.init(jax.random.fold_in(key, 0))
        keys = jax.random.split(jax.random.fold_in(key, 1), steps)

        def step(carry, key):
            params, state = carry
            begins = jax.random.randint(key, (batch_size, 1), 0, len(tokens) - length)
            windows = tokens[begins + jnp.arange(length + 1)]
            gradient = jax.grad(loss)(params, choice, windows)
            updates, state = rule.update(gradient, state, params)
            return (optax.apply_updates(params, updates), state), None

        (params, _), _ = lax.scan(step, (params, rule.init(params)), keys)
        return loss(params, choice, test)

    return jax.vmap(one)(keys, choices)
