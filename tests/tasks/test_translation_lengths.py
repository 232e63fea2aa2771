"""BLEU of sentences of similar length."""

import numpy as np
import pytest

from jaxnets.errors import JaxnetsError
from jaxnets.metrics import corpus_bleu
from jaxnets.tasks.translation_lengths import bleu_by_length, draw_length_curves


def test_groups_hold_every_pair_once_and_their_own_bleu():
    draw = np.random.default_rng(0)
    counts = draw.integers(4, 16, 60)
    sources = [" ".join(["x"] * n) for n in counts]
    targets = [" ".join(map(str, draw.integers(0, 9, n))) for n in counts]
    # Words are wrong behind the eighth: short sentences are whole.
    made = [
        " ".join([*text.split()[:8], *["?"] * (n - 8)])
        for text, n in zip(targets, counts, strict=True)
    ]
    found = bleu_by_length(made, (sources, targets), parts=4, tokenize="none")
    assert sum(group["pairs"] for group in found) == 60 and len(found) == 4
    words = [group["words"] for group in found]
    assert words == sorted(words) and found[0]["bleu"] == pytest.approx(100)
    scores = [group["bleu"] for group in found]
    assert scores == sorted(scores, reverse=True) and scores[-1] < 70
    # The last group is what is longer than three quarters are.
    last = counts > np.quantile(counts, 0.75, method="higher")
    own = [np.array(side)[last].tolist() for side in (made, targets)]
    assert found[-1]["bleu"] == pytest.approx(corpus_bleu(*own, tokenize="none").score)
    figure = draw_length_curves({"a": found, "b": found[:2]})
    assert [len(line.get_xdata()) for line in figure.axes[0].lines] == [4, 2]


def test_sentences_of_one_length_are_one_group():
    (group,) = bleu_by_length(["a b c d"] * 3, (["x"] * 3, ["a b c d"] * 3), parts=5)
    assert group["pairs"] == 3 and group["words"] == 1.0


def test_translations_of_other_sentences_are_refused():
    with pytest.raises(JaxnetsError, match="got 1 translations for 2 pairs"):
        bleu_by_length(["a"], (["x", "y"], ["a", "b"]))
