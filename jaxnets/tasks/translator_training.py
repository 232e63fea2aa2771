"""Training of a translator on a corpus, by one call."""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn

from jaxnets.data.text import Pairs
from jaxnets.tasks.small_training import workdir_of
from jaxnets.tasks.translator import Translator, Vocabularies, bleu_score, encode_pairs
from jaxnets.tasks.writing_training import train_writer
from jaxnets.train import RunOptions
from jaxnets.train.run import Fitted


def train_translator(
    model: nn.Module,
    corpus: Mapping[str, Pairs],
    vocabularies: Vocabularies,
    *,
    options: RunOptions,
    tokenize: str = "13a",
    epochs: int = 6,
    batch_size: int = 64,
    learning_rate: float = 2e-3,
    label_smoothing: float = 0.1,
    seed: int = 0,
    buckets: int = 5,
    longest: int = 50,
    search: Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Fitted:
    """Train a network to translate, choose by BLEU of what it writes freely, and test it.

    The recipe is that of `jaxnets.tasks.writing_training.train_writer`.

    Args:
        model: such as `jaxnets.models.sequence.RNNSearch`.
        corpus: "train", "validation" and "test" → (sources, targets).
        vocabularies: of both sides; they are saved with the run.
        options: how the run is carried out; its ``workdir`` holds the run, which the same call
            resumes.
        tokenize: see `jaxnets.metrics.corpus_bleu`.
        epochs: passes over the training pairs.
        batch_size: pairs an update.
        learning_rate: the greatest.
        label_smoothing: of the training loss.
        seed: of weights, order and dropout.
        buckets: of lengths; each is compiled once.
        longest: tokens; longer training pairs are left out, and no more are written.
        search: of the beam search beside the greedy one, see `jaxnets.tasks.writing.write`.
        settings: further JSON values that decide what is learned.

    Returns:
        `jaxnets.train.run.Fitted`; its summary has ``test_bleu_greedy``, ``test_bleu_beam`` and
        sacreBLEU's ``signature``.

    Raises:
        JaxnetsError: as `jaxnets.train.fit`.

    Example::

        words = train_vocabularies(corpus["train"], 3000)
        model = RNNSearch(words.source.size, words.target.size, 256, embedding=128)
        options = RunOptions(workdir=Path("runs/mine"))
        fitted = train_translator(model, corpus, words, options=options)

    >>> train_translator(None, {"train": ([], [])}, (), options=RunOptions())
    Traceback (most recent call last):
    jaxnets.errors.JaxnetsError: workdir: got none; a run needs a directory, --workdir DIRECTORY
    """
    workdir = workdir_of(options)
    limits = {"buckets": buckets, "longest": longest}
    source, left_out = encode_pairs(corpus["train"], vocabularies, **limits)
    held_out, _ = encode_pairs(corpus["validation"], vocabularies, **limits)
    held_out = held_out.subset(held_out.by_length())

    def summarize(fitted: Fitted) -> dict[str, Any]:
        vocabularies.save(workdir)
        translate = Translator(model, fitted.variables, vocabularies, longest)
        found: dict[str, Any] = {"left_out": left_out, **fitted.measured}
        for name, how in (("greedy", {}), ("beam", dict(search or {"beams": 5}))):
            bleu, made = translate.bleu(corpus["test"], tokenize=tokenize, **how)
            found |= {f"test_bleu_{name}": bleu.score, "signature": bleu.signature}
            (workdir / f"test_{name}.txt").write_text("\n".join(made) + "\n", encoding="utf-8")
        return found

    return train_writer(
        model,
        source,
        held_out,
        options=options,
        score=bleu_score(corpus["validation"][1], held_out, vocabularies, tokenize),
        monitor="bleu",
        longest=longest,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        label_smoothing=label_smoothing,
        seed=seed,
        settings={**vocabularies.meta, **(settings or {})},
        meta=vocabularies.meta,
        summarize=summarize,
    )
