"""Translate: a network without attention, RNNsearch and a small Transformer on pairs of sentences.

Command:  python -m experiments.sequence.translate --dataset multi30k_ende.tar.gz
          python -m experiments.sequence.translate --source train.de --target train.en \\
              --workdir runs/own_pairs
          python -m experiments.sequence.translate --input "ein hund läuft im schnee ."
Time:     three CPU minutes an epoch, without attention two, the Transformer seven.
Result:   summary.json: BLEU on Multi30k's test2016, German to English, greedy and by beam search
          (docs/results.md); attention.png, where the decoder looked; lengths.png, BLEU by length.

The same command again resumes. --input translates by the run in --workdir.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import flax.linen as nn

from jaxnets import command, train
from jaxnets.data import text
from jaxnets.errors import JaxnetsError
from jaxnets.models.sequence import EncoderDecoder, RNNSearch, Transformer
from jaxnets.study.attention_figures import draw_attention
from jaxnets.study.figures import save_figure
from jaxnets.tasks.translation_lengths import bleu_by_length, draw_length_curves
from jaxnets.tasks.translator import Translator, Vocabularies, load_translator, train_vocabularies
from jaxnets.tasks.translator_training import train_translator


@dataclass(frozen=True)
class Config(train.RunOptions):
    """What to train on, and the network.

    Attributes:
        dataset: Multi30k, a folder or .tar.gz.
        source, target: without it, files whose lines belong together; a twentieth is for choosing,
            another for the test. Without these as well: number words in reversed order.
        input: sentences to translate by the run in ``workdir``; nothing is trained then.
        network: without attention, with additive attention, or with nothing else.
        features, embedding, layers, dropout: of the network (layers of the Transformer alone).
        vocabulary: pieces of words in each language.
        epochs, batch_size, learning_rate, label_smoothing, seed: of training, by Adam; the rate
            grows for a tenth of the steps and falls to 0 by a cosine.
        buckets: of lengths; each is compiled once.
        longest: tokens; longer pairs are left out, and no more are written.
        beams, length_penalty: of the beam search beside the greedy one.
        beside: other runs on the same sentences, whose BLEU by length is drawn beside this one's.
        workdir: where the run lives.
    """

    dataset: Path | None = None
    source: Path | None = None
    target: Path | None = None
    input: tuple[str, ...] = ()
    network: Literal["seq2seq", "rnnsearch", "transformer"] = "rnnsearch"
    features: int = 256
    embedding: int = 128
    layers: int = 3
    dropout: float = 0.2
    vocabulary: int = 3000
    epochs: int = 6
    batch_size: int = 64
    learning_rate: float = 2e-3
    label_smoothing: float = 0.1
    seed: int = 0
    buckets: int = 5
    longest: int = 50
    beams: int = 5
    length_penalty: float = 0.6
    beside: tuple[Path, ...] = ()
    workdir: Path = Path("runs/translate")


def smoke() -> Config:
    """A few units, one epoch of number words."""
    return Config(features=4, embedding=4, epochs=1, batch_size=96, buckets=1, longest=20, beams=2)


def read_corpus(config: Config) -> tuple[dict[str, text.Pairs], str]:
    """Training, validation and test pairs, and sacreBLEU's tokenizer for them."""
    if config.dataset:
        return text.read_multi30k(config.dataset), "none"
    if (config.source is None) != (config.target is None):
        raise JaxnetsError("--source and --target belong together: two files, line by line")
    own = (config.source, config.target)
    pairs = text.number_words(400) if config.source is None else text.read_pairs(*own)
    return text.split_corpus(pairs), "13a"


def build(config: Config, vocabularies: Vocabularies) -> nn.Module:
    """The network."""
    sizes = vocabularies.source.size, vocabularies.target.size, config.features
    if config.network == "transformer":
        length = {"max_length": config.longest}
        return Transformer(*sizes, layers=config.layers, dropout=config.dropout, **length)
    fields = {"embedding": config.embedding, "dropout": config.dropout}
    if config.network == "seq2seq":
        return EncoderDecoder(*sizes, cell="gru", reverse_source=True, **fields)
    return RNNSearch(*sizes, **fields)


def train_network(config: Config) -> dict:
    """Train or go on, then measure on the test pairs."""
    corpus, tokenize = read_corpus(config)
    words = train_vocabularies(corpus["train"], config.vocabulary)
    model = build(config, words)
    names = ("features", "embedding", "layers", "dropout", "vocabulary", "network")
    fitted = train_translator(
        model, corpus, words, options=config, tokenize=tokenize, epochs=config.epochs,
        batch_size=config.batch_size, learning_rate=config.learning_rate, seed=config.seed,
        label_smoothing=config.label_smoothing, buckets=config.buckets, longest=config.longest,
        search={"beams": config.beams, "length_penalty": config.length_penalty},
        settings={name: asdict(config)[name] for name in names},
    )  # fmt: skip
    sentence = corpus["test"][0][0]
    if fitted.variables:
        show(Translator(model, fitted.variables, words, config.longest), sentence, config)
    curves: dict = {}
    for run in (config.workdir, *config.beside) if not fitted.interrupted else ():
        made = text.read_lines(run / "test_greedy.txt")
        curves[str(run)] = bleu_by_length(made, corpus["test"], tokenize=tokenize)
    if curves:
        save_figure(draw_length_curves(curves), config.workdir / "lengths.png")
    return {**fitted.summary, "bleu_by_length": curves}


def show(translate: Translator, sentence: str, config: Config) -> str:
    """Translate a sentence, and draw where the network looked, if it has attention."""
    (made,) = translate([sentence], beams=config.beams, length_penalty=config.length_penalty)
    print(f"{sentence}\n→ {made}")
    if made and (found := translate.attention(sentence, made)):
        figure = draw_attention(found[0], keys=found[1], queries=found[2])
        save_figure(figure, config.workdir / "attention.png")
    return made


def main(config: Config) -> dict:
    """Train, or translate the input."""
    if not config.input:
        return train_network(config)
    translate = load_translator(config.workdir, lambda v: build(config, v), config.longest)
    for sentence in config.input:
        if lacking := translate.vocabularies.source.unknown(sentence):
            print(f"note: unknown: {', '.join(lacking)}")
    return {"input": {sentence: show(translate, sentence, config) for sentence in config.input}}


if __name__ == "__main__":
    command.run(main, Config, description=__doc__)
