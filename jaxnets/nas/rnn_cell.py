"""Recurrent cells as trees: how leaves meet, what follows, and where the memory goes in and out.

A tree of base b has b leaves and b − 1 nodes above them. A leaf is φ((x W + bias) ∘ (h U)), where ∘
is a sum or a product; a node is φ(left ∘ right). At one node the memory c enters, φ'(a ∘' c), and
the new memory is what another node has before its activation. The last node is the new h.

Source: Zoph, Le, "Neural Architecture Search with Reinforcement Learning", 2017, section 3.4.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jaxnets.errors import JaxnetsError
from jaxnets.nas.space import Architecture, SearchSpace, Token
from jaxnets.ops.recurrent import RecurrentWeights

COMBINE = {"add": jnp.add, "mul": jnp.multiply}
ACTIVATE = {
    "identity": lambda x: x,
    "tanh": jnp.tanh,
    "sigmoid": jax.nn.sigmoid,
    "relu": jax.nn.relu,
}


class TreeCell(NamedTuple):
    """A cell, decoded.

    Attributes:
        nodes: (combination, activation) of the leaves, then of the nodes level by level.
        inject: (combination, activation) of the memory's entry.
        out: the node whose value before its activation is the new memory.
        into: the node that the memory enters.

    >>> TreeCell((("add", "tanh"),), ("add", "relu"), 0, 0).base
    1
    """

    nodes: tuple[tuple[str, str], ...]
    inject: tuple[str, str]
    out: int
    into: int

    @property
    def base(self) -> int:
        """The number of leaves."""
        return (len(self.nodes) + 1) // 2


class TreeWeights(NamedTuple):
    """Weights of a cell of base b.

    Attributes:
        input: (d, b · h), W of the leaves side by side.
        recurrent: (h, b · h), U.
        bias: (b · h,), added to x W.

    >>> TreeWeights(jnp.ones((2, 24)), jnp.ones((3, 24)), jnp.ones(24)).recurrent.shape
    (3, 24)
    """

    input: jax.Array
    recurrent: jax.Array
    bias: jax.Array


def rnn_space(base: int = 8) -> SearchSpace:
    """All cells whose tree has so many leaves.

    Args:
        base: a power of two.

    Returns:
        The space: two tokens a node, two for the memory's entry, and the two nodes.

    Raises:
        JaxnetsError: another base.

    Source: Zoph, Le, 2017, section 4.2: base 8, {add, mul} and {identity, tanh, sigmoid, relu}.

    >>> len(rnn_space().tokens)
    34
    """
    if base < 2 or base & (base - 1):
        raise JaxnetsError(f"the base of a tree is a power of two, 2 or more; got {base}")
    nodes = 2 * base - 1
    combine, activate = tuple(COMBINE), tuple(ACTIVATE)
    tokens = []
    for node in range(nodes):
        tokens += [Token("combine", combine, node), Token("activate", activate, node)]
    tokens += [Token("inject_combine", combine, nodes), Token("inject_activate", activate, nodes)]
    indices = tuple(range(nodes))
    tokens += [Token("memory_out", indices, nodes), Token("memory_in", indices, nodes)]
    return SearchSpace(f"rnn{base}", tuple(tokens))


def decode_cell(space: SearchSpace, architecture: Sequence[int]) -> TreeCell:
    """The cell of an architecture.

    Args:
        space: of `rnn_space`.
        architecture: one of it.

    Returns:
        `TreeCell`.

    Raises:
        JaxnetsError: an architecture out of the space.

    >>> space = rnn_space(2)
    >>> decode_cell(space, (0, 1, 1, 3, 1, 2, 0, 3, 1, 0)).nodes
    (('add', 'tanh'), ('mul', 'relu'), ('mul', 'sigmoid'))
    """
    values = space.decode(architecture)
    pairs: Any = list(zip(values[0::2], values[1::2], strict=True))
    return TreeCell(tuple(pairs[:-2]), pairs[-2], *pairs[-1])


def tree_step(
    cell: TreeCell, x: jax.Array, h: jax.Array, c: jax.Array, weights: TreeWeights
) -> tuple[jax.Array, jax.Array]:
    """One step of a cell.

    Args:
        cell: of `decode_cell`.
        x: (B, d).
        h: (B, units).
        c: (B, units), the memory.
        weights: of the leaves.

    Returns:
        (h, c), both new.

    Source: Zoph, Le, 2017, section 3.4 and figure 5, whose example the tests follow.

    >>> cell = TreeCell((("add", "identity"),) * 3, ("add", "identity"), 0, 1)
    >>> one = jnp.ones((1, 1))
    >>> weights = TreeWeights(jnp.ones((1, 2)), jnp.ones((1, 2)), jnp.zeros(2))
    >>> h, c = tree_step(cell, one, one, 5 * one, weights)
    >>> h.item(), c.item()  # (1 + 1) + (1 + 1 + 5), and the first leaf
    (9.0, 2.0)
    """
    base = cell.base
    inputs = jnp.split(x @ weights.input + weights.bias, base, -1)
    states = jnp.split(h @ weights.recurrent, base, -1)
    level: list[jax.Array] = []
    before: list[jax.Array] = []
    pairs = list(zip(inputs, states, strict=True))
    while pairs:
        level = []
        for left, right in pairs:
            node = len(before)
            combine, activate = cell.nodes[node]
            before.append(COMBINE[combine](left, right))
            value = ACTIVATE[activate](before[node])
            if node == cell.into:
                value = ACTIVATE[cell.inject[1]](COMBINE[cell.inject[0]](value, c))
            level.append(value)
        pairs = list(zip(level[0::2], level[1::2], strict=False))
    return level[0], before[cell.out]


def tree_recurrent(
    cell: TreeCell, x: jax.Array, weights: TreeWeights
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    """A cell over a batch of sequences, from zeros.

    Args:
        cell: of `decode_cell`.
        x: (B, T, d).
        weights: of the leaves.

    Returns:
        (outputs (B, T, units), (h, c) at the end).

    >>> cell = decode_cell(rnn_space(8), lstm_architecture())
    >>> weights = TreeWeights(jnp.zeros((2, 8)), jnp.zeros((1, 8)), jnp.zeros(8))
    >>> tree_recurrent(cell, jnp.ones((3, 4, 2)), weights)[0].shape
    (3, 4, 1)
    """
    zeros = jnp.zeros((x.shape[0], weights.recurrent.shape[0]), x.dtype)

    def body(carry, now):
        h, c = tree_step(cell, now, *carry, weights)
        return (h, c), h

    end, outputs = lax.scan(body, (zeros, zeros), jnp.swapaxes(x, 0, 1))
    return jnp.swapaxes(outputs, 0, 1), end


# Leaves of the LSTM's tree: i, g, f, nothing, o, nothing, nothing, nothing; a leaf of zero weights
# is tanh(0) = 0, and a sum with it changes nothing.
_LEAVES = ("sigmoid", "tanh", "sigmoid", "tanh", "sigmoid", "tanh", "tanh", "tanh")
_GATES = {0: 0, 1: 2, 2: 1, 4: 3}  # leaf → place among i, f, g, o


def lstm_architecture() -> Architecture:
    """The LSTM as an architecture of `rnn_space(8)`.

    i ∘ g and f ∘ c + 0 meet in the node that is the new memory; its tanh is multiplied by o.

    Returns:
        34 numbers.

    Source: Hochreiter, Schmidhuber, 1997, in the space of Zoph, Le, 2017.

    >>> decode_cell(rnn_space(8), lstm_architecture()).out
    12
    """
    add, mul = 0, 1
    names = list(ACTIVATE)
    identity, tanh = names.index("identity"), names.index("tanh")
    tokens: list[int] = []
    for name in _LEAVES:
        tokens += [add, names.index(name)]
    tokens += [mul, identity]  # 8: i ∘ g
    tokens += [add, identity]  # 9: f ∘ c + 0
    tokens += [add, identity] * 2  # 10: o + 0; 11: 0
    tokens += [add, tanh]  # 12: the new memory and its tanh
    tokens += [add, identity]  # 13: o
    tokens += [mul, identity]  # 14: h
    return (*tokens, mul, identity, 12, 2)


def lstm_tree_weights(weights: RecurrentWeights) -> TreeWeights:
    """An LSTM's weights as those of its tree.

    Args:
        weights: of `jaxnets.ops.recurrent` with the cell "lstm": columns i, f, g, o.

    Returns:
        `TreeWeights` of base 8, zero for the four leaves that the LSTM does not need.

    >>> plain = RecurrentWeights(jnp.ones((2, 12)), jnp.ones((3, 12)), jnp.ones(12))
    >>> lstm_tree_weights(plain).input.shape
    (2, 24)
    """

    def spread(array):
        gates = jnp.split(array, 4, -1)
        nothing = jnp.zeros_like(gates[0])
        return jnp.concatenate(
            [gates[_GATES[leaf]] if leaf in _GATES else nothing for leaf in range(8)], -1
        )

    bias = weights.bias
    if bias is None:
        bias = jnp.zeros(weights.input.shape[-1], weights.input.dtype)
    return TreeWeights(spread(weights.input), spread(weights.recurrent), spread(bias))
