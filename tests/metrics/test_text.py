"""Measures of text against figures of their papers and of the libraries' own documentation."""

import math
import random
import sys

import pytest

from jaxnets import metrics
from jaxnets.errors import JaxnetsError


def test_bleu_is_that_of_its_definition():
    hypotheses = ["the cat sat on a mat today", "a dog"]
    references = ["the cat sat on the mat", "a dog barks"]
    # n-grams in common over n-grams written: 7 of 9, 4 of 7, 2 of 5, 1 of 4; 9 words for 9.
    expected = 100 * math.exp(sum(map(math.log, (7 / 9, 4 / 7, 2 / 5, 1 / 4))) / 4)
    found = metrics.corpus_bleu(hypotheses, references, tokenize="none")
    assert found.score == pytest.approx(expected, abs=1e-9)
    assert found.precisions == pytest.approx((700 / 9, 400 / 7, 40.0, 25.0))
    assert "tok:none" in found.signature and "nrefs:1" in found.signature
    assert metrics.corpus_bleu(["A b c d"], ["a b c d"], lowercase=True).score == pytest.approx(100)


def test_more_references_are_taken_together():
    one = metrics.corpus_bleu(["a dog runs here"], [["a dog runs here", "a cat"]])
    assert one.score == pytest.approx(100) and "nrefs:2" in one.signature


def distance(a, b):
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, start=1):
        before, row[0] = row[0], i
        for j, y in enumerate(b, start=1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (x != y))
    return row[-1]


def test_error_rates_are_edits_over_what_was_said():
    draw = random.Random(0)
    texts = [
        " ".join(draw.choices(["one", "two", "six", "ten"], k=draw.randint(1, 6)))
        for _ in range(20)
    ]
    said, heard = texts[:10], texts[10:]
    words = sum(distance(h.split(), s.split()) for h, s in zip(heard, said, strict=True))
    total = sum(len(s.split()) for s in said)
    assert metrics.word_error_rate(heard, said) == pytest.approx(words / total)
    letters = sum(distance(h, s) for h, s in zip(heard, said, strict=True))
    assert metrics.character_error_rate(heard, said) == pytest.approx(letters / sum(map(len, said)))


def test_cider_is_counted_by_hand():
    """Two pictures, so that idf is log 2 of an n-gram that one of them has, and 0 of "a"."""
    # Of "a red cat" one of two words that weigh, "red", and one of two pairs are in "a red dog": a
    # cosine of 1/2 each, no triple, and no text has four words. A text of its own: 1, 1, 1 and 0.
    first, second = 10 * (1 / 2 + 1 / 2 + 0 + 0) / 4, 10 * (1 + 1 + 1 + 0) / 4
    found = metrics.cider(["a red cat", "a blue bird"], ["a red dog", "a blue bird"])
    assert found == pytest.approx((first + second) / 2, rel=1e-9)
    # References are averaged over: the second one has nothing in common.
    several = [["a red dog", "tall trees here"], ["a blue bird"]]
    found = metrics.cider(["a red cat", "a blue bird"], several)
    assert found == pytest.approx((first / 2 + second) / 2, rel=1e-9)
    # One word too few: cosines √½, √½, 0, 0 times exp(−1/72). "red" twice counts once: 1 / (2 √2).
    short = 10 * math.exp(-1 / 72) * 2 * math.sqrt(1 / 2) / 4
    found = metrics.cider(["a red", "a blue bird"], ["a red dog", "a blue bird"])
    assert found == pytest.approx((short + second) / 2, rel=1e-9)
    twice = 10 * (1 / (2 * math.sqrt(2)) + 0 + 0 + 0) / 4
    found = metrics.cider(["red red", "a blue bird"], ["red dog", "a blue bird"])
    assert found == pytest.approx((twice + second) / 2, rel=1e-9)
    found = metrics.cider(["", "a blue bird"], ["a red dog", "a blue bird"])
    assert found == pytest.approx(second / 2, rel=1e-9)


@pytest.mark.parametrize(
    ("package", "call"),
    [
        ("pycocoevalcap", lambda: metrics.cider(["a"], ["a"])),
        ("sacrebleu", lambda: metrics.corpus_bleu(["a"], ["a"])),
        ("jiwer", lambda: metrics.word_error_rate(["a"], ["a"])),
    ],
)
def test_a_library_that_is_missing_is_named(package, call, monkeypatch):
    for name in [n for n in sys.modules if n.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(JaxnetsError, match=rf"needs {package}: pip install 'jaxnets\["):
        call()


def test_vqa_accuracy_is_the_challenges():
    people = ["Yes."] * 4 + ["no"] * 6
    assert metrics.vqa_accuracy("yes", people) == 1.0
    assert metrics.vqa_accuracy("the yes", people) == 1.0
    for matches, wanted in enumerate((0.0, 0.3, 0.6, 0.9, 1.0, 1.0)):
        answers = ["two"] * matches + ["three"] * (10 - matches)
        assert metrics.vqa_accuracy("two", answers) == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: metrics.corpus_bleu([], []), "got 0 for 0 hypotheses"),
        (lambda: metrics.corpus_bleu(["a", "b"], [["a"], ["a", "b"]]), "as many each"),
        (lambda: metrics.word_error_rate(["a"], []), "got 1 for 0 references"),
        (lambda: metrics.word_error_rate(["a"], [" "]), r"references\[0\]: is empty"),
        (lambda: metrics.cider([], []), "got 0 for 0 hypotheses"),
        (lambda: metrics.cider(["a", "b"], [["a"], [" "]]), r"references\[1\]: got no words"),
        (lambda: metrics.vqa_accuracy("a", ["a"]), "got 1; expected at least two"),
    ],
)
def test_bad_input_is_said_in_a_sentence(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()
