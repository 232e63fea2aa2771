"""Text: tokenizers with a vocabulary that is saved, files of sentences and pairs of them.

The tokenizers are those of the `tokenizers` library, an extra (``pip install 'jaxnets[text]'``)
that is imported when it is needed.
"""

from jaxnets.data.text.corpora import read_multi30k
from jaxnets.data.text.files import Pairs, read_lines, read_pairs, split_corpus, split_pairs
from jaxnets.data.text.synthetic import number_words
from jaxnets.data.text.tokenizer import (
    END,
    PAD,
    SPECIAL,
    START,
    UNKNOWN,
    TextTokenizer,
    load_tokenizer,
    train_tokenizer,
)

__all__ = [
    "END",
    "PAD",
    "SPECIAL",
    "START",
    "UNKNOWN",
    "Pairs",
    "TextTokenizer",
    "load_tokenizer",
    "number_words",
    "read_lines",
    "read_multi30k",
    "read_pairs",
    "split_corpus",
    "split_pairs",
    "train_tokenizer",
]
