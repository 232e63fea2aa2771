"""Attention maps as pictures: what is drawn is what was given, and what does not fit is refused."""

import numpy as np
import pytest

from jaxnets.study.attention_figures import draw_attention

WEIGHTS = np.random.default_rng(0).random((3, 4))


def test_one_map_is_drawn_with_its_words():
    figure = draw_attention(WEIGHTS, queries="abc", keys="wxyz")
    (axes,) = figure.axes
    np.testing.assert_array_equal(axes.images[0].get_array(), WEIGHTS.astype(np.float32))
    assert [t.get_text() for t in axes.get_xticklabels()] == list("wxyz")
    assert [t.get_text() for t in axes.get_yticklabels()] == list("abc")


def test_each_head_and_each_query_over_a_picture_has_a_panel():
    assert len(draw_attention(np.stack([WEIGHTS] * 5)).axes) == 5
    figure = draw_attention(WEIGHTS, queries="abc", keys=np.zeros((8, 8, 3)), grid=(2, 2))
    assert [axes.get_title() for axes in figure.axes] == list("abc")
    drawn = figure.axes[1].images[1].get_array()
    np.testing.assert_array_equal(drawn, WEIGHTS[1].reshape(2, 2).astype(np.float32))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"queries": "ab"}, "2 names for 3 queries"),
        ({"keys": "ab"}, "2 names for 4 keys"),
        ({"grid": (3, 2)}, "grid: got"),
    ],
)
def test_what_does_not_fit_is_refused(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        draw_attention(WEIGHTS, **options)
    with pytest.raises(ValueError, match="expected"):
        draw_attention(WEIGHTS[0])
