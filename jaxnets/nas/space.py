"""Search spaces as data: a sequence of choices, and what each of them means.

An architecture is a tuple of whole numbers, one a token, each below the number of its values.
"""

import math
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from jaxnets.errors import JaxnetsError

Architecture = tuple[int, ...]


class Token(NamedTuple):
    """One choice.

    Attributes:
        slot: what is chosen; tokens of one slot share a controller's weights.
        values: what there is to choose from.
        layer: which layer it belongs to.
        source: of a skip connection, the layer that it comes from; else −1.

    >>> Token("width", (8, 16)).values[1]
    16
    """

    slot: str
    values: tuple[Any, ...]
    layer: int = 0
    source: int = -1


class SearchSpace(NamedTuple):
    """A sequence of choices.

    Attributes:
        name: of the space.
        tokens: the choices, in the order in which they are made.

    >>> space = SearchSpace("two", (Token("a", ("x", "y")), Token("b", (1, 2, 3))))
    >>> space.size, space.decode((1, 2))
    (6, ('y', 3))
    """

    name: str
    tokens: tuple[Token, ...]

    @property
    def sizes(self) -> tuple[int, ...]:
        """The number of values of each token."""
        return tuple(len(token.values) for token in self.tokens)

    @property
    def size(self) -> int:
        """The number of architectures."""
        return math.prod(self.sizes)

    def check(self, architecture: Sequence[int]) -> Architecture:
        """The architecture as a tuple, or a `JaxnetsError` that names what is out of the space."""
        found = tuple(architecture)
        if len(found) != len(self.tokens):
            raise JaxnetsError(
                f"space {self.name}: an architecture has {len(self.tokens)} numbers, "
                f"got {len(found)}"
            )
        for place, (value, token) in enumerate(zip(found, self.tokens, strict=True)):
            if value != int(value) or not 0 <= value < len(token.values):
                raise JaxnetsError(
                    f"space {self.name}: number {place} ({token.slot}) is {value}, expected 0 to "
                    f"{len(token.values) - 1}, which mean {', '.join(map(str, token.values))}"
                )
        return tuple(int(value) for value in found)

    def decode(self, architecture: Sequence[int]) -> tuple[Any, ...]:
        """What the numbers mean."""
        pairs = zip(self.check(architecture), self.tokens, strict=True)
        return tuple(token.values[value] for value, token in pairs)

    def to_text(self, architecture: Sequence[int]) -> str:
        """Digits, without commas where all are below 10: "22212202"."""
        found = self.check(architecture)
        return ("" if max(self.sizes, default=0) <= 10 else ",").join(map(str, found))

    def from_text(self, text: str) -> Architecture:
        """The architecture of `to_text`, or a `JaxnetsError`."""
        parts = text.split(",") if "," in text or max(self.sizes, default=0) > 10 else [*text]
        if not all(part.strip().isdecimal() for part in parts):
            raise JaxnetsError(
                f"space {self.name}: {text!r} is no architecture; expected {len(self.tokens)} "
                "numbers, such as " + self.to_text([0] * len(self.tokens))
            )
        return self.check([int(part) for part in parts])

    def draw(self, random: np.random.Generator) -> Architecture:
        """One architecture, all equally likely."""
        return tuple(int(random.integers(size)) for size in self.sizes)

    def mutate(self, random: np.random.Generator, architecture: Architecture) -> Architecture:
        """Another value for one token that has more than one, drawn at random."""
        places = [place for place, size in enumerate(self.sizes) if size > 1]
        place = places[int(random.integers(len(places)))]
        other = int(random.integers(self.sizes[place] - 1))
        changed = list(architecture)
        changed[place] = other + (other >= architecture[place])
        return tuple(changed)

    def all(self) -> Iterator[Architecture]:
        """Every architecture, the last token varying fastest."""
        return product(*(range(size) for size in self.sizes))


def conv_space(
    layers: int,
    *,
    heights: Sequence[int] = (1, 3, 5, 7),
    widths: Sequence[int] = (1, 3, 5, 7),
    filters: Sequence[int] = (24, 36, 48, 64),
    strides: Sequence[int] = (1,),
    skips: bool = True,
) -> SearchSpace:
    """Convolutional networks: height, width, strides and number of filters of each layer.

    Before them stands a layer's anchor point, which says of each earlier layer whether it is an
    input.

    Args:
        layers: number of convolutions.
        heights: of filters.
        widths: of filters.
        filters: numbers of filters.
        strides: of both axes; with one value there is no token for them.
        skips: whether there are anchor points; else each layer sees the one before.

    Returns:
        The space.

    Raises:
        JaxnetsError: no layers.

    Source: Zoph, Le, "Neural Architecture Search with Reinforcement Learning", 2017, sections 3.3
    and 4.1.

    >>> [token.slot for token in conv_space(2).tokens]
    ['height', 'width', 'filters', 'skip', 'height', 'width', 'filters']
    """
    if layers < 1:
        raise JaxnetsError(f"conv_space needs at least one layer, got {layers}")
    tokens = []
    for layer in range(layers):
        if skips:
            tokens += [Token("skip", (False, True), layer, source) for source in range(layer)]
        tokens += [Token("height", tuple(heights), layer), Token("width", tuple(widths), layer)]
        if len(strides) > 1:
            tokens += [Token(f"stride_{axis}", tuple(strides), layer) for axis in ("h", "w")]
        tokens.append(Token("filters", tuple(filters), layer))
    return SearchSpace(f"conv{layers}", tuple(tokens))


def macro_space(layers: int = 8) -> SearchSpace:
    """NAS-Bench-Macro: identity or one of two inverted residual blocks in each of eight layers.

    Args:
        layers: number of layers.

    Returns:
        The space.

    Source: Su et al., "Prioritized Architecture Sampling with Monte-Carlo Tree Search", 2021.

    >>> macro_space().size
    6561
    """
    blocks = ("identity", "mb3_k3", "mb6_k5")
    return SearchSpace("macro", tuple(Token(f"layer{i}", blocks, i) for i in range(layers)))
