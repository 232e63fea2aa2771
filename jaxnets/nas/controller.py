"""The controller: an LSTM that writes an architecture, one token after the other.

Skip connections are written by attention over earlier layers' anchor points,

    P(layer j is an input of layer i) = sigmoid(vᵀ tanh(W_prev h_j + W_curr h_i)).

All of a layer's skips are drawn at one step of the LSTM, its anchor point.

Source: Zoph, Le, "Neural Architecture Search with Reinforcement Learning", 2017, section 3.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxnets.nas.space import SearchSpace
from jaxnets.ops.recurrent import RecurrentWeights, recurrent_step


class Written(NamedTuple):
    """Architectures that a controller wrote, or was asked about.

    Attributes:
        tokens: (B, T), int32.
        log_probs: (B,), log P of each.
        entropies: (B,), Σ over tokens of the entropy of their distributions.

    >>> Written(jnp.zeros((2, 3)), jnp.zeros(2), jnp.zeros(2)).tokens.shape
    (2, 3)
    """

    tokens: jax.Array
    log_probs: jax.Array
    entropies: jax.Array


class _Plan(NamedTuple):
    """A space as arrays over tokens."""

    slot: np.ndarray
    allowed: np.ndarray  # (T, K)
    layer: np.ndarray
    source: np.ndarray
    advance: np.ndarray  # whether the LSTM makes a step
    anchor: np.ndarray  # whether the layer's state is remembered here


def _plan(space: SearchSpace) -> tuple[_Plan, int, int]:
    slots = list(dict.fromkeys(token.slot for token in space.tokens))
    most = max(space.sizes)
    allowed = np.arange(most) < np.array(space.sizes)[:, None]
    source = np.array([token.source for token in space.tokens], np.int32)
    layer = np.array([token.layer for token in space.tokens], np.int32)
    first = np.ones(len(layer), bool)
    first[1:] = layer[1:] != layer[:-1]
    advance = (source < 0) | first | (np.roll(source, 1) < 0)
    slot = np.array([slots.index(token.slot) for token in space.tokens], np.int32)
    return _Plan(slot, allowed, layer, source, advance, first), len(slots), most


def init_controller(
    key: jax.Array, space: SearchSpace, *, hidden: int = 35, layers: int = 2, scale: float = 0.08
) -> dict[str, Any]:
    """First parameters of a controller, all uniform.

    Args:
        key: of the numbers.
        space: what it writes.
        hidden: units of each layer of the LSTM.
        layers: of the LSTM.
        scale: of U(−scale, scale).

    Returns:
        Nested dict of float32 arrays.

    Source: Zoph, Le, 2017, section 4.1: two layers of 35 units, U(−0.08, 0.08).

    >>> from jaxnets.nas.space import macro_space
    >>> sorted(init_controller(jax.random.key(0), macro_space()))
    ['anchor', 'embedding', 'lstm', 'output', 'start']
    """
    _, slots, most = _plan(space)
    shapes: dict[str, Any] = {
        "start": (hidden,),
        "embedding": (slots, most, hidden),
        "lstm": [
            {
                "input": (hidden, 4 * hidden),
                "recurrent": (hidden, 4 * hidden),
                "bias": (4 * hidden,),
            }
            for _ in range(layers)
        ],
        "output": {"kernel": (slots, hidden, most), "bias": (slots, most)},
        "anchor": {"previous": (hidden, hidden), "current": (hidden, hidden), "v": (hidden,)},
    }
    leaves, tree = jax.tree.flatten(shapes, is_leaf=lambda x: isinstance(x, tuple))
    keys = jax.random.split(key, len(leaves))
    drawn = [
        jax.random.uniform(k, shape, minval=-scale, maxval=scale)
        for k, shape in zip(keys, leaves, strict=True)
    ]
    return jax.tree.unflatten(tree, drawn)


@partial(jax.jit, static_argnames=("space", "count"))
def write(key: jax.Array, params: Any, *, space: SearchSpace, count: int) -> Written:
    """Draw architectures.

    Args:
        key: of the drawing.
        params: of the controller.
        space: what it writes.
        count: B.

    Returns:
        `Written`.

    >>> from jaxnets.nas.space import macro_space
    >>> params = init_controller(jax.random.key(0), macro_space())
    >>> write(jax.random.key(1), params, space=macro_space(), count=5).tokens.shape
    (5, 8)
    """
    return _run(params, space, count, key, None)


@partial(jax.jit, static_argnames=("space",))
def read(params: Any, tokens: jax.Array, *, space: SearchSpace) -> Written:
    """How likely given architectures are; differentiable in the parameters.

    Args:
        params: of the controller.
        tokens: (B, T).
        space: what it writes.

    Returns:
        `Written`.

    >>> from jaxnets.nas.space import SearchSpace, Token
    >>> space = SearchSpace("one", (Token("a", (0, 1)),))
    >>> params = init_controller(jax.random.key(0), space)
    >>> found = read(params, jnp.array([[0], [1]]), space=space)
    >>> round(float(jnp.exp(found.log_probs).sum()), 5)
    1.0
    """
    return _run(params, space, len(tokens), None, tokens)


def _run(params, space: SearchSpace, count: int, key, tokens) -> Written:
    plan, _, _ = _plan(space)
    hidden = params["start"].shape[0]
    weights = [RecurrentWeights(w["input"], w["recurrent"], w["bias"]) for w in params["lstm"]]
    zeros = jnp.zeros((count, hidden))
    layers = int(plan.layer.max()) + 1
    start = (
        [(zeros, zeros) for _ in weights],
        zeros,
        jnp.broadcast_to(params["start"], (count, hidden)),
        jnp.zeros((count, layers, hidden)),
    )
    anchor = params["anchor"]

    def step(carry, inputs):
        states, top, x, memory = carry
        slot, allowed, layer, source, advance, first, key, forced = inputs
        new, h = [], x
        for w, state in zip(weights, states, strict=True):
            h, after = recurrent_step("lstm", h, w, state)
            new.append(after)
        states = jax.tree.map(lambda a, b: jnp.where(advance, a, b), new, states)
        top = jnp.where(advance, h, top)
        memory = jnp.where(first, memory.at[:, layer].set(top), memory)
        logits = jnp.einsum("bh,hk->bk", top, params["output"]["kernel"][slot])
        logits += params["output"]["bias"][slot]
        before = memory[:, jnp.maximum(source, 0)]
        meet = jnp.tanh(before @ anchor["previous"] + top @ anchor["current"]) @ anchor["v"]
        skip = jnp.zeros_like(logits).at[:, 1].set(meet) if logits.shape[1] > 1 else logits
        logits = jnp.where(source >= 0, skip, logits)
        logits = jnp.where(allowed, logits, -jnp.inf)
        log_p = jax.nn.log_softmax(logits)
        token = forced if key is None else jax.random.categorical(key, logits)
        own = jnp.take_along_axis(log_p, token[:, None], 1)[:, 0]
        # 0 · log 0 = 0, with a derivative of 0 too.
        safe = jnp.where(allowed, log_p, 0.0)
        entropy = -(jnp.exp(safe) * safe * allowed).sum(-1)
        x = jnp.where(advance | (source < 0), params["embedding"][slot, token], x)
        return (states, top, x, memory), (token.astype(jnp.int32), own, entropy)

    steps = len(space.tokens)
    keys = None if key is None else jax.random.split(key, steps)
    given = None if tokens is None else jnp.asarray(tokens, jnp.int32).T
    inputs = (*(jnp.asarray(part) for part in plan), keys, given)
    _, (written, log_probs, entropies) = lax.scan(step, start, inputs)
    return Written(written.T, log_probs.sum(0), entropies.sum(0))
