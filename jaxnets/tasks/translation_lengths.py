"""How well sentences of different lengths are translated: where a memory of one vector fails."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from jaxnets.data.text.files import Pairs
from jaxnets.errors import JaxnetsError
from jaxnets.metrics import corpus_bleu
from jaxnets.study.figures import COLORS, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def bleu_by_length(
    translations: Sequence[str], pairs: Pairs, *, parts: int = 5, tokenize: str = "13a"
) -> list[dict[str, float]]:
    """BLEU of short sources, of longer ones, and so on, in groups of about equal size.

    Args:
        translations: (N,) of the sources.
        pairs: (N sources, N right translations).
        parts: groups at most; sources of one length are in one group.
        tokenize: see `jaxnets.metrics.corpus_bleu`.

    Returns:
        Of each group, from short to long: ``words``, the mean of its sources, ``pairs``, their
        number, and ``bleu``.

    Raises:
        JaxnetsError: not as many translations as pairs.

    Source: Bahdanau et al. 2015 (Neural Machine Translation by Jointly Learning to Align and
    Translate), §5.1, Figure 2.

    >>> pairs = ["a b c d", "a b c d", "a b c d e f"], ["1 2 3 4", "1 2 3 4", "1 2 3 4 5 6"]
    >>> found = bleu_by_length(["1 2 3 4", "1 2 3 4", "6 5 4 3 2 1"], pairs, parts=2)
    >>> [(group["words"], group["pairs"], round(group["bleu"])) for group in found]
    [(4.0, 2, 100), (6.0, 1, 13)]
    """
    sources, targets = pairs
    if len(translations) != len(sources):
        raise JaxnetsError(
            f"got {len(translations)} translations for {len(sources)} pairs; expected one of each. "
            "A run on other sentences, perhaps?"
        )
    lengths = np.array([len(source.split()) for source in sources])
    shares = np.linspace(0, 1, parts + 1)[1:]
    bounds = np.unique(np.quantile(lengths, shares, method="higher"))
    group = np.searchsorted(bounds, lengths)
    found = []
    for number in range(len(bounds)):
        rows = np.flatnonzero(group == number)
        made, wanted = ([side[row] for row in rows] for side in (translations, targets))
        bleu = corpus_bleu(made, wanted, tokenize=tokenize).score
        words = float(lengths[rows].mean())
        found.append({"words": words, "pairs": len(rows), "bleu": bleu})
    return found


def draw_length_curves(curves: Mapping[str, Sequence[Mapping[str, float]]]) -> "Figure":
    """BLEU over the length of the sources, a line for each network.

    Args:
        curves: name → what `bleu_by_length` found.

    Returns:
        The figure.

    >>> figure = draw_length_curves({"with attention": [{"words": 5.0, "bleu": 30.0}]})
    >>> figure.axes[0].get_ylabel()
    'BLEU'
    """
    figure, (ax,) = new_figure()
    for color, (name, groups) in zip(COLORS, curves.items(), strict=False):
        words, bleu = ([group[key] for group in groups] for key in ("words", "bleu"))
        ax.plot(words, bleu, marker="o", color=color, label=name)
    ax.set(xlabel="words of the source", ylabel="BLEU", ylim=(0, None))
    ax.legend()
    return figure
