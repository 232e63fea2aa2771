"""Measures of written text, by the libraries that papers report: sacreBLEU, jiwer, pycocoevalcap.

All are extras (``pip install 'jaxnets[text]'``, of captions ``'jaxnets[captions]'``) that are
imported when they are needed.
"""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from jaxnets.errors import JaxnetsError


class Bleu(NamedTuple):
    """BLEU of a corpus.

    Attributes:
        score: 0 to 100.
        precisions: of 1- to 4-grams, in per cent.
        brevity_penalty: at most 1.
        signature: how it was computed, in sacreBLEU's words; two scores are comparable where
            their signatures are equal.

    >>> Bleu(25.0, (60.0, 32.0, 19.0, 12.0), 1.0, "nrefs:1|…").score
    25.0
    """

    score: float
    precisions: tuple[float, ...]
    brevity_penalty: float
    signature: str


def corpus_bleu(
    hypotheses: Sequence[str],
    references: Sequence[str] | Sequence[Sequence[str]],
    *,
    tokenize: str = "13a",
    lowercase: bool = False,
    order: int = 4,
) -> Bleu:
    """BLEU by sacreBLEU: brevity penalty · exp(mean over n of log precision of n-grams).

    Args:
        hypotheses: (N,) what was written.
        references: (N,) texts; or for each hypothesis several, as many for each.
        tokenize: sacreBLEU's tokenizer; "none" for text with spaces between all tokens.
        lowercase: ignore case.
        order: n-grams up to this length.

    Returns:
        `Bleu`.

    Raises:
        JaxnetsError: sacreBLEU is not installed.
        ValueError: no hypotheses, or not as many references.

    Source: Papineni et al. 2002; Post 2018 (A Call for Clarity in Reporting BLEU Scores).

    >>> found = corpus_bleu(["a dog runs in the snow"], ["a dog runs in the deep snow"])
    >>> round(found.score, 1), found.signature.split("|")[0]
    (67.3, 'nrefs:1')
    """
    if not hypotheses or len(hypotheses) != len(references):
        raise ValueError(
            f"references: got {len(references)} for {len(hypotheses)} hypotheses; expected some, "
            "and as many of each"
        )
    several = [[r] if isinstance(r, str) else list(r) for r in references]
    counts = {len(texts) for texts in several}
    if len(counts) != 1:
        raise ValueError(
            f"references: got {sorted(counts)} for a hypothesis; expected as many each"
        )
    try:
        from sacrebleu.metrics import BLEU
    except ImportError:
        raise _missing("BLEU", "sacrebleu") from None
    # "force" silences the advice on tokenized text, which "none" is meant for.
    metric = BLEU(
        tokenize=tokenize, lowercase=lowercase, force=tokenize == "none", max_ngram_order=order
    )
    found = metric.corpus_score(
        list(hypotheses), [list(column) for column in zip(*several, strict=True)]
    )
    return Bleu(
        float(found.score),
        tuple(map(float, found.precisions)),
        float(found.bp),
        str(metric.get_signature()),
    )


def cider(hypotheses: Sequence[str], references: Sequence[str] | Sequence[Sequence[str]]) -> float:
    """CIDEr of captions by pycocoevalcap, the evaluation of COCO's captions.

    n-grams (n = 1 … 4) are weighed by tf · idf, idf = log(N / pictures whose references have the
    n-gram); of each n the cosine of hypothesis and reference, the hypothesis' weights clipped to
    the reference's and times exp(−(difference in length)² / 72); ten times the mean over n and
    references. It is the variant that its authors call CIDEr-D, and that papers report as CIDEr,
    mostly times 100.

    Words stand between spaces: the tokenizer of the evaluation, which needs Java, is left out, so
    that both sides should be in lower case and without punctuation.

    Args:
        hypotheses: (N,) captions; of one picture alone all idf are 0, and so is the measure.
        references: (N,) texts; or for each hypothesis several.

    Returns:
        0 to 10, the mean over the pictures.

    Raises:
        JaxnetsError: pycocoevalcap is not installed.
        ValueError: no hypotheses, not as many references, or a hypothesis without any.

    Source: Vedantam et al. 2015 (CIDEr: Consensus-based Image Description Evaluation), §4 and §5.

    >>> round(cider(["a red cat", "a blue bird"], [["a red dog"], ["a blue bird"]]), 6)
    5.0
    """
    if not hypotheses or len(hypotheses) != len(references):
        raise ValueError(
            f"references: got {len(references)} for {len(hypotheses)} hypotheses; expected some, "
            "and as many of each"
        )
    several = [[r] if isinstance(r, str) else list(r) for r in references]
    if bare := [number for number, texts in enumerate(several) if not any(map(str.strip, texts))]:
        raise ValueError(f"references[{bare[0]}]: got no words; expected at least one caption")
    try:
        from pycocoevalcap.cider.cider import Cider
    except ImportError:
        raise _missing("CIDEr", "pycocoevalcap", "captions") from None
    texts = {number: [text] for number, text in enumerate(hypotheses)}
    return float(Cider().compute_score(dict(enumerate(several)), texts)[0])


def word_error_rate(hypotheses: Sequence[str], references: Sequence[str]) -> float:
    """Insertions, deletions and substitutions of words, over the words of the references.

    Args:
        hypotheses: (N,) what was written.
        references: (N,) what was said.

    Returns:
        The rate over the corpus; above 1 where more is wrong than was said.

    Raises:
        JaxnetsError: jiwer is not installed.
        ValueError: no references, not as many hypotheses, or a reference without words.

    >>> word_error_rate(["one two two", "nine"], ["one two", "nine"])
    0.3333333333333333
    """
    _check(hypotheses, references)
    return float(_jiwer().wer(list(references), list(hypotheses)))


def character_error_rate(hypotheses: Sequence[str], references: Sequence[str]) -> float:
    """Insertions, deletions and substitutions of characters, over those of the references.

    Args:
        hypotheses: (N,) what was written.
        references: (N,) what was said.

    Returns:
        The rate over the corpus.

    Raises:
        JaxnetsError: jiwer is not installed.
        ValueError: no references, not as many hypotheses, or an empty reference.

    >>> character_error_rate(["tree"], ["three"])
    0.2
    """
    _check(hypotheses, references)
    return float(_jiwer().cer(list(references), list(hypotheses)))


_ARTICLES = {"a", "an", "the"}


def vqa_accuracy(answer: str, human_answers: Sequence[str]) -> float:
    """How right an answer is by what several people said, as the VQA challenge counts it.

    Mean over all ways to leave one person out of min(matches / 3, 1): of ten people 0, 1, 2, 3 and
    4 who said the same give 0, 0.3, 0.6, 0.9 and 1. Case, articles and punctuation do not count.

    Args:
        answer: what was said.
        human_answers: one for each person, at least two.

    Returns:
        0 to 1.

    Raises:
        ValueError: fewer than two people.

    Source: Antol et al. 2015 (VQA: Visual Question Answering), §3, and the challenge's evaluation.

    >>> [round(vqa_accuracy("red", ["red"] * n + ["blue"] * (10 - n)), 1) for n in range(6)]
    [0.0, 0.3, 0.6, 0.9, 1.0, 1.0]
    """
    if len(human_answers) < 2:
        raise ValueError(f"human_answers: got {len(human_answers)}; expected at least two")
    wanted = _normal(answer)
    same = [_normal(human) == wanted for human in human_answers]
    shares = [min((sum(same) - own) / 3, 1.0) for own in same]
    return sum(shares) / len(shares)


def _normal(answer: str) -> str:
    words = re.sub(r"[^\w\s']", " ", answer.lower()).split()
    return " ".join(word for word in words if word not in _ARTICLES)


def _check(hypotheses: Sequence[str], references: Sequence[str]) -> None:
    if not references or len(hypotheses) != len(references):
        raise ValueError(
            f"hypotheses: got {len(hypotheses)} for {len(references)} references; expected some, "
            "and as many of each"
        )
    if empty := [number for number, text in enumerate(references) if not text.strip()]:
        raise ValueError(f"references[{empty[0]}]: is empty; expected what was said")


def _jiwer() -> Any:
    try:
        import jiwer
    except ImportError:
        raise _missing("an error rate", "jiwer") from None
    return jiwer


def _missing(what: str, package: str, extra: str = "text") -> JaxnetsError:
    return JaxnetsError(f"{what} needs {package}: pip install 'jaxnets[{extra}]'")
