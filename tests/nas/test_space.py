"""Spaces as data: sizes, texts, changes of one token, and what is out of them."""

import numpy as np
import pytest

from jaxnets.errors import JaxnetsError
from jaxnets.nas import SearchSpace, Token, conv_space, macro_space, rnn_space

SPACES = [macro_space(), conv_space(3, strides=(1, 2)), rnn_space(4), conv_space(2, skips=False)]


@pytest.mark.parametrize("space", SPACES, ids=lambda s: s.name)
def test_drawn_mutated_and_written_architectures_are_in_the_space(space):
    random = np.random.default_rng(0)
    for _ in range(30):
        one = space.draw(random)
        other = space.mutate(random, one)
        assert sum(a != b for a, b in zip(one, other, strict=True)) == 1
        for found in (one, other):
            assert space.check(found) == found
            assert space.from_text(space.to_text(found)) == found
            assert len(space.decode(found)) == len(space.tokens)


def test_every_value_is_drawn_and_reached():
    space = SearchSpace("x", (Token("a", (1, 2, 3)), Token("b", ("p",))))
    random = np.random.default_rng(0)
    assert {space.draw(random)[0] for _ in range(50)} == {0, 1, 2}
    assert {space.mutate(random, (1, 0)) for _ in range(50)} == {(0, 0), (2, 0)}
    assert list(space.all()) == [(0, 0), (1, 0), (2, 0)] and space.size == 3


def test_the_spaces_of_the_papers():
    assert macro_space().size == 6561
    # 4 heights, 4 widths, 4 numbers of filters, 15 layers and all their skips.
    assert conv_space(15).size == 64**15 * 2 ** (15 * 14 // 2)
    assert rnn_space().size == (2 * 4) ** 15 * 8 * 15**2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("2221220", "has 8 numbers, got 7"),
        ("22212203", r"number 7 \(layer7\) is 3, expected 0 to 2, which mean identity, mb3_k3"),
        ("2221220x", "no architecture"),
        ("", "has 8 numbers, got 0"),
        ("0,0,0,0,0,0,0,-1", "no architecture"),
    ],
)
def test_what_is_out_of_the_space_is_refused(text, message):
    with pytest.raises(JaxnetsError, match=message):
        macro_space().from_text(text)


def test_spaces_that_cannot_be():
    with pytest.raises(JaxnetsError, match="at least one layer"):
        conv_space(0)
    with pytest.raises(JaxnetsError, match="power of two"):
        rnn_space(6)
